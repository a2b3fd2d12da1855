"""A hundred scripts end after Ctrl-C with their connections closed; run by ``nox -s faults``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2]))

from tests.client.interrupts import SCRIPT, interrupt

from one_async.emulator import Emulator


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_a_hundred_interrupted_scripts_close_their_connections(
    seeded_emulator: Emulator, tmp_path: Path
) -> None:
    forking = SCRIPT.with_name("forking.py")
    subprocess.run([sys.executable, forking, seeded_emulator.url, tmp_path, "facts"], check=True, timeout=120)
    for seed in range(100):
        assert interrupt(seeded_emulator.url, tmp_path, seed) == "interrupted, 0 open", seed
