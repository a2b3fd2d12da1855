"""The ``.ch`` file of a compressed recording, and the decoding of its chunks.

The format is that of mtscomp: each chunk contains the samples of a time span as zlib-compressed differences between
successive samples or channels. The ``.ch`` file is JSON with the first sample and the first byte of each chunk.
"""

from __future__ import annotations

import zlib as plain_zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError, model_validator

from one_async.errors import FileDamaged, shown

__all__ = ["Chunk", "ChunkDamaged", "Header", "decode", "read_header"]

#: The module that decompresses chunks; the one of the extra `fast` takes half the time.
zlib: Any = plain_zlib
with suppress(ImportError):
    from isal import isal_zlib

    zlib = isal_zlib

#: The largest chunk that is decoded, in bytes; chunks of recordings have about 25 MB.
_LARGEST_CHUNK = 1 << 31
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


class Header(BaseModel):
    """The content of a ``.ch`` file."""

    algorithm: Literal["zlib"]
    chunk_bounds: list[int] = Field(min_length=2)
    chunk_offsets: list[int]
    chunk_order: Literal["C", "F"]
    do_spatial_diff: bool
    do_time_diff: bool
    dtype: Literal["int16", "uint16", "int8", "uint8", "int32", "uint32"]
    n_channels: int = Field(gt=0, le=100_000)
    sample_rate: float = Field(gt=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        bounds, offsets = np.asarray(self.chunk_bounds), np.asarray(self.chunk_offsets)
        if len(bounds) != len(offsets) or bounds[0] != 0 or offsets[0] < 0:
            raise ValueError("chunk_bounds and chunk_offsets do not fit together")
        if (np.diff(bounds) <= 0).any() or (np.diff(offsets) <= 0).any():
            raise ValueError("chunk_bounds and chunk_offsets do not ascend")
        width = self.n_channels * np.dtype(self.dtype).itemsize
        if int(np.diff(bounds).max()) * width > _LARGEST_CHUNK:
            raise ValueError("a chunk is larger than 2 GiB")
        return self


def read_header(file: Path) -> Header:
    """Parse a ``.ch`` file. Raise FileDamaged if it is invalid."""
    try:
        return Header.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise FileDamaged(
            f"{file} is not a header of a compressed recording: {where} {shown(first['msg'])}".replace(
                "  ", " "
            ),
            path=str(file),
        ) from None


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
