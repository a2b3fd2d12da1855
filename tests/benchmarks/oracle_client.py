"""ONE-api's part of bench_client.py; runs in the environment of ONE-api."""

from __future__ import annotations

import json
import sys
import time

from one.api import ONE


def main() -> None:
    task = json.load(sys.stdin)
    one = ONE(
        base_url=task["url"], username="demo", password="demo", silent=True, cache_dir=task["cache_dir"],
        mode="remote", cache_rest=None,
    )  # fmt: skip
    one.alyx.rest_schemes  # noqa: B018 - asked once, as ours is
    times = []
    found = []
    for _ in range(task["rounds"]):
        started = time.perf_counter()
        found = [str(eid) for eid in one.search(query_type="remote")]
        times.append(time.perf_counter() - started)
    print("RESULT " + json.dumps({"times": times, "found": len(set(found))}))


if __name__ == "__main__":
    main()
