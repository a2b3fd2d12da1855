"""Compare loading with ONE-api, and the download of one large file with curl, in one run: ``python bench_load.py [--json FILE]``.

Needs the interpreter of ONE-api's environment in ONE_API_PYTHON.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from results import Row, save

from one_async import ONE
from one_async.files.read import read_file

HERE = Path(__file__).parent
FILES, SESSIONS = 500, 100


def oracle(home: Path, task: dict[str, Any]) -> dict[str, Any]:
    """Run ONE-api's part and return its times in seconds."""
    python = os.environ.get("ONE_API_PYTHON")
    if not python:
        sys.exit("set ONE_API_PYTHON to the interpreter of an environment with ONE-api==3.6.1")
    done = subprocess.run(
        [python, str(HERE / "oracle_load.py")], input=json.dumps(task), capture_output=True, text=True, check=False,
        env={**os.environ, "HOME": str(home)},
    )  # fmt: skip
    found = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not found:
        sys.exit(f"ONE-api failed: {done.stderr[-2000:]}")
    return dict(json.loads(found[0].removeprefix("RESULT ")))


def compared(theirs: float, ours: float) -> dict[str, float]:
    """Return both times in seconds, and how many times faster ours is."""
    return {"ONE-api": theirs, "one_async": ours, "ratio": theirs / ours}


def against_one_api(results: dict[str, Any], folder: Path) -> None:
    """Compare 500 files of 100 kB, the trials of 100 sessions, and 200 local files."""
    server = subprocess.Popen(
        [sys.executable, str(HERE / "load_world.py"), "--files", str(FILES)], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with server:
        assert server.stdin is not None
        assert server.stdout is not None
        world = json.loads(server.stdout.readline())
        trials = world["trials"][:SESSIONS]
        task = {
            **world,
            "trials": trials,
            "files": FILES,
            "cache_dir": str(folder / "oracle"),
            "what": ["files", "many"],
        }
        theirs = oracle(folder, task)
        options = {
            "base_url": world["url"],
            "username": "demo",
            "password": "demo",
            "cache_dir": folder / "ours",
        }
        with ONE(**options, mode="remote", cache_rest=None) as one:
            started = time.perf_counter()
            one.download(world["eid"], collection="bench")
            files = time.perf_counter() - started
            started = time.perf_counter()
            frame = one.load_many(trials, "trials")
            many = time.perf_counter() - started
        assert frame.height == theirs["rows"], (frame.height, theirs["rows"])
        results["500 files of 100 kB, 20 ms latency"] = compared(theirs["files"], files)
        results["trials of 100 sessions"] = compared(theirs["many"], many)
        paths = [
            *sorted((folder / "ours").rglob("*.npy"))[:150],
            *sorted((folder / "ours").rglob("*.pqt"))[:50],
        ]
        theirs = oracle(folder, {**task, "what": ["local"], "paths": list(map(str, paths))})
        best = []
        for _ in range(5):
            started = time.perf_counter()
            for path in paths:
                read_file(path)
            best.append(time.perf_counter() - started)
        ours = sorted(best)[len(best) // 2]
        results[f"{len(paths)} local npy and pqt files"] = compared(theirs["local"], ours)
        server.stdin.close()


def against_curl(results: dict[str, Any], folder: Path) -> None:
    """Compare the download of a 1 GiB file, and measure its memory."""
    server = subprocess.Popen(
        [sys.executable, str(HERE / "big_file.py"), str(1 << 30)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with server:
        assert server.stdin is not None
        assert server.stdout is not None
        url, md5 = server.stdout.readline().split()
        there = folder / "curl.bin"
        times: dict[str, list[float]] = {"curl": [], "curl, then md5sum": [], "one_async": []}
        peaks = []
        for turn in range(5):
            started = time.perf_counter()
            subprocess.run(["curl", "-s", "-o", str(there), url], check=True)
            times["curl"].append(time.perf_counter() - started)
            subprocess.run(["md5sum", str(there)], check=True, stdout=subprocess.DEVNULL)
            times["curl, then md5sum"].append(time.perf_counter() - started)
            there.unlink()  # both write to memory that was used before
            started = time.perf_counter()
            peaks.append(fetch_alone(url, md5, folder / f"big{turn}"))
            times["one_async"].append(time.perf_counter() - started)
            shutil.rmtree(folder / f"big{turn}")
        figures = {name: statistics.median(taken) for name, taken in times.items()}
        ours = figures["one_async"]
        figures |= {"ratio": figures["curl"] / ours, "ratio, md5sum": figures["curl, then md5sum"] / ours}
        results["one file of 1 GiB (md5 checked)"] = figures | {"MiB above idle": max(peaks)}
        server.stdin.close()


def fetch_alone(url: str, md5: str, folder: Path) -> float:
    """Download one file by a plan, and return the peak of memory above idle (MiB)."""
    import anyio

    from one_async.alyx.client import AsyncAlyxClient
    from one_async.transfer.fetch import fetch
    from one_async.transfer.items import FileSource, Item

    process = psutil.Process()
    peak, over = [0.0], threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            peak[0] = max(peak[0], process.memory_info().rss)

    async def work() -> None:
        item = Item("0" * 8 + "-0000-4000-8000-" + "0" * 12, "lab/big.bin", (FileSource(url),), 1 << 30, md5)
        async with AsyncAlyxClient(
            "http://alyx.invalid"
        ) as alyx:  # another host, so that the request has no token
            await fetch([item], root=folder, streams=alyx.wire)

    idle = process.memory_info().rss
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        anyio.run(work)
    finally:
        over.set()
        watcher.join()
    return (peak[0] - idle) / 2**20


def main() -> None:
    """Run all and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["HOME"] = str(folder)
        against_one_api(results, folder)
        against_curl(results, folder)
    for what, figures in results.items():
        print(f"{what:40}", "  ".join(f"{key} {value:.3f}" for key, value in figures.items()))
    if given.json:
        *compared_rows, big = results.items()
        name, figures = big
        rows = [Row(what, said["one_async"], said["ONE-api"]) for what, said in compared_rows]
        rows += [
            Row(name, figures["one_async"], figures[tool], tool) for tool in ("curl", "curl, then md5sum")
        ]
        rows.append(Row("memory above idle during it", figures["MiB above idle"], unit="MiB"))
        save(given.json, __file__, rows)


if __name__ == "__main__":
    main()
