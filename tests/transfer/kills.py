"""Kill a downloading process again and again, and look at the cache folder after each time."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import time
from pathlib import Path

from .servers import Files

WORKER = Path(__file__).with_name("worker.py")


def listing(files: Files, folder: Path, count: int, size: int, seed: int = 1) -> tuple[Path, dict[str, str]]:
    """Put files on the server; give the worker's list of them and the md5 of each target."""
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


def start(file: Path, root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(WORKER), str(file), str(root)], stdout=subprocess.PIPE, text=True
    )


def wrong_files(root: Path, hashes: dict[str, str]) -> list[str]:
    """Name the files under their final names that are not what they should be."""
    return [
        path
        for path, expected in hashes.items()
        if (root / path).exists()
        and hashlib.md5((root / path).read_bytes(), usedforsecurity=False).hexdigest() != expected
    ]


def kill_until(file: Path, root: Path, hashes: dict[str, str], kills: int, longest: float, seed: int) -> int:
    """Start, kill at a random time, look; let the last one finish. Gives how many kills hit a download."""
    chance, hits = random.Random(seed), 0
    for _ in range(kills):
        worker = start(file, root)
        assert worker.stdout is not None
        worker.stdout.readline()
        time.sleep(chance.uniform(0, longest))
        hits += worker.poll() is None
        worker.kill()
        worker.communicate()
        assert wrong_files(root, hashes) == []
    worker = start(file, root)
    said, _ = worker.communicate()
    assert worker.returncode == 0, said
    assert wrong_files(root, hashes) == []
    assert all((root / path).exists() for path in hashes)
    # A folder of .claims whose owner was killed before it had signed it stays until the next run.
    assert [p.name for p in root.rglob("*") if p.name.endswith((".part", ".claim"))] == []
    return hits
