"""The first steps of an analysis of the brain-wide map: the good insertions, then their good clusters and spikes by region.

Run it against any database: set ONE_BASE_URL, ONE_USERNAME and ONE_PASSWORD. `one-async emulator` starts a small one.
"""

import polars as pl

from one_async import ONE

one = ONE(mode="remote")

# Insertions of the project that are traced and aligned, in sessions whose QC is not critical and whose behavior is good.
# On the public database, min_task_checks=0.9 completes the query of the published maps.
insertions = one.quality(
    project="ibl_neuropixel_brainwide_01",
    mock=False,
    session_qc_lte="FAIL",
    insertion_qc_lte="FAIL",
    behavior=True,
    tracing=True,
    alignment_resolved=True,
)
print(
    insertions.select(
        "pid", "name", "subject", "lab", "date", "session_qc", "insertion_qc", "alignment_count"
    )
)
print(f"{insertions.height} insertions in {insertions['eid'].n_unique()} sessions")

# Their clusters that pass all quality metrics, with regions of the Beryl mapping. Errors of one probe do not stop the others.
sorting = one.load_spike_sorting(insertions["pid"], min_label=1.0, regions="Beryl", on_error="collect")
for error in sorting.errors["error"]:
    print("left out:", error)

# Firing rates by region.
spikes = sorting.spikes.group_by("pid", pl.col("clusters").cast(pl.Int64).alias("cluster_id")).agg(
    (pl.len() / (pl.col("times").max() - pl.col("times").min())).alias("rate")
)
regions = (
    sorting.clusters.join(spikes, on=["pid", "cluster_id"])
    .filter(~pl.col("acronym").is_in(["void", "root"]))
    .group_by("acronym")
    .agg(pl.len().alias("clusters"), pl.col("pid").n_unique().alias("probes"), pl.col("rate").median())
    .sort("clusters", "acronym", descending=[True, False])
)
print(regions)
print(f"{sorting.clusters.height} good clusters in {regions.height} regions")
