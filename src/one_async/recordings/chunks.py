"""The chunks of a recording: fetched concurrently, decoded in threads, and cached up to a size limit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import numpy as np
from numpy.typing import NDArray

from one_async._concurrency import SingleFlight, run_all
from one_async._threads import run_sync
from one_async.errors import FileDamaged, OneError, StorageError
from one_async.recordings.chunk_decoding import Chunk, ChunkDamaged, decode
from one_async.recordings.header import Header
from one_async.transfer.ranges import RangeReader

__all__ = ["ChunkReader", "Layout", "Use"]

#: The most chunks in flight, that is, being fetched, decoded or copied from.
CHUNKS_AT_ONCE = 8
#: The size limit of the cache of decoded chunks, in bytes.
CACHE_SIZE = 256 * 1024**2
#: The number of times that a damaged chunk is fetched again.
DAMAGED_RETRIES = 2
#: The chunk size in bytes for a file that is not compressed in chunks.
BLOCK_SIZE = 256 * 1024

#: Copies the needed samples from a chunk; called in a thread.
Use = Callable[[Chunk], None]


@dataclass(frozen=True)
class Layout:
    """The chunks of a recording: the samples of each, and its bytes in the file."""

    name: str
    """The session, probe and band, for messages."""
    bounds: NDArray[np.int64]
    """The first sample of each chunk, followed by the total number of samples."""
    offsets: NDArray[np.int64]
    n_channels: int
    dtype: np.dtype[Any]
    header: Header | None = None
    """The header of a compressed recording; None if the file contains plain samples."""
    unit: str = "samples"
    """The unit of the bounds."""

    @classmethod
    def of_header(cls, name: str, header: Header) -> Layout:
        """Return the layout of a compressed recording."""
        bounds, offsets = np.asarray(header.chunk_bounds), np.asarray(header.chunk_offsets)
        return cls(name, bounds, offsets, header.n_channels, np.dtype(header.dtype), header)

    @classmethod
    def of_samples(cls, name: str, size: int, n_channels: int) -> Layout:
        """Return the layout of a file of ``size`` bytes that contains 16-bit samples."""
        width = 2 * n_channels
        count, step = size // width, max(1, BLOCK_SIZE // width)
        bounds = np.append(np.arange(0, count, step), count)
        return cls(name, bounds, bounds * width, n_channels, np.dtype(np.int16))

    @classmethod
    def of_bytes(cls, name: str, size: int) -> Layout:
        """Return the layout of an arbitrary file that is read in blocks."""
        bounds = np.append(np.arange(0, size, BLOCK_SIZE), size)
        return cls(name, bounds, bounds, 1, np.dtype(np.uint8), unit="bytes")

    @property
    def is_by_channel(self) -> bool:
        """Whether the samples of a channel are contiguous in a decoded chunk."""
        return self.header is not None and self.header.chunk_order == "F"

    def samples(self, chunk: int, pieces: Sequence[bytes]) -> Chunk:
        """Return the samples of a chunk. Raise ChunkDamaged if its bytes cannot be decoded."""
        if self.header is not None:
            return decode(self.header, chunk, pieces)
        return Chunk(np.frombuffer(b"".join(pieces), self.dtype).reshape((-1, self.n_channels)))


@dataclass
class ChunkReader:
    """Reads chunks from disk or from servers, on one event loop."""

    layout: Layout
    origin: Path | RangeReader
    cache_size: int = CACHE_SIZE
    _kept: OrderedDict[int, Chunk] = field(default_factory=OrderedDict)
    _kept_size: int = 0
    _flights: SingleFlight[Chunk] = field(default_factory=SingleFlight)
    _slots: anyio.CapacityLimiter | None = None

    async def each(self, uses: Iterator[tuple[int, Use | None]]) -> None:
        """Call each function with the samples of its chunk, processing several chunks at once. None only caches the chunk."""
        slots = self._slots = self._slots or anyio.CapacityLimiter(CHUNKS_AT_ONCE)

        async def work() -> None:
            for chunk, use in uses:
                async with slots:
                    samples = await self.get(chunk)
                    if use is not None:
                        await run_sync(use, samples)
                    del samples

        await run_all(work, [()] * CHUNKS_AT_ONCE)

    async def get(self, chunk: int) -> Chunk:
        """Return the samples of a chunk. Raise FileDamaged or a ServerError with the chunk in its text."""
        if chunk in self._kept:
            self._kept.move_to_end(chunk)
            return self._kept[chunk]
        return await self._flights.share(chunk, partial(self._load, chunk))

    async def _load(self, chunk: int) -> Chunk:
        start, stop = (int(self.layout.offsets[at]) for at in (chunk, chunk + 1))
        damage: ChunkDamaged | None = None
        for _ in range(1 + DAMAGED_RETRIES):
            try:
                samples = await self._samples(chunk, start, stop)
            except ChunkDamaged as error:
                damage = error
            except OneError as error:
                raise self._named(error, chunk) from error.__cause__
            else:
                self._keep(chunk, samples)
                return samples
        raise self._named(FileDamaged(f"its bytes {start} to {stop} are damaged: {damage}"), chunk)

    async def _samples(self, chunk: int, start: int, stop: int) -> Chunk:
        if isinstance(self.origin, Path):
            return await run_sync(self._of_disk, self.origin, chunk, start, stop)
        found = await self.origin.read(start, stop)
        end = int(self.layout.offsets[-1])
        if found.size is not None and (found.size < end or (self.layout.header and found.size != end)):
            raise FileDamaged(f"the file has {found.size} bytes, its header describes {end}")
        return await run_sync(self.layout.samples, chunk, found.pieces)

    def _of_disk(self, file: Path, chunk: int, start: int, stop: int) -> Chunk:
        try:
            with file.open("rb") as stream:
                stream.seek(start)
                data = stream.read(stop - start)
        except OSError as error:
            raise StorageError.of(error, file) from error
        if len(data) != stop - start:
            raise ChunkDamaged(f"{file} ends at byte {start + len(data)}")
        return self.layout.samples(chunk, [data])

    def _keep(self, chunk: int, samples: Chunk) -> None:
        size = samples.values.nbytes
        if size > self.cache_size:
            return
        self._kept[chunk] = samples
        self._kept_size += size
        while self._kept_size > self.cache_size:
            _, oldest = self._kept.popitem(last=False)
            self._kept_size -= oldest.values.nbytes

    def _named(self, error: OneError, chunk: int) -> OneError:
        """Add the recording and the chunk to the text of an error."""
        first, last = (int(self.layout.bounds[at]) for at in (chunk, chunk + 1))
        text = f"{self.layout.name}, chunk {chunk} ({self.layout.unit} {first} to {last}): {error}"
        return type(error)(text, **{**error.__dict__, "chunk": chunk})
