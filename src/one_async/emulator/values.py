"""The values that a field accepts in a request that writes, and its complaints about others."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from .models import CHOICES, MODELS
from .store import HOST

__all__ = ["NAMED", "Complaint", "Exists", "FormText", "Taken", "moment", "read_value"]

#: The texts that mean null for a boolean that may be null.
NOTHING = ("", "null", "Null", "NULL")
Exists = Callable[[str, Any], bool]
ORDERED = {"users", "tags", "projects"}
TIME_FORM = "YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]"
WRONG_FORM = " has wrong format. Use one of these formats instead: "
NAMED = ("qc", "provenance", "status")  # the kinds of choices that are stored as numbers and sent by name
IMPORTANCES = (50, 40, 30, 20)


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


class Complaint(ValueError):
    """A validation error of a field, with one or several texts of Django REST framework or of Alyx."""


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
    """Accept a UUID, also as a number."""
    try:
        return str(uuid.UUID(int=value) if isinstance(value, int) else uuid.UUID(str(value)))
    except ValueError:
        raise Complaint("Must be a valid UUID.") from None


def read_url(taken: Taken, value: Any) -> str:
    """Accept a URL."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Complaint("Enter a valid URL.")
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
        "outcome": tuple("arn"),
        "importance": IMPORTANCES,
    }
    matching = [choice for choice in choices[taken.kind] if str(choice) == str(value)]
    if value == "" and taken.kind in ("sex", "outcome"):
        return ""
    if not matching:
        raise Complaint(f'"{value}" is not a valid choice.')
    return matching[0]


def read_email(taken: Taken, value: Any) -> str:
    """Accept an address of mail, or an empty text."""
    words = "Enter a valid email address."
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Complaint(words)
    text = read_text(taken, value)
    if text and not re.fullmatch(r"[^\s@]+@[\w-]+(\.[\w-]+)+", text):
        raise Complaint(words)
    return text


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
    **dict.fromkeys(("fov", "sex", "outcome", "importance"), read_choice),
    "email": read_email,
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


def read_link(taken: Taken, value: Any, exists: Exists) -> str:
    """Accept the address of a record that exists."""
    if not isinstance(value, str):
        raise Complaint(f"Incorrect type. Expected URL string, received {type(value).__name__}.")
    match = re.fullmatch(rf".*/{taken.target}/([^/]+)", urlsplit(value).path)
    if match is None or not value.startswith(("http", "/")):
        raise Complaint("Invalid hyperlink - No URL match.")
    if not exists(f"{taken.target}.{taken.key}", unquote(match[1])):
        raise Complaint("Invalid hyperlink - Object does not exist.")
    return f"{HOST}/{taken.target}/{match[1]}"


def read_key(taken: Taken, value: Any) -> Any:
    """Convert a value to the type of a key as Django does: any number is a UUID, and anything has a text."""
    kind = MODELS[taken.target].fields[taken.key].target
    if kind == "uuid":
        try:
            return str(uuid.UUID(int=value) if isinstance(value, int) else uuid.UUID(str(value)))
        except ValueError:
            raise Complaint(f"“{value}” is not a valid UUID.") from None
    if kind == "int":
        try:
            return int(value)
        except (TypeError, ValueError):
            raise Complaint("Invalid value.") from None
    return str(value)


def read_relation(taken: Taken, value: Any, exists: Exists) -> Any:
    """Accept a reference to a record that exists."""
    if taken.kind == "link":
        return read_link(taken, value, exists)
    if taken.kind == "pk" and isinstance(value, bool):
        raise Complaint("Incorrect type. Expected pk value, received bool.")
    key = read_key(taken, value)
    if exists(f"{taken.target}.{taken.key}", key):
        return key
    if taken.kind == "pk":
        raise Complaint(f'Invalid pk "{value}" - object does not exist.')
    raise Complaint(f"Object with {taken.key}={value} does not exist.")


def read_value(taken: Taken, value: Any, exists: Exists) -> Any:
    """Validate and convert the value of a field."""
    empty = (
        NOTHING if taken.kind == "bool" and taken.null else ("",) if taken.target and not taken.many else ()
    )
    if value is None or value in empty:
        if taken.null or taken.kind == "json":
            return None
        raise Complaint("This field may not be null.")
    if taken.many:
        given = list(value) if isinstance(value, dict) else read_list(taken, value)
        items = [read_relation(taken, item, exists) for item in given]
        return sorted(set(items)) if taken.target in ORDERED else list(dict.fromkeys(items))
    return read_relation(taken, value, exists) if taken.target else READ[taken.kind](taken, value)
