"""What callers give, written as Alyx reads it: filters, ids, bodies. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import date
from numbers import Integral, Number
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from uuid import UUID

from one_async._stored import without_login
from one_async.errors import InputError


def base_of(url: str) -> str:
    """Check a server's address; gives it in one form, without a slash at its end."""
    accepted = "http(s)://host[:port], without path or credentials"
    try:
        parts = urlsplit(url.strip())
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except (ValueError, AttributeError):
        raise InputError.of("base_url", without_login(url), accepted) from None
    if not known or "@" in parts.netloc or parts.query or parts.fragment or parts.path.strip("/"):
        raise InputError.of("base_url", without_login(url), accepted)
    return f"{parts.scheme}://{parts.netloc.lower()}"


def with_id(filters: Mapping[str, Any], id: UUID | str | None) -> dict[str, Any]:
    """Narrow a list to one record, as ONE-api does: lists give less of a record than ``read``, and faster."""
    if id is None:
        return dict(filters)
    parts = [p for p in (text_of("django", filters.get("django")), f"pk,{str(id).rsplit('/', 1)[-1]}") if p]
    return {**filters, "django": ",".join(parts)}


#: What Alyx reads as it is written.
_WRITABLE = (str, Number, UUID, PurePath)


def params_of(filters: Mapping[str, Any]) -> dict[str, str]:
    return {name: text for name, value in filters.items() if (text := text_of(name, value)) is not None}


def text_of(name: str, value: Any) -> str | None:
    """Write a filter's value as Alyx reads it; refuse empty ones, which Alyx takes for no filter at all."""
    if value is None:
        return None
    if isinstance(value, date):
        text = value.isoformat()
    elif isinstance(value, _WRITABLE):
        text = str(value)
    elif isinstance(value, Iterable) and not isinstance(value, Mapping | bytes):
        text = ",".join(text_of(name, item) or "None" for item in value)
    else:
        raise InputError.of(name, value, "text, numbers, dates, ids, or lists of these")
    if not text:
        raise InputError.of(name, value, "something not empty (Alyx would give every row), or None")
    return text


def last_part(id: UUID | str | None, endpoint: str, action: str) -> str:
    text = "" if id is None else str(id).rstrip("/")
    last = text.rsplit("/", 1)[-1]
    if text.startswith(("http://", "https://")):
        last = unquote(last)
    if last in ("", ".", ".."):
        raise InputError.of("id", id, f"the id or name of one of {endpoint}, for {action}")
    with suppress(ValueError):
        last = str(UUID(last)) if len(last) in (32, 36) else last
    return quote(last, safe="")


def whole(name: str, given: object) -> int:
    text = str(given) if isinstance(given, str | Integral) and not isinstance(given, bool) else ""
    if not text.isdecimal() or (name == "limit" and int(text) == 0):
        raise InputError.of(name, given, "a whole number, 1 or more" if name == "limit" else "a whole number")
    return int(text)


def plain(data: Any) -> Any:
    """Make ids, dates and paths text, as JSON has neither."""
    if isinstance(data, Mapping):
        return {str(key): plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple | set | frozenset):
        return [plain(item) for item in data]
    if isinstance(data, date):
        return data.isoformat()
    if data is None or isinstance(data, str | int | float | bool):
        return data
    if isinstance(data, _WRITABLE):
        return str(data)
    if hasattr(data, "tolist"):  # arrays and scalars of numpy
        return plain(data.tolist())
    raise InputError.of("data", data, "what JSON can hold, dates, ids and paths")


def read_files(files: Mapping[str, Any]) -> dict[str, Any]:
    """Read open files and paths, in a thread, so that nothing is read while the event loop waits."""
    return {name: read_file(name, given) for name, given in files.items()}


def read_file(name: str, given: Any) -> Any:
    if isinstance(given, Path):
        return (given.name, given.read_bytes())
    if hasattr(given, "read"):
        return (Path(getattr(given, "name", name)).name, given.read())
    return given
