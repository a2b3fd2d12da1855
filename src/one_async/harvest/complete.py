"""Read one endpoint until nothing is missing: sweep, count, and sweep again where the numbers differ."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from one_async._threads import run_sync
from one_async.alyx.paging import REPAIRS, together
from one_async.errors import LoginError, OneError, ServerError
from one_async.harvest.fetch import FEWEST, Page, too_long
from one_async.harvest.id_index import IdIndex, key_expression, numbers
from one_async.harvest.plan import AIM, PAGE, Job, Plan, pages, ranges
from one_async.harvest.report import EndpointReport
from one_async.harvest.sweep import Sweep, work_off

if TYPE_CHECKING:
    import polars as pl

#: Lists of up to so many rows are always compared id by id at the end; of up to so many if there was time for changes.
FEW, MANY = 16 * AIM, 100 * AIM
#: Of longer ones, so many ranges of ids are counted, or one for each EACH questions if that is more.
GROUPS, EACH = 64, 8
#: Seconds in which a list is read as if at one moment: what came or went meanwhile might have done so just after.
MOMENT = 1.0
#: Sweeps after the first; a database that changes faster than it can be read is reported as such.
PASSES = 4
#: Readings that find nothing new, after which other page sizes are no longer tried.
IN_VAIN = 4


@dataclass
class Reader(Sweep):
    """One endpoint's reading, from the first question to the report."""

    _begun: bool = False
    _alone: bool = False  # one page holds the whole list

    async def run(self) -> bool:
        """Read everything, and say in the report what was had and what not; False if it is worth going on later."""
        try:
            return await self._run()
        finally:
            report, costs = self.report, self.costs
            report.requests, report.retries, report.throttled = costs.requests, costs.retries, costs.throttled

    async def _run(self) -> bool:
        checkpoint = self.writer.checkpoint
        if checkpoint is not None:
            self.gone = set(checkpoint.vanished)
            await run_sync(self.writer.open)
        ahead = () if checkpoint is not None and checkpoint.resumed else self.plan.ahead
        await self.sweep([self.plan.whole, *ahead])
        await run_sync(self.writer.close)
        if not self.failures:
            await self._complete()
        await self._conclude()
        return not self.broken

    async def _answer(self, job: Job) -> list[Job]:
        """Ask a question; the first one, which the others follow from, in a way of its own."""
        if self._begun or job != self.plan.whole:
            return await super()._answer(job)
        self._begun = True
        first = await self._first(job)
        await self._begin(first.count)
        if first.last:
            self._alone = True
            await self._take(Job("page", 0, PAGE), first)
            self.report.counted = first.count
            self.report.method = "one page"
            return []
        done = self.writer.checkpoint.done if self.writer.checkpoint is not None else set()
        jobs = [job for job in self._jobs(first) if job not in done and job not in self.plan.ahead]
        if jobs and jobs[0] == Job("page", 0, first.rows.height):
            self.counts.add(first.count)
            self._note(jobs[0], first)
            await self._take(jobs.pop(0), first)
        return jobs

    async def _first(self, whole: Job) -> Page:
        """Ask for the first page, or for as much of it as the server gives."""
        while True:
            asked = self.costs.size
            try:
                params = self.plan.params(whole, asked)
                return await self.server.page(
                    self.plan.endpoint, params, self.plan.columns, self.costs, check=True
                )
            except ServerError as error:
                if not too_long(error) or asked <= FEWEST:
                    raise
                self.costs.lower(asked)

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

    # ---- until nothing is missing

    async def _complete(self) -> None:
        """Compare with the server's counts, and read again until they agree."""
        try:
            # Each page says how many rows there are, and a sweep of ranges ends with a count.
            counted = self.report.counted if self.report.counted is not None else await self._count()
            self.counts.add(counted)
            self.report.counted = counted
            if self._alone and not self.report.resumed and self.total is None:
                self.report.complete = True  # one page is one query: it says all there is
                self.report.compared = "one moment"
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
        if held != self.report.counted or len(self.counts) > 1 or self.moved:
            return False
        if self.plan.ids is None:
            self.report.compared = "counts"
            return True
        # Pages that share a row and ranges of ids lose none that was there throughout. What is left to notice is a row
        # that went after it was read and another that came behind the reading, which no count of all rows shows.
        later = self.total is not None or self.report.resumed
        if held <= FEW:
            return False
        if not later and self._seconds <= MOMENT:
            self.report.compared = "one moment"
            return True
        if held <= MANY:
            return False
        questions = -(-held // AIM)
        self.report.compared = "counts"
        return await self._counts_agree(
            self.total or self.plan, questions if later else max(GROUPS, questions // EACH)
        )

    async def _held(self) -> int:
        if self.total is None:
            return self.writer.distinct - len(self.gone)
        return len(await run_sync(self.writer.held, self.gone))

    async def _counts_agree(self, plan: Plan, number: int) -> bool:
        """Compare the counts of so many ranges of ids with what is held of them."""
        ids = await run_sync(self.writer.held, self.gone)
        agree = True

        async def one(job: Job) -> None:
            nonlocal agree
            count = await self._count(plan, job)
            agree &= count == ids.count(job)

        await together(one, [(job,) for job in ids.ranges(-(-len(ids) // number))])
        return agree

    async def _reconcile(self) -> None:
        """Read all ranges anew, note what came and went, until a sweep finds nothing of either."""
        plan = self.total or self.plan
        self.report.compared = "ids"
        self.report.method += ", compared by ranges of ids"
        for _ in range(PASSES):
            before = self.report.counted
            ids = await run_sync(self.writer.held, self.gone)
            changes = [0]
            await self._compare(plan, ids, changes)
            if self.failures:
                return
            self.report.counted = await self._count(plan)
            held = await self._held()
            if not changes[0] and before == self.report.counted == held:
                self.report.complete = True
                return
        held = await self._held()
        self.report.compared = "counts"  # the ids changed again while they were compared
        self.report.complete = held == self.report.counted
        if not self.report.complete:
            self.failures.append(
                f"the server counts {self.report.counted:,} rows and {held:,} are held: it changed during each of "
                f"{PASSES} more readings"
            )

    async def _compare(self, plan: Plan, ids: IdIndex, changes: list[int]) -> None:
        async def one(job: Job) -> list[Job]:
            asked = self._limit(job)
            try:
                page = await self.server.page(
                    plan.endpoint, plan.params(job, asked), plan.columns, self.costs
                )
            except ServerError as error:
                return self._again(job, asked, error)
            if not page.last and job.high - job.low > 1:
                return self._split(job, page)
            here = set(numbers(plan, page.rows))
            known = ids.between(job)
            back = self.gone & here
            self.gone -= back
            self.gone |= known - here
            added = here - known - back
            if added:
                await self._take(None, page)
            changes[0] += len(known - here) + len(added) + len(back)
            return []

        await work_off(deque(ids.ranges()), one, self.server.concurrency.most, self.failures)
        await self._save()

    async def _save(self) -> None:
        if self.writer.checkpoint is not None:
            self.writer.checkpoint.vanished = sorted(self.gone)
        await run_sync(self.writer.close)

    async def _read_again(self) -> None:
        """Read with other page sizes, which lose other rows, where no filter could cut the list."""
        self.report.method += ", again with other page sizes"
        vain = 0
        for size in REPAIRS:
            known = self.writer.distinct
            count = await self._count()
            self.counts = {count}
            self.report.compared = "counts"
            await self.sweep(pages(count, size))
            await run_sync(self.writer.close)
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
            frame = frame.filter(~key_expression(columns.key).is_in(ids))
        return frame

    async def _conclude(self) -> None:
        report = self.report
        report.written = self.writer.written
        report.vanished = len(self.gone)
        report.distinct = await self._held()
        report.missing = list(self.failures)
        notes = self.costs.notes
        report.notes += [
            f"{name}: {count} values do not fit the column and are null"
            for name, count in notes.unfit.items()
        ]
        report.notes += [f"{name}: not documented by the server, left out" for name in sorted(notes.unknown)]


def failed(report: EndpointReport, error: OneError) -> None:
    """Say in a report why there is nothing."""
    report.complete = False
    report.missing.append(f"all of it: {type(error).__name__}: {error}")
