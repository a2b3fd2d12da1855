"""The display of an ALFObject: its attributes with their type, shape, range, missing values and a histogram."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from one_async import _display
from one_async._display import Markup

if TYPE_CHECKING:
    import numpy as np

__all__ = ["as_html", "as_text", "describe"]

#: The most values of an array that are used for its description.
SAMPLE = 2**20
#: The rows that are shown.
MOST_ROWS, MOST_HTML_ROWS = 15, 100
BINS = 21


class Summary(NamedTuple):
    """The description of one value."""

    kind: str = ""
    shape: str = ""
    range: str = ""
    missing: str = ""
    counts: tuple[int, ...] = ()
    """The numbers of finite values in bins of equal width."""


def as_text(title: str, data: Mapping[Any, Any]) -> str:
    """Return a description of at most 20 lines of 80 columns."""
    if not data:
        return f"{title}: empty"
    shown = list(data.items())[:MOST_ROWS]
    rows = [(key, *describe(value)[:4]) for key, value in shown]
    names = ("attribute", "type", "shape", "range", "missing")
    lines = [_heading(title, data), *_display.text_table(names, rows, (24, 14, 14, 25, 8))]
    if rest := list(data)[MOST_ROWS:]:
        names_of_rest = ", ".join(_display.clipped(key, 24) for key in rest[:9])
        lines.append(_display.clipped(f"  and {len(rest):,} more: {names_of_rest}", _display.WIDTH))
    return "\n".join(lines)


def as_html(title: str, data: Mapping[Any, Any]) -> Markup:
    """Return the description as HTML, with histograms."""
    rows = []
    for key, value in list(data.items())[:MOST_HTML_ROWS]:
        found = describe(value)
        rows.append((key, *found[:4], _display.bars(found.counts, f"histogram: {found.range}")))
    names = ("attribute", "type", "shape", "range", "missing", "")
    parts = [_display.table(names, rows, whole=("type", "shape"))] if rows else []
    if len(data) > MOST_HTML_ROWS:
        parts.append(Markup(f"<div>and {len(data) - MOST_HTML_ROWS:,} more</div>"))
    return _display.card(_heading(title, data) if data else f"{title}: empty", {}, *parts)


def _heading(title: str, data: Mapping[Any, Any]) -> str:
    shapes = [getattr(value, "shape", ()) for value in data.values()]
    rows = {shape[0] for shape in shapes if isinstance(shape, tuple) and shape}
    text = f"{title}: {len(data):,} attribute{'' if len(data) == 1 else 's'}"
    if len(rows) != 1:
        return text
    (count,) = rows
    return f"{text}, {count:,} row{'' if count == 1 else 's'}" if isinstance(count, int) else text


def describe(value: Any) -> Summary:
    """Return the description of any value, or only its type if the description fails."""
    try:
        return _described(value)
    except Exception:  # the methods of foreign arrays may raise anything
        return Summary(type(value).__name__)


def _described(value: Any) -> Summary:
    import numpy as np

    if isinstance(value, np.ndarray):
        return _of_array(value)
    kind, shape = type(value).__name__, getattr(value, "shape", None)
    if isinstance(shape, tuple):
        names = getattr(value, "columns", None)
        if names is None and not shape:  # a numpy scalar
            return Summary(str(getattr(value, "dtype", kind)), "()", _display.plain_text(value, 40))
        kind = kind if names is not None else f"{kind} {getattr(value, 'dtype', '')}".rstrip()
        columns = "" if names is None else ", ".join(map(str, list(names)[:20]))
        return Summary(kind, _shape_text(shape), columns)
    if isinstance(value, str | bytes | bool | int | float | complex | PurePath) or value is None:
        return Summary(kind, "", _display.plain_text(value, 200))
    return Summary(kind, f"({len(value):,})" if hasattr(value, "__len__") else "")


def _of_array(array: np.ndarray[Any, Any]) -> Summary:
    kind, shape = str(array.dtype), _shape_text(array.shape)
    if array.dtype.names:
        return Summary("structured", shape, ", ".join(array.dtype.names))
    if not array.size:
        return Summary(kind, shape)
    if array.dtype.kind in "biuf":
        return _of_numbers(array, kind, shape)
    values, about = _sample(array)
    if array.dtype.kind in "mM":
        return _of_times(values, kind, shape, about)
    if array.dtype.kind == "O":
        lost = sum(one is None or (isinstance(one, float) and one != one) for one in values)
        kinds = sorted({type(one).__name__ for one in values})
        return Summary(kind, shape, ", ".join(kinds), _share(lost, len(values), about))
    if array.dtype.kind in "US":
        return Summary(kind, shape, _of_texts(values))
    return Summary(kind, shape)


def _sample(array: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], str]:
    """Return the values as a vector, or a sample spread over all of it, with the prefix for approximate numbers."""
    import numpy as np

    if isinstance(array, np.ma.MaskedArray):
        array = array.data if array.mask is np.ma.nomask else np.ma.filled(array.astype(float), np.nan)
    if array.size <= SAMPLE:
        return np.asarray(array).reshape(-1), ""
    # One random value of each interval: equal steps would select only one column, or one phase of a periodic signal.
    # The iterator copies only the selected values, in any memory layout; a memory-mapped file is not read completely.
    step = math.ceil(array.size / SAMPLE)
    starts = np.arange(0, array.size - step + 1, step)
    places = starts + np.random.default_rng(0).integers(step, size=len(starts))
    return np.asarray(array.flat[places]), "~"


def _of_numbers(array: np.ndarray[Any, Any], kind: str, shape: str) -> Summary:
    import numpy as np

    values, about = _sample(array)
    if values.dtype.kind == "b":
        true = int(np.count_nonzero(values))
        counts = (len(values) - true, true)
        return Summary(kind, shape, f"{_share(true, len(values), about) or '0 %'} True", "", counts)
    is_float = values.dtype.kind == "f"
    lost = int(np.count_nonzero(np.isnan(values))) if is_float else 0
    missing = _share(lost, len(values), about) if is_float else ""
    if lost == len(values):
        return Summary(kind, shape, "", missing)
    reduce = (np.fmin.reduce, np.fmax.reduce) if is_float else (np.min, np.max)
    low, high = (function(values) for function in reduce)
    return Summary(kind, shape, f"{about}{_number(low)} .. {_number(high)}", missing, _counts(values))


def _counts(values: np.ndarray[Any, Any]) -> tuple[int, ...]:
    """Count the finite values in bins of equal width."""
    import numpy as np

    with np.errstate(all="ignore"):
        numbers = values.astype(np.float64, copy=False)
        if values.dtype.kind == "f":
            numbers = numbers[np.isfinite(numbers)]
        if not len(numbers):
            return ()
        low, high = float(numbers.min()), float(numbers.max())
        span = high / 2 - low / 2  # halves, since the difference of the largest numbers overflows
        if not span > 0:
            return (len(numbers),)
        places = ((numbers / 2 - low / 2) / span * BINS).clip(0, BINS - 1).astype(np.intp)
    return tuple(np.bincount(places, minlength=BINS).tolist())


def _of_times(values: np.ndarray[Any, Any], kind: str, shape: str, about: str) -> Summary:
    import numpy as np

    lost = np.isnat(values)
    present = values[~lost]
    span = f"{about}{present.min()} .. {present.max()}" if len(present) else ""
    return Summary(kind, shape, span, _share(int(np.count_nonzero(lost)), len(values), about))


def _of_texts(values: np.ndarray[Any, Any]) -> str:
    """Describe strings by the first distinct ones."""
    words = list(dict.fromkeys(values[:1000].tolist()))
    return ", ".join(_display.plain_text(word, 40) for word in words[:3]) + (", .." if len(words) > 3 else "")


def _share(part: int, total: int, about: str) -> str:
    """Return a share in per cent; an empty string for zero, and neither 0 nor 100 % for a proper part."""
    if not part:
        return f"{about}0 %" if about else ""
    share = 100 * part / total
    if part == total:
        return f"{about}100 %"
    return "<0.1 %" if share < 0.1 else ">99.9 %" if share > 99.9 else f"{about}{share:.1f} %"


def _number(value: Any) -> str:
    return f"{value:.5g}" if value.dtype.kind == "f" else str(int(value))


def _shape_text(shape: tuple[Any, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
