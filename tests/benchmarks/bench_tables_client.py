"""Time tables through the blocking client beside ONE-api: ``ONE_API_PYTHON=… python tests/benchmarks/bench_tables_client.py``.

The calls of `bench_tables`, which asks the tables themselves, as a user makes them: ``ONE(mode="local", cache_dir=…)``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


def measure(folder: str) -> dict[str, Any]:
    """Time the client on tables that were converted before; runs in a process of its own."""
    import psutil

    from one_async import ONE

    with tempfile.TemporaryDirectory() as other, ONE(mode="local", cache_dir=other):
        pass  # the thread of the blocking face is there
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


def compare(folder: Path) -> dict[str, Any]:
    """Run both sides on a folder of tables."""
    from bench_tables import TARGETS, run

    from one_async.tables.fast import FOLDER

    python = os.environ.get("ONE_API_PYTHON")
    if not python:
        sys.exit("set ONE_API_PYTHON to the Python of an environment with ONE-api 3.6.1")
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
    first = run(sys.executable, __file__, "--measure", str(folder))["times"]["open"]
    ours = run(sys.executable, __file__, "--measure", str(folder))
    theirs = run(python, str(HERE / "oracle_tables.py"), str(folder))
    old, new = theirs["times"], ours["times"] | {"open, first time": first}
    old["open, first time"] = old["open"]
    rows = [
        {"call": name, "one_api": old[name], "one_async": new[name], "ratio": old[name] / new[name], "target": target}
        for name, target in TARGETS.items()
    ]  # fmt: skip
    share = ours["memory"] / old["memory_after_search"]
    memory = {
        "one_api": old["memory_after_search"],
        "one_async": ours["memory"],
        "share": share,
        "target": 0.15,
    }
    wrong = [
        name for name in ours["sizes"] if name != "open" and ours["sizes"][name] != theirs["sizes"][name]
    ]
    return {"rows": rows, "memory": memory, "different_lengths": wrong}


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
    import generate
    from bench_tables import show

    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        if not given.folder:
            generate.write(folder, sessions_count=given.sessions, datasets_count=given.datasets)
        found = compare(folder)
    show(found)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
