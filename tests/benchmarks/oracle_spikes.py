"""Load the good clusters of many probes in a loop of ONE-api calls; runs in its own environment. Input and output are JSON.

Where ibllib is installed, `SpikeSortingLoader.merge_clusters` and iblatlas merge the clusters and name the regions. Otherwise
pandas merges them, and the regions are not named.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

SPIKES = ["times", "clusters", "amps", "depths"]
CLUSTERS = ["channels", "depths", "metrics", "uuids", "amps", "peakToTrough"]


def main() -> None:
    """Load all probes from the server, then some of them from disk."""
    task = json.loads(sys.stdin.read())
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    from one.api import ONE

    try:
        from brainbox.io.one import SpikeSortingLoader
        from iblatlas.regions import BrainRegions

        merge, regions = SpikeSortingLoader.merge_clusters, BrainRegions()
    except ImportError:
        merge = regions = None
    one = ONE(
        base_url=task["url"],
        username="demo",
        password="demo",
        cache_dir=Path(task["cache_dir"]),
        silent=True,
        mode="remote",
    )
    one.alyx._par = one.alyx._par.set("HTTP_DATA_SERVER", task["url"] + "/data")
    one.alyx.silent = True
    out = {"merge": "ibllib" if merge else "pandas", "times": []}
    for pids in (task["pids"], task["again"]):
        started = time.perf_counter()
        spikes, clusters = [], []
        for pid in pids:
            good_spikes, good = probe(one, pid, merge, regions)
            spikes.append(good_spikes)
            clusters.append(good)
        table, all_spikes = pd.concat(clusters), pd.concat(spikes)
        out["times"].append(time.perf_counter() - started)
        out.setdefault("spikes", len(all_spikes))
        out.setdefault("rows", rows_of(table))
    print("RESULT " + json.dumps(out))


def rows_of(table):
    """Return the clusters as JSON rows."""
    rows = [list(row) for row in table[["pid", "cluster_id", "acronym"]].itertuples(index=False)]
    return [[pid, int(cluster), acronym] for pid, cluster, acronym in rows]


def probe(one, pid, merge, regions):
    """Return the spikes and clusters of label 1 of one probe."""
    eid, name = one.pid2eid(pid)
    options = {"collection": f"alf/{name}/pykilosort"}
    spikes = one.load_object(eid, "spikes", attribute=SPIKES, **options)
    clusters = one.load_object(eid, "clusters", attribute=CLUSTERS, **options)
    channels = one.load_object(eid, "channels", attribute=["brainLocationIds_ccf_2017", "mlapdv"], **options)
    found = {"atlas_id": channels["brainLocationIds_ccf_2017"]}
    found.update(zip("xyz", channels["mlapdv"].T / 1e6, strict=True))
    if merge:
        found["acronym"] = regions.id2acronym(found["atlas_id"], mapping="Beryl")
        clusters["uuids"] = np.asarray(clusters["uuids"]).ravel()
        table = pd.DataFrame(merge(spikes, clusters, found))
    else:
        table = clusters.pop("metrics").copy()
        clusters["uuids"] = np.asarray(clusters["uuids"]).ravel()
        for key, values in clusters.items():
            table[key] = values
        for key, values in found.items():
            table[key] = values[clusters["channels"]]
        table["acronym"] = None
    good = table[table["label"] >= 1].assign(pid=pid, eid=str(eid))
    frame = pd.DataFrame(spikes)
    return frame[frame["clusters"].isin(good["cluster_id"])].assign(pid=pid), good


main()
