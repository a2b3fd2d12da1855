"""Django's lookups along the relations between models, written as SQL for SQLite.

Each filter has its own scope: within a scope a to-many relation is joined once, and each scope joins it
anew, which is why Alyx repeats rows (and counts the repetitions) for filters such as ``projects=``.
"""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from datetime import time as clock
from difflib import get_close_matches
from typing import Any

from one_async.emulator.jsonb import JSON_LOOKUPS
from one_async.emulator.models import MODELS, Field, Model, table_name

__all__ = ["NO_SUCH_DAY", "Answer", "Failed", "Query", "Scope"]

Scope = dict[str, str]


class Answer(Exception):
    """Ends a request early: a status, an error body and more headers."""

    def __init__(self, status: int, body: dict[str, Any], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body if "status_code" in body else {**body, "status_code": status}
        self.headers = dict(headers or {})


class Failed(Answer):
    """Status 500, which Alyx answers if its own code or the database fails on a value."""

    def __init__(self, text: str) -> None:
        super().__init__(500, {"status_code": 500, "detail": text})


@dataclass(frozen=True)
class Place:
    """The end of a path: the field's name, an SQL expression, its type and the remaining parts of the path."""

    name: str
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
        """Join a table on a condition, in which ``{t}`` is the table's alias; return the alias."""
        alias = f"t{len(self.joins) + 1}"
        self.joins.append(f"LEFT JOIN {table} {alias} ON {condition.format(t=alias)}")
        return alias

    def follow(self, alias: str, owner: Model, relation: Field, scope: Scope) -> str:
        """Join the target of a relation; return its alias."""
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
                return Place(part, COMPUTED[part].format(t=alias), "float", parts)
            found = model.find(part)
            if found is None:
                choices = ", ".join(sorted(model.choices))
                raise Failed(f"Cannot resolve keyword '{part}' into field. Choices are: {choices}")
            if found.kind == ":":
                return Place(part, f'{alias}."{found.name}"', found.target, parts)
            if found.kind == ">" and parts[:1] == ["isnull"]:
                return Place(part, f'{alias}."{found.name}"', "text", parts)
            target = MODELS[found.target]
            if not parts or (parts[0] != "pk" and target.find(parts[0]) is None):
                if parts and parts[0] not in RELATED_LOOKUPS:
                    raise unsupported(parts[0], relation_class(found), RELATED_LOOKUPS)
                pk = target.fields.get("id") or target.columns[0]
                alias = self.follow(alias, model, found, scope)
                return Place(pk.name, f'{alias}."{pk.name}"', pk.target, parts)
            alias, model = self.follow(alias, model, found, scope), target

    def add(self, sql: str, *params: Any) -> None:
        """Add a condition."""
        self.where.append(sql)
        self.params.extend(params)

    def lookup(self, path: str, value: Any, scope: Scope, excluded: bool = False) -> None:
        """Add one Django lookup, such as ``subject__nickname__icontains``."""
        place = self.walk(path, scope)
        sql, *params = condition(place, value)
        if excluded and place.type == "json" and not scope:
            # Django excludes NOT (condition AND column IS NOT NULL), which is NULL for a key that is missing
            sql = f"coalesce({sql}, {place.sql} IS NOT NULL)"
        self.add(sql, *params)

    def exclude(self, path: str, value: Any) -> None:
        """Exclude the rows that match a lookup."""
        inner = Query(self.model)
        inner.lookup(path, value, {}, excluded=True)
        self.add(f"t0.row NOT IN ({inner.select()})", *inner.params)

    def within(
        self, lookups: Mapping[str, Any], wanted: bool = True, all_of: int = 0, counted: str = ""
    ) -> None:
        """Keep the rows that match all these lookups together (or the others), each once however many related rows match.

        ``all_of``: only rows with this many distinct values of ``counted``, the field of the first lookup.
        """
        inner, scope = Query(self.model), Scope()
        for path, value in lookups.items():
            inner.lookup(path, value, scope)
        values = inner.walk(counted or next(iter(lookups)), scope).sql
        having = f" GROUP BY t0.row HAVING count(DISTINCT {values}) >= {all_of}" if all_of else ""
        self.add(f"t0.row {'IN' if wanted else 'NOT IN'} ({inner.select(having)})", *inner.params)

    def select(self, end: str = "") -> str:
        """Return the SELECT of row numbers, without order."""
        where = f" WHERE {' AND '.join(self.where)}" if self.where else ""
        return f"SELECT t0.row FROM {table_name(self.model.name)} t0 {' '.join(self.joins)}{where}{end}"

    def sql(self) -> str:
        """Return the SELECT of row numbers in the server's order."""
        order = []
        for name in self.model.order:
            place = self.walk(name.removeprefix("-"), {})
            order.append(place.sql + (" DESC NULLS FIRST" if name.startswith("-") else " ASC NULLS LAST"))
        # Stacks are ordered by their slices, which DISTINCT then includes
        rows = ["t0.row", *(f"{alias}.row" for place, alias in self.to_one.items() if place == "t0.slices")]
        group = f" GROUP BY {', '.join(rows)}" if self.distinct else ""
        if self.distinct and "id" in self.model.fields:
            order.append(
                "t0.id"
            )  # PostgreSQL sorts by all columns, of which this is the first, to find equal rows
        return self.select(f"{group} ORDER BY {', '.join([*order, 't0.row'])}")


COMPUTED = {"performance": "(100 * {t}.n_correct_trials / {t}.n_trials)"}
COMPARE = {"exact": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
# The regular expression of each lookup around the escaped value; a prefix "i" ignores case
TEXT = {"contains": "{}", "startswith": r"\A{}", "endswith": r"{}\Z"}
TEXT |= {"iexact": r"(?i)\A{}\Z", **{f"i{name}": f"(?i){pattern}" for name, pattern in TEXT.items()}}
REGEX = {"regex": "", "iregex": "(?i)"}
RELATED_LOOKUPS = ["exact", "in", "gt", "gte", "lt", "lte", "isnull"]
LOOKUPS = [*RELATED_LOOKUPS, "range", *TEXT, *REGEX]
DATE_PARTS = ["year", "iso_year", "month", "day", "week", "week_day", "iso_week_day", "quarter"]
TIME_PARTS = ["hour", "minute", "second"]
TRANSFORMS = {"date": DATE_PARTS, "time": [*DATE_PARTS, *TIME_PARTS, "date", "time"], "clock": TIME_PARTS}
# The field classes that Django's complaints name
CLASSES = {"prose": "TextField", "float": "FloatField", "bool": "BooleanField", "uuid": "UUIDField"}
CLASSES |= {"date": "DateField", "time": "DateTimeField", "clock": "TimeField", "small": "SmallIntegerField"}
CLASSES |= {"text": "CharField", "url": "URLField", "big": "BigIntegerField", "array": "ArrayField"}
CLASSES |= {"positive": "PositiveIntegerField"}
WHOLE = {"int", "small", "big", "positive", "qc", "provenance", "status"}
COMPLAINTS = {
    "uuid": "is not a valid UUID.",
    "bool": "value must be either True or False.",
    "date": "value has an invalid date format. It must be in YYYY-MM-DD format.",
    "clock": "value has an invalid format. It must be in HH:MM[:ss[.uuuuuu]] format.",
    "time": "value has an invalid format. It must be in YYYY-MM-DD HH:MM[:ss[.uuuuuu]][TZ] format.",
}
NO_SUCH_DAY = "value has the correct format (YYYY-MM-DD) but it is an invalid date."
TRUTH = {"True": 1, "t": 1, "1": 1, "1.0": 1, "False": 0, "f": 0, "0": 0, "0.0": 0}


def unsupported(name: str, field_class: str, known: list[str]) -> Failed:
    """Return the error for an unknown lookup of a field, which suggests lookups with similar names."""
    similar = " or ".join(get_close_matches(name, known))
    hint = f", perhaps you meant {similar}?" if similar else "."
    return Failed(f"Unsupported lookup '{name}' for {field_class} or join on the field not permitted{hint}")


def relation_class(relation: Field) -> str:
    """Return Django's name for the class of a relation; for many-to-many, that of the key in the through table."""
    one_to_many = relation.kind == "<" and MODELS[relation.target].fields[relation.key].kind == ">"
    return "ManyToOneRel" if one_to_many else "ForeignKey"


def convert(place: Place, value: Any, name: str = "exact") -> Any:
    """Convert a value to the column's type. Raise Failed with Django's text if that is impossible."""
    kind = place.type
    if value is None:
        raise Failed("Cannot use None as a query value")
    try:
        if kind in WHOLE:
            return math.ceil(value) if isinstance(value, float) and name in ("gte", "lt") else int(value)
        if kind == "float":
            return float(value)
        if kind == "bool":
            return TRUTH[str(value)]
        if kind == "uuid":
            return str(uuid.UUID(int=value) if isinstance(value, int) else uuid.UUID(str(value)))
        if kind in ("date", "time", "clock") and not isinstance(value, str):
            raise Failed("fromisoformat: argument must be str")
        if kind == "date":
            return date.fromisoformat(str(value)).isoformat()
        if kind == "clock":
            return clock.fromisoformat(str(value)).isoformat()
        if kind == "time":
            return datetime.fromisoformat(str(value)).replace(tzinfo=None).isoformat()
        return str(value)
    except (KeyError, TypeError, ValueError):
        if kind in WHOLE or kind == "float":
            raise Failed(f"Field '{place.name}' expected a number but got {value!r}.") from None
        whole = {"date": r"\d{4}-\d\d?-\d\d?$", "time": r"\d{4}-\d\d?-\d\d?"}.get(kind, "(?!)")
        day = re.match(whole, str(value))
        raise Failed(f"['“{value}” {NO_SUCH_DAY if day else COMPLAINTS[kind]}']") from None


def transform(place: Place, name: str) -> Place:
    """Return the expression of a part of a date or time."""
    known = TRANSFORMS.get(place.type, [])
    if name not in known:
        raise unsupported(name, CLASSES.get(place.type, "IntegerField"), [*LOOKUPS, *known])
    if name == "date":
        return Place("None", f"substr({place.sql}, 1, 10)", "date", [])
    if name == "time":
        return Place("None", f"substr({place.sql}, 12)", "clock", [])
    return Place("None", f"date_part('{name}', {place.sql})", "int", [])


def condition(place: Place, value: Any) -> tuple[Any, ...]:
    """Return one lookup on a column as SQL and its parameters."""
    if place.type == "json":
        return json_condition(place, value)
    *parts, name = place.rest or ["exact"]
    for at, part in enumerate(parts):
        known = part in TRANSFORMS.get(place.type, [])
        place = transform(place, part if known else "__".join(place.rest[at:]))
    if name not in LOOKUPS:
        place, name = transform(place, name), "exact"
    sql = place.sql
    if name == "isnull" or (name in ("exact", "iexact") and value is None):
        if name == "isnull" and value is None:
            raise Failed("Cannot use None as a query value")
        if not isinstance(value, bool | None):
            raise Failed("The QuerySet value for an isnull lookup must be True or False.")
        return (f"{sql} IS {'' if value is not False else 'NOT '}NULL",)
    if name in ("in", "range"):
        if isinstance(value, float | bool | None):
            raise Failed(f"'{type(value).__name__}' object is not iterable")
        items = [convert(place, item) for item in value if item is not None]
        if name == "range":
            if len(items) != 2:
                raise Failed(f"not enough values to unpack (expected 2, got {len(items)})")
            return (f"{sql} BETWEEN ? AND ?", *items)
        return (f"{sql} IN (SELECT value FROM json_each(?))", json.dumps(items))
    if value is None:
        raise Failed("Cannot use None as a query value")
    if name in TEXT or name in REGEX:
        return (f"{as_text(place)} REGEXP ?", pattern(name, value))
    return (f"{sql} {COMPARE[name]} ?", convert(place, value, name))


def as_text(place: Place) -> str:
    """Return the expression of a column as PostgreSQL casts it to text."""
    if place.type == "bool":
        return f"CASE {place.sql} WHEN 1 THEN 'true' WHEN 0 THEN 'false' END"
    return f"replace({place.sql}, 'T', ' ')" if place.type == "time" else place.sql


def pattern(name: str, value: Any) -> str:
    """Return the regular expression of a text lookup."""
    if isinstance(value, float | bool) and (name == "iexact" or name in REGEX):
        kind = "boolean" if isinstance(value, bool) else "numeric"
        operation = "~*" if name == "iregex" else "~"
        what = (
            f"function upper({kind})"
            if name == "iexact"
            else f"operator does not exist: text {operation} {kind}"
        )
        raise Failed(what + (" does not exist" if name == "iexact" else ""))
    return REGEX[name] + str(value) if name in REGEX else TEXT[name].format(re.escape(str(value)))


def json_condition(place: Place, value: Any) -> tuple[Any, ...]:
    """Return one lookup on a JSON column, whose keys come before the lookup, as SQL and its parameters."""
    keys = list(place.rest)
    name = keys.pop() if keys and keys[-1] in JSON_LOOKUPS else "exact"
    if value is None and name not in ("exact", "iexact"):
        raise Failed("Cannot use None as a query value")
    if name == "isnull" and not keys:
        return condition(Place(place.name, place.sql, "text", ["isnull"]), value)
    if name in ("in", "has_keys", "has_any_keys") and isinstance(value, float | bool | None):
        raise Failed(f"'{type(value).__name__}' object is not iterable")
    if name == "has_key" and isinstance(value, float | bool):
        raise Failed(
            f"operator does not exist: jsonb ? {'boolean' if isinstance(value, bool) else 'numeric'}"
        )
    if name == "iexact" or name in REGEX:
        pattern(name, value)
    return (f"json_matches({place.sql}, ?)", json.dumps([keys, name, value]))


def regexp(pattern: str, text: Any) -> bool | None:
    """Evaluate ``text REGEXP pattern`` of SQL."""
    if text is None:
        return None
    text = int(text) if isinstance(text, float) and text.is_integer() else text
    return re.search(pattern, str(text)) is not None


def date_part(name: str, text: str | None) -> int | None:
    """Return a part of a date or time in ISO 8601, named as PostgreSQL's ``EXTRACT`` and Django name it."""
    if text is None:
        return None
    if "-" not in text:
        return int(getattr(clock.fromisoformat(text), name))
    when = datetime.fromisoformat(text)
    year, week, weekday = when.isocalendar()
    derived = {"iso_year": year, "week": week, "iso_week_day": weekday, "week_day": weekday % 7 + 1}
    derived["quarter"] = (when.month + 2) // 3
    return derived[name] if name in derived else int(getattr(when, name))
