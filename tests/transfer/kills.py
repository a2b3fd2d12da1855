"""Kill a downloading process repeatedly, and check the cache folder after each kill."""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import random
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

from . import worker
from .servers import Files

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

# Each run has a new process, forked from one that has imported everything.
_START: SpawnContext | ForkServerContext
if os.name == "nt":
    _START = multiprocessing.get_context("spawn")
else:
    _START = multiprocessing.get_context("forkserver")
    _START.set_forkserver_preload([worker.__name__])


@dataclass
class Worker:
    """A process that downloads."""

    process: BaseProcess
    said: Connection

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def ready(self) -> None:
        assert self.said.recv() == "ready"

    def statuses(self) -> list[str]:
        """Wait until it ends, and return the status of each file."""
        said = self.said.recv()
        self.process.join()
        assert self.process.exitcode == 0
        assert isinstance(said, list)
        return said

    def kill(self) -> bool:
        """Kill it; return False if it had ended."""
        self.process.kill()
        self.process.join()
        return self.process.exitcode != 0


def listing(files: Files, folder: Path, count: int, size: int, seed: int = 1) -> tuple[Path, dict[str, str]]:
    """Put files on the server; return the worker's list of them and the MD5 of each target."""
    made = random.Random(seed)
    rows, hashes = [], {}
    for number in range(count):
        path = f"lab/Subjects/mouse/2024-05-06/001/alf/#2024-06-01#/spikes.n{number:03d}.npy"
        data = made.randbytes(made.randint(size // 2, size * 3 // 2))
        hashes[path] = files.put(path, data)
        url = f"{files.base}/{path.replace('#', '%23')}"
        rows.append({"did": str(number), "target": path, "url": url, "size": len(data), "hash": hashes[path]})
    file = folder / "list.json"
    file.write_text(json.dumps(rows))
    return file, hashes


def start(file: Path, root: Path) -> Worker:
    ours, theirs = _START.Pipe()
    process = _START.Process(target=worker.work, args=(file.read_text(), root, theirs), daemon=True)
    process.start()
    theirs.close()
    return Worker(process, ours)


def wrong_files(root: Path, hashes: dict[str, str]) -> list[str]:
    """Return the files under their final names that have other content than they should."""
    return [
        path
        for path, expected in hashes.items()
        if (root / path).exists()
        and hashlib.md5((root / path).read_bytes(), usedforsecurity=False).hexdigest() != expected
    ]


def on_disk(root: Path) -> int:
    """Return the number of bytes on disk, of whole files and of parts."""
    size = 0
    for folder, _, names in os.walk(root):  # ignores files that are removed meanwhile
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                size += Path(folder, name).stat().st_size
    return size


def kill_until(files: Files, file: Path, root: Path, hashes: dict[str, str], *, kills: int, seed: int) -> int:
    """Start, kill at a random time, and check; let the last one finish. Return how many kills hit a download.

    The time is a random amount of new data on disk plus a short delay, since seconds mean nothing on a busy machine.
    """
    chance, hits = random.Random(seed), 0
    share = sum(map(len, files.content.values())) / kills
    for _ in range(kills):
        one = start(file, root)
        one.ready()
        enough = on_disk(root) + chance.uniform(0, 1.5) * share
        while on_disk(root) < enough and one.process.is_alive():
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.02))
        hits += one.kill()
        assert wrong_files(root, hashes) == []
    files.pace = 0
    last = start(file, root)
    last.ready()
    assert set(last.statuses()) <= {"fetched", "present"}
    assert wrong_files(root, hashes) == []
    assert all((root / path).exists() for path in hashes)
    # A folder in .claims whose owner was killed before signing it is kept until the next run.
    assert [p.name for p in root.rglob("*") if p.name.endswith((".part", ".claim"))] == []
    return hits
