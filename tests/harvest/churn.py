"""Harvest a database that pages unstably and changes meanwhile, and compare the result with the database."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import islice
from typing import Any

import worlds

from one_async.alyx.client import AsyncAlyxClient
from one_async.emulator import Emulator
from one_async.harvest import EndpointReport, harvest

COUNTS = {"sessions": 3100, "water_administrations": 2700, "notes": 2300, "locations": 1500}


@dataclass
class Outcome:
    """One endpoint after a harvest: its report, the harvested keys, and the keys in the server's own store."""

    report: EndpointReport
    held: list[str]
    truth: set[str]

    @property
    def right(self) -> bool:
        """Whether the harvest is complete and equal to the store, or incomplete with the missing number in its report."""
        if self.report.complete:
            return len(self.held) == len(set(self.held)) and set(self.held) == self.truth
        return bool(self.report.missing) and str(abs(len(self.truth) - len(self.held))) in " ".join(
            self.report.missing
        )


def key_of(row: dict[str, Any]) -> str:
    return str(row.get("id") or row.get("url", row.get("name", ""))).rsplit("/", 1)[-1]


def change(emulator: Emulator, endpoint: str, rng: random.Random, balanced: bool) -> None:
    """Insert rows, delete rows, or both, at random."""
    ids = worlds.uuids(f"new {rng.random()}")
    born = rng.randint(1, 12) if balanced or rng.random() < 0.6 else 0
    died = born if balanced else rng.randint(0, 12)
    for id in islice(ids, born):
        emulator.store.insert(endpoint, worlds.MAKERS[endpoint](id, rng.randrange(10**5)))
    for key in rng.sample(sorted(worlds.ids_of(emulator, endpoint)), died):
        emulator.store.delete(endpoint, key)


async def run(
    seed: int, endpoints: dict[str, int] | None = None, to: str | None = None
) -> dict[str, Outcome]:
    """Harvest while the server loses and changes rows at moments that the seed determines."""
    rng = random.Random(seed)
    counts = endpoints or COUNTS
    with Emulator(worlds.world(**counts), unstable_paging=seed) as emulator:
        names = [name.replace("_", "-") for name in counts]
        for name in names:
            if name == "locations":
                continue
            for _ in range(rng.randint(0, 3)):
                balanced = rng.random() < 0.3

                def call(name: str = name, balanced: bool = balanced) -> None:
                    change(emulator, name, rng, balanced)

                emulator.faults.add(f"/{name}", skip=rng.randint(1, 6), call=call)
        async with AsyncAlyxClient(emulator.url, token=emulator.token("demo")) as alyx:
            report = await harvest(alyx, names, to)
        outcomes = {}
        for name in names:
            held = [key_of(row) for row in report.frames[name].to_dicts()]
            truth = worlds.ids_of(emulator, name)
            outcomes[name] = Outcome(report[name], held, truth)
        return outcomes
