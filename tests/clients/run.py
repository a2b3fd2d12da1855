"""Run clients of ONE-api with it and with one_async against one emulator, and write ``docs/clients.md``.

``python run.py PYTHON [ROW …]`` where PYTHON is an interpreter that has the clients, ONE-api and one_async. Rows that are named
replace those of the last run in ``result.json``; without names all run. The software of the rows that are on GitHub
alone is taken from the folder that the environment variable ``ONE_CLIENTS`` names.
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

import github_rows
import report

from one_async.emulator import Emulator

HERE = Path(__file__).parent
#: Seconds that a row may take in one way.
LIMIT = 1200
Outcomes = dict[str, dict[str, Any]]


def run(python: str, way: str, row: str, url: str) -> Outcomes:
    """Run the steps of a row in a process of its own, with a home and a cache folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        # Buckets are looked for at the emulator, which has none: no request leaves this machine
        aws = {"AWS_ENDPOINT_URL": url, "AWS_MAX_ATTEMPTS": "1"}
        env = {**os.environ, **aws, "HOME": folder, "ONE_CONFIG_DIR": f"{folder}/config"}
        command = [python, str(HERE / "steps.py"), way, row, url, folder]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=LIMIT)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        return {"start": {"ok": False, "error": last[:200]}}
    found: Outcomes = json.loads(done.stdout.splitlines()[-1])
    return found


def versions(python: str) -> dict[str, str]:
    """Return the versions of the clients that are installed."""
    code = (
        "import json\nfrom importlib.metadata import distributions\n"
        "print(json.dumps({d.name.lower(): d.version for d in distributions()}))"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    return {name: found[name.lower()] for name in report.PACKAGES if name.lower() in found}


def main() -> None:
    """Run all rows, or those named after the interpreter, and write the results and the page."""
    python, *wanted = sys.argv[1:]
    results = report.read()
    here = [row for row in report.ROWS if row not in github_rows.REPOSITORIES or github_rows.is_there(row)]
    with Emulator() as alyx:
        for row in wanted or here:
            outcomes = {way: run(python, way, row, alyx.url) for way in report.WAYS}
            about = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "versions": versions(python)}
            results[row] = {**about, "outcomes": outcomes}
            print(report.line(row, outcomes), *report.failures(row, outcomes), sep="\n", flush=True)
    for row in set(report.ROWS) - set(here) - set(results):
        print(f"{row} is skipped: ONE_CLIENTS names no folder with {github_rows.REPOSITORIES[row][0]}")
    report.write(results)


if __name__ == "__main__":
    main()
