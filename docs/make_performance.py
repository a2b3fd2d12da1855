"""Write `docs/performance.md` from the results of the benchmarks.

nox -s bench -- --json tests/benchmarks/results.json && python docs/make_performance.py
"""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
RESULTS = DOCS.parent / "tests" / "benchmarks" / "results.json"
HEAD = """<!-- Made by docs/make_performance.py from tests/benchmarks/results.json; not to be edited by hand. -->

# Performance

What the scripts in `tests/benchmarks` measured. Each row compares both sides in one run on one machine, so the ratio means
more than the times: it is how many times less time or memory one_async takes than the other side. On another machine,
`nox -s bench -- --json tests/benchmarks/results.json` measures again, and `python docs/make_performance.py` writes this page.
"""
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
    (DOCS / "performance.md").write_text(page(json.loads(RESULTS.read_text("utf-8"))), "utf-8")
