"""The ``.ch`` file of a compressed recording.

The format is that of mtscomp: each chunk contains the samples of a time span as zlib-compressed differences between
successive samples or channels. The ``.ch`` file is JSON with the first sample and the first byte of each chunk.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, Field, ValidationError, model_validator

from one_async.errors import FileDamaged, shown

__all__ = ["Header", "read_header"]

#: The largest chunk that is decoded, in bytes; chunks of recordings have about 25 MB.
_LARGEST_CHUNK = 1 << 31


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
