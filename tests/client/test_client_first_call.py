"""The first call of a process imports heavy packages in a thread, also without ``async with``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from one_async.emulator import Emulator

CODE = """
import sys, threading, anyio
from one_async import AsyncONE
found = set()
def note(event, args):
    if event == "import" and watched and threading.current_thread() is threading.main_thread():
        found.add(args[0].partition(".")[0])
watched = False
sys.addaudithook(note)
async def main(mode):
    global watched
    watched = True
    one = AsyncONE(base_url=sys.argv[1], username="demo", password="demo", cache_dir=sys.argv[2], mode=mode)
    await one.search(subject="nobody")
    await one.aclose()
anyio.run(main, sys.argv[3])
print(*found & {"httpx", "httpcore", "hishel", "polars", "numpy"})
assert "polars" in sys.modules and "hishel" in sys.modules
"""


@pytest.mark.parametrize("mode", ["remote", "auto"])
def test_the_first_call_imports_nothing_heavy_on_the_loop(
    seeded_server: Emulator, tmp_path: Path, mode: str
) -> None:
    command = [sys.executable, "-c", CODE, seeded_server.url, str(tmp_path), mode]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
