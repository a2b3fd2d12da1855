"""Time ONE-api's iteration over a list; runs in its own environment. Input and output are JSON."""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path


def main() -> None:
    task = json.loads(sys.stdin.read())
    warnings.simplefilter("ignore")
    from one.webclient import AlyxClient

    alyx = AlyxClient(
        base_url=task["url"],
        username="demo",
        password="demo",
        cache_dir=Path(task["cache_dir"]),
        silent=True,
        cache_rest=None,
    )
    started = time.perf_counter()
    rows = list(alyx.rest(task["endpoint"], "list", no_cache=True))
    print("RESULT " + json.dumps({"seconds": time.perf_counter() - started, "rows": len(rows)}))


main()
