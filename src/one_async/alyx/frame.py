"""Convert lists to Polars frames with the columns that the server's OpenAPI document declares, independent of the rows.

Polars infers columns from the first rows and drops keys that only later rows have, so the schema is always passed.
Documented objects and arrays become structs and lists; fields of any type (``json``) become JSON text.

Numbers that do not fit an integer column become null and are counted in `Notes`. A number in a text column becomes its
text, perhaps in another notation (1.0 as 1). Undocumented fields are dropped; `Notes` lists those of the first page's
rows, but not those inside documented objects.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from one_async.alyx.responses import has_surrogates, page_of, read_json
from one_async.alyx.schema import Schema
from one_async.errors import AnswerError
from one_async.types import JSON

if TYPE_CHECKING:
    import polars as pl

    Type: TypeAlias = pl.DataType | type[pl.DataType]

#: Actual types of computed fields that the OpenAPI document declares as text or omits.
SCHEMA_CORRECTIONS: Mapping[str, Mapping[str, str]] = {
    "subjects": {
        "age_weeks": "integer",
        "alive": "boolean",
        "reference_weight": "number",
        "expected_water": "number",
        "remaining_water": "number",
        "last_water_restriction": "date-time",
    },
    "water-restricted-subjects": {
        "expected_water": "number",
        "remaining_water": "number",
        "reference_weight": "number",
        "last_water_restriction": "date-time",
        "reference_weight_pct": "number",
        "zscore_weight_pct": "number",
    },
    "datasets": {"experiment_number": "integer", "protected": "integer", "public": "integer"},
    "users": {"lab": "texts"},
    "sessions": {"url": "string"},
    "data-notices": {"importance": "integer"},
    "fov-location": {"x": "numbers", "y": "numbers", "z": "numbers", "n_xyz": "integers"},
    "brain-regions": {"related_descriptions": "json"},
    "chronic-insertions": {"probe_insertion": "json"},
}
#: Endpoints whose rows have neither id nor url, but a name that the database keeps unique.
NAMED = frozenset({"labs", "locations", "projects", "data-repository"})
#: Formats of times. Alyx omits microseconds that are zero, and Polars parses those times three times as fast.
TIMES = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%.f")
DATE = "%Y-%m-%d"
#: Floats represent all integers below this exactly.
EXACT = 2**53
#: Maximum depth of nested structs; deeper values are JSON text.
DEPTH = 6


@dataclass(frozen=True)
class Columns:
    """The columns of an endpoint's list.

    ``read`` has the types with which Polars reads the JSON. ``times`` and ``dates`` are text columns that are then
    parsed; ``free`` are the columns of JSON text.
    """

    endpoint: str
    read: Mapping[str, Type]
    times: frozenset[str] = frozenset()
    dates: frozenset[str] = frozenset()
    free: frozenset[str] = frozenset()

    @property
    def schema(self) -> dict[str, Type]:
        """Names and types of the resulting columns."""
        import polars as pl

        return {
            name: pl.Datetime("us") if name in self.times else pl.Date() if name in self.dates else kind
            for name, kind in self.read.items()
        }

    @cached_property
    def wide(self) -> dict[str, Type]:
        """Types of the first reading: integers as floats, since Polars would truncate fractions silently."""
        return {name: _widened(kind) for name, kind in self.read.items()}

    @property
    def moments(self) -> frozenset[str]:
        """Columns of times and dates."""
        return self.times | self.dates

    @property
    def key(self) -> str | None:
        """The column that identifies rows: id, else url, else a unique name; None if there is none."""
        names = ("id", "url", "name") if self.endpoint in NAMED else ("id", "url")
        return next((name for name in names if name in self.read), None)


@dataclass
class Notes:
    """Values that became null, counted by column, and fields of rows that the server does not document."""

    unfit: dict[str, int] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)

    def count(self, column: str, values: int = 1) -> None:
        """Count values of a column that became null."""
        if values:
            self.unfit[column] = self.unfit.get(column, 0) + values


def columns_of(schema: Schema, endpoint: str) -> Columns:
    """Return the columns of an endpoint's list by the server's OpenAPI document. Raises AnswerError if it has none."""
    import polars as pl

    schema.check(endpoint, "list")
    properties: JSON = schema.row(endpoint).get("properties", {})
    if not properties:
        raise AnswerError(f"the server's schema does not document the fields of {endpoint}", url=endpoint)
    read: dict[str, Type] = {}
    times, dates, free = set(), set(), set()
    corrections = SCHEMA_CORRECTIONS.get(endpoint, {})
    lists = {"texts": pl.String(), "numbers": pl.Float64(), "integers": pl.Int64()}
    for name, declared in {
        **properties,
        **{name: {} for name in corrections.keys() - properties.keys()},
    }.items():
        kind = corrections.get(name) or kind_of(schema, declared)
        if kind == "date-time":
            times.add(name)
        elif kind == "date":
            dates.add(name)
        elif kind == "json":
            free.add(name)
        read[name] = pl.List(lists[kind]) if kind in lists else _type(schema, declared, kind)
    return Columns(endpoint, read, frozenset(times), frozenset(dates), frozenset(free))


def kind_of(schema: Schema, declared: JSON) -> str:
    """Return the type of a documented field: ``date``, ``date-time``, ``json`` for any, or OpenAPI's name."""
    declared = resolved(schema, declared)
    if declared.get("type") == "string":
        format_ = declared.get("format")
        return format_ if format_ in ("date", "date-time") else "string"
    if "enum" in declared or "oneOf" in declared:
        return "string"
    return str(declared.get("type") or ("object" if declared.get("properties") else "json"))


def resolved(schema: Schema, declared: JSON) -> JSON:
    """Resolve a reference, also one that is the only item of ``allOf``."""
    parts = declared.get("allOf")
    if isinstance(parts, list) and len(parts) == 1:
        return schema.resolve({**parts[0]})
    return schema.resolve(declared)


def _type(schema: Schema, declared: JSON, kind: str, depth: int = DEPTH) -> Type:
    import polars as pl

    declared = resolved(schema, declared)
    if kind == "array" and depth:
        items = declared.get("items", {})
        return pl.List(_type(schema, items, kind_of(schema, items), depth - 1))
    if kind == "object" and declared.get("properties") and depth:
        return pl.Struct(
            {
                name: _type(schema, of, kind_of(schema, of), depth - 1)
                for name, of in declared["properties"].items()
            }
        )
    return {"integer": pl.Int64(), "number": pl.Float64(), "boolean": pl.Boolean()}.get(kind, pl.String())


# ---- rows into frames --------------------------------------------------------------------------------------


def frame_of(rows: Sequence[JSON], columns: Columns, notes: Notes | None = None) -> pl.DataFrame:
    """Convert the rows of a list to a frame; blocking. Values that do not fit their column become null."""
    import polars as pl
    from pydantic_core import to_json

    notes = notes if notes is not None else Notes()
    if not rows:
        return pl.DataFrame(schema=columns.schema)
    for row in rows:
        notes.unknown.update(row.keys() - columns.read.keys())
    try:
        return _typed(_read(to_json(_with_json_text(rows, columns.free)), columns.wide), columns, notes)
    except pl.exceptions.ComputeError:
        converted = [
            {name: _convert(row.get(name), kind, name, notes) for name, kind in columns.read.items()}
            for row in rows
        ]
        return _typed(_read(to_json(converted), columns.read), columns, notes)


def page_frame(
    content: bytes, columns: Columns, notes: Notes, *, check: bool = False
) -> tuple[int, bool, pl.DataFrame]:
    """Parse one page: return the server's count, whether it is the last page, and its rows; blocking.

    Polars alone parses pages of endpoints without ``free`` columns, without a Python object for each value. With
    ``check``, undocumented fields of the first row are then noted too.
    """
    import polars as pl
    from pydantic_core import from_json

    if not columns.free and not has_surrogates(content):
        try:
            if check:
                notes.unknown.update(_first_row(content).keys() - columns.read.keys())
            whole: dict[str, Type] = {
                "count": pl.Int64,
                "next": pl.String,
                "results": pl.List(pl.Struct(columns.wide)),
            }
            page = pl.read_json(io.BytesIO(content), schema=whole)
            rows = page["results"].explode(empty_as_null=False).struct.unnest()
            if page["count"][0] is not None and page["count"][0] >= 0:
                return page["count"][0], page["next"][0] is None, _typed(rows, columns, notes)
        except (pl.exceptions.ComputeError, json.JSONDecodeError):
            pass
    try:
        try:
            answer = from_json(content)
        except ValueError:  # also lone surrogates, which Python accepts
            answer = read_json(content)
    except (ValueError, RecursionError) as error:
        raise AnswerError(f"{columns.endpoint} answered with content that is not JSON ({error})") from None
    if isinstance(answer, list):
        return len(answer), True, frame_of(answer, columns, notes)
    if not isinstance(answer, dict) or not {"count", "next", "results"} <= answer.keys():
        raise AnswerError(f"{columns.endpoint} answered with something that is no list")
    read = page_of({"previous": None, **answer}, columns.endpoint)
    return read.count, read.last, frame_of(read.rows, columns, notes)


def _first_row(content: bytes) -> Mapping[str, JSON]:
    """Parse the first row of a page only."""
    start = content.find(b'"results":[{')
    if start < 0:
        return {}
    row: Mapping[str, JSON] = json.JSONDecoder().raw_decode(content[start + 11 :].decode(errors="replace"))[0]
    return row


def _with_json_text(rows: Sequence[JSON], free: Iterable[str]) -> Sequence[JSON]:
    """Convert the values of ``free`` columns to JSON text; None stays None."""
    if not free:
        return rows
    texts = [{name: _text(row[name]) for name in free if row.get(name) is not None} for row in rows]
    return [{**row, **text} for row, text in zip(rows, texts, strict=True)]


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _read(content: bytes, schema: Mapping[str, Type]) -> pl.DataFrame:
    import polars as pl

    return pl.read_json(io.BytesIO(content), schema=dict(schema))


def _widened(kind: Any) -> Type:
    import polars as pl

    if isinstance(kind, pl.List):
        return pl.List(_widened(kind.inner))
    if isinstance(kind, pl.Struct):
        return pl.Struct({part.name: _widened(part.dtype) for part in kind.fields})
    wide: Type = pl.Float64() if kind == pl.Int64 else kind
    return wide


def _typed(frame: pl.DataFrame, columns: Columns, notes: Notes) -> pl.DataFrame:
    """Convert texts to times and dates, and floats to integers.

    Raises ComputeError for a float that is not an integer or is too large to be exact.
    """
    import polars as pl

    numbers = {name: kind for name, kind in columns.read.items() if frame.schema[name] != kind}
    for name, kind in numbers.items():
        for leaf in _integer_leaves(frame[name], kind):
            values = leaf.drop_nulls().to_numpy()
            if ((values != np.floor(values)) | (np.abs(values) >= EXACT)).any():
                raise pl.exceptions.ComputeError(f"{name} contains numbers that are not integers")
    casts = [pl.col(name).cast(kind) for name, kind in numbers.items()]
    typed = frame.with_columns(*casts, *(_parsed_time(name, columns, 0) for name in columns.moments))
    for name in columns.moments:
        missing = frame[name].null_count()
        if typed[name].null_count() > missing and name in columns.times:
            typed = typed.with_columns(frame.select(_parsed_time(name, columns, 1)))
        notes.count(name, typed[name].null_count() - missing)
    return typed


def _parsed_time(name: str, columns: Columns, nth: int) -> pl.Expr:
    import polars as pl

    kind, written = (pl.Datetime("us"), TIMES[nth]) if name in columns.times else (pl.Date(), DATE)
    return pl.col(name).str.strptime(kind, written, strict=False)


def _integer_leaves(column: pl.Series, kind: Any) -> Iterator[pl.Series]:
    """Yield the values of integer type, also those in lists and structs."""
    import polars as pl

    if isinstance(kind, pl.List):
        yield from _integer_leaves(column.explode(empty_as_null=True), kind.inner)
    elif isinstance(kind, pl.Struct):
        for part in kind.fields:
            yield from _integer_leaves(column.struct.field(part.name), part.dtype)
    elif kind == pl.Int64:
        yield column


def _convert(value: Any, kind: Any, name: str, notes: Notes) -> Any:
    """Return a value that fits its column: anything as JSON text in text columns; else null if the type is wrong."""
    import polars as pl

    if value is None:
        return None
    if kind == pl.String:
        return value if isinstance(value, str) else _text(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(kind, pl.List) and isinstance(value, list):
        return [_convert(item, kind.inner, name, notes) for item in value]
    if isinstance(kind, pl.Struct) and isinstance(value, dict):
        return {part.name: _convert(value.get(part.name), part.dtype, name, notes) for part in kind.fields}
    if (kind == pl.Boolean and isinstance(value, bool)) or (kind == pl.Float64 and number):
        return value
    if kind == pl.Int64 and number and float(value).is_integer() and abs(value) < 2**63:
        return int(value)
    notes.count(name)
    return None
