"""Validate the arguments of a harvest. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, TypeAlias, get_args

from one_async._arguments import as_list
from one_async.errors import InputError
from one_async.types import DateLike

Format: TypeAlias = Literal["parquet", "delta", "frame"]
NAME = re.compile(r"[\w-]+")
#: Means every endpoint that lists records.
ALL = "all"
#: Means the time up to which the stored rows contain all changes.
LAST = "last"
#: Rows are read again from this much before that time, since a server's time stamps may have any time zone and clock error.
OVERLAP = timedelta(days=1)
Endpoints: TypeAlias = str | Iterable[str] | Mapping[str, Mapping[str, Any] | None]


def parse_options(
    to: object, since: DateLike | None, format: Format | None, part_rows: int
) -> tuple[Format, str | None]:
    """Return the format and the normalised ``since``. Raise InputError for invalid arguments."""
    kind: Format = format or ("frame" if to is None else "parquet")
    _check_arguments(kind, to, since, part_rows)
    return kind, None if since is None else LAST if _is_last(since) else parse_since(since)


def _is_last(since: object) -> bool:
    return isinstance(since, str) and since == LAST


def is_all(endpoints: object) -> bool:
    """Return whether every endpoint that lists records is requested."""
    names = [endpoints] if isinstance(endpoints, str) else endpoints
    return isinstance(names, list | tuple) and list(names) == [ALL]


def parse_endpoints(
    endpoints: Endpoints, filters: Mapping[str, Mapping[str, Any]] | None
) -> dict[str, Mapping[str, Any]]:
    """Return the filters by endpoint. Raise InputError for invalid names."""
    if isinstance(endpoints, Mapping):
        if not all(isinstance(given or {}, Mapping) for given in endpoints.values()):
            raise InputError.of(
                "endpoints", endpoints, "names of endpoints, each with a dictionary of its filters"
            )
        requested = {str(name): dict(given or {}) for name, given in endpoints.items()}
    else:
        names = as_list(endpoints)
        requested = {name: {} for name in names}
    if not requested or not all(isinstance(name, str) and NAME.fullmatch(name) for name in requested):
        raise InputError.of(
            "endpoints", endpoints, "names of endpoints, such as ['sessions', 'insertions'], or 'all'"
        )
    if not isinstance(filters or {}, Mapping):
        raise InputError.of("filters", filters, "a dictionary of the filters of each endpoint")
    for name, given in (filters or {}).items():
        if name not in requested:
            raise InputError.of(
                "filters", name, f"filters of the requested endpoints: {', '.join(requested)}"
            )
        requested[name] = {**requested[name], **given}
    return dict(requested)


def parse_since(since: DateLike) -> str:
    """Return a time in the form that Alyx's filters accept: naive, in UTC. Raise InputError for anything else."""
    try:
        moment = since if isinstance(since, date) else datetime.fromisoformat(since)
    except (TypeError, ValueError):
        raise InputError.of(
            "since", since, "a date or time, such as 2025-01-31 or 2025-01-31T12:00, or 'last'"
        ) from None
    if isinstance(moment, datetime) and moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)  # Alyx's times are naive UTC
    return moment.isoformat()


def _check_arguments(format: str, to: object, since: object, part_rows: int) -> None:
    if format not in get_args(Format):
        raise InputError.of("format", format, get_args(Format))
    if (format == "frame") != (to is None):
        raise InputError.of("to", to, "a folder or address for parquet and delta, None for frames in memory")
    if to is None and since is not None:
        raise InputError.of("since", since, "a harvest in a folder or object store (to=)")
    if isinstance(part_rows, bool) or not isinstance(part_rows, int) or part_rows < 1:
        raise InputError.of("part_rows", part_rows, "a whole number, 1 or more")
