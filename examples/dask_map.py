"""Map a function over sessions on a Dask cluster: here two local processes, elsewhere `Client("scheduler:8786")`.

Workers read their credentials from the environment (ONE_BASE_URL, ONE_USERNAME, ONE_PASSWORD) or from their own settings.
"""

import tempfile

import polars as pl
from distributed import Client, LocalCluster

from one_async import ONE
from one_async.distributed import map_sessions


def performance(one: ONE, eid: str) -> dict[str, float]:
    """Return the number of trials, and the share of rewarded ones."""
    trials = one.load_object(eid, "trials")
    return {"trials": len(trials.choice), "rewarded": float((trials.feedbackType == 1).mean())}


if __name__ == "__main__":
    one = ONE(mode="remote")
    eids = one.search(datasets="_ibl_trials.table.pqt")[:24]
    with tempfile.TemporaryDirectory() as space:
        cluster = LocalCluster(
            n_workers=2, threads_per_worker=2, dashboard_address=None, local_directory=space
        )
        with cluster, Client(cluster) as client:
            # Each worker makes one ONE and reuses it; no result is lost if a worker dies.
            mapped = map_sessions(one, eids, performance, client=client)
            print(mapped.frame().sort("rewarded", descending=True).head(5).collect())
            print(f"{len(mapped.results)} sessions done, {len(mapped.failures)} failed")

            # The same cluster loads one frame of all sessions.
            with client.get_executor() as executor:
                trials = one.load_many(eids[:8], "trials", executor=executor)
            print(trials.group_by("eid", maintain_order=True).agg(pl.len().alias("trials")))
