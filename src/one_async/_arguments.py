"""Parse arguments, one value or several, of the types of Python, numpy and table libraries: texts, numbers, dates, QC. Pure."""

from __future__ import annotations

import math
import os
import re
from calendar import monthrange
from collections.abc import Iterable, Mapping, Set
from datetime import date, datetime, timedelta
from decimal import Decimal
from numbers import Number
from pathlib import Path, PurePath
from typing import Any, Final
from uuid import UUID

from one_async.alf.spec import QC
from one_async.errors import InputError

#: Values that are not lists although some can be iterated over.
_SINGLE = (str, bytes, bytearray, memoryview, int, float, UUID, date, Mapping)
#: A month or day without its leading zero.
_SHORT: Final = re.compile(r"(?<=\d)-(\d{1,2})(?!\d)")
_PERIOD: Final = re.compile(r"(\d{4})(?:-(\d\d?))?")
_MIDNIGHT: Final = datetime.min.time()


def as_list(value: Any) -> list[Any]:
    """Return a value as a list: the members of an iterable; a list of one for a scalar or a frame."""
    if getattr(value, "ndim", None) == 0:
        return [plain(value)]
    if isinstance(value, _SINGLE) or hasattr(value, "columns") or not isinstance(value, Iterable):
        return [value]
    return [plain(one) for one in value]


def plain(value: Any) -> Any:
    """Return a numpy scalar or zero-dimensional array as a Python value, NaT as None, anything else unchanged."""
    if getattr(value, "ndim", None) != 0 or not hasattr(value, "item"):
        return value
    if value.dtype.kind != "M":
        return value.item()
    moment = value.astype("datetime64[us]").item()  # other units become numbers
    return moment if moment is None or isinstance(moment, date) else value


def text_of(value: Any) -> str | None:
    """Return the text of a str, number, date, id or path; None for NaN, infinity, lone surrogates, and anything else.

    The text of a member of an enumeration is that of its value.
    """
    try:
        if isinstance(value, str):
            str.encode(value)
            return str.__str__(value)
        if isinstance(value, int):
            return str(value) if isinstance(value, bool) else int.__repr__(value)
        if isinstance(value, float | Decimal):
            text = float.__repr__(value) if isinstance(value, float) else str(value)
            return text if math.isfinite(value) else None
    except ValueError:  # a lone surrogate; too many digits; a signalling NaN
        return None
    if isinstance(value, date):
        return value.isoformat() if value == value else None
    return str(value) if isinstance(value, UUID | PurePath) else None


def path_of(value: Any, argument: str) -> Path:
    """Return the path of an argument. Raises InputError for a value that is none."""
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str) or not text or "\0" in text:
        raise InputError.of(argument, value, "a path")
    return Path(text)


def texts(value: Any, argument: str) -> list[str]:
    """Return one string or several as a list. Raises InputError for anything else."""
    found = [text_of(item) if isinstance(item, str) else None for item in as_list(value)]
    good = [text for text in found if text is not None]
    if len(good) < len(found):
        raise InputError.of(argument, value, "text or a list of texts")
    return good


def numbers(value: Any, argument: str) -> list[int]:
    """Return one whole number or several, given as numbers or strings, as a list. Raises InputError for anything else."""
    try:
        return [whole_number(item) for item in as_list(value)]
    except (TypeError, ValueError, OverflowError):
        raise InputError.of(argument, value, "a whole number of at most 64 bits or a list of them") from None


def whole_number(value: Any) -> int:
    """Return a number, given as such or as a string, as an int.

    Raises ValueError, TypeError or OverflowError if it is not whole or does not fit 64 bits.
    """
    if isinstance(value, bool) or not isinstance(value, str | Number):
        raise TypeError("not a number")
    given: Any = value
    number = int(given)
    if (not isinstance(given, str) and number != given) or abs(number) >= 2**63:
        raise ValueError("not a whole number")
    return number


def date_range(value: Any) -> tuple[date, date]:
    """Return the first and last day of a range; a session counts as being at midnight of its day.

    Accepts one date (that day), a year ``yyyy`` or month ``yyyy-mm`` (all of its days), ``[from]``, or ``[from, to]`` with
    None for an open end; dates as ISO strings, date, datetime, numpy or pandas time stamps, and as arrays or Polars
    series. As in ONE-api, a range that begins after midnight excludes that day.
    """
    value = plain(value)
    if period := _period(value):
        return period
    if isinstance(value, str | date) or not isinstance(value, Iterable):
        moment = _moment(value)
        return _first_day(moment), (_a_day_later(moment) - timedelta(milliseconds=1)).date()
    ends = as_list(value)
    is_nan = all(
        isinstance(end, float) for end in ends
    )  # NaN leaves one end open, as in a row of pandas, not both
    if isinstance(value, Mapping | Set) or len(ends) not in (1, 2) or is_nan:
        raise InputError.of("date_range", value, "one date, or two of which either may be None")
    start, end = ends[0], ends[1] if len(ends) == 2 else None
    return (
        date.min if _is_open(start) else (_period(start) or (_first_day(_moment(start)),))[0],
        date.max if _is_open(end) else (_period(end) or (_moment(end).date(),))[-1],
    )


def _period(value: Any) -> tuple[date, date] | None:
    """Return the first and last day of a year ``yyyy`` or a month ``yyyy-mm``; None for anything else."""
    if not isinstance(value, str) or not (found := _PERIOD.fullmatch(value.strip())):
        return None
    year, month = int(found[1]), int(found[2]) if found[2] else None
    try:
        first = date(year, month or 1, 1)
        return first, date(year, month or 12, monthrange(year, month or 12)[1])
    except ValueError:
        raise InputError.of("date_range", value, "a year and a month that exist") from None


def _is_open(value: Any) -> bool:
    if value is None or _is_nat(value) or type(value).__name__ == "NAType":  # pandas' NA
        return True
    return isinstance(value, str) and value in ("", "NaT", "None")


def _is_nat(value: Any) -> bool:
    """Return whether a value is pandas' NaT or NaN, which are not equal to themselves."""
    return isinstance(value, date | float) and value != value


def _first_day(moment: datetime) -> date:
    return (moment if moment.time() == _MIDNIGHT else _a_day_later(moment)).date()


def _a_day_later(moment: datetime) -> datetime:
    """Return the time after 24 hours, or the last time that Python can represent."""
    return moment + timedelta(days=1) if moment.date() < date.max else datetime.max


def _moment(value: Any) -> datetime:
    """Parse one date or time, without a time zone."""
    if _is_nat(value):
        raise InputError.of("date_range", value, "a date")
    if hasattr(value, "to_pydatetime"):
        value = value.to_pydatetime(warn=False)
    found: datetime | None = None
    if isinstance(value, datetime):
        found = value
    elif isinstance(value, date):
        found = datetime.combine(value, _MIDNIGHT)
    elif isinstance(value, str):
        found = _parse(value)
    if found is None or found.tzinfo is not None:
        raise InputError.of(
            "date_range",
            value,
            "a date that exists, as 'YYYY-MM-DD' or date, or a datetime without time zone",
        )
    return found


def _parse(text: str) -> datetime | None:
    text = _SHORT.sub(lambda found: f"-{found[1]:0>2}", text.strip().replace("/", "-"))
    for attempt in (text, f"{text}-01", f"{text}-01-01"):  # a month or a year means its first day
        try:
            return datetime.fromisoformat(attempt)
        except ValueError:
            continue
    return None


def qc_name(value: Any, argument: str = "dataset_qc_lte") -> str:
    """Return the name of a QC level. Raises InputError for any other value."""
    try:
        is_level = isinstance(value, str | Number) and not isinstance(value, bool)
        return QC.validate(value if is_level else "").name
    except (ValueError, TypeError, AttributeError):
        raise InputError.of(argument, value, [level.name for level in QC]) from None


def check_details(details: object) -> None:
    """Raise InputError if the argument ``details`` of a search is a search term that was passed without its name."""
    if not isinstance(details, int) and type(details).__name__ != "bool":  # numpy's has the same name
        raise InputError.of(
            "details", details, "True or False; search terms are passed by name, such as lab='cortexlab'"
        )
