"""Django's lookups along the relations between models, written as SQL for SQLite.

Each filter opens a scope of its own: within one scope a to-many relation is joined once, between scopes
anew, which is why Alyx repeats rows (and counts the repetitions) for filters such as ``projects=``.
"""

from __future__ import annotations

import ast
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .models import MODELS, Field, Model, table_name

__all__ = ["FUNCTIONS", "Exists", "Failed", "Query", "Scope", "parse_pairs", "parse_value"]

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

    def select(self, end: str = "") -> str:
        """Write the SELECT of row numbers, without order."""
        where = f" WHERE {' AND '.join(self.where)}" if self.where else ""
        return f"SELECT t0.row FROM {table_name(self.model.name)} t0 {' '.join(self.joins)}{where}{end}"

    def sql(self) -> str:
        """Write the SELECT of row numbers in the server's order."""
        order = []
        for name in self.model.order:
            place = self.walk(name.removeprefix("-"), {})
            order.append(place.sql + (" DESC NULLS FIRST" if name.startswith("-") else " ASC NULLS LAST"))
        group = " GROUP BY t0.row" if self.distinct else ""
        return self.select(f"{group} ORDER BY {', '.join([*order, 't0.row'])}")


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
DATE_PARTS = {
    "year": (1, 4),
    "month": (6, 2),
    "day": (9, 2),
    "hour": (12, 2),
    "minute": (15, 2),
    "second": (18, 2),
}
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
            raise Failed(
                f"['“{value}” value has an invalid {what}format. It must be in {form} format.']"
            ) from None
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
    tests = {
        "contains": wanted in text,
        "startswith": text.startswith(wanted),
        "endswith": text.endswith(wanted),
    }
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
    """Take ``field,value,field2,value2`` apart; brackets, digits, None, True and False become values."""
    # ONE-api sends Python tuples too: pk__in,('…', '…')
    parts = re.split(r",(?![^\[]*\])(?![^(]*\))", text)
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
    if text.startswith(("[", "(")):
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
