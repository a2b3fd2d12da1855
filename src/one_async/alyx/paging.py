"""Read the pages of a list concurrently, without losing rows.

Alyx pages by offset, and most of its lists are unordered. Between two pages the database may choose another plan, so
that one row is returned twice and another one never, without any write (2,468 of 2,700 rows were measured at the
default page size). ``count`` includes repeated rows, whether an unstable order repeats them or, legitimately, a join in
the query; only some filters join. The two cases differ: one page is one query, so a row that is repeated *within* a page
was repeated by a join. A row on two pages of a query without such rows has displaced another one.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Hashable,
    Iterable,
    Mapping,
)
from contextlib import aclosing
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from one_async._boundary import public, reading
from one_async._concurrency import RunningCalls, run_all
from one_async._threads import check_polars, run_polars, run_sync
from one_async._warnings import warn
from one_async.alyx.caching import AgeLimit, one_warning
from one_async.alyx.responses import MOST_ROWS, Answer, Page, Row, page_of
from one_async.alyx.schema import Schema, params_of, whole_number
from one_async.errors import AnswerError, IncompleteListWarning, shown
from one_async.tables.pandas_frames import as_pandas
from one_async.types import Expiry

if TYPE_CHECKING:
    import polars as pl

#: Maximum page size of Alyx. Fewer pages lose fewer rows and count less towards the throttle.
PAGE = 1000
#: Page sizes of further readings: the database chooses other plans for them, which lose other rows.
REPAIRS = (997, 953, 907, 863, 811, 757, 701, 653)
#: Consecutive readings without a new row after which the list is given up as incomplete.
MAX_VAIN_READINGS = 3
#: Filters whose query joins tables: it repeats a row for each match and counts the repetitions.
JOINS = frozenset(
    {"projects", "project", "procedures", "dataset_qc_lte", "tag", "atlas_acronym", "atlas_name", "atlas_id"}
)
#: Pages of one list that are requested at once; each is expensive for the server.
CONCURRENT_PAGES = 8
#: Consecutive pages without a new row after which the list ends, regardless of the server's count.
MAX_BARREN_PAGES = 4 * CONCURRENT_PAGES

#: Requests the page with this limit and offset.
FetchPage = Callable[[int, int], Awaitable[Page]]


def may_join(endpoint: str, filters: Iterable[str]) -> bool:
    """Return whether a list may repeat rows legitimately; imaging-stack does so for each slice."""
    return endpoint == "imaging-stack" or not JOINS.isdisjoint(filters)


def identity(row: Row) -> Hashable:
    """Return a row's id, else its url, else all of it as JSON text (labs, projects)."""
    for key in ("id", "url"):
        value = row.get(key) if isinstance(row, dict) else None
        if isinstance(value, str | int):
            return (key, value)
        if value is not None:
            raise AnswerError(f"a row of the answer has an invalid {key}: {shown(value)}")
    with reading("a row of the answer"):  # nested too deeply
        return json.dumps(row, sort_keys=True)


@dataclass
class Gathered:
    """Distinct rows of a list in the server's order, and signs of missing rows."""

    joins: bool = False  # the query may be a join
    rows: dict[Hashable, Row] = field(default_factory=dict)
    count: int = 0
    lowest_count: int = MOST_ROWS  # of the pages of a reading
    joined: bool = False  # a page contained a row twice
    repeated: bool = False  # a row was on two pages of one reading
    recounted: bool = False  # the count changed
    shrunk: bool = (
        False  # the count decreased within a reading: rows moved up to pages that were read already
    )
    reread: bool = False  # rows of several readings
    single_page: bool = False  # one page, that is one query, contained all counted rows
    barren_pages: int = 0  # consecutive pages without a new row

    def add(self, page: Page) -> list[Row]:
        """Add a page and return its new rows."""
        self.recounted |= bool(self.count) and page.count != self.count
        self.shrunk |= page.count < self.count
        self.count, self.lowest_count = page.count, min(page.count, self.lowest_count)
        self.single_page = len(page.rows) >= page.count
        rows: dict[Hashable, Row] = {}
        for row in page.rows:
            key = identity(row)
            if isinstance(key, str):  # no id or url: equal rows of one page are distinct
                key = next((key, n) for n in itertools.count() if (key, n) not in rows)
            self.joined |= self.joins and key in rows
            rows.setdefault(key, row)
        new = [row for key, row in rows.items() if key not in self.rows]
        self.repeated |= len(new) < len(rows)
        for key, row in rows.items():
            self.rows.setdefault(key, row)
        self.barren_pages = 0 if new else self.barren_pages + 1
        return new

    def merge(self, other: Gathered) -> None:
        """Add the rows of another, later reading, and take over its count.

        After a deletion only the later rows count: deleted ones would stand for those that are missing.
        """
        if self.shrunk or other.lowest_count < self.count:
            self.rows = {}
        for key, row in other.rows.items():
            self.rows.setdefault(key, row)
        self.recounted |= other.recounted or other.count != self.count
        self.count, self.shrunk = other.count, other.shrunk
        self.joined, self.reread = self.joined or other.joined, True
        self.repeated |= other.repeated

    @property
    def moved(self) -> bool:
        """Whether pages may have repeated rows and omitted others."""
        return self.repeated or self.recounted or self.reread

    @property
    def suspicious(self) -> bool:
        """Whether rows may be missing: some were deleted meanwhile, or fewer than counted came and no join explains it."""
        few = len(self.rows) < self.count and (self.moved or not self.joined)
        return not self.single_page and (self.shrunk or few)

    @property
    def asks_again(self) -> bool:
        """Whether rows are missing and the pages do not agree, so that other pages may have these rows."""
        return self.suspicious and (self.repeated or self.recounted)


async def read_all(
    fetch: FetchPage, what: str, joins: bool = False, limit: int = PAGE, anew: FetchPage | None = None
) -> list[Row]:
    """Return all rows of a list, each once, in the server's order. Warns IncompleteListWarning if rows are missing.

    A list that looks incomplete is read again with other page sizes; rows found then are appended, or replace the others
    if rows were deleted meanwhile. ``joins`` means that
    the query may repeat rows legitimately (see JOINS). The number of distinct rows of a join is unknown, so that the
    first further reading without a new row ends it. ``fetch`` may return stored pages and ``anew`` only later ones, with
    which an incomplete list is read again, unless its pages agree: then the server counts rows that it does not send.
    """
    gathered = await _read(fetch, limit, joins)
    vain_readings = 0
    for size in REPAIRS:
        if not gathered.suspicious or vain_readings == (1 if gathered.joined else MAX_VAIN_READINGS):
            break
        known = len(gathered.rows)
        gathered.merge(await _read(fetch, size, joins))
        vain_readings = 0 if len(gathered.rows) > known else vain_readings + 1
    if gathered.suspicious and (gathered.shrunk or not (gathered.joined and vain_readings)):
        if anew is not None and gathered.asks_again:
            return await read_all(anew, what, joins, limit)
        warn_incomplete(what, gathered)
    return list(gathered.rows.values())


async def _read(fetch: FetchPage, limit: int, joins: bool) -> Gathered:
    gathered = Gathered(joins)
    async with aclosing(in_order(fetch, limit)) as pages:
        async for page in pages:
            gathered.add(page)
            if gathered.barren_pages >= MAX_BARREN_PAGES:
                break
    return gathered


async def in_order(fetch: FetchPage, limit: int, start: int = 0) -> AsyncGenerator[Page, None]:
    """Yield the pages of a list in order from row ``start``, requesting up to CONCURRENT_PAGES at a time."""
    page = await fetch(limit, start)
    yield page
    stride, count = len(page.rows), page.count
    if page.last or not stride:
        return
    offset = start + stride
    while offset < count:  # offsets are not listed in advance: a server may count any number of rows
        end = min(count, offset + CONCURRENT_PAGES * stride)
        pages: dict[int, Page] = {}

        async def get(offset: int, into: dict[int, Page]) -> None:
            into[offset] = await fetch(stride, offset)

        await run_all(get, [(at, pages) for at in range(offset, end, stride)])
        for at in range(offset, end, stride):
            page = pages[at]
            yield page
            offset = at + stride
        if not page.rows:  # the count was wrong
            return
    if offset > start + stride and not page.last:  # rows were added after the first page
        page = await fetch(stride, offset)
        if page.rows:
            yield page


def warn_incomplete(what: str, gathered: Gathered) -> None:
    """Warn IncompleteListWarning with the number of distinct rows, the server's count, and what was seen of the cause."""
    if gathered.recounted:
        why = "its count changed meanwhile, so rows were added or deleted"
    elif gathered.repeated:
        why = "its pages repeat some rows and omit others"
    else:
        why = "no page repeats a row, and none has the others"
    warn(
        f"{what}: {len(gathered.rows)} distinct rows of the {gathered.count} that the server counts; {why}. "
        "Read it again with no_cache, use a narrower query, or harvest",
        IncompleteListWarning,
    )


def distinct(rows: Iterable[Row]) -> list[Row]:
    """Return each row once, in order of first occurrence; rows without id and url are all kept."""
    seen: dict[Hashable, Row] = {}
    for n, row in enumerate(rows):
        key = identity(row)
        seen.setdefault((key, n) if isinstance(key, str) else key, row)
    return list(seen.values())


@public(traced="alyx", ended_by_closing=True)
class Lists:
    """The methods of a REST client that read lists, in pages or as frames."""

    _calls: RunningCalls
    _table_kind: str

    if TYPE_CHECKING:  # defined by the client

        async def schema(self) -> Schema: ...

        async def rest(self, /, url: str | None = None, action: str | None = None, **options: Any) -> Any: ...

        def _url(self, path_or_url: str) -> str: ...
        def _age_limit(self, expires: Expiry, no_cache: bool) -> AgeLimit | None: ...
        async def _request(self, method: str, url: str, **options: Any) -> Answer: ...

    async def pages(
        self,
        /,
        endpoint: str,
        *,
        no_cache: bool = False,
        expires: Expiry = None,
        limit: int = PAGE,
        **filters: Any,
    ) -> AsyncIterator[list[Row]]:
        """Yield the pages of a list in order, with at most ``limit`` (and 1000) rows and each row once, some prefetched.

        ``offset`` skips the first rows. If stored pages repeat rows and omit others, the list is requested again, and the
        rows that were missing follow. Warns IncompleteListWarning at the end if rows are missing: unlike ``rest``, it does
        not read the list with other page sizes.

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
        joins, age_limit = may_join(endpoint, params), self._age_limit(expires, no_cache)
        gathered, anew = Gathered(joins), self._fetcher_anew(endpoint, params, age_limit)
        fetch = self._page_fetcher(endpoint, params, age_limit)
        async with aclosing(in_order(fetch, min(size, PAGE), start)) as pages:
            async for page in pages:
                if rows := gathered.add(page):
                    yield rows
                if gathered.barren_pages >= MAX_BARREN_PAGES:
                    break
        if start:
            return
        if anew is not None and gathered.asks_again:
            again = await _read(anew, min(size, PAGE), joins)
            new = [row for key, row in again.rows.items() if key not in gathered.rows]
            for at in range(0, len(new), size):
                yield new[at : at + size]
            gathered = again
        if gathered.suspicious:
            warn_incomplete(endpoint, gathered)

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
            from one_async.tables.id_frames import with_whole_ids

            whole: pl.DataFrame = with_whole_ids(frame)
            return whole
        return await run_sync(as_pandas, frame, False)

    async def _checked_params(self, endpoint: str, filters: Mapping[str, Any]) -> dict[str, str]:
        documented = await self.schema()
        documented.check(endpoint, "list")
        return documented.known_filters(endpoint, params_of(filters))

    async def _list(self, endpoint: str, params: dict[str, str], age_limit: AgeLimit | None) -> list[Row]:
        numbers = {key: whole_number(key, params[key]) for key in ("limit", "offset") if key in params}
        filters = {key: value for key, value in params.items() if key not in numbers}
        fetch = self._page_fetcher(endpoint, filters, age_limit)
        size, start = min(numbers.get("limit", PAGE), PAGE), numbers.get("offset", 0)
        if not start:
            anew = self._fetcher_anew(endpoint, filters, age_limit)
            return await read_all(fetch, endpoint, may_join(endpoint, params), size, anew)
        pages = in_order(fetch, size, start)
        return distinct([row async for page in pages for row in page.rows])

    def _fetcher_anew(
        self, endpoint: str, params: Mapping[str, str], age_limit: AgeLimit | None
    ) -> FetchPage | None:
        """Return a `_page_fetcher` that uses no page stored before now; None if none is used in any case."""
        if age_limit is None:
            return None
        return self._page_fetcher(endpoint, params, AgeLimit(age_limit.max_age, time.time()))

    def _page_fetcher(
        self, endpoint: str, params: Mapping[str, str], age_limit: AgeLimit | None
    ) -> FetchPage:
        """Return a function that requests pages of one list, none of which is older than the first."""
        url = self._url(endpoint)
        since = age_limit.since if age_limit else 0.0

        async def fetch(limit: int, offset: int) -> Page:
            nonlocal since
            query = dict(
                sorted({**params, "limit": str(limit), **({"offset": str(offset)} if offset else {})}.items())
            )
            page_limit = age_limit and AgeLimit(age_limit.max_age, since)
            answer = await self._request("GET", url, params=query, age_limit=page_limit, slow=True)
            since = since or answer.asked
            return page_of(answer.json, url)

        return fetch
