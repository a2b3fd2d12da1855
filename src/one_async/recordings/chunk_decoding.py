"""The chunks of a compressed recording: decompression, and sums of their differences."""

from __future__ import annotations

import zlib as plain_zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from one_async.recordings.header import Header

__all__ = ["Chunk", "ChunkDamaged", "decode"]

#: The module that decompresses chunks; the one of the extra `fast` takes half the time.
zlib: Any = plain_zlib
with suppress(ImportError):
    from isal import isal_zlib

    zlib = isal_zlib

#: The number of values summed by one call, which takes less than a millisecond.
_SUMMED_AT_ONCE = 1 << 17


class ChunkDamaged(Exception):
    """The bytes of a chunk do not match the header."""


@dataclass(frozen=True)
class Chunk:
    """The samples of a chunk, of shape (samples, channels), as they are or as differences from the sample before."""

    values: NDArray[Any]
    is_differences: bool = False

    def read(self, rows: slice | NDArray[np.intp], columns: Any) -> NDArray[Any]:
        """Return samples, of ascending rows if given as a slice. Differences are summed up for these rows alone."""
        if not self.is_differences:
            return self.values[rows][:, columns]
        low, high = (rows.start, rows.stop) if isinstance(rows, slice) else (rows.min(), rows.max() + 1)
        first = np.add.reduce(self.values[: low + 1], axis=0, dtype=self.values.dtype)[columns]
        samples = self.values[low:high, columns].copy(order="K")
        samples[0] = first
        _sum_up(samples, axis=0)
        return samples[:: rows.step] if isinstance(rows, slice) else samples[rows - low]

    def summed(self) -> Chunk:
        """Return the chunk with all its differences summed up, for many reads."""
        return Chunk(self.read(slice(0, len(self.values)), slice(None))) if self.is_differences else self


def decode(header: Header, chunk: int, pieces: Sequence[bytes]) -> Chunk:
    """Return the samples of a chunk. Raise ChunkDamaged if they cannot be decoded."""
    rows = header.chunk_bounds[chunk + 1] - header.chunk_bounds[chunk]
    dtype = np.dtype(header.dtype)
    size = rows * header.n_channels * dtype.itemsize
    engine = zlib.decompressobj()
    try:
        # One byte more than expected, so that the checksum at the end is verified.
        data = engine.decompress(b"".join(pieces), size + 1)
    except zlib.error as error:
        raise ChunkDamaged(str(error)) from None
    if len(data) != size or not engine.eof or engine.unused_data:
        raise ChunkDamaged(f"it holds {len(data)} bytes instead of {size}")
    values = np.frombuffer(data, dtype).reshape((rows, header.n_channels), order=header.chunk_order)
    if header.do_spatial_diff:
        values = values.copy(order="K")
        _sum_up(values, axis=1)
    return Chunk(values, is_differences=header.do_time_diff)


def _sum_up(samples: NDArray[Any], axis: int) -> None:
    """Compute running sums along an axis in place, in many calls, since numpy blocks other threads during a call."""
    lines = np.moveaxis(samples, axis, -1)
    step = max(1, _SUMMED_AT_ONCE // lines.shape[1])
    for at in range(0, len(lines), step):
        part = lines[at : at + step]
        np.cumsum(part, axis=1, dtype=part.dtype, out=part)
