"""The video of a camera, read frame by frame."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any
from uuid import UUID

import anyio
import numpy as np
from numpy.typing import NDArray

from one_async._boundary import public
from one_async._concurrency import RunningCalls
from one_async._threads import run_sync
from one_async.errors import ALFObjectNotFound, InputError
from one_async.recordings.chunks import ChunkReader
from one_async.recordings.ephys import LARGEST
from one_async.recordings.selection import columns_of, seconds
from one_async.recordings.video_decoding import Decoder

__all__ = ["AsyncVideo"]

#: The number of blocks that are fetched before their frames are decoded.
BLOCKS_AT_ONCE = 64
#: The size limit of the cache of blocks, in bytes.
CACHE_SIZE = 64 * 1024**2
#: The axes of a frame by the names of pixel formats.
PIXELS = {"rgb24": 3, "gray": 2}


@public(ended_by_closing=True)
class AsyncVideo:
    """The frames of a camera. Only the parts of the file that are needed are fetched.

    Await frames by number, or those at given times::

        video = await one.video(eid, "left")
        frames = await video[100:200]  # uint8, of shape (frames, height, width, 3)
        first = await video.at(trials.stimOn_times)

    `times` is the time of each frame in seconds of the session's clock, or None if the session has no such dataset; `fps` is
    the frame rate stored in the file.

    Examples:
        >>> video = await one.video(eid, "left")
        >>> (await video[10:15]).shape
        (5, 128, 144, 3)
    """

    def __init__(
        self,
        reader: ChunkReader,
        decoder: Decoder,
        times: NDArray[Any] | None,
        *,
        eid: UUID | str,
        camera: str,
        pixels: str,
        calls: RunningCalls | None = None,
    ) -> None:
        self._reader, self._decoder, self._calls = reader, decoder, calls or RunningCalls()
        # Not the shared threads: a decoding thread waits for blocks, which need a thread as well.
        self._turn = anyio.CapacityLimiter(1)
        self.eid, self.camera, self.pixels = eid, camera, pixels
        self.times = times
        self.fps = decoder.fps
        self.size = (decoder.width, decoder.height)

    def __repr__(self) -> str:
        width, height = self.size
        name = self._reader.layout.name
        return f"<{name}: {len(self):,} frames of {width} × {height} pixels, {self.fps:g} a second>"

    def __len__(self) -> int:
        return self._decoder.count

    __iter__ = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of frames, the height and the width, and 3 for colours."""
        width, height = self.size
        return (len(self), height, width, 3)[: 1 + PIXELS[self.pixels]]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the pixels, uint8."""
        return np.dtype(np.uint8)

    def __getitem__(self, key: Any) -> Awaitable[NDArray[np.uint8]]:
        """Return an awaitable of frames, as `read` does: ``await video[100:200]``."""
        return self.read(key)

    async def read(self, frames: Any = slice(None)) -> NDArray[np.uint8]:
        """Return frames as numpy's indexing of the whole video would.

        Args:
            frames: a frame's number, a slice, a list of numbers in any order, or a mask.

        Raises InputError for numbers out of range, FileDamaged for frames that cannot be decoded, or a ServerError.

        Examples:
            >>> video = await one.video(eid, "left", pixels="gray")
            >>> (await video.read([0, -1])).shape
            (2, 128, 144)
        """
        if isinstance(frames, tuple):  # numpy would interpret the second member as a row of pixels
            raise InputError.of("frames", frames, "frames only; index the result for parts of them")
        picked = columns_of(frames, len(self), "frames")
        if isinstance(picked, int):
            found: NDArray[np.uint8] = (await self._decoded(np.array([picked])))[0]
            return found
        return await self._decoded(np.arange(len(self))[picked] if isinstance(picked, slice) else picked)

    async def at(self, times: Any) -> NDArray[np.uint8]:
        """Return the frames nearest to times in seconds, of shape (times, height, width, 3).

        Raises ALFObjectNotFound if the session has no times of the frames, and InputError for times before the first or
        after the last frame.

        Examples:
            >>> video = await one.video(eid, "left", pixels="gray")
            >>> trials = await one.load_object(eid, "trials")
            >>> (await video.at(trials.stimOn_times[:3])).shape
            (3, 128, 144)
        """
        return await self._decoded(await run_sync(self._frames_at, times))

    def _frames_at(self, times: Any) -> NDArray[np.intp]:
        if self.times is None:
            raise ALFObjectNotFound(f"{self._reader.layout.name}: there are no times of the frames")
        known = self.times[: len(self)]
        order = np.flatnonzero(np.isfinite(known))
        order = order[np.argsort(known[order], kind="stable")]
        known, wanted = known[order], seconds(times)
        if len(wanted) and not (len(known) and known[0] <= wanted.min() and wanted.max() <= known[-1]):
            span = (
                f"from {known[0]:.12g} to {known[-1]:.12g} s"
                if len(known)
                else "none, since the times are empty"
            )
            raise InputError.of("times", times, f"times of the video, {span}")
        after = np.searchsorted(known, wanted).clip(1 if len(known) > 1 else 0)
        before = (after - 1).clip(0)
        return order[np.where(wanted - known[before] <= known[after] - wanted, before, after)]

    async def _decoded(self, numbers: NDArray[np.intp]) -> NDArray[np.uint8]:
        size = len(numbers) * int(np.prod(self.shape[1:]))
        if size > LARGEST:
            raise InputError(
                f"{size / 1024**3:,.0f} GiB would be read at once, of which {LARGEST >> 30} are allowed; read fewer frames"
            )
        different, places = np.unique(numbers, return_inverse=True)
        out = np.empty((len(different), *self.shape[1:]), np.uint8)
        for rows, blocks in await run_sync(_batches, self._decoder, different):
            await self._reader.each((block, None) for block in blocks)
            await run_sync(self._decoder.decode, different[rows], out[rows], limiter=self._turn)
        return out if np.array_equal(numbers, different) else await run_sync(out.__getitem__, places)


def _batches(decoder: Decoder, numbers: NDArray[np.intp]) -> list[tuple[slice, list[int]]]:
    """Divide frames in ascending order into batches that are decoded together, each with the blocks it needs."""
    found: list[tuple[slice, list[int]]] = []
    for start, stop in decoder.groups(numbers):
        needed = decoder.blocks(int(numbers[start]), int(numbers[stop - 1]))
        more = set(needed).difference(found[-1][1] if found else ())
        if found and len(found[-1][1]) + len(more) <= BLOCKS_AT_ONCE:
            found[-1] = (slice(found[-1][0].start, stop), [*found[-1][1], *sorted(more)])
        else:  # other blocks are fetched when they are decoded
            found.append((slice(start, stop), list(needed[:BLOCKS_AT_ONCE])))
    return found
