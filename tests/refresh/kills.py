"""Kill a process that refreshes or saves tables repeatedly, and check the folder after each kill."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from one_async.refresh.swap import open_tables

from .tables_server import TablesServer, generations_of

WORKER = Path(__file__).with_name("worker.py")


def start(url: str, folder: Path, action: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(WORKER), url, str(folder), action]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(worker: subprocess.Popen[str]) -> list[str]:
    """Wait until a worker ends, and return the words of its output."""
    said, errors = worker.communicate(timeout=120)
    assert worker.returncode == 0, errors
    return said.split()


def kill_until(
    server: TablesServer,
    folder: Path,
    archives: dict[str, bytes],
    kills: int,
    seed: int,
    action: str = "refresh",
) -> tuple[int, int]:
    """Publish newer tables and kill the process that downloads them, many times.

    After each kill the tables must be whole, of the old generation or the new one. Returns how many kills hit a running
    process, and how often the new tables were in use already.
    """
    chance = random.Random(seed)
    names = list(archives)
    server.publish(archives[names[0]], "2025-01-01 00:00")
    finish(start(server.url, folder, "refresh"))
    longest, hits, new = _duration(server, folder, archives, names, action), 0, 0
    for round_ in range(kills):
        (old,) = generations_of(open_tables(folder)[0])
        fresh = next(name for name in names if name != old)
        if action == "refresh":
            server.publish(archives[fresh], f"{2026 + round_}-01-01 00:00")
        worker = start(server.url, folder, action)
        assert worker.stdout is not None
        if worker.stdout.readline() != "ready\n":
            raise AssertionError(worker.communicate()[1])
        time.sleep(chance.uniform(0, longest))
        hits += worker.poll() is None
        worker.kill()
        worker.communicate()
        (found,) = generations_of(open_tables(folder)[0])
        assert found in (old, fresh)
        new += found == fresh
    said = finish(start(server.url, folder, action))
    assert said[-1] in names
    clean(folder)
    return hits, new


def _duration(
    server: TablesServer, folder: Path, archives: dict[str, bytes], names: list[str], action: str
) -> float:
    """Return the duration of the work without a kill."""
    server.publish(archives[names[1]], "2025-06-01 00:00")
    worker = start(server.url, folder, action)
    assert worker.stdout is not None
    worker.stdout.readline()
    began = time.monotonic()
    worker.stdout.readline()
    took = time.monotonic() - began
    finish(worker)
    return took


def clean(folder: Path) -> None:
    """Check that no claims or temporary files are left."""
    left = [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
    wrong = [name for name in left if name.endswith((".claim", ".part", ".tmp")) or "/new-" in name]
    assert wrong == [], wrong
