"""``one-async browse``: a page served until a signal, whose secret is in no process's arguments."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from one_async.cli.app import app
from one_async.tables.build import make_parquet_db

SECONDS = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    session = folder / "lab/Subjects/mouse/2024-05-06/001/alf"
    session.mkdir(parents=True)
    np.save(session / "spikes.times.npy", np.arange(3.0))
    make_parquet_db(folder)
    return folder


@pytest.fixture
def browsing(folder: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the command with a web browser that records its arguments."""
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/arguments\n')
    browser.chmod(0o755)
    command = [sys.executable, "-m", "one_async", "browse", "--cache-dir", str(folder), "--mode", "local"]
    environment = {**os.environ, "BROWSER": f"{browser} %s", "ONE_CONFIG_DIR": str(tmp_path / "config")}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="a script of sh stands in for the web browser")
@pytest.mark.parametrize(("how", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_the_page_is_served_until_a_signal(
    browsing: tuple[subprocess.Popen[str], str], tmp_path: Path, how: signal.Signals, status: int
) -> None:
    process, url = browsing
    assert re.fullmatch(r"http://127\.0\.0\.1:[0-9]+/[\w-]{40,}/", url)
    answer = httpx.get(f"{url}api/query").json()
    assert (answer["total"], answer["code"]) == (1, "one.search()")
    arguments = tmp_path / "arguments"
    end = time.monotonic() + SECONDS
    while not arguments.exists() or not arguments.read_text().endswith("\n"):
        assert time.monotonic() < end, "no web browser was started"
        time.sleep(0.02)
    (opened,) = arguments.read_text().split()
    secret = urlsplit(url).path.strip("/")
    assert opened.startswith("file:///")
    assert secret not in opened
    file = Path(urlsplit(opened).path)
    assert secret in file.read_text("utf-8")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    process.send_signal(how)
    assert process.wait(SECONDS) == status
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    assert not file.exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_wrong_arguments_exit_with_2(folder: Path) -> None:
    done = CliRunner().invoke(app, ["browse", "--cache-dir", str(folder), "--port", "99999", "--no-open"])
    assert done.exit_code == 2
    assert "port" in done.output


def test_a_missing_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in ("starlette", "uvicorn")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.startswith("one_async.browse.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    done = CliRunner().invoke(app, ["browse", "--cache-dir", str(folder), "--no-open"])
    assert done.exit_code == 1
    assert "one-async[browse]" in done.output
