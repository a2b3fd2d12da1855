"""Concatenate frames of many sessions whose columns differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from one_async.errors import ALFError, InputError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["joined", "owned"]


def owned(data: Any, what: str, **owner: str) -> pl.DataFrame:
    """Convert an object to a frame with its owner's ids in each row: ``owned(trials, "trials", eid=eid)``.

    Raises ALFError with object and owner if the data cannot be converted to a frame or already have a column of that name.
    """
    import polars as pl

    whose = f"{what} of " + ", ".join(f"{name} {value}" for name, value in owner.items())
    try:
        frame: pl.DataFrame = data.to_frame()
    except InputError as error:
        raise ALFError(f"{whose}: {error}", **owner) from error
    if taken := owner.keys() & set(frame.columns):
        raise ALFError(
            f"{whose} has a column {min(taken)!r} of its own, so that none can say whose a row is", **owner
        )
    for at, (name, value) in enumerate(owner.items()):
        # The frame is new, so it may be changed in place; a query would take longer than the rest.
        frame.insert_column(at, pl.Series(name, [value]).new_from_index(0, frame.height))
    return frame


def joined(
    frames: Sequence[pl.DataFrame], owners: Sequence[str] = ("eid",)
) -> tuple[pl.DataFrame, dict[int, ALFError]]:
    """Concatenate frames; return the result, and an error by position for each frame that does not fit.

    A column that a frame lacks is null in its rows. Types of one kind are converted to the widest one, and numbers to strings
    if other frames have strings; a column with only NaN counts as missing if others have other types than numbers. Among
    incompatible kinds, such as times and numbers, the first one is kept.
    """
    import polars as pl

    dtypes: dict[str, list[tuple[int, Any]]] = {}
    for place, frame in enumerate(frames):
        for name, dtype in frame.schema.items():
            dtypes.setdefault(name, []).append((place, dtype))
    refused: dict[int, ALFError] = {}
    changes: dict[int, dict[str, Any]] = {}
    for name, seen in dtypes.items():
        if len({dtype for _, dtype in seen}) > 1:
            _resolve_type(
                name,
                [(place, dtype) for place, dtype in seen if place not in refused],
                frames,
                changes,
                refused,
            )
    kept = [
        frame.with_columns(**changes[place]) if place in changes else frame
        for place, frame in enumerate(frames)
        if place not in refused
    ]
    if not kept:
        return pl.DataFrame(schema=dict.fromkeys(owners, pl.String)), refused
    return pl.concat(kept, how="diagonal_relaxed", rechunk=True), refused


def _resolve_type(
    name: str,
    seen: Sequence[tuple[int, Any]],
    frames: Sequence[pl.DataFrame],
    changes: dict[int, dict[str, Any]],
    refused: dict[int, ALFError],
) -> None:
    """Find the common type of a column whose type differs between frames, and the frames that cannot be converted to it."""
    import polars as pl

    kinds = {place: _kind(dtype) for place, dtype in seen}
    found = [kind for kind in dict.fromkeys(kinds.values()) if kind]
    if len(found) > 1:
        for place, dtype in seen:
            if kinds[place] == "number" and dtype.is_float() and _is_missing(frames[place][name]):
                kinds[place] = ""
                changes.setdefault(place, {})[name] = pl.lit(None)
        found = [kind for kind in dict.fromkeys(kinds.values()) if kind]
    whole = "text" if set(found) == {"number", "text"} else found[0] if found else ""
    for place, dtype in seen:
        if kinds[place] == "number" and whole == "text":
            number = pl.col(name).fill_nan(None) if dtype.is_float() else pl.col(name)
            changes.setdefault(place, {})[name] = number.cast(pl.String)
        elif kinds[place] and kinds[place] != whole:
            first = next(other for other, kind in kinds.items() if kind == whole)
            refused[place] = ALFError(
                f"the column {name!r} is of type {dtype} in the session {_owner(frames[place])}, and "
                f"{frames[first].schema[name]} in {_owner(frames[first])}: no column can hold both"
            )
        elif whole.startswith("list"):
            changes.setdefault(place, {})[name] = pl.col(name).cast(_lists(dtype))


def _is_missing(column: pl.Series) -> bool:
    return column.fill_nan(None).null_count() == len(column)


def _owner(frame: pl.DataFrame) -> str:
    return str(frame["eid"][0]) if "eid" in frame.columns and frame.height else "?"


def _kind(dtype: Any) -> str:
    """Return the kind of a type; types of one kind have a common supertype. Empty for a type that fits all."""
    import polars as pl

    if dtype == pl.Null:
        return ""
    if dtype.is_numeric() or dtype == pl.Boolean:
        return "number"
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "text"
    if dtype in (pl.Date, pl.Datetime):
        return f"time {getattr(dtype, 'time_zone', None)}"
    if dtype in (pl.List, pl.Array):
        inner = _kind(dtype.inner)
        return inner and f"list of {inner}"
    return str(dtype.base_type())


def _lists(dtype: Any) -> Any:
    """Return a type with lists in place of arrays, since the lengths of arrays may differ."""
    import polars as pl

    return pl.List(_lists(dtype.inner)) if dtype in (pl.List, pl.Array) else dtype
