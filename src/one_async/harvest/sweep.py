"""One sweep over an endpoint: all questions of a plan, many at once, each row to the writer."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import anyio

from one_async._threads import run_sync
from one_async.errors import LoginError, ServerError, first_error
from one_async.harvest.fetch import FEWEST, Costs, Page, Server, too_long
from one_async.harvest.id_index import numbers
from one_async.harvest.plan import AIM, PAGE, TOP, Job, Plan, smaller, split
from one_async.harvest.report import EndpointReport
from one_async.harvest.write import Writer

#: Questions between two counts of all rows while ranges are read.
EVERY = 25

Progress = Callable[[str, int, int | None], None]


class Ends(NamedTuple):
    """What came for a page: the first and the last row's key."""

    first: Any
    last: Any


@dataclass
class Sweep:
    """One endpoint under way. ``total`` is the question whose count must be met, when ``plan`` asks for a part of it."""

    server: Server
    plan: Plan
    writer: Writer
    report: EndpointReport
    progress: Progress | None = None
    total: Plan | None = None
    costs: Costs = field(default_factory=Costs)
    counts: set[int] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    gone: set[int] = field(default_factory=set)
    broken: bool = False  # the server stopped answering
    moved: bool = False  # rows were seen to come or go
    _ended: bool = False  # a page had no rows: there is nothing behind it, whatever the server counts
    _answers: int = 0
    _told: bool = False
    _seen: dict[Job, Ends] = field(default_factory=dict)
    _seconds: float = 0.0  # that the last sweep took
    _lock: anyio.Lock = field(default_factory=anyio.Lock)

    async def sweep(self, jobs: Iterable[Job]) -> None:
        """Answer questions, and those that the answers lead to."""
        queue = deque(jobs)
        self._seen.clear()
        self._ended = False
        begun = anyio.current_time()
        left, counted = len(queue), False

        async def answer(job: Job) -> list[Job]:
            nonlocal left, counted
            more = await self._answer(job)
            left += len(more) - 1
            if self._answers and not counted and left <= self.server.concurrency.allowed:
                counted = True
                await self._count_all()
            return more

        await work_off(queue, answer, self.server.concurrency.most, self.failures)
        self._seconds = anyio.current_time() - begun
        self.moved |= self._torn()

    async def _answer(self, job: Job) -> list[Job]:
        """Ask a question and take the answer; gives the questions that it leads to."""
        if job.kind == "page" and job.high - job.low > self.costs.size:
            return [] if self._ended else smaller(job, self.costs.size)
        asked = self._limit(job)
        try:
            page = await self._page(job)
            if job.kind == "page":
                self.counts.add(page.count)
                self.report.counted = page.count
                self._ended |= page.rows.is_empty()
            elif not page.last and job.high - job.low > 1:
                return self._split(job, page)
            self._note(job, page)
            await self._take(job, page)
            if job.kind == "page":
                behind = job.low + page.rows.height - 1
                grown = page.rows.height and not page.last and job.high >= max(self.counts)
                return [Job("page", behind, behind + job.high - job.low)] if grown else []
            self._answers += 1
            if self._answers % EVERY == 0:
                self.counts.add(await self._count())
        except ServerError as error:
            return self._again(job, asked, error)
        return []

    def _split(self, job: Job, page: Page) -> list[Job]:
        return split(job, page.count, numbers(self.plan, page.rows), self.costs.size * AIM // PAGE)

    def _again(self, job: Job, asked: int, error: ServerError) -> list[Job]:
        """Ask again for fewer rows at once, if so many were too many; give the question up otherwise."""
        if isinstance(error, LoginError):
            raise error
        if too_long(error) and asked > FEWEST:
            self.costs.lower(asked)
            return [job]
        self._failed(self._name(job), error)
        return []

    # ---- has what was read stayed as it was?

    async def _count_all(self) -> None:
        """Near the end of ranges, beside the last answers; pages say by themselves how many rows there are."""
        try:
            self.report.counted = await self._count()
        except LoginError:
            raise
        except ServerError as error:
            self._failed("counting", error)

    def _torn(self) -> bool:
        """Say whether two pages that should share a row do not; lists without an order of their own always differ."""
        neighbours = pairwise(sorted(self._seen))
        return self.plan.ids is not None and any(
            a.high - 1 == b.low and self._seen[a].last != self._seen[b].first for a, b in neighbours
        )

    def _note(self, job: Job, page: Page) -> None:
        key = self.plan.columns.key
        if job.kind == "page" and key is not None and page.rows.height:
            self._seen[job] = Ends(page.rows[key][0], page.rows[key][-1])

    # ---- one question

    def _failed(self, what: str, error: ServerError) -> None:
        self.failures.append(f"{what}: {type(error).__name__}: {error}")
        self.broken = True

    async def _page(self, job: Job, *, check: bool = False) -> Page:
        params = self.plan.params(job, self._limit(job))
        return await self.server.page(self.plan.endpoint, params, self.plan.columns, self.costs, check=check)

    def _limit(self, job: Job) -> int:
        return job.high - job.low if job.kind == "page" else self.costs.size

    async def _count(self, plan: Plan | None = None, job: Job | None = None) -> int:
        plan = plan or self.plan
        params = plan.params(job or plan.whole)
        return await self.server.count(plan.endpoint, params, plan.columns, self.costs)

    async def _take(self, job: Job | None, page: Page) -> int:
        async with (
            self._lock
        ):  # the writer sets the pace: answers wait here, and no more are asked for meanwhile
            if not self._told:  # an answer may be here before the first page is
                self._tell(max(self.counts))
            added = self.writer.add(job, page.rows)
            if self.writer.full:
                await run_sync(self.writer.write)
        self._tell(max(self.counts))
        return added

    def _tell(self, total: int | None) -> None:
        self._told = True
        if self.progress is not None:
            self.progress(self.plan.endpoint, self.writer.distinct, total)

    def _name(self, job: Job) -> str:
        if job.kind == "page":
            return f"rows {job.low:,} to {job.high:,}"
        return f"ids from {self.plan.text(job.low)} to before {self.plan.text(min(job.high, TOP - 1))}"


async def work_off(
    queue: deque[Job], answer: Callable[[Job], Awaitable[list[Job]]], at_once: int, failures: Sequence[str]
) -> None:
    """Answer questions, so many at once, and those that the answers lead to; no more of them after a failure."""
    busy = 0

    async def one(job: Job) -> None:
        nonlocal busy
        queue.extend(await answer(job))
        busy -= 1
        go_on()

    def go_on() -> None:
        nonlocal busy
        while queue and busy < at_once and not failures:
            busy += 1
            tasks.start_soon(one, queue.popleft())

    try:
        async with anyio.create_task_group() as tasks:
            go_on()
    except BaseExceptionGroup as group:
        raise first_error(group) from None
