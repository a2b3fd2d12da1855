"""How long the event loop is kept from its other work while sessions load, in a process that does nothing else.

``python heartbeat.py FOLDER BACKEND SESSIONS`` prints it as JSON. The garbage collector runs as it does for users.
"""

from __future__ import annotations

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


def measured(folder: Path, backend: str, sessions: int) -> dict[str, Any]:
    """Load trials of so many sessions in a process of its own.

    Gives the rows, and in seconds by how much each beat came late, and the processor time of the loop's thread before it.
    """
    done = subprocess.run(
        [sys.executable, __file__, str(folder), backend, str(sessions)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


async def beat(late: list[float], busy: list[float]) -> None:
    """Beat until cancelled."""
    last, used = time.perf_counter(), time.thread_time()
    while True:
        await anyio.sleep(BEAT)
        now, spent = time.perf_counter(), time.thread_time()
        late.append(now - last - BEAT)
        busy.append(spent - used)
        last, used = now, spent


async def load(url: str, eids: list[str], folder: Path) -> dict[str, Any]:
    """Load sessions twice, from the network and from the disk, beside a beat."""
    late: list[float] = []
    busy: list[float] = []
    rows = 0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(beat, late, busy)
        async with AsyncONE(
            base_url=url, username="demo", password="demo", cache_dir=folder, mode="remote"
        ) as one:
            for _ in range(2):
                loaded = await one.load_many(eids, "trials")
                assert isinstance(loaded, pl.DataFrame)
                rows = loaded.height
        tasks.cancel_scope.cancel()
    return {"rows": rows, "late": late, "busy": busy}


def main() -> None:
    """Run from the command line."""
    folder, backend, sessions = sys.argv[1:]
    warnings.simplefilter("ignore")  # of datasets with several revisions
    with serving() as world:
        call = partial(load, world["url"], world["trials"][: int(sessions)], Path(folder))
        print(json.dumps(anyio.run(call, backend=backend)))


if __name__ == "__main__":
    main()
