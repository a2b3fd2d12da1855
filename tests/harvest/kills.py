"""Harvest in a process that is killed at random moments and started again.

``python kills.py URL TOKEN FOLDER`` harvests once and exits with status 0 if nothing is missing.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ENDPOINTS = ["sessions", "notes"]


def start(url: str, token: str, folder: Path) -> subprocess.Popen[bytes]:
    """Start a harvest and wait until it begins, so that kills hit its work and not its imports."""
    command = [sys.executable, __file__, url, token, str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"begins\n"
    return process


def kill_and_resume(url: str, token: str, folder: Path, kills: int, seed: int) -> int:
    """Kill ``kills`` harvests, then let one finish; return how many kills hit a running harvest.

    The moment is a random number of answers after the start, plus a few random milliseconds, so that some kills hit the time
    in which the finished parts are moved.
    """
    moments = random.Random(seed)
    hits = 0
    for _ in range(kills):
        with start(url, token, folder) as process:
            assert process.stdout is not None
            for _ in range(moments.choice((0, 1, 2, 3, 5, 8, 13, 21, 34))):
                if not process.stdout.readline():
                    break
            time.sleep(moments.random() * 0.03)
            hits += process.poll() is None
            process.kill()
    with start(url, token, folder) as process:
        assert process.stdout is not None
        process.stdout.read()
        assert process.wait() == 0
    return hits


def sorted_bytes(folder: Path, endpoint: str) -> bytes:
    """Return all rows of an endpoint, sorted, as bytes."""
    import io

    import polars as pl

    out = io.BytesIO()
    pl.scan_parquet(folder / endpoint / "*.parquet").collect().sort("id").write_parquet(out)
    return out.getvalue()


def main(url: str, token: str, folder: str) -> Any:
    """Harvest once, and resume an interrupted harvest."""
    import anyio

    from one_async.alyx.client import AsyncAlyxClient
    from one_async.harvest import harvest

    def report(endpoint: str, rows: int, total: int | None) -> None:
        print(endpoint, rows, total, flush=True)

    async def work() -> bool:
        async with AsyncAlyxClient(url, token=token) as alyx:
            await alyx.schema()
            print("begins", flush=True)
            found = await harvest(alyx, ENDPOINTS, folder, part_rows=1000, progress=report)
            print(found, file=sys.stderr)
            return found.complete

    return 0 if anyio.run(work) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
