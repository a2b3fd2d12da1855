"""The results of benchmarks, in one JSON file, from which ``docs/make_performance.py`` writes the page on performance.

Each script adds its rows to the file that ``--json`` names and replaces those of its last run. With
``ONE_BENCHMARK_SHARED=1`` the page says that the machine was busy with other programs.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("httpx", "hishel", "polars", "numpy", "pydantic")


@dataclass(frozen=True)
class Row:
    """One figure of ours, and the same figure of what it is compared with in the same run."""

    what: str
    ours: float
    other: float | None = None
    other_name: str = "ONE-api"
    unit: str = "s"


def save(path: Path, script: str, rows: list[Row], size: str = "") -> None:
    """Add the rows of a script to a file of results, with the day, the machine, the versions and the size of the data."""
    results: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    results[Path(script).stem] = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "size": size,
        "rows": [asdict(row) for row in rows],
    }
    path.write_text(json.dumps(results, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")


def size_of(folder: Path) -> str:
    """Return the numbers of sessions and datasets in the tables of a folder."""
    import polars as pl

    counts = [
        pl.scan_parquet(folder / f"{name}.pqt").select(pl.len()).collect().item()
        for name in ("sessions", "datasets")
    ]
    return f"tables of {counts[0]:,} sessions and {counts[1]:,} datasets"


def machine() -> str:
    """Return the cores, memory and system of this machine, and whether it is busy with other programs."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    shared = ", shared with other programs" if os.environ.get("ONE_BENCHMARK_SHARED") else ""
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}{shared}"


def versions() -> dict[str, str]:
    """Return the versions of Python, this package and its dependencies, and of ONE-api where it was compared with."""
    import one_async

    found = {"Python": platform.python_version(), "one_async": one_async.__version__}
    for name in PACKAGES:
        found[name] = version(name)
    if python := os.environ.get("ONE_API_PYTHON"):
        code = "from importlib.metadata import version; print(version('ONE-api'))"
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, env=clean)
        found["ONE-api"] = done.stdout.strip()
    return found
