"""Run clients of ONE-api with it and with one_async against one emulator, and write ``docs/clients.md``.

``python run.py PYTHON`` where PYTHON is an interpreter that has the clients, ONE-api and one_async.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from one_async.emulator import Emulator

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "clients.md"
WAYS = ("one-api", "compat", "instance")
ROWS = {
    "modules": "modules of ibllib, brainbox, iblatlas and iblphotometry that can be imported",
    "loaders": "ibllib's loaders",
    "probes": "`SpikeSortingLoader.load_spike_sorting`",
    "interface": "spikeinterface's `read_ibl_*`",
}
PACKAGES = ("ibllib", "iblatlas", "spikeinterface", "ibl-neuropixel", "ONE-api", "pandas", "numpy")
Result = dict[str, dict[str, Any]]


def run(python: str, way: str, row: str, url: str, cache_dir: str) -> Result:
    """Run the steps of a row in a process of its own."""
    env = {**os.environ, "HOME": cache_dir, "ONE_CONFIG_DIR": f"{cache_dir}/config"}
    done = subprocess.run(
        [python, str(HERE / "steps.py"), way, row, url, cache_dir],
        env=env, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    if done.returncode:
        return {
            "start": {"ok": False, "error": (done.stderr.strip().splitlines() or ["no output"])[-1][:200]}
        }
    found: Result = json.loads(done.stdout.splitlines()[-1])
    return found


def versions(python: str) -> str:
    """Return the versions of the clients."""
    code = f"from importlib.metadata import version as v; print(', '.join(f'{{n}} {{v(n)}}' for n in {PACKAGES}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def table(results: dict[str, dict[str, Result]]) -> list[str]:
    """Return the page's table."""
    lines = [
        "| steps that pass | of | ONE-api | one_async for `one` | an instance of one_async | values equal |",
        "|---|---|---|---|---|---|",
    ]
    for row, by_way in results.items():
        steps = max(by_way.values(), key=len)
        counts = [str(sum(step["ok"] for step in by_way[way].values())) for way in WAYS]
        both = [
            name
            for name, step in by_way["one-api"].items()
            if step["ok"] and by_way["compat"].get(name, {}).get("ok")
        ]
        equal = sum(by_way["one-api"][name]["digest"] == by_way["compat"][name]["digest"] for name in both)
        lines.append(f"| {ROWS[row]} | {len(steps)} | {' | '.join(counts)} | {equal} of {len(both)} |")
    return lines


def failures(results: dict[str, dict[str, Result]]) -> list[str]:
    """Return a line for each step that fails."""
    return [
        f"- {row}, {way}: `{name}`: {step['error']}".replace("\n", " ").replace("|", "/")
        for row, by_way in results.items()
        for way, steps in by_way.items()
        for name, step in steps.items()
        if not step["ok"]
    ]


def main() -> None:
    """Run all rows, or those named after the interpreter, and write the page if all ran."""
    python, *wanted = sys.argv[1:]
    results: dict[str, dict[str, Result]] = {}
    with Emulator() as alyx:
        for row in wanted or ROWS:
            results[row] = {}
            for way in WAYS:
                with tempfile.TemporaryDirectory() as folder:
                    results[row][way] = run(python, way, row, alyx.url, folder)
    clients = os.environ.get("ONE_CLIENTS")
    skipped = (
        "Software that is on GitHub alone was not run: no steps for it are written yet."
        if clients
        else (
            "Software that is on GitHub alone (brainwidemap, IBL-to-nwb, the alignment GUI, notebooks) was not run."
        )
    )
    text = [
        "# Software that uses ONE-api", "",
        "Made by `nox -s clients`; not to be edited by hand.", "",
        f"Run on {datetime.now(UTC):%Y-%m-%d} with {versions(python)}, on the emulator's seeded world. " + skipped, "",
        *table(results), "", "## Steps that fail", "", *(failures(results) or ["None."]),
    ]  # fmt: skip
    print("\n".join(text))
    if not wanted:
        PAGE.write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
