"""Explanations of empty searches: the terms with names that the tables or the server do not have."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import suppress
from datetime import date
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio

from one_async._arguments import as_list, date_range, texts
from one_async._boundary import reading
from one_async.errors import InputError, OneError, closest, shown
from one_async.queries.terms import ALL_OF, INSERTION_TERMS, SESSION_TERMS, insertion_queries, rest_queries
from one_async.tables import query

if TYPE_CHECKING:
    import polars as pl

    from one_async.alyx.client import AsyncAlyxClient
    from one_async.tables.catalogue import Catalogue

#: The kind of thing that a term names, for texts.
NOUNS = {
    "laboratory": "lab",
    "subject": "subject",
    "projects": "project",
    "task_protocol": "task protocol",
    "users": "user",
    "dataset_types": "dataset type",
    "name": "insertion named",
    "serial": "insertion with the serial number",
    "model": "insertion with the model",
}
_COLUMNS = {
    "laboratory": "lab",
    "subject": "subject",
    "projects": "projects",
    "task_protocol": "task_protocol",
}
#: Filters with which services look for new records and expect empty answers.
_POLLS = re.compile(r"django|modified|datetime|created").search
_LONGEST, _LONGEST_NAME, _MOST_NAMES = 480, 60, 6
#: Seconds that the server may take to explain an empty answer.
PATIENCE = 5.0
#: Rows of the one page that is requested of a list.
_PAGE = 1000


def text_of_reasons(reasons: Iterable[str]) -> str | None:
    """Return the text of a warning, None without a reason."""
    text = " ".join(reason if reason.endswith("?") else f"{reason}." for reason in reasons)
    return (text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}...") or None


def is_poll(terms: Mapping[str, Any]) -> bool:
    """Return whether a search looks for new records, so that an empty answer needs no explanation."""
    return any(_POLLS(name) for name in terms)


# ---- in the tables


def reasons_in_tables(
    catalogue: Catalogue, endpoint: str, terms: Mapping[str, Any], *, wildcards: bool
) -> list[str]:
    """Return the reasons why no session, or insertion, of the tables meets all terms; blocking.

    There are none for tables without sessions, and for those with only the rows of earlier queries.
    """
    if catalogue.meta.is_partial or catalogue.session_frame.is_empty():
        return []
    known = set(SESSION_TERMS if endpoint == "sessions" else INSERTION_TERMS)
    if endpoint == "insertions" and catalogue.insertions().collect().is_empty():
        return []
    if not known >= terms.keys():
        return []
    absent, known_alone = [], 0
    for name, value in terms.items():
        try:
            if name in SESSION_TERMS:
                found = len(query.session_rows(catalogue, {name: value}, wildcards=wildcards))
            else:
                found = len(query.search_insertions(catalogue, wildcards=wildcards, **{name: value}))
        except (
            InputError
        ):  # an invalid expression, which the search did not evaluate since no session was left
            continue
        known_alone += 1
        if not found:
            absent.append((name, value))
    if absent:
        return [_reason_in_tables(catalogue, name, value, wildcards) for name, value in absent]
    if known_alone < max(len(terms), 2):
        return []
    return [f"each of the terms matches {endpoint} alone, but no {endpoint[:-1]} matches all of them"]


def _reason_in_tables(catalogue: Catalogue, name: str, value: Any, wildcards: bool) -> str:
    if name == "datasets":
        return _no_dataset(catalogue, texts(value, name), wildcards)
    if name == "date_range":
        there = _span("sessions", catalogue.session_frame["date"])
        return _no_day(*date_range(value)) or f"no session is {_days(*date_range(value))}{there}"
    if name == "number":
        there = _span("numbers", catalogue.distinct("number")[0])
        return f"no session has number={shown(value)}{there}"
    if name == "dataset_qc_lte":
        return f"no session has a dataset with the QC {shown(value)} or better"
    if name not in NOUNS:
        return f"no insertion has {name}={shown(value)}"
    return _no_name(name, texts(value, name), _words(catalogue, name), wildcards)


def _span(what: str, values: pl.Series) -> str:
    known: list[Any] = values.drop_nulls().sort().to_list()
    return f"; the {what} are from {known[0]} to {known[-1]}" if known else ""


def _words(catalogue: Catalogue, term: str) -> set[str]:
    """Return the names that a term can find."""
    if term in _COLUMNS:
        words: Iterable[str | None] = catalogue.distinct(_COLUMNS[term])[0]
    else:
        words = catalogue.others["insertions"][term].unique()
    names = {str(word) for word in words if word}
    return {part for word in names for part in word.split(",")} if term == "projects" else names


def _no_dataset(catalogue: Catalogue, wanted: list[str], wildcards: bool) -> str:
    table = catalogue.dataset_table
    if reason := _with_folder(wanted):
        return reason
    for name in wanted:
        if not query.has_name(table.names, name):
            return _no_file_name(
                f"no dataset is named {_quoted(name)}", name, set(table.names), patterns=True
            )
    some = f"datasets={shown(wanted[0] if len(wanted) == 1 else wanted)}"
    return f"no session has {'all of ' if len(wanted) > 1 else ''}{some} with an existing file of good QC"


# ---- at the server


async def reasons_at_server(alyx: AsyncAlyxClient, endpoint: str, terms: Mapping[str, Any]) -> list[str]:
    """Return the reasons why no session, or insertion, of the database meets all terms, as far as one request shows.

    Lists that are in the REST cache need no request, nor does a term that was the only one. There are none if the server
    does not answer soon.
    """
    reasons: list[str] = []
    before = alyx.request_counts[0]
    with suppress(OneError), reading("the server"), anyio.move_on_after(PATIENCE):
        for name, ask in _AT_SERVER.items():
            if name not in terms or alyx.request_counts[0] > before:
                continue
            if reason := await ask(alyx, endpoint, terms[name]):
                reasons.append(reason)
        for name in _ALONE:
            if name not in terms or (len(terms) > 1 and (reasons or alyx.request_counts[0] > before)):
                continue
            if len(terms) == 1 or await _finds_nothing(alyx, endpoint, name, terms[name]):
                reasons.append(_nothing_has(endpoint, name, terms[name]))
    return reasons


async def _finds_nothing(alyx: AsyncAlyxClient, endpoint: str, name: str, value: Any) -> bool:
    """Return whether a term alone finds nothing, as far as a request for one row tells."""
    queries = (rest_queries if endpoint == "sessions" else insertion_queries)({name: value})
    if len(queries) > 1:
        return False
    filters: dict[str, Any] = dict(queries[0])
    page = await alyx.page(endpoint, 1, 0, **filters)
    return page.count == 0 and not page.rows


def _nothing_has(endpoint: str, name: str, value: Any) -> str:
    if name in NOUNS and all(isinstance(one, str) for one in as_list(value)):
        return _no_name(name, as_list(value), ())
    return f"no {endpoint[:-1]} has {name}={shown(value)}"


async def _names_at_server(alyx: AsyncAlyxClient, endpoint: str, field: str) -> set[str]:
    """Return the names in a list of the server; none if it has too many for one page."""
    page = await alyx.page(endpoint, _PAGE, 0)
    return {str(row[field]) for row in page.rows if row.get(field)} if page.last else set()


async def _no_listed_name(
    term: str, listed: str, field: str, matches: Callable[[str, str], bool], /,
    alyx: AsyncAlyxClient, endpoint: str, value: Any,
) -> str | None:  # fmt: skip
    names = await _names_at_server(alyx, listed, field)
    wanted = [str(one) for one in as_list(value)]
    absent = [one for one in wanted if not any(matches(one.strip(), name) for name in names)]
    if not names or not absent or (len(absent) < len(wanted) and term not in ALL_OF):
        return None
    return _no_name(term, absent, names)


async def _no_subject(alyx: AsyncAlyxClient, endpoint: str, value: Any) -> str | None:
    wanted = [str(one) for one in as_list(value)]
    begins = wanted[0].strip()[:2]
    if len(wanted) != 1 or re.fullmatch(r"\w+", begins) is None:
        return None
    page = await alyx.page("subjects", _PAGE, 0, django=f"nickname__istartswith,{begins}")
    names = {str(row["nickname"]) for row in page.rows}
    is_same = _is_same if endpoint == "sessions" else _is_equal
    if not page.last or any(is_same(wanted[0].strip(), name) for name in names):
        return None
    return _no_name("subject", wanted, names, listed=False)


async def _no_dataset_type(alyx: AsyncAlyxClient, endpoint: str, value: Any) -> str | None:
    if reason := _with_folder(map(str, as_list(value))):
        return reason
    page = await alyx.page("dataset-types", _PAGE, 0)
    if not page.last or not page.rows:
        return None
    patterns = {row["name"]: row.get("filename_pattern") or f"*{row['name']}*" for row in page.rows}
    lower = [pattern.casefold() for pattern in patterns.values()]

    def is_file_name(name: str) -> bool:
        return any(fnmatchcase(name.casefold(), pattern) for pattern in lower)

    for name in map(str, as_list(value)):
        if is_file_name(name):
            continue
        problem = f"datasets={_quoted(name)} is no file name of a dataset type"
        if name in patterns:
            return f"{problem}; did you mean dataset_types={_quoted(name)}?"
        known = {_file_name(*one, name) for one in patterns.items()}
        return _no_file_name(problem, name, set(filter(is_file_name, known)), patterns=False)
    return None


def _file_name(name: str, pattern: str, asked: str) -> str:
    """Return a file name of a dataset type: its name with the suffix of its pattern, or with that of what was asked for."""
    suffix = re.search(r"[*.](\.\w+)$", pattern.replace(".*.", "*."))
    if suffix is not None:
        return f"{name}{suffix[1]}"
    return f"{name}.{asked.rpartition('.')[2]}" if pattern.endswith(".*") and asked.count(".") > 1 else name


async def _no_date(alyx: AsyncAlyxClient, endpoint: str, value: Any) -> str | None:
    start, end = date_range(value)
    if start > end:
        return _no_day(start, end)
    page = await alyx.page("sessions", 1, 0)
    latest = str(page.rows[0].get("start_time") or "")[:10] if page.rows else ""
    may_come = end >= date.today()
    if not latest or str(start) <= latest or may_come:
        return None
    return f"no session is {_days(start, end)}; the latest is of {latest}"


def _is_equal(asked: str, name: str) -> bool:
    return asked == name


def _is_same(asked: str, name: str) -> bool:
    return asked.casefold() == name.casefold()


def _is_part(asked: str, name: str) -> bool:
    return asked.casefold() in name.casefold()


_AT_SERVER: dict[str, Callable[[AsyncAlyxClient, str, Any], Awaitable[str | None]]] = {
    "laboratory": partial(_no_listed_name, "laboratory", "labs", "name", _is_same),
    "projects": partial(_no_listed_name, "projects", "projects", "name", _is_part),
    "users": partial(_no_listed_name, "users", "users", "username", _is_equal),
    "dataset_types": partial(_no_listed_name, "dataset_types", "dataset-types", "name", _is_equal),
    "datasets": _no_dataset_type,
    "subject": _no_subject,
    "date_range": _no_date,
}
#: Terms without a list of their values at the server; of several, the first is asked for.
_ALONE = ("task_protocol", "name", "serial", "model", "number", "chronic_insertion", "dataset")


# ---- texts


def _no_name(
    term: str, asked: list[str], names: Collection[str], wildcards: bool = False, *, listed: bool = True
) -> str:
    """Return the reason that nothing has one of the names: the nearest name, or the names if they are few."""
    said = " or ".join(map(_quoted, asked[:3])) + (f" or {len(asked) - 3} others" if len(asked) > 3 else "")
    text = f"no {NOUNS[term]} {said}"
    if wildcards and not set(asked).isdisjoint(names):
        return f"{text}, which is read as a regular expression; re.escape() makes it match the name itself"
    for one in asked:
        if near := closest(one, names):
            return f"{text}; did you mean {_quoted(near[0])}?"
    others = sorted(set(names) - set(asked))
    if listed and 0 < len(others) <= _MOST_NAMES:
        return f"{text}; there {'is' if len(others) == 1 else 'are'} {', '.join(map(_quoted, others))}"
    return text


def _no_day(start: date, end: date) -> str | None:
    """Return the reason that a range has no day, if it has none."""
    if start <= end:
        return None
    if start.toordinal() - end.toordinal() == 1:
        return "the range contains no midnight; a session counts as at midnight of its day"
    return f"the range begins on {start}, after its end on {end}"


def _days(start: date, end: date) -> str:
    if start == end:
        return f"of {start}"
    if end == date.max:
        return f"of {start} or later"
    return f"of {end} or earlier" if start == date.min else f"from {start} to {end}"


def _no_file_name(text: str, name: str, names: Collection[str], *, patterns: bool) -> str:
    """Return a reason with the nearest file name."""
    if patterns and name in names:
        return f"{text}, since it is read as a regular expression"
    near = closest(name, names)
    return f"{text}; did you mean {_quoted(near[0])}?" if near else text


def _with_folder(names: Iterable[str]) -> str | None:
    """Return the reason that a path names no dataset of a search; None if there is no path."""
    for name in names:
        folder, _, file = name.rpartition("/")
        if folder and file:
            text = f"datasets={_quoted(name)} has a folder, but a search takes file names"
            return f"{text}; did you mean {_quoted(file)}?"
    return None


def _quoted(name: str) -> str:
    return repr(name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}...")
