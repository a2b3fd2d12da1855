"""Raw electrophysiology of a probe, read in slices."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from functools import partial
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from one_async._boundary import public
from one_async._concurrency import RunningCalls
from one_async._threads import run_sync
from one_async.errors import InputError
from one_async.recordings.chunk_decoding import Chunk
from one_async.recordings.chunks import ChunkReader, Layout, Use
from one_async.recordings.meta import Meta
from one_async.recordings.selection import Rows, columns_of, instants, rows_of, split_key

__all__ = ["AsyncRawEphys"]

#: The largest result in bytes; a recording of an hour has about 80 GB.
LARGEST = 8 * 1024**3
#: The number of reads of a chunk whose differences are summed up for each by itself.
FEW_READS = 16
#: A number of samples that no recording has; times are clipped to it so that they fit numpy's integers.
_FAR = 1 << 62


@public(ended_by_closing=True)
class AsyncRawEphys:
    """The raw samples of a band of a probe. Only the chunks that are needed are fetched.

    Await a slice, in seconds (floats) or samples (ints)::

        raw = await one.raw_ephys(pid, band="ap")
        volts = await raw[10.0:10.5, raw.channels] * raw.sample2volts[raw.channels]

    Samples are returned as the stored integers, of shape (samples, channels); the last channels, `sync`, contain
    synchronisation bits. Seconds are counted by the probe's own clock from the file's first sample; spikes.samples are exact
    sample numbers.

    Examples:
        >>> raw = await one.raw_ephys(pid, band="lf")
        >>> (await raw[1.0:1.5, raw.channels]).shape
        (1250, 384)
    """

    def __init__(
        self,
        reader: ChunkReader,
        meta: Meta,
        *,
        pid: UUID | None,
        eid: UUID | None,
        probe: str,
        band: str,
        calls: RunningCalls | None = None,
    ) -> None:
        self._reader, self._calls = reader, calls or RunningCalls()
        self.pid, self.eid, self.probe, self.band = pid, eid, probe, band
        self.sample_rate = meta.sample_rate
        self.sample2volts = meta.sample2volts
        self.channels: NDArray[np.intp] = np.arange(meta.n_channels - meta.n_sync)
        self.sync: NDArray[np.intp] = np.arange(meta.n_channels - meta.n_sync, meta.n_channels)
        self.meta = dict(meta.fields)

    def __repr__(self) -> str:
        rows, columns = self.shape
        return f"<{self._layout.name}: {rows:,} samples of {columns} channels, {self.duration:,.1f} s>"

    def __len__(self) -> int:
        return self.shape[0]

    __iter__ = None

    @property
    def _layout(self) -> Layout:
        return self._reader.layout

    @property
    def shape(self) -> tuple[int, int]:
        """The number of samples and of channels, synchronisation channels included."""
        return int(self._layout.bounds[-1]), self._layout.n_channels

    @property
    def ndim(self) -> int:
        """The number of axes, 2."""
        return 2

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the samples."""
        return self._layout.dtype

    @property
    def duration(self) -> float:
        """The length in seconds."""
        return self.shape[0] / self.sample_rate

    def __getitem__(self, key: Any) -> Awaitable[NDArray[Any]]:
        """Return an awaitable of the samples, as `read` does: ``await raw[10.0:10.5, :384]``."""
        return self.read(*split_key(key))

    async def read(self, samples: Any = slice(None), channels: Any = slice(None)) -> NDArray[Any]:
        """Return samples as numpy's indexing of the whole array would.

        Args:
            samples: a slice of samples (ints) or seconds (floats), one of them, a list of them, or a mask.
            channels: a channel, a slice, a list or a mask. Only one of the two arguments may be a list.

        Seconds are rounded to the nearest sample. Raises InputError for an invalid index, FileDamaged or a ServerError with
        session, probe and chunk in its text.

        Examples:
            >>> raw = await one.raw_ephys(pid, band="lf")
            >>> (await raw.read(slice(1.0, 1.5), channels=[0, 1, 2])).shape
            (1250, 3)
        """
        rows = rows_of(samples, self.shape[0], self._to_sample)
        columns = columns_of(channels, self.shape[1])
        is_list = not isinstance(rows.numbers, range) and not rows.single
        if is_list and isinstance(columns, np.ndarray):
            raise InputError.of("channels", channels, "a slice or one channel where samples are a list")
        out = await self._filled(rows, columns)
        if isinstance(columns, int):
            out = out[:, 0]
        return out[0] if rows.single else out

    async def snippets(
        self, times: Any, before: float, after: float, channels: Any = slice(None)
    ) -> NDArray[Any]:
        """Return the samples around many times, of shape (times, samples, channels). Each chunk is read once.

        Args:
            times: seconds (floats) or samples (ints), in any order.
            before, after: the length before and after each time, in seconds (floats) or samples (ints).
            channels: as in `read`.

        Raises InputError if a window is not completely within the recording.

        Examples:
            >>> raw = await one.raw_ephys(pid, band="lf")
            >>> (await raw.snippets([0.5, 1.0, 1.5], before=0.01, after=0.03, channels=slice(0, 10))).shape
            (3, 100, 10)
        """
        columns = columns_of(channels, self.shape[1])
        centres = await run_sync(instants, times, self._to_sample, "times")
        first, last = (
            int(instants(value, self._to_sample, name)[0])
            for value, name in ((before, "before"), (after, "after"))
        )
        width = first + last
        if width < 0:
            raise InputError.of("before, after", (before, after), "a window of at least 0 samples")
        starts = centres - first
        outside = np.flatnonzero((starts < 0) | (starts + width > self.shape[0]))
        if outside.size:
            raise InputError.of(
                "times", times, self._windows_within(int(outside[0]), outside.size, len(starts))
            )
        picked = slice(columns, columns + 1) if isinstance(columns, int) else columns
        out = self._empty((len(starts), width), picked)
        await self._reader.each(await run_sync(_of_windows, self._layout, starts, width, picked, out))
        return out[:, :, 0] if isinstance(columns, int) else out

    def _windows_within(self, first: int, outside: int, times: int) -> str:
        return (
            f"times whose windows lie within the recording of {self.duration:.10g} s; "
            f"{outside} of {times} do not, the first of them at position {first}"
        )

    def _to_sample(self, seconds: float) -> int:
        return round(min(max(seconds * self.sample_rate, -_FAR), _FAR))

    async def _filled(self, rows: Rows, columns: Any) -> NDArray[Any]:
        picked = slice(columns, columns + 1) if isinstance(columns, int) else columns
        out = self._empty((len(rows.numbers),), picked)
        if not out.size:
            return out
        if isinstance(rows.numbers, range):
            ascending = rows.numbers if rows.numbers.step > 0 else rows.numbers[::-1]
            target = out if rows.numbers.step > 0 else out[::-1]
            await self._reader.each(_of_range(self._layout, ascending, picked, target))
        else:
            await self._reader.each(await run_sync(_of_numbers, self._layout, rows.numbers, picked, out))
        return out

    def _empty(self, rows: tuple[int, ...], columns: Any) -> NDArray[Any]:
        """Return an array for a result, in the memory order of the chunks."""
        all_columns = range(self.shape[1])
        count = len(all_columns[columns]) if isinstance(columns, slice) else len(columns)
        shape = (*rows, count)
        size = self.dtype.itemsize * count
        for length in rows:
            size *= length
        if size > LARGEST:
            raise InputError(
                f"{size / 1024**3:,.0f} GiB would be read at once, of which {LARGEST >> 30} are allowed; "
                "read slices, or fetch the file with load_dataset(..., download_only=True)"
            )
        if not self._layout.is_by_channel:
            return np.empty(shape, self.dtype)
        return np.empty((*rows[:-1], count, rows[-1]), self.dtype).swapaxes(-1, -2)


def _copy(out: NDArray[Any], columns: Any, parts: list[tuple[Any, Any]], chunk: Chunk) -> None:
    if len(parts) > FEW_READS:
        chunk = chunk.summed()
    for target, source in parts:
        out[target] = chunk.read(source, columns)


def _of_range(layout: Layout, numbers: range, columns: Any, out: NDArray[Any]) -> Iterator[tuple[int, Use]]:
    """Yield the chunks of an ascending range, each with a function that copies from it."""
    start, step = numbers.start, numbers.step
    first, last = np.searchsorted(layout.bounds, (numbers[0], numbers[-1]), side="right") - 1
    for chunk in range(int(first), int(last) + 1):
        low, high = int(layout.bounds[chunk]), int(layout.bounds[chunk + 1])
        begin, end = max(0, -((start - low) // step)), min(len(numbers), -((start - high) // step))
        if begin < end:
            source = slice(start + begin * step - low, start + (end - 1) * step - low + 1, step)
            yield chunk, partial(_copy, out, columns, [(slice(begin, end), source)])


def _of_numbers(
    layout: Layout, numbers: NDArray[np.intp], columns: Any, out: NDArray[Any]
) -> Iterator[tuple[int, Use]]:
    """Return the chunks of samples in any order, each with a function that copies from it."""
    chunks = np.searchsorted(layout.bounds, numbers, side="right") - 1
    order = np.argsort(chunks, kind="stable")
    uses = []
    for part in np.split(order, np.flatnonzero(np.diff(chunks[order])) + 1):
        chunk = int(chunks[part[0]])
        uses.append((chunk, partial(_copy, out, columns, [(part, numbers[part] - layout.bounds[chunk])])))
    return iter(uses)


def _of_windows(
    layout: Layout, starts: NDArray[np.intp], width: int, columns: Any, out: NDArray[Any]
) -> Iterator[tuple[int, Use]]:
    """Return the chunks of windows, each with a function that copies from it."""
    parts: dict[int, list[tuple[Any, Any]]] = {}
    if not out.size:
        return iter(())
    chunks = np.searchsorted(layout.bounds, starts, side="right") - 1
    bounds = layout.bounds.tolist()
    for window, (start, chunk) in enumerate(zip(starts.tolist(), chunks.tolist(), strict=True)):
        at = start
        while at < start + width:
            end = min(start + width, bounds[chunk + 1])
            target = (window, slice(at - start, end - start))
            parts.setdefault(chunk, []).append((target, slice(at - bounds[chunk], end - bounds[chunk])))
            at, chunk = end, chunk + 1
    return iter([(chunk, partial(_copy, out, columns, parts[chunk])) for chunk in sorted(parts)])
