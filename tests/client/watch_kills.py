"""Kill a consumer of `watch` repeatedly while sessions appear, and compare its work with the server's sessions."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import httpx

from one_async.emulator import Emulator

WORKER = Path(__file__).with_name("watch_worker.py")
#: The timeout of the last worker in seconds.
LIMIT = 120.0


def work_of(folder: Path, kind: str) -> Counter[str]:
    """Return how often each session was processed."""
    if kind == "file":
        file = folder / "work.txt"
        return Counter(file.read_text().split()) if file.exists() else Counter()
    with sqlite3.connect(folder / "work.sqlite") as database:
        return Counter(eid for (eid,) in database.execute("SELECT eid FROM work"))


def add_sessions(emulator: Emulator, subject: str, numbers: range, seconds: float) -> None:
    """Add sessions at intervals."""
    headers = {"authorization": f"Token {emulator.token('demo')}"}
    with httpx.Client(base_url=emulator.url, headers=headers, timeout=60) as rig:
        for number in numbers:
            body = {"subject": subject, "number": number, "start_time": f"2026-01-{1 + number % 28:02}"}
            rig.post("/sessions", json=body).raise_for_status()
            time.sleep(seconds / len(numbers))


def run(folder: Path, kind: str, kills: int, sessions: int, seed: int) -> tuple[Counter[str], set[str]]:
    """Return how often each session was processed, and the sessions of the server."""
    chance = random.Random(seed)
    with Emulator() as emulator:
        [(subject,)] = emulator.store.select("SELECT nickname FROM subjects WHERE death_date IS NULL LIMIT 1")
        command = [sys.executable, str(WORKER), emulator.url, str(folder), subject, kind]
        each = sessions // kills
        for kill in range(kills + 1):
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
                assert worker.stdout is not None
                assert worker.stdout.readline() == "ready\n"
                if kill < kills:
                    alive = chance.uniform(0.05, 0.6)
                    numbers = range(100 + kill * each, 100 + (kill + 1) * each)
                    rig = threading.Thread(target=add_sessions, args=(emulator, subject, numbers, alive))
                    rig.start()
                    time.sleep(alive)
                else:
                    expected = {
                        eid
                        for (eid,) in emulator.store.select(
                            "SELECT id FROM sessions WHERE subject = ?", subject
                        )
                    }
                    end = time.monotonic() + LIMIT
                    while set(work_of(folder, kind)) != expected and time.monotonic() < end:
                        time.sleep(0.1)
                worker.kill()
                worker.wait()
            rig.join()
        return work_of(folder, kind), expected
