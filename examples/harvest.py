"""All metadata of a database as Parquet files: complete, restartable, and brought up to date later.

Run it against any database: set ONE_BASE_URL, ONE_USERNAME and ONE_PASSWORD. `one-async emulator` starts a small one.
"""

import sys
from datetime import date
from pathlib import Path

import polars as pl

from one_async import ONE

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "harvest")
one = ONE(mode="remote")

# Killed half-way? The same call goes on where it stopped.
report = one.harvest(["sessions", "insertions", "subjects", "datasets"], folder)
print(report)
if not report.complete:
    sys.exit("something is missing; the report says what")

# Each endpoint is a folder of Parquet files; nothing of them is in memory until it is asked for.
sessions = pl.scan_parquet(folder / "sessions" / "*.parquet")
print(
    sessions.group_by("lab")
    .agg(pl.len().alias("sessions"), pl.col("subject").n_unique())
    .sort("lab")
    .collect()
)

# Later: only what is new or changed is read, and replaces the older rows.
newer = one.harvest(["sessions", "insertions"], folder, since=date(2025, 1, 1))
print(f"{newer['sessions'].written} sessions made or changed since, {newer['sessions'].distinct} in all")

# Filters make a part of an endpoint; without a folder the rows come as frames.
part = one.harvest({"datasets": {"lab": "cortexlab"}, "trajectories": {}})
for endpoint, frame in part.frames.items():
    print(f"{endpoint}: {frame.height} rows, {', '.join(frame.columns[:6])}, …")
