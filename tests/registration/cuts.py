"""Registrations interrupted at random: the client is killed, connections break before or after the write, 503, 429.

Run as a script, this is the client: ``python cuts.py url cache_dir folder…``.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CUTS: dict[str, dict[str, Any]] = {
    "killed before": {"before": True},
    "killed after": {"before": False},
    "connection cut before": {"drop": True, "before": True},
    "connection cut after": {"drop": True},
    "answer cut": {"cut": True},
    "503": {"status": 503},
    "503 after": {"status": 503, "before": False},
    "429": {"status": 429, "headers": {"retry-after": "0"}},
}
#: The requests that are interrupted, most of them writes.
PLACES = (("POST", "/sessions"), ("POST", "/register-file"), ("POST", "/register-file"), ("GET", "/sessions"))
#: A registration that is started more often than this is taken for one that never ends.
MOST_STARTS = 60


def main(url: str, cache_dir: str, *paths: str) -> None:
    from one_async import ONE

    with ONE(base_url=url, username="alice", password="alice", cache_dir=cache_dir, silent=True) as one:
        one.register_session(list(paths))


if __name__ == "__main__":
    main(*sys.argv[1:])
    raise SystemExit

from one_async.emulator import Emulator  # noqa: E402
from shared_worlds import recorded_world  # noqa: E402

from . import folders  # noqa: E402


def make(root: Path, sessions: int, files: int) -> list[Path]:
    """Write the folders of sessions, each on its own day, since sessions of a day have a parent."""
    kinds = ("_ibl_trials.table.pqt", "_ibl_wheel.position.npy", "spikes.times.npy", "clusters.amps.npy")
    places = [
        f"alf/probe{at // len(kinds):02}/{'#2025-01-02#/' if at % 7 == 3 else ''}" for at in range(files)
    ]
    names = [place + kinds[at % len(kinds)] for at, place in enumerate(places)]
    names[-1] = names[0].replace("probe00/", "probe00/#2025-01-02#/")  # two revisions of one dataset
    return [folders.session(root, date=f"2024-05-{day:02d}", names=names) for day in range(1, sessions + 1)]


@contextmanager
def served() -> Iterator[Emulator]:
    with Emulator(recorded_world()) as server:
        yield server


class Client:
    """The client in a separate process, which can be killed."""

    def __init__(self, server: Emulator, root: Path, paths: list[Path]) -> None:
        self.command = [sys.executable, __file__, server.url, str(root / "cache"), *map(str, paths)]
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None

    def run(self) -> bytes:
        """Register; return the error output of a client that failed, or nothing."""
        with self.lock:
            self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE, env=os.environ)
        _, errors = self.process.communicate(timeout=120)
        return b"" if self.process.returncode == 0 else errors or b"killed"

    def kill(self) -> None:
        with self.lock:
            if self.process is not None:
                self.process.kill()


def undisturbed(sessions: int, files: int) -> dict[str, Any]:
    """Return the state of the database after an undisturbed registration."""
    with tempfile.TemporaryDirectory() as name, served() as server:
        errors = Client(server, Path(name), make(Path(name), sessions, files)).run()
        assert errors == b"", errors.decode()
        return folders.state(server)


def disturbed(seed: int, cuts: int, sessions: int, files: int) -> tuple[dict[str, Any], Counter[str], int]:
    """Return the state after a registration with cuts that is started until it succeeds, the cuts, and the number of starts."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as name, served() as server:
        root = Path(name)
        client = Client(server, root, make(root, sessions, files))
        rules = []
        for _ in range(cuts):
            kind = chance.choice(list(CUTS))
            method, path = chance.choice(PLACES)
            call = client.kill if kind.startswith("killed") else None
            rule = server.faults.add(
                path, method=method, skip=chance.randrange(sessions), call=call, **CUTS[kind]
            )
            rules.append((kind, rule))
        starts = 1
        while client.run() != b"":
            starts += 1
            assert starts < MOST_STARTS
        left = [
            path.name
            for path in root.rglob(".*")
            if "one_async" in path.name or path.suffix in (".part", ".tmp")
        ]
        assert left == []
        hits = Counter(kind for kind, rule in rules for _ in range(rule.hits))
        return folders.state(server), hits, starts
