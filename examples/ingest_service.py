"""An ingest service: it waits for sessions with trials, computes the animal's performance, and registers the result.

    python examples/ingest_service.py STATE_FOLDER [--port PORT] [--every SECONDS] [--repository NAME]

For each session, the share of correct choices at each contrast is written to `alf/_ingest_performance.table.pqt` in the
session's folder, and registered. `GET /health` returns the service's progress and its client's counts, with status 503 if it
has stopped watching. `GET /performance/{eid}` computes the result for one session; errors have the statuses of docs/services.md.
A service that was killed continues where it was: the cursor in STATE_FOLDER records the finished sessions, and nothing is
registered twice. SIGTERM or Ctrl-C stops it cleanly: running work is cancelled, no partial file is left, connections are closed.
"""

import argparse
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import anyio
import polars as pl
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from one_async import AsyncONE, OneError

NAME = "_ingest_performance.table.pqt"
DATASET_TYPE = {
    "name": "performance.table",
    "description": "Number of trials and share of correct choices at each signed contrast (%)",
    "filename_pattern": "*performance.table*",
}


@dataclass
class Health:
    """The response of `/health`."""

    watching: bool = False
    done: int = 0
    failed: int = 0
    last: str | None = None
    error: str | None = None


def performance(trials: pl.DataFrame) -> pl.DataFrame:
    """Return the number of trials and the share of correct choices at each signed contrast (%)."""
    signed = (
        pl.col("contrastRight").fill_nan(0).fill_null(0) - pl.col("contrastLeft").fill_nan(0).fill_null(0)
    ) * 100
    return (
        trials.group_by(signed.round(2).alias("contrast"))
        .agg(pl.len().alias("trials"), (pl.col("feedbackType") == 1).mean().alias("correct"))
        .sort("contrast")
    )


def write(frame: pl.DataFrame, target: Path) -> None:
    """Write a file atomically."""
    temporary = target.with_suffix(".tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


async def add_dataset_type(one: AsyncONE) -> None:
    """Create the dataset type of the results unless the database has it."""
    types = await one.alyx.rest("dataset-types", "list", no_cache=True)
    if DATASET_TYPE["name"] not in {row["name"] for row in types}:
        await one.alyx.rest("dataset-types", "create", data=DATASET_TYPE)


async def ingest(one: AsyncONE, health: Health, cursor: Path, every: float, repository: str | None) -> None:
    """Process sessions as they appear. A session whose processing fails is counted and skipped."""
    try:
        await add_dataset_type(one)
        health.watching = True
        async for session in one.watch(datasets="_ibl_trials.table.pqt", every=every, cursor=cursor):
            try:
                trials = await one.load_object(session, "trials")
                target = Path(await one.eid2path(session)) / "alf" / NAME
                await anyio.to_thread.run_sync(write, performance(trials.to_frame()), target)
                await one.register_files(target, repository=repository)
            except OneError as error:
                health.failed += 1
                print(f"{session['url']}: {type(error).__name__}: {error}", flush=True)
            else:
                health.done += 1
                health.last = session["id"]
    except OneError as error:
        health.error = f"{type(error).__name__}: {error}"
        print(health.error, flush=True)
    finally:
        health.watching = False


def make_app(folder: Path, every: float, repository: str | None) -> Starlette:
    """Return the app; its lifespan is that of the client and of the watcher."""
    health = Health()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, AsyncONE]]:
        async with (
            AsyncONE(mode="remote", progress=False, timeout=30) as one,
            anyio.create_task_group() as group,
        ):
            group.start_soon(partial(ingest, one, health, folder / "done.txt", every, repository))
            yield {"one": one}
            print("stopping", flush=True)
            group.cancel_scope.cancel()

    async def show_health(request: Request) -> JSONResponse:
        said = {**asdict(health), "client": asdict(request.state.one.stats)}
        return JSONResponse(said, 200 if health.watching else 503)

    async def show_performance(request: Request) -> JSONResponse:
        trials = await request.state.one.load_object(request.path_params["eid"], "trials")
        return JSONResponse(performance(trials.to_frame()).to_dicts())

    async def show_error(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, OneError)
        return JSONResponse({"detail": str(error)}, error.http_status)

    return Starlette(
        routes=[Route("/health", show_health), Route("/performance/{eid}", show_performance)],
        exception_handlers={OneError: show_error},
        lifespan=lifespan,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--every", type=float, default=60.0)
    parser.add_argument("--repository", help="where the files are, if not on the repositories of the lab")
    given = parser.parse_args()
    # uvicorn stops, and then passes the signal on to the handler that was there before.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    app = make_app(given.folder, given.every, given.repository)
    uvicorn.run(app, port=given.port, log_level="warning", timeout_graceful_shutdown=5)
