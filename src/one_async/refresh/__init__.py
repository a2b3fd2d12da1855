"""The cache tables in use: kept up to date beside the server's, grown by what queries learn, swapped whole."""

from __future__ import annotations

from one_async.refresh.info import TablesInfo
from one_async.refresh.keeper import TablesKeeper

__all__ = ["TablesInfo", "TablesKeeper"]
