"""One pass over an endpoint: send all requests of a read plan concurrently, and pass their rows to the writer."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import anyio

from one_async._concurrency import task_group
from one_async._threads import run_sync
from one_async.errors import LoginError, ServerError
from one_async.harvest.fetch import FEWEST, Costs, PageFrame, Server, too_long
from one_async.harvest.id_index import numbers
from one_async.harvest.plan import AIM, PAGE, TOP, Job, ReadPlan, smaller, split
from one_async.harvest.report import EndpointReport
from one_async.harvest.write import Writer

#: Number of ranges of ids read between two counts of all rows.
COUNT_EVERY = 25

HarvestProgress = Callable[[str, int, int | None], None]


class Ends(NamedTuple):
    """The keys of the first and last row of a page."""

    first: Any
    last: Any


@dataclass
class Sweep:
    """Reads one endpoint.

    If `plan` reads a part of a list, for instance what changed since a date, `total` is the plan of the whole list.
    """

    server: Server
    plan: ReadPlan
    writer: Writer
    report: EndpointReport
    progress: HarvestProgress | None = None
    total: ReadPlan | None = None
    costs: Costs = field(default_factory=Costs)
    counts: set[int] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    deleted: set[int] = field(default_factory=set)
    broken: bool = False  # a request failed after all attempts
    moved: bool = False  # rows were added or deleted during the read
    _ended: bool = False  # a page was empty: no rows follow, whatever the server counts
    _ranges_read: int = 0
    _progress_started: bool = False
    _page_ends: dict[Job, Ends] = field(default_factory=dict)
    _seconds: float = 0.0  # duration of the last sweep
    _lock: anyio.Lock = field(default_factory=anyio.Lock)

    async def sweep(self, jobs: Iterable[Job]) -> None:
        """Process jobs and the jobs that follow from their answers."""
        queue = deque(jobs)
        self._page_ends.clear()
        self._ended = False
        started = anyio.current_time()
        left, counted = len(queue), False

        async def process(job: Job) -> list[Job]:
            nonlocal left, counted
            more = await self._process(job)
            left += len(more) - 1
            if self._ranges_read and not counted and left <= self.server.concurrency.allowed:
                counted = True
                await self._count_all()
            return more

        await process_jobs(queue, process, self.server.concurrency.most, self.failures)
        self._seconds = anyio.current_time() - started
        self.moved |= self._pages_disagree()

    async def _process(self, job: Job) -> list[Job]:
        """Request the rows of a job and store them; return the jobs that follow from the answer."""
        if job.kind == "page" and job.high - job.low > self.costs.size:
            return [] if self._ended else smaller(job, self.costs.size)
        limit = self._limit(job)
        try:
            page = await self._page(job)
            if job.kind == "page":
                return await self._store_page(job, page)
            if not page.last and job.high - job.low > 1:
                return self._split(job, page)
            await self._store(job, page)
            self._ranges_read += 1
            if self._ranges_read % COUNT_EVERY == 0:
                self.counts.add(await self._count())
        except ServerError as error:
            return self._retry_smaller(job, limit, error)
        return []

    async def _store_page(self, job: Job, page: PageFrame) -> list[Job]:
        """Store a page; if it was the last planned page and the list has grown, return the job for the next one."""
        self.counts.add(page.count)
        self.report.counted = page.count
        self._ended |= page.rows.is_empty()
        self._record_ends(job, page)
        await self._store(job, page)
        if not page.rows.height or page.last or job.high < max(self.counts):
            return []
        start = job.low + page.rows.height - 1
        return [Job("page", start, start + job.high - job.low)]

    def _split(self, job: Job, page: PageFrame) -> list[Job]:
        return split(job, page.count, numbers(self.plan, page.rows), self.costs.size * AIM // PAGE)

    def _retry_smaller(self, job: Job, limit: int, error: ServerError) -> list[Job]:
        """If the page was too large, lower the page size and return the job again; otherwise record the failure."""
        if isinstance(error, LoginError):
            raise error
        if too_long(error) and limit > FEWEST:
            self.costs.lower(limit)
            return [job]
        self._record_failure(self._describe(job), error)
        return []

    async def _count_all(self) -> None:
        """Count all rows while the last ranges are read; pages need no such request, since each contains the count."""
        try:
            self.report.counted = await self._count()
        except LoginError:
            raise
        except ServerError as error:
            self._record_failure("counting", error)

    def _pages_disagree(self) -> bool:
        """Return whether two consecutive pages lack the row that they should share.

        Pages of lists without a stable order always disagree, so these lists are not checked.
        """
        neighbours = pairwise(sorted(self._page_ends))
        return self.plan.ids is not None and any(
            a.high - 1 == b.low and self._page_ends[a].last != self._page_ends[b].first for a, b in neighbours
        )

    def _record_ends(self, job: Job, page: PageFrame) -> None:
        key = self.plan.columns.key
        if key is not None and page.rows.height:
            self._page_ends[job] = Ends(page.rows[key][0], page.rows[key][-1])

    def _record_failure(self, what: str, error: ServerError) -> None:
        self.failures.append(f"{what}: {type(error).__name__}: {error}")
        self.broken = True

    async def _page(self, job: Job) -> PageFrame:
        params = self.plan.params(job, self._limit(job))
        return await self.server.page(self.plan.endpoint, params, self.plan.columns, self.costs)

    def _limit(self, job: Job) -> int:
        return job.high - job.low if job.kind == "page" else self.costs.size

    async def _count(self, plan: ReadPlan | None = None, job: Job | None = None) -> int:
        plan = plan or self.plan
        params = plan.params(job or plan.whole)
        return await self.server.count(plan.endpoint, params, plan.columns, self.costs)

    async def _store(self, job: Job | None, page: PageFrame) -> None:
        # Back-pressure: answers wait here while the writer is busy, so that no more are requested than can be written.
        async with self._lock:
            if not self._progress_started:  # pages requested ahead may arrive before the first one
                self._report_progress(max(self.counts))
            self.writer.add(job, page.rows)
            for name, count in page.notes.unfit.items():
                self.costs.notes.count(name, count)
            if self.writer.full:
                await run_sync(self.writer.write)
        self._report_progress(max(self.counts))

    def _report_progress(self, total: int | None) -> None:
        self._progress_started = True
        if self.progress is not None:
            self.progress(self.plan.endpoint, self.writer.distinct, total)

    def _describe(self, job: Job) -> str:
        if job.kind == "page":
            return f"rows {job.low:,} to {job.high:,}"
        return f"ids from {self.plan.text(job.low)} to before {self.plan.text(min(job.high, TOP - 1))}"


async def process_jobs(
    queue: deque[Job],
    process: Callable[[Job], Awaitable[list[Job]]],
    concurrency: int,
    failures: Sequence[str],
) -> None:
    """Process the jobs of a queue and those that `process` returns, with bounded concurrency, until a failure is recorded."""
    busy = 0

    async def run(job: Job) -> None:
        nonlocal busy
        queue.extend(await process(job))
        busy -= 1
        start_jobs()

    def start_jobs() -> None:
        nonlocal busy
        while queue and busy < concurrency and not failures:
            busy += 1
            tasks.start_soon(run, queue.popleft())

    async with task_group() as tasks:
        start_jobs()
