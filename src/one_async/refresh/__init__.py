"""The cache tables in use: kept up to date beside the server's, grown by what queries learn, swapped whole."""

from __future__ import annotations

from .info import TablesInfo
from .keeper import TablesKeeper

__all__ = ["TablesInfo", "TablesKeeper"]
