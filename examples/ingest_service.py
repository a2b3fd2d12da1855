"""An ingest service: it waits for sessions with trials, summarises these, writes the summary as ALF and registers it.

    python examples/ingest_service.py [--port PORT] [--every SECONDS] [--cursor FILE]

``/health`` says how many sessions are done. A service that is started again goes on where it was, by its cursor file. SIGTERM or
Ctrl-C ends it cleanly: no half-written file stays, and connections are closed.
"""

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import polars as pl
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from one_async import AsyncONE, OneError

TRIALS = "_ibl_trials.table.pqt"
SUMMARY = "summary/_ibl_subjectTraining.table.pqt"


def summary(trials: pl.DataFrame) -> pl.DataFrame:
    """Return one row: the number of trials, and the share of correct ones."""
    return trials.select(n_trials=pl.len(), performance=(pl.col("feedbackType") == 1).mean())


def write(frame: pl.DataFrame, target: Path) -> None:
    """Write a file whole or not at all."""
    temporary = target.with_suffix(".tmp")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        frame.write_parquet(temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


async def ingest(one: AsyncONE, session: dict[str, Any]) -> None:
    """Load the trials of a session, write their summary beside them, and register it."""
    folder = await one.eid2path(session["id"], query_type="remote")
    if folder is None:
        raise OneError(f"the session {session['id']} has no folder")
    trials = await one.load_object(session["id"], "trials", query_type="remote")
    await anyio.to_thread.run_sync(lambda: write(summary(trials.to_frame()), folder / SUMMARY))
    await one.register_files(folder / SUMMARY)


async def watch(one: AsyncONE, state: dict[str, int], every: float, cursor: Path) -> None:
    """Ingest each session as it appears. One that fails is counted and does not stop the others."""
    async for session in one.watch(datasets=TRIALS, every=every, cursor=cursor):
        try:
            await ingest(one, session)
            state["done"] += 1
        except OneError as error:
            state["failed"] += 1
            print(f"{session['id']}: {type(error).__name__}: {error}", flush=True)


def make_app(every: float, cursor: Path) -> Starlette:
    """Return the web application; its lifespan is that of the client and of the watcher."""
    state = {"done": 0, "failed": 0}

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncONE() as one, anyio.create_task_group() as group:
            group.start_soon(watch, one, state, every, cursor)
            yield
            group.cancel_scope.cancel()

    async def health(request: Request) -> JSONResponse:
        return JSONResponse(state)

    return Starlette(routes=[Route("/health", health)], lifespan=lifespan)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--every", type=float, default=60.0)
    parser.add_argument("--cursor", type=Path, default=Path("done.txt"))
    given = parser.parse_args()
    uvicorn.run(make_app(given.every, given.cursor), port=given.port, log_level="warning")
