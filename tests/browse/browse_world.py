"""Tables with names that contain other names, patterns or HTML, and an independent implementation of the filters in Polars."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from one_async.browse.filters import FACETS, Filters
from one_async.tables.catalogue import Catalogue, TablesMeta
from one_async.tables.disk import write_table
from one_async.tables.schema import DATASETS, INSERTIONS, SESSIONS

HOSTILE = "<script>document.title='taken'</script>"
LABS = ["cortexlab", "cortexlab_b", "Cortexlab", "wittenlab", ""]
SUBJECTS = [
    "KS005",
    "KS0051",
    "ks005",
    "a.b",
    "axb",
    HOSTILE,
    "\"quoted'",
    "Ünal_1",
    "back\\slash",
    "(",
    "a|b",
    "\u202eevil",
]
PROJECTS = ["ibl", "ibl_main", "ibl_main,practice", "practice,ibl", ""]
PROTOCOLS = ["_iblrig_tasks_ephysChoiceWorld8.2.0", "_iblrig_tasks_biasedChoiceWorld7.1.2", ""]
NAMES = [
    "spikes.times.npy",
    "spikes.timesX.npy",
    "spikesXtimes.npy",
    "_ibl_trials.table.pqt",
    "lick.Times.npy",
    "odd (1)+.txt",
]
LEVELS = ["NOT_SET", "PASS", "WARNING", "FAIL", "CRITICAL"]
QC_WEIGHTS = [4, 2, 1, 1, 1]


def make_tables(count: int = 240, seed: int = 3) -> Catalogue:
    rng = random.Random(seed)
    first = date(2021, 11, 20)
    sessions, datasets, insertions = [], [], []
    for _ in range(count):
        eid = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        sessions.append(
            {
                "eid": eid, "lab": rng.choice(LABS), "subject": rng.choice(SUBJECTS),
                "date": None if rng.random() < 0.02 else first + timedelta(days=rng.randrange(500)),
                "number": rng.choice([1, 1, 2]), "task_protocol": rng.choice(PROTOCOLS), "projects": rng.choice(PROJECTS),
            }
        )  # fmt: skip
        for folder in ("alf", "alf/probe00", "alf/#2024-02-15#"):
            datasets += [
                {
                    "did": str(uuid.UUID(int=rng.getrandbits(128), version=4)), "eid": eid, "rel_path": f"{folder}/{name}",
                    "file_size": rng.randrange(10**6), "hash": None, "exists": rng.random() < 0.9,
                    "qc": rng.choices(LEVELS, QC_WEIGHTS)[0], "default_revision": "#" not in folder,
                }
                for name in rng.sample(NAMES, rng.randrange(len(NAMES)))
            ]  # fmt: skip
        insertions.append(
            {"pid": str(uuid.UUID(int=rng.getrandbits(128), version=4)), "eid": eid, "name": "probe00"}
        )
    raw = {
        name: {"date_created": "2025-01-15 06:00", "origin": "here"}
        for name in ("sessions", "datasets", "insertions")
    }
    return Catalogue.from_frames(
        pl.DataFrame(sessions, schema=SESSIONS),
        pl.DataFrame(datasets, schema=DATASETS),
        meta=TablesMeta(raw=raw),
        insertions=pl.DataFrame(
            insertions, schema={name: INSERTIONS[name] for name in ("pid", "eid", "name")}
        ),
    )


def write_tables(catalogue: Catalogue, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        "sessions": catalogue.sessions(),
        "datasets": catalogue.datasets(),
        "insertions": catalogue.insertions(),
    }
    for name, frame in tables.items():
        write_table(
            folder / f"{name}.pqt",
            name,
            frame.collect(),
            {"date_created": "2025-01-15 06:00", "origin": "here"},
        )
    return folder


class Expected:
    """The sessions that filters select, computed from plain frames: exact values, and parts of them in any case."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.sessions = catalogue.sessions().collect()
        there = catalogue.datasets().filter(pl.col("exists")).collect()
        self.datasets = there.with_columns(
            pl.col("rel_path").str.split("/").list.last().alias("name"),
            pl.col("qc").to_physical().alias("level"),
        )

    def eids(self, filters: Filters, leave_out: str | None = None) -> set[str]:
        found = set(self.sessions["eid"])
        for name in FACETS:
            if name != leave_out:
                found &= self._text(name, filters)
        if leave_out != "date":
            found &= self._dates(filters)
        if leave_out != "dataset":
            found &= self.with_datasets(filters)
        return found

    def _text(self, name: str, filters: Filters) -> set[str]:
        part, column = getattr(filters, name), pl.col(FACETS[name].column)
        if part.chosen and name == "project":
            rows = self.sessions.filter(
                column.str.split(",").list.eval(pl.element().is_in(list(part.chosen))).list.any()
            )
        elif part.chosen:
            rows = self.sessions.filter(column.is_in(list(part.chosen)))
        elif part.typed:
            rows = self.sessions.filter(
                [part.typed.lower() in text.lower() for text in self.sessions[FACETS[name].column]]
            )
        else:
            rows = self.sessions
        return set(rows["eid"])

    def _dates(self, filters: Filters) -> set[str]:
        if filters.start is None and filters.end is None:
            return set(self.sessions["eid"])
        start, end = (
            date.fromisoformat(filters.start or "0001-01-01"),
            date.fromisoformat(filters.end or "9999-12-31"),
        )
        return set(self.sessions.filter(pl.col("date").is_between(start, end))["eid"])

    def with_datasets(self, filters: Filters, more: Iterable[str] = ()) -> set[str]:
        part, found = filters.dataset, set(self.sessions["eid"])
        good = self.datasets.filter(pl.col("level") <= LEVELS.index(filters.qc or "FAIL"))
        for name in (*part.chosen, *more):
            found &= set(good.filter(pl.col("name") == name)["eid"])
        if part.typed and not part.chosen:
            found &= set(
                good.filter(pl.col("name").str.to_lowercase().str.contains(part.typed.lower(), literal=True))[
                    "eid"
                ]
            )
        if filters.qc and not part.chosen and not part.typed:
            found &= set(good["eid"])
        return found
