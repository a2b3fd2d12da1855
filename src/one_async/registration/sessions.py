"""Sessions of the database: find them by subject, date and number, create them once, change them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from one_async._boundary import reading
from one_async._concurrency import run_all
from one_async.errors import InputError, RegistrationError
from one_async.ids import as_many
from one_async.registration.local import SessionFolder
from one_async.registration.write_once import write_once

if TYPE_CHECKING:
    from one_async.alyx.client import AsyncAlyxClient
    from one_async.registration.vocabulary import Vocabulary

__all__ = ["check_fields", "datasets_of", "ensure_iso8601", "find_session", "save_session", "unknown_names"]

#: The fields of a session that may be set, each with the endpoint that lists its valid names, if any.
FIELDS: Mapping[str, str | None] = {
    "users": "users",
    "procedures": "procedures",
    "projects": "projects",
    "location": "locations",
    "lab": "labs",
    **dict.fromkeys(
        ("type", "task_protocol", "narrative", "n_trials", "n_correct_trials", "start_time", "end_time"), None
    ),
    **dict.fromkeys(("json", "extended_qc", "qc", "parent_session"), None),
}
_LISTS = ("users", "procedures", "projects")
_NUMBERS = ("n_trials", "n_correct_trials")


def ensure_iso8601(date: object, argument: str = "date") -> str:
    """Return a date or time as an ISO 8601 string; None means now. Raises InputError."""
    accepted = "a date or time, or an ISO 8601 string such as 2025-01-14T09:30:00"
    if date is None:
        return datetime.now().isoformat()
    if isinstance(date, str):
        try:
            return datetime.fromisoformat(date.strip()).isoformat()
        except ValueError:
            raise InputError.of(argument, date, accepted) from None
    return _as_datetime(date, argument, accepted).isoformat()


def _as_datetime(value: object, argument: str, accepted: str) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    raise InputError.of(argument, value, accepted)


def local_time(value: object, argument: str) -> str:
    """Return a time for a record. Raises InputError for a time with an offset, which Alyx would convert and drop."""
    text = ensure_iso8601(value, argument)
    if datetime.fromisoformat(text).tzinfo is not None:
        raise InputError.of(argument, value, "a time without an offset, as the database stores it")
    return text


def check_fields(folder: SessionFolder, users: object, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a session's fields in Alyx's form. Raises InputError for invalid ones."""
    unknown = fields.keys() - FIELDS.keys()
    if unknown:
        raise InputError.of(min(unknown), fields[min(unknown)], f"fields of a session: {', '.join(FIELDS)}")
    given = {name: value for name, value in {"users": users, **fields}.items() if value is not None}
    for name in _LISTS:
        if name in given:
            given[name] = _names(name, given[name])
    for name in ("location", "lab", "type", "task_protocol", "narrative", "qc"):
        if name in given and not isinstance(given[name], str):
            raise InputError.of(name, given[name], "a string")
    for name in _NUMBERS:
        if name in given:
            given[name] = _count(name, given[name])
    if given.get("n_correct_trials", 0) > given.get("n_trials", float("inf")):
        raise InputError.of("n_correct_trials", given["n_correct_trials"], "at most n_trials")
    if folder.lab and given.get("lab", folder.lab) != folder.lab:
        raise InputError.of("lab", given["lab"], f"the lab of the session's path: {folder.lab}")
    for name in ("json", "extended_qc"):
        if name in given:
            given[name] = _json(name, given[name])
    return given | _times(folder, given)


def _names(name: str, value: object) -> list[str]:
    names = as_many(value) if not isinstance(value, str) else [value]
    if not all(isinstance(one, str) and one for one in names):
        raise InputError.of(name, value, "a name or a list of names")
    return list(names)


def _count(name: str, value: object) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < 0:
        raise InputError.of(name, value, "a whole number, 0 or more")
    return int(value)


def _json(name: str, value: object) -> Any:
    try:
        parsed = json.loads(value) if isinstance(value, str) else value
        json.dumps(parsed, default=str)
    except (ValueError, TypeError, RecursionError):
        raise InputError.of(name, value, "a dict that JSON can hold") from None
    if not isinstance(parsed, Mapping):
        raise InputError.of(name, value, "a dict that JSON can hold")
    return dict(parsed)


def _times(folder: SessionFolder, given: Mapping[str, Any]) -> dict[str, str]:
    times = {name: local_time(given[name], name) for name in ("start_time", "end_time") if name in given}
    if "start_time" in times and times["start_time"][:10] != folder.day.isoformat():
        raise InputError.of(
            "start_time", given["start_time"], f"a time on {folder.day}, the date of the session's path"
        )
    start = times.get("start_time", folder.day.isoformat())
    if "end_time" in times and datetime.fromisoformat(times["end_time"]) < datetime.fromisoformat(start):
        raise InputError.of("end_time", given["end_time"], f"a time not before {start}")
    return times


async def unknown_names(
    vocabulary: Vocabulary, sessions: Iterable[tuple[SessionFolder, Mapping[str, Any]]]
) -> dict[SessionFolder, str]:
    """Return a message for each session with names that the database does not have: subject, lab, users and others."""
    wanted: dict[str, set[str]] = {}
    of_session: dict[SessionFolder, list[tuple[str, str, str]]] = {}
    for folder, fields in sessions:
        named = [("subjects", "subject", folder.subject)]
        if folder.lab:
            named.append(("labs", "lab", folder.lab))
        for field, endpoint in FIELDS.items():
            if endpoint and field in fields:
                value = fields[field]
                named += [(endpoint, field, one) for one in ([value] if isinstance(value, str) else value)]
        of_session[folder] = named
        for endpoint, _, name in named:
            wanted.setdefault(endpoint, set()).add(name)
    known: dict[str, dict[str, Any]] = {}

    async def find(endpoint: str, names: set[str]) -> None:
        known[endpoint] = await vocabulary.find(endpoint, names)

    await run_all(find, wanted.items())
    problems = {}
    for folder, named in of_session.items():
        missing = [f"{field} {name!r}" for endpoint, field, name in named if name not in known[endpoint]]
        if missing:
            problems[folder] = f"the database does not have {', '.join(dict.fromkeys(missing))}"
    return problems


async def find_session(alyx: AsyncAlyxClient, folder: SessionFolder) -> str | None:
    """Return the id of a session, None if there is none. Raises RegistrationError if there are several."""
    day = folder.day.isoformat()
    query = urlencode({"date_range": f"{day},{day}", "number": folder.number, "subject": folder.subject})
    rows = await alyx.get(f"/sessions?{query}", no_cache=True)
    with reading("/sessions"):
        ids = [str(row["id"]) for row in rows if row["subject"] == folder.subject]
    if len(ids) > 1:
        reason = (
            f"the database has {len(ids)} indistinguishable sessions of this subject, date and number: "
            f"{', '.join(sorted(ids))}; delete all but one"
        )
        raise RegistrationError.of({str(folder.path): reason})
    return ids[0] if ids else None


async def save_session(
    alyx: AsyncAlyxClient, folder: SessionFolder, fields: Mapping[str, Any], eid: str | None
) -> dict[str, Any]:
    """Create a session, or change the given fields of the session with this id; return its record.

    Other fields stay unchanged. A change is idempotent, so a failed one is repeated.
    """
    if eid is not None:
        body = dict(fields)
        if not body:
            return await read_session(alyx, eid)

        async def change() -> dict[str, Any]:
            return _record(await alyx.patch(f"/sessions/{eid}", body))

        async def find_none() -> None:
            return None

        return await write_once(change, find_none)
    lab = {"lab": folder.lab} if folder.lab else {}
    users = {"users": [alyx.user]} if alyx.user else {}
    new = {
        "subject": folder.subject,
        **users,
        "type": "Experiment",
        "number": f"{folder.number:03d}",
        **lab,
        "start_time": f"{folder.day.isoformat()}T00:00:00",
        **fields,
    }

    async def create() -> dict[str, Any]:
        return _record(await alyx.post("/sessions", new))

    async def find() -> dict[str, Any] | None:
        found = await find_session(alyx, folder)
        return None if found is None else await read_session(alyx, found)

    return await write_once(create, find)


async def read_session(alyx: AsyncAlyxClient, eid: str) -> dict[str, Any]:
    """Return the record of a session from the server."""
    return _record(await alyx.get(f"/sessions/{eid}", no_cache=True))


def _record(answer: Any) -> dict[str, Any]:
    with reading("/sessions"):
        record = dict(answer)
        record["id"] = str(record["url"])[-36:]
        return record


async def datasets_of(alyx: AsyncAlyxClient, eid: str) -> Sequence[dict[str, Any]]:
    """Return the datasets of a session from the server, in no particular order."""
    rows = await alyx.get(f"/datasets?{urlencode({'session': eid})}", no_cache=True)
    with reading("/datasets"):
        return [{**row, "id": str(row["url"])[-36:]} for row in rows]
