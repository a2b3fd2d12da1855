"""Harvest all metadata of a database as Parquet files: complete, resumable, and updated later.

Run it against any database: set ONE_BASE_URL, ONE_USERNAME and ONE_PASSWORD. `one-async emulator` starts a small one.
"""

import sys
from pathlib import Path

import polars as pl

from one_async import ONE

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "harvest")
one = ONE(mode="remote")

# If the harvest is interrupted, the same call resumes it.
report = one.harvest(["sessions", "insertions", "subjects", "datasets"], folder, tidy=True)
print(report)
if not report.complete:
    sys.exit("something is missing; the report says what")

# Each endpoint is a folder of Parquet files, which are read lazily. schema.md in the same folder describes each column. With
# the extra [duckdb], `duckdb metadata.duckdb` has views of all tables.
sessions = pl.scan_parquet(folder / "sessions" / "*.parquet")
print(
    sessions.group_by("lab")
    .agg(pl.len().alias("sessions"), pl.col("subject").n_unique())
    .sort("lab")
    .collect()
)
datasets = pl.scan_parquet(folder / "datasets" / "*.parquet")
print(sessions.join(datasets, on="eid").group_by("lab").agg(pl.len().alias("datasets")).sort("lab").collect())

# Later, only new and changed rows are read, and replace the older ones.
newer = one.harvest(["sessions", "insertions"], folder, tidy=True, since="last")
print(f"{newer['sessions'].written} sessions read again, {newer['sessions'].distinct} in all")

# Filters select a part of an endpoint; without a folder the rows are returned as frames.
part = one.harvest({"datasets": {"lab": "cortexlab"}, "trajectories": {}})
for endpoint, frame in part.frames.items():
    print(f"{endpoint}: {frame.height} rows, {', '.join(frame.columns[:6])}, …")
