"""Columns and dtypes of the cache tables, and the conversion of Parquet files of all formats since 2021.

Ids are strings: ``eid`` (session), ``did`` (dataset), ``pid`` (insertion). In Parquet files they are called ``id``
(and ``eid``), were pairs of integers in 2021 (``id_0``, ``id_1``), and may be 16-byte binaries.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from one_async.errors import TablesDamaged
from one_async.tables.polars_files import read_parquet

__all__ = ["DATASETS", "IDS", "INSERTIONS", "QC_LEVELS", "SCHEMAS", "SESSIONS", "canonical", "read_table"]

#: QC names from good to bad, the order used by ``dataset_qc_lte``.
QC_LEVELS: Final = pl.Enum(["NOT_SET", "PASS", "WARNING", "FAIL", "CRITICAL"])

SESSIONS: Final[Mapping[str, pl.DataType]] = {
    "eid": pl.String(),
    "lab": pl.String(),
    "subject": pl.String(),
    "date": pl.Date(),
    "number": pl.UInt16(),
    "task_protocol": pl.String(),
    "projects": pl.String(),
}
DATASETS: Final[Mapping[str, pl.DataType]] = {
    "did": pl.String(),
    "eid": pl.String(),
    "rel_path": pl.String(),
    "file_size": pl.UInt64(),
    "hash": pl.String(),
    "exists": pl.Boolean(),
    "qc": QC_LEVELS,
    "default_revision": pl.Boolean(),
}
INSERTIONS: Final[Mapping[str, pl.DataType]] = {
    "pid": pl.String(),
    "eid": pl.String(),
    "name": pl.String(),
    "model": pl.String(),
    "serial": pl.String(),
    "chronic_insertion": pl.String(),
    "json": pl.String(),
}
SCHEMAS: Final = {"sessions": SESSIONS, "datasets": DATASETS, "insertions": INSERTIONS}
#: The name of each table's own id here; in parquet files it is ``id``.
IDS: Final = {"sessions": "eid", "datasets": "did", "insertions": "pid"}

# The columns that a file of a table must have; others are filled, or left out as ONE-api does.
_NEEDED: Final = {
    "sessions": ("eid", "subject", "date", "number"),
    "datasets": ("did", "eid", "rel_path"),
    "insertions": ("pid", "eid"),
}
_FILLED: Final[dict[str, dict[str, Any]]] = {
    "sessions": {"lab": "", "task_protocol": "", "projects": ""},
    "datasets": {"file_size": None, "hash": None, "exists": True, "qc": "NOT_SET"},
    "insertions": {"name": None},
}
#: The names that pandas gives to unnamed index levels.
_LEVELS: Final = ("__index_level_0__", "__index_level_1__")
#: The columns that contain ids.
_ID_COLUMNS: Final = ("id", "eid", "did", "pid")
_ANY_UUID: Final = r"(?i)^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
_QC_NAMES: Final = {0: "NOT_SET", 10: "PASS", 30: "WARNING", 40: "FAIL", 50: "CRITICAL"}


def read_table(path: Path, table: str | None = None) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Read a cache table of any format: its frame with our columns, and its ``one_metadata``.

    Raises TablesDamaged, which names the file, if it is truncated, not parquet, or not that table.
    """
    try:
        frame, metadata = read_parquet(path)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        raise _damaged(path, str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    try:
        raw = json.loads(metadata.get("one_metadata", "{}"))
    except ValueError as error:
        raise _damaged(path, "its one_metadata is no JSON") from error
    if not isinstance(raw, dict) or "date_created" not in raw:
        raise _damaged(path, "it has no one_metadata with date_created, so it is no cache table")
    try:
        return canonical(table or path.stem, frame), raw
    except (pl.exceptions.PolarsError, ValueError, KeyError) as error:
        raise _damaged(path, str(error).splitlines()[0]) from error


def _damaged(path: Path, why: str) -> TablesDamaged:
    return TablesDamaged(f"{path} cannot be read as a cache table: {why}", path=str(path))


def canonical(table: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Convert a frame to our columns and dtypes; missing optional columns are filled as in ONE-api, extra ones are kept.

    Raises ValueError if a required column is missing.
    """
    frame = _text_ids(_joined_ids(frame))
    own = IDS.get(table)
    if own is None:
        return frame
    if own not in frame.columns:
        frame = frame.rename(_id_names(table, frame.columns))
    if "project" in frame.columns and "projects" not in frame.columns:
        frame = frame.rename({"project": "projects"})
    missing = [name for name in _NEEDED[table] if name not in frame.columns]
    if missing:
        raise ValueError(f"it has no {' and no '.join(missing)} column")
    schema = SCHEMAS[table]
    fill = [
        pl.lit(value, dtype=schema[name]).alias(name)
        for name, value in _FILLED[table].items()
        if name not in frame.columns
    ]
    frame = frame.with_columns(fill) if fill else frame
    casts = [_cast(frame, name, dtype) for name, dtype in schema.items() if name in frame.columns]
    # In tables of 2021, session_path repeats the sessions table; ONE-api drops it, too
    extra = [name for name in frame.columns if name not in schema and name != "session_path"]
    # Rows without an id belong to no session or are no records
    return frame.select(*casts, *extra).drop_nulls([name for name in ("eid", own) if name in schema])


def _id_names(table: str, columns: list[str]) -> dict[str, str]:
    """Return our name of each id column: ``id``, or unnamed index levels."""
    if "id" in columns:
        return {"id": IDS[table]}
    if table == "datasets" and set(_LEVELS) <= set(columns):  # in ONE-api's order
        return dict(zip(_LEVELS, ("eid", IDS[table]), strict=True))
    return {_LEVELS[0]: IDS[table]} if _LEVELS[0] in columns else {}


def _joined_ids(frame: pl.DataFrame) -> pl.DataFrame:
    """Convert pairs of integer columns to UUID text; each column holds half of the UUID's bytes, little-endian."""
    import numpy as np

    from one_async.tables.columns import uuid_text

    for name in _ID_COLUMNS:
        pair = [f"{name}_0", f"{name}_1"]
        if set(pair) <= set(frame.columns):
            halves = np.column_stack([frame[part].cast(pl.Int64).to_numpy() for part in pair])
            text = uuid_text(np.ascontiguousarray(halves).view(np.uint8))
            frame = frame.drop(pair).with_columns(text.alias(name))
    return frame


def _text_ids(frame: pl.DataFrame) -> pl.DataFrame:
    out = []
    for name in (*_ID_COLUMNS, *_LEVELS):
        dtype = frame.schema.get(name)
        if dtype == pl.Binary:
            hexed = pl.col(name).bin.encode("hex")
            parts = [hexed.str.slice(*span) for span in ((0, 8), (8, 4), (12, 4), (16, 4), (20, 12))]
            out.append(pl.concat_str(parts, separator="-").alias(name))
        elif dtype is not None and dtype != pl.String:
            out.append(pl.col(name).cast(pl.String))
    frame = frame.with_columns(out) if out else frame
    return frame.with_columns(
        _lower_case(frame[name]) for name in (*_ID_COLUMNS, *_LEVELS) if name in frame.columns
    )


def _lower_case(ids: pl.Series) -> pl.Series:
    """Return ids with UUIDs in lower case, as lookups require; an id that is a path is unchanged."""
    if not ids.str.contains("[A-F]").any():
        return ids
    is_uuid = ids.str.contains(_ANY_UUID)
    return pl.select(pl.when(is_uuid).then(ids.str.to_lowercase()).otherwise(ids)).to_series().alias(ids.name)


def _cast(frame: pl.DataFrame, name: str, dtype: pl.DataType) -> pl.Expr:
    found = frame.schema[name]
    column = pl.col(name)
    if name == "qc":
        return _qc(column, found)
    if found == dtype:
        return column
    if name == "number":
        return _number(frame)
    if name == "file_size":  # only informative, so an invalid size counts as unknown
        return column.cast(dtype, strict=False)
    if name == "date":
        return _date(frame["date"])
    if found.is_float() and dtype.is_integer():
        return column.fill_nan(None).cast(dtype)
    if dtype == pl.String and not isinstance(found, pl.Categorical | pl.Enum | pl.Null) and found.is_nested():
        return column.map_elements(_to_json, return_dtype=pl.String)
    return column.cast(dtype)


def _qc(column: pl.Expr, found: pl.DataType) -> pl.Expr:
    """Parse QC given as names or numbers; missing and unknown values become NOT_SET."""
    if found == QC_LEVELS:
        read = column
    elif found.is_numeric():
        read = column.replace_strict(_QC_NAMES, default=None, return_dtype=QC_LEVELS)
    else:
        read = column.cast(pl.String).cast(QC_LEVELS, strict=False)
    return read.fill_null(pl.lit("NOT_SET", dtype=QC_LEVELS)).alias("qc")


def _number(frame: pl.DataFrame) -> pl.Expr:
    """Parse session numbers; the column has a wider type if a number is too large for the usual one."""
    numbers = frame["number"].cast(pl.Int64, strict=False)
    fits = bool(numbers.is_between(0, 2**16 - 1).all())
    return pl.lit(numbers.cast(pl.UInt16) if fits else numbers)


def _date(dates: pl.Series) -> pl.Expr:
    """Convert to dates: of texts the first ten characters, of times the day where they were recorded.

    A text that is no date becomes null, unless no text is one. Raises InvalidOperationError for columns of other types.
    """
    if isinstance(dates.dtype, pl.Datetime):
        dates = dates.dt.replace_time_zone(None)
    if isinstance(dates.dtype, pl.Categorical | pl.Enum):
        dates = dates.cast(pl.String)
    if dates.dtype.is_numeric():  # a cast would take numbers for days since 1970
        if dates.cast(pl.Float64).fill_nan(None).count():
            raise pl.exceptions.InvalidOperationError("column 'date' has numbers instead of dates")
        dates = dates.clear(len(dates)).cast(pl.Date)
    if dates.dtype != pl.String:
        return pl.lit(dates.cast(pl.Date))
    days = dates.str.strip_chars().str.slice(0, 10).str.replace_all("/", "-", literal=True)
    found = days.str.to_date("%Y-%m-%d", strict=False)
    return pl.lit(found if found.count() or not days.count() else days.str.to_date("%Y-%m-%d"))


def _to_json(value: Any) -> str:
    return json.dumps(value.to_list() if isinstance(value, pl.Series) else value)
