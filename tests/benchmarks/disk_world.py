"""Compare loading of files on disk with plain loops over the same files: ``python disk_world.py [--rounds N]``.

Each figure is the best of some rounds in one process, in seconds of wall time and of the process's CPU time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from one_async import ONE
from one_async.tables.build import make_parquet_db

SESSIONS, OBJECTS, ROWS = 300, 100, 500
ATTRIBUTES = ("choice", "feedbackType", "intervals", "contrastLeft", "contrastRight", "probabilityLeft", "goCue_times",
              "response_times", "rewardVolume", "firstMovement_times")  # fmt: skip


def make(root: Path) -> list[list[Path]]:
    """Write the sessions and their tables; return the files of each session."""
    random = np.random.default_rng(1)
    sessions = []
    for number in range(SESSIONS):
        folder = root / f"lab/Subjects/S{number:03d}/2024-05-06/001/alf"
        folder.mkdir(parents=True)
        files = [folder / f"_ibl_trials.{name}.npy" for name in ATTRIBUTES]
        for file in files:
            np.save(file, random.random((ROWS, 2) if "intervals" in file.name else ROWS))
        sessions.append(files)
    make_parquet_db(root)
    return sessions


def plain_loop(sessions: list[list[Path]]) -> pl.DataFrame:
    """Load files one by one, with the same result as `load_many`."""
    frames = []
    for files in sessions:
        columns: dict[str, Any] = {}
        for file in files:
            array = np.load(file)
            name = file.name.split(".")[1]
            columns |= (
                {name: array}
                if array.ndim == 1
                else {f"{name}_{i}": array[:, i] for i in range(array.shape[1])}
            )
        frames.append(pl.DataFrame({"eid": [str(files[0])] * ROWS, **columns}))
    return pl.concat(frames)


def best(rounds: int, *works: Callable[[], object]) -> list[tuple[float, float]]:
    """Return the best wall time and the best CPU time of each function; the functions take turns."""
    times: list[list[tuple[float, float]]] = [[] for _ in works]
    for _ in range(rounds):
        for work, taken in zip(works, times, strict=True):
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            taken.append((time.perf_counter() - wall, time.process_time() - cpu))
    return [(min(wall for wall, _ in taken), min(cpu for _, cpu in taken)) for taken in times]


def measure(folder: Path, rounds: int = 5) -> dict[str, dict[str, float]]:
    """Return the figures: `load_many` beside a plain loop, and a list of sessions beside single calls."""
    sessions = make(folder)
    with ONE(cache_dir=folder, mode="local") as one:
        eids = one.search()
        some = eids[:OBJECTS]
        many, loop, listed, single = best(
            rounds,
            lambda: one.load_many(eids, "trials"),
            lambda: plain_loop(sessions),
            lambda: one.load_object(some, "trials"),
            lambda: [one.load_object(eid, "trials") for eid in some],
        )
        assert one.load_many(eids, "trials").shape == plain_loop(sessions).shape
    found = {}
    for name, ours, other in (
        ("load_many, plain loop", many, loop),
        ("load_object, single calls", listed, single),
    ):
        found[name] = {
            "ours": ours[0], "other": other[0], "ratio": ours[0] / other[0],
            "CPU, ours": ours[1], "CPU, other": other[1], "ratio of CPU": ours[1] / other[1],
        }  # fmt: skip
    found["one load_object, ms"] = {"wall": 1000 * single[0] / OBJECTS, "CPU": 1000 * single[1] / OBJECTS}
    return found


def main() -> None:
    """Measure in a new folder and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        for what, figures in measure(Path(name), given.rounds).items():
            print(f"{what:28}", "  ".join(f"{key} {value:.3f}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
