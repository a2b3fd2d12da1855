"""Run every example against the emulator: scripts as processes, the notebook in a real kernel. `nox -s examples`."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An emulator, and what a user of it would set."""
    from one_async.emulator import Emulator

    folder = tmp_path_factory.mktemp("example")
    with Emulator() as emulator:
        yield {
            **os.environ,
            "HOME": str(folder),
            "ONE_CONFIG_DIR": str(folder / "config"),
            "ONE_BASE_URL": emulator.url,
            "ONE_USERNAME": "demo",
            "ONE_PASSWORD": "demo",
            "ONE_CACHE_DIR": str(folder / "data"),
            "PYTHONWARNINGS": "error,default::UserWarning",  # data may be worth a warning
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


def test_ingest_service(tmp_path: Path) -> None:
    """It is stopped at work, started again, registers a summary of each session once, and ends on SIGTERM."""
    import httpx

    from one_async import ONE
    from one_async.emulator import Emulator

    with Emulator() as emulator, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        login = {
            "base_url": emulator.url,
            "username": "demo",
            "password": "demo",
            "cache_dir": tmp_path / "data",
        }
        with ONE(**login, mode="remote") as one:
            wanted = one.search(datasets="_ibl_trials.table.pqt", subject="SU_101")
            assert wanted
        free.close()
        environment = {
            **os.environ,
            "HOME": str(tmp_path),
            "ONE_CONFIG_DIR": str(tmp_path / "config"),
            **{f"ONE_{name.upper()}": str(value) for name, value in login.items()},
        }
        script = [sys.executable, str(HERE / "ingest_service.py"), "--cursor", str(tmp_path / "done.txt")]

        def run_until(done: int) -> None:
            with subprocess.Popen([*script, "--port", str(port)], env=environment) as service:
                for _ in range(1200):
                    assert service.poll() is None
                    time.sleep(0.1)
                    with contextlib.suppress(httpx.TransportError):
                        state = httpx.get(f"http://127.0.0.1:{port}/health").json()
                        assert state["failed"] == 0
                        if state["done"] >= done:
                            break
                service.send_signal(signal.SIGTERM)
                assert service.wait(timeout=30) in (0, -signal.SIGTERM)

        run_until(5)
        run_until(10)
        written = list((tmp_path / "data").rglob("summary/*.pqt"))
        with ONE(**login, mode="remote") as one:
            known = one.alyx.rest("datasets", "list", collection="summary")
        assert len(known) == len({row["session"] for row in known}) >= 15
        assert len(written) in (len(known), len(known) + 1)  # it may have been stopped between the two
        assert not list((tmp_path / "data").rglob("*.tmp"))


def test_harvest(environment: dict[str, str], tmp_path: Path) -> None:
    said = run(environment, str(HERE / "harvest.py"), str(tmp_path / "harvest"))
    assert "sessions: complete" in said
    assert "INCOMPLETE" not in said
    assert (tmp_path / "harvest" / "report.json").exists()
    again = run(environment, str(HERE / "harvest.py"), str(tmp_path / "harvest"))
    assert "made or changed since" in again


def test_dask_map(environment: dict[str, str]) -> None:
    pytest.importorskip("distributed")
    said = run(environment, str(HERE / "dask_map.py"))
    assert "24 sessions done, 0 failed" in said


def test_brain_wide_map(environment: dict[str, str]) -> None:
    said = run(environment, str(HERE / "brain_wide_map.py"))
    assert re.search(r"\d+ insertions in \d+ sessions", said)


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
