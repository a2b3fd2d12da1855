"""Replace the tables of a folder atomically, and read them consistently.

New tables are written to a folder below ``WORK``, on the same file system, validated and converted there, and then
installed together (`tables.install`).
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from one_async.errors import OneError, TablesDamaged
from one_async.files.atomic import sweep_temporary, write_whole
from one_async.tables import mmap_cache
from one_async.tables.catalogue import Catalogue
from one_async.tables.cleanup import (
    claim_if_free,
    clear_conversions,
    clear_saves,
    is_protected,
    names_in,
    remove_saves,
    sweep_claims,
)
from one_async.tables.disk import claim_tables
from one_async.tables.install import install, waiting

__all__ = [
    "DOWNLOAD",
    "WORK",
    "Stamp",
    "State",
    "clear_killed",
    "clear_work",
    "new_folder",
    "open_tables",
    "same_tables",
    "stamp_of",
    "swap",
]

WORK = ".one_async_refresh"
#: The name of the claim on downloads.
DOWNLOAD = "download"
_STATE = "state.json"
_TRIES = 30
_FORM = re.compile(r"[0-9a-f]{32}")

#: Name, size and mtime in ns of each table of a folder.
Stamp: TypeAlias = tuple[tuple[str, int, int], ...]


def stamp_of(folder: Path) -> Stamp:
    """Return the stamp of a folder's tables; blocking."""
    found = []
    for path in sorted(folder.glob("*.pqt")):
        with contextlib.suppress(FileNotFoundError):
            stat = path.stat()
            found.append((path.name, stat.st_size, stat.st_mtime_ns))
    return tuple(found)


def new_folder(folder: Path) -> Path:
    """Create and return a folder for new tables; the caller must hold the claim on downloads."""
    made = folder / WORK / f"new-{uuid.uuid4().hex}"
    made.mkdir(parents=True)
    return made


def swap(made: Path, folder: Path) -> None:
    """Move all files of ``made`` to ``folder``, or none; blocks while another process saves there."""
    with claim_tables(folder):
        remove_saves(folder)
        forms = _move_mapped_form(made, folder)
        files = {path.name: folder / f".{path.stem}.{uuid.uuid4().hex}.tmp" for path in made.iterdir()}
        try:
            for name, path in files.items():
                (made / name).rename(path)
            for _ in range(_TRIES):
                install(folder, files)
                files = {name: path for name, path in files.items() if path.exists()}
                if not files:
                    _clear_forms(folder, forms)
                    return
            raise OSError(
                f"the tables in {folder} cannot be replaced: another program has {', '.join(files)} open"
            )
        finally:
            # Files that are waiting to be installed already count as the current tables.
            for path in {*files.values()} - {*waiting(folder).values()}:
                path.unlink(missing_ok=True)


def _move_mapped_form(made: Path, folder: Path) -> set[str]:
    """Move the memory-mapped form as well, and return the names moved.

    Its name is derived from the state of the Parquet files, so it stays valid. If it cannot be moved, it is written again.
    """
    forms, moved = made / mmap_cache.FOLDER, set()
    if forms.is_dir():
        with contextlib.suppress(OSError):
            (folder / mmap_cache.FOLDER).mkdir(exist_ok=True)
            for form in forms.iterdir():
                if form.is_dir() and _FORM.fullmatch(form.name):
                    form.rename(folder / mmap_cache.FOLDER / form.name)
                    moved.add(form.name)
        shutil.rmtree(forms, ignore_errors=True)
    return moved


def _clear_forms(folder: Path, keep: set[str]) -> None:
    """Remove the memory-mapped forms of previous tables; processes that have them open keep them."""
    if keep:
        for form in (folder / mmap_cache.FOLDER).iterdir():
            if _FORM.fullmatch(form.name) and form.name not in keep:
                shutil.rmtree(form, ignore_errors=True)


def clear_work(folder: Path, keep: Path) -> None:
    """Remove the files of killed downloads except one; the caller holds the claim on downloads."""
    _remove_new(folder)
    for path in (folder / WORK).glob("*.part"):
        if path != keep:
            path.unlink(missing_ok=True)


def _remove_new(folder: Path) -> None:
    for path in (folder / WORK).glob("new-*"):
        shutil.rmtree(path, ignore_errors=True)


def clear_killed(folder: Path) -> None:
    """Remove the files of killed processes from a folder of tables, except downloads, which can be resumed.

    Files of running processes are kept, and all files of a read-only folder. Blocking, but does not wait for other
    processes.
    """
    if not folder.is_dir() or is_protected(folder):
        return
    work = folder / WORK
    clear_saves(folder)
    clear_conversions(folder / mmap_cache.FOLDER)
    sweep_claims(work)
    sweep_temporary(folder)
    sweep_temporary(work)
    if any(name.startswith("new-") for name in names_in(work)):
        with claim_if_free(work / DOWNLOAD) as free:
            if free:
                _remove_new(folder)


def open_tables(folder: Path, progress: Callable[[int, int], None] | None = None) -> tuple[Catalogue, Stamp]:
    """Open a consistent set of a folder's tables, even while they are replaced; blocking.

    ``progress`` is called with the number of files read and their total, if they are converted.
    Raises TablesNotFound and TablesDamaged as Catalogue.open does.
    """
    clear_killed(folder)
    for attempt in range(_TRIES):
        before = stamp_of(folder), waiting(folder)
        try:
            catalogue = Catalogue.open(folder, progress=progress)
        except (OneError, FileNotFoundError):
            if (stamp_of(folder), waiting(folder)) == before:
                raise
        else:
            # Opening may have finished an interrupted installation; then the tables are opened again.
            if (stamp_of(folder), waiting(folder)) == before:
                return catalogue, before[0]
        time.sleep(0.01 * attempt)
    raise TablesDamaged(f"the tables in {folder} changed during each of {_TRIES} reads", path=str(folder))


@dataclass(frozen=True)
class State:
    """The state stored next to the tables, so that several processes together check as often as one would.

    ``checked`` is the time of the last check, in seconds since 1970; ``created`` and ``origin`` are the server's
    description of the tables whose stamp is ``files``.
    """

    checked: float | None = None
    server: str = ""
    created: str | None = None
    origin: str | None = None
    files: Stamp = ()

    @classmethod
    def read(cls, folder: Path) -> State:
        """Return the stored state; an empty one if it is absent or damaged."""
        try:
            stored: dict[str, Any] = json.loads((folder / WORK / _STATE).read_text(encoding="utf-8"))
            files = tuple((str(name), int(size), int(changed)) for name, size, changed in stored["files"])
            checked, created, origin = stored["checked"], stored["created"], stored["origin"]
            return cls(
                None if checked is None else float(checked),
                str(stored["server"]),
                None if created is None else str(created),
                None if origin is None else str(origin),
                files,
            )
        except (OSError, ValueError, TypeError, KeyError):
            return cls()

    def write(self, folder: Path) -> None:
        """Store the state if the folder is writable."""
        with contextlib.suppress(OSError):
            (folder / WORK).mkdir(exist_ok=True)
            text = json.dumps(asdict(self))
            write_whole(folder / WORK / _STATE, lambda file: file.write(text.encode()), durable=False)


@contextlib.contextmanager
def same_tables(folder: Path) -> Iterator[None]:
    """Keep the server's description valid for files that the body of this context manager changes."""
    state = State.read(folder)
    known = bool(state.files) and state.files == stamp_of(folder)
    yield
    if known:
        replace(state, files=stamp_of(folder)).write(folder)
