"""A world with many sorted probes, served by an emulator in a separate process: ``python spikes_world.py --sessions 50``.

Each session is a copy of one of the seeded world, which has two probes. Prints one line of JSON and serves until its input ends.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import sys
import uuid
from datetime import date, timedelta
from typing import Any

from one_async.emulator import Emulator, seeded
from one_async.emulator.content import World

SPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
SUBJECT, DAY = "CX_001", "2023-06-09"


def with_copies(world: World, count: int) -> tuple[World, list[str]]:
    """Return the world with copies of a session on other days, and the ids of their insertions."""
    records: dict[str, Any] = {**world.records}
    for endpoint in ("sessions", "insertions", "datasets"):
        records[endpoint] = {kind: copy.copy(rows) for kind, rows in world.records[endpoint].items()}
    repositories = records["data-repository"]  # without buckets, so that all traffic stays on this machine
    records["data-repository"] = {
        "list": [one for one in repositories["list"] if not one["name"].startswith("aws")],
        "detail": {name: one for name, one in repositories["detail"].items() if not name.startswith("aws")},
    }
    row = next(
        one for one in records["sessions"]["list"]
        if one["subject"] == SUBJECT and one["start_time"].startswith(DAY)
    )  # fmt: skip
    detail = copy.deepcopy(records["sessions"]["detail"][row["id"]])
    detail["data_dataset_session_related"] = [
        one
        for one in detail["data_dataset_session_related"]
        if (one["collection"] or "").startswith("alf/probe")
    ]
    probes = [one for one in records["insertions"]["list"] if one["session"] == row["id"]]
    dids = {one["id"] for one in detail["data_dataset_session_related"]}
    datasets = [one for one in records["datasets"]["list"] if one["url"][-36:] in dids]
    ids = [row["id"], *(one["id"] for one in (*probes, *detail["data_dataset_session_related"]))]
    original: dict[str, str] = {}
    pids = []
    for number in range(count):
        changes = {one: str(uuid.uuid5(SPACE, f"{one} {number}")) for one in ids}
        changes[DAY] = str(date(2021, 1, 1) + timedelta(days=number))
        body = _changed(detail, changes)
        for old, new in zip(
            detail["data_dataset_session_related"], body["data_dataset_session_related"], strict=True
        ):
            if old["data_url"]:
                original[_path(new["data_url"])] = _path(old["data_url"])
        made = [_changed(one, changes) for one in probes]
        pids += [one["id"] for one in made]
        records["sessions"]["list"] = [*records["sessions"]["list"], _changed(row, changes)]
        records["sessions"]["detail"][body["id"]] = body
        records["insertions"]["list"] = [*records["insertions"]["list"], *made]
        records["insertions"]["detail"].update({one["id"]: one for one in made})
        made = [_changed(one, changes) for one in datasets]
        for one in made:
            one["file_records"] = [
                file for file in one["file_records"] if not file["data_repository"].startswith("aws")
            ]
        records["datasets"]["list"] = [*records["datasets"]["list"], *made]
        records["datasets"]["detail"].update({one["url"][-36:]: one for one in made})
    inner = world.read_file
    return dataclasses.replace(
        world, records=records, read_file=lambda path: inner(original.get(path, path))
    ), pids


def _changed(record: Any, changes: dict[str, str]) -> Any:
    text = json.dumps(record)
    for old, new in changes.items():
        text = text.replace(old, new)
    return json.loads(text)


def _path(url: str) -> str:
    return url.removeprefix("https://data.test/")


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--latency", type=float, default=0.02)
    given = parser.parse_args()
    world, pids = with_copies(seeded.world(), given.sessions)
    with Emulator(world, latency=given.latency, file_latency=given.latency) as emulator:
        print(json.dumps({"url": emulator.url, "pids": pids}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
