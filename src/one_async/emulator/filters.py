"""The filters of each list: query parameters to SQL, by the rules of models.txt."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from .lookups import Exists, Failed, Query, Scope, parse_pairs, parse_value
from .models import CHOICES, FOV_PROVENANCE, MODELS, QC, Model

__all__ = ["Given", "Refused", "compile_query", "rules"]


class Refused(Exception):
    """400: values that a typed filter does not take; ``messages`` maps each query key to its complaints."""

    def __init__(self, messages: dict[str, list[str]]) -> None:
        super().__init__(messages)
        self.messages = messages


def boolean(text: str) -> bool | None:
    """Read a boolean query value; None where it cannot be read (and the filter is ignored)."""
    return {"true": True, "1": True, "false": False, "0": False}.get(text.lower())


def choice(name: str, text: str) -> int:
    """Find a named choice in any case."""
    for label, number in CHOICES[name].items():
        if label.lower() == text.lower():
            return number
    raise Failed(f"Invalid{name}, choices are: {', '.join(CHOICES[name])}")


def quality(text: str) -> int:
    """Read a QC name or number."""
    if text.isdigit() and int(text) in QC.values():
        return int(text)
    if text.upper() not in QC:
        raise Failed(f"{text} is not a valid QC")
    return QC[text.upper()]


def typed(kind: str, text: str) -> Any:
    """Read a value of a typed filter; ValueError with Django's complaint."""
    if kind in ("number", "int", "float"):
        try:
            return float(text)
        except ValueError:
            raise ValueError("Enter a number.") from None
    if kind == "uuid":
        try:
            return str(uuid.UUID(text))
        except ValueError:
            raise ValueError("Enter a valid UUID.") from None
    if kind in ("time", "datetime", "date"):
        try:
            datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"Enter a valid {'date' if kind == 'date' else 'date/time'}.") from None
    return text


# ---- the filters with rules of their own ----

Given = Mapping[str, str]
Special = Callable[..., None]
SPECIAL: dict[str, Special] = {}


def special(function: Special) -> Special:
    """Make a function known as the rule ``!name`` of `models`; it adds conditions to a query."""
    SPECIAL[function.__name__.removeprefix("_")] = function
    return function


@special
def _django(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    pairs = parse_pairs(value)
    scope: Scope = {}
    excluded = {key[1:]: item for key, item in pairs.items() if key.startswith("~")}
    if excluded:
        inner, inner_scope = Query(query.model), Scope()
        for key, item in excluded.items():
            inner.lookup(key, item, inner_scope)
        query.add(f"t0.row NOT IN ({inner.select()})", *inner.params)
    for key, item in pairs.items():
        if not key.startswith("~"):
            query.lookup(key, item, scope)
    query.distinct = True


@special
def _json(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    for key, item in parse_pairs(value).items():
        query.lookup(f"{name}__{key}", item)


@special
def _choice(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    query.lookup(name, choice(name, value))


@special
def _fov_provenance(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    if value not in FOV_PROVENANCE:
        raise Failed("sequence item 0: expected str instance, __proxy__ found")
    query.lookup(name, FOV_PROVENANCE[value])


@special
def _date_range(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    bounds = value.split(",")
    if len(bounds) < 2:
        raise Failed("list index out of range")
    query.lookup("start_time__date__gte", bounds[0])
    query.lookup("start_time__date__lte", bounds[1])


@special
def _no_start_time(query: Query, name: str, value: str, given: Given, *choices: str) -> None:
    raise Failed(
        f"Cannot resolve keyword 'start_time' into field. Choices are: {choices[0].replace(',', ', ')}"
    )


def _all_of(query: Query, path: str, names: list[str], **more: Any) -> None:
    """Keep rows that have related rows of all the names."""
    inner, scope = Query(query.model), Scope()
    inner.lookup(f"{path}__in", names, scope)
    for key, item in more.items():
        inner.lookup(key, item, scope)
    counted = inner.walk(path, scope).sql
    having = f" GROUP BY t0.row HAVING count(DISTINCT {counted}) >= {len(names)}"
    query.add(f"t0.row IN ({inner.select(having)})", *inner.params)


@special
def _users(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    _all_of(query, "users__username", value.split(","))


def _relation(query: Query) -> str:
    return "data_dataset_session_related" if query.model.name == "sessions" else "datasets"


@special
def _dataset_types(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    path = f"{_relation(query)}__dataset_type__name"
    _all_of(query, path, value.split(","))


@special
def _datasets(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    path = _relation(query)
    more: dict[str, Any] = {f"{path}__qc__lte": quality(given.get("dataset_qc_lte") or "FAIL")}
    if query.model.name == "sessions":
        more[f"{path}__file_records__data_repository__globus_is_personal"] = False
        more[f"{path}__file_records__exists"] = True
    _all_of(query, f"{path}__name", value.split(","), **more)


@special
def _dataset_qc_lte(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    limit = quality(value)
    if not given.get("datasets"):
        query.lookup(f"{_relation(query)}__qc__lte", limit)


@special
def _performance(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    operator = ">=" if name.endswith("gte") else "<="
    query.add(
        f"t0.n_trials IS NOT NULL AND 100 * t0.n_correct_trials / t0.n_trials {operator} ?", float(value)
    )


@special
def _flag(query: Query, name: str, value: str, given: Given, path: str) -> None:
    """Filter by whether some related row has a value, whatever the number of such rows."""
    wanted = boolean(value)
    if wanted is None:
        return
    inner, scope = Query(query.model), Scope()
    for pair in path.split(";"):
        key, text = pair.split("=")
        inner.lookup(key, parse_value(text), scope)
    operator = "IN" if wanted else "NOT IN"
    query.add(f"t0.row {operator} ({inner.select()})", *inner.params)


@special
def _atlas(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    """Find rows with a channel of an aligned track, or a default location, in a region or below it."""
    test = {"atlas_acronym": "fold(b.acronym) = fold(?)", "atlas_id": "b.id = ?"}.get(
        name, "instr(fold(b.name), fold(?)) > 0"
    )
    regions = (
        'SELECT d.id FROM "brain-regions" b JOIN "brain-regions" d ON d.lft BETWEEN b.lft AND b.rght'
        f" WHERE {test}"
    )
    tracks = (
        "SELECT {column} FROM channels c JOIN trajectories j ON j.id = c.trajectory_estimate"
        f" WHERE j.provenance = 70 AND c.brain_region IN ({regions})"
    )
    views = (
        'SELECT l.field_of_view FROM "fov-location" l JOIN "fov-location.brain_region" r ON r.row = l.row'
        f" WHERE l.default_provenance AND r.value IN ({regions})"
    )
    scope: Scope = {}
    number: Any = float(value) if name == "atlas_id" else value
    if query.model.name == "sessions":
        probe, view = query.walk("probe_insertion", scope).sql, query.walk("field_of_view", scope).sql
        inside = tracks.format(column="j.probe_insertion")
        query.add(f"({probe} IN ({inside}) OR {view} IN ({views}))", number, number)
    elif query.model.name in ("fields-of-view", "imaging-stack"):
        path = "id" if query.model.name == "fields-of-view" else "slices__id"
        query.add(f"{query.walk(path, query.to_one).sql} IN ({views})", number)
    else:
        chronic = query.model.name == "chronic-insertions"
        column = "j.chronic_insertion" if chronic else "j.probe_insertion"
        query.add(f"t0.id IN ({tracks.format(column=column)})", number)


@special
def _exists(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    wanted, scope = boolean(value), Scope()
    if wanted is not None:
        query.lookup("file_records__exists", wanted, scope)
        query.lookup("file_records__data_repository__globus_is_personal", False, scope)
        query.distinct = True


@special
def _water_restricted(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    begun, ended = (f"actions_waterrestrictions__{end}_time__isnull" for end in ("start", "end"))
    query.lookup("death_date__isnull", True)
    _flag(query, name, value, given, f"{begun}=False;{ended}=True")


@special
def _of_insertion(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    if not query.exists("insertions", value):
        raise Failed("ProbeInsertion matching query does not exist.")
    query.lookup("probe_insertion__id", value)


@special
def _any_dataset(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    query.lookup("datasets__in", value.split(","))
    query.distinct = True


@special
def _ancestors(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    if not query.exists("brain-regions.acronym", value):
        raise Failed("BrainRegion matching query does not exist.")
    inside = "b.acronym = ? AND t0.lft <= b.lft AND t0.rght >= b.rght AND t0.id != 0"
    query.add(f'EXISTS (SELECT 1 FROM "brain-regions" b WHERE {inside})', value)


@special
def _nothing(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    query.add("0")


# ---- the whole query ----

NO_CHOICE = "Select a valid choice. That choice is not one of the available choices."


@cache
def rules(endpoint: str) -> dict[str, str]:
    """Give the rule of each query key: the declared ones first, then every field of the model, exact."""
    model = MODELS[endpoint]
    plain = {f.name: f"{f.name} exact" for f in model.fields.values() if f.kind != "<" and f.target != "json"}
    return {
        **model.filters,
        **{name: rule for name, rule in plain.items() if not model.plain and name not in model.filters},
    }


def check(model: Model, name: str, kind: str, text: str, exists: Exists) -> None:
    """Raise ValueError with Django's complaint about a value that a typed filter does not take."""
    if kind != "exact":
        typed(kind, text)
        return
    field_ = model.fields[name]
    if field_.kind == ":":
        typed(field_.target, text)
        if name == "sex" and text not in ("M", "F", "U"):
            raise ValueError(f"Select a valid choice. {text} is not one of the available choices.")
        return
    if MODELS[field_.target].fields["id"].target == "uuid":
        try:
            uuid.UUID(text)
        except ValueError:
            raise ValueError(f"“{text}” is not a valid UUID.") from None
    if not exists(field_.target, text):
        raise ValueError(NO_CHOICE)


def compile_query(endpoint: str, given: Given, exists: Exists) -> Query:
    """Turn query parameters into a query; Refused where Alyx says 400, Failed where it says 500.

    ``exists(model, id)`` tells whether a row exists: foreign keys must point at something.
    """
    query = Query(MODELS[endpoint], exists=exists)
    if endpoint == "imaging-stack":
        # A stack comes once for each of its slices (the page's count does not see that)
        query.walk("slices__id", query.to_one)
    refused: dict[str, list[str]] = {}
    active = [
        (name, rule.split(" "), given[name]) for name, rule in rules(endpoint).items() if given.get(name)
    ]
    for name, (_, *kinds), text in active:
        try:
            check(query.model, name, kinds[0] if kinds else "text", text, exists)
        except ValueError as error:
            refused[name] = [str(error)]
    if refused:
        raise Refused(refused)
    for name, (path, *args), text in active:
        if path.startswith("!"):
            SPECIAL[path[1:]](query, name, text, given, *args[1:])
            continue
        kind = Query(query.model).walk(path, {}).type
        value = boolean(text) if kind == "bool" else text
        if value is not None:
            query.lookup(path, value)
            query.distinct |= "distinct" in args
    return query
