"""The recorded world, read once in each process so that emulators start in milliseconds, and its cache tables."""

from __future__ import annotations

import io
import zipfile
from functools import cache
from pathlib import Path

from one_async.emulator import Emulator, World, recorded

__all__ = ["checks", "downloads", "recorded_world", "unzip"]


@cache
def recorded_world() -> World:
    return recorded(Path(__file__).parent / "data" / "alyx")


def unzip(emulator: Emulator, folder: Path) -> Path:
    """Write the server's tables to a folder as ONE-api would."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(emulator.app.cache_zip())) as archive:
        archive.extractall(folder)
    return folder


def downloads(emulator: Emulator) -> int:
    """Return the number of downloads of the tables."""
    return emulator.requests.count("/cache.zip")


def checks(emulator: Emulator) -> int:
    """Return the number of checks for newer tables."""
    return emulator.requests.count("/cache/info")
