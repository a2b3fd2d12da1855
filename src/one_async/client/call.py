"""The mode, the source and the tables of one public call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from one_async._fork import check_polars
from one_async._warnings import warn
from one_async.errors import TablesWarning

if TYPE_CHECKING:
    from one_async.client.context import Context
    from one_async.queries.base import Source
    from one_async.queries.local import LocalSource
    from one_async.tables.catalogue import Catalogue
    from one_async.types import Mode


class Call:
    """One public call. Each public method makes one and passes it on.

    The mode is checked once. The tables are refreshed at most once, as the mode demands, when they are first used; the whole
    call uses that snapshot.
    """

    def __init__(self, context: Context, query_type: Mode | None = None) -> None:
        """Raise InputError for an unknown mode, OfflineError for a remote call without a database."""
        self.context = context
        self.mode: Mode = context.check_mode(query_type)
        self._source: Source | None = None
        self._catalogue: Catalogue | None = None

    @property
    def is_local(self) -> bool:
        """Whether only the tables answer."""
        return self.context.frozen is not None or self.context.offline or self.mode == "local"

    @property
    def is_remote(self) -> bool:
        """Whether only the server answers."""
        return self.context.frozen is None and self.mode == "remote"

    async def source(self) -> Source:
        """Return the source of answers. Raises ConfigurationError in a forked child that cannot use Polars."""
        if self._source is None:
            await self.context.prepare()
            check_polars()
            if self.is_remote:
                # Remote calls do not open the tables, so rows of earlier queries are added to them here.
                await self.context.tables.settle()
                self._source = self.context.remote()
            elif self.is_local:
                self._source = await self.local()
            else:
                from one_async.queries.auto import AutoSource

                self._source = AutoSource(await self.local(), self.context.remote)
        return self._source

    async def local(self) -> LocalSource:
        """Return the tables as a source of answers."""
        from one_async.queries.local import LocalSource

        return LocalSource(await self.catalogue(), wildcards=self.context.wildcards)

    async def catalogue(self) -> Catalogue:
        """Return the snapshot of the tables that this call uses."""
        await self.context.prepare()
        check_polars()
        if self.context.frozen is not None:
            return self.context.frozen
        if self._catalogue is None:
            tables = await self._current_tables()
            self._catalogue = self._catalogue or tables  # another task of the call may have been faster
        return self._catalogue

    async def _current_tables(self) -> Catalogue:
        context = self.context
        if self.mode == "refresh":
            with context.calls.call():
                await context.tables.refresh("refresh")
        elif self.mode == "auto":
            context.start_refreshing()
            later = None if context.group is None else context.in_background
            with context.calls.call():
                await context.tables.refresh("auto", later=later)
        tables = await context.tables.current()
        if tables.meta.is_partial and self.mode != "remote":
            warn(
                f"there are no complete cache tables in {context.settings.tables_dir}: this answer is from the "
                f"{len(tables.session_frame):,} sessions that earlier queries brought. With query_type='remote' the "
                "database is asked; refresh_cache() fetches its tables",
                TablesWarning,
            )
        return tables
