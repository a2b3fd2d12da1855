"""Time ONE-api's part of bench_load.py; runs in its own environment. Input and output are JSON."""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path


def main() -> None:
    task = json.loads(sys.stdin.read())
    warnings.simplefilter("ignore")
    from one.api import ONE

    cache = Path(task["cache_dir"])
    one_ = ONE(
        base_url=task["url"], username="demo", password="demo", cache_dir=cache, silent=True, cache_rest=None
    )
    one_.alyx._par = one_.alyx._par.set("HTTP_DATA_SERVER", task["url"] + "/data")
    one_.alyx.silent = True
    out = {}
    if "files" in task["what"]:
        names = [f"set{n:03d}.data.npy" for n in range(task["files"])]
        started = time.perf_counter()
        files, _ = one_.load_datasets(task["eid"], names, collections="bench", download_only=True)
        out["files"] = time.perf_counter() - started
        assert all(f.exists() for f in files)
    if "many" in task["what"]:
        started = time.perf_counter()
        rows = sum(len(one_.load_object(eid, "trials")["choice"]) for eid in task["trials"])
        out["many"], out["rows"] = time.perf_counter() - started, rows
    if "local" in task["what"]:
        one_.mode = "remote"
        from one.alf import io as alfio

        paths = [Path(p) for p in task["paths"]]
        best = []
        for _ in range(5):
            started = time.perf_counter()
            for path in paths:
                alfio.load_file_content(path)
            best.append(time.perf_counter() - started)
        out["local"] = sorted(best)[len(best) // 2]
    print("RESULT " + json.dumps(out))


main()
