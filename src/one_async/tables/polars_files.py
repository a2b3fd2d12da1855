"""Read files with Polars, each through one open file.

Given a path, Polars reads all files that it matches as a pattern: ``data[1]/sessions.pqt`` is the file in ``data1``. It also
opens the path more than once, and mixes two versions of a file that another process replaces meanwhile.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

__all__ = ["count_rows", "read_arrow", "read_metadata", "read_parquet"]


def read_parquet(path: Path) -> tuple[pl.DataFrame, dict[str, str]]:
    """Return the frame and the metadata of a Parquet file."""
    with path.open("rb") as file:
        metadata = pl.read_parquet_metadata(file)
        file.seek(0)
        return pl.read_parquet(file, use_statistics=False), metadata


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a Parquet file."""
    with path.open("rb") as file:
        return pl.read_parquet_metadata(file)


def count_rows(path: Path) -> int:
    """Return the number of rows of a Parquet file; reads only its footer."""
    with path.open("rb") as file:
        return int(pl.scan_parquet(file).select(pl.len()).collect().item())


def read_arrow(path: Path) -> pl.DataFrame:
    """Return the frame of an Arrow file."""
    with path.open("rb") as file:
        return pl.read_ipc(file)
