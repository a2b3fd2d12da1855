"""Frames that are printed with their ids whole, as Polars prints only the first 30 characters of a text."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import polars as pl

__all__ = ["DataFrame", "with_whole_ids"]

#: The setting of Polars, and the length of an id.
_SETTING, _LENGTH = "POLARS_FMT_STR_LEN", "36"
_lock = threading.RLock()


@contextmanager
def _whole_ids() -> Iterator[None]:
    """Make Polars print ids whole, unless its user has set a length. The setting exists only while a frame is printed."""
    with _lock:
        is_ours = _SETTING not in os.environ
        if is_ours:
            os.environ[_SETTING] = _LENGTH
        try:
            yield
        finally:
            if is_ours:
                os.environ.pop(_SETTING, None)


class DataFrame(pl.DataFrame):
    """A frame whose ids are printed whole in terminals and notebooks; a plain frame in everything else, also in pickles.

    The class has the name of Polars' own, by which some programs recognize frames.
    """

    def __str__(self) -> str:
        with _whole_ids():
            return super().__str__()

    def _repr_html_(self, **options: Any) -> str:
        with _whole_ids():
            return super()._repr_html_(**options)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return pl.DataFrame, (self.get_columns(),)


def with_whole_ids(value: Any) -> Any:
    """Return a result whose frames are printed with whole ids; the frames of a mapping are replaced in it."""
    if type(value) is pl.DataFrame:
        frame = DataFrame.__new__(DataFrame)
        frame._df = value._df
        return frame
    if isinstance(value, tuple):
        parts = [with_whole_ids(one) for one in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if type(value) is list and value and isinstance(value[0], pl.DataFrame | tuple):
        return [with_whole_ids(one) for one in value]
    if type(value) is dict and any(isinstance(one, pl.DataFrame) for one in value.values()):
        value.update({name: with_whole_ids(one) for name, one in value.items()})
    return value
