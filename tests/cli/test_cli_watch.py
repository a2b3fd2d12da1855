"""``one-async watch``: one line per session, now and later, until a signal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import Result
from typer.testing import CliRunner

from one_async.cli.app import app
from one_async.emulator import Emulator

SECONDS = 120


@pytest.fixture(scope="module")
def server() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def environment(server: Emulator, tmp_path: Path) -> dict[str, str]:
    return {
        "ONE_BASE_URL": server.url,
        "ONE_USERNAME": "demo",
        "ONE_PASSWORD": "demo",
        "ONE_CACHE_DIR": str(tmp_path / "data"),
        "ONE_CONFIG_DIR": str(tmp_path / "config"),
    }


def rows_of(server: Emulator, **filters: str) -> dict[str, dict[str, Any]]:
    """Return the server's rows, read by another HTTP client."""
    headers = {"authorization": f"Token {server.token('demo')}"}
    with httpx.Client(base_url=server.url, headers=headers) as client:
        page = client.get("/sessions", params={"limit": 1000, **filters}).json()
    return {row["id"]: row for row in page["results"]}


def add_session(server: Emulator, subject: str) -> str:
    headers = {"authorization": f"Token {server.token('demo')}"}
    with httpx.Client(base_url=server.url, headers=headers) as client:
        return str(client.post("/sessions", json={"subject": subject, "number": 77}).json()["id"])


def run(environment: dict[str, str], *arguments: str) -> Result:
    return CliRunner(env=environment).invoke(app, ["watch", *arguments])


def test_one_round_is_printed_as_json(server: Emulator, environment: dict[str, str]) -> None:
    done = run(environment, "--once", "--json", "lab=cortexlab", "datasets=_ibl_trials.table.pqt")
    assert done.exit_code == 0
    found = {row["id"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert found == rows_of(server, lab="cortexlab", datasets="_ibl_trials.table.pqt")
    assert found


def test_one_round_is_printed_as_text(server: Emulator, environment: dict[str, str]) -> None:
    done = run(environment, "--once")
    rows = rows_of(server)
    lines = done.stdout.splitlines()
    assert {line.split()[-1] for line in lines} == set(rows)
    for line in lines:
        row = rows[line.split()[-1]]
        assert line.startswith(
            f"{row['lab']}/{row['subject']}/{row['start_time'][:10]}/{row['number']:03d}  "
        )


def test_printed_sessions_are_not_printed_again(
    server: Emulator, environment: dict[str, str], tmp_path: Path
) -> None:
    cursor = str(tmp_path / "done.txt")
    first = run(environment, "--once", "--cursor", cursor).stdout.splitlines()
    assert len(first) == len(rows_of(server))
    assert run(environment, "--once", "--cursor", cursor).stdout == ""
    eid = add_session(server, next(iter(rows_of(server).values()))["subject"])
    [line] = run(environment, "--once", "--cursor", cursor).stdout.splitlines()
    assert line.endswith(eid)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--every", "0"], "every"), (["lab"], "TERM=VALUE"), (["laab=x", "--once"], "laab"),
        (["number=x", "--once"], "number"), (["--cursor", __file__, "--once"], "cursor"),
    ],
)  # fmt: skip
def test_bad_input_exits_with_2(
    server: Emulator, environment: dict[str, str], arguments: list[str], said: str
) -> None:
    server.requests.reset()
    done = run(environment, *arguments)
    assert done.exit_code == 2
    assert said in done.output
    assert server.requests.count("/sessions") == 0


def test_one_round_fails_if_the_server_is_unreachable(server: Emulator, environment: dict[str, str]) -> None:
    with Emulator() as gone:
        pass
    done = run({**environment, "ONE_BASE_URL": gone.url}, "--once", "--json")
    assert done.exit_code == 1
    assert "ServerUnreachable" in done.output


def started_watch(environment: dict[str, str], *options: str) -> subprocess.Popen[str]:
    """Start the command in a separate process that prints JSON and polls ten times a second."""
    code = "from one_async.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "watch", "--json", "--every", "0.1", *options],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(("which", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_stops_watching_cleanly(
    server: Emulator, environment: dict[str, str], tmp_path: Path, which: signal.Signals, status: int
) -> None:
    """Each session is printed at once, without buffering, and is recorded as printed."""
    cursor = tmp_path / "done.txt"
    there = rows_of(server)
    process = started_watch(environment, "--cursor", str(cursor))
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        printed = [json.loads(process.stdout.readline())["id"] for _ in there]
        assert sorted(printed) == sorted(there)
        eid = add_session(server, next(iter(there.values()))["subject"])
        assert json.loads(process.stdout.readline())["id"] == eid
        while eid not in cursor.read_text():
            assert process.poll() is None
        process.send_signal(which)
        assert process.wait(timeout=SECONDS) == status
        assert (process.stdout.read(), process.stderr.read()) == ("", "")
    assert cursor.read_text().split("\n")[1:-1] == [*printed, eid]


def test_a_disconnected_reader_ends_the_stream(server: Emulator, environment: dict[str, str]) -> None:
    process = started_watch(environment)
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        for _ in range(2):
            add_session(server, next(iter(rows_of(server).values()))["subject"])
        assert process.wait(timeout=SECONDS) == 0
        assert "Traceback" not in process.stderr.read()


def test_an_unreachable_server_is_reported_once(environment: dict[str, str]) -> None:
    with Emulator() as gone:
        pass
    process = started_watch({**environment, "ONE_BASE_URL": gone.url, "ONE_TOKEN": "0" * 40})
    with process:
        assert process.stderr is not None
        line = process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=SECONDS) == 0
        assert "no answer from the server" in line
        assert process.stderr.read() == ""
