"""Large worlds for harvests, with rows like the recorded ones, and an emulator that serves one from a separate process.

``python worlds.py --sessions 20000 --latency 0.05`` prints one line of JSON and serves until its input ends.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from one_async.alyx.client import AsyncAlyxClient
from one_async.emulator import Emulator
from one_async.emulator.content import World, recorded

RECORDS = Path(__file__).parents[1] / "data" / "alyx"
Row = dict[str, Any]


@cache
def recorded_world() -> World:
    return recorded(RECORDS)


def uuids(name: str) -> Iterator[str]:
    """Yield random ids, the same ones for the same name."""
    numbers = random.Random(name)
    while True:
        yield str(UUID(int=numbers.getrandbits(128), version=4))


def session(id: str, number: int) -> Row:
    at = datetime(2019, 1, 1) + timedelta(minutes=37 * number)
    return {
        "id": id,
        "subject": ("KS014", "KS023", "RV_1085", "ibl_summit_07")[number % 4],
        "start_time": at.isoformat(),
        "number": 1 + number % 3,
        "lab": ("cortexlab", "riverlab", "summitlab")[number % 3],
        "projects": ["ibl_neuropixel_brainwide_01"],
        "url": f"https://alyx.test/sessions/{id}",
        "task_protocol": "_iblrig_tasks_ephysChoiceWorld6.6.1",
    }


def water(id: str, number: int) -> Row:
    at = datetime(2019, 1, 1) + timedelta(minutes=7 * number)
    return {
        "subject": ("KS014", "KS023", "RV_1085", "ibl_summit_07")[number % 4],
        "date_time": at.isoformat(),
        "water_administered": 0.001 * (number % 1500),
        "water_type": "Water",
        "user": "alice",
        "url": f"https://alyx.test/water-administrations/{id}",
        "session": None,
        "adlib": bool(number % 2),
    }


def note(id: str, number: int) -> Row:
    at = datetime(2019, 1, 1) + timedelta(minutes=11 * number)
    return {
        "id": id,
        "user": "alice",
        "date_time": at.isoformat(),
        "content_type": "actions.session",
        "object_id": id,
        "text": f"note {number}",
        "image": None,
        "json": {"number": number} if number % 3 else None,
    }


def place(id: str, number: int) -> Row:
    return {"name": f"rig {number:05d}", "lab": "cortexlab", "json": None}


def channel(id: str, number: int) -> Row:
    return {
        "id": id,
        "trajectory_estimate": "2d21315e-45aa-4e59-b45d-6ea6745593f0",
        "brain_region": 312782562,
        "name": "",
        "json": None,
        "axial": 20.0 * number,
        "lateral": 16.0,
        "x": -2380.0,
        "y": -3827.8,
        "z": -12.497,
    }


MAKERS: dict[str, Callable[[str, int], Row]] = {
    "sessions": session,
    "water-administrations": water,
    "notes": note,
    "locations": place,
    "channels": channel,
}


class Rows:
    """Rows that are generated on iteration, so that a million of them need no memory."""

    def __init__(self, endpoint: str, count: int, ids: Callable[[str], Iterator[str]] = uuids) -> None:
        self.endpoint, self.count, self.ids = endpoint, count, ids

    def __iter__(self) -> Iterator[Row]:
        ids, make = self.ids(self.endpoint), MAKERS[self.endpoint]
        for number in range(self.count):
            yield make(next(ids), number)


def world(**counts: int) -> World:
    """Return the recorded world with other rows: ``sessions=20_000``, ``water_administrations=2_700``, …"""
    given = {name.replace("_", "-"): count for name, count in counts.items()}
    records = {
        **recorded_world().records,
        **{name: {"list": Rows(name, count), "detail": {}} for name, count in given.items()},
    }
    return dataclasses.replace(recorded_world(), records=records)


def client(emulator: Emulator, **options: Any) -> AsyncAlyxClient:
    """Return a client with the token of the demo user."""
    return AsyncAlyxClient(emulator.url, token=emulator.token("demo"), **options)


def ids_of(emulator: Emulator, endpoint: str) -> set[str]:
    """Return the keys in an emulator's own store."""
    rows = emulator.store.select(f'SELECT key FROM "{endpoint}.text"')
    return {key for (key,) in rows}


@contextmanager
def served(**options: Any) -> Iterator[dict[str, Any]]:
    """Run an emulator in a separate process; yield its address, token and process id."""
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    command = [sys.executable, __file__, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield {**json.loads(process.stdout.readline()), "pid": process.pid}
        finally:
            process.stdin.close()
            process.wait()


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser()
    for name in MAKERS:
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--throttle", type=int)
    parser.add_argument("--unstable", type=int)
    given = vars(parser.parse_args())
    counts = {name: given[name] for name in (m.replace("-", "_") for m in MAKERS) if given[name] is not None}
    options = {
        "latency": given["latency"],
        "throttle": given["throttle"],
        "unstable_paging": given["unstable"],
    }
    with Emulator(world(**counts), **options) as emulator:
        print(json.dumps({"url": emulator.url, "token": emulator.token("demo")}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
