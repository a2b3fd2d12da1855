"""The fields that an endpoint accepts in a request that writes (writes.txt), and its complaints about other values."""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import unquote, urlsplit

from .models import CHOICES, MODELS
from .patterns import BOUNDS, PATTERNS

__all__ = ["LOGIN", "NAMED", "WRITES", "Complaint", "Exists", "Form", "Taken", "Write", "moment", "validated"]

Exists = Callable[[str, Any], bool]
HOST = "https://alyx.test"
ABSENT = object()
TOKEN = re.compile(
    r"(?P<fixed>-?)(?P<name>\w+)(?P<required>!?)(?P<null>\??)(?::(?P<kind>\w+)(?:\((?P<limit>\d+)\))?)?"
    r"(?:=(?P<default>\S+))?$"
)
ORDERED = {"users", "tags", "projects"}
TIME_FORM = "YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]"
WRONG_FORM = " has wrong format. Use one of these formats instead: "
NAMED = ("qc", "provenance", "status")  # the kinds of choices that are stored as numbers and sent by name
IMPORTANCES = (50, 40, 30, 20)


class Complaint(ValueError):
    """A validation error of a field, with one or several texts of Django REST framework or of Alyx."""


class Form(dict[str, list[Any]]):
    """The fields of a form, each with all its values."""


@dataclass(frozen=True)
class Taken:
    """One field: the values that it accepts, and its value if none is given."""

    name: str
    kind: str
    fixed: bool
    required: bool
    null: bool
    limit: int | None
    default: str | None
    many: bool
    target: str
    key: str
    bound: int | None = None
    pattern: tuple[str, str] | None = None


@dataclass
class Write:
    """The fields that one endpoint accepts; ``listed``: the fields of its list; ``unique``: those whose values are unique."""

    name: str
    listed: list[str]
    unique: list[str]
    answers_as_list: bool
    fields: dict[str, Taken] = field(default_factory=dict)


#: Types of Alyx's columns whose values are sent as another type.
_WRITTEN_AS = {
    "prose": "text",
    "inner": "text",
    "none": "text",
    "small": "int",
    "big": "int",
    "positive": "int",
}


def read_field(endpoint: str, token: str) -> Taken:
    """Parse one field of an endpoint; models.txt has the types of most fields."""
    match = TOKEN.match(token)
    assert match is not None, token
    fixed, name, required, null, kind, limit, default = match.group(
        "fixed", "name", "required", "null", "kind", "limit", "default"
    )
    known = MODELS[endpoint].fields.get(name)
    relation = known is not None and known.kind in ">*<" and kind != "content_type"
    if kind is None:
        kind = "slug" if relation else known.target if known is not None and known.kind == ":" else "text"
    bound = BOUNDS.get(kind)
    kind = _WRITTEN_AS.get(kind, kind)
    return Taken(
        name,
        kind,
        bool(fixed),
        bool(required),
        bool(null),
        int(limit) if limit else None,
        default,
        known is not None and known.kind in "*<",
        known.target if relation and known else "",
        (MODELS[known.target].key if known.kind == "<" else known.key) if relation and known else "",
        bound,
        PATTERNS.get((endpoint, name)),
    )


@cache
def read_writes() -> dict[str, Write]:
    """Parse writes.txt, which describes its own format: the fields of all endpoints."""
    found: dict[str, Write] = {}
    for line in files(__package__).joinpath("writes.txt").read_text("utf-8").splitlines():
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        if words[0] == "write":
            said = dict(word.split("=") for word in words[2:])
            listed = said["list"].split(",") if "list" in said else []
            unique = said["unique"].split("+") if "unique" in said else []
            write = found[words[1]] = Write(words[1], listed, unique, said.get("post") == "list")
        else:
            write.fields |= {taken.name: taken for taken in (read_field(write.name, word) for word in words)}
    return found


WRITES = read_writes()


LOGIN = Write("auth-token", [], [], False)
LOGIN.fields = {
    name: Taken(name, kind, False, True, False, None, None, False, "", "")
    for name, kind in (("username", "name"), ("password", "password"))
}


# ---- one value ----


def moment(text: Any) -> datetime:
    """Parse a time as the server does: in UTC, without an offset."""
    found = datetime.fromisoformat(text)
    return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found


def read_text(taken: Taken, value: Any) -> str:
    """Accept a text, or convert a number to one."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Complaint("Not a valid string.")
    text = str(value).strip()
    if not text and taken.kind == "name":
        raise Complaint("This field may not be blank.")
    wrong = []
    if taken.pattern is not None and text and not re.fullmatch(taken.pattern[0], text):
        wrong.append(taken.pattern[1])
    if taken.limit is not None and len(text) > taken.limit:
        wrong.append(f"Ensure this field has no more than {taken.limit} characters.")
    if wrong:
        raise Complaint(*wrong)
    return text


def read_password(taken: Taken, value: Any) -> str:
    """Accept a text as it is, with its blanks."""
    read_text(taken, value)
    if not str(value):
        raise Complaint("This field may not be blank.")
    return str(value)


def read_number(taken: Taken, value: Any) -> int | float:
    """Accept a number, or a text that holds one."""
    whole = taken.kind == "int"
    try:
        if whole:
            number: int | float = int(re.sub(r"\.0*\s*$", "", str(value)))
        else:
            number = float(value)
    except (TypeError, ValueError):
        raise Complaint(f"A valid {'integer' if whole else 'number'} is required.") from None
    if not whole and not math.isfinite(number):
        raise Complaint("A valid number is required.")
    if taken.limit is not None and number < taken.limit:
        raise Complaint(f"Ensure this value is greater than or equal to {taken.limit}.")
    if taken.bound is not None and number >= taken.bound:
        raise Complaint(f"Ensure this value is less than or equal to {taken.bound - 1}.")
    if taken.bound is not None and number < -taken.bound:
        raise Complaint(f"Ensure this value is greater than or equal to {-taken.bound}.")
    return number


def read_bool(taken: Taken, value: Any) -> bool:
    """Accept a boolean in any spelling that Django REST framework accepts."""
    known = {"true": True, "1": True, "yes": True, "on": True, "t": True, "y": True}
    known |= {"false": False, "0": False, "no": False, "off": False, "f": False, "n": False}
    word = str(value).lower()
    if word not in known or isinstance(value, list | dict):
        raise Complaint("Must be a valid boolean.")
    return known[word]


def read_time(taken: Taken, value: Any) -> str:
    """Accept a time, or a date, which means its midnight."""
    try:
        return moment(value).isoformat()
    except (TypeError, ValueError):
        raise Complaint(f"Datetime{WRONG_FORM}{TIME_FORM}.") from None


def read_date(taken: Taken, value: Any) -> str:
    """Accept a date."""
    try:
        return date.fromisoformat(value).isoformat()
    except (TypeError, ValueError):
        raise Complaint(f"Date{WRONG_FORM}YYYY-MM-DD.") from None


def read_uuid(taken: Taken, value: Any) -> str:
    """Accept a UUID."""
    try:
        return str(uuid.UUID(str(value)))
    except ValueError:
        raise Complaint("Must be a valid UUID.") from None


def read_url(taken: Taken, value: Any) -> str:
    """Accept a URL."""
    text = read_text(taken, value)
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https", "ftp") or not parts.netloc:
        raise Complaint("Enter a valid URL.")
    return text


def read_named(taken: Taken, value: Any) -> str:
    """Accept the exact name of a choice that is stored as a number."""
    if not isinstance(value, str) or value not in CHOICES[taken.kind]:
        names = "Waiting, Held, Started, Errored, Abandoned, Empty, Incomplete, Complete"
        names = names if taken.kind == "status" else ", ".join(CHOICES[taken.kind])
        raise Complaint(f"Invalid {taken.name}, choices are: {names}")
    return value


def read_choice(taken: Taken, value: Any) -> Any:
    """Accept a choice by its stored value."""
    choices = {
        "fov": tuple(CHOICES["fov_provenance"].values()),
        "sex": tuple("MFU"),
        "importance": IMPORTANCES,
    }
    matching = [choice for choice in choices[taken.kind] if str(choice) == str(value)]
    if not matching:
        raise Complaint(f'"{value}" is not a valid choice.')
    return matching[0]


def read_list(taken: Taken, value: Any) -> list[Any]:
    """Accept a list."""
    if not isinstance(value, list):
        raise Complaint(f'Expected a list of items but got type "{type(value).__name__}".')
    return value


def read_json(taken: Taken, value: Any) -> Any:
    """Accept any JSON value; in a form, parse the text as JSON."""
    if isinstance(value, FormText):
        try:
            return json.loads(value)
        except ValueError:
            raise Complaint("Value must be valid JSON.") from None
    return value


class FormText(str):
    """A text from a form, which JSON fields parse."""


READ: dict[str, Callable[[Taken, Any], Any]] = {
    **dict.fromkeys(("text", "name"), read_text),
    **dict.fromkeys(("int", "float", "number"), read_number),
    **dict.fromkeys(NAMED, read_named),
    **dict.fromkeys(("fov", "sex", "importance"), read_choice),
    "password": read_password,
    "bool": read_bool,
    "time": read_time,
    "date": read_date,
    "uuid": read_uuid,
    "url": read_url,
    "list": read_list,
    "json": read_json,
    "image": lambda taken, value: value,
    "content_type": lambda taken, value: value,
}


def read_relation(taken: Taken, value: Any, exists: Exists) -> Any:
    """Accept a reference to a record that exists."""
    if taken.kind == "link":
        path = urlsplit(value).path if isinstance(value, str) else ""
        match = re.fullmatch(rf".*/{taken.target}/([^/]+)", path)
        if match is None or not (path.startswith("/") and str(value).startswith(("http", "/"))):
            raise Complaint("Invalid hyperlink - No URL match.")
        key = unquote(match[1])
        if not exists(f"{taken.target}.{taken.key}", key):
            raise Complaint("Invalid hyperlink - Object does not exist.")
        return f"{HOST}/{taken.target}/{match[1]}"
    if isinstance(value, list | dict | bool):
        raise Complaint("Invalid value.")
    of_uuid = MODELS[taken.target].fields[taken.key].target == "uuid"
    if of_uuid:
        try:
            value = str(uuid.UUID(str(value)))
        except ValueError:
            words = "Invalid value." if taken.kind == "slug" else f"“{value}” is not a valid UUID."
            raise Complaint(words) from None
    if not exists(f"{taken.target}.{taken.key}", value):
        if taken.kind == "pk":
            raise Complaint(f'Invalid pk "{value}" - object does not exist.')
        raise Complaint(f"Object with {taken.key}={value} does not exist.")
    return int(value) if MODELS[taken.target].fields[taken.key].target == "int" else value


def read_value(taken: Taken, value: Any, exists: Exists) -> Any:
    """Validate and convert the value of a field."""
    if value is None or (isinstance(value, FormText) and not value and taken.null):
        if taken.null or taken.kind == "json":
            return None
        raise Complaint("This field may not be null.")
    if taken.many:
        items = [read_relation(taken, item, exists) for item in read_list(taken, value)]
        return sorted(set(items)) if taken.target in ORDERED else list(dict.fromkeys(items))
    return read_relation(taken, value, exists) if taken.target else READ[taken.kind](taken, value)


# ---- all values of a request ----


def given(data: Mapping[str, Any], taken: Taken, partial: bool) -> Any:
    """Return the value of a field in a request; ABSENT if it is not there.

    A form that is not partial says by its silence that a box is not checked and a list is empty.
    """
    several = taken.many or taken.kind == "list"
    if taken.name not in data:
        silent = isinstance(data, Form) and not partial
        return [] if silent and several else False if silent and taken.kind == "bool" else ABSENT
    value = data[taken.name]
    if not isinstance(data, Form):
        return value
    texts = [FormText(item) if isinstance(item, str) else item for item in value]
    return texts if several else texts[-1]


def validated(
    write: Write, data: Any, partial: bool, exists: Exists
) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Validate the values of a request. Return them, and the complaints by field."""
    if data is None:
        return {}, {"non_field_errors": ["No data provided"]}
    if not isinstance(data, Mapping):
        words = f"Invalid data. Expected a dictionary, but got {type(data).__name__}."
        return {}, {"non_field_errors": [words]}
    values: dict[str, Any] = {}
    complaints: dict[str, list[str]] = {}
    for taken in write.fields.values():
        value = ABSENT if taken.fixed else given(data, taken, partial)
        if value is not ABSENT:
            try:
                values[taken.name] = read_value(taken, value, exists)
            except Complaint as error:
                complaints[taken.name] = list(error.args)
        elif taken.required and not partial and not taken.fixed:
            complaints[taken.name] = ["This field is required."]
    return values, complaints
