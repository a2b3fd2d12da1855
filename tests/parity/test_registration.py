"""ONE-api's own RegistrationClient, unchanged, registers a session with 30 files on the emulator."""

from __future__ import annotations

import hashlib
import json
import subprocess
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from runner import interpreter

from one_async.emulator import Emulator

HERE = Path(__file__).parent
FILES = 30
KINDS = ("trials", "wheel", "spikes", "clusters", "licks")


def session_folder(root: Path, emulator: Emulator) -> Path:
    """Write the folder of a new session with 30 files, each of a dataset type that the server knows."""
    [(subject, lab)] = emulator.store.select(
        "SELECT nickname, lab FROM subjects WHERE death_date IS NULL LIMIT 1"
    )
    folder = root / lab / "Subjects" / subject / "2026-03-04" / "001"
    types = emulator.store.select('SELECT name, filename_pattern FROM "dataset-types" ORDER BY name')
    names = [
        name
        for name, pattern in types
        if name.split(".")[0] in KINDS and name.count(".") == 1 and fnmatch(f"{name}.npy", pattern)
    ]
    for at in range(FILES):
        place = "alf" if at < len(names) else f"alf/probe{at // len(names):02}"
        file = folder / place / f"{names[at % len(names)]}.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, np.arange(at + 3))
    return folder


def register(emulator: Emulator, folder: Path, root: Path, home: Path, times: int) -> list[Any]:
    """Register a session with ONE-api ``times`` times and return its answers."""
    server = {"base_url": emulator.url, "username": "demo", "password": "demo"}
    server["data_server"] = f"{emulator.url}/data"
    spec = {
        "home": str(home),
        "cache_dir": str(root),
        "server": server,
        "session": str(folder),
        "times": times,
    }
    done = subprocess.run(
        [interpreter(), str(HERE / "oracle_registration.py")],
        input=json.dumps(spec),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("times", [1, 2])
def test_one_api_registers_a_session_with_30_files(tmp_path: Path, times: int) -> None:
    with Emulator() as emulator:
        root, home = tmp_path / "cache", tmp_path / "home"
        home.mkdir()
        folder = session_folder(root, emulator)
        before = len(emulator.store.rows("sessions", {}))
        session, records = register(emulator, folder, root, home, times)[-1]
        assert len(records) == FILES
        assert len(emulator.store.rows("sessions", {})) == before + 1
        headers = {"authorization": f"Token {emulator.token('demo')}"}
        with httpx.Client(base_url=emulator.url, headers=headers) as client:
            given = {"date_range": "2026-03-04,2026-03-04"}
            [listed] = client.get("/sessions", params=given).json()["results"]
            rows = client.get("/datasets", params={"session": listed["id"]}).json()["results"]
            shown = client.get(f"/sessions/{listed['id']}").json()
    assert listed["url"] == session["url"] == shown["url"]
    assert shown["users"] == ["demo"]
    expected = {
        (f"{file.parent.relative_to(folder).as_posix()}/{file.name}", file.stat().st_size, md5(file))
        for file in folder.rglob("*.npy")
    }
    found = {(f"{row['collection']}/{row['name']}", row["file_size"], row["hash"]) for row in rows}
    assert found == expected
    assert len(rows) == len(expected) == FILES
    assert {record["id"] for record in records} == {row["url"].rsplit("/", 1)[-1] for row in rows}


def md5(file: Path) -> str:
    return hashlib.md5(file.read_bytes()).hexdigest()
