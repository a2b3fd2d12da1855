"""All metadata of a database as Parquet files: complete, restartable, and brought up to date later.

Run it against any database: set ONE_BASE_URL, ONE_USERNAME and ONE_PASSWORD. `one-async emulator` starts a small one.
"""

import sys
from pathlib import Path

import polars as pl

from one_async import ONE

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "harvest")
one = ONE(mode="remote")

# Killed half-way? The same call goes on where it stopped.
report = one.harvest(["sessions", "insertions", "subjects", "datasets"], folder, tidy=True)
print(report)
if not report.complete:
    sys.exit("something is missing; the report says what")

# Each endpoint is a folder of Parquet files; nothing of them is in memory until it is asked for. schema.md beside them says
# what each column is; with the extra [duckdb], `duckdb metadata.duckdb` has all of them as views.
sessions = pl.scan_parquet(folder / "sessions" / "*.parquet")
print(
    sessions.group_by("lab")
    .agg(pl.len().alias("sessions"), pl.col("subject").n_unique())
    .sort("lab")
    .collect()
)
datasets = pl.scan_parquet(folder / "datasets" / "*.parquet")
print(sessions.join(datasets, on="eid").group_by("lab").agg(pl.len().alias("datasets")).sort("lab").collect())

# Later: only what is new or changed is read, and replaces the older rows.
newer = one.harvest(["sessions", "insertions"], folder, tidy=True, since="last")
print(f"{newer['sessions'].written} sessions read again, {newer['sessions'].distinct} in all")

# Filters make a part of an endpoint; without a folder the rows come as frames.
part = one.harvest({"datasets": {"lab": "cortexlab"}, "trajectories": {}})
for endpoint, frame in part.frames.items():
    print(f"{endpoint}: {frame.height} rows, {', '.join(frame.columns[:6])}, …")
