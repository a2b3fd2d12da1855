"""Ctrl-C at random moments, in scripts of both faces."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

SCRIPT = Path(__file__).with_name("interrupting.py")
#: Seconds after which an interrupted script counts as hung.
HUNG = 20.0


def interrupt(url: str, folder: Path, seed: int) -> str:
    """Interrupt a script once, and return its output; raise TimeoutExpired if it does not end."""
    face = ("async", "blocking")[seed % 2]
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), url, str(folder), face],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as script:
        assert script.stdout is not None
        script.stdout.readline()
        time.sleep(random.Random(seed).uniform(0.02, 0.6))
        script.send_signal(signal.SIGINT)
        try:
            said, errors = script.communicate(timeout=HUNG)
        except subprocess.TimeoutExpired:
            script.kill()
            raise
    assert script.returncode == 0, errors
    return said.strip()
