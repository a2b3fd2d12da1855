"""How long the event loop is kept from its other work while sessions load."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import polars as pl

from one_async import AsyncONE

SERVER = Path(__file__).parents[1] / "benchmarks" / "load_world.py"
BEAT = 0.005


@contextmanager
def serving() -> Iterator[dict[str, Any]]:
    """Serve the seeded world from another process: its address, and sessions that have trials."""
    server = subprocess.Popen(
        [sys.executable, str(SERVER), "--files", "1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with server:
        assert server.stdin is not None
        assert server.stdout is not None
        yield json.loads(server.stdout.readline())
        server.stdin.close()


@dataclass
class Gaps:
    """Seconds by which beats came late, and the processor time of the loop's thread between two beats."""

    late: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)


async def beat_during(work: Callable[[], Awaitable[Any]]) -> Gaps:
    """Beat on the loop until the work is done.

    What was there before is kept from the garbage collector, whose full pass over all objects of a test run takes
    long and says nothing of the work.
    """
    gc.collect()
    gc.freeze()
    gaps = Gaps()

    async def beat() -> None:
        last, used = time.perf_counter(), time.thread_time()
        while True:
            await anyio.sleep(BEAT)
            now, spent = time.perf_counter(), time.thread_time()
            gaps.late.append(now - last - BEAT)
            gaps.busy.append(spent - used)
            last, used = now, spent

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(beat)
            await work()
            tasks.cancel_scope.cancel()
    finally:
        gc.unfreeze()
    return gaps


async def load_sessions(world: dict[str, Any], folder: Path, count: int) -> tuple[Gaps, int]:
    """Load trials of some sessions, twice: from the network and from the disk; gives the gaps and a number of rows."""
    rows = 0

    async def work() -> None:
        nonlocal rows
        async with AsyncONE(
            base_url=world["url"], username="demo", password="demo", cache_dir=folder, mode="remote"
        ) as one:
            for _ in range(2):
                loaded = await one.load_many(world["trials"][:count], "trials")
                assert isinstance(loaded, pl.DataFrame)
                rows = loaded.height

    return await beat_during(work), rows
