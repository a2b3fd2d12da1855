"""Run parts of a job in other processes or on other machines, by any `concurrent.futures.Executor`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future
from datetime import UTC, datetime
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any

import anyio

from one_async._concurrency import run_all
from one_async._threads import run_sync
from one_async._values import without_secrets
from one_async.errors import InputError

if TYPE_CHECKING:
    from one_async.client.context import Context
    from one_async.harvest.arguments import Endpoints
    from one_async.harvest.report import HarvestReport

#: Settings that a constructor takes and that are no secrets: what another process needs to make the same client.
KEPT = (
    "base_url",
    "username",
    "cache_dir",
    "tables_dir",
    "default_expiry",
    "cache_expiry",
    "data_server",
    "data_server_login",
)
#: Jobs that wait for their results at once; each holds a thread.
WAITING = 64
#: Sessions loaded by one job.
SESSIONS = 8


def recipe(context: Context, executor: Executor) -> dict[str, Any]:
    """Return the arguments that make this client in the executor. Passwords and tokens are looked up there."""
    if not hasattr(executor, "submit"):
        raise InputError.of(
            "executor", executor, "an executor of concurrent.futures, or one with its methods"
        )
    if context.frozen is not None:
        raise InputError.of("executor", "…", "clients of a database, not of a frozen set")
    settings = context.settings
    kept = {name: getattr(settings, name) for name in KEPT}
    return {
        **{name: value for name, value in kept.items() if value is not None},
        **without_secrets(context.rest_options),
        "mode": context.mode,
        "wildcards": context.wildcards,
        "uuid_filenames": context.uuid_filenames,
        "tables": context.table_kind,
    }


async def run_each(executor: Executor, function: Any, jobs: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Run a picklable function in the executor for each job. Return the results in order, or raise the first error."""
    limiter = anyio.CapacityLimiter(WAITING)
    futures: list[Future[Any]] = []
    results: list[Any] = [None] * len(jobs)

    async def result(index: int) -> None:
        wait = partial(futures[index].result)
        results[index] = await run_sync(wait, limiter=limiter, abandon_on_cancel=True)

    try:
        futures += [executor.submit(function, *job) for job in jobs]
        await run_all(result, [(index,) for index in range(len(jobs))])
    finally:
        for future in futures:
            future.cancel()
    return results


def call(
    client_class: type[Any],
    made_of: Mapping[str, Any],
    method: str,
    arguments: Sequence[Any],
    options: Mapping[str, Any],
) -> Any:
    """Make a client and call one of its methods. Runs in a worker."""

    async def work() -> Any:
        async with client_class(**made_of) as one:
            return await getattr(one, method)(*arguments, **options)

    return anyio.run(work)


async def load_in_workers(
    context: Context,
    executor: Executor,
    eids: Sequence[Any],
    given: Sequence[Any],
    options: Mapping[str, Any],
) -> list[Any]:
    """Call `load_many` in workers, for a few sessions each. Return the results in the order of the sessions."""
    made_of = {**recipe(context, executor), "tables": "polars"}  # the caller converts the whole
    chunks = [list(eids[at : at + SESSIONS]) for at in range(0, len(eids), SESSIONS)]
    jobs = [(context.client_class, made_of, "load_many", (chunk, *given), dict(options)) for chunk in chunks]
    return await run_each(executor, call, jobs)


def collect(
    client_class: type[Any],
    made_of: Mapping[str, Any],
    endpoint: str,
    to: Any,
    options: Mapping[str, Any],
) -> tuple[Any, dict[str, Any]]:
    """Harvest one endpoint without writing the report. Runs in a worker."""
    from one_async.harvest.run import collect

    async def work() -> tuple[Any, dict[str, Any]]:
        async with client_class(**made_of) as one:
            report = await collect(one.alyx, endpoint, to, **options)
            return report.endpoints[endpoint], report.frames

    return anyio.run(work)


async def harvest_in_workers(
    context: Context,
    executor: Executor,
    endpoints: Endpoints,
    to: str | PathLike[str] | None,
    options: Mapping[str, Any],
) -> HarvestReport:
    """Harvest each endpoint as a job of its own, then write one report of all."""
    from one_async.harvest.arguments import is_all, parse_endpoints, parse_options
    from one_async.harvest.report import HarvestReport
    from one_async.harvest.run import listed, write_report

    rest = {name: value for name, value in options.items() if name not in ("filters", "storage_options")}
    kind, moment = parse_options(to, rest["since"], rest["format"], rest["part_rows"])
    asked = parse_endpoints(
        await listed(context.alyx) if is_all(endpoints) else endpoints, options["filters"]
    )
    storage = options["storage_options"]
    report = HarvestReport(
        server=context.alyx.base_url,
        started=datetime.now(UTC),
        to=None if to is None else str(to),
        format=kind,
        since=moment,
    )
    made_of = recipe(context, executor)
    jobs = [
        (
            context.client_class,
            made_of,
            name,
            to,
            {**rest, "filters": {name: dict(given)}, "storage_options": storage},
        )
        for name, given in asked.items()
    ]
    results = await run_each(executor, collect, jobs)
    for name, (entry, frames) in zip(asked, results, strict=True):
        report.endpoints[name] = entry
        report.frames.update(frames)
    report.finished = datetime.now(UTC)
    await write_report(report, to, storage)
    return report
