"""Compare the registration of 20 sessions of 30 files at 50 ms latency with ONE-api's loop, in one run.

``python tests/benchmarks/bench_register.py [--json FILE] [--rounds N] [--quick]``; needs ONE_API_PYTHON, the interpreter of an
environment with ONE-api. Both register their own sessions on one server, in turn; the figures are medians. It is measured once
with the hashes of the files, for which ONE-api takes longer than for the requests, and once without.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from results import Row, save

from one_async import ONE

HERE = Path(__file__).parent
RECORDS = HERE.parent / "data" / "alyx"
SESSIONS, FILES, LATENCY = 20, 30, 50
KINDS = (
    "_ibl_trials.table.pqt",
    "_ibl_wheel.position.npy",
    "spikes.times.npy",
    "spikes.clusters.npy",
    "clusters.amps.npy",
)


def make(root: Path, year: int) -> list[str]:
    """Write the folders of sessions, each on its own day."""
    paths = []
    for day in range(1, SESSIONS + 1):
        folder = root / "cortexlab" / "Subjects" / "KS046" / f"{year}-03-{day:02d}" / "001"
        for at in range(FILES):
            file = folder / f"alf/probe{at // len(KINDS):02}" / KINDS[at % len(KINDS)]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(f"{file}".encode() * 200)
        paths.append(str(folder))
    return paths


def ours(url: str, paths: list[str], folder: Path, hashes: bool) -> float:
    with ONE(
        base_url=url, username="alice", password="alice", cache_dir=folder, cache_rest=None, silent=True
    ) as one:
        one.alyx.schema()
        started = time.perf_counter()
        results = one.register_session(paths, max_md5_size=None if hashes else 0)
        seconds = time.perf_counter() - started
    assert sum(len(records) for _, records in results) == SESSIONS * FILES
    return seconds


def theirs(url: str, paths: list[str], folder: Path, hashes: bool) -> float:
    python = os.environ.get("ONE_API_PYTHON") or sys.exit(
        "set ONE_API_PYTHON to the Python of an environment with ONE-api"
    )
    home = folder / "home" / ".one"
    home.mkdir(parents=True, exist_ok=True)
    task = json.dumps({"url": url, "paths": paths, "cache_dir": str(folder), "hashes": hashes})
    done = subprocess.run(
        [str(python), str(HERE / "oracle_register.py")], input=task, capture_output=True, text=True, check=False, timeout=1200,
        env={**os.environ, "HOME": str(home.parent), "TQDM_DISABLE": "1"},
    )  # fmt: skip
    found = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not found:
        sys.exit(f"ONE-api failed: {done.stderr[-2000:]}")
    said = json.loads(found[0].removeprefix("RESULT "))
    assert said["files"] == SESSIONS * FILES
    return float(said["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="without the run with hashes")
    given = parser.parse_args()
    seconds: dict[tuple[bool, str], list[float]] = defaultdict(list)
    command = [
        sys.executable,
        "-m",
        "one_async.emulator",
        "--records",
        str(RECORDS),
        "--latency",
        str(LATENCY),
        "--json",
    ]
    kinds = (False,) if given.quick else (False, True)
    years = itertools.count(1950)
    with (
        tempfile.TemporaryDirectory() as name,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
    ):
        try:
            assert server.stdout is not None
            url = json.loads(server.stdout.readline())["url"]
            for _ in range(given.rounds):
                for hashes, (who, run) in itertools.product(
                    kinds, (("one_async", ours), ("ONE-api", theirs))
                ):
                    year = next(years)
                    folder = Path(name) / str(year)
                    seconds[hashes, who].append(run(url, make(folder, year), folder / "cache", hashes))
        finally:
            server.terminate()
    said = {}
    for hashes in kinds:
        middle = {who: statistics.median(seconds[hashes, who]) for who in ("one_async", "ONE-api")}
        title = f"{SESSIONS} sessions of {FILES} files, {LATENCY} ms latency, {'with' if hashes else 'without'} hashes"
        said[title] = {**middle, "ratio": middle["ONE-api"] / middle["one_async"]}
    print(json.dumps(said, indent=2))
    if given.json:
        rows = [Row(what, figures["one_async"], figures["ONE-api"]) for what, figures in said.items()]
        save(given.json, __file__, rows)


if __name__ == "__main__":
    main()
