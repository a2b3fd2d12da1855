"""A small Alyx for demonstrations and tests: endpoints, cache tables and files of a made-up world."""

from __future__ import annotations

from .content import World, recorded
from .server import Emulator, serve

__all__ = ["Emulator", "World", "recorded", "serve"]
