"""Polars is not used on the event loop's thread, where its handler of Ctrl-C would interrupt the loop."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from one_async.emulator import Emulator

HERE = Path(__file__).parent
#: A harvest decodes small pages, and adds up rows, on the loop.
EXCEPTED = {"harvest"}


@pytest.fixture(scope="module")
def folder(seeded_emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("watching")
    subprocess.run(
        [sys.executable, HERE / "forking.py", seeded_emulator.url, folder, "facts"], check=True, timeout=120
    )
    return folder


@pytest.mark.parametrize("mode", ["remote", "auto", "local"])
def test_no_method_uses_polars_on_the_loop(seeded_emulator: Emulator, folder: Path, mode: str) -> None:
    done = subprocess.run(
        [sys.executable, HERE / "watching.py", seeded_emulator.url, folder, mode, "opened"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    seen = {name: polars for name, polars, _ in json.loads(done.stdout) if polars and name not in EXCEPTED}
    assert not seen
