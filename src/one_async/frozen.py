"""Frozen sets: a file that lists an exact selection of sessions and datasets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from one_async._arguments import path_of
from one_async._boundary import storing
from one_async._threads import check_polars
from one_async.alf.session_paths import FOLDER
from one_async.errors import InputError, TablesNotFound
from one_async.files.atomic import write_whole

if TYPE_CHECKING:
    from one_async.tables.catalogue import Catalogue

FORMAT = "one_async frozen set 1"
_DATASET = ("did", "eid", "rel_path", "file_size", "hash", "exists", "qc", "default_revision", "data_url")
_SESSION = ("eid", "lab", "subject", "date", "number", "task_protocol", "projects", FOLDER)


def write_frozen(
    file: Path,
    origin: str | None,
    sessions: Iterable[Mapping[str, Any]],
    datasets: Iterable[Mapping[str, Any]],
) -> None:
    """Write a frozen set, whole or not at all. Raises StorageError, which names the file."""
    content = {
        "format": FORMAT,
        "origin": origin,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "sessions": [
            {name: _plain(row.get(name)) for name in _SESSION if name != FOLDER or row.get(name)}
            for row in sessions
        ],
        "datasets": [{name: _plain(row.get(name)) for name in _DATASET} for row in datasets],
    }
    text = json.dumps(content, indent=1)
    with storing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, lambda stream: stream.write(text.encode()))


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def read_frozen(file: str | Path) -> tuple[str | None, Catalogue]:
    """Return the database that a frozen set came from, and its tables.

    Raises TablesNotFound if the file does not exist, InputError if it is not a frozen set.
    """
    import polars as pl

    from one_async.tables.catalogue import Catalogue
    from one_async.tables.schema import DATASETS, SESSIONS

    check_polars()
    path = path_of(file, "file")
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise TablesNotFound(f"there is no file {path}", path=str(path)) from None
    except ValueError:
        content = None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError.of("file", str(path), "a file that freeze() wrote")
    rows = [{**row, "date": date.fromisoformat(row["date"])} for row in content["sessions"]]
    schema: dict[str, Any] = {name: dtype for name, dtype in SESSIONS.items() if name in _SESSION}
    if any(row.get(FOLDER) for row in rows):
        schema[FOLDER] = pl.String
    sessions = pl.DataFrame(rows, schema=schema)
    datasets = pl.DataFrame(content["datasets"], schema={**DATASETS, "data_url": pl.String})
    return content["origin"], Catalogue.from_frames(sessions=sessions, datasets=datasets)
