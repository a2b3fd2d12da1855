"""Time tables beside ONE-api, in one run: ``ONE_API_PYTHON=… python tests/benchmarks/bench_tables.py [--json FILE]``.

Makes tables of 100,000 sessions and 3.4 million datasets (``--sessions``, ``--datasets``; ``--folder`` uses existing tables),
runs both sides in separate processes, ours through the public API (``ONE(mode="local", cache_dir=…)``), and prints how many
times faster each call is.
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
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from results import Row, save, size_of

HERE = Path(__file__).parent
#: The goal of each call, as a ratio to ONE-api's time.
TARGETS = {
    "open": 200,
    "open, first time": 10,
    "search()": 1,
    "search(lab)": 1,
    "search(subject)": 1,
    "search(date)": 1,
    "search(lab, number, task)": 1,
    "list_datasets(eid)": 1,
    "list_datasets(eid, details)": 1,
    "list_datasets(eid, filename, collection)": 1,
    "list_collections(eid)": 1,
    "eid2path(1000)": 20,
    "search(lab, two datasets)": 500,
    "list_datasets()": 100,
    "search(datasets)": 2000,
}


def measure(folder: str) -> dict[str, Any]:
    """Time the client on tables that have been converted already; runs in a separate process."""
    import psutil

    from one_async import ONE

    with tempfile.TemporaryDirectory() as other, ONE(mode="local", cache_dir=other):
        pass  # starts the thread of the blocking face
    times: dict[str, float] = {}
    sizes: dict[str, int] = {}

    def timed(name: str, call: Callable[[], Any], repeats: int = 1) -> Any:
        best = float("inf")
        for _ in range(repeats):
            start = time.perf_counter()
            result = call()
            best = min(best, time.perf_counter() - start)
        times[name] = best
        sizes[name] = len(result) if hasattr(result, "__len__") else 0
        return result

    def opened() -> ONE:
        one = ONE(mode="local", cache_dir=folder)
        one.load_cache()
        return one

    one = timed("open", opened)
    eids = timed("search()", one.search, 3)
    labs = timed("search(lab)", lambda: one.search(lab="cortexlab"), 3)
    subject = one.get_details(eids[500])["subject"]
    timed("search(subject)", lambda: one.search(subject=subject), 3)
    timed("search(date)", lambda: one.search(date_range=["2020-01-01", "2020-03-01"]), 3)
    timed("search(lab, number, task)", lambda: one.search(lab="cortexlab", number=1, task="ephys"), 3)
    eid = labs[3]
    two = ["spikes.times.npy", "_ibl_trials.table.pqt"]
    timed("search(lab, two datasets)", lambda: one.search(lab="cortexlab", datasets=two), 3)
    timed("search(datasets)", lambda: one.search(datasets="spikes.times.npy"), 3)
    memory = psutil.Process().memory_info().rss
    timed("list_datasets(eid)", lambda: one.list_datasets(eid), 20)
    timed("list_datasets(eid, details)", lambda: one.list_datasets(eid, details=True), 20)
    some = {"filename": "*.npy", "collection": "alf*"}
    timed("list_datasets(eid, filename, collection)", lambda: one.list_datasets(eid, **some), 20)
    timed("list_collections(eid)", lambda: one.list_collections(eid), 20)
    timed("eid2path(1000)", lambda: one.eid2path(eids[:1000]), 10)
    timed("list_datasets()", one.list_datasets, 2)
    return {"times": times, "sizes": sizes, "memory": memory}


def run(python: str, *arguments: str) -> Any:
    """Run a script in a separate process and read its JSON."""
    done = subprocess.run([python, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def compare(folder: Path) -> dict[str, Any]:
    """Run both sides on a folder of tables."""
    from one_async.tables.mmap_cache import FOLDER

    python = os.environ.get("ONE_API_PYTHON")
    if not python:
        sys.exit("set ONE_API_PYTHON to the Python of an environment with ONE-api 3.6.1")
    firsts = []
    for _ in range(3):  # it writes much, so that its time depends on other use of the disk
        shutil.rmtree(folder / FOLDER, ignore_errors=True)
        firsts.append(run(sys.executable, __file__, "--measure", str(folder))["times"]["open"])
    first = statistics.median(firsts)
    ours = run(sys.executable, __file__, "--measure", str(folder))
    theirs = run(python, str(HERE / "oracle_tables.py"), str(folder))
    old, new = theirs["times"], ours["times"] | {"open, first time": first}
    old["open, first time"] = old["open"]
    rows = [
        {
            "call": name,
            "one_api": old[name],
            "one_async": new[name],
            "ratio": old[name] / new[name],
            "target": target,
        }
        for name, target in TARGETS.items()
    ]
    wrong = [
        name for name in ours["sizes"] if name != "open" and ours["sizes"][name] != theirs["sizes"][name]
    ]
    memory = {
        "one_api": old["memory_after_search"],
        "one_async": ours["memory"],
        "share": ours["memory"] / old["memory_after_search"],
        "target": 0.15,
    }
    return {"rows": rows, "memory": memory, "different_lengths": wrong}


def show(found: dict[str, Any]) -> None:
    """Print the table."""
    print(f"{'call':44}{'ONE-api':>12}{'one_async':>12}{'ratio':>9}{'target':>8}")
    for row in found["rows"]:
        mark = "" if row["ratio"] >= row["target"] else "  MISSED"
        print(
            f"{row['call']:44}{row['one_api'] * 1e3:9.2f} ms{row['one_async'] * 1e3:9.2f} ms"
            f"{row['ratio']:9.1f}{row['target']:8}{mark}"
        )
    memory = found["memory"]
    print(
        f"memory: {memory['one_async'] / 1e6:.0f} MB of {memory['one_api'] / 1e6:.0f} MB = {memory['share']:.1%}"
    )
    if found["different_lengths"]:
        print("answers of different lengths:", ", ".join(found["different_lengths"]))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--datasets", type=int, default=3_400_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        if not given.folder:
            sys.path.insert(0, str(HERE))
            import generate

            generate.write(folder, sessions_count=given.sessions, datasets_count=given.datasets)
        found, size = compare(folder), size_of(folder)
    show(found)
    if given.json:
        memory = found["memory"]
        rows = [
            Row(f"`{row['call']}`", row["one_async"] * 1e3, row["one_api"] * 1e3, unit="ms")
            for row in found["rows"]
        ]
        rows.append(
            Row("memory after the searches", memory["one_async"] / 1e6, memory["one_api"] / 1e6, unit="MB")
        )
        save(given.json, __file__, rows, size)


if __name__ == "__main__":
    main()
