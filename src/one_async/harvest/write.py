"""Collect distinct rows into parts of equal size. Methods that read or write files block."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from one_async.harvest.checkpoint import Checkpoint
from one_async.harvest.id_index import IdIndex
from one_async.harvest.plan import Job, ReadPlan
from one_async.harvest.storage import read

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

#: Rows or bytes in memory at which a part is written. A part is one row group.
PART_ROWS, PART_BYTES = 10_000, 24 * 1024**2
#: The number of recent digests at which they are merged into the sorted array.
RECENT = 1 << 16


class DigestSet:
    """A set of row digests: a sorted array, 8 bytes per row, and a Python set of the most recent ones."""

    def __init__(self) -> None:
        self._sorted: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._recent: set[int] = set()

    def __len__(self) -> int:
        return len(self._sorted) + len(self._recent)

    def add(self, digests: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Add digests; return a mask of those that were new."""
        new = np.ones(len(digests), bool)
        found = set(digests.tolist())
        if len(found) < len(digests):
            new[:] = False
            new[np.unique(digests, return_index=True)[1]] = True
        if len(self._sorted):
            at = np.searchsorted(self._sorted, digests)
            new &= self._sorted[np.minimum(at, len(self._sorted) - 1)] != digests
            found = set(digests[new].tolist())
        if known := found & self._recent:
            new &= ~np.isin(digests, np.fromiter(known, np.uint64, len(known)))
        self._recent |= found
        if len(self._recent) >= RECENT:
            recent = np.fromiter(self._recent, np.uint64, len(self._recent))
            self._sorted = np.sort(np.concatenate([self._sorted, recent]))
            self._recent.clear()
        return new


def digests(frame: pl.DataFrame, key: str | None) -> NDArray[np.uint64]:
    """Return a 64-bit digest of each row's key, or of the whole row; equal rows of one page get different digests."""
    import polars as pl

    if key is not None:
        return frame[key].hash().to_numpy()
    rows = frame.hash_rows().alias("row")
    nth = rows.to_frame().select(pl.int_range(pl.len(), dtype=pl.UInt64).over("row")).to_series()
    return rows.to_numpy() + nth.to_numpy() * np.uint64(0x9E3779B97F4A7C15)


class Writer:
    """Writes the rows of one endpoint to parts; without a checkpoint they stay in memory."""

    def __init__(
        self,
        plan: ReadPlan,
        checkpoint: Checkpoint | None,
        *,
        part_rows: int = PART_ROWS,
        older: Callable[[], Iterable[pl.DataFrame]] | None = None,
    ) -> None:
        self.plan, self.checkpoint = plan, checkpoint
        self.older = older  # the ids of an earlier harvest that this one is merged into
        self.frames: list[pl.DataFrame] = []
        self.written = 0
        self._part_rows = part_rows
        self._known = DigestSet()
        self._buffer: list[pl.DataFrame] = []
        self._rows = self._bytes = 0
        self._jobs: list[tuple[Job, int]] = []
        self._next = 0

    @property
    def distinct(self) -> int:
        """The number of distinct rows, of this run and of the run that it resumes."""
        return len(self._known)

    def open(self) -> None:
        """Load the rows that an interrupted run has written."""
        if self.checkpoint is None:
            return
        parts = self.checkpoint.parts()
        self._next = 1 + max((number_of(name) for name in parts), default=-1)
        for name in parts:
            key = self.plan.columns.key
            frame = read(self.checkpoint.storage, name, None if key is None else [key])
            self._known.add(digests(frame, key))
            self.written += frame.height

    def add(self, job: Job | None, frame: pl.DataFrame) -> None:
        """Buffer those rows of an answer that are new."""
        import polars as pl

        is_new = self._known.add(digests(frame, self.plan.columns.key))
        at = np.flatnonzero(is_new)
        # Nearly always all rows are new, or all but the one shared with the page before.
        is_contiguous = len(at) > 0 and at[-1] - at[0] + 1 == len(at)
        rows = frame.slice(at[0], len(at)) if is_contiguous else frame.filter(pl.Series(is_new))
        if rows.height:
            self._buffer.append(rows)
            self._rows += rows.height
            self._bytes += int(rows.estimated_size())
        if job is not None:
            self._jobs.append((job, self._rows))

    @property
    def full(self) -> bool:
        """Whether there are enough rows for a part."""
        return self._rows >= self._part_rows or self._bytes >= PART_BYTES

    def write(self) -> None:
        """Write all parts that are full."""
        while self.full:
            self._write(self._part_rows)

    def close(self) -> None:
        """Write the remaining rows."""
        while self._rows:
            self._write(self._part_rows)
        self._mark_done(0)
        if self.checkpoint is not None:
            self.checkpoint.save()

    def _write(self, rows: int) -> None:
        import polars as pl

        whole = pl.concat(self._buffer)
        part, rest = whole.head(rows), whole.slice(rows)
        self._buffer, self._rows = [rest] if rest.height else [], rest.height
        self._bytes = int(rest.estimated_size()) if rest.height else 0
        if self.checkpoint is None:
            self.frames.append(part)
        else:
            content = parquet(part)
            self.checkpoint.storage.put(f"{self.checkpoint.folder}/part-{self._next:05d}.parquet", content)
        self._next += 1
        self.written += part.height
        self._mark_done(part.height)
        if self.checkpoint is not None:
            self.checkpoint.save()

    def _mark_done(self, rows: int) -> None:
        """Mark the jobs whose rows are all written as done."""
        done = {job for job, end in self._jobs if end <= rows}
        self._jobs = [(job, end - rows) for job, end in self._jobs if end > rows]
        if self.checkpoint is not None:
            self.checkpoint.done |= done

    def id_index(self, deleted: Iterable[int] = ()) -> IdIndex:
        """Return an index of the ids that were read, including those of the earlier harvest in a merge."""

        def frames() -> Iterator[pl.DataFrame]:
            key = self.plan.columns.key
            assert key is not None
            for frame in (*self.frames, *self._buffer):
                yield frame.select(key)
            if self.older is not None:
                yield from self.older()
            if self.checkpoint is not None:
                for name in self.checkpoint.parts():
                    yield read(self.checkpoint.storage, name, [key])

        return IdIndex(self.plan, frames(), deleted)


def number_of(name: str) -> int:
    """Return the number in a part's name."""
    return int(name.rpartition("/")[2].removeprefix("part-").removesuffix(".parquet"))


def parquet(frame: pl.DataFrame) -> bytes:
    """Return a frame as Parquet with one row group."""
    out = io.BytesIO()
    frame.write_parquet(out, compression="zstd", compression_level=1, row_group_size=max(1, frame.height))
    return out.getvalue()
