"""``one-async harvest``: its table, its JSON, and its exit status."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import worlds
from typer.testing import CliRunner

from one_async.cli.app import app
from one_async.emulator import Emulator

pytestmark = pytest.mark.usefixtures("login")


def run(emulator: Any, *arguments: str) -> Any:
    env = {"ONE_BASE_URL": emulator.url}  # whose login the environment's is
    return CliRunner(env=env).invoke(app, ["harvest", *arguments, "--url", emulator.url], terminal_width=120)


def test_a_complete_harvest(recorded_emulator: Any, tmp_path: Path) -> None:
    done = run(recorded_emulator, "sessions", "insertions", "--to", str(tmp_path))
    assert done.exit_code == 0, done.output
    assert re.findall(r"(?m)^\s*(\w+) +complete", done.stdout) == ["sessions", "insertions"]
    assert "36" in done.stdout
    assert pl.read_parquet(tmp_path / "sessions" / "*.parquet").height == 36
    since = run(recorded_emulator, "insertions", "--to", str(tmp_path), "--since", "2030-01-01", "--json")
    assert json.loads(since.stdout)["endpoints"]["insertions"]["distinct"] == 12


def test_an_incomplete_one_ends_with_1_and_can_be_resumed(tmp_path: Path) -> None:
    with Emulator(worlds.world(sessions=2500)) as emulator:
        emulator.faults.add("/sessions", skip=1, times=None, status=503, headers={"retry-after": "0"})
        done = run(emulator, "sessions", "--to", str(tmp_path))
        assert done.exit_code == 1
        assert "INCOMPLETE" in done.stdout
        assert "503" in done.stdout
        emulator.faults.clear()
        again = run(emulator, "sessions", "--to", str(tmp_path))
        assert again.exit_code == 0, again.output
    assert pl.read_parquet(tmp_path / "sessions" / "*.parquet").height == 2500


def test_no_folder_is_not_this_one(
    recorded_emulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(recorded_emulator, "labs", "--to", "")
    assert done.exit_code == 2
    assert "to=" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_is_named(recorded_emulator: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run(recorded_emulator, "labs", "--to", str(tmp_path / "file"))
    assert done.exit_code == 2
    assert "to=" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["nonsense"], "endpoint="),
        (["sessions", "--since", "soon"], "since="),
        (["sessions", "--format", "csv"], "format="),
        (["cache", "sessions"], "endpoints="),
    ],
)
def test_wrong_arguments_end_with_2(
    recorded_emulator: Any, tmp_path: Path, arguments: list[str], name: str
) -> None:
    done = run(recorded_emulator, *arguments, "--to", str(tmp_path))
    assert done.exit_code == 2
    assert name in done.stderr
    assert not list(tmp_path.iterdir())


def test_without_names_every_endpoint_comes(recorded_emulator: Any, tmp_path: Path) -> None:
    done = run(recorded_emulator, "--to", str(tmp_path), "--json")
    assert done.exit_code == 0, done.output
    listed = {name for name, held in worlds.recorded_world().records.items() if held["list"]}
    beside = {"report.json", "schema.md", "views.sql"}
    assert {path.name for path in tmp_path.iterdir()} - {"metadata.duckdb"} == listed | beside
    assert set(json.loads(done.stdout)["endpoints"]) == listed
