"""``one-async register``: its tables, its JSON, and its exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from one_async.cli import show
from one_async.cli.app import app
from one_async.emulator import Emulator

from . import folders
from .folders import DATE, NAMES, SUBJECT, session, written

NAME = f"{SUBJECT}/{DATE}/001"


@pytest.fixture
def run(server: Emulator, tmp_path: Path) -> Any:
    def invoke(*arguments: object, user: str = "alice") -> Any:
        env = {
            "ONE_BASE_URL": server.url,
            "ONE_USERNAME": user,
            "ONE_PASSWORD": user,
            "ONE_CACHE_DIR": str(tmp_path / "c"),
        }
        given = ["register", *map(str, arguments)]
        return CliRunner(env=env).invoke(app, given)

    return invoke


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the console by a terminal of 160 columns."""
    console = Console(markup=False, emoji=False, force_terminal=True, no_color=True, width=160)
    monkeypatch.setattr(show, "console", console)


def lines(done: Any) -> list[list[str]]:
    assert done.exit_code == 0, done.output
    return [line.split("\t") for line in done.stdout.splitlines()]


@pytest.mark.usefixtures("terminal")
def test_the_plan_and_the_result_are_printed(run: Any, server: Emulator, tmp_path: Path) -> None:
    paths = [session(tmp_path, names=[*NAMES, "alf/some.thing.npy"]), session(tmp_path, number="002")]
    done = run(*paths, "--users", "alice,bruno")
    assert done.exit_code == 0, done.output
    before, after = done.stdout.split("registered: 2 sessions, 8 files")
    assert f"{NAME}, new session: 4 new, 1 no type" in before
    for word in (*NAMES, NAME, "wheel.position", "no dataset type matches"):
        assert word in before
    assert NAME in after
    made = [row["id"] for row in folders.rows(server, "sessions") if row["start_time"][:10] == DATE]
    assert all(eid in after for eid in made)
    again = run(*paths, "--json")
    assert {one["id"] for one in json.loads(again.stdout)["sessions"]} == set(made)


@pytest.mark.usefixtures("terminal")
def test_a_dry_run_prints_the_plan(run: Any, server: Emulator, tmp_path: Path) -> None:
    folder = session(tmp_path)
    done = run(folder, "--dry-run")
    assert (done.exit_code, written(server)) == (0, [])
    assert f"{NAME}, new session: 4 new" in done.stdout
    assert "registered" not in done.stdout
    rows = json.loads(run(folder, "--dry-run", "--json").stdout)
    assert [row["status"] for row in rows] == ["new"] * 4
    folders.write(folder / "alf/a b/_ibl_trials.table.pqt")
    assert run(folder, "--dry-run").exit_code == 1


@pytest.mark.parametrize("address", ["a file", "nothing://bucket"])
def test_a_dry_run_checks_the_address(run: Any, server: Emulator, tmp_path: Path, address: str) -> None:
    folder = session(tmp_path)
    done = run(folder, "--dry-run", "--to", folder / NAMES[0] if address == "a file" else address)
    assert (done.exit_code, written(server)) == (2, [])
    assert "--to=" in done.stderr


def test_piped_output_is_a_line_for_each_file_or_session(run: Any, server: Emulator, tmp_path: Path) -> None:
    paths = [session(tmp_path, names=[*NAMES, "alf/some.thing.npy"]), session(tmp_path, number="002")]
    planned = lines(run(*paths, "--dry-run"))
    wanted = [*(("new", f"{NAME}/{name}") for name in NAMES), ("no type", f"{NAME}/alf/some.thing.npy")]
    assert sorted((row[0], row[2]) for row in planned if row[2].startswith(f"{NAME}/")) == sorted(wanted)
    assert {row[3] for row in planned} == {""}  # no session has an eid yet
    assert len(planned) == 9
    made = lines(run(*paths))
    known = {row["id"] for row in folders.rows(server, "sessions") if row["start_time"][:10] == DATE}
    assert ({row[0] for row in made}, [row[1:] for row in made]) == (
        known,
        [[NAME, "4"], [f"{NAME[:-3]}002", "4"]],
    )
    assert lines(run(paths[0]))[0][0] in known


def test_refusals_exit_with_an_error(run: Any, server: Emulator, tmp_path: Path) -> None:
    folder = session(tmp_path)
    folders.write(folder / "alf/a b/_ibl_trials.table.pqt")
    done = run(folder)
    assert (done.exit_code, written(server)) == (1, [])
    assert "collections may contain" in done.stderr
    unknown = run(session(tmp_path, subject="nobody"))
    assert unknown.exit_code == 1
    assert "subject 'nobody'" in unknown.stderr
    assert run(tmp_path).exit_code == 2
    assert run(session(tmp_path, number="003"), user="intbrainlab").exit_code == 1


def test_registered_rows_are_printed_after_an_error(run: Any, server: Emulator, tmp_path: Path) -> None:
    paths = [session(tmp_path), session(tmp_path, number="002")]
    server.faults.add("/register-file", method="POST", times=None, skip=1, status=500, before=True)
    done = run(*paths, "--json")
    assert done.exit_code == 1
    said = json.loads(done.stdout)
    assert (len(said["sessions"]), len(said["files"]), len(said["refused"])) == (2, 4, 4)
    text = run(*paths)
    # The requests are concurrent, so that the server may refuse either session.
    assert sorted(line.split("\t")[2] for line in text.stdout.splitlines()) == ["0", "4"]
    assert text.stderr.count("the server refused it") == 4


def test_the_lab_option_is_used_for_paths_without_a_lab(run: Any, server: Emulator, tmp_path: Path) -> None:
    done = run(session(tmp_path, lab=None), "--lab", "riverlab", "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["sessions"][0]["lab"] == "riverlab"
    repositories = {one["data_repository"] for file in said["files"] for one in file["file_records"]}
    assert any("riverlab" in name for name in repositories)
