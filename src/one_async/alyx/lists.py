"""Lists read in pages, and lists as frames."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from importlib import import_module
from typing import TYPE_CHECKING, Any

from one_async._boundary import public, reading
from one_async._concurrency import RunningCalls
from one_async._threads import check_polars, run_polars, run_sync
from one_async.alyx import paging
from one_async.alyx.caching import AgeLimit, one_warning
from one_async.alyx.paging import Page, Row
from one_async.alyx.query import params_of, whole_number
from one_async.tables.pandas_frames import as_pandas
from one_async.types import Expiry

if TYPE_CHECKING:
    import polars as pl

    from one_async.alyx.schema import Schema


@public(traced="alyx", ended_by_closing=True)
class Lists:
    """The methods of a REST client that read lists in pages or as frames."""

    _calls: RunningCalls
    _table_kind: str

    if TYPE_CHECKING:  # defined by the client

        async def schema(self) -> Schema: ...

        async def rest(self, /, url: str | None = None, action: str | None = None, **options: Any) -> Any: ...

        def _age_limit(self, expires: Expiry, no_cache: bool) -> AgeLimit | None: ...

        def _page_fetcher(
            self, endpoint: str, params: Mapping[str, str], age_limit: AgeLimit | None
        ) -> paging.FetchPage: ...

    async def pages(
        self,
        /,
        endpoint: str,
        *,
        no_cache: bool = False,
        expires: Expiry = None,
        limit: int = paging.PAGE,
        **filters: Any,
    ) -> AsyncIterator[list[Row]]:
        """Yield the pages of a list in order, with at most ``limit`` (and 1000) rows and each row once, some prefetched.

        ``offset`` skips the first rows. Warns IncompleteListWarning at the end if rows are missing: unlike ``rest``, it
        cannot read the list again.

        Examples:
            >>> async for rows in one.alyx.pages("sessions", limit=20, subject="SU_101"):
            ...     print(len(rows))
            20
            5
        """
        size, start = (
            whole_number("limit", limit),
            whole_number("offset", filters.pop("offset", None) or 0),
        )
        with one_warning():
            params = await self._checked_params(endpoint, filters)
        gathered = paging.Gathered(paging.may_join(endpoint, params))
        fetch = self._page_fetcher(endpoint, params, self._age_limit(expires, no_cache))
        async with aclosing(paging.in_order(fetch, min(size, paging.PAGE), start)) as pages:
            async for page in pages:
                if rows := gathered.add(page):
                    yield rows
                if gathered.barren_pages >= paging.MAX_BARREN_PAGES:
                    break
        if gathered.suspicious and not start:
            paging.warn_incomplete(endpoint, gathered)

    async def page(
        self,
        /,
        endpoint: str,
        limit: int,
        offset: int,
        *,
        no_cache: bool = False,
        expires: Expiry = None,
        **filters: Any,
    ) -> Page:
        """Return one page from the server: count, rows, and whether it is the last one.

        Examples:
            >>> page = await one.alyx.page("subjects", limit=5, offset=0)
            >>> len(page.rows), page.count > 5
            (5, True)
        """
        limit, offset = whole_number("limit", limit), whole_number("offset", offset)
        with one_warning():
            params = await self._checked_params(endpoint, filters)
            fetch = self._page_fetcher(endpoint, params, self._age_limit(expires, no_cache))
            return await fetch(limit, offset)

    async def frame(
        self, /, endpoint: str, *, no_cache: bool = False, expires: Expiry = None, **filters: Any
    ) -> pl.DataFrame:
        """Return a list as a frame. The server's documentation, not the rows, determines columns and types.

        Objects and arrays are structs and lists, times are naive datetimes, and fields of any type are JSON text. The frame
        is of pandas if the client, or the `ONE` that it belongs to, has ``tables="pandas"``. Raises and warns as ``rest`` does.

        Examples:
            >>> subjects = await one.alyx.frame("subjects", lab="summitlab")
            >>> subjects.columns[:4]
            ['nickname', 'url', 'id', 'responsible_user']
        """
        frames = await run_sync(import_module, "one_async.alyx.frame")
        check_polars()
        rows = await self.rest(endpoint, "list", no_cache=no_cache, expires=expires, **filters)
        schema = await self.schema()
        with reading(f"/{endpoint}"):
            frame: pl.DataFrame = await run_polars(
                lambda: frames.frame_of(rows, frames.columns_of(schema, endpoint))
            )
        if self._table_kind == "polars":
            return frame
        return await run_sync(as_pandas, frame, False)

    async def _checked_params(self, endpoint: str, filters: Mapping[str, Any]) -> dict[str, str]:
        documented = await self.schema()
        documented.check(endpoint, "list")
        return documented.known_filters(endpoint, params_of(filters))
