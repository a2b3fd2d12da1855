"""Ctrl-C ends a script of either face and closes its connections; tests/faults has a hundred of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from one_async.emulator import Emulator

from .interrupts import interrupt


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_ctrl_c_ends_a_script(seeded_emulator: Emulator, tmp_path: Path) -> None:
    forking = Path(__file__).with_name("forking.py")
    subprocess.run([sys.executable, forking, seeded_emulator.url, tmp_path, "facts"], check=True, timeout=120)
    for seed in range(6):
        assert interrupt(seeded_emulator.url, tmp_path, seed) == "interrupted, 0 open"
