"""Convert Polars frames to pandas, and pandas rows to dictionaries. pandas is imported on first use."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

#: Cache tables: the columns that identify a table, and the columns that become its index.
TABLES = (
    ({"did", "eid", "rel_path"}, ("eid", "did")),
    ({"did", "rel_path"}, ("did",)),
    ({"pid", "eid", "name"}, ("pid",)),
    ({"eid", "subject", "date", "number"}, ("eid",)),
)
#: The name of the table's own id in the index, as in ONE-api.
OWN = "id"


def has_frames(value: Any) -> bool:
    """Return whether a result is or contains Polars frames; only the first member of a list is checked."""
    pl = sys.modules.get("polars")
    if pl is None:
        return False
    if isinstance(value, pl.DataFrame | pl.LazyFrame | pl.Series) or hasattr(value, "_frames"):
        return True
    if isinstance(value, tuple):
        return any(map(has_frames, value))
    if isinstance(value, list):
        return bool(value) and has_frames(value[0])
    return isinstance(value, Mapping) and any(map(has_frames, value.values()))


def as_pandas(value: Any, indexed: bool = True) -> Any:
    """Convert the Polars frames of a result to pandas; lazy frames are collected.

    Tables of sessions, datasets and insertions have an index of UUIDs: of the eid and the dataset's id if they have both.
    Integers with missing values stay integers, and dates are `datetime.date`.
    """
    import polars as pl

    if isinstance(value, pl.LazyFrame):
        value = value.collect()
    if isinstance(value, pl.DataFrame):
        return _frame(value, indexed)
    if isinstance(value, pl.Series):
        return _column(value)
    if hasattr(value, "_frames"):  # a HarvestReport
        value._frames.update({name: as_pandas(frame, indexed) for name, frame in value._frames.items()})
        return value
    if isinstance(value, tuple):
        parts = [as_pandas(one, indexed) for one in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, list):
        return [as_pandas(one, indexed) for one in value]
    if isinstance(value, dict) and has_frames(value):
        value.update({name: as_pandas(one, indexed) for name, one in value.items()})
    return value


def _frame(frame: pl.DataFrame, indexed: bool) -> pd.DataFrame:
    import pandas as pd

    index: tuple[str, ...] = ()
    if indexed:
        columns = set(frame.columns)
        index = next((found for needed, found in TABLES if needed <= columns), ())
    if "did" in index and len(index) > 1 and frame["eid"].null_count() == frame.height > 0:
        index = ("did",)  # aggregates belong to no session
    data = {name: _column(frame[name]) for name in frame.columns if name not in index}
    made = pd.DataFrame(data, columns=list(data), index=pd.RangeIndex(frame.height))
    if not index:
        return made
    levels = [pd.Index(list(map(_uuid, frame[name])), dtype=object) for name in index]
    names = [OWN if name == index[-1] else name for name in index]
    made.index = (
        levels[0].rename(names[0]) if len(levels) == 1 else pd.MultiIndex.from_arrays(levels, names=names)
    )
    return made


def _uuid(text: str | None) -> UUID | None:
    return None if text is None else UUID(text)


def _column(column: pl.Series) -> pd.Series:
    import pandas as pd
    import polars as pl

    kind = column.dtype
    if isinstance(kind, pl.Enum):
        values = pd.Categorical(column.to_list(), categories=list(kind.categories), ordered=True)
        return pd.Series(values, name=column.name)
    if kind == pl.Date or kind == pl.String:
        return pd.Series(column.to_list(), name=column.name, dtype=object)
    if kind.is_integer() and column.null_count():
        name = str(kind)  # pandas calls its nullable integers as Polars does
        return pd.Series(column.to_list(), name=column.name, dtype=name)
    return column.to_pandas()


def rows_of_pandas(value: Any) -> Any:
    """Convert the rows of a pandas frame, a single pandas row, or those in a list to dictionaries; return others unchanged.

    The levels of the index become fields as well: `did` of a dataset's row, and `eid`.
    """
    pd = sys.modules.get("pandas")
    if pd is None:
        return value
    if isinstance(value, pd.DataFrame):
        if value.index.names == [None] and not _is_id(value.index[0] if len(value) else None):
            return [_row(row) for row in value.to_dict("records")]
        names = [
            _level(name, at, value.index.nlevels, value.columns) for at, name in enumerate(value.index.names)
        ]
        keys = [key if isinstance(key, tuple) else (key,) for key in value.index]
        rows = value.to_dict("records")
        return [
            _row({**dict(zip(names, key, strict=True)), **row}) for key, row in zip(keys, rows, strict=True)
        ]
    if isinstance(value, pd.Series) and not {"rel_path", "subject"}.isdisjoint(value.index):
        key = value.name if isinstance(value.name, tuple) else (value.name,)
        names = [_level(None, at, len(key), value.index) for at in range(len(key))]
        found = {name: one for name, one in zip(names, key, strict=True) if _is_id(one)}
        return _row({**found, **value.to_dict()})
    if isinstance(value, list | tuple) and any(isinstance(one, pd.Series | pd.DataFrame) for one in value):
        return [rows_of_pandas(one) for one in value]
    return value


def _level(name: Any, at: int, levels: int, columns: Any) -> str:
    """Return the name of the field for a level of the index."""
    if name not in (None, OWN):
        return str(name)
    if at < levels - 1:
        return "eid"
    return (
        "did" if "rel_path" in columns else "pid" if "name" in columns and "subject" not in columns else "eid"
    )


def _is_id(value: Any) -> bool:
    return isinstance(value, UUID) or (isinstance(value, str) and len(value) == 36)


def _row(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a row with ids as strings, and None for missing values."""
    pd = sys.modules["pandas"]
    made = {}
    for name, value in row.items():
        if isinstance(value, UUID):
            value = str(value)
        elif value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value):
            value = None
        made[str(name)] = value
    return made
