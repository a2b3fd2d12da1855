"""``one-async tables build``: output and refusals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from uuid import UUID, uuid3

import polars as pl
import pytest
from typer.testing import CliRunner

from one_async.cli.app import app
from one_async.tables.build import build_tables
from one_async.tables.catalogue import Catalogue
from one_async.tables.disk import save_tables

SPACE = UUID(int=3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for subject in "AB":
        path = tmp_path / f"data/lab/Subjects/{subject}/2020-01-01/001/alf/spikes.times.npy"
        path.parent.mkdir(parents=True)
        path.write_text(subject)
    return tmp_path / "data"


def run(*words: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["tables", "build", *map(str, words)])
    return done.exit_code, done.stdout, done.stderr


def test_build_prints_the_files_and_the_changes(folder: Path) -> None:
    code, out, remarks = run(folder, "--namespace", SPACE)
    assert (code, out.split()) == (0, [str(folder / "sessions.pqt"), str(folder / "datasets.pqt")])
    assert "sessions: 2 new, 0 gone, 0 unchanged; datasets: 2 new, 0 gone, 0 unchanged" in remarks
    (folder / "lab/Subjects/A/2020-01-01/001/alf/spikes.amps.npy").write_text("x")
    (folder / "lab/Subjects/A/2020-02-30/001").mkdir(parents=True)
    code, out, remarks = run(folder, "--json", "--quick", "--hash-files")
    assert code == 0
    assert json.loads(out)["datasets"] == {"new": 1, "gone": 0, "changed": 2, "unchanged": 0}
    assert remarks.count("2020-02-30") == 1
    assert "TablesWarning" not in remarks
    ids = pl.read_parquet(folder / "sessions.pqt")["id"].to_list()
    assert ids == sorted(str(uuid3(SPACE, f"lab/{subject}/2020-01-01/001")) for subject in "AB")


def test_tables_of_a_database_are_replaced_only_with_overwrite(folder: Path, tmp_path: Path) -> None:
    raw = {name: {"date_created": "2025-01-15 06:00", "origin": "alyx"} for name in ("sessions", "datasets")}
    save_tables(build_tables(folder).with_meta(raw=raw), folder, clobber=True)
    code, out, remarks = run(folder)
    assert (code, out) == (2, "")
    assert "--overwrite" in remarks
    (tmp_path / "out").mkdir()
    assert run(folder, "--out", tmp_path / "out")[0] == 0
    assert Catalogue.open(folder).meta.origin == {"alyx"}
    assert run(folder, "--overwrite")[0] == 0
    assert Catalogue.open(folder).meta.origin == {str(folder.resolve())}


def test_a_namespace_must_be_a_uuid(folder: Path) -> None:
    assert run(folder, "--namespace", "lab")[0] == 2
    assert not list(folder.glob("*.pqt"))


def test_build_watches_until_a_signal(folder: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "one_async",
        "tables",
        "build",
        str(folder),
        "--watch",
        "--every",
        "0.05",
        "--json",
    ]
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        try:
            assert process.stdout is not None
            first = json.loads(process.stdout.readline())
            (folder / "lab/Subjects/A/2020-01-01/001/alf/spikes.amps.npy").write_text("x")
            second = json.loads(process.stdout.readline())
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
    assert first["sessions"]["new"] == 2
    assert second["datasets"] == {"new": 1, "gone": 0, "changed": 0, "unchanged": 2}


@pytest.mark.parametrize(
    "words",
    [["tables", "build", ""], ["tables", "build", " "], ["tables", "build", ".", "--out", ""],
     ["search", "--cache-dir", "", "lab=x"], ["register", ""], ["download", "x", "--to", ""], ["watch", "--cursor", ""]],
)  # fmt: skip
def test_an_empty_path_is_refused(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, words)
    assert done.exit_code == 2
    assert "an empty text is no path" in done.output
    assert list(tmp_path.iterdir()) == []


def test_the_error_of_a_missing_folder_names_the_option(tmp_path: Path) -> None:
    code, out, remarks = run(tmp_path / "nothing")
    assert (code, out) == (2, "")
    assert "FOLDER='" in remarks
    assert "root_dir" not in remarks
