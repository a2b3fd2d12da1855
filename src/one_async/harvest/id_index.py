"""A sorted index of the ids that were read, 16 bytes each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from one_async.harvest.plan import AIM, TOP, Job, ReadPlan

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

HALF = (1 << 64) - 1


def halves(plan: ReadPlan, frame: pl.DataFrame) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the upper and lower 64 bits of each row's id, taken from its id column or the end of its URL."""
    import polars as pl

    key = plan.columns.key
    assert key is not None
    if plan.ids == "int":
        low = frame[key].cast(pl.UInt64).to_numpy()
        return np.zeros_like(low), low
    digits = key_expression(key).str.replace_all("-", "", literal=True)
    parts = frame.select(
        digits.str.slice(start, 16).str.to_integer(base=16, dtype=pl.UInt64).alias(name)
        for name, start in (("high", 0), ("low", 16))
    )
    return parts["high"].to_numpy(), parts["low"].to_numpy()


def numbers(plan: ReadPlan, frame: pl.DataFrame) -> list[int]:
    """Return the distinct ids of some rows as sorted numbers."""
    if plan.columns.key is None or plan.ids is None:
        return []
    high, low = halves(plan, frame)
    return sorted({h << 64 | n for h, n in zip(high.tolist(), low.tolist(), strict=True)})


def key_expression(key: str) -> Any:
    """Return an expression for the id of a row: its id column, or the last part of its URL."""
    import polars as pl

    column = pl.col(key)
    return column.str.split("/").list.last() if key == "url" else column


class IdIndex:
    """Sorted ids, without the deleted ones."""

    def __init__(self, plan: ReadPlan, frames: Iterable[pl.DataFrame], deleted: Iterable[int] = ()) -> None:
        parts = [halves(plan, frame) for frame in frames]
        empty = np.empty(0, np.uint64)
        high = np.concatenate([empty, *(part[0] for part in parts)])
        low = np.concatenate([empty, *(part[1] for part in parts)])
        del parts
        order = np.lexsort((low, high))
        self._high, self._low = high[order], low[order]
        drop = np.zeros(len(order), bool)
        drop[1:] = (self._high[1:] == self._high[:-1]) & (self._low[1:] == self._low[:-1])
        for id in deleted:
            at = self.position(id)
            if at < len(drop) and self._at(at) == id:
                drop[at : self.position(id + 1)] = True
        if drop.any():
            self._high, self._low = self._high[~drop], self._low[~drop]

    def __len__(self) -> int:
        return len(self._high)

    def _at(self, index: int) -> int:
        return int(self._high[index]) << 64 | int(self._low[index])

    def position(self, id: int) -> int:
        """Return the number of ids below this one."""
        if id >= TOP:
            return len(self._high)
        high, low = np.uint64(id >> 64), np.uint64(id & HALF)
        start, end = np.searchsorted(self._high, high, "left"), np.searchsorted(self._high, high, "right")
        return int(start + np.searchsorted(self._low[start:end], low, "left"))

    def count(self, job: Job) -> int:
        """Return the number of ids in a range."""
        return self.position(job.high) - self.position(job.low)

    def between(self, job: Job) -> set[int]:
        """Return the ids in a range."""
        part = slice(self.position(job.low), self.position(job.high))
        return {h << 64 | n for h, n in zip(self._high[part].tolist(), self._low[part].tolist(), strict=True)}

    def ranges(self, aim: int = AIM) -> list[Job]:
        """Divide the space of all ids into ranges with about ``aim`` ids of this index each."""
        cuts: Sequence[int] = [0, *(self._at(index) for index in range(aim, len(self), aim)), TOP]
        return [Job("range", a, b) for a, b in pairwise(cuts) if a < b]
