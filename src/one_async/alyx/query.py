"""Convert arguments to what Alyx expects: filters, ids, bodies. Pure except for `read_files`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from decimal import Decimal
from numbers import Integral
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from uuid import UUID

from one_async._addresses import normal_url, without_login
from one_async._arguments import as_list, plain
from one_async._arguments import text_of as scalar_text
from one_async.errors import InputError


def base_of(url: str) -> str:
    """Return the normal form of a server's address. Raise InputError for an address with a path."""
    base = normal_url(url)
    if urlsplit(base).path:
        accepted = "http(s)://host[:port], without path or credentials"
        raise InputError.of("base_url", without_login(url), accepted)
    return base


def with_id(filters: Mapping[str, Any], id: UUID | str | None) -> dict[str, Any]:
    """Restrict a list to one record, as ONE-api does. A list returns fewer fields than ``read``, and faster."""
    if id is None:
        return dict(filters)
    key = _id_text(id).rsplit("/", 1)[-1]
    if not key:
        raise InputError.of("id", id, "an id, or a URL that ends with one")
    parts = [part for part in (text_of("django", filters.get("django")), f"pk,{key}") if part]
    return {**filters, "django": ",".join(parts)}


#: Filters of which None may be a member: an open end, or null.
_WITH_NONE = frozenset({"date_range", "django"})


def params_of(filters: Mapping[str, Any]) -> dict[str, str]:
    """Return the query parameters of filters, without those that are None."""
    return {name: text for name, value in filters.items() if (text := text_of(name, value)) is not None}


def text_of(name: str, value: Any) -> str | None:
    """Return a filter's value as query text. Raise InputError for an empty one, which Alyx would ignore."""
    if value is None:
        return None
    texts = ["None" if one is None and name in _WITH_NONE else scalar_text(one) for one in as_list(value)]
    if None in texts:
        raise InputError.of(name, value, "text, numbers, dates, ids, or lists of these")
    text = ",".join(map(str, texts))
    if not text:
        raise InputError.of(name, value, "a value that is not empty (Alyx would return every row), or None")
    return text


def _id_text(id: object) -> str:
    """Return the text of an id, a name, a number or a URL."""
    key = plain(id)
    text = scalar_text(key) if isinstance(key, str | UUID | int) and not isinstance(key, bool) else None
    if text is None:
        raise InputError.of("id", id, "an id, a name, or a URL that ends with one")
    return text


def last_part(id: UUID | str | None, endpoint: str, action: str) -> str:
    """Return the id or name at the end of an id, path or URL, quoted for a path."""
    text = "" if id is None else _id_text(id).rstrip("/")
    last = text.rsplit("/", 1)[-1]
    if text.startswith(("http://", "https://")):
        last = unquote(last)
    if last in ("", ".", ".."):
        raise InputError.of("id", id, f"the id or name of one of {endpoint}, for {action}")
    with suppress(ValueError):
        last = str(UUID(last)) if len(last) in (32, 36) else last
    return quote(last, safe="")


def whole_number(name: str, given: object) -> int:
    """Parse ``limit`` or ``offset``."""
    text = str(given) if isinstance(given, str | Integral) and not isinstance(given, bool) else ""
    if not text.isdecimal() or (name == "limit" and int(text) == 0):
        raise InputError.of(name, given, "a whole number, 1 or more" if name == "limit" else "a whole number")
    return int(text)


def to_json_types(data: Any) -> Any:
    """Convert ids, dates and paths to text, and sets and tuples to lists, for JSON."""
    if isinstance(data, Mapping):
        return {str(key): to_json_types(value) for key, value in data.items()}
    if isinstance(data, list | tuple | set | frozenset):
        return [to_json_types(item) for item in data]
    if isinstance(data, date):
        return data.isoformat()
    if data is None or isinstance(data, str | int | float | bool):
        return data
    if isinstance(data, UUID | PurePath | Decimal):
        return str(data)
    if hasattr(data, "tolist"):  # arrays and scalars of numpy
        return to_json_types(data.tolist())
    raise InputError.of("data", data, "values of JSON, dates, ids and paths")


def form_of(data: Any) -> dict[str, Any]:
    """Return the fields of a multipart body: lists are repeated, dicts are JSON text, None is empty."""
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise InputError.of("data", data, "a dict, to be sent with files")
    fields: dict[str, Any] = {}
    for name, value in to_json_types(data).items():
        nested = isinstance(value, dict) or (
            isinstance(value, list) and any(isinstance(item, list | dict) for item in value)
        )
        fields[name] = json.dumps(value, allow_nan=False) if nested else value
    return fields


def read_files(files: Mapping[str, Any]) -> dict[str, Any]:
    """Read open files and paths; blocking. Raise InputError for anything but a dict by field name."""
    if not isinstance(files, Mapping):
        raise InputError.of(
            "files", files, "a dict of open files, paths, or pairs of a name and bytes, by field"
        )
    return {name: _read_file(name, file) for name, file in files.items()}


def _read_file(name: str, file: Any) -> Any:
    if isinstance(file, Path):
        return (file.name, file.read_bytes())
    if hasattr(file, "read"):
        return (Path(getattr(file, "name", name)).name, file.read())
    return file
