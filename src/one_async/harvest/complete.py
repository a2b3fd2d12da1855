"""Read one endpoint until nothing is missing: sweep, count, and sweep again where the numbers differ."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from one_async.alyx.paging import REPAIRS, together
from one_async.errors import LoginError, OneError, ServerError

from .fetch import Costs, Page, Server
from .plan import AIM, PAGE, TOP, Job, Plan, around, pages, ranges, split
from .report import EndpointReport
from .write import Writer, key_expression

if TYPE_CHECKING:
    import polars as pl

#: Sweeps after the first; a database that changes faster than it can be read is reported as such.
PASSES = 4
#: Readings that find nothing new, after which other page sizes are no longer tried.
IN_VAIN = 4
#: Ranges whose counts are compared at the end, at most: they see a row that went while another came.
PROBES = 16
#: Questions between two counts of all rows while ranges are read.
EVERY = 25

Progress = Callable[[str, int, int | None], None]


@dataclass
class Reader:
    """One endpoint's reading. ``total`` is the question whose count must be met, when ``plan`` asks for a part of it."""

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
    _answers: int = 0
    _lock: anyio.Lock = field(default_factory=anyio.Lock)

    async def run(self) -> bool:
        """Read everything, and say in the report what was had and what not; False if it is worth going on later."""
        checkpoint = self.writer.checkpoint
        if checkpoint is not None:
            self.gone = set(checkpoint.vanished)
            await anyio.to_thread.run_sync(self.writer.open)
        first = await self._page(self.plan.whole, check=True)
        await self._begin(first.count)
        if first.last:
            await self._take(Job("page", 0, PAGE), first)
            self.report.counted = first.count
            self.report.method = "one page"
        else:
            await self._sweep(self._jobs(first), first)
        await anyio.to_thread.run_sync(self.writer.close)
        if not self.failures:
            await self._complete(alone=first.last)
        await self._conclude()
        return not self.broken

    async def _begin(self, count: int) -> None:
        """Drop what a checkpoint says about pages if the list has changed since: they begin elsewhere now."""
        checkpoint = self.writer.checkpoint
        self.report.counted_before = count
        self.counts.add(count)
        self._tell(count)
        if checkpoint is None:
            return
        self.report.resumed = checkpoint.resumed
        if checkpoint.count is not None:
            self.counts.add(checkpoint.count)
        if checkpoint.count != count:
            checkpoint.done = {job for job in checkpoint.done if job.kind == "range"}
        checkpoint.count = checkpoint.count if checkpoint.count is not None else count
        if checkpoint.size == 0:
            checkpoint.size = self.costs.size

    def _jobs(self, first: Page) -> list[Job]:
        checkpoint = self.writer.checkpoint
        if not self.plan.pages_first:
            self.report.method = "ranges of ids"
            stored = checkpoint.count if checkpoint is not None else None
            return ranges(stored or first.count)  # cut as before, so that what is done is known again
        self.report.method = "pages"
        size = min(self.costs.size, checkpoint.size if checkpoint is not None else PAGE)
        return pages(first.count, size)

    # ---- a sweep: many questions at once

    async def _sweep(self, jobs: Iterable[Job], first: Page | None = None, *, again: bool = False) -> None:
        done = self.writer.checkpoint.done if self.writer.checkpoint is not None and not again else set()
        queue = deque(job for job in jobs if job not in done)
        if first is not None and queue and queue[0] == Job("page", 0, first.rows.height):
            await self._take(queue.popleft(), first)

        async def work() -> None:
            while queue and not self.failures:
                job = queue.popleft()
                if not queue and job.kind == "range":  # the count at the end travels beside the last range
                    await together(answer, [(job,), (None,)])
                else:
                    await answer(job)

        async def answer(job: Job | None) -> None:
            if job is not None:
                queue.extend(await self._answer(job))
            else:
                self.report.counted = await self._count()

        workers = min(self.server.concurrency.most, max(1, len(queue)))
        await together(work, [() for _ in range(workers)])

    async def _answer(self, job: Job) -> list[Job]:
        """Ask a question and take the answer; gives the questions that it leads to."""
        try:
            page = await self._page(job)
            if job.kind == "page":
                self.counts.add(page.count)
                self.report.counted = page.count
                await self._take(job, page)
                behind = job.low + page.rows.height
                grown = page.rows.height and not page.last and job.high >= max(self.counts)
                return [Job("page", behind, behind + job.high - job.low)] if grown else []
            if not page.last and job.high - job.low > 1:
                return split(job, page.count, self._numbers(page))
            await self._take(job, page)
            self._answers += 1
            if self._answers % EVERY == 0:
                self.counts.add(await self._count())
        except LoginError:
            raise
        except ServerError as error:
            self._failed(self._name(job), error)
        return []

    def _failed(self, what: str, error: ServerError) -> None:
        self.failures.append(f"{what}: {type(error).__name__}: {error}")
        self.broken = True

    async def _page(self, job: Job, *, check: bool = False) -> Page:
        size = job.high - job.low if job.kind == "page" else PAGE
        params = self.plan.params(job, size)
        return await self.server.page(self.plan.endpoint, params, self.plan.columns, self.costs, check=check)

    async def _count(self, plan: Plan | None = None, job: Job | None = None) -> int:
        plan = plan or self.plan
        params = plan.params(job or plan.whole)
        return await self.server.count(plan.endpoint, params, plan.columns, self.costs)

    async def _take(self, job: Job | None, page: Page) -> int:
        async with (
            self._lock
        ):  # the writer sets the pace: answers wait here, and no more are asked for meanwhile
            added = await anyio.to_thread.run_sync(self.writer.add, job, page.rows)
        self._tell(max(self.counts))
        return added

    def _tell(self, total: int | None) -> None:
        if self.progress is not None:
            self.progress(self.plan.endpoint, self.writer.distinct, total)

    def _numbers(self, page: Page) -> list[int]:
        key = self.plan.columns.key
        if key is None:
            return []
        ids = page.rows.select(key_expression(self.plan, key)).to_series()
        return sorted({self.plan.number(id) for id in ids})

    def _name(self, job: Job) -> str:
        if job.kind == "page":
            return f"rows {job.low:,} to {job.high:,}"
        return f"ids from {self.plan.text(job.low)} to before {self.plan.text(min(job.high, TOP - 1))}"

    # ---- until nothing is missing

    async def _complete(self, *, alone: bool) -> None:
        """Compare with the server's counts, and read again until they agree."""
        try:
            # Each page says how many rows there are, and a sweep of ranges ends with a count.
            counted = self.report.counted if self.report.counted is not None else await self._count()
            self.counts.add(counted)
            self.report.counted = counted
            if alone and not self.report.resumed and self.total is None:
                self.report.complete = True  # one page is one query: it says all there is
                return
            if self.total is not None:
                self.report.counted = await self._count(self.total)
            if await self._agrees():
                self.report.complete = True
            elif self.plan.ids is not None:
                await self._reconcile()
            else:
                await self._read_again()
        except LoginError:
            raise
        except ServerError as error:
            self._failed("reading again", error)

    async def _agrees(self) -> bool:
        """Say whether all rows seem to be there, and none has come or gone."""
        held = await self._held()
        if held != self.report.counted or len(self.counts) > 1:
            return False
        return self.plan.ids is None or self.total is not None or await self._probe(held)

    async def _held(self) -> int:
        if self.total is None:
            return self.writer.distinct - len(self.gone)
        return len(set(await anyio.to_thread.run_sync(self.writer.ids)) - self.gone)

    async def _probe(self, held: int) -> bool:
        """Compare the counts of some ranges: one row may have gone and another come."""
        number = min(PROBES, max(held // (40 * AIM), 2 if self.report.resumed else 0))
        if not number:
            return True
        ids = await anyio.to_thread.run_sync(self.writer.ids)
        ids = [id for id in ids if id not in self.gone]
        agree = True

        async def probe(job: Job) -> None:
            nonlocal agree
            agree &= await self._count(self.plan, job) == bisect_left(ids, job.high) - bisect_left(
                ids, job.low
            )

        await together(probe, [(job,) for job in around(ids, -(-len(ids) // number))])
        return agree

    async def _reconcile(self) -> None:
        """Read all ranges anew, note what came and went, until a sweep finds nothing of either."""
        plan = self.total or self.plan
        self.report.method += ", then ranges of ids" if self.plan.pages_first else ", again"
        for _ in range(PASSES):
            ids = await anyio.to_thread.run_sync(self.writer.ids)
            before = await self._count(plan)
            changes = [0]
            await self._compare(plan, [id for id in ids if id not in self.gone], changes)
            if self.failures:
                return
            self.report.counted = await self._count(plan)
            held = await self._held()
            if not changes[0] and before == self.report.counted == held:
                self.report.complete = True
                return
        held = await self._held()
        self.report.complete = held == self.report.counted
        if not self.report.complete:
            self.failures.append(
                f"the server counts {self.report.counted:,} rows and {held:,} are held: it changed during each of "
                f"{PASSES} more readings"
            )

    async def _compare(self, plan: Plan, ids: list[int], changes: list[int]) -> None:
        queue = deque(around(ids))
        key = plan.columns.key
        assert key is not None

        async def one(job: Job) -> None:
            params = plan.params(job)
            page = await self.server.page(plan.endpoint, params, plan.columns, self.costs)
            if not page.last and job.high - job.low > 1:
                queue.extend(split(job, page.count, self._numbers(page)))
                return
            here = set(self._numbers(page))
            known = set(ids[bisect_left(ids, job.low) : bisect_left(ids, job.high)])
            back = self.gone & here
            self.gone -= back
            self.gone |= known - here
            added = here - known - back
            if added:
                await self._take(None, page)
            changes[0] += len(known - here) + len(added) + len(back)

        async def work() -> None:
            while queue and not self.failures:
                job = queue.popleft()
                try:
                    await one(job)
                except LoginError:
                    raise
                except ServerError as error:
                    self._failed(self._name(job), error)

        await together(work, [() for _ in range(min(self.server.concurrency.most, max(1, len(queue))))])
        await self._save()

    async def _save(self) -> None:
        if self.writer.checkpoint is not None:
            self.writer.checkpoint.vanished = sorted(self.gone)
        await anyio.to_thread.run_sync(self.writer.close)

    async def _read_again(self) -> None:
        """Read with other page sizes, which lose other rows, where no filter could cut the list."""
        self.report.method += ", again with other page sizes"
        vain = 0
        for size in REPAIRS:
            known = self.writer.distinct
            count = await self._count()
            self.counts = {count}
            await self._sweep(pages(count, size), again=True)
            await anyio.to_thread.run_sync(self.writer.close)
            if self.failures:
                return
            self.report.counted = await self._count()
            self.counts.add(self.report.counted)
            if self.writer.distinct == self.report.counted and len(self.counts) == 1:
                self.report.complete = True
                return
            vain = 0 if self.writer.distinct > known else vain + 1
            if vain == IN_VAIN:
                break
        held, counted = self.writer.distinct, self.report.counted or 0
        what = (
            f"{counted - held:,} rows"
            if held < counted
            else f"{held - counted:,} rows fewer on the server than held"
        )
        self.failures.append(
            f"{what}: the server counts {counted:,}, {held:,} came in {len(REPAIRS)} readings with different page sizes, "
            f"and {self.plan.endpoint} has no filter that cuts its list"
        )

    def frame(self) -> pl.DataFrame:
        """Give what is held, of a harvest into memory; blocking."""
        import polars as pl

        columns = self.plan.columns
        frame = pl.concat([pl.DataFrame(schema=columns.schema), *self.writer.frames])
        if self.gone and columns.key is not None:
            ids = [self.plan.text(id) if self.plan.ids == "uuid" else id for id in self.gone]
            frame = frame.filter(~key_expression(self.plan, columns.key).is_in(ids))
        return frame

    async def _conclude(self) -> None:
        report, costs = self.report, self.costs
        report.requests, report.retries, report.throttled = costs.requests, costs.retries, costs.throttled
        report.written = self.writer.written
        report.vanished = len(self.gone)
        report.distinct = await self._held()
        report.missing = list(self.failures)
        notes = costs.notes
        report.notes += [
            f"{name}: {count} values do not fit the column and are null"
            for name, count in notes.unfit.items()
        ]
        report.notes += [f"{name}: not documented by the server, left out" for name in sorted(notes.unknown)]


def failed(report: EndpointReport, error: OneError) -> None:
    """Say in a report why there is nothing."""
    report.complete = False
    report.missing.append(f"all of it: {type(error).__name__}: {error}")
