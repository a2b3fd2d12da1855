"""Convert an endpoint's rows to tables that join: UUIDs under shared names, booleans, times in UTC, structs.

The column that identifies rows is stored as the server sent it, since it determines which rows are equal. Values that do
not fit their column become null and are counted in `Notes`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from one_async.alyx.frame import DATE, TIMES, Columns, Notes, kind_of, resolved
from one_async.alyx.schema import Schema
from one_async.harvest.plan import NAMED
from one_async.harvest.relations import BOOLEANS, PARTS, REFERENCES, SHARED_NAMES
from one_async.harvest.report import ColumnReport
from one_async.types import JSON

if TYPE_CHECKING:
    import polars as pl

    from one_async.alyx.frame import Type

#: A UUID at the end of a URL.
UUID_AT_END = r"([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})/?$"
#: The beginning of descriptions in the OpenAPI document that only describe the field before conversion.
NOISE = "Required."
SQL_TYPES: Mapping[str, str] = {
    "text": "VARCHAR",
    "json": "VARCHAR",
    "uuid": "UUID",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "time": "TIMESTAMP WITH TIME ZONE",
    "date": "DATE",
}


@dataclass(frozen=True)
class Kind:
    """The type of a column's values: ``text``, ``uuid``, ``time`` and so on, or ``list`` and ``struct`` with their parts."""

    name: str
    parts: tuple[tuple[str, Kind], ...] = ()

    @property
    def sql(self) -> str:
        """DuckDB's type."""
        if self.name == "list":
            return f"{self.parts[0][1].sql}[]"
        if self.name == "struct":
            return "STRUCT({})".format(", ".join(f"{quoted(name)} {part.sql}" for name, part in self.parts))
        return SQL_TYPES[self.name]

    @property
    def dtype(self) -> Type:
        """Polars' type. UUIDs are strings, since Polars has no type for them."""
        import polars as pl

        if self.name == "list":
            return pl.List(self.parts[0][1].dtype)
        if self.name == "struct":
            return pl.Struct({name: part.dtype for name, part in self.parts})
        kinds: dict[str, Type] = {
            "integer": pl.Int64(),
            "number": pl.Float64(),
            "boolean": pl.Boolean(),
            "time": pl.Datetime("us", "UTC"),
            "date": pl.Date(),
        }
        return kinds.get(self.name, pl.String())


def quoted(name: str) -> str:
    """Return a name quoted for SQL."""
    return '"{}"'.format(name.replace('"', '""'))


@dataclass(frozen=True)
class TidyColumn:
    """A column of the resulting table, and the field from which it is computed."""

    name: str
    kind: Kind
    source: str
    meaning: str = ""
    references: tuple[tuple[str, str], ...] = ()
    part: str | None = None  # the field of a struct
    from_url: bool = False  # the UUID at the end of a URL


@dataclass(frozen=True)
class TidyColumns(Columns):
    """The columns of the tidy table of an endpoint; `raw` are the columns that the server sends."""

    raw: Columns = field(kw_only=True)
    table: tuple[TidyColumn, ...] = field(kw_only=True)

    @property
    def schema(self) -> dict[str, Type]:
        """Names and types of the resulting columns."""
        return {column.name: column.kind.dtype for column in self.table}

    def convert(self, frame: pl.DataFrame, notes: Notes) -> pl.DataFrame:
        """Convert rows from the server; blocking."""
        raw = self.raw.schema
        tidy = frame.select(
            _expression(column, raw[column.source]).alias(column.name) for column in self.table
        )
        for column in self.table:
            if column.from_url:
                missing = int(frame[column.source].is_in(["", None], nulls_equal=True).sum())
                notes.count(column.name, tidy[column.name].null_count() - missing)
            elif column.part is None and column.kind.name in ("list", "struct"):
                before = _missing_times(frame[column.source], column.kind)
                notes.count(column.name, _missing_times(tidy[column.name], column.kind) - before)
        return tidy

    def report(self) -> list[ColumnReport]:
        """Return the entries of the columns for a report."""
        return [
            ColumnReport(
                name=column.name,
                type=column.kind.sql,
                dtype=str(column.kind.dtype),
                meaning=column.meaning,
                references=dict(column.references),
            )
            for column in self.table
        ]


def tidy_columns(schema: Schema, columns: Columns) -> TidyColumns:
    """Return the columns of the tidy table of an endpoint."""
    declared = schema.row(columns.endpoint).get("properties", {})
    table = list(_id_columns(columns))
    for name in columns.read:
        of = resolved(schema, declared.get(name, {})) | declared.get(name, {})
        if name != "id" and not of.get("writeOnly"):
            kind = _kind(schema, declared.get(name, {}), name, columns)
            table += _columns(name, kind, _meaning(of), columns.endpoint)
    return TidyColumns(columns.endpoint, columns.read, raw=columns, table=tuple(table))


def _id_columns(columns: Columns) -> Iterator[TidyColumn]:
    """Yield the columns that identify rows: ``id``, and the name by which other tables refer to it."""
    key, endpoint = columns.key, columns.endpoint
    if key == "id":
        kind = Kind("uuid" if columns.read[key] == _text() else "integer")
    elif key == "url" and endpoint not in NAMED:
        kind = Kind("uuid")
    else:
        return
    for name in ("id", SHARED_NAMES.get(endpoint)):
        if name is not None:
            meaning = (
                "Identifies the row"
                if name == "id"
                else "The same as id, under the name that other tables use"
            )
            yield TidyColumn(name, kind, key, meaning, from_url=key == "url")


def _columns(name: str, kind: Kind, meaning: str, endpoint: str) -> Iterator[TidyColumn]:
    """Yield the column of a field, and columns extracted from its parts."""
    for new, path in PARTS.get(endpoint, {}).items():
        if path.startswith(f"{name}."):
            target = REFERENCES[endpoint][path]
            yield TidyColumn(new, Kind("uuid"), name, "", ((new, target),), part=path.partition(".")[2])
    known = REFERENCES.get(endpoint, {})
    target = known.get(name, "")
    if target.endswith(".id") and kind.name in ("text", "uuid"):
        new = SHARED_NAMES.get(target.partition(".")[0], name)
        yield TidyColumn(new, Kind("uuid"), name, meaning, ((new, target),), from_url=kind.name == "text")
        return
    if name in BOOLEANS.get(endpoint, {}):
        kind, meaning = Kind("boolean"), BOOLEANS[endpoint][name]
    own = tuple((path, to) for path, to in known.items() if re.split(r"\[|\.", path)[0] == name)
    yield TidyColumn(name, kind, name, meaning, own)


def _meaning(declared: JSON) -> str:
    """Return the description of a field in the OpenAPI document, as one line."""
    text = " ".join(str(declared.get("description") or declared.get("title") or "").split())
    return "" if text.startswith(NOISE) else text


def _kind(schema: Schema, declared: JSON, name: str, columns: Columns) -> Kind:
    if name in columns.times:
        return Kind("time")
    if name in columns.dates:
        return Kind("date")
    return Kind("json") if name in columns.free else _kind_of_type(schema, declared, columns.read[name])


def _kind_of_type(schema: Schema, declared: JSON, dtype: Any) -> Kind:
    """Return the kind of a field: the structure from its type, the format of strings from the OpenAPI document."""
    import polars as pl

    declared = resolved(schema, declared)
    if isinstance(dtype, pl.List):
        return Kind("list", (("", _kind_of_type(schema, declared.get("items", {}), dtype.inner)),))
    if isinstance(dtype, pl.Struct):
        fields = declared.get("properties", {})
        parts = ((f.name, _kind_of_type(schema, fields.get(f.name, {}), f.dtype)) for f in dtype.fields)
        return Kind("struct", tuple(parts))
    if dtype != pl.String:
        return Kind({pl.Int64: "integer", pl.Float64: "number", pl.Boolean: "boolean"}[dtype.base_type()])
    if declared.get("format") == "uuid":
        return Kind("uuid")
    return Kind({"date-time": "time", "date": "date"}.get(kind_of(schema, declared), "text"))


def _text() -> Type:
    import polars as pl

    return pl.String()


# ---- conversion --------------------------------------------------------------------------------------------


def _expression(column: TidyColumn, raw: Any) -> pl.Expr:
    """Return the expression that computes a column from its field."""
    import polars as pl

    source = pl.col(column.source)
    if column.part is not None:
        return source.struct.field(column.part)
    if column.from_url:
        return source.str.extract(UUID_AT_END)
    if column.references and column.kind.name == "text":  # Alyx writes "" for a missing reference
        return pl.when(source != "").then(source)
    return _convert_value(source, column.kind, raw)


def _convert_value(value: pl.Expr, kind: Kind, raw: Any) -> pl.Expr:
    """Convert times, dates and booleans, including those in lists and structs."""
    import polars as pl

    if kind.dtype == raw:
        return value
    if kind.name == "list":
        return value.list.eval(_convert_value(pl.element(), kind.parts[0][1], raw.inner))
    if kind.name == "struct":
        types = {field.name: field.dtype for field in raw.fields}
        fields = (_convert_value(pl.field(name), part, types[name]).alias(name) for name, part in kind.parts)
        return value.struct.with_fields(*fields)
    if kind.name == "time":
        if raw == pl.String:
            forms = (value.str.strptime(pl.Datetime("us"), form, strict=False) for form in TIMES)
            value = pl.coalesce(*forms)
        return value.dt.replace_time_zone("UTC")
    if kind.name == "date":
        return value.str.strptime(pl.Date(), DATE, strict=False)
    return value.cast(kind.dtype)


def _missing_times(values: pl.Series, kind: Kind) -> int:
    """Return the number of null times and dates in lists and structs."""
    if kind.name == "list":
        return _missing_times(values.explode(empty_as_null=False), kind.parts[0][1])
    if kind.name == "struct":
        return sum(_missing_times(values.struct.field(name), part) for name, part in kind.parts)
    return values.null_count() if kind.name in ("time", "date") else 0
