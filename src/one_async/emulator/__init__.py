"""A small Alyx for demonstrations and tests: endpoints, cache tables and files of a made-up world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .content import World, recorded
    from .server import Emulator, serve

__all__ = ["Emulator", "World", "recorded", "serve"]

_HOMES = {"Emulator": "server", "serve": "server", "World": "content", "recorded": "content"}


def __getattr__(name: str) -> Any:
    """Import the server (Starlette and uvicorn) when it is first needed."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
