"""Search terms: their names, the values they accept, and the REST queries of a remote search.

Alyx ignores unknown filters, answers 500 to values that it cannot parse, and treats a list of subjects as a single name.
Therefore terms are checked and converted here before a request is made.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Set
from datetime import date
from numbers import Number
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

from one_async._arguments import as_list, date_range, plain, qc_name, text_of, texts, whole_number
from one_async.errors import InputError, closest, name_list, naming, shown

#: The session terms that every mode knows.
SESSION_TERMS: Final = (
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
    "model", "name", "json", "serial", "chronic_insertion", "session", "dataset", *SESSION_TERMS,
)  # fmt: skip
#: Common abbreviations of terms.
_SHORT_FORMS: Final = ("lab", "date", "project")
#: The least similarity of a term that is offered instead of an unknown one: ``number`` is not close to ``user``.
_CLOSE: Final = 0.65
#: Terms of ONE-api that have another name on the server.
REST_NAMES = {"laboratory": "lab", "project": "projects"}
#: Other names of terms. (The server's own filter `date` of insertions accepts only a single day.)
OTHER_NAMES = {"lab": "laboratory", "project": "projects", "date": "date_range"}
#: Terms whose lists mean "all of": the server interprets their comma lists in this way.
ALL_OF = frozenset({"datasets", "dataset_types"})
#: The terms of tables, and those that are converted to filters of the server, in addition to the server's own.
TABLE_TERMS = {"sessions": SESSION_TERMS, "insertions": INSERTION_TERMS}
OWN_TERMS = {"sessions": SESSION_TERMS, "insertions": (*SESSION_TERMS, "dataset")}
#: Terms whose values are ids, possibly thousands, and the fields with these ids. They become a django filter of the field,
#: since the server's filter of that name answers 400 to an unknown id.
BATCHED = {
    "id": "pk",
    "session": "session",
    "parent_session": "parent_session",
    "chronic_insertion": "chronic_insertion",
}
_TEXTS = frozenset({"subject", "laboratory", "projects", "task_protocol", "datasets"})
#: Filters of the server that accept only texts.
_NAMES = frozenset(
    {"users", "dataset_types", "name", "serial", "model", "tag", "location", "procedures", "nickname"}
    | {"atlas_acronym", "atlas_name", "narrative", "type"}
)
#: Terms whose values are checked by the functions that parse them.
_CHECKED_LATER = frozenset(
    {"date_range", "django", "limit", "offset", "dataset", "session", "chronic_insertion"}
)
EARLIEST, LATEST = date(1677, 9, 22), date(2262, 4, 11)  # what ONE-api sends for an open end
MOST_REQUESTS = 500
#: Number of ids that fit into a request line.
BATCH = 75
#: The most characters of a request's filters, escaped: Alyx refuses request lines of more than 4,094 bytes.
LONGEST = 3900
#: An id in a list, escaped.
ID_LENGTH = 50


def complete(term: str, terms: Collection[str] = SESSION_TERMS) -> str:
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
    near = found or closest(given, {*terms, *_SHORT_FORMS}, 3, _CLOSE) or sorted(terms)
    problem = "could mean several terms" if found else "is not a search term"
    raise InputError(f"{shown(term)} {problem}; accepted: {name_list(near)}", argument=term, given=term)


def complete_all(given: Mapping[str, Any], terms: Collection[str]) -> dict[str, Any]:
    """Return the terms that have a value under their full names. Raise InputError for two spellings of one term."""
    out: dict[str, Any] = {}
    for term, value in given.items():
        if value is None:
            continue
        name = complete(term, terms)
        name = OTHER_NAMES.get(name, name)
        if name in out:
            raise InputError(f"{term!r} is another spelling of {name!r}, which is given too", argument=term)
        value = plain(value)
        if isinstance(value, Iterator) or hasattr(value, "dtype"):
            value = as_list(value)
        with naming({name: term}):
            _check_given(name, value)
        out[name] = value
    return out


def _check_given(name: str, value: Any) -> None:
    """Raise InputError for values that no mode accepts: an empty list, or a name that is not a text."""
    members = as_list(value)
    nothing = [one for one in members if one is None or (isinstance(one, str) and not one)]
    if name not in {"date_range", "django"} and (not members or nothing):
        raise InputError.of(name, value, "a value, or a list of at least one")
    if name in _TEXTS:
        texts(value, name)
    if name == "chronic_insertion" and not all(isinstance(one, str | UUID) for one in members):
        raise InputError.of(name, value, "an id, or a list of ids")  # tables compare texts
    if name == "date_range":
        date_range(value)
    if name == "django":
        django(value)
    if name not in _TEXTS | _CHECKED_LATER:
        for one in members:
            _check(name, one)
    if name == "dataset" and (not isinstance(value, str) or text_of(value) is None):
        raise InputError.of("dataset", value, "text; use datasets= for a list")


def _number(kind: type[int] | type[float], value: Any, argument: str) -> str:
    try:
        if kind is int:
            return str(whole_number(value))
        if isinstance(value, bool) or not isinstance(value, str | Number):
            raise TypeError
        number = float(value)  # type: ignore[arg-type]
        if not math.isfinite(number):
            raise ValueError
        return str(number)
    except (TypeError, ValueError, OverflowError):
        wanted = "a whole number of at most 64 bits" if kind is int else "a finite number"
        raise InputError.of(argument, value, wanted) from None


def _uuid(value: Any, argument: str) -> str:
    try:
        return str(UUID(text_of(value) if isinstance(value, str | UUID) else ""))
    except (ValueError, TypeError):
        raise InputError.of(argument, value, "a UUID") from None


def _boolean(value: Any, argument: str) -> str:
    names = {"true": "True", "false": "False", "1": "True", "0": "False"}
    text = text_of(value) if isinstance(value, str | int) else None
    if text is None or text.casefold() not in names:
        raise InputError.of(argument, value, "True or False")
    return names[text.casefold()]


def django(value: Any, argument: str = "django") -> str:
    """Return a django filter as text, given as text or as a list in which fields and values alternate.

    Alyx answers 500 for an odd number of parts.
    """
    if isinstance(value, Set):
        raise InputError.of(argument, value, "a list, whose order is known")
    text = ",".join(_django_text(one, value, argument) for one in as_list(value))
    depth = parts = 0
    for letter in text:
        depth += letter in "[("
        depth -= letter in "])"
        parts += letter == "," and depth == 0
    if not text or parts % 2 == 0:
        raise InputError.of(
            argument, value, "pairs 'field__lookup,value', such as 'n_trials__gte,500,lab__name,mylab'"
        )
    return text


def _django_text(value: Any, given: Any, argument: str) -> str:
    """Return one part of a django filter; the values of a lookup such as ``__in`` may be a list."""
    if isinstance(value, list | tuple | set | frozenset):
        return "[" + ",".join(_django_item(one, given, argument) for one in value) + "]"
    text = "None" if value is None else text_of(value)
    if text is None:
        raise InputError.of(
            argument, given, "fields and values: text, numbers, dates, ids, None, and lists of these"
        )
    return text


def _django_item(value: Any, given: Any, argument: str) -> str:
    value = plain(value)
    if isinstance(value, list | tuple | set | frozenset):
        raise InputError.of(argument, given, "lists without lists in them")
    text = _django_text(value, given, argument)
    return text if value is None or isinstance(value, int | float) else repr(text)


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
    text = text_of(value) if isinstance(value, str) or name not in _NAMES else None
    if not text:
        raise InputError.of(
            name, value, "text or a list of texts" if name in _NAMES else "text, numbers, dates or ids"
        )
    return text


def rest_queries(terms: Mapping[str, Any]) -> list[dict[str, str]]:
    """Convert completed terms to the filters of one request, or of several whose answers are combined.

    A list means "any of" its members; most filters accept one value, so each member is a separate request. Lists of
    `datasets` and `dataset_types` mean "all of", in one request.
    """
    fixed: dict[str, str] = {}
    choices: dict[str, list[str]] = {}
    for term, value in terms.items():
        name = REST_NAMES.get(term, term)
        if term in {"limit", "offset"}:  # ONE-api's page size, which this library chooses itself
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
    """Return the filters of one request per combination; ids are sent in batches in a django filter."""
    listed = {field: choices.pop(name) for name, field in BATCHED.items() if name in choices}
    longest = {**fixed, **{name: max(values, key=len) for name, values in choices.items()}}
    room = _room_beside(longest)
    size = max(1, min(BATCH, room // ID_LENGTH) // max(1, len(listed)))
    batches = list(
        itertools.product(
            *([f"{field}__in,{batch}" for batch in value_batches(ids, size)] for field, ids in listed.items())
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


def _room_beside(filters: Mapping[str, str]) -> int:
    """Return how many characters a request has left beside these filters. Raises InputError, naming the longest, for none."""
    lengths = {name: len(name) + len(quote(text, errors="replace")) + 2 for name, text in filters.items()}
    room = LONGEST - sum(lengths.values())
    if room < 0:
        name = max(lengths, key=lengths.__getitem__)
        accepted = f"at most {LONGEST} characters, escaped, of all terms of a request together"
        raise InputError.of({"lab": "laboratory"}.get(name, name), filters[name], accepted)
    return room


def value_batches(values: Iterable[str], size: int = BATCH, max_length: int = 3600) -> Iterator[list[str]]:
    """Yield lists whose Python text, which Alyx evaluates, fits its request line of 4,094 bytes.

    A list has at most ``size`` values and, escaped, at most ``max_length`` characters. A value that is longer is alone.
    """
    batch: list[str] = []
    length = 0
    for value in values:
        escaped = len(quote(repr(value))) + len("%2C%20")
        if batch and (len(batch) == size or length + escaped > max_length):
            yield batch
            batch, length = [], 0
        batch.append(value)
        length += escaped
    if batch:
        yield batch


def insertion_queries(terms: Mapping[str, Any]) -> list[dict[str, str]]:
    """Convert completed terms of an insertions search to filters; `dataset` is a part of a dataset's name."""
    terms = dict(terms)
    more = [django(terms["django"])] if terms.get("django") else []
    if (part := terms.pop("dataset", None)) is not None:
        part = str(text_of(part))
        _room_beside({"dataset": part})
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
