"""Install several tables in a folder atomically: readers see all new files or all old ones, even after a crash.

The new files are written and synced under temporary names before a note that lists them is created. From then on they are
the tables. The next process that opens the folder finishes the renaming, or reads the files under their temporary names.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from one_async.errors import InputError
from one_async.files.atomic import sync, write_whole

__all__ = ["finish", "install", "waiting"]

_NOTE: Final = ".one_async_install."


def install(folder: Path, files: Mapping[str, Path]) -> None:
    """Rename complete temporary files in a folder to their final names (``sessions.pqt``…).

    The caller must hold the claim on the folder's tables.
    """
    for name, path in files.items():
        if Path(name).name != name or path.parent != folder:
            raise InputError.of("files", (name, str(path)), f"names and files in {folder}")
        sync(path)
    finish(folder)
    note = folder / f"{_NOTE}{uuid.uuid4().hex}"
    text = json.dumps({name: path.name for name, path in files.items()})
    write_whole(note, lambda file: file.write(text.encode()))
    sync(folder)
    _rename(note, {folder / name: path for name, path in files.items()})


def finish(folder: Path) -> None:
    """Finish interrupted installations; do nothing if there are none or the folder is read-only."""
    for note in _notes(folder):
        _rename(note, _read(note))


def _rename(note: Path, files: Mapping[Path, Path]) -> None:
    # Each note has a unique name, so that a slow reader never removes the note of the next installation.
    with contextlib.suppress(OSError):
        for final, temporary in files.items():
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                temporary.replace(final)
        sync(note.parent)
        note.unlink(missing_ok=True)


def waiting(folder: Path) -> dict[Path, Path]:
    """Return the tables that are installed but not renamed yet: final path to temporary path."""
    found: dict[Path, Path] = {}
    for note in _notes(folder):
        found |= {final: temporary for final, temporary in _read(note).items() if temporary.exists()}
    return found


def _notes(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob(f"{_NOTE}*"), key=lambda path: path.stat().st_mtime_ns)
    except OSError:
        return []


def _read(note: Path) -> dict[Path, Path]:
    try:
        names = json.loads(note.read_text(encoding="utf-8"))
        pairs = {str(name): str(temporary) for name, temporary in names.items()}
    except (OSError, ValueError, AttributeError):
        return {}
    home = note.parent
    return {home / name: home / temp for name, temp in pairs.items() if _is_plain(name) and _is_plain(temp)}


def _is_plain(name: str) -> bool:
    return Path(name).name == name and name not in ("", ".", "..")
