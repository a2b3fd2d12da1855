"""The memory-mapped cache of the tables: a hidden folder next to the Parquet files.

``.one_async_tables/<fingerprint>/`` contains arrays (``.npy``, mapped), small frames (Arrow) and ``meta.json``, which is
written last. The fingerprint is that of the Parquet files, so a changed table has a different folder. A folder is created by
one rename, so it is always complete; a damaged one is rebuilt. If nothing can be written, the tables are read into memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import uuid
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from one_async.errors import TablesDamaged, TablesNotFound
from one_async.files.atomic import sync
from one_async.files.claim import claim
from one_async.tables.cleanup import clear_conversions, is_protected
from one_async.tables.columns import load, save
from one_async.tables.dataset_table import Datasets
from one_async.tables.polars_files import read_arrow

__all__ = ["FOLDER", "MIN_ROWS", "Parts", "fingerprint", "open_or_convert"]

FOLDER: Final = ".one_async_tables"
#: With fewer datasets, opening the Parquet files is equally fast.
MIN_ROWS: Final = 20_000
_VERSION: Final = 1
_TAIL: Final = 65_536
_WAIT: Final = 120.0


@dataclass(frozen=True)
class Parts:
    """The parts of a catalogue."""

    sessions: pl.DataFrame
    datasets: Datasets
    others: Mapping[str, pl.DataFrame]
    raw: Mapping[str, Mapping[str, Any]]


Reader = Callable[[Mapping[str, Path]], Parts]


def open_or_convert(
    folder: Path, files: Mapping[str, Path], read: Reader, *, write: bool | None = None
) -> Parts:
    """Open the memory-mapped cache of these files, or read them and write the cache.

    ``write``: None writes a cache for large tables only, True always, False never.
    """
    for _ in range(3):
        mark = fingerprint(files)
        found = _open(folder / FOLDER / mark)
        if found is not None:
            return found
        parts = _convert(folder, mark, files, read, write)
        if fingerprint(files) == mark:
            return parts
    return read(files)  # the files change faster than they are read


def fingerprint(files: Mapping[str, Path]) -> str:
    """Return a hash of the names, sizes, modification times and footers of parquet files."""
    digest = hashlib.blake2b(f"{_VERSION} {sys.byteorder}".encode(), digest_size=16)
    for name, path in sorted(files.items()):
        try:
            with path.open("rb") as file:
                stat = os.fstat(file.fileno())
                file.seek(max(0, stat.st_size - _TAIL))
                tail = file.read()
        except FileNotFoundError as error:
            raise TablesNotFound(f"{path} went away", path=str(path)) from error
        except OSError as error:
            raise TablesDamaged(f"{path} cannot be read: {error}", path=str(path)) from error
        digest.update(f"\0{name}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
        digest.update(tail)
    return digest.hexdigest()


def _convert(folder: Path, mark: str, files: Mapping[str, Path], read: Reader, write: bool | None) -> Parts:
    home = folder / FOLDER
    small = write is None and sum(path.stat().st_size for path in files.values()) < MIN_ROWS * 20
    if write is False or small or (write is None and is_protected(folder)):
        return read(files)
    try:
        home.mkdir(exist_ok=True)
        with claim(home / mark, wait=_WAIT):
            found = _open(home / mark)
            if found is not None:
                return found
            parts = read(files)
            if (write or len(parts.datasets) >= MIN_ROWS) and fingerprint(files) == mark:
                _write(parts, home, mark)
                return _open(home / mark) or parts
            return parts
    except TimeoutError:
        return read(files)
    except OSError:  # the folder is not writable or the disk is full; the cache is optional
        return read(files)


def _write(parts: Parts, home: Path, mark: str) -> None:
    _clean(home, mark)
    made = home / f"tmp-{mark}-{uuid.uuid4().hex}"
    made.mkdir()
    try:
        _fill(made, parts)
        final = home / mark
        if final.exists():  # it did not open, so it is damaged
            ruin = home / f"tmp-{mark}-{uuid.uuid4().hex}"
            final.rename(ruin)
            shutil.rmtree(ruin, ignore_errors=True)
        made.rename(final)
        sync(home)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    _clean(home, mark)


def _fill(made: Path, parts: Parts) -> None:
    parts.sessions.write_ipc(made / "sessions.arrow", compression="uncompressed")
    for name, frame in parts.others.items():
        frame.write_ipc(made / f"other.{name}.arrow", compression="uncompressed")
    table = parts.datasets
    np.save(made / "path.npy", table.path, allow_pickle=False)
    np.save(made / "starts.npy", table.starts, allow_pickle=False)
    pl.DataFrame({"path": table.paths, "name": table.names}).write_ipc(
        made / "paths.arrow", compression="uncompressed"
    )
    pl.DataFrame({"eid": table.eids}).write_ipc(made / "eids.arrow", compression="uncompressed")
    columns = {name: save(column, made, f"column.{name}") for name, column in table.columns.items()}
    known = {path.name: _known(path) for path in sorted(made.iterdir())}
    meta = {"raw": parts.raw, "columns": columns, "others": list(parts.others), "files": known}
    (made / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
    for path in (*made.iterdir(), made):
        sync(path)


def _known(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, _checksum(path)]


def _checksum(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while piece := file.read(1 << 22):
            value = zlib.crc32(piece, value)
    return value


def _is_same(path: Path, known: list[int]) -> bool:
    """Return whether a file is unchanged; compare the checksum if its modification time differs."""
    size, modified, checksum = known
    stat = path.stat()
    if stat.st_size != size:
        return False
    return stat.st_mtime_ns == modified or _checksum(path) == checksum


def _open(home: Path) -> Parts | None:
    """Return the cached parts, or None if the cache is missing or damaged."""
    try:
        meta = json.loads((home / "meta.json").read_text(encoding="utf-8"))
        if not all(_is_same(home / name, known) for name, known in meta["files"].items()):
            return None
        paths = read_arrow(home / "paths.arrow")
        datasets = Datasets(
            _array(home / "path.npy"),
            paths["path"],
            paths["name"],
            read_arrow(home / "eids.arrow")["eid"],
            _array(home / "starts.npy"),
            {name: load(home, f"column.{name}", layout, _array) for name, layout in meta["columns"].items()},
        )
        others = {name: read_arrow(home / f"other.{name}.arrow") for name in meta["others"]}
        return Parts(read_arrow(home / "sessions.arrow"), datasets, others, meta["raw"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pl.exceptions.PolarsError):
        return None


def _array(path: Path) -> npt.NDArray[Any]:
    # numpy cannot map an empty array
    if path.stat().st_size <= 128:
        return np.asarray(np.load(path, allow_pickle=False))
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def _clean(home: Path, mark: str) -> None:
    """Remove caches of older tables and unfinished ones; the caller must hold the claim on ``mark``."""
    for path in home.iterdir():
        older = len(path.name) == 32 and path.name != mark
        if older or path.name.startswith(f"tmp-{mark}-"):
            shutil.rmtree(path, ignore_errors=True)
    clear_conversions(home)
