"""Read files with Polars, each through one open file.

Given a path, Polars reads all files that it matches as a pattern: ``data[1]/sessions.pqt`` is the file in ``data1``. It also
opens the path more than once, and mixes two versions of a file that another process replaces meanwhile. Tables are read into
memory first, since other programs write them in place: Polars maps open files, and a mapped file that is truncated ends the
process.
"""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

import polars as pl

__all__ = ["count_rows", "read_arrow", "read_metadata", "read_parquet"]

#: Attempts to read a file that another program writes to.
_READS = 3


def read_parquet(path: Path) -> tuple[pl.DataFrame, dict[str, str]]:
    """Return the frame and the metadata of a Parquet file."""
    content = _content_of(path)
    metadata = pl.read_parquet_metadata(BytesIO(content))
    return pl.read_parquet(BytesIO(content), use_statistics=False), metadata


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a Parquet file."""
    with path.open("rb") as file:
        return pl.read_parquet_metadata(file)


def count_rows(path: Path) -> int:
    """Return the number of rows of a Parquet file; decodes only its footer."""
    return int(pl.scan_parquet(BytesIO(_content_of(path))).select(pl.len()).collect().item())


def read_arrow(path: Path) -> pl.DataFrame:
    """Return the frame of an Arrow file."""
    with path.open("rb") as file:
        return pl.read_ipc(file)


def _content_of(path: Path) -> bytes:
    """Return the content of a file. Raises OSError if it is written to during each of several reads."""
    with path.open("rb") as file:
        for _ in range(_READS):
            before = os.fstat(file.fileno())
            file.seek(0)
            content = file.read()
            after = os.fstat(file.fileno())
            if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
                return content
    raise OSError(f"another program writes to {path}")
