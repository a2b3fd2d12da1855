"""Read one endpoint completely: sweep, count, and read again where the numbers differ."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from one_async._concurrency import run_all
from one_async._threads import run_sync
from one_async.alyx.paging import REPAIRS
from one_async.errors import LoginError, OneError, ServerError
from one_async.harvest.fetch import FEWEST, PageFrame, too_long
from one_async.harvest.id_index import IdIndex, key_expression, numbers
from one_async.harvest.plan import AIM, PAGE, Job, ReadPlan, pages, ranges
from one_async.harvest.report import EndpointReport
from one_async.harvest.sweep import Sweep, process_jobs

if TYPE_CHECKING:
    import polars as pl

#: Compare ids below FEW rows always; below MANY only after a slow read.
FEW, MANY = 16 * AIM, 100 * AIM
#: Longer lists are compared by the counts of GROUPS ranges of ids, or of one range per GROUP_REQUESTS requests if that is
#: more.
GROUPS, GROUP_REQUESTS = 64, 8
#: Seconds within which a read counts as instantaneous: a change during it is equivalent to one right after it.
MOMENT = 1.0
#: The most comparisons of ids; after these, the database is reported as changing faster than it can be read.
PASSES = 4
#: Consecutive readings without a new row after which no other page sizes are tried.
MOST_FRUITLESS = 4


@dataclass
class Reader(Sweep):
    """Reads one endpoint, from the first request to the report."""

    _started: bool = False
    _single_page: bool = False  # one page has as many rows as the server counts

    async def run(self) -> bool:
        """Read everything and fill the report; return False if a later run should continue."""
        try:
            return await self._run()
        finally:
            report, costs = self.report, self.costs
            report.requests, report.retries, report.throttled = costs.requests, costs.retries, costs.throttled

    async def _run(self) -> bool:
        checkpoint = self.writer.checkpoint
        if checkpoint is not None:
            self.deleted = set(checkpoint.vanished)
            await run_sync(self.writer.open)
        ahead = () if checkpoint is not None and checkpoint.resumed else self.plan.ahead
        await self.sweep([self.plan.whole, *ahead])
        await run_sync(self.writer.close)
        if not self.failures:
            await self._complete()
        await self._conclude()
        return not self.broken

    async def _process(self, job: Job) -> list[Job]:
        """Process a job; the first one also determines which jobs follow."""
        if self._started or job != self.plan.whole:
            return await super()._process(job)
        self._started = True
        first = await self._first(job)
        await self._begin(first.count)
        if first.last:
            self._single_page = first.rows.height >= first.count
            await self._store(Job("page", 0, PAGE), first)
            self.report.counted = first.count
            self.report.method = "one page"
            return []
        done = self.writer.checkpoint.done if self.writer.checkpoint is not None else set()
        jobs = [job for job in self._jobs(first) if job not in done and job not in self.plan.ahead]
        if jobs and jobs[0] == Job("page", 0, first.rows.height):
            self.counts.add(first.count)
            self._record_ends(jobs[0], first)
            await self._store(jobs.pop(0), first)
        return jobs

    async def _first(self, whole: Job) -> PageFrame:
        """Return the first page, or a smaller one if the server cannot produce it in time."""
        while True:
            size = self.costs.size
            try:
                params = self.plan.params(whole, size)
                return await self.server.page(
                    self.plan.endpoint, params, self.plan.columns, self.costs, check=True
                )
            except ServerError as error:
                if not too_long(error) or size <= FEWEST:
                    raise
                self.costs.lower(size)

    async def _begin(self, count: int) -> None:
        """Record the count; if it has changed, drop the pages of a checkpoint, since their offsets are no longer valid."""
        checkpoint = self.writer.checkpoint
        self.report.counted_before = count
        self.counts.add(count)
        self._report_progress(count)
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

    def _jobs(self, first: PageFrame) -> list[Job]:
        checkpoint = self.writer.checkpoint
        if not self.plan.pages_first:
            self.report.method = "ranges of ids"
            stored = checkpoint.count if checkpoint is not None else None
            # The same ranges as in the resumed run, so that finished ones are recognised.
            return ranges(stored or first.count)
        self.report.method = "pages"
        size = min(self.costs.size, checkpoint.size if checkpoint is not None else PAGE)
        return pages(first.count, size)

    async def _complete(self) -> None:
        """Compare the rows read with the server's counts, and read again until they agree."""
        try:
            # Each page has a count of all rows, and a sweep of ranges ends with a count.
            counted = self.report.counted if self.report.counted is not None else await self._count()
            self.counts.add(counted)
            self.report.counted = counted
            if self._single_page and not self.report.resumed and self.total is None:
                self.report.complete = True  # one page is one query, and so consistent
                self.report.compared = "one moment"
                return
            if self.total is not None:
                self.report.counted = await self._count(self.total)
            held = await self._count_held()
            consistent = held == self.report.counted and len(self.counts) == 1 and not self.moved
            if self.plan.ids is None:
                if consistent:
                    self.report.complete, self.report.compared = True, "counts"
                else:
                    await self._read_again()
            elif consistent and await self._is_unchanged(held):
                self.report.complete = True
            else:
                await self._reconcile()
        except LoginError:
            raise
        except ServerError as error:
            self._record_failure("reading again", error)

    async def _is_unchanged(self, held: int) -> bool:
        """Return whether it is certain, without comparing ids, that no row was replaced while the list was read.

        Overlapping pages and ranges of ids miss no row that existed throughout. The total count, however, does not reveal
        a row that was deleted after it was read if another row was added elsewhere in the list.
        """
        extends = self.total is not None or self.report.resumed
        if held <= FEW:
            return False
        if not extends and self._seconds <= MOMENT:
            self.report.compared = "one moment"
            return True
        if held <= MANY:
            return False
        self.report.compared = "counts"
        requests = -(-held // AIM)
        groups = requests if extends else max(GROUPS, requests // GROUP_REQUESTS)
        return await self._counts_agree(self.total or self.plan, groups)

    async def _count_held(self) -> int:
        if self.total is None:
            return self.writer.distinct - len(self.deleted)
        return len(await run_sync(self.writer.id_index, self.deleted))

    async def _counts_agree(self, plan: ReadPlan, groups: int) -> bool:
        """Return whether the server's counts of this many ranges of ids equal the numbers of rows read of each."""
        ids = await run_sync(self.writer.id_index, self.deleted)
        agree = True

        async def compare(job: Job) -> None:
            nonlocal agree
            count = await self._count(plan, job)
            agree &= count == ids.count(job)

        await run_all(compare, [(job,) for job in ids.ranges(-(-len(ids) // groups))])
        return agree

    async def _reconcile(self) -> None:
        """Read all ranges again and apply additions and deletions, until a pass finds no change."""
        plan = self.total or self.plan
        self.report.compared = "ids"
        self.report.method += ", compared by ranges of ids"
        changes = 0
        for _ in range(PASSES):
            before = self.report.counted
            ids = await run_sync(self.writer.id_index, self.deleted)
            changes = await self._compare_ids(plan, ids)
            if self.failures:
                return
            self.report.counted = await self._count(plan)
            held = await self._count_held()
            if not changes and before == self.report.counted == held:
                self.report.complete = True
                return
        held = await self._count_held()
        if changes:  # the ids changed again while they were compared
            self.report.compared = "counts"
        self.report.complete = held == self.report.counted
        if not self.report.complete:
            why = "the list changed during each of" if changes else "no other row came in"
            self.failures.append(
                f"the server counts {self.report.counted:,} rows and {held:,} were read: {why} {PASSES} further readings"
            )

    async def _compare_ids(self, plan: ReadPlan, ids: IdIndex) -> int:
        """Read all ranges again, store new rows and record deleted ones; return the number of changes."""
        changes = 0

        async def compare(job: Job) -> list[Job]:
            nonlocal changes
            limit = self._limit(job)
            try:
                params = plan.params(job, limit)
                page = await self.server.page(plan.endpoint, params, plan.columns, self.costs)
            except ServerError as error:
                return self._retry_smaller(job, limit, error)
            if not page.last and job.high - job.low > 1:
                return self._split(job, page)
            current = set(numbers(plan, page.rows))
            known = ids.between(job)
            restored = self.deleted & current
            removed = known - current
            added = current - known - restored
            self.deleted = (self.deleted - restored) | removed
            if added:
                await self._store(None, page)
            changes += len(removed) + len(added) + len(restored)
            return []

        await process_jobs(deque(ids.ranges()), compare, self.server.concurrency.most, self.failures)
        await self._save()
        return changes

    async def _save(self) -> None:
        if self.writer.checkpoint is not None:
            self.writer.checkpoint.vanished = sorted(self.deleted)
        await run_sync(self.writer.close)

    async def _read_again(self) -> None:
        """Read with other page sizes, which miss other rows; for lists that no filter divides into ranges."""
        self.report.method += ", again with other page sizes"
        fruitless = 0
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
            fruitless = 0 if self.writer.distinct > known else fruitless + 1
            if fruitless == MOST_FRUITLESS:
                break
        held, counted = self.writer.distinct, self.report.counted or 0
        difference = (
            f"{counted - held:,} rows"
            if held < counted
            else f"{held - counted:,} fewer rows on the server than were read"
        )
        self.failures.append(
            f"{difference}: the server counts {counted:,}, {held:,} were received in {len(REPAIRS)} readings with different "
            f"page sizes, and {self.plan.endpoint} has no filter that divides its list"
        )

    def frame(self) -> pl.DataFrame:
        """Return the rows of a harvest into memory as one frame. Blocks."""
        import polars as pl

        columns = self.plan.columns
        frame = pl.concat([pl.DataFrame(schema=columns.schema), *self.writer.frames])
        if self.deleted and columns.key is not None:
            ids = [self.plan.text(id) if self.plan.ids == "uuid" else id for id in self.deleted]
            frame = frame.filter(~key_expression(columns.key).is_in(ids))
        return frame

    async def _conclude(self) -> None:
        report = self.report
        report.written = self.writer.written
        report.vanished = len(self.deleted)
        report.distinct = await self._count_held()
        report.missing = list(self.failures)
        notes = self.costs.notes
        report.notes += [
            f"{name}: {count} values do not fit the column and are null"
            for name, count in notes.unfit.items()
        ]
        report.notes += [f"{name}: not documented by the server, left out" for name in sorted(notes.unknown)]


def failed(report: EndpointReport, error: OneError) -> None:
    """Record in a report that nothing could be read, and why."""
    report.complete = False
    report.missing.append(f"everything: {type(error).__name__}: {error}")
