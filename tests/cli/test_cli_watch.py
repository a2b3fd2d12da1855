"""``one-async watch``: a line a session, and a cursor that goes on where it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from one_async import ONE
from one_async.cli.app import app
from one_async.emulator import Emulator

Run = Callable[..., Any]


@pytest.fixture
def environment(recorded_emulator: Emulator, tmp_path: Path) -> dict[str, str]:
    return {
        "ONE_BASE_URL": recorded_emulator.url,
        "ONE_USERNAME": "demo",
        "ONE_PASSWORD": "demo",
        "ONE_CACHE_DIR": str(tmp_path / "cache"),
        "ONE_CONFIG_DIR": str(tmp_path / "config"),
    }


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    return lambda *arguments: CliRunner(env=environment).invoke(app, ["watch", *map(str, arguments)])


def known(server: Emulator, folder: Path, **terms: Any) -> set[str]:
    """Return the ids of the sessions that a search finds."""
    login = {"base_url": server.url, "username": "demo", "password": "demo", "cache_dir": folder / "other"}
    with ONE(**login, mode="remote") as one:
        return {str(eid) for eid in one.search(**terms)}


def test_a_line_of_json_for_each_session(run: Run, recorded_emulator: Emulator, tmp_path: Path) -> None:
    done = run("lab=cortexlab", "--once", "--json")
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["id"] for row in rows} == known(recorded_emulator, tmp_path, lab="cortexlab")
    assert {row["lab"] for row in rows} == {"cortexlab"}


def test_a_line_of_fields_for_each_session(run: Run, recorded_emulator: Emulator, tmp_path: Path) -> None:
    done = run("--once")
    assert done.exit_code == 0, done.output
    assert {line.split("\t")[0] for line in done.stdout.splitlines()} == known(recorded_emulator, tmp_path)


def test_the_cursor_goes_on_where_it_was(run: Run, tmp_path: Path) -> None:
    first = run("lab=cortexlab", "--once", "--cursor", tmp_path / "done.txt")
    assert first.stdout
    again = run("lab=cortexlab", "--once", "--cursor", tmp_path / "done.txt")
    assert again.exit_code == 0, again.output
    assert again.stdout == ""


def test_wrong_terms_end_with_2(run: Run) -> None:
    done = run("lob=cortexlab", "--once")
    assert done.exit_code == 2
    assert "lob" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_it_waits_until_it_is_interrupted(environment: dict[str, str]) -> None:
    command = [
        sys.executable,
        "-c",
        "from one_async.cli.app import app; app()",
        "watch",
        "lab=cortexlab",
        "--json",
    ]
    with subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True
    ) as watcher:
        assert watcher.stdout is not None
        assert json.loads(watcher.stdout.readline())["lab"] == "cortexlab"
        assert watcher.poll() is None
        watcher.send_signal(signal.SIGINT)
        watcher.stdout.read()
        assert watcher.wait(timeout=30) == 130
