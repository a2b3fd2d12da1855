"""Measure what the observer's counts, logs and traces cost a call that the cache answers, with nothing attached.

    python tests/benchmarks/bench_observed.py [--json FILE]

The time of the observer's work is measured alone and divided by the time of the call. The share must be
below 2 %. It is measured again with OpenTelemetry's API imported and no tracer configured.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
from results import Row, save

from one_async import AsyncONE
from one_async._boundary import Options, guarded
from one_async._observer import Observer
from one_async.emulator import Emulator

ROUNDS = 7
MOST = 0.02


async def microseconds(call: Callable[[], Awaitable[Any]], number: int) -> float:
    """Return the best time of a call over some rounds."""
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(number):
            await call()
        times.append((time.perf_counter() - started) / number * 1e6)
    return min(times)


async def cost() -> float:
    """Return the time of the observer's work in a cached REST call: one span and one counted answer."""
    observer, url = Observer(), "http://127.0.0.1:8000/sessions?lab=cortexlab&limit=1000"

    async def plain() -> None: ...

    async def counted() -> None:
        observer.cache_answer(url, 1.0)

    observed, silent = guarded(counted, Options(traced="x")), guarded(plain)
    return await microseconds(observed, 50_000) - await microseconds(silent, 50_000)


async def measure(url: str) -> list[Row]:
    """Print the share of the observer in calls, and return its times and those of the calls, in microseconds."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        login = {"base_url": url, "username": "demo", "password": "demo", "cache_dir": folder}
        async with AsyncONE(**login) as one:
            await one.refresh_cache("refresh")
            calls: dict[str, Callable[[], Awaitable[Any]]] = {
                "alyx.rest, from the REST cache": lambda: one.alyx.rest("labs", "list"),
                "search, from the tables": lambda: one.search(lab="cortexlab", query_type="local"),
            }
            times = {name: await microseconds(call, 300) for name, call in calls.items()}
            kinds = ["nothing attached"]
            if importlib.util.find_spec("opentelemetry") is not None:
                kinds.append("OpenTelemetry imported, not configured")
            for kind in kinds:
                if kind != kinds[0]:
                    importlib.import_module("opentelemetry.trace")
                own = await cost()
                for name, whole in times.items():
                    print(f"{name}: {whole:.1f} us; {kind}: {own:.2f} us, {own / whole:.2%}")
                    rows.append(Row(f"observing `{name}`; {kind}", own, whole, "the whole call", "µs"))
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with Emulator() as emulator:
        measured = anyio.run(measure, emulator.url)
    if given.json:
        save(given.json, __file__, measured)
    sys.exit(any(row.ours >= MOST * (row.other or 0) for row in measured))
