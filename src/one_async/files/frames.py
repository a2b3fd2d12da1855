"""Convert between frames and dicts of arrays, by ALF's rules for rows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from one_async._threads import check_polars
from one_async.errors import InputError
from one_async.files.timestamps import ts2vec

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import polars as pl

__all__ = ["check_dimensions", "columns_of", "split_table", "to_pandas", "to_polars"]

#: Arrays with more columns than this do not become columns of a frame one by one.
MOST_COLUMNS = 10


def check_dimensions(data: Mapping[str, Any]) -> int:
    """Return 0 if the number of rows of all arrays and frames is the same or 1, and 1 if not.

    ``timestamps`` may also be two synchronization points, shape (2, 2), which do not determine the number of rows.
    """
    rows = set()
    for key, value in data.items():
        shape = getattr(value, "shape", ())
        if not shape:
            continue
        if key.startswith("timestamps") and len(shape) > 1 and shape[1:] != (1,):
            if shape != (2, 2):
                return 1
            continue
        rows.add(shape[0])
    return int(not rows <= {max(rows, default=1), 1})


def columns_of(frame: pl.DataFrame | pl.Series | pd.DataFrame | pd.Series[Any]) -> dict[str, Any]:
    """Return the columns of a frame or series as separate numpy arrays.

    Values without a numpy dtype are returned as arrays of objects: times with a time zone, integers of more than 64 bits,
    and columns in which all values are missing.
    """
    import numpy as np

    if hasattr(frame, "to_frame"):
        frame = frame.to_frame()
    return {str(name): np.require(_array(frame[name]), requirements="W") for name in frame.columns}


def _array(column: Any) -> np.ndarray[Any, Any]:
    import numpy as np

    if getattr(column.dtype, "time_zone", None) or str(column.dtype) in ("Null", "Int128"):
        # Polars itself would return UTC without a zone, NaN, and an error, respectively.
        return np.array([*column.to_list(), None], dtype=object)[:-1]
    return column.to_numpy()  # type: ignore[no-any-return]


def split_table(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Join each pair of columns ``x_0`` and ``x_1`` to one array of shape (n, 2); other columns stay unchanged."""
    import numpy as np

    out = dict(columns)
    for name in columns:
        base = name.removesuffix("_0")
        if base != name and base and f"{base}_1" in columns:
            out[base] = np.column_stack([out.pop(name), out.pop(f"{base}_1")])
    return out


def _columns(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that have rows. Raises InputError if their numbers of rows differ."""
    import numpy as np

    if check_dimensions(data):
        lengths = ", ".join(
            f"{key} {len(value)}" for key, value in data.items() if getattr(value, "shape", ())
        )
        raise InputError(
            f"The data cannot be converted to a frame, since their numbers of rows differ: {lengths}"
        )
    listed = {key: np.asarray(value) if isinstance(value, list) else value for key, value in data.items()}
    arrays = {key: value for key, value in listed.items() if getattr(value, "shape", ())}
    sync = {key for key, value in arrays.items() if key.startswith("timestamps") and value.shape == (2, 2)}
    rows = max((len(value) for key, value in arrays.items() if key not in sync), default=2)
    for key, value in arrays.items():
        if key in sync and len(arrays) > len(sync):
            arrays[key] = ts2vec(value, rows)
        elif len(value) == 1 and isinstance(value, np.ndarray):
            arrays[key] = np.broadcast_to(value, (rows, *value.shape[1:]))
    return arrays


def _spread(key: str, value: Any) -> dict[str, Any]:
    """Return the columns of a value: a vector unchanged, a two-dimensional array column by column."""
    if hasattr(value, "columns"):
        return columns_of(value)
    if not hasattr(value, "ndim"):  # a Polars series, of a table with one column
        return {key: _array(value)}
    if value.ndim == 2 and value.shape[1] == 1:
        return {key: value[:, 0]}
    if value.ndim == 2:
        return {f"{key}_{number}": value[:, number] for number in range(value.shape[1])}
    return {key: value}


def to_polars(data: Mapping[str, Any]) -> pl.DataFrame:
    """Convert data to a Polars frame; wide and many-dimensional arrays become columns of arrays, without truncation.

    Arrays of objects get the common type of their values (strings, lists, times with a zone, …); None and NaN among them are
    missing values.
    """
    import numpy as np
    import polars as pl

    check_polars()
    columns: dict[str, Any] = {}
    for key, value in _columns(data).items():
        wide = isinstance(value, np.ndarray) and (
            value.ndim > 2 or (value.ndim == 2 and value.shape[1] > MOST_COLUMNS)
        )
        columns.update({key: pl.Series(key, np.ascontiguousarray(value))} if wide else _spread(key, value))
    return pl.DataFrame({key: _typed(value) for key, value in columns.items()})


def _typed(values: Any) -> Any:
    import numpy as np
    import polars as pl

    if not isinstance(values, np.ndarray) or values.dtype != object or values.ndim != 1:
        return values
    plain = [one.tolist() if isinstance(one, np.ndarray | np.generic) else one for one in values]
    present = [None if isinstance(one, float) and one != one else one for one in plain]
    try:
        return pl.Series(values=present, strict=False)
    except (pl.exceptions.PolarsError, TypeError, OverflowError):
        return pl.Series(values=present, dtype=pl.Object)


def to_pandas(data: Mapping[str, Any]) -> pd.DataFrame:
    """Convert data to a pandas frame as ONE-api does: at most 10 columns of an array, no arrays of over 2 dimensions."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for key, value in _columns(data).items():
        columns.update(_spread(key, value))
    for key, value in list(columns.items()):
        number = re.search(r"_(\d+)$", key)
        cut = number and int(number[1]) >= MOST_COLUMNS and key not in data
        if value.ndim > 1 or cut:
            del columns[key]
    return pd.DataFrame(columns)
