"""Lists as Polars frames: the columns that the server documents (OpenAPI), whatever rows happen to come.

Polars guesses columns from the first rows and drops keys that it sees later, so it is never left to guess. Objects and
arrays that are documented become structs and lists; what may be anything (``json`` fields) stays JSON text.

Numbers that a column of whole numbers cannot hold become null and are noted; a number in a text column becomes its text,
which may be written in another way (1.0 as 1). What is not documented is left out: in the rows of the first page that is
noted, inside of documented objects it is not.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from one_async.alyx.answers import has_surrogates, read_json
from one_async.alyx.paging import page_of
from one_async.alyx.schema import Schema
from one_async.errors import AnswerError
from one_async.types import JSON

if TYPE_CHECKING:
    import polars as pl

    Type: TypeAlias = pl.DataType | type[pl.DataType]

#: What lists really give where the OpenAPI document calls a computed field a text, or leaves it out.
FOUND: Mapping[str, Mapping[str, str]] = {
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
#: Endpoints whose rows show neither id nor address, but a name that the database keeps unique.
NAMED = frozenset({"labs", "locations", "projects", "data-repository"})
#: How times and dates are written; Alyx leaves out microseconds that are zero, and Polars reads those three times as fast.
TIMES = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%.f")
DATE = "%Y-%m-%d"
#: Below this, numbers with a point are exact for whole ones.
EXACT = 2**53
DEPTH = 6  # of structs in structs; deeper is JSON text


@dataclass(frozen=True)
class Columns:
    """The columns of an endpoint's list.

    ``read`` is how Polars reads the JSON, ``times`` and ``dates`` which texts then become what, ``free`` which
    columns hold JSON text, ``fields`` the JSON types that each column takes.
    """

    endpoint: str
    read: Mapping[str, Type]
    times: frozenset[str] = frozenset()
    dates: frozenset[str] = frozenset()
    free: frozenset[str] = frozenset()

    @property
    def schema(self) -> dict[str, Type]:
        """Names and types as they come out."""
        import polars as pl

        out = {
            name: pl.Datetime("us") if name in self.times else pl.Date if name in self.dates else kind
            for name, kind in self.read.items()
        }
        return dict(out)

    @cached_property
    def wide(self) -> dict[str, Type]:
        """How the JSON is read first: whole numbers as any numbers, which Polars would cut off without a word."""
        return {name: _widened(kind) for name, kind in self.read.items()}

    @property
    def moments(self) -> frozenset[str]:
        """The columns of times and dates."""
        return self.times | self.dates

    @property
    def key(self) -> str | None:
        """The column that tells rows apart: id, else url, else a name that is unique; None where rows have none."""
        names = ("id", "url", "name") if self.endpoint in NAMED else ("id", "url")
        return next((name for name in names if name in self.read), None)


@dataclass
class Notes:
    """What did not fit: values made null, by column, and fields that the server gives but does not document."""

    unfit: dict[str, int] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)

    def count(self, column: str, values: int = 1) -> None:
        """Count values of a column that were made null."""
        if values:
            self.unfit[column] = self.unfit.get(column, 0) + values


def columns_of(schema: Schema, endpoint: str) -> Columns:
    """Read an endpoint's columns from the server's OpenAPI document; AnswerError where it documents none."""
    import polars as pl

    schema.check(endpoint, "list")
    properties: JSON = schema.row(endpoint).get("properties", {})
    if not properties:
        raise AnswerError(f"the server's schema says nothing about the fields of {endpoint}", url=endpoint)
    read: dict[str, Type] = {}
    times, dates, free = set(), set(), set()
    found = FOUND.get(endpoint, {})
    lists = {"texts": pl.String(), "numbers": pl.Float64(), "integers": pl.Int64()}
    for name, said in {**properties, **{name: {} for name in found.keys() - properties.keys()}}.items():
        kind = found.get(name) or _kind(schema, said)
        if kind == "date-time":
            times.add(name)
        elif kind == "date":
            dates.add(name)
        elif kind == "json":
            free.add(name)
        read[name] = pl.List(lists[kind]) if kind in lists else _type(schema, said, kind)
    return Columns(endpoint, read, frozenset(times), frozenset(dates), frozenset(free))


def _kind(schema: Schema, said: JSON) -> str:
    said = _whole(schema, said)
    if said.get("type") == "string":
        format_ = said.get("format")
        return format_ if format_ in ("date", "date-time") else "string"
    if "enum" in said or "oneOf" in said:
        return "string"
    return str(said.get("type") or ("object" if said.get("properties") else "json"))


def _whole(schema: Schema, said: JSON) -> JSON:
    """Follow references, also one that stands alone in ``allOf``."""
    parts = said.get("allOf")
    if isinstance(parts, list) and len(parts) == 1:
        return schema.resolve({**parts[0]})
    return schema.resolve(said)


def _type(schema: Schema, said: JSON, kind: str, depth: int = DEPTH) -> Type:
    import polars as pl

    said = _whole(schema, said)
    if kind == "array" and depth:
        items = said.get("items", {})
        return pl.List(_type(schema, items, _kind(schema, items), depth - 1))
    if kind == "object" and said.get("properties") and depth:
        return pl.Struct(
            {name: _type(schema, of, _kind(schema, of), depth - 1) for name, of in said["properties"].items()}
        )
    return {"integer": pl.Int64(), "number": pl.Float64(), "boolean": pl.Boolean()}.get(kind, pl.String())


# ---- rows into frames --------------------------------------------------------------------------------------


def frame_of(rows: Sequence[JSON], columns: Columns, notes: Notes | None = None) -> pl.DataFrame:
    """Make a frame of the rows of a list; blocking. Values that no column can hold become null and are noted."""
    import polars as pl
    from pydantic_core import to_json

    notes = notes if notes is not None else Notes()
    if not rows:
        return pl.DataFrame(schema=columns.schema)
    for row in rows:
        notes.unknown.update(row.keys() - columns.read.keys())
    try:
        return _typed(_read(to_json(_with_texts(rows, columns.free)), columns.wide), columns, notes)
    except pl.exceptions.ComputeError:
        fitted = [
            {name: _fit(row.get(name), kind, name, notes) for name, kind in columns.read.items()}
            for row in rows
        ]
        return _typed(_read(to_json(fitted), columns.read), columns, notes)


def page_frame(
    content: bytes, columns: Columns, notes: Notes, *, check: bool = False
) -> tuple[int, bool, pl.DataFrame]:
    """Read one page: how many rows the server counts, whether it is the last page, and its rows; blocking.

    Pages of endpoints without free JSON are read by Polars alone, without a Python object for each value; with ``check``
    the first row is also looked at for fields that are not documented.
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
        except ValueError:  # also of lone surrogates, which Python reads
            answer = read_json(content)
    except (ValueError, RecursionError) as error:
        raise AnswerError(f"{columns.endpoint} answered with something that is not JSON ({error})") from None
    if isinstance(answer, list):
        return len(answer), True, frame_of(answer, columns, notes)
    if not isinstance(answer, dict) or not {"count", "next", "results"} <= answer.keys():
        raise AnswerError(f"{columns.endpoint} answered with something that is no list")
    read = page_of({"previous": None, **answer}, columns.endpoint)
    return read.count, read.last, frame_of(read.rows, columns, notes)


def _first_row(content: bytes) -> Mapping[str, JSON]:
    """Give the first row of a page, without reading the others."""
    start = content.find(b'"results":[{')
    if start < 0:
        return {}
    row: Mapping[str, JSON] = json.JSONDecoder().raw_decode(content[start + 11 :].decode(errors="replace"))[0]
    return row


def _with_texts(rows: Sequence[JSON], free: Iterable[str]) -> Sequence[JSON]:
    """Turn the columns that may hold anything into JSON text; None stays."""
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
    """Make times, dates and whole numbers of what was read as text and as any numbers.

    ComputeError if some are no whole numbers, or are too large to be told from others.
    """
    import polars as pl

    numbers = {name: kind for name, kind in columns.read.items() if frame.schema[name] != kind}
    for name, kind in numbers.items():
        for leaf in _whole_numbers(frame[name], kind):
            values = leaf.drop_nulls().to_numpy()
            if ((values != np.floor(values)) | (np.abs(values) >= EXACT)).any():
                raise pl.exceptions.ComputeError(f"{name} holds what are no whole numbers")
    casts = [pl.col(name).cast(kind) for name, kind in numbers.items()]
    typed = frame.with_columns(*casts, *(_moment(name, columns, 0) for name in columns.moments))
    for name in columns.moments:
        missing = frame[name].null_count()
        if typed[name].null_count() > missing and name in columns.times:
            typed = typed.with_columns(frame.select(_moment(name, columns, 1)))
        notes.count(name, typed[name].null_count() - missing)
    return typed


def _moment(name: str, columns: Columns, nth: int) -> pl.Expr:
    import polars as pl

    kind, written = (pl.Datetime("us"), TIMES[nth]) if name in columns.times else (pl.Date(), DATE)
    return pl.col(name).str.strptime(kind, written, strict=False)


def _whole_numbers(column: pl.Series, kind: Any) -> Iterator[pl.Series]:
    """Give what should be whole numbers, also in lists and structs."""
    import polars as pl

    if isinstance(kind, pl.List):
        yield from _whole_numbers(column.explode(empty_as_null=True), kind.inner)
    elif isinstance(kind, pl.Struct):
        for part in kind.fields:
            yield from _whole_numbers(column.struct.field(part.name), part.dtype)
    elif kind == pl.Int64:
        yield column


def _fit(value: Any, kind: Any, name: str, notes: Notes) -> Any:
    """Make a value such that its column takes it: text columns take anything, as JSON text; others what they hold."""
    import polars as pl

    if value is None:
        return None
    if kind == pl.String:
        return value if isinstance(value, str) else _text(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(kind, pl.List) and isinstance(value, list):
        return [_fit(item, kind.inner, name, notes) for item in value]
    if isinstance(kind, pl.Struct) and isinstance(value, dict):
        return {part.name: _fit(value.get(part.name), part.dtype, name, notes) for part in kind.fields}
    if (kind == pl.Boolean and isinstance(value, bool)) or (kind == pl.Float64 and number):
        return value
    if kind == pl.Int64 and number and float(value).is_integer() and abs(value) < 2**63:
        return int(value)
    notes.count(name)
    return None
