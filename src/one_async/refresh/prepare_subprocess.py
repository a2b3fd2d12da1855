"""Large tables are made ready in a process of low priority, so that searches go on beside it as if nothing were."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import anyio
import polars as pl

from one_async.errors import TablesDamaged
from one_async.refresh.unpack import unpack
from one_async.tables.catalogue import Catalogue

__all__ = ["SMALL", "prepare", "prepare_apart"]

#: Archives of fewer bytes are ready before a process would have begun.
SMALL = 8 << 20
_NICE = 10
_CODE = "import sys; from one_async.refresh.prepare_subprocess import work; work(*sys.argv[1:])"


def prepare(archive: Path, into: Path) -> None:
    """Unpack an archive and open the tables in it, which checks them and makes their fast form; blocks."""
    for path in unpack(archive, into):
        if path.suffix == ".pqt":
            _check_rows(path)
    Catalogue.open(into)


def _check_rows(path: Path) -> None:
    """Raise TablesDamaged for a table with more rows than bytes; reads its footer alone.

    Each row has an id of its own, which takes many bytes however it is compressed. Equal rows take none: a small file
    may have more of them than fit in memory.
    """
    try:
        rows = pl.scan_parquet(path).select(pl.len()).collect().item()
    except (pl.exceptions.PolarsError, OSError):
        return  # what cannot be read is said by who opens it
    if rows > path.stat().st_size:
        raise TablesDamaged(f"{path.name} in the server's archive has {rows:,} rows in fewer bytes")


async def prepare_apart(archive: Path, into: Path) -> bool:
    """Do the same in another process; False if that was not tried or did not succeed, for whatever reason.

    Threads would compete with searches for the interpreter's lock and for Polars' own threads. Ends the process when
    cancelled.
    """
    name = Path(sys.executable or "").name.lower()
    # A program that embeds Python, or is frozen, would start itself.
    if getattr(sys, "frozen", False) or not name.startswith(("python", "pypy")):
        return False
    paths = os.pathsep.join(path for path in sys.path if path)
    with suppress(OSError, NotImplementedError):  # some event loops of Windows have no processes
        async with await anyio.open_process(
            [sys.executable, "-P", "-c", _CODE, str(archive), str(into)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": paths, "POLARS_MAX_THREADS": "1"},
        ) as process:
            return await process.wait() == 0
    return False


def work(archive: str, into: str) -> None:
    """Be that process."""
    with suppress(AttributeError, OSError):
        os.nice(_NICE)
    prepare(Path(archive), Path(into))
