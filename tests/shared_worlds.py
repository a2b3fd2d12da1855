"""The recorded world, read once by each process: from its second emulator on, each starts in milliseconds."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from one_async.emulator import World, recorded

__all__ = ["recorded_world"]


@cache
def recorded_world() -> World:
    return recorded(Path(__file__).parent / "data" / "alyx")
