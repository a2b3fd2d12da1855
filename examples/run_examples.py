"""Run every example against the emulator: scripts as processes, the notebook in a real kernel. `nox -s examples`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
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


def test_async_service_ingests_and_stops_on_sigterm(environment: dict[str, str], tmp_path: Path) -> None:
    script = str(HERE / "async_service.py")
    service = subprocess.Popen(
        [sys.executable, script, str(tmp_path), "--every", "60"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    with service:
        assert service.stdout is not None
        first = service.stdout.readline()
        service.send_signal(signal.SIGTERM)
        rest = service.stdout.read()
        assert service.wait(timeout=30) == 0
    count = int(first.split()[0])
    assert count > 20
    assert "stopping" in rest
    assert len(list(tmp_path.glob("*.parquet"))) == count
    assert not list(tmp_path.glob("*.tmp"))


def test_async_service_stopped_at_work_leaves_no_half_file(
    environment: dict[str, str], tmp_path: Path
) -> None:
    script = str(HERE / "async_service.py")
    fresh = {**environment, "ONE_CACHE_DIR": str(tmp_path / "cache")}
    service = subprocess.Popen(
        [sys.executable, script, str(tmp_path / "out")], env=fresh, stdout=subprocess.PIPE, text=True
    )
    with service:
        while not list((tmp_path / "out").glob("*.parquet")):
            assert service.poll() is None
        service.send_signal(signal.SIGTERM)
        assert service.wait(timeout=30) == 0
    import polars as pl

    assert not list((tmp_path / "out").glob("*.tmp"))
    for file in (tmp_path / "out").glob("*.parquet"):
        assert pl.read_parquet(file).height > 0


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
