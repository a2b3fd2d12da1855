"""Django's lookups along the relations between models, written as SQL for SQLite.

Each filter opens a scope of its own: within one scope a to-many relation is joined once, between scopes
anew, which is why Alyx repeats rows (and counts the repetitions) for filters such as ``projects=``.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .models import MODELS, Field, Model, table_name

__all__ = ["Answer", "Failed", "Query", "Scope"]

Scope = dict[str, str]


class Answer(Exception):
    """Ends a request early: a status, an error body and more headers."""

    def __init__(self, status: int, body: dict[str, Any], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body if "status_code" in body else {**body, "status_code": status}
        self.headers = dict(headers or {})


class Failed(Answer):
    """500: what Alyx says when its own code or the database stumbles over a value."""

    def __init__(self, text: str) -> None:
        super().__init__(500, {"status_code": 500, "detail": text})


@dataclass(frozen=True)
class Place:
    """Where a path ends: an SQL expression, its type and the parts of the path that are left."""

    sql: str
    type: str
    rest: list[str]


@dataclass
class Query:
    """A SELECT on one model that grows by joins and conditions."""

    model: Model
    joins: list[str] = field(default_factory=list)
    where: list[str] = field(default_factory=list)
    params: list[Any] = field(default_factory=list)
    distinct: bool = False
    to_one: Scope = field(default_factory=dict)

    def join(self, table: str, condition: str) -> str:
        """Join a table on a condition, in which ``{t}`` stands for its alias."""
        alias = f"t{len(self.joins) + 1}"
        self.joins.append(f"LEFT JOIN {table} {alias} ON {condition.format(t=alias)}")
        return alias

    def follow(self, alias: str, owner: Model, relation: Field, scope: Scope) -> str:
        """Join what a relation points at; give its alias."""
        known = self.to_one if relation.kind == ">" else scope
        place = f"{alias}.{relation.name}"
        if place in known:
            return known[place]
        key, back = relation.key, MODELS[relation.target].fields[relation.key]
        if relation.kind == ">":
            condition = f'{{t}}."{key}" = {alias}."{relation.name}"'
        elif relation.kind == "*":
            link = self.join(table_name(owner.name, relation.name), f"{{t}}.row = {alias}.row")
            condition = f'{{t}}."{key}" = {link}.value'
        elif back.kind == ">":
            condition = f'{{t}}."{key}" = {alias}."{back.key}"'
        else:
            link = self.join(table_name(relation.target, key), f'{{t}}.value = {alias}."{back.key}"')
            condition = f"{{t}}.row = {link}.row"
        known[place] = self.join(table_name(relation.target), condition)
        return known[place]

    def walk(self, path: str, scope: Scope) -> Place:
        """Follow a path of fields joined by ``__``."""
        model, alias, parts = self.model, "t0", path.split("__")
        while True:
            part, *parts = parts
            part = "id" if part == "pk" else part
            if part in COMPUTED:
                return Place(COMPUTED[part].format(t=alias), "float", parts)
            found = model.fields.get(part) or model.fields.get(part.removesuffix("_id"))
            if found is None:
                keys = [f"{name}_id" for name, other in model.fields.items() if other.kind == ">"]
                choices = ", ".join(sorted([*model.fields, *keys]))
                raise Failed(f"Cannot resolve keyword '{part}' into field. Choices are: {choices}")
            if found.kind == ":":
                return Place(f'{alias}."{found.name}"', found.target, parts)
            if found.kind == ">" and parts[:1] == ["isnull"]:
                return Place(f'{alias}."{found.name}"', "text", parts)
            alias, model = self.follow(alias, model, found, scope), MODELS[found.target]
            if not parts or (parts[0] in LOOKUPS and parts[0] not in model.fields):
                pk = model.fields.get("id") or model.columns[0]
                return Place(f'{alias}."{pk.name}"', pk.target, parts)

    def add(self, sql: str, *params: Any) -> None:
        """Add a condition."""
        self.where.append(sql)
        self.params.extend(params)

    def lookup(self, path: str, value: Any, scope: Scope) -> None:
        """Add one Django lookup, such as ``subject__nickname__icontains``."""
        place = self.walk(path, scope)
        self.add(*(json_condition(place, value) if place.type == "json" else condition(place, value)))

    def within(self, lookups: Mapping[str, Any], wanted: bool = True, all_of: int = 0) -> None:
        """Keep the rows that meet some lookups together (or the others), whatever the number of related rows.

        ``all_of``: those that so many different values of the first lookup's field belong to.
        """
        inner, scope = Query(self.model), Scope()
        for path, value in lookups.items():
            inner.lookup(path, value, scope)
        counted = inner.walk(next(iter(lookups)), scope).sql
        having = f" GROUP BY t0.row HAVING count(DISTINCT {counted}) >= {all_of}" if all_of else ""
        self.add(f"t0.row {'IN' if wanted else 'NOT IN'} ({inner.select(having)})", *inner.params)

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


COMPUTED = {"performance": "(100 * {t}.n_correct_trials / {t}.n_trials)"}
COMPARE = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
# Each as a regular expression around the escaped value; an i before the name: in any case
TEXT = {"contains": "{}", "startswith": r"\A{}", "endswith": r"{}\Z"}
TEXT |= {"iexact": r"(?i)\A{}\Z", **{f"i{name}": f"(?i){pattern}" for name, pattern in TEXT.items()}}
REGEX = {"regex": "", "iregex": "(?i)"}
# Where each part of a date stands in ISO 8601
PARTS = {"year": (1, 4), "month": (6, 2), "day": (9, 2)}
LOOKUPS = {"exact", "in", "range", "isnull", "date", "has_key", *COMPARE, *TEXT, *REGEX, *PARTS}
NUMBERS = {"int", "float", "bool", "qc", "provenance", "status"}
NUMBERS_ONLY = "Field 'id' expected a number but got {!r}."
COMPLAINTS = {
    "uuid": "['“{}” is not a valid UUID.']",
    "date": "['“{}” value has an invalid date format. It must be in YYYY-MM-DD format.']",
    "time": "['“{}” value has an invalid format. It must be in YYYY-MM-DD HH:MM[:ss[.uuuuuu]][TZ] format.']",
}


def convert(kind: str, value: Any) -> Any:
    """Turn a value into what the column holds; Failed with Django's words where that cannot be."""
    if value is None:
        raise Failed("Cannot use None as a query value")
    if kind == "json":
        return json.dumps(value, separators=(",", ":")) if isinstance(value, list | dict) else value
    try:
        if kind == "uuid":
            return str(uuid.UUID(str(value)))
        if kind == "date":
            return datetime.fromisoformat(str(value)).date().isoformat()
        if kind == "time":
            return datetime.fromisoformat(str(value)).replace(tzinfo=None).isoformat()
        return float(value) if kind in NUMBERS else str(value)
    except (TypeError, ValueError):
        raise Failed(COMPLAINTS.get(kind, NUMBERS_ONLY).format(value)) from None


def condition(place: Place, value: Any) -> tuple[Any, ...]:
    """Write one lookup on a plain column: SQL and its parameters."""
    sql, kind, rest = place.sql, place.type, place.rest
    if rest and rest[0] == "date":
        sql, kind, rest = f"substr({sql}, 1, 10)", "date", rest[1:]
    elif rest and rest[0] in PARTS:
        start, length = PARTS[rest[0]]
        sql, kind, rest = f"CAST(substr({sql}, {start}, {length}) AS INTEGER)", "int", rest[1:]
    name = rest[0] if rest else "exact"
    if len(rest) > 1 or name not in LOOKUPS:
        raise Failed(f"Unsupported lookup '{name}' for {kind} field or join on the field not permitted.")
    if name == "isnull" or (name == "exact" and value is None):
        return (f"{sql} IS {'' if value or name == 'exact' else 'NOT '}NULL",)
    if name in TEXT or name in REGEX:
        pattern = REGEX[name] + str(value) if name in REGEX else TEXT[name].format(re.escape(str(value)))
        return (f"{sql} REGEXP ?", pattern)
    if name in ("in", "range"):
        items = [convert(kind, item) for item in value if item is not None]
        if name == "range":
            return (f"{sql} BETWEEN ? AND ?", *items[:2])
        return (f"{sql} IN (SELECT value FROM json_each(?))", json.dumps(items))
    return (f"{sql} {COMPARE.get(name, '=')} ?", convert(kind, value))


def json_condition(place: Place, value: Any) -> tuple[Any, ...]:
    """Write one lookup on a JSON column: keys first, then the lookup."""
    keys = [re.sub("[\"']", "", key) for key in place.rest]
    name = keys.pop() if keys and keys[-1] in LOOKUPS else "exact"
    path = "$" + "".join(f'."{key}"' for key in keys)
    if name == "isnull":
        return (f"json_type({place.sql}, '{path}') IS {'' if value else 'NOT '}NULL",)
    if name == "has_key":
        return (f"json_type({place.sql}, ?) IS NOT NULL", f'{path}."{value}"')
    if name == "exact" and value is None:
        return (f"json_type({place.sql}, '{path}') = 'null'",)
    if name == "contains":
        items = json.dumps(value if isinstance(value, list) else [value])
        held = f"SELECT value FROM json_each({place.sql}, '{path}')"
        return (f"NOT EXISTS (SELECT value FROM json_each(?) EXCEPT {held})", items)
    found = f"json_extract({place.sql}, '{path}')" if keys else place.sql
    sql, *params = condition(Place(found, "json", [name]), value)
    # PostgreSQL orders text before numbers, SQLite after them
    texts = f" AND (typeof({found}) = 'text') = {isinstance(value, str):d}" if name in COMPARE else ""
    return (sql + texts, *params)


def regexp(pattern: str, text: Any) -> bool:
    """Do what ``text REGEXP pattern`` says in SQL."""
    return text is not None and re.search(pattern, str(text)) is not None
