"""Tables from parquet and delimited text as Polars frames, with the meaning that pandas gave them."""

from __future__ import annotations

import csv
import io
import json
import re
from itertools import islice
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import polars as pl

from one_async._fork import check_polars

__all__ = ["read_delimited", "read_parquet"]

#: What pandas takes for a missing value in text, so that both give the same cells as missing.
_MISSING: Final = [
    "", " ", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>",
    "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
]  # fmt: skip
_TRUTH: Final = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}
#: A whole number of more than 128 bits, which has at least so many digits.
_TOO_LONG: Final = r"^[+-]?[0-9]{39,}$"


def read_parquet(file: Path) -> tuple[pl.DataFrame, list[str]]:
    """Read a parquet file; give the frame and the names of those columns that are a pandas index.

    A pandas index that only counts rows from 0 is left out; another one without a name becomes column
    ``index``. Columns of 16-byte values, which is how UUIDs are stored, come as UUID text.
    """
    check_polars()
    data = file.read_bytes()  # by content, since Polars gives some characters of a path a meaning
    frame = pl.read_parquet(io.BytesIO(data))
    pandas = json.loads(pl.read_parquet_metadata(io.BytesIO(data)).get("pandas", "{}"))
    index: list[str] = []
    for column in pandas.get("index_columns", []):
        if isinstance(column, dict):
            frame = _with_range_index(frame, column, index)
        elif column in frame.columns:
            frame = _with_stored_index(frame, column, index)
    uuids = [_uuid_text(frame[name]) for name, dtype in frame.schema.items() if dtype == pl.Binary]
    return frame.with_columns(*uuids), index


def _with_range_index(frame: pl.DataFrame, described: dict[str, Any], index: list[str]) -> pl.DataFrame:
    start, step, name = described.get("start", 0), described.get("step", 1), described.get("name") or "index"
    if (start, step) == (0, 1) or name in frame.columns:
        return frame
    index.append(name)
    return frame.select(pl.int_range(pl.len(), dtype=pl.Int64).mul(step).add(start).alias(name), pl.all())


def _with_stored_index(frame: pl.DataFrame, column: str, index: list[str]) -> pl.DataFrame:
    name = column
    if re.fullmatch(r"__index_level_\d+__", column):
        values = frame[column]
        counts = values.dtype.is_integer() and values.equals(
            pl.Series(range(len(values)), dtype=values.dtype)
        )
        if counts:
            return frame.drop(column)
        name = "index" if "index" not in frame.columns else column
    index.append(name)
    return frame.rename({column: name})


def _uuid_text(series: pl.Series) -> pl.Series:
    values = series.to_list()
    if any(value is not None and len(value) != 16 for value in values):
        return series
    text = [None if value is None else str(UUID(bytes=value)) for value in values]
    return pl.Series(series.name, text, dtype=pl.String)


def read_delimited(file: Path, separator: str) -> tuple[pl.DataFrame, list[str]]:
    """Read delimited text whose first row names the columns; give the frame and the names of its index columns.

    Types are found from all rows: whole numbers, else numbers, else true and false, else text; missing values by
    pandas' list, and blank lines left out, as pandas does. Fields that rows have before those that have names
    are pandas' index: a column ``index``, or of several ``level_0``, ``level_1``, …
    """
    check_polars()
    data = _with_line_feeds(file.read_bytes())
    if b'"' not in data:  # a blank line between quotes would be text
        data = re.sub(rb"(?m)^[ \t]*\r?\n" if separator == "," else rb"(?m)^\r?\n", b"", data)
    levels = _unnamed_fields(data, separator)
    table = pl.read_csv(
        io.BytesIO(separator.encode() * levels + data),
        separator=separator,
        has_header=False,
        infer_schema=False,
        null_values=_MISSING,
    )
    index = ["index"] if levels == 1 else [f"level_{level}" for level in range(levels)]
    given = [name or f"Unnamed: {i}" for i, name in enumerate(table.row(0)[levels:])]
    columns = [
        _typed(series.alias(name))
        for series, name in zip(table[1:].get_columns(), _unique([*index, *given]), strict=True)
    ]
    return pl.DataFrame(columns), index


def _with_line_feeds(data: bytes) -> bytes:
    """Give text whose lines end as Polars takes them, where some end as on old Macintosh computers."""
    if not re.search(rb"\r(?!\n)", data):
        return data
    return re.sub(rb'"[^"]*"|\r\n?', lambda found: found[0] if found[0][:1] == b'"' else b"\n", data)


def _unnamed_fields(data: bytes, separator: str) -> int:
    """Count the fields that the first row has more than the header."""
    text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", errors="replace", newline="")
    try:
        header, first = islice(filter(None, csv.reader(text, delimiter=separator)), 2)
    except (ValueError, csv.Error):  # fewer than two lines, or what Polars will complain of
        return 0
    return max(0, len(first) - len(header))


def _unique(names: list[str]) -> list[str]:
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        count = seen.get(name, 0)
        seen[name] = count + 1
        unique.append(f"{name}.{count}" if count else name)
    return unique


def _typed(text: pl.Series) -> pl.Series:
    words = text.str.strip_chars()
    present = text.is_not_null().sum()
    for dtype in (pl.Int64, pl.UInt64, pl.Int128, pl.Float64):
        numbers = words.cast(dtype, strict=False)
        if present and numbers.is_not_null().sum() == present:
            # A whole number of which a float would keep the first digits only stays text.
            return text if dtype == pl.Float64 and words.str.contains(_TOO_LONG).any() else numbers
    truth = words.replace_strict(_TRUTH, default=None, return_dtype=pl.Boolean)
    if present and truth.is_not_null().sum() == present:
        return truth
    return text.cast(pl.Float64) if len(text) and not present else text
