"""Parse the values of search terms: names, strings, numbers, dates and QC levels."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Collection, Iterable, Mapping, Set
from datetime import date, datetime, timedelta
from numbers import Number
from typing import Any, Final

from one_async._arguments import as_list, plain, text_of
from one_async.alf.spec import QC
from one_async.errors import InputError, name_list, shown

__all__ = ["INSERTION_TERMS", "SEARCH_TERMS", "complete", "date_range", "numbers", "texts"]

SEARCH_TERMS: Final = (
    "datasets",
    "date_range",
    "laboratory",
    "number",
    "projects",
    "subject",
    "task_protocol",
    "dataset_qc_lte",
)
INSERTION_TERMS: Final = (
    "model", "name", "json", "serial", "chronic_insertion", "session", "dataset", *SEARCH_TERMS,
)  # fmt: skip
#: Common abbreviations of terms.
_SHORT_FORMS: Final = ("lab", "date", "project")
#: A month or day without its leading zero.
_SHORT: Final = re.compile(r"(?<=\d)-(\d{1,2})(?!\d)")
_PERIOD: Final = re.compile(r"(\d{4})(?:-(\d\d?))?")
#: The least similarity of a term that is offered instead of an unknown one: ``number`` is not close to ``user``.
_CLOSE: Final = 0.65
_MIDNIGHT: Final = datetime.min.time()


def complete(term: str, terms: Collection[str] = SEARCH_TERMS) -> str:
    """Return the full name of a term: the term itself, or the only one that begins with it, ignoring case.

    Raises InputError with the candidates if there is none or more than one.
    """
    given = term.casefold()
    if given in terms:
        return given
    found = sorted({name for name in terms if name.casefold().startswith(given)})
    if set(found) == {"project", "projects"}:  # two names of one filter
        return "projects"
    if len(found) == 1:
        return found[0]
    from difflib import get_close_matches

    near = (
        found
        or get_close_matches(given, sorted({*terms, *_SHORT_FORMS}), n=3, cutoff=_CLOSE)
        or sorted(terms)
    )
    problem = "could mean several terms" if found else "is not a search term"
    raise InputError(f"{shown(term)} {problem}; accepted: {name_list(near)}", argument=term, given=term)


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
        return _first_day(moment), (moment + timedelta(days=1) - timedelta(milliseconds=1)).date()
    ends = as_list(value)
    if isinstance(value, Mapping | Set) or len(ends) not in (1, 2):
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
    return value is None or _is_nat(value) or (isinstance(value, str) and value in ("", "NaT", "None"))


def _is_nat(value: Any) -> bool:
    """Return whether a value is pandas' NaT, which is not equal to itself."""
    return isinstance(value, date) and value != value


def _first_day(moment: datetime) -> date:
    return moment.date() if moment.time() == _MIDNIGHT else moment.date() + timedelta(days=1)


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
