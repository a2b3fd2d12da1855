"""Run clients of ONE-api with it and with one_async against one emulator, and write ``docs/clients.md``.

``python run.py PYTHON ROW …`` where PYTHON is an interpreter that has the clients, ONE-api and one_async; ``pypi`` and ``github``
stand for all rows of software that is there. The results replace those of the last run of the same rows. Software that is only
on GitHub is read from the folder that the environment variable ``ONE_CLIENTS`` names; without it, its rows are skipped.
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
import pypi_rows
import report

from one_async.emulator import Emulator

HERE = Path(__file__).parent
#: Timeout of a row in one way, in seconds.
LIMIT = 1200
Outcomes = dict[str, dict[str, Any]]


def run(python: str, way: str, row: str, url: str) -> Outcomes:
    """Run the steps of a row in a separate process, with its own home and cache folder."""
    with tempfile.TemporaryDirectory() as folder:
        # The emulator is the bucket endpoint and has no buckets, so that all requests stay on this machine
        env = os.environ | {"AWS_ENDPOINT_URL": url, "AWS_MAX_ATTEMPTS": "1", "PYTHONHASHSEED": "0"}
        env |= {"HOME": folder, "ONE_CONFIG_DIR": f"{folder}/config"}
        command = [python, str(HERE / "steps.py"), way, row, url, folder]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=LIMIT)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        return {"start": {"ok": False, "error": last[:200]}}
    found: Outcomes = json.loads(done.stdout.splitlines()[-1])
    return found


def versions(python: str) -> dict[str, str]:
    """Return the versions of the installed clients."""
    code = (
        "import json\nfrom importlib.metadata import distributions\n"
        "print(json.dumps({d.name.lower(): d.version for d in distributions()}))"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    return {name: found[name.lower()] for name in report.PACKAGES if name.lower() in found}


def main() -> None:
    """Run the named rows and write the results and the page."""
    python, *wanted = sys.argv[1:]
    results = report.read()
    groups = {"pypi": [*pypi_rows.ROWS], "github": [*github_rows.ROWS]}
    rows = [row for name in wanted for row in groups.get(name, [name])]
    with Emulator() as alyx:
        for row in rows:
            if row in github_rows.ROWS and not github_rows.is_there(row):
                name = github_rows.REPOSITORIES[row][0]
                print(f"{row} is skipped: ONE_CLIENTS names no folder with {name}")
                continue
            outcomes = {way: run(python, way, row, alyx.url) for way in report.WAYS}
            about = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "versions": versions(python)}
            results[row] = {**about, "outcomes": outcomes}
            print(report.line(row, outcomes), *report.failures(row, outcomes), sep="\n", flush=True)
    report.write(results)


if __name__ == "__main__":
    main()
