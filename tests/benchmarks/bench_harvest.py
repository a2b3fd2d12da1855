"""Compare harvests with ONE-api and a bare httpx script, and harvest a million rows: ``python bench_harvest.py [--json FILE]``.

Needs the interpreter of ONE-api's environment in ONE_API_PYTHON; without it that comparison is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import httpx

sys.path.append(str(Path(__file__).parents[1] / "harvest"))

from results import Row, save
from worlds import served

from one_async.alyx.client import AsyncAlyxClient
from one_async.harvest import harvest

HERE = Path(__file__).parent
ROWS, LATENCY, ROUNDS = 20_000, 0.05, 9
FIXED = (1, 2, 4, 8, 12, 16, 24, 32)


async def bare(server: dict[str, Any], endpoint: str, at_once: int) -> float:
    """Return the seconds of a plain script that requests the first page, then all others concurrently; rows stay dicts."""
    url, headers = f"{server['url']}/{endpoint}", {"Authorization": f"Token {server['token']}"}
    limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
    async with httpx.AsyncClient(headers=headers, limits=limits, timeout=120) as client:
        started = time.perf_counter()
        first = (await client.get(url, params={"limit": 1000})).json()
        rows, slots = list(first["results"]), asyncio.Semaphore(at_once)

        async def page(offset: int) -> Any:
            async with slots:
                return (await client.get(url, params={"limit": 1000, "offset": offset})).json()["results"]

        for part in await asyncio.gather(*(page(offset) for offset in range(1000, first["count"], 1000))):
            rows += part
        assert len(rows) == ROWS
        return time.perf_counter() - started


async def ours(server: dict[str, Any], endpoint: str, to: Path | None) -> float:
    """Return the seconds of a harvest by a client that is logged in and has the schema."""
    async with AsyncAlyxClient(server["url"], token=server["token"]) as alyx:
        await alyx.schema()
        started = time.perf_counter()
        report = await harvest(alyx, endpoint, to)
        seconds = time.perf_counter() - started
    assert report.complete
    assert report[endpoint].distinct == ROWS
    return seconds


async def against_fixed(server: dict[str, Any], endpoint: str, folder: Path) -> dict[str, float]:
    """Return medians of rounds, each in random order, since the speed of the machine varies from second to second."""
    await ours(server, endpoint, None)
    runs: dict[str, Callable[[int], Coroutine[Any, Any, float]]] = {
        **{str(at_once): partial(_bare, server, endpoint, at_once) for at_once in FIXED},
        "frames": lambda number: ours(server, endpoint, None),
        "Parquet": lambda number: ours(server, endpoint, folder / f"{endpoint}{number}"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    order = random.Random(endpoint)
    for number in range(ROUNDS):
        for name in order.sample(list(runs), len(runs)):
            seconds[name].append(await runs[name](number))
            await asyncio.sleep(0.1)
    middle = {name: statistics.median(taken) for name, taken in seconds.items()}
    best = min((str(at_once) for at_once in FIXED), key=middle.__getitem__)
    return {
        "bare": middle[best],
        "bare at once": int(best),
        "one_async to frames": middle["frames"],
        "one_async to Parquet": middle["Parquet"],
        "ratio, frames": middle[best] / middle["frames"],
        "ratio, Parquet": middle[best] / middle["Parquet"],
    }


async def _bare(server: dict[str, Any], endpoint: str, at_once: int, number: int) -> float:
    return await bare(server, endpoint, at_once)


def one_api(server: dict[str, Any], endpoint: str, folder: Path) -> float | None:
    """Return the seconds of ONE-api's iteration."""
    python = os.environ.get("ONE_API_PYTHON")
    if not python:
        return None
    task = json.dumps({"url": server["url"], "endpoint": endpoint, "cache_dir": str(folder / "oracle")})
    done = subprocess.run(
        [python, str(HERE / "oracle_harvest.py")], input=task, capture_output=True, text=True, check=False,
        env={**os.environ, "HOME": str(folder)},
    )  # fmt: skip
    found = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not found:
        sys.exit(f"ONE-api failed: {done.stderr[-2000:]}")
    said = json.loads(found[0].removeprefix("RESULT "))
    assert said["rows"] == ROWS
    return float(said["seconds"])


MILLION = """
import asyncio, json, resource, sys, time
from one_async import AsyncONE

async def main(url, token, folder):
    async with AsyncONE(base_url=url, token=token, cache_dir=folder + "/data", cache_rest=None) as one:
        started = time.perf_counter()
        report = await one.harvest("sessions", folder + "/million")
        seconds = time.perf_counter() - started
    assert report.complete, report
    assert report["sessions"].distinct == 1_000_000
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak memory of the process, MiB": peak}))

asyncio.run(main(*sys.argv[1:]))
"""


def million(folder: Path) -> dict[str, float]:
    """Return the figures of a million rows harvested to Parquet in a separate process."""
    with served(sessions=1_000_000) as server:
        command = [sys.executable, "-c", MILLION, server["url"], server["token"], str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def rows_of(results: dict[str, Any]) -> list[Row]:
    rows = []
    for what, said in results.items():
        if "seconds" in said:
            rows.append(Row(what, said["seconds"]))
            continue
        rows.append(
            Row(f"{what}, to frames", said["one_async to frames"], said["bare"], "best plain httpx script")
        )
        parquet = said["one_async to Parquet"]
        rows.append(Row(f"{what}, to Parquet", parquet, said.get("ONE-api")))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for endpoint in ("sessions", "water-administrations"):
            with served(**{endpoint: ROWS}, latency=LATENCY) as server:
                said = asyncio.run(against_fixed(server, endpoint, folder))
                theirs = one_api(server, endpoint, folder)
            if theirs is not None:
                said |= {"ONE-api": theirs, "ratio to ONE-api": theirs / said["one_async to Parquet"]}
            results[f"{ROWS:,} {endpoint}, 50 ms latency"] = said
        results["1,000,000 sessions to Parquet"] = million(folder)
    print(json.dumps(results, indent=2))
    if given.json:
        save(given.json, __file__, rows_of(results))


if __name__ == "__main__":
    main()
