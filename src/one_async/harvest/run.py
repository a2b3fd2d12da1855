"""Run a harvest: check the arguments, read each endpoint, publish it and report."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from one_async._boundary import reading
from one_async._concurrency import run_all
from one_async._fork import check_polars
from one_async._observer import LOGS
from one_async._progress import Display, Task, shown
from one_async._threads import run_sync
from one_async.alyx.caching import no_cache
from one_async.alyx.frame import columns_of
from one_async.alyx.query import params_of
from one_async.alyx.schema import Schema
from one_async.alyx.uncached import UncachedClient
from one_async.errors import AnswerError, HarvestUnderWay, InputError, LoginError, OneError, StatusError
from one_async.harvest.checkpoint import Checkpoint, Publication
from one_async.harvest.complete import Reader, failed
from one_async.harvest.fetch import Server
from one_async.harvest.lease import Lease, claimed
from one_async.harvest.plan import EVENTS, ReadPlan, plan, with_since
from one_async.harvest.publish import check_existing, check_format, older_ids, publish, start_or_resume
from one_async.harvest.report import REPORT, EndpointReport, HarvestReport
from one_async.harvest.storage import Storage, shown_address, storage_of
from one_async.harvest.sweep import HarvestProgress
from one_async.harvest.write import PART_ROWS, Writer
from one_async.types import DateLike

if TYPE_CHECKING:
    from one_async.alyx.client import AsyncAlyxClient
    from one_async.harvest.publish import Older

Format: TypeAlias = Literal["parquet", "delta", "frame"]
NAME = re.compile(r"[\w-]+")
Endpoints: TypeAlias = str | Iterable[str] | Mapping[str, Mapping[str, Any] | None]


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
    """Read whole endpoints and write the report beside them; see `AsyncONE.harvest`."""
    endpoints = endpoints if isinstance(endpoints, str | Mapping) else list(endpoints)
    task = HarvestTask(1 if isinstance(endpoints, str) else len({str(name) for name in endpoints}))
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
    resume: bool = False,
    format: Format | None = None,
    filters: Mapping[str, Mapping[str, Any]] | None = None,
    progress: HarvestProgress | None = None,
    part_rows: int = PART_ROWS,
    storage_options: Mapping[str, str] | None = None,
) -> HarvestReport:
    """Read whole endpoints; return the report without writing it."""
    check_polars()
    asked, kind, moment = parse_arguments(endpoints, to, since, resume, format, filters, part_rows)
    await run_sync(check_format, kind)
    storage = None if to is None else await run_sync(storage_of, to, storage_options)
    report = HarvestReport(
        server=alyx.base_url,
        started=datetime.now(UTC),
        to=None if to is None else str(to),
        format=kind,
        since=moment,
    )
    async with AsyncExitStack() as stack:
        leases: dict[str, Lease] = {}
        for name in () if storage is None else sorted(asked):  # sorted, so that two harvests cannot deadlock
            assert storage is not None
            leases[name] = await stack.enter_async_context(claimed(storage, name))
            look = partial(
                check_existing, storage, name, params_of(asked[name]), kind, merge=since is not None
            )
            await run_sync(look)
        with no_cache(alyx):
            schema = await alyx.schema()
        plans = [_plan(schema, name, given) for name, given in asked.items()]
        run = _Run(Server(UncachedClient(alyx)), report, storage, leases, moment, resume, progress, part_rows)
        await run_all(run.endpoint, [(plan,) for plan in plans])
    report.endpoints = {plan.endpoint: report.endpoints[plan.endpoint] for plan in plans}
    report.finished = datetime.now(UTC)
    return report


async def write_report(
    report: HarvestReport, to: str | PathLike[str] | None, storage_options: Mapping[str, str] | None
) -> None:
    """Write a report beside its data, unless that is in memory."""
    if to is None:
        return
    storage = await run_sync(storage_of, to, storage_options)
    async with claimed(storage, REPORT):
        await run_sync(save_report, storage, report)
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


def parse_arguments(
    endpoints: Endpoints,
    to: object,
    since: DateLike | None,
    resume: bool,
    format: Format | None,
    filters: Mapping[str, Mapping[str, Any]] | None,
    part_rows: int,
) -> tuple[dict[str, Mapping[str, Any]], Format, str | None]:
    """Return the filters by endpoint, the format and the time. Raise InputError for invalid arguments."""
    kind: Format = format or ("frame" if to is None else "parquet")
    _check_arguments(kind, to, since, resume, part_rows)
    return _parse_endpoints(endpoints, filters), kind, None if since is None else _parse_since(since)


class HarvestTask(Task):
    """The rows of all endpoints of a harvest. The total grows until the server has counted each."""

    def __init__(self, endpoints: int) -> None:
        super().__init__("harvesting", "rows", grows=True)
        self._endpoints = endpoints
        self._rows: dict[str, tuple[int, int | None]] = {}

    def report(self, endpoint: str, rows: int, total: int | None) -> None:
        """Set the rows of an endpoint that are here, and those that the server counts."""
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
        since: str | None,
        resume: bool,
        progress: HarvestProgress | None,
        part_rows: int,
    ) -> None:
        self.server, self.report, self.storage, self.leases = server, report, storage, leases
        self.since, self.resume, self.progress, self.part_rows = since, resume, progress, part_rows

    async def endpoint(self, whole: ReadPlan) -> None:
        """Harvest one endpoint; record its failure in its report, so that the others go on."""
        started = time.monotonic()
        report = EndpointReport(endpoint=whole.endpoint, filters=dict(whole.filters))
        self.report.endpoints[whole.endpoint] = report
        try:
            if self.storage is None:
                await self._into_memory(whole, report)
            else:
                await self._into_place(whole, report, self.storage)
        except LoginError:
            raise
        except OneError as error:
            failed(report, error)
        report.seconds = round(time.monotonic() - started, 3)
        level = logging.INFO if report.complete else logging.WARNING
        LOGS["harvest"].log(level, "%s", str(report).partition("\n")[0])

    async def _into_memory(self, whole: ReadPlan, report: EndpointReport) -> None:
        writer = Writer(whole, None, part_rows=self.part_rows)
        reader = Reader(self.server, whole, writer, report, self.progress)
        await reader.run()
        frame = await run_sync(reader.frame)
        report.written = frame.height
        self.report.frames[whole.endpoint] = frame

    async def _into_place(self, whole: ReadPlan, report: EndpointReport, storage: Storage) -> None:
        format = self.report.format
        signature = whole.signature(self.since, format)
        checkpoint = await run_sync(start_or_resume, storage, whole, signature, self.resume)
        if checkpoint.finished is not None:
            _restore_report(report, checkpoint.finished)
            return
        older = await run_sync(older_ids, storage, whole, format) if self.since else None
        ended, merge = await self._read(whole, report, checkpoint, older)
        if not ended:
            report.notes.append("not finished: a run with resume continues from here")
            return
        report.finished, report.holds = True, report.filters
        checkpoint.publishing = Publication(report=report, merge=merge, format=format)
        await run_sync(self._publish, storage, whole, checkpoint, report)

    async def _read(
        self, whole: ReadPlan, report: EndpointReport, checkpoint: Checkpoint, older: Older | None
    ) -> tuple[bool, bool]:
        """Read the rows; return whether reading finished, and whether they are merged into an earlier harvest."""

        async def read(plan: ReadPlan, total: ReadPlan | None, older: Older | None) -> bool:
            writer = Writer(plan, checkpoint, part_rows=self.part_rows, older=older)
            return await Reader(self.server, plan, writer, report, self.progress, total).run()

        if self.since is None:
            return await read(whole, None, None), False
        if whole.stamp is None or whole.ids is None:
            report.notes.append("has no time stamp to filter by: all rows were read")
            return await read(whole, None, None), False
        report.since_by = whole.stamp
        if whole.stamp in EVENTS:
            report.notes.append(
                f"{whole.stamp} is the time of the event itself: later edits of older rows are not noticed"
            )
        part = replace(whole, filters=with_since(whole.filters, whole.stamp, self.since))
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
        if not self.leases[whole.endpoint].held():
            raise HarvestUnderWay(
                f"another harvest has taken over {shown_address(storage, whole.endpoint)}, since this one did not renew "
                "its lease",
                endpoint=whole.endpoint,
            )
        checkpoint.save()
        report.updated = publish(storage, whole, checkpoint).updated


def _restore_report(report: EndpointReport, stored: Mapping[str, Any]) -> None:
    """Copy the report of an interrupted run."""
    for name, value in EndpointReport.model_validate(stored):
        setattr(report, name, value)
    report.resumed = True


def _plan(schema: Schema, endpoint: str, given: Mapping[str, Any]) -> ReadPlan:
    schema.check(endpoint, "list")
    for name in ("limit", "offset"):
        if name in given:
            raise InputError.of(name, given[name], "no limit or offset: a harvest reads whole lists")
    params = params_of(given)
    schema.check_filters(endpoint, params)
    try:
        with reading(f"/{endpoint}"):
            columns = columns_of(schema, endpoint)
    except AnswerError as error:
        raise InputError.of("endpoints", endpoint, f"lists whose rows are documented ({error})") from None
    return plan(schema, endpoint, columns, params)


def _parse_endpoints(
    endpoints: Endpoints, filters: Mapping[str, Mapping[str, Any]] | None
) -> dict[str, Mapping[str, Any]]:
    if isinstance(endpoints, Mapping):
        asked = {str(name): dict(given or {}) for name, given in endpoints.items()}
    else:
        names = [endpoints] if isinstance(endpoints, str) else list(endpoints)
        asked = {name: {} for name in names}
    if not asked or not all(isinstance(name, str) and NAME.fullmatch(name) for name in asked):
        raise InputError.of("endpoints", endpoints, "names of endpoints, such as ['sessions', 'insertions']")
    for name, given in (filters or {}).items():
        if name not in asked:
            raise InputError.of("filters", name, f"filters of the endpoints asked for: {', '.join(asked)}")
        asked[name] = {**asked[name], **given}
    return dict(asked)


def _parse_since(since: DateLike) -> str:
    try:
        moment = since if isinstance(since, date) else datetime.fromisoformat(since)
    except (TypeError, ValueError):
        raise InputError.of(
            "since", since, "a date or time, such as 2025-01-31 or 2025-01-31T12:00"
        ) from None
    if isinstance(moment, datetime) and moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)  # Alyx's times are naive UTC
    return moment.isoformat()


def _check_arguments(format: str, to: object, since: object, resume: bool, part_rows: int) -> None:
    if format not in get_args(Format):
        raise InputError.of("format", format, get_args(Format))
    if (format == "frame") != (to is None):
        raise InputError.of("to", to, "a folder or address for parquet and delta, None for frames in memory")
    if to is None and (since is not None or resume):
        argument = "since" if since is not None else "resume"
        raise InputError.of(argument, since or resume, "a harvest in a folder or object store (to=)")
    if part_rows < 1:
        raise InputError.of("part_rows", part_rows, "1 or more")


def save_report(storage: Storage, report: HarvestReport) -> None:
    """Write the report beside the data, keeping the entries of endpoints harvested earlier. Blocks."""
    try:
        earlier = HarvestReport.model_validate_json(storage.get(REPORT) or b"").endpoints
    except ValueError:
        earlier = {}
    entries = {**earlier, **report.endpoints}
    for name, entry in report.endpoints.items():
        if not entry.finished and name in earlier:  # its data are still the earlier ones
            entries[name] = entry.model_copy(update={"holds": earlier[name].holds})
    whole = report.model_copy(update={"endpoints": entries})
    storage.put(REPORT, whole.model_dump_json(indent=2).encode())
