"""Small tables for tests of the tables layer."""

from __future__ import annotations

import random
import uuid
from datetime import date, timedelta
from typing import Any

import polars as pl

from one_async.queries.terms import complete
from one_async.tables import query
from one_async.tables.catalogue import Catalogue, TablesMeta
from one_async.tables.schema import DATASETS, SESSIONS

PATHS = [
    "alf/_ibl_trials.table.pqt",
    "alf/#2021-07-05#/_ibl_trials.table.pqt",
    "alf/#2024-02-15#/_ibl_trials.table.pqt",
    "alf/probe00/spikes.times.npy",
    "alf/probe00/#2024-02-15#/spikes.times.npy",
    "alf/probe01/spikes.times.npy",
    "alf/_ibl_wheel.position.npy",
    "raw_behavior_data/_iblrig_taskData.raw.jsonable",
    "raw_video_data/not an ALF name",
    "_ibl_experiment.description.yaml",
]


def sessions_frame(count: int = 40, seed: int = 1) -> pl.DataFrame:
    """Return sessions with ties in date and subject, and some missing values."""
    rng = random.Random(seed)
    first = date(2020, 1, 1)
    rows = [
        {
            "eid": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            "lab": rng.choice(["cortexlab", "mainenlab", "wittenlab", ""]),
            "subject": rng.choice(["KS005", "ZM_335", "ks005", "Ünal_1", "a.b"]),
            "date": first + timedelta(days=rng.randrange(12)),
            "number": rng.choice([1, 1, 2, 3]),
            "task_protocol": rng.choice(["_iblrig_ephysChoiceWorld6.4.2", "trainingChoiceWorld", ""]),
            "projects": rng.choice(["ibl_main", "ibl_main,practice", ""]),
        }
        for _ in range(count)
    ]
    return pl.DataFrame(rows, schema=SESSIONS)


def datasets_frame(sessions: pl.DataFrame, seed: int = 1) -> pl.DataFrame:
    """Return some of the datasets for most sessions."""
    rng = random.Random(seed)
    rows = []
    for eid in sessions["eid"]:
        rows += [
            {
                "did": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
                "eid": eid,
                "rel_path": path,
                "file_size": rng.choice([None, 10, 2**40]),
                "hash": rng.choice([None, "", f"{rng.getrandbits(128):032x}"]),
                "exists": rng.random() < 0.9,
                "qc": rng.choice(["NOT_SET", "NOT_SET", "PASS", "WARNING", "FAIL", "CRITICAL"]),
                "default_revision": rng.random() < 0.7,
            }
            for path in rng.sample(PATHS, rng.randrange(len(PATHS) + 1))
        ]
    return pl.DataFrame(rows, schema=DATASETS)


def make_catalogue(count: int = 40, seed: int = 1) -> Catalogue:
    """Return a catalogue of the small tables."""
    sessions = sessions_frame(count, seed)
    raw = {name: {"date_created": "2025-01-15 06:00", "origin": "here"} for name in ("sessions", "datasets")}
    return Catalogue.from_frames(sessions, datasets_frame(sessions, seed), meta=TablesMeta(raw=raw))


def search(catalogue: Catalogue, *, wildcards: bool = True, **terms: Any) -> list[str]:
    """Return the ids that a search finds, in the form of the tables; terms may be abbreviated."""
    full = {complete(term): value for term, value in terms.items()}
    return [str(eid) for eid in query.search(catalogue, wildcards=wildcards, **full)]
