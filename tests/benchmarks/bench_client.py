"""Compare imports and remote queries with ONE-api, and the cost of many reads with a bare httpx client, in one run.

``python tests/benchmarks/bench_client.py [--json FILE] [--rounds N]``; needs ONE_API_PYTHON, the interpreter of an
environment with ONE-api. Every figure is the best of several rounds, taken in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
from results import Row, save

from one_async import ONE, AsyncONE

HERE = Path(__file__).parent
READS = 3000


def oracle_python() -> str:
    python = os.environ.get("ONE_API_PYTHON")
    if not python:
        sys.exit("set ONE_API_PYTHON to the interpreter of an environment with ONE-api==3.6.1")
    return python


@contextmanager
def world(latency: float) -> Iterator[tuple[dict[str, str], Callable[[], int]]]:
    """Run a server of 3,000 sessions; yield its address and token, and a function that returns its peak of connections."""
    command = [
        sys.executable,
        str(HERE / "client_world.py"),
        "--sessions",
        str(READS),
        "--latency",
        str(latency),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        told = json.loads(server.stdout.readline())

        def peak() -> int:
            assert server.stdin is not None
            assert server.stdout is not None
            server.stdin.write("peak?\n")
            server.stdin.flush()
            return int(json.loads(server.stdout.readline())["peak"])

        yield told, peak
        server.stdin.close()


def imports(rounds: int, home: Path) -> dict[str, float]:
    """Return the seconds of imports beyond those of the bare interpreter, and their ratio."""
    theirs = oracle_python()
    cases = {
        "bare": (sys.executable, "pass"),
        "one_async": (sys.executable, "import one_async"),
        "ONE": (sys.executable, "from one_async.api import ONE"),
        "bare_oracle": (theirs, "pass"),
        "one_api": (theirs, "import one.api"),
    }
    best = dict.fromkeys(cases, float("inf"))
    for _ in range(rounds):
        for name, (python, code) in cases.items():
            started = time.perf_counter()
            subprocess.run([python, "-c", code], check=True, env={**os.environ, "HOME": str(home)})
            best[name] = min(best[name], time.perf_counter() - started)
    return {
        **best,
        "one_async / one.api": best["one_async"] / best["one_api"],
        "ONE / one.api": best["ONE"] / best["one_api"],
        "one_async - bare": best["one_async"] - best["bare"],
        "ONE - bare": best["ONE"] - best["bare"],
    }


def listing(rounds: int, folder: Path) -> dict[str, float]:
    """Return the seconds of a search that finds 3,000 sessions when each response takes 50 ms."""
    with world(50) as (told, _):
        task = {"url": told["url"], "cache_dir": str(folder / "theirs"), "rounds": rounds}
        done = subprocess.run(
            [oracle_python(), str(HERE / "oracle_client.py")], input=json.dumps(task), capture_output=True, text=True,
            check=False, env={**os.environ, "HOME": str(folder)},
        )  # fmt: skip
        found = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
        if not found:
            sys.exit(f"ONE-api failed: {done.stderr[-2000:]}")
        theirs = json.loads(found[0].removeprefix("RESULT "))
        ours = []
        with ONE(
            base_url=told["url"], username="demo", password="demo", cache_dir=folder / "ours", cache_rest=None
        ) as one:
            one.search_terms()
            for _ in range(rounds):
                started = time.perf_counter()
                eids = one.search()
                ours.append(time.perf_counter() - started)
    assert len(set(eids)) == theirs["found"] == READS, (len(set(eids)), theirs["found"])
    return {"ours": min(ours), "ONE-api": min(theirs["times"]), "ratio": min(ours) / min(theirs["times"])}


async def cpu_of(work: Callable[[str], Awaitable[Any]], ids: list[str]) -> tuple[float, float]:
    """Return the CPU seconds of this process, all its threads included, and the wall seconds of concurrent reads."""
    cpu, wall = time.process_time(), time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for one in ids:
            tasks.start_soon(work, one)
    return time.process_time() - cpu, time.perf_counter() - wall


async def reads(rounds: int, folder: Path) -> dict[str, float]:
    """Return the cost of 3,000 concurrent reads: with a limiter and httpx alone, with our client, and without its cache."""
    best: dict[str, tuple[float, float]] = {}
    with world(0) as (told, peak):
        for number in range(rounds):
            options = {"base_url": told["url"], "username": "demo", "password": "demo"}
            async with AsyncONE(**options, cache_dir=folder / f"reads{number}") as one:
                ids = [str(eid) for eid in await one.search()]
                found: dict[str, Any] = {}

                async def ours(eid: str) -> None:
                    found[eid] = (await one.alyx.rest("sessions", "read", id=eid))["id"]  # noqa: B023

                _best(best, "ours", await cpu_of(ours, ids))
                assert all(found[eid] == eid for eid in ids)
                found.clear()
                _best(best, "ours, stored", await cpu_of(ours, ids))
                assert all(found[eid] == eid for eid in ids)
                connections = peak()
            async with AsyncONE(**options, cache_dir=folder / "none", cache_rest=None) as one:
                await one.search_terms()
                _best(best, "ours, no cache", await cpu_of(ours, ids))
            _best(best, "bare", await bare(told, ids))
    return {
        **{f"{name}, {what}": value for name, pair in best.items() for what, value in zip(("cpu", "wall"), pair, strict=True)},
        "cpu, ours / bare": best["ours"][0] / best["bare"][0],
        "cpu, ours without cache / bare": best["ours, no cache"][0] / best["bare"][0],
        "connections": connections,
    }  # fmt: skip


async def bare(told: dict[str, str], ids: list[str]) -> tuple[float, float]:
    limiter = anyio.CapacityLimiter(32)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    headers = {"Authorization": f"Token {told['token']}", "Accept": "application/json"}
    async with httpx.AsyncClient(base_url=told["url"], headers=headers, limits=limits, timeout=60) as client:

        async def read(eid: str) -> None:
            async with limiter:
                response = await client.get(f"/sessions/{eid}")
            assert response.json()["id"] == eid

        return await cpu_of(read, ids)


def _best(best: dict[str, tuple[float, float]], name: str, pair: tuple[float, float]) -> None:
    best[name] = min(best.get(name, pair), pair)


def rows_of(imported: dict[str, float], listed: dict[str, float], read: dict[str, float]) -> list[Row]:
    return [
        Row(
            "`from one_async.api import ONE` in a new process",
            imported["ONE"],
            imported["one_api"],
            "`import one.api`",
        ),
        Row(f"`search()` that finds {READS:,} sessions, 50 ms latency", listed["ours"], listed["ONE-api"]),
        Row(f"CPU time of {READS:,} reads at once", read["ours, cpu"], read["bare, cpu"], "httpx alone"),
        Row("the same without a REST cache", read["ours, no cache, cpu"], read["bare, cpu"], "httpx alone"),
        Row("the same from the REST cache", read["ours, stored, cpu"], read["bare, cpu"], "httpx alone"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["HOME"] = str(folder)
        os.environ["ONE_CONFIG_DIR"] = str(folder / "config")
        results = {
            "import": imports(3 * given.rounds, folder),
            "list 3,000 sessions at 50 ms": listing(given.rounds, folder),
            "read 3,000 sessions": anyio.run(reads, max(2, given.rounds // 2), folder),
        }
    for title, figures in results.items():
        print(title)
        for label, value in figures.items():
            print(f"  {label:32} {value:8.3f}")
    if given.json:
        save(given.json, __file__, rows_of(*results.values()))


if __name__ == "__main__":
    main()
