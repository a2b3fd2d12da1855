"""Make cache tables of any size that resemble IBL's, as ONE-api would have written them.

``python tests/benchmarks/generate.py FOLDER --sessions 100000 --datasets 3400000``
"""

from __future__ import annotations

import argparse
import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from one_async.tables.columns import uuid_text
from one_async.tables.schema import QC_LEVELS

LABS = ["angelakilab", "churchlandlab", "cortexlab", "danlab", "hoferlab", "mainenlab", "mrsicflogellab",
        "steinmetzlab", "wittenlab", "zadorlab", "summitlab", "churchlandlab_ucla"]  # fmt: skip
PROTOCOLS = [
    f"_iblrig_tasks_{kind}ChoiceWorld{version}"
    for kind in ("training", "biased", "ephys", "habituation", "passive")
    for version in ("6.4.2", "6.5.3", "6.6.1", "7.1.0", "8.2.5")
]
PROJECTS = ["ibl_neuropixel_brainwide_01", "practice", "ibl_behaviour", "learning_dop", "u19_proj1"]
OBJECTS = {
    "alf": ["_ibl_trials.table.pqt", "_ibl_trials.goCueTrigger_times.npy", "_ibl_trials.intervals_bpod.npy",
            "_ibl_wheel.position.npy", "_ibl_wheel.timestamps.npy", "_ibl_wheelMoves.intervals.npy",
            "_ibl_leftCamera.times.npy", "_ibl_leftCamera.dlc.pqt", "probes.description.json"],
    "alf/probe00/pykilosort": ["spikes.times.npy", "spikes.clusters.npy", "spikes.amps.npy", "spikes.depths.npy",
                               "clusters.channels.npy", "clusters.metrics.pqt", "channels.localCoordinates.npy"],
    "alf/probe01/pykilosort": ["spikes.times.npy", "spikes.clusters.npy", "clusters.channels.npy"],
    "raw_behavior_data": ["_iblrig_taskSettings.raw.json", "_iblrig_taskData.raw.jsonable",
                          "_iblrig_encoderEvents.raw.ssv"],
    "raw_ephys_data/probe00": ["_spikeglx_ephysData_g0_t0.imec0.ap.cbin", "_spikeglx_ephysData_g0_t0.imec0.lf.cbin",
                               "_spikeglx_sync.times.probe00.npy"],
    "raw_video_data": ["_iblrig_leftCamera.raw.mp4", "_iblrig_bodyCamera.timestamps.ssv"],
    "": ["_ibl_experiment.description.yaml"],
}  # fmt: skip
REVISIONS = ["2021-07-05", "2022-10-31", "2024-02-15", "2024-05-06-b"]


def uuids(rng: np.random.Generator, count: int) -> pl.Series:
    """Make distinct random UUIDs (version 4)."""
    raw = rng.integers(0, 256, (count, 16), dtype=np.uint8)
    raw[:, 6] = (raw[:, 6] & 0x0F) | 0x40
    raw[:, 8] = (raw[:, 8] & 0x3F) | 0x80
    return uuid_text(raw)


def sessions(rng: np.random.Generator, count: int) -> pl.DataFrame:
    """Make sessions of subjects in labs, many of them on the same days."""
    n_subjects = max(3, count // 60)
    subject = rng.integers(0, n_subjects, count)
    names = pl.Series([f"{LABS[i % len(LABS)][:4].upper()}_{i:04d}" for i in range(n_subjects)])
    labs = pl.Series([LABS[i % len(LABS)] for i in range(n_subjects)])
    first = date(2018, 1, 1)
    days = pl.Series([first + timedelta(days=int(day)) for day in range(2800)])
    projects = pl.Series([*PROJECTS, ",".join(PROJECTS[:2]), ""])
    return pl.DataFrame(
        {
            "lab": labs.gather(subject),
            "subject": names.gather(subject),
            "date": days.gather(rng.integers(0, len(days), count)),
            "number": pl.Series(rng.choice([1, 1, 1, 2, 3], count).astype(np.uint16)),
            "task_protocol": pl.Series(PROTOCOLS).gather(rng.integers(0, len(PROTOCOLS), count)),
            "projects": projects.gather(rng.integers(0, len(projects), count)),
            "id": uuids(rng, count),
        }
    )


def datasets(rng: np.random.Generator, eids: pl.Series, count: int, distinct: float) -> pl.DataFrame:
    """Make datasets; ``distinct`` is the share of raw files with unique names."""
    paths = [f"{folder}/{name}" if folder else name for folder, names in OBJECTS.items() for name in names]
    paths += [f"alf/#{revision}#/_ibl_trials.table.pqt" for revision in REVISIONS]
    paths += [f"alf/probe00/pykilosort/#{REVISIONS[2]}#/spikes.{what}.npy" for what in ("times", "clusters")]
    code = rng.integers(0, len(paths), count)
    path = pl.Series(paths).gather(code)
    raw = rng.random(count) < distinct
    serial = pl.Series(np.arange(count)).cast(pl.String)
    unique = "raw_video_data/_iblrig_leftCamera.frame" + serial + ".tiff"
    is_default = np.char.find(np.array(paths), "#").astype(int)[code] < 0
    digits = rng.integers(0, 256, (count, 16), dtype=np.uint8).tobytes().hex()
    frame = pl.DataFrame(
        {
            "file_size": pl.Series(rng.integers(100, 10**9, count).astype(np.uint64)),
            "hash": pl.Series([digits[i : i + 32] for i in range(0, len(digits), 32)]),
            "default_revision": is_default | (rng.random(count) < 0.3),
            "qc": pl.Series(rng.choice([0, 0, 0, 0, 1, 2, 3, 4], count).astype(np.uint8)).cat.to(QC_LEVELS),
            "exists": rng.random(count) < 0.97,
            "rel_path": pl.select(pl.when(pl.Series(raw)).then(unique).otherwise(path)).to_series(),
            "eid": eids.gather(rng.integers(0, len(eids), count)),
            "id": uuids(rng, count),
        }
    )
    return frame.sort("eid", "id")


def write(
    folder: Path, *, sessions_count: int, datasets_count: int, distinct: float = 0.05, seed: int = 1
) -> None:
    """Write sessions.pqt and datasets.pqt, with the metadata of pandas and of ONE, by pandas itself.

    Alyx writes them in the same form: the ids are the index, and QC an ordered category.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    meta = json.dumps({"date_created": "2025-01-15 06:00", "origin": "generated", "min_api_version": "2.10"})
    made = sessions(rng, sessions_count)
    frames = {
        "sessions": (made, ["id"]),
        "datasets": (datasets(rng, made["id"], datasets_count, distinct), ["eid", "id"]),
    }
    for name, (frame, index) in frames.items():
        data = frame.with_columns(frame.select(pl.col(pl.Enum).cast(pl.String))).to_pandas()
        if name == "datasets":
            data["qc"] = pd.Categorical(data["qc"], QC_LEVELS.categories.to_list(), ordered=True)
        else:
            data["date"] = data["date"].dt.date
        table = pa.Table.from_pandas(data.set_index(index))
        pq.write_table(
            table.replace_schema_metadata({"one_metadata": meta, **table.schema.metadata}),
            folder / f"{name}.pqt",
        )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--datasets", type=int, default=3_400_000)
    parser.add_argument("--distinct", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    write(
        given.folder,
        sessions_count=given.sessions,
        datasets_count=given.datasets,
        distinct=given.distinct,
        seed=given.seed,
    )


if __name__ == "__main__":
    main()
