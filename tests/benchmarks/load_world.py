"""A world with many data files for the loading benchmarks, served by an emulator in a separate process.

``python load_world.py --files 500 --size 100000`` prints one line of JSON and serves until its input ends.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import hashlib
import io
import json
import sys
import uuid

import numpy as np

from one_async.emulator import Emulator, seeded
from one_async.emulator.content import World

SPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")


def npy(seed: int, size: int) -> bytes:
    """Return a .npy file of about that many bytes."""
    out = io.BytesIO()
    np.save(out, np.random.default_rng(seed).random(max(1, (size - 128) // 8)))
    return out.getvalue()


def with_files(world: World, eid: str, count: int, size: int) -> World:
    """Return the world with `count` more files of a session: ``bench/set000.data.npy``, …"""
    sessions = world.records["sessions"]
    detail = copy.deepcopy(sessions["detail"][eid])
    row = next(row for row in sessions["list"] if row["id"] == eid)
    folder = f"{row['lab']}/Subjects/{row['subject']}/{row['start_time'][:10]}/{row['number']:03d}/bench"
    made: dict[str, bytes] = {}
    datasets = []
    for number in range(count):
        did = str(uuid.uuid5(SPACE, f"{eid} {number}"))
        data = npy(number, size)
        path = f"{folder}/set{number:03d}.data.{did}.npy"
        made[path] = data
        datasets.append(
            {
                "id": did,
                "name": f"set{number:03d}.data.npy",
                "dataset_type": "set.data",
                "data_url": f"https://data.test/{path}",
                "url": f"https://alyx.test/datasets/{did}",
                "file_size": len(data),
                "hash": hashlib.md5(data, usedforsecurity=False).hexdigest(),
                "version": "1",
                "collection": "bench",
                "revision": "",
                "default_revision": "True",
                "qc": "NOT_SET",
            }
        )
    detail["data_dataset_session_related"] = datasets
    records = {**world.records, "sessions": {**sessions, "detail": {**sessions["detail"], eid: detail}}}
    inner = world.read_file
    return dataclasses.replace(world, records=records, read_file=lambda path: made.get(path) or inner(path))


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--size", type=int, default=100_000)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--file-latency", type=float, default=0.02)
    given = parser.parse_args()
    world = seeded.world()
    trials = [row["id"] for row in world.records["sessions"]["list"] if _has_trials(world, row["id"])]
    world = with_files(world, trials[-1], given.files, given.size)
    with Emulator(world, latency=given.latency, file_latency=given.file_latency) as emulator:
        print(json.dumps({"url": emulator.url, "eid": trials[-1], "trials": trials[:-1]}), flush=True)
        sys.stdin.read()


def _has_trials(world: World, eid: str) -> bool:
    datasets = world.records["sessions"]["detail"][eid]["data_dataset_session_related"]
    return any(
        d["name"] == "_ibl_trials.table.pqt" and d["data_url"] and d["qc"] != "CRITICAL" for d in datasets
    )


if __name__ == "__main__":
    main()
