"""Load the good clusters and spikes of 100 probes beside a loop of ONE-api calls, in one run: ``python bench_spikes.py``.

Needs the interpreter of an environment with ONE-api in ONE_API_PYTHON; if it has ibllib, that merges the clusters.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench_load import compared
from results import Row, save

from one_async import ONE

HERE = Path(__file__).parent
#: The number of probes that are loaded from disk; ONE-api takes seconds for each.
AGAIN = 10


def oracle(task: dict[str, Any]) -> dict[str, Any]:
    """Run ONE-api's part and return its times in seconds and its rows."""
    python = os.environ.get("ONE_API_PYTHON")
    if not python:
        sys.exit("set ONE_API_PYTHON to the interpreter of an environment with ONE-api==3.6.1")
    done = subprocess.run(
        [python, str(HERE / "oracle_spikes.py")], input=json.dumps(task), capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not found:
        sys.exit(f"ONE-api failed: {done.stderr[-2000:]}")
    return dict(json.loads(found[0].removeprefix("RESULT ")))


def ours(task: dict[str, Any], folder: Path) -> tuple[list[float], Any]:
    """Load all probes from the server, then some of them from disk, and return the seconds and rows."""
    times, answers = [], []
    with ONE(
        base_url=task["url"],
        username="demo",
        password="demo",
        cache_dir=folder,
        mode="remote",
        progress=False,
    ) as one:
        for pids in (task["pids"], task["again"]):
            started = time.perf_counter()
            sorting = one.load_spike_sorting(
                pids, min_label=1.0, regions="Beryl", sorter="pykilosort", on_error="collect"
            )
            times.append(time.perf_counter() - started)
            assert sorting.errors.is_empty(), sorting.errors
            answers.append(sorting)
    return times, answers[0]


def main() -> None:
    """Measure, compare the rows and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sessions", type=int, default=50)
    given = parser.parse_args()
    server = subprocess.Popen(
        [sys.executable, str(HERE / "spikes_world.py"), "--sessions", str(given.sessions)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with server, tempfile.TemporaryDirectory() as name:
        assert server.stdin is not None
        assert server.stdout is not None
        os.environ["HOME"] = name
        world = json.loads(server.stdout.readline())
        world["again"] = world["pids"][:AGAIN]
        times, sorting = ours(world, Path(name) / "ours")
        theirs = oracle({**world, "cache_dir": str(Path(name) / "oracle")})
        server.stdin.close()
    rows = [list(row) for row in sorting.clusters.select("pid", "cluster_id", "acronym").iter_rows()]
    if theirs["merge"] == "pandas":  # then ONE-api's part has no regions
        rows = [[pid, cluster, None] for pid, cluster, _ in rows]
    assert sorted(rows) == sorted(theirs["rows"]), (len(rows), len(theirs["rows"]))
    assert sorting.spikes.height == theirs["spikes"]
    results = {
        f"{len(world['pids'])} probes from the server": compared(theirs["times"][0], times[0]),
        f"{len(world['again'])} probes from disk": compared(theirs["times"][1], times[1]),
    }
    print(
        f"clusters merged by {theirs['merge']}; {len(rows)} good clusters, {theirs['spikes']} spikes, the same on both sides"
    )
    for what, figures in results.items():
        print(f"{what:32}", "  ".join(f"{key} {value:.3f}" for key, value in figures.items()))
    if given.json:
        rows = [Row(what, said["one_async"], said["ONE-api"]) for what, said in results.items()]
        save(given.json, __file__, rows)


if __name__ == "__main__":
    main()
