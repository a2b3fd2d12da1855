"""Session folders on disk, and the contents of a database after their registration, without ids and times."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from one_async.emulator import Emulator

#: Each file has one dataset type in the recorded world.
NAMES = (
    "alf/_ibl_trials.table.pqt",
    "alf/_ibl_wheel.position.npy",
    "alf/probe00/spikes.times.npy",
    "raw_behavior_data/_iblrig_taskData.raw.jsonable",
)
SUBJECT, LAB, DATE = "KS046", "cortexlab", "2025-01-14"


def write(file: Path, content: str | bytes | None = None) -> Path:
    """Write a file; the default content is its own path from the subject on."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        parts = file.parts
        content = "/".join(parts[parts.index("Subjects") + 1 :] if "Subjects" in parts else parts[-3:])
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def session(
    root: Path,
    subject: str = SUBJECT,
    date: str = DATE,
    number: str = "001",
    names: Iterable[str] = NAMES,
    lab: str | None = LAB,
) -> Path:
    """Write the folder of a session with files."""
    folder = (root / lab / "Subjects" if lab else root) / subject / date / number
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        write(folder / name)
    return folder


def md5(file: Path) -> str:
    return hashlib.md5(file.read_bytes()).hexdigest()


def rows(emulator: Emulator, table: str) -> list[dict[str, Any]]:
    """Return all rows of one table of the server's database."""
    names = [row[1] for row in emulator.store.select(f'PRAGMA table_info("{table}")')]
    found = [dict(zip(names, row, strict=True)) for row in emulator.store.select(f'SELECT * FROM "{table}"')]
    for row in found:
        row.pop("row", None) if "." not in table else None
    return found


def state(emulator: Emulator) -> dict[str, list[Mapping[str, Any]]]:
    """Return the contents of the database in a fixed order, without ids and times of writing."""
    sessions = rows(emulator, "sessions")
    place = {row["id"]: f"{row['subject']}/{row['start_time']}/{row['number']}" for row in sessions}
    datasets = rows(emulator, "datasets")
    path = {
        row["id"]: (place.get(row["session"]), row["collection"], row["revision"], row["name"])
        for row in datasets
    }
    files = rows(emulator, "files")
    users = [
        {"session": place[row["id"]], "user": name}
        for row in sessions
        for (name,) in emulator.store.select(
            'SELECT u.value FROM "sessions.users" u JOIN sessions s ON s.row = u.row WHERE s.id = ?',
            row["id"],
        )
    ]
    found = {
        "sessions": [{**row, "id": place[row["id"]], "parent_session": place.get(row["parent_session"])} for row in sessions],
        "users": users,
        "datasets": [{**row, "id": path[row["id"]], "session": place.get(row["session"])} for row in datasets],
        "files": [{**row, "id": "", "dataset": path.get(row["dataset"])} for row in files],
        "revisions": [{"name": row["name"]} for row in rows(emulator, "revisions")],
        "water": [{**row, "id": "", "session": place.get(row["session"])} for row in rows(emulator, "water-administrations")],
        "weighings": [{**row, "id": ""} for row in rows(emulator, "weighings")],
    }  # fmt: skip
    times = ("auto_datetime", "created_datetime")
    return {
        table: sorted(({k: v for k, v in row.items() if k not in times} for row in some), key=repr)
        for table, some in found.items()
    }


def written(emulator: Emulator) -> list[str]:
    """Return the requests that may have written rows."""
    return [
        f"{one.method} {one.path}"
        for one in emulator.requests
        if one.method not in ("GET", "HEAD") and one.path != "/auth-token"
    ]
