"""Write ``docs/clients.md`` from the results of ``run.py``: ``python tests/clients/report.py``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "clients.md"
RESULT = HERE / "result.json"
WAYS = {"one-api": "ONE-api", "compat": "one_async.compat", "instance": "an instance"}
ROWS = {
    "loaders": "ibllib: `SessionLoader`, `SpikeSortingLoader`, `EphysSessionLoader` and functions that take `one`",
    "probes": "ibllib: `SpikeSortingLoader.load_spike_sorting`, the probes of the seeded world",
    "interface": "spikeinterface: `read_ibl_recording`, `read_ibl_sorting`",
    "modules": "modules of ibllib, brainbox, iblatlas and iblphotometry that can be imported",
    "bwm": "brainwidemap: queries, loaders and filters",
    "gui": "the alignment GUI of iblapps: its loaders",
    "nwb": "IBL-to-nwb: what each interface finds, fetches and converts",
    "notebooks": "ibllib's notebooks, their cells",
}
PACKAGES = (
    "ONE-api",
    "ibllib",
    "iblatlas",
    "ibl-neuropixel",
    "ibl-photometry",
    "spikeinterface",
    "neuroconv",
    "pandas",
    "numpy",
)
#: Why steps fail or differ: a regular expression that matches a line of the results, and the reason.
REASONS = {
    "No module named": "not installed",
    "NameError": "an earlier cell failed",
    "load_good_units.*another value|merge_probes.*another value": "whole numbers of a table stay "
    "whole numbers, which ONE-api turns into floats where another column has floats",
    "get_subjects.*another value": "the GUI asks for insertions by `dataset_type`, which is no filter of Alyx: it is ignored "
    "and all insertions come back; one_async takes it for `dataset_types`",
    "data_download 13|multi_photon_imaging_data 10": "`search(details=True)` returns a frame, in every mode",
    "download_aggregate_tables": "the emulator has no bucket",
    "multi_photon|photometry_data|mesoscope|widefield": "the seeded world has no such recordings",
    "iblphotometry.validation": "the module writes `ONE | None`, and `ONE` of ONE-api is a function",
    "Psychometric curves": "the notebook is of an earlier ONE-api",
    "loading_raw_video_data 6|loading_trials_data 7": "the notebook is of an earlier ibllib",
    "loading_passive_data 4": "the probes of the seeded world have no spikes after the task",
    "loading_trials_data 3": "the seeded world has no table of a subject's sessions",
    "docs_wheel_moves 14": "the notebook counts on the trials of its own session",
}
HEAD = """\
# Software that uses ONE-api

Made by `nox -s clients`; not to be edited by hand.

Each step is run three times against the emulator's seeded world: with ONE-api, with `one_async.compat` standing in for the
package `one`, and with ONE-api imported by the software but an instance of `one_async.api.ONE` handed to it. What a step returns
is compared by value and type with what it returns with ONE-api. Set aside is the order of the columns of a frame that a loader
makes of a session's files: ONE-api has them in the order of the server's answer, `one_async` by name.

Software that is on GitHub alone is run from a folder that the environment variable `ONE_CLIENTS` names, at its state of that day.
"""
Outcomes = dict[str, dict[str, Any]]


def read() -> dict[str, Any]:
    """Return the results of the last run, or none if there was no run."""
    found: dict[str, Any] = json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else {}
    return found


def write(results: dict[str, Any]) -> None:
    """Write the results and the page."""
    RESULT.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    PAGE.write_text(page(results), "utf-8")


def page(results: dict[str, Any]) -> str:
    """Return the page."""
    names = " | ".join(WAYS.values())
    lines = [
        HEAD,
        f"| steps that pass | of | {names} | values equal to ONE-api's | run on |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        if row in results:
            lines.append(line(row, results[row]["outcomes"]) + f" {results[row]['date']} |")
        else:
            lines.append(f"| {ROWS[row]} | not run | | | | | |")
    lines += ["", "## Versions", "", *_versions(results), "", "## What fails or differs, and why", ""]
    found = [text for row in ROWS if row in results for text in failures(row, results[row]["outcomes"])]
    return "\n".join([*lines, *(found or ["Nothing."])]) + "\n"


def _versions(results: dict[str, Any]) -> list[str]:
    seen = {name: version for row in results.values() for name, version in row["versions"].items()}
    return [", ".join(f"{name} {seen[name]}" for name in PACKAGES if name in seen) + "."]


def line(row: str, outcomes: dict[str, Outcomes]) -> str:
    """Return a row of the page's table without its date."""
    steps = {name for steps in outcomes.values() for name in steps}
    passed = {way: {name for name, step in outcomes[way].items() if step["ok"]} for way in WAYS}
    compared = [(way, name) for way in ("compat", "instance") for name in passed[way] & passed["one-api"]]
    differ = sum(name in _different(outcomes, way) for way, name in compared)
    counts = " | ".join(str(len(passed[way])) for way in WAYS)
    return f"| {ROWS[row]} | {len(steps)} | {counts} | {len(compared) - differ} of {len(compared)} |"


def failures(row: str, outcomes: dict[str, Outcomes]) -> list[str]:
    """Return a line for each step that fails, and for each whose value differs."""
    lines = []
    for name in {name: None for steps in outcomes.values() for name in steps}:
        steps = {way: outcomes[way].get(name, {"ok": False, "error": "was not run"}) for way in WAYS}
        failed = [way for way in WAYS if not steps[way]["ok"]]
        differ = [way for way in WAYS if name in _different(outcomes, way)]
        if failed:
            ways = "every way" if len(failed) == len(WAYS) else " and ".join(WAYS[way] for way in failed)
            lines.append(
                _with_reason(f"- {row}, `{name}`, {ways}: {' '.join(steps[failed[0]]['error'].split())}")
            )
        if differ:
            lines.append(
                _with_reason(f"- {row}, `{name}`, {' and '.join(WAYS[way] for way in differ)}: another value")
            )
    return lines


def _with_reason(text: str) -> str:
    """Return a line with the first reason that matches it."""
    reason = next((reason for pattern, reason in REASONS.items() if re.search(pattern, text)), "")
    return f"{text[:300]}{' – ' if reason else ''}{reason}"


def _different(outcomes: dict[str, Outcomes], way: str) -> set[str]:
    """Return the steps that pass in both ways with different values."""
    theirs = outcomes["one-api"]
    return {
        name
        for name, step in outcomes[way].items()
        if step["ok"] and theirs.get(name, {}).get("ok") and theirs[name]["digest"] != step["digest"]
    }


if __name__ == "__main__":
    write(read())
