"""Many pages at once, nothing lost.

Alyx numbers its pages by offset, and most of its lists have no order of their own: between two pages the database may
choose another plan, so that a row comes twice and another not at all, without any write (2,468 of 2,700 rows were
measured at the default page size). ``count`` counts rows before repetitions are removed, whether those come from
that or, legitimately, from a join in the query. What tells the two apart: one page is one query, so a row that stands
twice *within* a page was repeated by a join; a row that stands on two pages of a query without such rows pushed
another one out.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable
from dataclasses import dataclass, field

import anyio

from one_async.errors import AnswerError, IncompleteListWarning, OneError
from one_async.types import JSON

#: The most that Alyx gives. Fewer pages lose fewer rows, and cost fewer requests of the throttle.
PAGE = 1000
#: Other page sizes make the database choose other plans, which lose other rows.
REPAIRS = (1000, 707, 499)
#: Pages of one list under way at once: an Alyx page is work for the server.
ABREAST = 8

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
        return Page(int(answer["count"]), answer["results"], answer["next"] is None)
    raise AnswerError(f"{url} answered with something that is no list", url=url)


def is_page(answer: object) -> bool:
    """Say whether an answer is one page of a list."""
    return isinstance(answer, dict) and {"count", "next", "previous", "results"} <= answer.keys()


def identity(row: Row) -> Hashable:
    """Give what makes a row itself: its id, else its url, else all of it (labs, projects: their names differ)."""
    for key in ("id", "url"):
        value = row.get(key) if isinstance(row, dict) else None
        if value is not None:
            return (key, value)
    return json.dumps(row, sort_keys=True)


@dataclass
class Gathered:
    """Distinct rows in the server's order, and what was seen while they came."""

    rows: dict[Hashable, Row] = field(default_factory=dict)
    count: int = 0
    joined: bool = False  # a row twice within one page
    moved: bool = False  # a row on two pages, or a count that changed

    def add(self, page: Page) -> list[Row]:
        """Take a page; gives its rows that were not there before."""
        self.moved |= bool(self.count) and page.count != self.count
        self.count = page.count
        here: dict[Hashable, Row] = {}
        for row in page.rows:
            key = identity(row)
            self.joined |= key in here
            here.setdefault(key, row)
        new = [row for key, row in here.items() if key not in self.rows]
        self.moved |= len(new) < len(here)
        for key, row in here.items():
            self.rows.setdefault(key, row)
        return new

    @property
    def suspicious(self) -> bool:
        """Whether rows may be missing: fewer came than were counted, not all of it the work of a join."""
        return len(self.rows) < self.count and (self.moved or not self.joined)


async def read_all(ask: AskPage, what: str) -> list[Row]:
    """Give all rows of a list, each once, in the server's order; warns (IncompleteListWarning) if some stayed away.

    A list that looks incomplete is read again with other page sizes; rows found late stand at the end.
    """
    gathered = await _pass(ask, PAGE, None)
    known = len(gathered.rows)
    for size in REPAIRS if gathered.suspicious else ():
        again = await _pass(ask, size, again_from(gathered))
        grown, known = len(again.rows) > known, len(again.rows)
        gathered = again
        if known >= gathered.count or (gathered.joined and not grown):
            return list(gathered.rows.values())
    if gathered.suspicious:
        warn_incomplete(what, gathered)
    return list(gathered.rows.values())


def again_from(gathered: Gathered) -> Gathered:
    """Begin another reading that keeps what was found."""
    return Gathered(rows=dict(gathered.rows), joined=gathered.joined)


async def _pass(ask: AskPage, limit: int, into: Gathered | None) -> Gathered:
    found = Gathered()
    async for page in in_order(ask, limit, 0, None):
        found.add(page)
    if into is None:
        return found
    late = {key: row for key, row in found.rows.items() if key not in into.rows}
    return Gathered({**into.rows, **late}, found.count, found.joined or into.joined, found.moved)


async def in_order(ask: AskPage, limit: int, start: int, stop: int | None) -> AsyncIterator[Page]:
    """Give pages in order, up to ABREAST asked at a time, from row ``start`` to before row ``stop``."""
    first = await ask(limit if stop is None else min(limit, stop - start), start)
    yield first
    stride, end = len(first.rows), first.count if stop is None else min(stop, first.count)
    if first.last or not stride:
        return
    offsets = list(range(start + stride, end, stride))
    for begin in range(0, len(offsets), ABREAST):
        group = offsets[begin : begin + ABREAST]
        pages: dict[int, Page] = {}

        async def get(offset: int, into: dict[int, Page]) -> None:
            into[offset] = await ask(min(stride, end - offset) if stop is not None else stride, offset)

        await together(get, [(offset, pages) for offset in group])
        for offset in group:
            yield pages[offset]
    # Rows that were added meanwhile are behind the last page that was planned.
    if stop is None and offsets and not pages[offsets[-1]].last:
        more = await ask(stride, offsets[-1] + stride)
        if more.rows:
            yield more


async def together(function: Callable[..., Awaitable[None]], calls: Iterable[tuple[object, ...]]) -> None:
    """Make calls at the same time; the first error ends all of them and is raised as it is, in no group."""
    failed: list[OneError] = []

    async def one(call: tuple[object, ...]) -> None:
        try:
            await function(*call)
        except OneError as error:
            failed.append(error)
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for call in calls:
            tasks.start_soon(one, call)
    if failed:
        raise failed[0]


def warn_incomplete(what: str, gathered: Gathered) -> None:
    """Say both numbers."""
    warnings.warn(
        f"{what}: {len(gathered.rows)} distinct rows of the {gathered.count} that the server counts; its pages repeat "
        "some rows and leave others out. A narrower query, or harvest, gets them",
        IncompleteListWarning,
        stacklevel=2,
    )


def distinct(rows: Iterable[Row]) -> list[Row]:
    """Give each row once, the first time it comes."""
    return list({identity(row): row for row in reversed(list(rows))}.values())[::-1]
