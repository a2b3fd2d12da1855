"""Parse the indices of ``raw[…]``: samples or seconds, and channels, with numpy's semantics. Pure."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from one_async._arguments import plain
from one_async.errors import InputError

__all__ = ["Rows", "columns_of", "instants", "rows_of", "seconds", "split_key"]

#: Converts seconds to a sample number, which may be outside the recording.
ToSample: TypeAlias = Callable[[float], int]
Columns: TypeAlias = "slice | NDArray[np.intp] | int"

_ROWS = (
    "a sample (int), a time in seconds (float), a slice of samples or of seconds, a list of either, "
    "or one bool for each sample"
)
_NUMBERS = "a number (int), a slice of numbers, a list of numbers, or one bool for each of the {}"


class Rows(NamedTuple):
    """The requested samples: a range, or numbers in any order; ``single`` means one sample, whose axis is dropped."""

    numbers: range | NDArray[np.intp]
    single: bool = False


def split_key(key: object) -> tuple[Any, Any]:
    """Split a key into its parts for samples and for channels."""
    parts = list(key) if isinstance(key, tuple) else [key]
    if sum(part is Ellipsis for part in parts) > 1 or len(parts) > 2 + (Ellipsis in map(_mark, parts)):
        raise InputError.of("key", key, "raw[samples] or raw[samples, channels]")
    if any(part is Ellipsis for part in parts):
        at = next(number for number, part in enumerate(parts) if part is Ellipsis)
        parts[at : at + 1] = [slice(None)] * (3 - len(parts))
    samples, channels, *_ = (*parts, slice(None), slice(None))
    return samples, channels


def _mark(part: object) -> object:
    return Ellipsis if part is Ellipsis else None


def rows_of(key: Any, count: int, to_sample: ToSample) -> Rows:
    """Return the samples of a key. Raise InputError for an invalid or out-of-range key."""
    if isinstance(key, slice):
        return Rows(range(count)[_in_samples(key, to_sample)])
    value = plain(key)
    if _is_number(value):
        number = to_sample(_finite(value, "samples")) if isinstance(value, float) else operator.index(value)
        return Rows(_checked(np.array([number]), count, key, "samples"), single=True)
    array = _array(key, "samples", _ROWS)
    if array.dtype.kind == "f":
        array = np.array([to_sample(_finite(one, "samples")) for one in array.tolist()], np.intp)
    return Rows(_numbers(array, count, key, "samples", _ROWS))


def columns_of(key: Any, count: int, argument: str = "channels") -> Columns:
    """Return the channels of a key as a numpy index. Raise InputError for an invalid key.

    This is also used for other numbered items without times; ``argument`` is their name in errors.
    """
    accepted = _NUMBERS.format(argument)
    if isinstance(key, slice):
        for end in (key.start, key.stop, key.step):
            if end is not None and not _is_int(plain(end)):
                raise InputError.of(argument, key, accepted)
        if key.step is not None and operator.index(key.step) == 0:
            raise InputError.of(argument, key, "a step other than 0")
        return key
    value = plain(key)
    if _is_int(value):
        return int(_checked(np.array([operator.index(value)]), count, key, argument)[0])
    return _numbers(_array(key, argument, accepted), count, key, argument, accepted)


def instants(times: Any, to_sample: ToSample, argument: str) -> NDArray[np.intp]:
    """Return the sample numbers of times given in seconds (floats) or samples (ints), one or many."""
    value = plain(times)
    array = np.array([value]) if _is_number(value) else _array(times, argument, "seconds or samples")
    if array.dtype.kind == "f":
        return np.array([to_sample(_finite(one, argument)) for one in array.tolist()], np.intp)
    if array.dtype.kind in "iu" or not len(array):
        return array.astype(np.intp)
    raise InputError.of(argument, times, "seconds (floats) or samples (ints)")


def seconds(times: Any) -> NDArray[np.float64]:
    """Return times in seconds, one or many, as an array."""
    value = plain(times)
    array = np.array([value]) if _is_number(value) else _array(times, "times", "seconds")
    if array.dtype.kind == "b" or not np.isfinite(array).all():
        raise InputError.of("times", times, "finite times in seconds")
    return array.astype(np.float64)


def _in_samples(key: slice, to_sample: ToSample) -> slice:
    ends = [plain(end) for end in (key.start, key.stop)]
    if any(end is not None and not _is_number(end) for end in ends):
        raise InputError.of("samples", key, _ROWS)
    step = plain(key.step)
    if step is not None and (not _is_int(step) or step == 0):
        raise InputError.of("samples", key, "a step in whole samples, other than 0")
    floats = [isinstance(end, float) for end in ends if end is not None and end != 0]
    if len(set(floats)) > 1:
        raise InputError.of("samples", key, "both ends in seconds (floats) or both in samples (ints)")
    start, stop = (to_sample(_finite(end, "samples")) if isinstance(end, float) else end for end in ends)
    return slice(start, stop, step)


def _numbers(
    array: NDArray[Any], count: int, given: object, argument: str, accepted: str
) -> NDArray[np.intp]:
    if array.dtype.kind == "b":
        if len(array) != count:
            raise InputError.of(argument, given, f"a mask of {count} bools")
        return np.flatnonzero(array)
    if array.dtype.kind not in "iu" and len(array):
        raise InputError.of(argument, given, accepted)
    return _checked(array, count, given, argument)


def _checked(numbers: NDArray[Any], count: int, given: object, argument: str) -> NDArray[np.intp]:
    """Resolve negative numbers from the end. Raise InputError for numbers out of range."""
    if len(numbers) and not (-count <= int(numbers.min()) and int(numbers.max()) < count):
        raise InputError.of(argument, given, f"numbers from {-count} to {count - 1}")
    numbers = numbers.astype(np.intp)
    return np.where(numbers < 0, numbers + count, numbers)


def _array(value: Any, argument: str, accepted: str) -> NDArray[Any]:
    if value is None or isinstance(value, str | bytes | dict | set | bool | np.bool_):
        raise InputError.of(argument, value, accepted)
    try:
        array = np.asarray(value)
    except (ValueError, TypeError):
        raise InputError.of(argument, value, accepted) from None
    if array.ndim != 1 or array.dtype.kind not in "biuf":
        raise InputError.of(argument, value, accepted)
    return array


def _finite(value: float, argument: str) -> float:
    if not math.isfinite(value):
        raise InputError.of(argument, value, "finite times")
    return float(value)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
