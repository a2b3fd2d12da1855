"""Time ONE-api on a folder of tables; runs in ONE-api's own environment and prints JSON.

``python oracle_tables.py FOLDER``
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from pathlib import Path

warnings.simplefilter("ignore")


def main() -> None:
    folder = sys.argv[1]
    from one.api import One

    out: dict[str, float] = {}
    sizes: dict[str, int] = {}

    def timed(name: str, call, repeats: int = 1):
        best = float("inf")
        for _ in range(repeats):
            start = time.perf_counter()
            result = call()
            best = min(best, time.perf_counter() - start)
        out[name] = best
        sizes[name] = len(result) if hasattr(result, "__len__") else 0
        return result

    one = timed("open", lambda: One(folder, mode="local"))
    one = timed("open", lambda: One(folder, mode="local")) if "--twice" in sys.argv else one
    eids = timed("search()", one.search, 3)
    labs = timed("search(lab)", lambda: one.search(lab="cortexlab"), 3)
    subject = one._cache.sessions.loc[eids[500], "subject"]
    timed("search(subject)", lambda: one.search(subject=subject), 3)
    timed("search(date)", lambda: one.search(date_range=["2020-01-01", "2020-03-01"]), 3)
    timed("search(lab, number, task)", lambda: one.search(lab="cortexlab", number=1, task="ephys"), 3)
    eid = labs[3]
    timed(
        "search(lab, two datasets)",
        lambda: one.search(lab="cortexlab", datasets=["spikes.times.npy", "_ibl_trials.table.pqt"]),
    )
    timed("search(datasets)", lambda: one.search(datasets="spikes.times.npy"))
    pages = Path("/proc/self/statm").read_text().split()[1]
    out["memory_after_search"] = int(pages) * resource.getpagesize()
    timed("list_datasets(eid)", lambda: one.list_datasets(eid), 20)
    timed("list_datasets(eid, details)", lambda: one.list_datasets(eid, details=True), 20)
    timed(
        "list_datasets(eid, filename, collection)",
        lambda: one.list_datasets(eid, filename="*.npy", collection="alf*"),
        20,
    )
    timed("list_collections(eid)", lambda: one.list_collections(eid), 20)
    timed("eid2path(1000)", lambda: one.eid2path(eids[:1000]), 10)
    timed("list_datasets()", one.list_datasets)
    out["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"times": out, "sizes": sizes}))


if __name__ == "__main__":
    main()
