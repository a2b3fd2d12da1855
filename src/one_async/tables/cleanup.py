"""Remove temporary files of killed processes next to the tables.

A claim file contains its owner, so a dead owner can be detected. Every other temporary file or folder belongs to a claim: it
may be removed by the holder of that claim, or by anyone if the claim is free.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from one_async.files.claim import claim_folder, sweep, try_claim
from one_async.tables.install import waiting

__all__ = [
    "claim_if_free",
    "clear_conversions",
    "clear_saves",
    "is_protected",
    "names_in",
    "remove_saves",
    "sweep_claims",
]

_CLAIM: Final = re.compile(r"\.(.+)\.claim")
_TAKEN: Final = re.compile(r"\..+\.claim\.[0-9a-f]{32}")
#: New tables, and the notes that list them.
_SAVE: Final = re.compile(r"\.\.?\w+\.[0-9a-f]{32}\.tmp")
_CONVERSION: Final = re.compile(r"tmp-(?:([0-9a-f]{32})-)?\w+")
#: Seconds after which a folder without a known owner counts as abandoned.
_ABANDONED: Final = 3600.0


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder; none if it cannot be read."""
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return []


def is_protected(folder: Path) -> bool:
    """Return whether a folder's mode allows nobody to write there. Root could, but must not either."""
    return not folder.stat().st_mode & 0o222


def sweep_claims(folder: Path) -> None:
    """Remove the claims in a folder whose owners are dead, since those names may never be claimed again."""
    for name in names_in(folder):
        with contextlib.suppress(OSError):
            if found := _CLAIM.fullmatch(name):
                sweep(folder / found[1])
            elif _TAKEN.fullmatch(name) and _is_old(
                folder / name
            ):  # the process that took it over was killed, too
                shutil.rmtree(folder / name, ignore_errors=True)


@contextlib.contextmanager
def claim_if_free(path: Path) -> Iterator[bool]:
    """Hold a claim if it is free; yield False if another process has it or the folder is not writable."""
    mine = None
    with contextlib.suppress(OSError):
        mine = try_claim(path)
    try:
        yield mine is not None
    finally:
        if mine is not None:
            mine.release()


def clear_saves(folder: Path) -> None:
    """Remove files left by processes killed while saving tables, unless a running process is saving there."""
    sweep_claims(folder)
    if any(map(_SAVE.fullmatch, names_in(folder))):
        with claim_if_free(folder / "tables") as free:
            if free:
                remove_saves(folder)


def remove_saves(folder: Path) -> None:
    """Remove temporary files of saves from a folder; the caller must hold the claim on its tables."""
    needed = {*waiting(folder).values()}
    for name in names_in(folder):
        path = folder / name
        if _SAVE.fullmatch(name) and path not in needed:
            with contextlib.suppress(OSError):
                path.unlink()


def clear_conversions(home: Path) -> None:
    """Remove unfinished memory-mapped caches of killed processes; running conversions hold a claim."""
    sweep_claims(home)
    for name in names_in(home):
        with contextlib.suppress(OSError):
            if not (found := _CONVERSION.fullmatch(name)):
                continue
            is_made = claim_folder(home / found[1]).exists() if found[1] else not _is_old(home / name)
            if not is_made:
                shutil.rmtree(home / name, ignore_errors=True)


def _is_old(path: Path) -> bool:
    return abs(time.time() - path.stat().st_mtime) > _ABANDONED
