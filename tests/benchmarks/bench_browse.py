"""Time the server side of the `browse` page: ``python tests/benchmarks/bench_browse.py [--folder TABLES] [--json FILE]``.

Makes tables of 100,000 sessions and 3.4 million datasets (``--sessions``, ``--datasets``; ``--folder`` uses existing
tables), serves the page, and types words into its filters letter by letter, as its script does. Each keystroke is a request,
timed from sending it to the last byte of the answer. Exits with 1 if one takes longer than ``LIMIT``.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from results import Row, save, size_of

HERE = Path(__file__).parent
#: Milliseconds within which the server answers a keystroke.
LIMIT = 150.0
#: The filter and the word that is typed into it, with the other parameters of the requests.
WORDS: list[tuple[str, str, dict[str, str | list[str]]]] = [
    ("lab", "cortexlab", {}),
    ("subject", "CORT_01", {}),
    ("subject", "zado", {"dataset": "spikes.times.npy"}),
    ("project", "practice", {"lab": ["cortexlab", "churchlandlab"]}),
    ("protocol", "ephysChoice", {"dataset": ["spikes.times.npy", "_ibl_trials.table.pqt"], "qc": "PASS"}),
    ("dataset", "spikes.times.npy", {}),
    ("dataset", "LEFTcamera", {}),
    ("dataset", "trials", {"lab": "wittenlab", "from": "2020-01-01"}),
    ("dataset", "no such dataset", {}),
]
CLICKS: list[dict[str, str | list[str]]] = [
    {},
    {"lab": "churchlandlab"},
    {"dataset": "spikes.times.npy"},
    {"dataset": ["spikes.times.npy", "spikes.clusters.npy", "_ibl_trials.table.pqt"]},
    {"qc": "PASS"},
    {"from": "2020", "to": "2022-06"},
]


def keystrokes() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a name and the parameters of each request."""
    for name, word, others in WORDS:
        for size in range(1, len(word) + 1):
            yield f"{name}: {word}", {**others, f"{name}.text": word[:size]}
    for parameters in CLICKS:
        yield "click", parameters


def timed(web: httpx.Client, path: str, parameters: dict[str, Any]) -> tuple[float, Any]:
    """Return the milliseconds and the content of an answer."""
    started = time.perf_counter()
    answer = web.get(path, params=parameters)
    took = (time.perf_counter() - started) * 1000
    answer.raise_for_status()
    return took, answer.json()


def measure(folder: Path) -> dict[str, Any]:
    """Serve the tables of a folder and time the requests."""
    from one_async import ONE

    times: dict[str, list[float]] = {}
    with ONE(mode="local", cache_dir=folder) as one:
        one.load_cache()
        started = time.perf_counter()
        page = one.browse()
        opened = time.perf_counter() - started
        with page, httpx.Client(base_url=page.url, timeout=60) as web:
            for name, parameters in keystrokes():
                times.setdefault(name, []).append(timed(web, "api/query", parameters)[0])
            total = timed(web, "api/query", {})[1]["total"]
            for at in range(0, total, max(1, total // 50)):
                took, _ = timed(web, "api/sessions", {"offset": at, "limit": 200})
                times.setdefault("a page of 200 sessions", []).append(took)
            for row in timed(web, "api/sessions", {"offset": total // 2, "limit": 50})[1]["rows"]:
                times.setdefault("a session", []).append(timed(web, "api/session", {"eid": row[0]})[0])
    rows = [
        {"what": name, "requests": len(all_), "median_ms": statistics.median(all_), "worst_ms": max(all_)}
        for name, all_ in times.items()
    ]
    return {"opened_s": opened, "sessions": total, "rows": rows, "limit_ms": LIMIT}


def show(found: dict[str, Any]) -> None:
    """Print the times as a table."""
    print(f"{found['sessions']:,} sessions; the page is there after {found['opened_s']:.2f} s")
    for row in found["rows"]:
        print(
            f"{row['what']:36} {row['requests']:4} requests  median {row['median_ms']:6.1f} ms  worst {row['worst_ms']:6.1f} ms"
        )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--datasets", type=int, default=3_400_000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        if given.folder is None:
            sys.path.insert(0, str(HERE))
            from generate import write

            write(folder, sessions_count=given.sessions, datasets_count=given.datasets)
        found, size = measure(folder), size_of(folder)
    show(found)
    if given.json:
        rows = [Row("the page is there", found["opened_s"] * 1e3, unit="ms")]
        rows += [
            Row(f"{row['what']}, slowest of {row['requests']}", row["worst_ms"], unit="ms")
            for row in found["rows"]
        ]
        save(given.json, __file__, rows, size)
    if max(row["worst_ms"] for row in found["rows"]) > LIMIT:
        sys.exit(f"a request took longer than {LIMIT:.0f} ms")


if __name__ == "__main__":
    main()
