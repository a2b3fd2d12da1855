"""State stored next to tables between builds: the namespace of new ids, and the modification times of files and folders.

The hidden folder ``.one_async_build`` contains ``namespace``, a UUID; ``gone.parquet``, the removed sessions, which
get the same ids if they reappear; and ``files.parquet`` and ``folders.parquet``, which make the next build faster.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import polars as pl

from one_async.alf.session_paths import FOLDER as SESSION_FOLDER
from one_async.errors import InputError
from one_async.files.atomic import write_whole
from one_async.tables.disk import claim_tables
from one_async.tables.mmap_cache import fingerprint
from one_async.tables.polars_files import read_metadata, read_parquet
from one_async.tables.schema import SESSIONS

__all__ = ["FOLDER", "SETTLED", "BuildState", "ensure_namespace", "mark_of", "read_namespace"]

FOLDER: Final = ".one_async_build"
#: Nanoseconds after which a further change gets a different time stamp on all file systems.
SETTLED: Final = 5 * 10**9
_FILES: Final = {
    "eid": pl.String,
    "rel_path": pl.String,
    "file_size": pl.UInt64,
    "mtime": pl.Int64,
    "ctime": pl.Int64,
    "hash": pl.String,
}
_FOLDERS: Final = {"session": pl.String, "folder": pl.String, "mtime": pl.Int64}
_GONE: Final[dict[str, Any]] = {
    **{name: SESSIONS[name] for name in ("eid", "lab", "subject", "date", "number")},
    SESSION_FOLDER: pl.String,
}
_BROKEN: Final = (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError)


def read_namespace(out: Path) -> uuid.UUID | None:
    """Return the namespace stored next to tables, or None. Raises InputError if it is not a UUID."""
    path = out / FOLDER / "namespace"
    try:
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return None
    try:
        return uuid.UUID(text)
    except ValueError:
        raise InputError.of(str(path), text, "the UUID of a namespace") from None


def ensure_namespace(out: Path, namespace: uuid.UUID | None) -> uuid.UUID:
    """Return the namespace stored next to tables; if there is none, store the given one or a random one.

    Raises InputError if a different one is stored.
    """
    kept = read_namespace(out)
    if kept is None:
        with claim_tables(out):
            kept = read_namespace(out)
            if kept is None:
                kept = namespace or uuid.uuid4()
                (out / FOLDER).mkdir(exist_ok=True)
                text = f"{kept}\n".encode()
                write_whole(out / FOLDER / "namespace", lambda file: file.write(text))
    if namespace not in (None, kept):
        path = out / FOLDER / "namespace"
        raise InputError.of("namespace", str(namespace), f"{kept}, which {path} holds, or no value")
    return kept


@dataclass(frozen=True)
class BuildState:
    """The hashed files and the visited folders, with their modification times.

    ``files`` has a row for each hashed file, ``folders`` one for each folder of a session. Times so recent that a further
    change might not alter them are omitted. ``folders`` are those of the tables with the fingerprint ``mark``. ``gone`` has
    a row for each session that was only in earlier tables.
    """

    files: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_FILES))
    folders: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_FOLDERS))
    gone: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_GONE))
    mark: str = ""

    @classmethod
    def read(cls, out: Path) -> BuildState:
        """Return the state of the last build; unreadable parts are empty."""
        home = out / FOLDER
        mark = ""
        with suppress(*_BROKEN, KeyError, TypeError):
            mark = str(json.loads(read_metadata(home / "folders.parquet")["one_async"])["tables"])
        return cls(
            _read(home / "files.parquet", _FILES),
            _read(home / "folders.parquet", _FOLDERS),
            _read(home / "gone.parquet", _GONE),
            mark,
        )

    def write(self, out: Path, before: BuildState) -> None:
        """Store this state for the next build; ``before`` is the state stored now."""
        home = out / FOLDER
        home.mkdir(exist_ok=True)
        about = {"one_async": json.dumps({"tables": self.mark})}
        if not self.gone.equals(before.gone):
            write_whole(home / "gone.parquet", self.gone.write_parquet)
        if not self.files.equals(before.files):
            write_whole(home / "files.parquet", self.files.write_parquet)
        if self.mark != before.mark or not self.folders.equals(before.folders):
            write_whole(
                home / "folders.parquet", lambda file: self.folders.write_parquet(file, metadata=about)
            )


def _read(path: Path, schema: Mapping[str, Any]) -> pl.DataFrame:
    with suppress(*_BROKEN):
        frame, _ = read_parquet(path)
        if frame.schema == pl.Schema(schema):
            return frame
    return pl.DataFrame(schema=schema)


def mark_of(files: Mapping[str, Path]) -> str:
    """Return the fingerprint of table files; an empty string if a file is missing."""
    return fingerprint(files) if all(path.exists() for path in files.values()) else ""
