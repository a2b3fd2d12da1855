"""Measure how long the event loop is blocked while sessions load, in a process that does nothing else.

``python heartbeat.py FOLDER BACKEND SESSIONS`` prints the result as JSON. Python's garbage collector runs as usual. Its
time is reported separately: a full collection stops every thread for some 0.5 us an object, and most objects belong to the
packages of the environment.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import polars as pl

from one_async import AsyncONE

SERVER = Path(__file__).parents[1] / "benchmarks" / "load_world.py"
BEAT = 0.005


@contextmanager
def serving() -> Iterator[dict[str, Any]]:
    """Serve the seeded world from another process; yield its address, and sessions that have trials."""
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


def measured(folder: Path, backend: str, sessions: int) -> dict[str, Any]:
    """Load trials of a number of sessions in a separate process.

    Return the rows; by how many seconds each beat was late without the garbage collector's time, and the CPU
    time of the loop's thread before it; and the seconds of each garbage collection.
    """
    done = subprocess.run(
        [sys.executable, __file__, str(folder), backend, str(sessions)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class CollectorTimer:
    """Record the seconds of each garbage collection from now on."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._begun = 0.0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._begun = time.perf_counter()
        else:
            self.seconds.append(time.perf_counter() - self._begun)


async def beat(late: list[float], busy: list[float], collector: CollectorTimer | None = None) -> None:
    """Beat until cancelled. With a timer, the collector's time does not count as late."""
    last, used, seen = time.perf_counter(), time.thread_time(), 0
    while True:
        await anyio.sleep(BEAT)
        now, spent = time.perf_counter(), time.thread_time()
        collections = collector.seconds if collector else []
        late.append(now - last - BEAT - sum(collections[seen:]))
        busy.append(spent - used)
        last, used, seen = now, spent, len(collections)


async def load(url: str, eids: list[str], folder: Path) -> dict[str, Any]:
    """Load sessions twice, from the network and from the disk, while the heartbeat runs."""
    late: list[float] = []
    busy: list[float] = []
    rows, collector = 0, CollectorTimer()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(beat, late, busy, collector)
        async with AsyncONE(
            base_url=url, username="demo", password="demo", cache_dir=folder, mode="remote"
        ) as one:
            for _ in range(2):
                loaded = await one.load_many(eids, "trials")
                assert isinstance(loaded, pl.DataFrame)
                rows = loaded.height
        tasks.cancel_scope.cancel()
    return {"rows": rows, "late": late, "busy": busy, "collections": collector.seconds}


def main() -> None:
    """Run from the command line."""
    folder, backend, sessions = sys.argv[1:]
    warnings.simplefilter("ignore")  # warnings of datasets with several revisions
    with serving() as world:
        call = partial(load, world["url"], world["trials"][: int(sessions)], Path(folder))
        print(json.dumps(anyio.run(call, backend=backend)))


if __name__ == "__main__":
    main()
