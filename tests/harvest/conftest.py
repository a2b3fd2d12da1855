"""A Dask cluster of two processes and a Redis server for the tests that need them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from one_async.alyx import retrying

HERE = str(Path(__file__).parent)
sys.path.insert(0, HERE)


@pytest.fixture(autouse=True)
def short_retry_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry requests after milliseconds."""
    monkeypatch.setattr(retrying, "FIRST_WAIT", 0.02)


@pytest.fixture
def login(monkeypatch: pytest.MonkeyPatch, seeded_emulator: Any) -> None:
    """Set the credentials in the environment variables that workers read."""
    monkeypatch.setenv("ONE_BASE_URL", seeded_emulator.url)
    monkeypatch.setenv("ONE_USERNAME", "demo")
    monkeypatch.setenv("ONE_PASSWORD", "demo")


@pytest.fixture
def cluster(login: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Yield a client of a cluster with two worker processes."""
    distributed = pytest.importorskip("distributed")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [HERE, os.environ.get("PYTHONPATH")])))
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=2,
            processes=True,
            dashboard_address=None,
            local_directory=str(tmp_path / "dask"),
        ) as local,
        distributed.Client(local) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a real Redis server without persistence on a free port and yield its address."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("there is no redis-server; .ci/run installs Debian's")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    options = [
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        str(folder),
    ]
    with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL) as server:
        try:
            while True:
                assert server.poll() is None
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    time.sleep(0.02)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()
