"""Run a harvest: validate the arguments, read and publish each endpoint, and write the report."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any

from one_async._arguments import as_list
from one_async._boundary import reading
from one_async._concurrency import run_all
from one_async._observer import LOGS
from one_async._progress import Display, Task, shown
from one_async._threads import check_polars, run_sync
from one_async._warnings import warn
from one_async.alyx.caching import no_cache
from one_async.alyx.frame import columns_of
from one_async.alyx.schema import Schema, params_of
from one_async.alyx.uncached import UncachedClient
from one_async.errors import (
    HarvestUnderWay,
    InputError,
    LoginError,
    OneError,
    OneWarning,
    StatusError,
    name_list,
)
from one_async.harvest.arguments import (
    LAST,
    OVERLAP,
    Endpoints,
    Format,
    is_all,
    parse_endpoints,
    parse_options,
    parse_since,
)
from one_async.harvest.checkpoint import Checkpoint, Publication
from one_async.harvest.complete import Reader, failed
from one_async.harvest.fetch import Server
from one_async.harvest.lake import write_lake
from one_async.harvest.lease import Lease, hold_lease
from one_async.harvest.plan import EVENTS, ReadPlan, plan, with_since
from one_async.harvest.publish import (
    check_existing,
    check_format,
    older_ids,
    publish,
    start_or_resume,
    stored_entry,
)
from one_async.harvest.report import REPORT, EndpointReport, HarvestReport
from one_async.harvest.storage import Storage, shown_address, storage_of
from one_async.harvest.sweep import HarvestProgress
from one_async.harvest.tidy import TidyColumns, tidy_columns
from one_async.harvest.write import PART_ROWS, Writer
from one_async.types import DateLike

if TYPE_CHECKING:
    from one_async.alyx.client import AsyncAlyxClient
    from one_async.harvest.publish import OlderIds


async def harvest(
    alyx: AsyncAlyxClient,
    endpoints: Endpoints,
    to: str | PathLike[str] | None = None,
    *,
    storage_options: Mapping[str, str] | None = None,
    display: Display | None = None,
    progress: HarvestProgress | None = None,
    **options: Any,
) -> HarvestReport:
    """Read whole endpoints and write the report beside them; see `AsyncONE.harvest`.

    Examples:
        >>> from one_async.harvest import harvest
        >>> report = await harvest(one.alyx, ["labs"], to="metadata")
        >>> report.complete
        True
    """
    if progress is not None and not callable(progress):
        raise InputError.of("progress", progress, "a function")
    endpoints = endpoints if isinstance(endpoints, str | Mapping) else as_list(endpoints)
    task = HarvestTask(
        1 if isinstance(endpoints, str) else len({name for name in endpoints if isinstance(name, str)})
    )
    with alyx._calls.call():
        async with shown(display if progress is None else None, task):
            options["progress"] = progress or task.report
            report = await collect(alyx, endpoints, to, storage_options=storage_options, **options)
        await write_report(report, to, storage_options)
    return report


async def collect(
    alyx: AsyncAlyxClient,
    endpoints: Endpoints,
    to: str | PathLike[str] | None = None,
    *,
    since: DateLike | None = None,
    resume: bool = True,
    format: Format | None = None,
    filters: Mapping[str, Mapping[str, Any]] | None = None,
    tidy: bool = False,
    progress: HarvestProgress | None = None,
    part_rows: int = PART_ROWS,
    storage_options: Mapping[str, str] | None = None,
) -> HarvestReport:
    """Read whole endpoints; return the report without writing it."""
    check_polars()
    kind, moment = parse_options(to, since, format, part_rows)
    requested = {} if is_all(endpoints) else parse_endpoints(endpoints, filters)
    storage = None if to is None else await run_sync(storage_of, to, storage_options)
    await run_sync(check_format, kind, storage)
    requested = requested or parse_endpoints(await listed(alyx), filters)
    report = HarvestReport(
        server=alyx.base_url,
        started=datetime.now(UTC),
        to=None if to is None else str(to),
        format=kind,
        since=moment,
    )
    async with AsyncExitStack() as stack:
        leases: dict[str, Lease] = {}
        moments: dict[str, str | None] = {}
        for name in (
            () if storage is None else sorted(requested)
        ):  # sorted, so that two harvests cannot deadlock
            assert storage is not None
            leases[name] = await stack.enter_async_context(hold_lease(storage, name))
            check = partial(
                check_existing, storage, name, params_of(requested[name]), kind, tidy, merge=since is not None
            )
            await run_sync(check)
            moments[name] = await run_sync(_last_time, storage, name) if moment == LAST else moment
        with no_cache(alyx):
            schema = await alyx.schema()
        plans = [_plan(schema, name, given, tidy) for name, given in requested.items()]
        run = _Run(
            Server(UncachedClient(alyx)), report, storage, leases, moments, resume, progress, part_rows
        )
        await run_all(run.endpoint, [(plan,) for plan in plans])
    report.endpoints = {plan.endpoint: report.endpoints[plan.endpoint] for plan in plans}
    report.finished = datetime.now(UTC)
    return report


async def write_report(
    report: HarvestReport, to: str | PathLike[str] | None, storage_options: Mapping[str, str] | None
) -> None:
    """Write a report next to its data, unless the data are in memory."""
    if to is None:
        return
    storage = await run_sync(storage_of, to, storage_options)
    async with hold_lease(storage, REPORT):
        whole = await run_sync(save_report, storage, report)
        await run_sync(write_lake, storage, whole)
    # Unfinished endpoints keep their checkpoints for a later run.
    for entry in report.endpoints.values():
        if entry.finished:
            await run_sync(_remove_checkpoint, storage, entry.endpoint)


def _remove_checkpoint(storage: Storage, endpoint: str) -> None:
    """Remove the checkpoint of a finished endpoint, unless another harvest has started meanwhile."""
    lease = storage.try_claim(endpoint)
    if lease is None:
        return
    try:
        checkpoint = Checkpoint(storage, endpoint, "")
        if checkpoint.load() and checkpoint.finished is not None:
            checkpoint.clear()
    finally:
        lease.release()


async def listed(alyx: AsyncAlyxClient) -> list[str]:
    """Return the names of the endpoints that list records, by the server's schema."""
    with no_cache(alyx):
        return (await alyx.schema()).lists


class HarvestTask(Task):
    """The rows read of all endpoints of a harvest. The total grows until the server has counted each endpoint."""

    def __init__(self, endpoints: int) -> None:
        super().__init__("harvesting", "rows", grows=True)
        self._endpoints = endpoints
        self._rows: dict[str, tuple[int, int | None]] = {}

    def report(self, endpoint: str, rows: int, total: int | None) -> None:
        """Set the number of rows read of an endpoint, and the server's count."""
        self._rows[endpoint] = (rows, total)
        counts = [count for _, count in self._rows.values()]
        self.set(sum(rows for rows, _ in self._rows.values()), sum(count or 0 for count in counts))
        self.grows = None in counts or len(counts) < self._endpoints
        self.what = f"harvesting {endpoint if self._endpoints == 1 else f'{self._endpoints} endpoints'}:"


class _Run:
    """One harvest."""

    def __init__(
        self,
        server: Server,
        report: HarvestReport,
        storage: Storage | None,
        leases: Mapping[str, Lease],
        since: Mapping[str, str | None],
        resume: bool,
        progress: HarvestProgress | None,
        part_rows: int,
    ) -> None:
        self.server, self.report, self.storage, self.leases = server, report, storage, leases
        self.since, self.resume, self.progress, self.part_rows = since, resume, progress, part_rows

    async def endpoint(self, whole: ReadPlan) -> None:
        """Harvest one endpoint; a failure is recorded in its report and does not stop the others."""
        started = time.monotonic()
        report = EndpointReport(endpoint=whole.endpoint, filters=dict(whole.filters))
        self.report.endpoints[whole.endpoint] = report
        try:
            if self.storage is None:
                await self._into_memory(whole, report)
            else:
                await self._into_storage(whole, report, self.storage)
        except LoginError:
            raise
        except OneError as error:
            failed(report, error)
        report.seconds = round(time.monotonic() - started, 3)
        level = logging.INFO if report.complete else logging.WARNING
        LOGS["harvest"].log(level, "%s", str(report).partition("\n")[0])

    async def _into_memory(self, whole: ReadPlan, report: EndpointReport) -> None:
        report.as_of = datetime.now(UTC)
        writer = Writer(whole, None, part_rows=self.part_rows)
        reader = Reader(self.server, whole, writer, report, self.progress)
        await reader.run()
        frame = await run_sync(reader.frame)
        report.written = frame.height
        self.report.frames[whole.endpoint] = frame

    async def _into_storage(self, whole: ReadPlan, report: EndpointReport, storage: Storage) -> None:
        format = self.report.format
        since = self.since[whole.endpoint]
        earlier = await run_sync(stored_entry, storage, whole.endpoint)
        columns = whole.columns
        signature = whole.signature(since, format, tidy=isinstance(columns, TidyColumns))
        checkpoint = await run_sync(start_or_resume, storage, whole, signature, self.resume)
        if checkpoint.finished is not None:
            _restore_report(report, checkpoint.finished)
            return
        if checkpoint.resumed and checkpoint.begun is not None:
            report.notes.append(f"resumes a harvest that began at {checkpoint.begun:%Y-%m-%d %H:%M} UTC")
        if earlier is not None and earlier.holds is not None and earlier.holds != report.filters:
            report.notes.append(f"replaces rows that were read with {_filters_text(earlier.holds)}")
            warn(
                f"the harvest of {whole.endpoint} with {_filters_text(report.filters)} replaces one with "
                f"{_filters_text(earlier.holds)}",
                OneWarning,
            )
        older = await run_sync(older_ids, storage, whole, format) if since else None
        ended, merge = await self._read(whole, report, checkpoint, older, since)
        if not ended:
            report.notes.append("not finished: the next run resumes here")
            return
        report.finished, report.holds = True, report.filters
        report.columns = columns.report() if isinstance(columns, TidyColumns) else None
        report.as_of = _as_of(checkpoint, since, earlier) if merge else checkpoint.begun
        checkpoint.publishing = Publication(report=report, merge=merge, format=format)
        await run_sync(self._publish, storage, whole, checkpoint, report)

    async def _read(
        self,
        whole: ReadPlan,
        report: EndpointReport,
        checkpoint: Checkpoint,
        older: OlderIds | None,
        since: str | None,
    ) -> tuple[bool, bool]:
        """Read the rows; return whether reading finished, and whether they are merged into an earlier harvest."""

        async def read(plan: ReadPlan, total: ReadPlan | None, older: OlderIds | None) -> bool:
            writer = Writer(plan, checkpoint, part_rows=self.part_rows, older=older)
            return await Reader(self.server, plan, writer, report, self.progress, total).run()

        if since is None:
            return await read(whole, None, None), False
        if whole.stamp is None or whole.ids is None:
            report.notes.append("the endpoint has no time stamp to filter by: all rows were read")
            return await read(whole, None, None), False
        report.since_by = whole.stamp
        if whole.stamp in EVENTS:
            report.notes.append(
                f"{whole.stamp} is the time of the event itself: later edits of older rows are not detected"
            )
        part = replace(whole, filters=with_since(whole.filters, whole.stamp, since))
        try:
            return await read(part, whole if older else None, older), older is not None
        except StatusError as error:
            if error.status not in (400, 500):
                raise
            report.notes.append(
                f"the server does not accept {report.since_by} as a filter: all rows were read"
            )
            report.since_by = None
            return await read(whole, None, None), False

    def _publish(
        self, storage: Storage, whole: ReadPlan, checkpoint: Checkpoint, report: EndpointReport
    ) -> None:
        if not self.leases[whole.endpoint].is_valid():
            raise HarvestUnderWay(
                f"another harvest has taken over {shown_address(storage, whole.endpoint)}, since this one failed to renew "
                "its lease in time",
                endpoint=whole.endpoint,
            )
        checkpoint.save()
        report.updated = publish(storage, whole, checkpoint).updated


def _last_time(storage: Storage, endpoint: str) -> str | None:
    """Return the time since when rows must be read to update an earlier harvest; None for all rows."""
    entry = stored_entry(storage, endpoint)
    if entry is None or entry.as_of is None:
        return None
    return parse_since(entry.as_of - OVERLAP)


def _as_of(checkpoint: Checkpoint, since: str | None, earlier: EndpointReport | None) -> datetime | None:
    """Return the time up to which a merged harvest contains all changes; a later `since` leaves a gap before it."""
    before = None if earlier is None else earlier.as_of
    if before is None or since is None:
        return None
    return checkpoint.begun if since <= parse_since(before - OVERLAP) else before


def _restore_report(report: EndpointReport, stored: Mapping[str, Any]) -> None:
    """Copy the stored report of an interrupted run."""
    for name, value in EndpointReport.model_validate(stored):
        setattr(report, name, value)
    report.resumed = True


def _plan(schema: Schema, endpoint: str, given: Mapping[str, Any], tidy: bool) -> ReadPlan:
    schema.check(endpoint)
    if endpoint not in schema.lists:
        accepted = f"endpoints that list records, or 'all' of them: {name_list(schema.lists)}"
        raise InputError.of("endpoints", endpoint, accepted)
    for name in ("limit", "offset"):
        if name in given:
            raise InputError.of(name, given[name], "no limit or offset: a harvest reads whole lists")
    params = schema.known_filters(endpoint, params_of(given))
    with reading(f"/{endpoint}"):
        columns = columns_of(schema, endpoint)
        columns = tidy_columns(schema, columns) if tidy else columns
    return plan(schema, endpoint, columns, params)


def save_report(storage: Storage, report: HarvestReport) -> HarvestReport:
    """Write the report next to the data, with the entries of endpoints harvested earlier; return it. Blocks."""
    try:
        earlier = HarvestReport.model_validate_json(storage.get(REPORT) or b"").endpoints
    except ValueError:
        earlier = {}
    entries = {**earlier, **report.endpoints}
    for name, entry in report.endpoints.items():
        if not entry.finished and name in earlier:  # its data are still the earlier ones
            kept = {field: getattr(earlier[name], field) for field in ("holds", "as_of", "columns")}
            entries[name] = entry.model_copy(update=kept)
    whole = report.model_copy(update={"endpoints": entries})
    storage.put(REPORT, whole.model_dump_json(indent=2).encode())
    return whole


def _filters_text(filters: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in filters.items()) or "no filters"
