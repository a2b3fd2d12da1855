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
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field

from one_async._boundary import reading
from one_async._concurrency import run_all
from one_async._warnings import warn
from one_async.errors import AnswerError, IncompleteListWarning, shown
from one_async.types import JSON

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
#: Counts from here on are rejected as invalid.
MOST_ROWS = 10**12
#: Pages of one list that are requested at once; each is expensive for the server.
CONCURRENT_PAGES = 8
#: Consecutive pages without a new row after which the list ends, regardless of the server's count.
MAX_BARREN_PAGES = 4 * CONCURRENT_PAGES

Row = JSON


@dataclass(frozen=True, slots=True)
class Page:
    """One page: the server's count of all rows, the rows of this page, and whether it is the last page."""

    count: int
    rows: list[Row]
    last: bool


#: Requests the page with this limit and offset.
FetchPage = Callable[[int, int], Awaitable[Page]]


def page_of(answer: object, url: str) -> Page:
    """Parse a page. A bare list, which a few endpoints return, is a single page. Raises AnswerError for anything else."""
    if isinstance(answer, list):
        return Page(len(answer), answer, True)
    if is_page(answer):
        assert isinstance(answer, dict)
        count, rows = answer["count"], answer["results"]
        if type(count) is int and 0 <= count < MOST_ROWS and isinstance(rows, list):
            return Page(count, rows, answer["next"] is None)
        text = f"{url} answered with an invalid page: count {shown(count)}, results {shown(rows)}"
        raise AnswerError(text, url=url)
    raise AnswerError(f"{url} answered with something that is no list", url=url)


def may_join(endpoint: str, filters: Iterable[str]) -> bool:
    """Return whether a list may repeat rows legitimately; imaging-stack does so for each slice."""
    return endpoint == "imaging-stack" or not JOINS.isdisjoint(filters)


def is_page(answer: object) -> bool:
    """Return whether an answer is a page of a list."""
    return isinstance(answer, dict) and {"count", "next", "previous", "results"} <= answer.keys()


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
    joined: bool = False  # a page contained a row twice
    repeated: bool = False  # a row was on two pages of one reading
    recounted: bool = False  # the count changed
    reread: bool = False  # rows of several readings
    single_page: bool = False  # one page, that is one query, contained all counted rows
    barren_pages: int = 0  # consecutive pages without a new row

    def add(self, page: Page) -> list[Row]:
        """Add a page and return its new rows."""
        self.recounted |= bool(self.count) and page.count != self.count
        self.count = page.count
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
        """Add the rows of another, later reading, and take over its count."""
        for key, row in other.rows.items():
            self.rows.setdefault(key, row)
        self.recounted |= other.recounted or other.count != self.count
        self.count, self.joined, self.reread = other.count, self.joined or other.joined, True
        self.repeated |= other.repeated

    @property
    def moved(self) -> bool:
        """Whether pages may have repeated rows and omitted others."""
        return self.repeated or self.recounted or self.reread

    @property
    def suspicious(self) -> bool:
        """Whether rows may be missing: fewer than counted, and a join does not explain the difference."""
        return len(self.rows) < self.count and not self.single_page and (self.moved or not self.joined)


async def read_all(
    fetch: FetchPage, what: str, joins: bool = False, limit: int = PAGE, anew: FetchPage | None = None
) -> list[Row]:
    """Return all rows of a list, each once, in the server's order. Warns IncompleteListWarning if rows are missing.

    A list that looks incomplete is read again with other page sizes; rows found then are appended. ``joins`` means that
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
    if gathered.suspicious and not (gathered.joined and vain_readings):
        if anew is not None and (gathered.repeated or gathered.recounted):
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
