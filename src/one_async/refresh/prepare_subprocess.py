"""Prepare large tables in a subprocess of low priority, so that searches are not slowed down."""

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
from one_async.tables.polars_files import count_rows

__all__ = ["SMALL", "prepare", "prepare_in_subprocess"]

#: The size in bytes below which preparing an archive takes less time than starting a subprocess.
SMALL = 8 << 20
_NICE = 10
_CODE = "import sys; from one_async.refresh.prepare_subprocess import main; main(*sys.argv[1:])"


def prepare(archive: Path, into: Path) -> None:
    """Unpack an archive and open its tables, which validates them and writes their memory-mapped form; blocking."""
    for path in unpack(archive, into):
        if path.suffix == ".pqt":
            _check_rows(path)
    Catalogue.open(into)


def _check_rows(path: Path) -> None:
    """Raise TablesDamaged for a table with more rows than bytes; reads only its footer.

    Each row has a unique id, which takes several bytes even when compressed. Equal rows take almost none, so a small file
    may contain more rows than fit in memory.
    """
    try:
        rows = count_rows(path)
    except (pl.exceptions.PolarsError, OSError):
        return  # opening the table raises a clear error
    if rows > path.stat().st_size:
        raise TablesDamaged(f"{path.name} in the server's archive has {rows:,} rows in fewer bytes")


async def prepare_in_subprocess(archive: Path, into: Path) -> bool:
    """Call `prepare` in a subprocess; return False if the subprocess could not start or failed.

    A thread would compete with searches for the interpreter lock and for Polars' threads. Cancellation ends the
    subprocess.
    """
    name = Path(sys.executable or "").name.lower()
    # A frozen program or one that embeds Python would start itself.
    if getattr(sys, "frozen", False) or not name.startswith(("python", "pypy")):
        return False
    paths = os.pathsep.join(path for path in sys.path if path)
    with suppress(OSError, NotImplementedError):  # some event loops of Windows do not support subprocesses
        async with await anyio.open_process(
            [sys.executable, "-P", "-c", _CODE, str(archive), str(into)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": paths, "POLARS_MAX_THREADS": "1"},
        ) as process:
            return await process.wait() == 0
    return False


def main(archive: str, into: str) -> None:
    """Prepare the tables at low priority; entry point of the subprocess."""
    with suppress(AttributeError, OSError):
        os.nice(_NICE)
    prepare(Path(archive), Path(into))
