"""Requests that write: create, change and delete the records of any endpoint in the same way."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from email import message_from_bytes, policy
from typing import Any
from urllib.parse import parse_qs

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from .checks import CHECKS, FOLLOW, PREPARE, keep_history
from .exchange import Exchange
from .fields import WRITES, Form, Write, validated
from .models import MODELS
from .owners import check_protected, is_protected
from .query import Answer, Failed
from .records import Record
from .registration import new_download, register_file
from .rows import Rows
from .store import dumps
from .values import Taken

__all__ = ["body_of", "write"]

JSON = "application/json"
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
PLAIN = {"/register-file": register_file, "/new-download": new_download, "/check-protected": check_protected}
# References that only the database requires: its column and table
NOT_NULL = {
    "chronic-insertions": {"subject": ("subject_id", "actions_chronicrecording")},
    "fields-of-view": {"imaging_type": ("imaging_type_id", "experiments_fov")},
}
PAGE = "<!doctype html><html><head><title>500 Internal Server Error</title></head><body></body></html>"
Outcome = tuple[int, Any]


async def write(exchange: Exchange) -> Response:
    """Answer a request that writes. Its changes are committed before the answer is sent."""
    method, endpoint = exchange.request.method, exchange.route.endpoint
    if exchange.route.path == "/sync-file-status":
        raise Failed('Globus not authenticated for client "alyx"')  # as a server without Globus
    if method in ("PUT", "PATCH") and exchange.app.store.detail(endpoint, exchange.key) is None:
        raise missing(endpoint)
    data = {} if method == "DELETE" else await body_of(exchange.request)
    status, body = await to_thread.run_sync(committed, exchange, data)
    if status == 204:
        return Response(b"", 204)
    if isinstance(body, str):
        # Errors of Django itself are pages, and here with status 200
        return Response(body, 200, {"vary": "Cookie"}, media_type="text/html")
    headers = {"content-type": JSON}
    if status == 201 and isinstance(body, Mapping) and body.get("url"):
        headers["location"] = exchange.localized(body["url"])
    return Response(exchange.localized(dumps(body)), status, headers)


def committed(exchange: Exchange, data: Any) -> Outcome:
    """Execute a request in one transaction."""
    app = exchange.app
    with app.store.transaction():
        rows = Rows(app.store, app.now, app.new_id)
        if exchange.request.method != "GET" and exchange.user is not None:
            add_user(rows, exchange.user)
        try:
            return outcome(exchange, rows, data)
        finally:
            # Changes before an error are kept
            rows.flush()


def add_user(rows: Rows, name: str) -> None:
    """Create the record of a login that the world does not have, such as ``demo``, before it is referred to."""
    if rows.get("users", name) is None:
        record = {"username": name, "email": "", "is_stock_manager": False, "id": rows.new_id()}
        rows.create("users", {**record, "subjects_responsible": [], "lab": [], "allowed_users": []})
        rows.flush()


def outcome(exchange: Exchange, rows: Rows, data: Any) -> Outcome:
    """Execute a request. Return its status and body."""
    method, endpoint = exchange.request.method, exchange.route.endpoint
    if exchange.route.path in PLAIN:
        given = attributes(data)
        if isinstance(given, Form):
            given = {name: values[-1] for name, values in given.items()}
        if method == "GET":
            given = given or exchange.given
        answer = PLAIN[exchange.route.path](rows, given, exchange.user)
        return 200 if method == "GET" else 201, answer
    if endpoint not in WRITES:
        raise Answer(405, {"detail": f'Method "{method}" not allowed.'})
    if method == "POST":
        return created(rows, WRITES[endpoint], data, exchange.user)
    number = rows.store.number_of(endpoint, exchange.key)
    if number is None:
        raise missing(endpoint)
    if method == "DELETE":
        return deleted(rows, endpoint, number)
    return changed(rows, WRITES[endpoint], number, data, exchange.user, partial=method == "PATCH")


def attributes(data: Any) -> Mapping[str, Any]:
    """Return the fields of a body. Raise Failed for one that is no object, on which a real Alyx fails too."""
    if isinstance(data, Mapping):
        return data
    raise Failed(f"'{type(data).__name__}' object has no attribute 'get'")


def missing(endpoint: str) -> Answer:
    """Return the answer for a record that does not exist."""
    return Answer(404, {"detail": f"No {MODELS[endpoint].singular} matches the given query."})


# ---- bodies ----


async def body_of(request: Request) -> Any:
    """Parse the body: JSON, or a form with or without files. Raise Answer 415 for anything else."""
    said = request.headers.get("content-type") or ""
    kind = said.split(";")[0].strip().lower()
    body = await request.body()
    if not body:
        return Form() if kind in FORMS else {}
    if kind == JSON:
        try:
            return json.loads(body, parse_constant=refuse_constant)
        except ValueError as error:
            raise Answer(400, {"detail": f"JSON parse error - {error}"}) from None
    if kind == FORMS[0]:
        return Form(parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True))
    if kind == FORMS[1]:
        return parts_of(said, body)
    raise Answer(415, {"detail": f'Unsupported media type "{said}" in request.'})


def refuse_constant(word: str) -> Any:
    """Refuse NaN and Infinity, which are not JSON."""
    raise ValueError(f"Out of range float values are not JSON compliant: {word!r}")


def parts_of(said: str, body: bytes) -> Form:
    """Parse a multipart body: texts, and files as name and bytes."""
    message = message_from_bytes(f"content-type: {said}\r\n\r\n".encode() + body, policy=policy.HTTP)
    form = Form()
    for part in message.iter_parts() if message.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        value: Any = content if isinstance(content, bytes) else b""
        filename = part.get_filename()
        value = (filename, value) if filename is not None else value.decode("utf-8", "replace")
        form.setdefault(str(name), []).append(value)
    return form


# ---- records ----


def created(rows: Rows, write: Write, data: Any, user: str | None) -> Outcome:
    """Create a record, or a channel for each item of a list."""
    if write.name == "channels" and isinstance(data, list):
        return many_channels(rows, write, data, user)
    record = create_one(rows, write, data, user)
    return 201, record


def many_channels(rows: Rows, write: Write, data: list[Any], user: str | None) -> Outcome:
    """Create all channels of a list; an error creates none and is answered with a page."""
    seen = set()
    for item in data:
        values, complaints = validated(write, item, False, rows.store.exists)
        if "trajectory_estimate" not in values:
            return 200, PAGE
        key = tuple(values.get(name) for name in write.unique)
        if complaints or key in seen or not_unique(rows, write, values, None):
            return 200, PAGE
        seen.add(key)
    return 201, [create_one(rows, write, item, user) for item in data]


def create_one(rows: Rows, write: Write, data: Any, user: str | None) -> Record:
    """Create one record and return it as the answer shows it."""
    refuse_trajectory(write, data)
    values, complaints = validated(write, data, False, rows.store.exists)
    complain(rows, write, values, complaints, None)
    refuse_caller(write, values)
    record = {name: start_value(rows, taken, user) for name, taken in write.fields.items()} | values
    if "id" in MODELS[write.name].fields and not record.get("id"):
        record["id"] = rows.new_id()
    if write.name in PREPARE:
        PREPARE[write.name](rows, record, data, user)
    for name, (column, table) in NOT_NULL.get(write.name, {}).items():
        if record[name] is None:
            words = f'null value in column "{column}" of relation "{table}" violates not-null constraint'
            raise Failed(f"{words}\nDETAIL:  Failing row contains ({record['id']}).\n")
    number = rows.create(write.name, record)
    if write.name in FOLLOW:
        FOLLOW[write.name](rows, number, values, None)
    rows.flush()
    [record] = rows.load(write.name, [number])
    shown = rows.listed(write.name, record) if write.answers_as_list else rows.shown(write.name, record)
    return as_sent(write, shown, values)


def start_value(rows: Rows, taken: Taken, user: str | None) -> Any:
    """Return the value of a field of a new record if none is given."""
    words: dict[str, Callable[[], Any]] = {
        "now": lambda: rows.clock().isoformat(),
        "auto": lambda: rows.clock().isoformat(),
        "user": lambda: user,
        "uuid": rows.new_id,
    }
    if taken.default is not None:
        return words[taken.default]() if taken.default in words else json.loads(taken.default)
    if taken.many:
        return []
    if taken.null or taken.fixed:
        return None
    return {"text": "", "name": "", "bool": False}.get(taken.kind)


def changed(rows: Rows, write: Write, number: int, data: Any, user: str | None, partial: bool) -> Outcome:
    """Change a record. PUT keeps fields that are not given, except those that default to the caller."""
    [before] = rows.load(write.name, [number])
    refuse_trajectory(write, data)
    values, complaints = validated(write, data, partial, rows.store.exists)
    complain(rows, write, values, complaints, before)
    if not partial:
        refuse_caller(write, values)
    for name, taken in write.fields.items():
        if taken.default == "auto":
            values[name] = rows.clock().isoformat()
        elif partial or name in values:
            continue
        elif taken.default == "user":
            values[name] = user
        elif taken.null and name in write.unique:
            values[name] = None
    if write.name == "trajectories":
        values = {"probe_insertion": None, "chronic_insertion": None, **values}
    if write.name == "subjects":
        keep_history(rows, values, before)
    rows.change(write.name, number, **values)
    if write.name in FOLLOW:
        FOLLOW[write.name](rows, number, values, before)
    rows.flush()
    [record] = rows.load(write.name, [number])
    return 200, as_sent(write, rows.shown(write.name, record), values)


def refuse_trajectory(write: Write, data: Any) -> None:
    """Fail on the body of a trajectory that Alyx cannot complete: no object, or a form, which cannot be changed."""
    if write.name != "trajectories" or data is None:
        return
    given = attributes(data)
    if isinstance(data, Form) and not all(given.get(f"{kind}_insertion") for kind in ("probe", "chronic")):
        raise Failed("This QueryDict instance is immutable")


def refuse_caller(write: Write, values: Record) -> None:
    """Fail on a list that defaults to the caller, since Alyx takes the caller himself for the list."""
    if any(t.many and t.default == "user" and t.name not in values for t in write.fields.values()):
        raise Failed("'LabMember' object is not iterable")


def as_sent(write: Write, shown: Record, values: Record) -> Record:
    """Return the record with JSON as it was sent; later answers show its keys sorted."""
    sent = {
        name: values[name] for name in values if name in shown and write.fields[name].kind in ("json", "list")
    }
    return {**shown, **sent}


def complain(
    rows: Rows, write: Write, values: Record, complaints: dict[str, list[str]], before: Record | None
) -> None:
    """Raise Answer 400 if there are complaints about the values of a request."""
    name = values.get("name")
    key = MODELS[write.name].key
    new = key == "name" and name is not None and name != (before or {}).get("name")
    if new and rows.store.numbers(write.name, name=name):
        complaints["name"] = [f"{spaced(MODELS[write.name].singular)} with this name already exists."]
    if write.name in CHECKS:
        complaints |= CHECKS[write.name](rows, values, before, bool(complaints))
    if not complaints and before is None:
        # A reference that must be unique together with other fields is required, but only checked after all others
        late = [n for n in write.unique if write.fields[n].target and n not in values]
        complaints = {n: ["This field is required."] for n in late}
    if not complaints and not_unique(rows, write, values, before):
        complaints["non_field_errors"] = [f"The fields {', '.join(write.unique)} must make a unique set."]
    if complaints:
        order = write.order(before is None)
        raise Answer(400, dict(sorted(complaints.items(), key=lambda item: place_of(order, item[0]))))


def place_of(order: list[str], name: str) -> int:
    """Return the position of a field in an order."""
    return order.index(name) if name in order else len(order)


def spaced(name: str) -> str:
    """Return the name of a model in words."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()


def not_unique(rows: Rows, write: Write, values: Record, before: Record | None) -> bool:
    """Return whether another record has the same values in fields that must be unique together."""
    wanted = {name: values.get(name, (before or {}).get(name)) for name in write.unique}
    if (
        not wanted
        or None in wanted.values()
        or (before and all(before.get(n) == v for n, v in wanted.items()))
    ):
        return False
    columns = {name: value for name, value in wanted.items() if write.fields[name].kind != "json"}
    return any(
        all(item[name] == value for name, value in wanted.items()) for item in rows.all(write.name, **columns)
    )


def deleted(rows: Rows, endpoint: str, number: int) -> Outcome:
    """Delete a record and the records that belong to it."""
    [record] = rows.load(endpoint, [number])
    if endpoint == "datasets" and is_protected(rows, record):
        tags = [name for name in record["tags"] if (rows.get("tags", name) or {}).get("protected")]
        listed = '", "'.join(tags)
        words = f'Failed to delete dataset {record["name"]} due to protected tag(s) "{listed}"'
        raise Answer(403, {"status_code": 403, "detail": words})
    rows.delete(endpoint, number)
    return 204, None
