"""Many pages at once, nothing lost.

Alyx numbers its pages by offset, and most of its lists have no order of their own: between two pages the database may
choose another plan, so that a row comes twice and another not at all, without any write (2,468 of 2,700 rows were
measured at the default page size). ``count`` counts rows before repetitions are removed, whether those come from
that or, legitimately, from a join in the query; only some filters join. What tells the two apart: one page
is one query, so a row that stands twice *within* a page was repeated by a join; a row that stands on two
pages of a query without such rows pushed another one out.
"""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field

from one_async._boundary import reading
from one_async._concurrency import run_all
from one_async.errors import AnswerError, IncompleteListWarning, shown
from one_async.types import JSON

#: The most that Alyx gives. Fewer pages lose fewer rows, and cost fewer requests of the throttle.
PAGE = 1000
#: Other page sizes make the database choose other plans, which lose other rows.
REPAIRS = (997, 953, 907, 863, 811, 757, 701, 653)
#: Readings in vain after which the rest is given up.
IN_VAIN = 3
#: Filters that make Alyx's query a join which repeats a row for each match, and counts the repetitions.
JOINS = frozenset(
    {"projects", "project", "procedures", "dataset_qc_lte", "tag", "atlas_acronym", "atlas_name", "atlas_id"}
)
#: No list is that long; a server that counts so many is not believed.
MOST_ROWS = 10**12
#: Pages of one list under way at once: an Alyx page is work for the server.
ABREAST = 8
#: Pages in a row that bring nothing new, after which a list is taken to have ended, whatever the server counts.
BARREN = 4 * ABREAST

Row = JSON


@dataclass(frozen=True, slots=True)
class Page:
    """One page: how many rows the server counts in all, and those of this page; ``last`` if none follow."""

    count: int
    rows: list[Row]
    last: bool


#: Ask for the page with this limit and offset.
AskPage = Callable[[int, int], Awaitable[Page]]


def page_of(answer: object, url: str) -> Page:
    """Read a page; a bare list, which few endpoints give, is a page of its own."""
    if isinstance(answer, list):
        return Page(len(answer), answer, True)
    if is_page(answer):
        assert isinstance(answer, dict)
        count, rows = answer["count"], answer["results"]
        if type(count) is int and 0 <= count < MOST_ROWS and isinstance(rows, list):
            return Page(count, rows, answer["next"] is None)
        text = f"{url} answered with a page of another shape: count {shown(count)}, results {shown(rows)}"
        raise AnswerError(text, url=url)
    raise AnswerError(f"{url} answered with something that is no list", url=url)


def may_join(endpoint: str, filters: Iterable[str]) -> bool:
    """Return whether a list may repeat rows by right; imaging-stack does so for each slice."""
    return endpoint == "imaging-stack" or not JOINS.isdisjoint(filters)


def is_page(answer: object) -> bool:
    """Return whether an answer is one page of a list."""
    return isinstance(answer, dict) and {"count", "next", "previous", "results"} <= answer.keys()


def identity(row: Row) -> Hashable:
    """Return what makes a row itself: its id, else its url, else, as a text, all of it (labs, projects)."""
    for key in ("id", "url"):
        value = row.get(key) if isinstance(row, dict) else None
        if isinstance(value, str | int):
            return (key, value)
        if value is not None:
            raise AnswerError(f"a row of the answer has {key}={shown(value)}, which names nothing")
    with reading("a row of the answer"):  # nested too deep
        return json.dumps(row, sort_keys=True)


@dataclass
class Gathered:
    """Distinct rows in the server's order, and what was seen while they came."""

    joins: bool = False  # whether the query may be a join
    rows: dict[Hashable, Row] = field(default_factory=dict)
    count: int = 0
    joined: bool = False  # a row twice within one page
    moved: bool = False  # a row on two pages, or a count that changed
    whole: bool = False  # all that was counted came in one page, that is in one query
    barren: int = 0  # pages since the last that brought something new

    def add(self, page: Page) -> list[Row]:
        """Take a page; return its rows that were not there before."""
        self.moved |= bool(self.count) and page.count != self.count
        self.count = page.count
        self.whole = len(page.rows) >= page.count
        here: dict[Hashable, Row] = {}
        for row in page.rows:
            key = identity(row)
            if isinstance(key, str):  # all of the row: two alike in one page are two
                key = next((key, n) for n in itertools.count() if (key, n) not in here)
            self.joined |= self.joins and key in here
            here.setdefault(key, row)
        new = [row for key, row in here.items() if key not in self.rows]
        self.moved |= len(new) < len(here)
        for key, row in here.items():
            self.rows.setdefault(key, row)
        self.barren = 0 if new else self.barren + 1
        return new

    def merge(self, other: Gathered) -> None:
        """Take what another reading found; its count is the newer one."""
        for key, row in other.rows.items():
            self.rows.setdefault(key, row)
        self.count, self.joined, self.moved = other.count, self.joined or other.joined, True

    @property
    def suspicious(self) -> bool:
        """Whether rows may be missing: fewer came than were counted, not all of it the work of a join."""
        return len(self.rows) < self.count and not self.whole and (self.moved or not self.joined)


async def read_all(ask: AskPage, what: str, joins: bool = False, limit: int = PAGE) -> list[Row]:
    """Return all rows of a list, each once, in the server's order; warns (IncompleteListWarning) if some stayed away.

    A list that looks incomplete is read again with other page sizes; rows found late stand at the end. ``joins`` says
    that the query may repeat rows by right (see JOINS); its true number is unknown, so a reading that finds nothing
    new ends the search there.
    """
    gathered = await _read(ask, limit, joins)
    vain = 0
    for size in REPAIRS:
        if not gathered.suspicious or vain == (1 if gathered.joined else IN_VAIN):
            break
        known = len(gathered.rows)
        gathered.merge(await _read(ask, size, joins))
        vain = 0 if len(gathered.rows) > known else vain + 1
    if gathered.suspicious and not (gathered.joined and vain):
        warn_incomplete(what, gathered)
    return list(gathered.rows.values())


async def _read(ask: AskPage, limit: int, joins: bool) -> Gathered:
    found = Gathered(joins)
    async with aclosing(in_order(ask, limit, 0, None)) as pages:
        async for page in pages:
            found.add(page)
            if found.barren >= BARREN:
                break
    return found


async def in_order(ask: AskPage, limit: int, start: int, stop: int | None) -> AsyncGenerator[Page, None]:
    """Return pages in order, up to ABREAST asked at a time, from row ``start`` to before row ``stop``."""
    first = await ask(limit if stop is None else min(limit, stop - start), start)
    yield first
    stride, end = len(first.rows), first.count if stop is None else min(stop, first.count)
    if first.last or not stride:
        return
    offset = start + stride
    while offset < end:  # a server may count any number of rows: pages are thought of when their turn comes
        group = list(
            itertools.islice(itertools.count(offset, stride), min(ABREAST, -(-(end - offset) // stride)))
        )
        pages: dict[int, Page] = {}

        async def get(offset: int, into: dict[int, Page]) -> None:
            into[offset] = await ask(min(stride, end - offset) if stop is not None else stride, offset)

        await run_all(get, [(offset, pages) for offset in group])
        for offset in group:
            yield pages[offset]
        last = pages[group[-1]]
        if not last.rows:  # the count was wrong: there are no more
            return
        offset = group[-1] + stride
    # Rows that were added meanwhile are behind the last page that was planned.
    if stop is None and offset > start + stride and not last.last:
        more = await ask(stride, offset)
        if more.rows:
            yield more


def warn_incomplete(what: str, gathered: Gathered) -> None:
    """Say both numbers."""
    warnings.warn(
        f"{what}: {len(gathered.rows)} distinct rows of the {gathered.count} that the server counts; its pages repeat "
        "some rows and leave others out. A narrower query, or harvest, gets them",
        IncompleteListWarning,
        stacklevel=2,
    )


def distinct(rows: Iterable[Row]) -> list[Row]:
    """Return each row once, the first time it comes; rows without id or url as often as they come."""
    seen: dict[Hashable, Row] = {}
    for n, row in enumerate(rows):
        key = identity(row)
        seen.setdefault((key, n) if isinstance(key, str) else key, row)
    return list(seen.values())
