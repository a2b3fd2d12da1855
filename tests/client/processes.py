"""Many processes that start at the same moment with one fresh home folder, and the files that they leave there."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

WORKER = Path(__file__).with_name("worker.py")


def run_at_once(url: str, users: Sequence[str], folder: Path, seconds: float = 60) -> list[list[str]]:
    """Run a worker for each user concurrently, with one home and one cache folder; return what each found.

    Asserts that none fails or writes to standard error.
    """
    home, start = folder / "home", folder / "go"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ONE_")}
    environment |= {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_CONFIG_HOME": str(home / ".config"),
    }
    home.mkdir()
    workers = [
        subprocess.Popen(
            [sys.executable, "-W", "error", str(WORKER), url, str(folder / "cache"), user, str(start)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )
        for user in users
    ]  # fmt: skip
    end = time.monotonic() + seconds
    while len(list(folder.glob("go.*"))) < len(users) and time.monotonic() < end:
        time.sleep(0.01)
    start.touch()
    said = [worker.communicate(timeout=seconds) for worker in workers]
    assert [(worker.returncode, err) for worker, (_, err) in zip(workers, said, strict=True)] == [
        (0, "")
    ] * len(users)
    return [json.loads(out) for out, _ in said]


def check_files(folder: Path, tokens: dict[str, str]) -> None:
    """Assert that every file is whole, readable only by its owner if it has a secret, and that no other file has a token."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    own = {path.name: path for path in files if "tokens" in path.parts}
    for user, token in tokens.items():
        (file,) = [path for path in own.values() if json.loads(path.read_text())["username"] == user]
        assert json.loads(file.read_text())["token"] == token
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert [path for path in files if token.encode() in path.read_bytes()] == [file]
    databases = [path for path in files if path.suffix == ".sqlite"]
    assert len(databases) == len(tokens)
    for path in databases:
        with sqlite3.connect(path) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        database.close()
    assert not [path for path in files if "damaged" in path.name or path.name.endswith((".tmp", ".part"))]
