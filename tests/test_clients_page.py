"""``docs/clients.md`` shows the results of ``nox -s clients``, the goals are reached, and every failure has a reason."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

#: The steps of each row that must pass in both ways of one_async.
GOALS = {
    "loaders": 26,
    "probes": 6,
    "interface": 6,
    "modules": 163,
    "bwm": 9,
    "gui": 4,
    "nwb": 47,
    "notebooks": 95,
}


@pytest.fixture(scope="module")
def report() -> ModuleType:
    place = Path(__file__).parent / "clients" / "report.py"
    spec = importlib.util.spec_from_file_location("clients_report", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_made_from_the_results(report: ModuleType) -> None:
    assert report.PAGE.read_text("utf-8") == report.page(report.read())


@pytest.mark.parametrize("row", GOALS)
def test_the_goals_are_reached(report: ModuleType, row: str) -> None:
    outcomes: dict[str, dict[str, Any]] = report.read()[row]["outcomes"]
    passed = {way: sum(step["ok"] for step in steps.values()) for way, steps in outcomes.items()}
    assert min(passed["compat"], passed["instance"]) >= GOALS[row]
    for text in report.failures(row, outcomes):
        assert " – " in text, text


def test_a_step_is_equal_different_or_failed(report: ModuleType) -> None:
    one = {"ok": True, "digest": "1"}
    two = {"ok": True, "digest": "2"}
    no = {"ok": False, "error": "TypeError: no"}
    outcomes = {
        "one-api": {"a": one, "b": one, "c": one, "d": no, "e": no},
        "compat": {"a": one, "b": two, "c": no, "d": no, "e": one},
        "instance": {"a": one, "b": one, "c": no, "d": no, "e": one},
    }
    assert report.line("probes", outcomes).endswith("| 5 | 3 | 3 | 3 | 3 of 4 |")
    assert report.failures("probes", outcomes) == [
        "- probes, `b`, one_async.compat: another value",
        "- probes, `c`, one_async.compat and an instance: TypeError: no",
        "- probes, `d`, every way: TypeError: no",
        "- probes, `e`, ONE-api: TypeError: no",
    ]
