"""Kill a process while it writes a file, and check the folder after the next write.

``python write_kills.py WRITER FOLDER SEED`` writes twice and is killed at a random point of the second time.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from one_async._token_file import TokenFile
from one_async.files.atomic import write_whole
from one_async.files.write import save_metadata, save_object_npy
from one_async.frozen import read_frozen, write_frozen
from one_async.harvest.storage import FolderStorage
from one_async.refresh.saving import save_ids
from one_async.refresh.swap import WORK, State

COUNT = 20_000
URL = "https://alyx.example.org"


@dataclass(frozen=True)
class Writer:
    """``write`` writes the file with the content of a version; ``check`` returns the versions that are whole."""

    write: Callable[[Path, int], object]
    check: Callable[[Path], set[int]]


def _one_value(values: list[Any]) -> set[int]:
    """Check that all values of a file are of one version, and return the version."""
    assert len(values) == COUNT
    (version,) = set(values)
    return {int(version)}


def _write_bytes(folder: Path, version: int) -> None:
    write_whole(
        folder / "x.bin", lambda file: [file.write(bytes([version]) * 1000) for _ in range(COUNT // 1000)]
    )


def _write_frozen(folder: Path, version: int) -> None:
    session = {"eid": "e", "lab": "l", "subject": "s", "date": date(2020, 1, 1), "number": 1}
    rows = [{"did": str(n), "eid": "e", "rel_path": "x.npy", "file_size": version} for n in range(COUNT)]
    write_frozen(folder / "frozen.json", URL, [session], rows)


def _frozen(folder: Path) -> set[int]:
    return _one_value(read_frozen(folder / "frozen.json")[1].dataset_table.frame()["file_size"].to_list())


def _ids(folder: Path) -> set[int]:
    found = set()
    for file in folder.glob("*.csv"):
        header, *rows = file.read_text().splitlines()
        assert header == "dataset_uuid"
        found |= _one_value(rows)
    return found


def _token(folder: Path) -> set[int]:
    found = TokenFile(folder).load(URL, "me")
    assert found is not None
    return _one_value(list(found[1]))


def _write_state(folder: Path, version: int) -> None:
    State(checked=version, server="s" * COUNT).write(folder)


def _state(folder: Path) -> set[int]:
    state = State.read(folder)
    assert state.checked is not None
    assert len(state.server) == COUNT
    return {int(state.checked)}


WRITERS = {
    "write_whole": Writer(_write_bytes, lambda folder: _one_value(list((folder / "x.bin").read_bytes()))),
    "freeze": Writer(_write_frozen, _frozen),
    "save_ids": Writer(lambda folder, version: save_ids(folder, [str(version)] * COUNT, None), _ids),
    "token": Writer(lambda folder, version: TokenFile(folder).save(URL, "me", str(version) * COUNT), _token),
    "state": Writer(_write_state, _state),
    "harvest": Writer(
        lambda folder, version: FolderStorage(folder).put("sessions/x", bytes([version]) * COUNT),
        lambda folder: _one_value(list((folder / "sessions" / "x").read_bytes())),
    ),
    "npy": Writer(
        lambda folder, version: save_object_npy(folder, {"times": np.full(COUNT, version)}, "spikes"),
        lambda folder: _one_value(np.load(folder / "spikes.times.npy").tolist()),
    ),
    "metadata": Writer(
        lambda folder, version: save_metadata(folder / "spikes.times.npy", {"rows": [version] * COUNT}),
        lambda folder: _one_value(json.loads((folder / "spikes.times.metadata.json").read_text())["rows"]),
    ),
}


def temporary_files(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.name.endswith((".tmp", ".part", ".claim"))]


def kill_and_write_again(name: str, folder: Path, kills: int, seed: int) -> tuple[int, int]:
    """Return how many kills hit a running writer, and how many of them left a temporary file."""
    hits = left = 0
    for number in range(kills):
        where = folder / str(number)
        where.mkdir(parents=True)
        (where / WORK).mkdir()
        command = [sys.executable, __file__, name, str(where), str(seed * 1000 + number)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
        hits += ended.returncode != 0
        left += bool(temporary_files(where))
        assert WRITERS[name].check(where) <= {1, 2}
        WRITERS[name].write(where, 3)
        assert temporary_files(where) == []
        assert 3 in WRITERS[name].check(where)
    return hits, left


def main(name: str, folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    WRITERS[name].write(folder, 1)
    events = chance.randint(1, 4)
    delay = chance.choice((0, chance.uniform(0.00001, 0.003)))

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal events
        if event in ("open", "os.rename", "os.remove") and str(folder) in str(arguments[0]):
            events -= 1
            if events == 0:
                _kill(delay)

    sys.addaudithook(count)
    WRITERS[name].write(folder, 2)


def _kill(delay: float) -> None:
    """Kill this process now, or after a moment, which may be within a system call of the writer."""
    if delay:
        threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
    else:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
