"""A small Alyx for demonstrations and tests: endpoints, cache tables and files of a generated world."""

from __future__ import annotations

from one_async.emulator.content import World, recorded
from one_async.emulator.server import Emulator, serve

__all__ = ["Emulator", "World", "recorded", "serve"]
