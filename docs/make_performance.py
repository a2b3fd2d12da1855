"""Write `docs/performance.md`, and the part of the README on speed, from the results of the benchmarks.

nox -s bench -- --json tests/benchmarks/results.json && python docs/make_performance.py
"""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
README = DOCS.parent / "README.md"
RESULTS = DOCS.parent / "tests" / "benchmarks" / "results.json"
#: What the README's table has of `bench_tables`: the rows, and what they are called there.
CALLS = {
    "opening the tables": "`open`",
    "opening them the first time, with conversion": "`open, first time`",
    "`search(datasets=…)` over all sessions": "`search(datasets)`",
    "`search(lab=…, datasets=[…, …])`": "`search(lab, two datasets)`",
    "`search(lab=…)`": "`search(lab)`",
    "`search(subject=…)`": "`search(subject)`",
    "`list_datasets(eid)`": "`list_datasets(eid)`",
    "`list_datasets()` over all": "`list_datasets()`",
    "`eid2path` of 1,000": "`eid2path(1000)`",
    "memory after the searches": "memory after the searches",
}
HEAD = """<!-- Made by docs/make_performance.py from tests/benchmarks/results.json; not to be edited by hand. -->

# Performance

What the scripts in `tests/benchmarks` measured. Each row compares both sides in one run on one machine, so the ratio means
more than the times: it is how many times less time or memory one_async takes than the other side. On another machine,
`nox -s bench -- --json tests/benchmarks/results.json` measures again, and `python docs/make_performance.py` writes this page.
"""
#: The part of the README on speed.
SPEED = """## How fast

Beside ONE-api {version} on {machine}; what is compared was measured in one run.
With {size}, through `ONE` (`tests/benchmarks/bench_tables.py`):

| | ONE-api | one_async | ratio |
|---|---|---|---|
{calls}
Converting 10,000 identifiers takes {ids}, depending on their kinds (`bench_ids.py`).{refresh}

Over the network (`bench_load.py`, `bench_client.py`): 500 files of 100 kB at 20 ms latency {files[ratio]} times faster, the
trials of 100 sessions {trials[ratio]} times, 3,000 sessions listed at 50 ms latency in {list[ours]} instead of {list[other]}. A
file of 1 GiB takes {big[ours]} from the emulator on this machine, its md5 checked; curl takes {curl[other]}, and {big[other]}
with md5sum after it.

A harvest of 20,000 sessions at 50 ms latency (`bench_harvest.py`) takes {frames[ours]} into frames; the best bare httpx script
that reads the same pages, unchecked, takes {frames[other]} in the same run. To Parquet it takes {parquet[ours]}, {parquet[ratio]}
times less than ONE-api. Lists without an order of their own are read by ranges of ids, since their pages lose rows:
{unordered[ours]}. All figures: [docs/performance.md](docs/performance.md).

"""
REFRESH = """ While tables are replaced by newer ones,
50 searches a second continue, and the event loop is blocked for at most {pause[ours]} (`bench_refresh.py`)."""
#: The scripts, with their titles and descriptions.
BENCHMARKS = {
    "bench_tables": (
        "Cache tables",
        "Local mode on generated tables, each side in a process of its own.",
    ),
    "bench_ids": (
        "Identifiers",
        "10,000 sessions, files or probes in one call, from tables; the median of 15 calls.",
    ),
    "bench_browse": (
        "The browser page",
        "Requests to the page of `browse`; each keystroke is one.",
    ),
    "bench_completion": (
        "Completion",
        "Key presses in IPython's completer, on the tables of 100,000 sessions.",
    ),
    "bench_refresh": (
        "Refresh of tables",
        "An `AsyncONE` in mode `auto` answers searches while its tables are replaced by newer ones of the same size.",
    ),
    "bench_build": ("Tables of a folder", "`make_parquet_db` on a folder of small files."),
    "bench_client": ("Imports and requests", "The best of several rounds."),
    "bench_load": (
        "Downloads and loading",
        "From a server on the same machine; the md5 of the large file is checked.",
    ),
    "bench_spikes": (
        "Spike sorting",
        "`load_spike_sorting` of good clusters, beside a loop of ONE-api calls.",
    ),
    "bench_raw": (
        "Raw recordings",
        "A recording of 60 s and 385 channels at 20 ms latency, read in ranges.",
    ),
    "bench_harvest": (
        "Harvests",
        "All rows of an endpoint. The plain script reads the same pages with the best of eight fixed numbers of "
        "requests at once, and checks nothing.",
    ),
    "bench_register": ("Registration", "`register_session` of a list of folders, beside ONE-api's loop."),
    "bench_observed": (
        "Counts, logs and traces",
        "What they cost a call from the cache, with nothing attached.",
    ),
}


def page(results: dict[str, Any]) -> str:
    """Return the page of a file of results."""
    parts = [HEAD]
    for script, (title, about) in BENCHMARKS.items():
        parts.append(f"\n## {title}\n\n`{script}.py`. {about}\n")
        if script not in results:
            parts.append("\nNot measured for this page.\n")
            continue
        if size := results[script]["size"]:
            parts.append(f"\nWith {size}:\n")
        parts.append(f"\n{table(results[script]['rows'])}")
    parts.append(f"\n## Machines and versions\n\n{conditions(results)}")
    return "".join(parts)


def readme(results: dict[str, Any]) -> str:
    """Return the part of the README on speed."""

    def row(script: str, begin: str, which: int = 0) -> dict[str, str]:
        """Return the figures of one of the rows whose titles begin so."""
        found = [row for row in results[f"bench_{script}"]["rows"] if row["what"].startswith(begin)][which]
        other = found["other"]
        return {
            "ours": shown(found["ours"], found["unit"]),
            "other": "" if other is None else shown(other, found["unit"]),
            "ratio": "" if other is None else digits(other / found["ours"]),
        }

    tables, ids = results["bench_tables"], sorted(one["ours"] for one in results["bench_ids"]["rows"])
    calls = {call: row("tables", name) for call, name in CALLS.items()}
    return SPEED.format(
        version=tables["versions"]["ONE-api"],
        machine=tables["machine"],
        size=tables["size"],
        calls="".join(
            f"| {call} | {one['other']} | {one['ours']} | {one['ratio']} |\n" for call, one in calls.items()
        ),
        ids=f"{shown(ids[0], 'ms')} to {shown(ids[-1], 'ms')}",
        refresh=""
        if "bench_refresh" not in results
        else REFRESH.format(pause=row("refresh", "longest pause")),
        files=row("load", "500 files"),
        trials=row("load", "trials of 100"),
        list=row("client", "`search()` that finds 3,000"),
        curl=row("load", "one file of 1 GiB"),
        big=row("load", "one file of 1 GiB", 1),
        frames=row("harvest", "20,000 sessions, 50 ms latency, to frames"),
        parquet=row("harvest", "20,000 sessions, 50 ms latency, to Parquet"),
        unordered=row("harvest", "20,000 water-administrations, 50 ms latency, to frames"),
    )


def with_speed(text: str, results: dict[str, Any]) -> str:
    """Return the text of the README with these results."""
    head, _, rest = text.partition("## How fast\n")
    return f"{head}{readme(results)}## {rest.partition(chr(10) + '## ')[2]}"


def table(rows: list[dict[str, Any]]) -> str:
    """Return a table of rows, with a column of ratios only if some rows have a comparison."""
    compared = any(row["other"] is not None for row in rows)
    titles = ["", "one_async", *(["compared with", "its figure", "ratio"] if compared else [])]
    lines = [titles, ["---", *["---:" if title != "compared with" else "---" for title in titles[1:]]]]
    for row in rows:
        line = [row["what"], shown(row["ours"], row["unit"])]
        if row["other"] is not None:
            ratio = row["other"] / row["ours"]
            line += [row["other_name"], shown(row["other"], row["unit"]), f"{digits(ratio)}"]
        elif compared:
            line += ["", "", ""]
        lines.append(line)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def shown(value: float, unit: str) -> str:
    """Return a figure with its unit; 1,000 ms or more become seconds, and less than 0.1 s become milliseconds."""
    if unit == "ms" and value >= 1000:
        value, unit = value / 1000, "s"
    elif unit == "s" and value < 0.1:
        value, unit = value * 1000, "ms"
    return f"{digits(value)} {unit}"


def digits(value: float) -> str:
    """Return a number with three significant digits, or with all digits if it is large."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def conditions(results: dict[str, Any]) -> str:
    """Return the days, machines and versions, with one line for scripts that share them."""

    def of(script: str) -> tuple[str, str, str]:
        said = results[script]
        versions = {name: version for name, version in said["versions"].items() if name != "ONE-api"}
        return (
            said["date"],
            said["machine"],
            ", ".join(f"{name} {version}" for name, version in versions.items()),
        )

    lines = []
    for (date, machine, versions), scripts in groupby(sorted(results, key=of), of):
        names = ", ".join(f"`{script}.py`" for script in scripts)
        lines.append(f"- {date}, {machine}; {versions}: {names}\n")
    compared = {said["versions"]["ONE-api"] for said in results.values() if "ONE-api" in said["versions"]}
    if compared:
        lines.append(f"\nCompared with ONE-api {', '.join(sorted(compared))}.\n")
    return "".join(lines)


if __name__ == "__main__":
    measured = json.loads(RESULTS.read_text("utf-8"))
    (DOCS / "performance.md").write_text(page(measured), "utf-8")
    README.write_text(with_speed(README.read_text("utf-8"), measured), "utf-8")
