"""Run every example against the emulator: scripts as processes, the notebook in a real kernel. `nox -s examples`."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from one_async.emulator import Emulator

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Return an emulator, and the environment of its user."""
    with Emulator() as emulator:
        yield environment_of(emulator, tmp_path_factory.mktemp("example"))


def environment_of(emulator: Emulator, folder: Path) -> dict[str, str]:
    """Return the environment variables of an emulator's user."""
    return {
        **os.environ,
        "HOME": str(folder),
        "ONE_CONFIG_DIR": str(folder / "config"),
        "ONE_BASE_URL": emulator.url,
        "ONE_USERNAME": "demo",
        "ONE_PASSWORD": "demo",
        "ONE_CACHE_DIR": str(folder / "data"),
        "PYTHONWARNINGS": "error,default::UserWarning",  # warnings about data are no failures
    }


def run(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_quickstart(environment: dict[str, str]) -> None:
    said = run(environment, str(HERE / "quickstart.py"))
    assert "sessions with spikes" in said
    assert "trials," in said


class Service:
    """The ingest service in a separate process, and its own report of its progress."""

    def __init__(self, environment: dict[str, str], folder: Path, *arguments: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [
            sys.executable,
            str(HERE / "ingest_service.py"),
            str(folder),
            "--port",
            str(port),
            "--every",
            "0.2",
        ]
        self.process = subprocess.Popen(
            [*command, *arguments], env=environment, stdout=subprocess.PIPE, text=True
        )
        self.address = f"http://127.0.0.1:{port}/health"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def health(self) -> dict[str, Any]:
        """Return the answer of `/health`, or nothing while the service starts."""
        with suppress(httpx.TransportError):
            return {"status": (answer := httpx.get(self.address)).status_code, **answer.json()}
        return {"status": 0, "done": 0, "failed": 0}

    def wait_for(self, done: int) -> dict[str, Any]:
        """Wait until ``done`` sessions have been processed."""
        end = time.monotonic() + 120
        while (said := self.health())["done"] + said["failed"] < done:
            assert self.process.poll() is None
            assert time.monotonic() < end, said
            time.sleep(0.05)
        return said

    def stop(self) -> str:
        """Stop the service by SIGTERM and return its output."""
        self.process.send_signal(signal.SIGTERM)
        said, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0
        return said


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[tuple[Emulator, dict[str, str], httpx.Client]]:
    """Yield an emulator that can be changed, the environment of its user, and a rig that adds sessions to it."""
    with Emulator() as emulator:
        headers = {"authorization": f"Token {emulator.token('demo')}"}
        with httpx.Client(base_url=emulator.url, headers=headers, timeout=60) as rig:
            yield emulator, environment_of(emulator, tmp_path), rig


def wanted(rig: httpx.Client) -> set[str]:
    """Return the sessions that the service should process."""
    page = rig.get("/sessions", params={"datasets": "_ibl_trials.table.pqt", "limit": 1000}).json()
    return {row["id"] for row in page["results"]}


def registered(rig: httpx.Client) -> dict[str, dict[str, Any]]:
    """Return the registered results by session; each session has at most one."""
    rows = rig.get("/datasets", params={"name": "_ingest_performance.table.pqt", "limit": 1000}).json()[
        "results"
    ]
    found = {row["session"].rpartition("/")[2]: row for row in rows}
    assert len(found) == len(rows)
    return found


def check_results(rig: httpx.Client, folder: Path) -> None:
    """Compare the registered results with the files: sizes, hashes, and the trials of one session."""
    import polars as pl

    rows = registered(rig)
    files = {file.parent.parent: file for file in folder.rglob("_ingest_performance.table.pqt")}
    by_hash = {hashlib.md5(file.read_bytes()).hexdigest(): file for file in files.values()}
    assert len(files) == len(rows)
    for row in rows.values():
        file = by_hash[row["hash"]]
        assert row["file_size"] == file.stat().st_size
        assert row["dataset_type"] == "performance.table"
    for session, file in files.items():
        result = pl.read_parquet(file)
        [source] = session.rglob("_ibl_trials.table.pqt")  # of one revision, which may have a folder
        trials = pl.read_parquet(source)
        assert result["trials"].sum() == trials.height
        correct = (trials["feedbackType"] == 1).sum()
        assert round((result["trials"] * result["correct"]).sum()) == correct
    assert not list(folder.rglob("*.tmp"))


def test_ingest_service_registers_existing_and_new_sessions(
    lab: tuple[Emulator, dict[str, str], httpx.Client], tmp_path: Path
) -> None:
    emulator, environment, rig = lab
    there = wanted(rig)
    with Service(environment, tmp_path / "state") as service:
        said = service.wait_for(len(there))
        assert (said["status"], said["watching"], said["failed"]) == (200, True, 0)
        assert set(registered(rig)) == there
        assert said["client"]["requests"] > len(there)
        check_performance(service, there)
        eid = add_session(emulator, rig, there)
        assert service.wait_for(len(there) + 1)["last"] == eid
        assert "stopping" in service.stop()
    assert set(registered(rig)) == {*there, eid}
    check_results(rig, Path(environment["ONE_CACHE_DIR"]))
    assert len((tmp_path / "state" / "done.txt").read_text().splitlines()) == len(there) + 2


def check_performance(service: Service, there: set[str]) -> None:
    """Request sessions that exist, do not exist, and cannot exist."""
    with httpx.Client(base_url=service.address.removesuffix("/health")) as web:
        assert web.get(f"/performance/{min(there)}").json()[0]["trials"] > 0
        missing = web.get("/performance/00000000-0000-4000-8000-000000000000")
        assert (missing.status_code, bool(missing.json()["detail"])) == (404, True)
        assert web.get("/performance/no-session").status_code in (400, 404)


def add_session(emulator: Emulator, rig: httpx.Client, there: set[str]) -> str:
    """Add a session and copies of an existing session's trials, registered as a rig would."""
    old = rig.get(f"/sessions/{min(there)}").json()
    [trials] = [row for row in old["data_dataset_session_related"] if row["name"] == "_ibl_trials.table.pqt"]
    body = {"subject": old["subject"], "number": 9, "start_time": "2026-03-04"}
    eid = str(rig.post("/sessions", json=body).json()["id"])
    given = {
        "path": f"{old['subject']}/2026-03-04/009",
        "name": f"flatiron_{old['lab']}",
        "filenames": [f"alf/{trials['name']}"],
        "hashes": [trials["hash"]],
        "filesizes": [trials["file_size"]],
        "created_by": "demo",
    }
    [made] = rig.post("/register-file", json=given).raise_for_status().json()
    content = rig.get(trials["data_url"]).raise_for_status().content
    for record in rig.get(f"/datasets/{made['id']}").json()["file_records"]:
        if record["data_url"]:
            emulator.app.files[record["data_url"].partition("/data/")[2]] = content
    return eid


def test_ingest_service_continues_after_a_kill(
    lab: tuple[Emulator, dict[str, str], httpx.Client], tmp_path: Path
) -> None:
    _, environment, rig = lab
    there = wanted(rig)
    for _ in range(3):
        with Service(environment, tmp_path / "state") as service:
            service.wait_for(3)  # and is killed
    with Service(environment, tmp_path / "state") as service:
        while set(registered(rig)) != there or service.health()["status"] != 200:
            assert service.process.poll() is None
            time.sleep(0.05)
        service.stop()
    check_results(rig, Path(environment["ONE_CACHE_DIR"]))


def test_ingest_service_reports_that_it_cannot_watch(
    lab: tuple[Emulator, dict[str, str], httpx.Client], tmp_path: Path
) -> None:
    emulator, environment, _ = lab
    emulator.faults.add("/dataset-types", status=500, times=None)
    with Service(environment, tmp_path / "state") as service:
        while not (said := service.health()).get("error"):
            assert service.process.poll() is None
            time.sleep(0.05)
        assert (said["status"], said["watching"]) == (503, False)
        assert "StatusError" in said["error"]
        service.stop()


def test_harvest(environment: dict[str, str], tmp_path: Path) -> None:
    said = run(environment, str(HERE / "harvest.py"), str(tmp_path / "harvest"))
    assert "sessions: complete" in said
    assert "INCOMPLETE" not in said
    assert (tmp_path / "harvest" / "report.json").exists()
    again = run(environment, str(HERE / "harvest.py"), str(tmp_path / "harvest"))
    assert "sessions read again, 318 in all" in again
    assert (tmp_path / "harvest" / "schema.md").exists()


def test_dask_map(environment: dict[str, str]) -> None:
    pytest.importorskip("distributed")
    said = run(environment, str(HERE / "dask_map.py"))
    assert "24 sessions done, 0 failed" in said


def test_brainwide(environment: dict[str, str]) -> None:
    said = run(environment, str(HERE / "brainwide.py"))
    assert re.search(r"[1-9]\d* insertions in [1-9]\d* sessions", said)
    assert re.search(r"[1-9]\d* good clusters in [1-9]\d* regions", said)


def test_raw_ephys(environment: dict[str, str]) -> None:
    pytest.importorskip("av")
    said = run(environment, str(HERE / "raw_ephys.py"))
    assert "15000 samples of 384 channels" in said
    assert re.search(r"[1-9]\d* spikes of cluster \d+: [1-9]\d* µV", said)
    assert "5 frames of" in said


@pytest.mark.filterwarnings("default")  # the kernel's own machinery warns
def test_notebook_runs_in_a_kernel(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    for name, value in environment.items():
        if name.startswith("ONE_") or name == "HOME":
            monkeypatch.setenv(name, value)
    notebook = nbformat.read(HERE / "modes.ipynb", as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
