"""The current cache tables: refreshed from the server, extended by rows from queries, replaced atomically."""

from __future__ import annotations

from one_async.refresh.info import TablesInfo
from one_async.refresh.keeper import TablesKeeper

__all__ = ["TablesInfo", "TablesKeeper"]
