"""Query strings to SQL: the filters of each endpoint, and Django's lookups along the relations between models.

Each filter opens a scope of its own: within one scope a to-many relation is joined once, between scopes anew, which
is why Alyx repeats rows (and counts the repetitions) for filters such as ``projects=``.
"""

from __future__ import annotations

import ast
import json
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from .models import CHOICES, FOV_PROVENANCE, MODELS, QC, Field, Model, table_name

__all__ = ["FUNCTIONS", "Failed", "Query", "Refused", "compile_query"]

Scope = dict[str, str]
Exists = Callable[[str, Any], bool]


class Refused(Exception):
    """400: values that a typed filter does not take; ``messages`` maps each query key to its complaints."""

    def __init__(self, messages: dict[str, list[str]]) -> None:
        super().__init__(messages)
        self.messages = messages


class Failed(Exception):
    """500: what Alyx says when its own code or the database stumbles over a value."""


@dataclass(frozen=True)
class Place:
    """Where a path ends: an SQL expression, its type and the parts of the path that are left."""

    sql: str
    type: str
    rest: tuple[str, ...]


@dataclass
class Query:
    """A SELECT on one model that grows by joins and conditions."""

    model: Model
    joins: list[str] = field(default_factory=list)
    where: list[str] = field(default_factory=list)
    params: list[Any] = field(default_factory=list)
    distinct: bool = False
    to_one: Scope = field(default_factory=dict)
    exists: Exists = field(default=lambda model, key: True)

    def join(self, model: str, condition: str) -> str:
        """Join a model on a condition, in which ``{t}`` stands for its alias."""
        alias = f"t{len(self.joins) + 1}"
        self.joins.append(f"LEFT JOIN {table_name(*model.split('/'))} {alias} ON {condition.format(t=alias)}")
        return alias

    def follow(self, alias: str, owner: Model, relation: Field, scope: Scope) -> str:
        """Join what a relation points at; give its alias."""
        known = self.to_one if relation.kind == ">" else scope
        place = f"{alias}.{relation.name}"
        if place not in known:
            target, key = MODELS[relation.target], relation.key
            if relation.kind == ">":
                known[place] = self.join(target.name, f'{{t}}."{key}" = {alias}."{relation.name}"')
            elif relation.kind == "*":
                link = self.join(f"{owner.name}/{relation.name}", f"{{t}}.row = {alias}.row")
                known[place] = self.join(target.name, f'{{t}}."{key}" = {link}.value')
            else:
                back = target.fields[key]
                if back.kind == ">":
                    known[place] = self.join(target.name, f'{{t}}."{key}" = {alias}."{back.key}"')
                else:
                    link = self.join(f"{target.name}/{key}", f'{{t}}.value = {alias}."{back.key}"')
                    known[place] = self.join(target.name, f"{{t}}.row = {link}.row")
        return known[place]

    def walk(self, path: str, scope: Scope) -> Place:
        """Follow a path of fields joined by ``__``."""
        model, alias = self.model, "t0"
        parts = path.split("__")
        while True:
            part, *parts = parts
            part = "id" if part == "pk" else part
            found = model.fields.get(part) or (model.fields.get(part[:-3]) if part.endswith("_id") else None)
            if found is None:
                choices = ", ".join(sorted(model.fields))
                raise Failed(f"Cannot resolve keyword '{part}' into field. Choices are: {choices}")
            if found.kind == ":":
                return Place(f'{alias}."{found.name}"', found.target, tuple(parts))
            if found.kind == ">" and parts[:1] == ["isnull"]:
                return Place(f'{alias}."{found.name}"', "text", tuple(parts))
            alias, model = self.follow(alias, model, found, scope), MODELS[found.target]
            if not parts or (parts[0] in LOOKUPS and parts[0] not in model.fields):
                pk = model.fields.get("id") or model.columns[0]
                return Place(f'{alias}."{pk.name}"', pk.target, tuple(parts))

    def add(self, sql: str, *params: Any) -> None:
        """Add a condition."""
        self.where.append(sql)
        self.params.extend(params)

    def lookup(self, path: str, value: Any, scope: Scope | None = None) -> None:
        """Add one Django lookup, such as ``subject__nickname__icontains``."""
        place = self.walk(path, {} if scope is None else scope)
        self.add(*(json_condition(place, value) if place.type == "json" else condition(place, value)))

    def sql(self) -> tuple[str, list[Any]]:
        """Write the SELECT of row numbers in the server's order."""
        order = []
        for name in self.model.order:
            place = self.walk(name.removeprefix("-"), {})
            order.append(place.sql + (" DESC NULLS FIRST" if name.startswith("-") else " ASC NULLS LAST"))
        order.append("t0.row")
        body = f"FROM {table_name(self.model.name)} t0 {' '.join(self.joins)}"
        body += f" WHERE {' AND '.join(self.where)}" if self.where else ""
        group = " GROUP BY t0.row" if self.distinct else ""
        return f"SELECT t0.row {body}{group} ORDER BY {', '.join(order)}", self.params  # noqa: S608


# ---- lookups ----

COMPARE = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
TEXT = {
    "iexact": "fold({c}) = fold(?)",
    "contains": "instr({c}, ?) > 0",
    "icontains": "instr(fold({c}), fold(?)) > 0",
    "startswith": "starts_with({c}, ?)",
    "istartswith": "starts_with(fold({c}), fold(?))",
    "endswith": "ends_with({c}, ?)",
    "iendswith": "ends_with(fold({c}), fold(?))",
    "regex": "{c} REGEXP ?",
    "iregex": "{c} REGEXP '(?i)' || ?",
}
DATE_PARTS = {"year": (1, 4), "month": (6, 2), "day": (9, 2), "hour": (12, 2), "minute": (15, 2), "second": (18, 2)}
LOOKUPS = {"exact", "in", "range", "isnull", "date", "has_key", *COMPARE, *TEXT, *DATE_PARTS}


def convert(kind: str, value: Any) -> Any:
    """Turn a value into what the column holds; Failed with Django's words where that cannot be."""
    if value is None:
        raise Failed("Cannot use None as a query value")
    if kind in ("text",):
        return str(value)
    if kind == "uuid":
        try:
            return str(uuid.UUID(str(value)))
        except ValueError:
            raise Failed(f"['“{value}” is not a valid UUID.']") from None
    if kind in ("time", "date"):
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            form = "YYYY-MM-DD" if kind == "date" else "YYYY-MM-DD HH:MM[:ss[.uuuuuu]][TZ]"
            what = "date " if kind == "date" else ""
            raise Failed(f"['“{value}” value has an invalid {what}format. It must be in {form} format.']") from None
        return moment.date().isoformat() if kind == "date" else moment.replace(tzinfo=None).isoformat()
    try:
        return float(value)
    except (TypeError, ValueError):
        raise Failed(f"Field 'id' expected a number but got {value!r}.") from None


def condition(place: Place, value: Any) -> tuple[Any, ...]:
    """Write one lookup on a plain column."""
    sql, kind, rest = place.sql, place.type, list(place.rest)
    if rest and rest[0] == "date":
        sql, kind, rest = f"substr({sql}, 1, 10)", "date", rest[1:]
    elif rest and rest[0] in DATE_PARTS:
        start, length = DATE_PARTS[rest[0]]
        sql, kind, rest = f"CAST(substr({sql}, {start}, {length}) AS INTEGER)", "int", rest[1:]
    name = rest.pop(0) if rest else "exact"
    if rest or name not in LOOKUPS:
        raise Failed(f"Unsupported lookup '{name}' for {kind} field or join on the field not permitted.")
    if name == "isnull" or (name == "exact" and value is None):
        wants_null = True if name == "exact" else bool(value)
        return (f"{sql} IS {'' if wants_null else 'NOT '}NULL",)
    if name in ("in", "range"):
        items = [convert(kind, item) for item in value if item is not None]
        if name == "range":
            return (f"{sql} BETWEEN ? AND ?", *items[:2])
        return (f"{sql} IN (SELECT value FROM json_each(?))", json.dumps(items))
    if name in TEXT:
        return (TEXT[name].format(c=f"CAST({sql} AS TEXT)" if kind != "text" else sql), str(value))
    return (f"{sql} {COMPARE.get(name, '=')} ?", convert(kind, value))


def json_condition(place: Place, value: Any) -> tuple[Any, ...]:
    """Write one lookup on a JSON column: keys first, then the lookup."""
    keys = list(place.rest)
    name = keys.pop() if keys and keys[-1] in {*LOOKUPS, "contains"} else "exact"
    if not keys and name == "isnull":
        return (f"{place.sql} IS {'' if value else 'NOT '}NULL",)
    return (f"json_lookup({place.sql}, ?, ?, ?)", json.dumps(keys), name, json.dumps(value))


RANKS = ((type(None), 0), (str, 1), (bool, 3), (int, 2), (float, 2), (list, 4), (dict, 5))


def ranked(value: Any) -> tuple[Any, ...]:
    """Order values as PostgreSQL orders jsonb: null < text < number < boolean < array < object."""
    rank = next(number for kind, number in RANKS if isinstance(value, kind))
    return (rank, value if rank in (1, 2, 3) else json.dumps(value))


def json_lookup(document: str | None, keys: str, name: str, wanted: str) -> bool | None:
    """Compare what stands under some keys of a JSON document; None where there is nothing."""
    if document is None:
        return None
    value, target = json.loads(document), json.loads(wanted)
    for key in json.loads(keys):
        if not isinstance(value, dict) or key not in value:
            return target if name == "isnull" else None
        value = value[key]
    if name == "isnull":
        return not target
    if name == "has_key":
        return isinstance(value, dict | list) and target in value
    if name == "in":
        return any(ranked(value) == ranked(item) for item in target)
    if name == "contains" and isinstance(value, dict | list):
        items = target if isinstance(target, list) else [target]
        return all(item in value for item in items)
    if name in TEXT:
        text = value if isinstance(value, str) else json.dumps(value)
        return text_matches(name, text, str(target))
    left, right = ranked(value), ranked(target)
    return {"gt": left > right, "gte": left >= right, "lt": left < right, "lte": left <= right}.get(
        name, left == right
    )


def text_matches(name: str, text: str, wanted: str) -> bool:
    """Apply one of Django's text lookups."""
    if name.endswith("regex"):
        return re.search(wanted, text, re.IGNORECASE if name == "iregex" else 0) is not None
    if name.startswith("i"):
        text, wanted, name = text.casefold(), wanted.casefold(), name[1:]
    tests = {"contains": wanted in text, "startswith": text.startswith(wanted), "endswith": text.endswith(wanted)}
    return tests.get(name, text == wanted)


FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    "fold": (1, lambda text: None if text is None else str(text).casefold()),
    "starts_with": (2, lambda text, start: text is not None and text.startswith(start)),
    "ends_with": (2, lambda text, end: text is not None and text.endswith(end)),
    "regexp": (2, lambda pattern, text: text is not None and re.search(pattern, text) is not None),
    "json_lookup": (4, json_lookup),
}


# ---- the values of query strings ----


def parse_pairs(text: str) -> dict[str, Any]:
    """Take ``field,value,field2,value2`` apart; brackets are lists, and None, True, False and digits are values."""
    parts = re.split(r",(?![^\[]*\])", text)
    pairs: dict[str, Any] = {}
    if len(parts) % 2:
        raise Failed("list index out of range")
    for name, value in zip(parts[::2], parts[1::2], strict=True):
        if name in pairs:
            raise Failed(f"duplicate field: {name}")
        pairs[name] = parse_value(value)
    return pairs


def parse_value(text: str) -> Any:
    """Convert one value as Alyx does."""
    if text.startswith("[") or text.startswith("("):
        try:
            return ast.literal_eval(text)
        except SyntaxError as error:
            raise Failed(str(error).replace("<unknown>", "<string>")) from None
        except ValueError as error:
            raise Failed(str(error)) from None
    named = {"none": None, "true": True, "false": False}
    if text.lower() in named:
        return named[text.lower()]
    return float(text) if re.fullmatch(r"-?\d+(\.\d*)?", text) else text


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


def _django(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    pairs = parse_pairs(value)
    scope: Scope = {}
    excluded = {key[1:]: item for key, item in pairs.items() if key.startswith("~")}
    if excluded:
        inner, inner_scope = Query(query.model), Scope()
        for key, item in excluded.items():
            inner.lookup(key, item, inner_scope)
        joins, where = " ".join(inner.joins), " AND ".join(inner.where)
        table = table_name(query.model.name)
        query.add(f"t0.row NOT IN (SELECT t0.row FROM {table} t0 {joins} WHERE {where})", *inner.params)  # noqa: S608
    for key, item in pairs.items():
        if not key.startswith("~"):
            query.lookup(key, item, scope)
    query.distinct = True


def _json(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    for key, item in parse_pairs(value).items():
        query.lookup(f"{name}__{key}", item)


def _choice(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    query.lookup(name, choice(name, value))


def _fov_provenance(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    if value not in FOV_PROVENANCE:
        raise Failed("sequence item 0: expected str instance, __proxy__ found")
    query.lookup(name, FOV_PROVENANCE[value])


def _day(query: Query, name: str, value: str, given: Given, *paths: str) -> None:
    query.lookup(f"{paths[0]}__date", value)


def _date_range(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    bounds = value.split(",")
    if len(bounds) < 2:
        raise Failed("list index out of range")
    query.lookup("start_time__date__gte", bounds[0])
    query.lookup("start_time__date__lte", bounds[1])


def _no_start_time(query: Query, name: str, value: str, given: Given, *choices: str) -> None:
    raise Failed(f"Cannot resolve keyword 'start_time' into field. Choices are: {choices[0].replace(',', ', ')}")


def _all_of(query: Query, path: str, names: Iterable[str], counted: str, **more: Any) -> None:
    """Keep rows with at least as many different related rows as there are names."""
    inner = Query(query.model)
    scope: Scope = {}
    wanted = list(names)
    inner.lookup(f"{path}__in", wanted, scope)
    for key, item in more.items():
        inner.lookup(key, item, scope)
    count = inner.walk(counted, scope).sql
    query.add(
        f"t0.row IN (SELECT t0.row FROM {table_name(query.model.name)} t0 {' '.join(inner.joins)}"  # noqa: S608
        f" WHERE {' AND '.join(inner.where)} GROUP BY t0.row HAVING count(DISTINCT {count}) >= {len(wanted)})",
        *inner.params,
    )


def _users(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    _all_of(query, "users__username", value.split(","), "users__username")


def _relation(query: Query) -> str:
    return "data_dataset_session_related" if query.model.name == "sessions" else "datasets"


def _dataset_types(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    path = f"{_relation(query)}__dataset_type__name"
    _all_of(query, path, value.split(","), path)


def _datasets(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    path = _relation(query)
    more: dict[str, Any] = {f"{path}__qc__lte": quality(given.get("dataset_qc_lte") or "FAIL")}
    if query.model.name == "sessions":
        more[f"{path}__file_records__data_repository__globus_is_personal"] = False
        more[f"{path}__file_records__exists"] = True
    _all_of(query, f"{path}__name", value.split(","), f"{path}__id", **more)


def _dataset_qc_lte(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    limit = quality(value)
    if not given.get("datasets"):
        query.lookup(f"{_relation(query)}__qc__lte", limit)


def _performance(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    operator = ">=" if name.endswith("gte") else "<="
    query.add(f"t0.n_trials IS NOT NULL AND 100 * t0.n_correct_trials / t0.n_trials {operator} ?", float(value))


def _tag(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    query.lookup(f"{_relation(query)}__tags__name__icontains", value)
    query.distinct = True


def _flag(query: Query, name: str, value: str, given: Given, path: str, sense: str = "is") -> None:
    """Filter by whether some related row has a value, whatever the number of such rows."""
    wanted = boolean(value)
    if wanted is None:
        return
    inner, scope = Query(query.model), Scope()
    for pair in path.split(";"):
        key, text = pair.split("=")
        inner.lookup(key, parse_value(text), scope)
    operator = "IN" if wanted == (sense == "is") else "NOT IN"
    query.add(
        f"t0.row {operator} (SELECT t0.row FROM {table_name(query.model.name)} t0 {' '.join(inner.joins)}"  # noqa: S608
        f" WHERE {' AND '.join(inner.where)})",
        *inner.params,
    )


def _atlas(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    """Find rows with a channel of an aligned track, or a default location, in a region or below it."""
    test = {"atlas_acronym": "fold(b.acronym) = fold(?)", "atlas_id": "b.id = ?"}.get(
        name, "instr(fold(b.name), fold(?)) > 0"
    )
    regions = (
        'SELECT d.id FROM "brain-regions" b JOIN "brain-regions" d ON d.lft BETWEEN b.lft AND b.rght'
        f" WHERE {test}"  # noqa: S608
    )
    tracks = (
        'SELECT {column} FROM channels c JOIN trajectories j ON j.id = c.trajectory_estimate'
        f" WHERE j.provenance = 70 AND c.brain_region IN ({regions})"  # noqa: S608
    )
    views = (
        'SELECT l.field_of_view FROM "fov-location" l JOIN "fov-location.brain_region" r ON r.row = l.row'
        f" WHERE l.default_provenance AND r.value IN ({regions})"  # noqa: S608
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


def _exists(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    wanted, scope = boolean(value), Scope()
    if wanted is not None:
        query.lookup("file_records__exists", wanted, scope)
        query.lookup("file_records__data_repository__globus_is_personal", False, scope)
        query.distinct = True


def _water_restricted(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    restriction = "actions_waterrestrictions__{}__isnull"
    query.lookup("death_date__isnull", True)
    _flag(query, name, value, given, f"{restriction.format('start_time')}=False;{restriction.format('end_time')}=True")


def _of_insertion(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    if not query.exists("insertions", value):
        raise Failed("ProbeInsertion matching query does not exist.")
    query.lookup("probe_insertion__id", value)


def _any_dataset(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    query.lookup("datasets__in", value.split(","))
    query.distinct = True


def _ancestors(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    if not query.exists("brain-regions.acronym", value):
        raise Failed("BrainRegion matching query does not exist.")
    inside = "b.acronym = ? AND t0.lft <= b.lft AND t0.rght >= b.rght AND t0.id != 0"
    query.add(f'EXISTS (SELECT 1 FROM "brain-regions" b WHERE {inside})', value)  # noqa: S608


def _nothing(query: Query, name: str, value: str, given: Given, *args: str) -> None:
    query.add("0")


Special = Callable[..., None]
SPECIAL: dict[str, Special] = {
    name[1:]: value for name, value in list(globals().items()) if name.startswith("_") and callable(value)
}


# ---- the whole query ----

NO_CHOICE = "Select a valid choice. That choice is not one of the available choices."


@cache
def rules(endpoint: str) -> dict[str, str]:
    """Give the rule of each query key: the declared ones first, then every field of the model, exact."""
    model = MODELS[endpoint]
    plain = {f.name: f"{f.name} exact" for f in model.fields.values() if f.kind != "<" and f.target != "json"}
    return {**model.filters, **{name: rule for name, rule in plain.items() if model.exact and name not in model.filters}}


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
    active = [(name, rule.split(" "), given[name]) for name, rule in rules(endpoint).items() if given.get(name)]
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
