"""Search terms: their names, what they accept, and the REST queries that a remote search is made of.

Alyx ignores filters that it does not know, answers 500 to values that it cannot read, and takes a list of subjects for
one odd name. So all of that is settled here, before a request is made.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import Any
from uuid import UUID

from one_async.alf.spec import QC
from one_async.errors import InputError
from one_async.tables.arguments import (
    INSERTION_TERMS,
    SEARCH_TERMS,
    complete,
    date_range,
    qc_name,
    texts,
    whole_number,
)

#: Terms of ONE-api that have another name at the server.
REST_NAMES = {"laboratory": "lab", "project": "projects"}
#: Other names of terms; `date` is a filter of insertions, where it would take a single day.
OTHER_NAMES = {"lab": "laboratory", "project": "projects", "date": "date_range"}
#: Terms where a list means that all of its members must hold: the server reads their comma lists so.
ALL_OF = frozenset({"datasets", "dataset_types"})
#: The session terms that every mode knows.
SESSION_TERMS = SEARCH_TERMS
#: The terms that tables know, and those that the server is asked for in other words, beside its own filters.
TABLE_TERMS = {"sessions": SESSION_TERMS, "insertions": INSERTION_TERMS}
OWN_TERMS = {"sessions": SESSION_TERMS, "insertions": (*SESSION_TERMS, "dataset")}
#: Terms whose values are ids, of which there may be thousands, and the fields that they are the ids of. The server is asked
#: for them by field: a filter of its own answers 400 to an id that it does not know.
BATCHED = {
    "id": "pk",
    "session": "session",
    "parent_session": "parent_session",
    "chronic_insertion": "chronic_insertion",
}
_TEXTS = frozenset({"subject", "laboratory", "projects", "task_protocol", "datasets"})
#: Filters of the server that take texts alone.
_NAMES = frozenset(
    {"users", "dataset_types", "name", "serial", "model", "tag", "location", "procedures", "nickname"}
)
#: Terms whose values are checked where they are understood.
_CHECKED_LATER = frozenset(
    {"date_range", "django", "limit", "offset", "dataset", "session", "chronic_insertion"}
)
EARLIEST, LATEST = date(1677, 9, 22), date(2262, 4, 11)  # what ONE-api sends for an open end
MOST_REQUESTS = 500
#: So many ids fit a request line.
BATCH = 75
_SCALARS = (str, bytes, int, float, UUID, date, datetime, QC, Mapping)


def complete_all(given: Mapping[str, Any], terms: Collection[str]) -> dict[str, Any]:
    """Complete the names of all terms that have a value; two spellings of one term are refused."""
    out: dict[str, Any] = {}
    for term, value in given.items():
        if value is None:
            continue
        name = complete(term, terms)
        name = OTHER_NAMES.get(name, name)
        if name in out:
            raise InputError(f"{term!r} is another spelling of {name!r}, which is given too", argument=term)
        value = list(value) if isinstance(value, Iterator) else value
        _check_given(name, value)
        out[name] = value
    return out


def _check_given(name: str, value: Any) -> None:
    """Raise InputError for values that no mode accepts: an empty list, or a name that is not a text."""
    members = as_list(value)
    if name != "date_range" and (not members or any(isinstance(one, str) and not one for one in members)):
        raise InputError.of(name, value, "a value, or a list of at least one")
    if name in _TEXTS:
        texts(value, name)
    if name == "chronic_insertion" and not all(isinstance(one, str | UUID) for one in members):
        raise InputError.of(name, value, "an id, or a list of ids")  # tables are asked for a text
    if name not in _TEXTS | _CHECKED_LATER:
        for one in members:
            _check(name, one)
    if name == "dataset" and not isinstance(value, str):
        raise InputError.of("dataset", value, "text; use datasets= for a list")


def as_list(value: Any) -> list[Any]:
    """Return a value as a list: a scalar alone, anything else that can be iterated over as its members."""
    if isinstance(value, _SCALARS) or not isinstance(value, Iterable):
        return [value]
    return list(value)


def _number(kind: type[int] | type[float], value: Any, argument: str) -> str:
    try:
        if isinstance(value, bool):
            raise TypeError
        return str(whole_number(value) if kind is int else float(value))
    except (TypeError, ValueError, OverflowError):
        wanted = "a whole number" if kind is int else "a number"
        raise InputError.of(argument, value, wanted) from None


def _uuid(value: Any, argument: str) -> str:
    try:
        return str(UUID(str(value)))
    except ValueError:
        raise InputError.of(argument, value, "a UUID") from None


def _boolean(value: Any, argument: str) -> str:
    names = {"true": "True", "false": "False", "1": "True", "0": "False"}
    if str(value).casefold() not in names:
        raise InputError.of(argument, value, "True or False")
    return names[str(value).casefold()]


def django(value: Any, argument: str = "django") -> str:
    """Check the shape of a django filter: pairs of field and value, as text or as a list of both in turn.

    Alyx answers 500 for an odd number of parts.
    """
    text = value if isinstance(value, str) else ",".join(map(str, as_list(value)))
    depth = parts = 0
    for letter in text:
        depth += letter in "[("
        depth -= letter in "])"
        parts += letter == "," and depth == 0
    if text and parts % 2 == 0:
        raise InputError.of(
            argument, value, "pairs 'field__lookup,value', such as 'n_trials__gte,500,lab__name,mylab'"
        )
    return text


CHECKS: dict[str, Callable[[Any, str], str]] = {
    "number": lambda value, name: _number(int, value, name),
    "n_trials": lambda value, name: _number(int, value, name),
    "n_correct_trials": lambda value, name: _number(int, value, name),
    "experiment_number": lambda value, name: _number(int, value, name),
    "performance_lte": lambda value, name: _number(float, value, name),
    "performance_gte": lambda value, name: _number(float, value, name),
    "atlas_id": lambda value, name: _number(int, value, name),
    "qc": qc_name,
    "dataset_qc_lte": qc_name,
    "id": _uuid,
    "session": _uuid,
    "parent_session": _uuid,
    "chronic_insertion": _uuid,
    "histology": _boolean,
    "django": django,
}
_SINGLE = frozenset(
    {"performance_lte", "performance_gte", "dataset_qc_lte", "histology", "django", "json", "extended_qc"}
)


def _check(name: str, value: Any) -> str:
    check = CHECKS.get(name)
    if check:
        return check(value, name)
    accepted = str if name in _NAMES else (str, int, float, UUID, date, QC)
    if not isinstance(value, accepted):
        raise InputError.of(name, value, "text or a list of texts")
    return str(value)


def rest_queries(terms: Mapping[str, Any]) -> list[dict[str, str]]:
    """Turn completed terms into the filters of one request, or of several whose answers belong together.

    A list means "any of" its members, which for most filters the server cannot be asked in one go: a request each.
    Lists of `datasets` and `dataset_types` mean "all of", in one request.
    """
    fixed: dict[str, str] = {}
    choices: dict[str, list[str]] = {}
    for term, value in terms.items():
        name = REST_NAMES.get(term, term)
        if term in {"limit", "offset"}:  # ONE-api's page size: pages are this library's own business
            continue
        if term == "date_range":
            start, end = date_range(value)
            fixed[name] = f"{max(start, EARLIEST)},{min(end, LATEST)}"
        elif term == "django":
            fixed[name] = django(value)
        elif term in _SINGLE:
            if len(as_list(value)) != 1 and term not in {"json", "extended_qc"}:
                raise InputError.of(term, value, "a single value")
            fixed[name] = ",".join(_check(term, item) for item in as_list(value))
        else:
            members = list(dict.fromkeys(_check(term, item) for item in as_list(value)))
            if term in ALL_OF:
                fixed[name] = ",".join(members)
            else:
                choices[name] = members
    return _product(fixed, choices)


def _product(fixed: dict[str, str], choices: dict[str, list[str]]) -> list[dict[str, str]]:
    """One request for each combination; ids go in batches instead, by a django filter."""
    listed = {field: choices.pop(name) for name, field in BATCHED.items() if name in choices}
    size = BATCH // max(1, len(listed))
    batches = list(
        itertools.product(
            *([f"{field}__in,{batch}" for batch in id_batches(ids, size)] for field, ids in listed.items())
        )
    )
    combinations = [
        dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())
    ]
    if len(combinations) > 1 and len(combinations) * len(batches) > MOST_REQUESTS:
        lists = ", ".join(f"{name} ({len(values)})" for name, values in choices.items())
        raise InputError(
            f"these lists have {len(combinations)} combinations: {lists}; "
            f"accepted: up to {MOST_REQUESTS}; leave the longest list out and filter the frame of details=True"
        )
    queries = []
    for batch in batches:
        pairs = ",".join(filter(None, [fixed.get("django"), *batch]))
        more = {"django": pairs} if pairs else {}
        queries += [{**fixed, **more, **choice} for choice in combinations]
    return queries


def id_batches(ids: Iterable[str], size: int = BATCH) -> Iterable[list[str]]:
    """Cut ids into lists whose Python text, which Alyx evaluates, fits its request line of 4,094 bytes."""
    remaining = iter(ids)
    while batch := list(itertools.islice(remaining, size)):
        yield batch


def insertion_queries(terms: Mapping[str, Any]) -> list[dict[str, str]]:
    """Turn completed terms of an insertions search into filters; `dataset` is a part of a dataset's name."""
    terms = dict(terms)
    more = [django(terms["django"])] if terms.get("django") else []
    if (part := terms.pop("dataset", None)) is not None:
        more.append(f"datasets__name__icontains,{part}")
    if (days := terms.pop("date_range", None)) is not None:  # the endpoint has no such filter
        first, last = date_range(days)
        field = "session__start_time__date"
        more.append(f"{field}__gte,{max(first, EARLIEST)},{field}__lte,{min(last, LATEST)}")
    if more:
        terms["django"] = ",".join(more)
    queries = rest_queries(terms)
    return [
        {{"projects": "project", "number": "experiment_number"}.get(k, k): v for k, v in q.items()}
        for q in queries
    ]
