"""``one-async harvest``: its table, its JSON, and its exit status."""

from __future__ import annotations

import json
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
    env = {"ONE_BASE_URL": emulator.url}  # the environment has this server's login
    return CliRunner(env=env).invoke(app, ["harvest", *arguments, "--url", emulator.url], terminal_width=120)


def test_a_complete_harvest_exits_with_0(recorded_emulator: Any, tmp_path: Path) -> None:
    done = run(recorded_emulator, "sessions", "insertions", "--to", str(tmp_path))
    assert done.exit_code == 0, done.output
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[:5] for row in rows] == [
        ["sessions", "complete", "36", "36", "36"],
        ["insertions", "complete", "12", "12", "12"],
    ]
    assert pl.read_parquet(tmp_path / "sessions" / "*.parquet").height == 36
    since = run(recorded_emulator, "insertions", "--to", str(tmp_path), "--since", "2030-01-01", "--json")
    assert json.loads(since.stdout)["endpoints"]["insertions"]["distinct"] == 12


def test_an_incomplete_harvest_exits_with_1_and_can_be_resumed(tmp_path: Path) -> None:
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


def test_the_folder_is_required(
    recorded_emulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(recorded_emulator, "labs", "--to", "")
    assert done.exit_code == 2
    assert "to=" in done.stderr
    assert not list(tmp_path.iterdir())


def test_an_impossible_target_is_named(recorded_emulator: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run(recorded_emulator, "labs", "--to", str(tmp_path / "file"))
    assert done.exit_code == 2
    assert "to=" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["nonsense"], "ENDPOINT="),
        (["sessions", "--since", "soon"], "since="),
        (["sessions", "--format", "csv"], "format="),
        (["sessions", "--format", "frame"], "accepted: parquet, delta"),
        (["cache", "sessions"], "ENDPOINT="),
        (["sessions", "--filter", "lab=cortexlab"], "--filter="),
        (["sessions", "--filter", "labs:name=x"], "--filter="),
        (["sessions", "--filter", "sessions:labb=x"], "labb="),
        (["sessions", "--storage-option", "aws_region"], "--storage-option="),
    ],
)
def test_wrong_arguments_exit_with_2(
    recorded_emulator: Any, tmp_path: Path, arguments: list[str], name: str
) -> None:
    done = run(recorded_emulator, *arguments, "--to", str(tmp_path))
    assert done.exit_code == 2
    assert name in done.stderr
    assert "delta, frame" not in done.stderr  # only possible in Python
    assert not list(tmp_path.iterdir())


def test_every_endpoint_is_harvested_if_none_is_named(recorded_emulator: Any, tmp_path: Path) -> None:
    done = run(recorded_emulator, "--to", str(tmp_path), "--json")
    assert done.exit_code == 0, done.output
    listed = {name for name, held in worlds.recorded_world().records.items() if held["list"]}
    beside = {"report.json", "schema.md", "views.sql"}
    assert {path.name for path in tmp_path.iterdir()} - {"metadata.duckdb"} == listed | beside
    assert set(json.loads(done.stdout)["endpoints"]) == listed


def test_filters_by_endpoint_and_since_last_are_passed_on(recorded_emulator: Any, tmp_path: Path) -> None:
    chosen = [
        "--filter",
        "sessions:lab=cortexlab",
        "--filter",
        "sessions:number=1",
        "--filter",
        "labs:name=cortexlab",
    ]
    arguments = ["sessions", "labs", "tags", "--to", str(tmp_path), *chosen, "--json"]
    first = run(recorded_emulator, *arguments)
    assert first.exit_code == 0, first.output
    rows = worlds.recorded_world().records["sessions"]["list"]
    wanted = {row["id"] for row in rows if row["lab"] == "cortexlab" and row["number"] == 1}
    assert set(pl.read_parquet(tmp_path / "sessions" / "*.parquet")["eid"]) == wanted
    assert pl.read_parquet(tmp_path / "labs" / "*.parquet")["name"].to_list() == ["cortexlab"]
    assert "lab=cortexlab, number=1" in (tmp_path / "schema.md").read_text()
    again = run(recorded_emulator, *arguments, "--since", "last")
    assert again.exit_code == 0, again.output
    report = json.loads(again.stdout)["endpoints"]
    assert report["sessions"]["distinct"] == len(wanted)
    other = run(recorded_emulator, "sessions", "--to", str(tmp_path), "--since", "last")
    assert other.exit_code == 2
    assert "--filter=" in other.stderr


def test_help_names_the_variables_of_object_stores() -> None:
    text = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["harvest", "--help"]).stdout
    for name in (
        "ONE_S3_ENDPOINT",
        "AWS_ENDPOINT_URL",
        "AWS_ALLOW_HTTP",
        "--storage-option",
        "--filter",
        "last",
    ):
        assert name in text
