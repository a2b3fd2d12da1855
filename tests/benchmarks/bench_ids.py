"""Time the conversion of 10,000 identifiers with tables: ``python tests/benchmarks/bench_ids.py [--json FILE]``.

Makes tables of 100,000 sessions, 3.4 million datasets and an insertions table (``--sessions``, ``--datasets``, or ``--folder``
with tables that ``generate.py`` made) and prints the median of 15 calls, and the first, in milliseconds. The goal is 50.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl
from generate import write
from results import Row, save, size_of

from one_async import ONE

COUNT = 10_000
GOAL = 50.0


def add_insertions(folder: Path) -> None:
    """Write an insertions table with alternately one and two probes for each of 10,000 sessions."""
    path = folder / "insertions.pqt"
    if path.exists():
        return
    rng = random.Random(2)
    sessions = pl.read_parquet(folder / "sessions.pqt")
    eids = sessions.sort("subject", "date", "number")["id"].head(COUNT).to_list()
    rows = [
        {"id": str(UUID(int=rng.getrandbits(128), version=4)), "eid": eid, "name": name, "model": "3B2"}
        for at, eid in enumerate(eids)
        for name in ("probe00", "probe01")[: 1 + at % 2]
    ]
    pl.DataFrame(rows).write_parquet(
        path, metadata={"one_metadata": json.dumps({"date_created": "2025-01-15 06:00"})}
    )


def calls_of(one: ONE) -> dict[str, Callable[[], Any]]:
    """Return the calls, each with 10,000 identifiers."""
    sessions = one.sessions().collect().filter(~pl.struct("subject", "date", "number").is_duplicated())
    eids = [UUID(eid) for eid in sessions["eid"].sample(COUNT, shuffle=True, seed=1)]
    texts, paths = [str(eid) for eid in eids], one.eid2path(eids)
    refs, records = one.eid2ref(eids, as_dict=False), one.eid2ref(eids)
    probes = one.insertions().collect()
    probed, pids = (
        probes["eid"].unique(maintain_order=True).head(COUNT).to_list(),
        probes["pid"].head(COUNT).to_list(),
    )
    files: list[Any] = []
    rows: list[dict[str, Any]] = []
    for eid, path in zip(eids, paths, strict=True):
        found = one.list_datasets(eid, details=True, keep_eid_index=True).to_dicts()
        files += [path / row["rel_path"] for row in found]
        rows += found
        if len(files) >= COUNT:
            break
    files, rows = files[:COUNT], rows[:COUNT]
    return {
        "to_eid(UUIDs)": lambda: one.to_eid(eids),
        "to_eid(texts)": lambda: one.to_eid(texts),
        "to_eid(paths)": lambda: one.to_eid(paths),
        "to_eid(references)": lambda: one.to_eid(refs),
        "to_eid(records)": lambda: one.to_eid(records),
        "eid2path(UUIDs)": lambda: one.eid2path(eids),
        "eid2path(texts)": lambda: one.eid2path(texts),
        "path2eid": lambda: one.path2eid(paths),
        "eid2ref": lambda: one.eid2ref(eids),
        "ref2eid": lambda: one.ref2eid(refs),
        "ref2path": lambda: one.ref2path(refs),
        "path2ref": lambda: one.path2ref(paths),
        "eid2pid": lambda: one.eid2pid(probed),
        "pid2eid": lambda: one.pid2eid(pids),
        "path2record": lambda: one.path2record(files),
        "path2url": lambda: one.path2url(files),
        "record2path": lambda: one.record2path(rows),
        "record2url": lambda: one.record2url(rows),
    }


def main() -> None:
    """Time all calls and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--datasets", type=int, default=3_400_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = given.folder or Path(name)
        if given.folder is None:
            write(folder, sessions_count=given.sessions, datasets_count=given.datasets)
        add_insertions(folder)
        size = size_of(folder)
        with ONE(mode="local", cache_dir=folder, data_server="https://data.example.org") as one:
            for what, call in calls_of(one).items():
                times = []
                for _ in range(15):
                    started = time.perf_counter()
                    answer = call()
                    times.append((time.perf_counter() - started) * 1e3)
                    assert len(answer) in (2, COUNT), (what, len(answer))
                    del answer  # freed here, so that the next call's time does not include it
                results[what] = {"median": statistics.median(times), "first": times[0]}
    for what, figures in results.items():
        note = "" if figures["median"] < GOAL else f"  above {GOAL:g}"
        sys.stdout.write(f"{what:20} {figures['median']:6.1f} ms   first {figures['first']:6.1f} ms{note}\n")
    if given.json:
        rows = [Row(f"`{what}`", figures["median"], unit="ms") for what, figures in results.items()]
        save(given.json, __file__, rows, size)


if __name__ == "__main__":
    main()
