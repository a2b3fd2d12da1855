"""Build cache tables from a folder of ALF data, without a database."""

from __future__ import annotations

import hashlib
import os
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from one_async._fork import check_polars
from one_async._progress import Task, display_for, working
from one_async._values import environment
from one_async.alf.path import ALFPath
from one_async.alf.session import FOLDER, match_session, parse_session_path, session_folder, split_id
from one_async.alf.spec import REL_PATH_SPEC, is_valid, regex
from one_async.errors import InputError, TablesWarning
from one_async.tables.catalogue import Catalogue, TablesMeta
from one_async.tables.disk import save_tables
from one_async.tables.schema import DATASETS, SESSIONS

__all__ = ["build_tables", "iter_sessions", "make_parquet_db", "remove_missing_datasets"]

#: Called with the number of finished files and of all files.
Progress = Callable[[int, int], None]
_CHUNK: Final = 1 << 20


def make_parquet_db(
    root_dir: str | Path,
    out_dir: str | Path | None = None,
    hash_ids: bool = True,
    hash_files: bool = False,
    lab: str | None = None,
    *,
    progress: Progress | None = None,
    namespace: uuid.UUID | None = None,
) -> tuple[Path, Path]:
    """Write tables of a folder's ALF data into it, or into ``out_dir``; return the files of sessions and datasets.

    See `build_tables`. Existing tables are replaced.
    """
    check_polars()
    if not Path(root_dir).is_dir():
        raise InputError.of("root_dir", str(root_dir), "a folder that exists")
    out = Path(out_dir or root_dir)
    if not out.is_dir():
        raise InputError.of("out_dir", str(out), "a folder that exists")
    catalogue = build_tables(
        root_dir, hash_ids=hash_ids, hash_files=hash_files, lab=lab, progress=progress, namespace=namespace
    )
    save_tables(catalogue, out, clobber=True)
    return out / "sessions.pqt", out / "datasets.pqt"


def build_tables(
    root_dir: str | Path,
    *,
    hash_ids: bool = True,
    hash_files: bool = False,
    lab: str | None = None,
    progress: Progress | None = None,
    namespace: uuid.UUID | None = None,
) -> Catalogue:
    """Return tables of the ALF sessions and datasets below a folder.

    Ids are UUIDs (version 3) of paths in a ``namespace``. Its default depends on this machine and time, as in ONE-api;
    the same namespace gives the same ids again. Without ``hash_ids``, ids are the paths themselves. ``hash_files`` adds each
    file's md5, computed for many files at a time. ``lab`` is the lab of sessions without one in their path. Links to folders
    are followed, each folder once. The column ``folder`` holds the folder of each session that is not at its usual path: its
    number does not have three digits, or the folder is in another place.

    Warns with TablesWarning if nothing is found, and for each folder that is left out: of a date that does not exist, with a
    name that no table can hold, or unreadable. Raises InputError if ``lab`` differs from the lab in a path.
    """
    check_polars()
    root = Path(root_dir).resolve()
    if not root.is_dir():
        raise InputError.of("root_dir", str(root_dir), "a folder that exists")
    display = None if progress is not None else display_for(environment().progress)
    with working(display, Task("looking for sessions", "sessions")) as task:
        found = [
            (row, folder) for folder in _walk_sessions(root, task) if (row := _session_row(folder, root))
        ]
    sessions = _with_own_ids([row for row, _ in found])
    with working(display, Task("looking for files", "sessions", len(found))) as task:
        files = [(row["eid"], folder, file) for row, folder in task.each(found) for file in _files(folder)]
    with working(display, Task("reading files", "files", len(files))) as task:
        datasets = _dataset_rows(files, hash_files, progress or task.set)
    for name, rows in (("sessions", sessions), ("datasets", datasets)):
        if not rows:
            warnings.warn(f"no {name} found in {root}", TablesWarning, stacklevel=2)
    if lab:
        _fill_lab(sessions, lab)
    _keep_folders(sessions)
    if hash_ids:
        _hash_ids(sessions, datasets, namespace or uuid.uuid1())
    created = datetime.now().isoformat(sep=" ", timespec="minutes")
    raw = {name: {"date_created": created, "origin": str(root)} for name in ("sessions", "datasets")}
    schema = {name: dtype for name, dtype in DATASETS.items() if name != "default_revision"}
    return Catalogue.from_frames(
        _sessions_frame(sessions),
        pl.DataFrame(datasets, schema=schema),
        meta=TablesMeta(datetime.fromisoformat(created), raw=raw),
    )


def iter_sessions(root_dir: str | Path) -> Iterator[ALFPath]:
    """Yield the session folders in a folder (or itself, if it is one), in the order of their paths; links are not followed."""
    root = Path(root_dir)
    if _names_session(root):
        yield ALFPath(root)
    yield from sorted(
        ALFPath(top, name)
        for top, names, _ in os.walk(root)
        for name in names
        if _names_session(Path(top, name))
    )


def _names_session(folder: Path) -> bool:
    found = match_session("/".join(folder.parts[-3:]))
    return found is not None and found.number == folder.name


def _walk_sessions(root: Path, task: Task) -> list[ALFPath]:
    """Return the session folders in a folder, in the order of their paths.

    Folders within a session are not searched for sessions.
    """
    found = (ALFPath(folder) for folder in _walk(root, _names_session) if _names_session(folder))
    return sorted(task.each(found))


def _walk(root: Path, stop: Callable[[Path], bool] = lambda _: False) -> Iterator[Path]:
    """Yield a folder and the folders below it, except below those for which ``stop`` returns True.

    Links are followed after all folders that are not links. No folder is visited twice. Links to their own folder or to one
    above it are not followed, so that there are no loops.
    """
    seen: dict[tuple[int, int], Path] = {}
    links = deque([root])
    while links:
        folders = [links.popleft()]
        while folders:
            folder = folders.pop()
            try:
                if folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve()):
                    continue  # a loop: it leads to its own folder or one above
                stat = folder.stat()
                if (known := seen.setdefault((stat.st_dev, stat.st_ino), folder)) is not folder:
                    if not folder.is_relative_to(known):
                        _left_out(folder, f"it is the same folder as {str(known)!r}")
                    continue
                entries = [] if stop(folder) else sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError as error:
                _left_out(folder, error.strerror or str(error))
                continue
            yield folder
            folders += [Path(one.path) for one in reversed(entries) if one.is_dir(follow_symlinks=False)]
            for one in entries:
                if one.is_symlink() and one.is_dir():
                    links.append(Path(one.path))
                elif one.is_symlink() and not is_valid(one.name) and not Path(one.path).exists():
                    _left_out(Path(one.path), "it is a link to nothing")


def _left_out(path: Path, why: str) -> None:
    warnings.warn(f"{str(path)!r} is left out of the tables: {why}", TablesWarning, stacklevel=4)


def _files(session: ALFPath) -> list[ALFPath]:
    """Return the datasets of a session, including those in linked folders, in the order of their paths."""
    found = []
    for folder in _walk(session):
        for file in folder.glob("*.*.*"):
            if (path := ALFPath(file)).is_dataset():
                if is_text(str(file)):
                    found.append(path)
                else:
                    _left_out(file, "its name is no text")
    return sorted(found)


def _session_row(folder: ALFPath, root: Path) -> dict[str, Any] | None:
    """Return a session's row with its folder below the root; warn and return None if no table can hold it."""
    text = folder.as_posix()
    parts = text.split("/")
    tail = "/".join(
        parts[-5:] if len(parts) > 4 and parts[-4].lower() == "subjects" and parts[-5] else parts[-3:]
    )
    found, key = match_session(tail), parse_session_path(tail)
    problem = (
        "it has a back slash" if "\\" in tail else
        "its name is no text" if not is_text(text) else
        "there is no such date or number" if found is None or key is None else None
    )  # fmt: skip
    if problem or found is None or key is None:
        _left_out(folder, str(problem))
        return None
    return {
        "eid": "/".join(part for part in (found.lab, found.subject, found.date, found.number) if part),
        "lab": key.lab or "",
        "subject": key.subject,
        "date": key.date,
        "number": key.number,
        "task_protocol": "",
        "projects": "",
        FOLDER: folder.relative_to(root).as_posix(),
    }


def is_text(path: str) -> bool:
    """Return whether a path can be written as UTF-8, which the names of files need not be."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _with_own_ids(sessions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Make ids unique for sessions of the same lab, subject, date and number in different folders."""
    usual = sorted(sessions, key=lambda row: session_folder({**row, FOLDER: None}) != row[FOLDER])
    taken: set[str] = set()
    for row in usual:
        if row["eid"] in taken:
            row["eid"] = f"./{row[FOLDER]}"
        taken.add(row["eid"])
    return sessions


def _keep_folders(sessions: list[dict[str, Any]]) -> None:
    """Keep the folder only of sessions that are not at their usual path."""
    for row in sessions:
        if row[FOLDER] == session_folder({**row, FOLDER: None}):
            row[FOLDER] = None


def _sessions_frame(sessions: list[dict[str, Any]]) -> pl.DataFrame:
    frame = pl.DataFrame(sessions, schema={**SESSIONS, FOLDER: pl.String})
    return frame if frame[FOLDER].null_count() < len(frame) else frame.drop(FOLDER)


def _dataset_rows(
    found: list[tuple[str, ALFPath, ALFPath]],
    hash_files: bool,
    progress: Progress | None,
) -> list[dict[str, Any]]:
    def describe(item: tuple[str, ALFPath, ALFPath]) -> dict[str, Any]:
        eid, folder, file = item
        if not file.exists():  # a broken link may be an unmounted disk, so the file is not left out silently
            raise InputError.of("root_dir", str(file), "links to files that are there")
        rel_path = file.relative_to(folder).as_posix()
        return {
            "did": rel_path,
            "eid": eid,
            "rel_path": rel_path,
            "file_size": file.stat().st_size,
            "hash": _md5(file) if hash_files else "",
            "exists": True,
            "qc": "NOT_SET",
        }

    rows = []
    with ThreadPoolExecutor(min(16, (os.cpu_count() or 2) * 2)) as pool:
        for row in pool.map(describe, found):
            rows.append(row)
            if not regex(REL_PATH_SPEC).match(row["rel_path"]):
                path = str(found[len(rows) - 1][2])
                text = f"{path!r} is in the tables, but not listed: its folder's name is no ALF collection"
                warnings.warn(text, TablesWarning, stacklevel=3)
            if progress is not None:
                progress(len(rows), len(found))
    return rows


def _md5(file: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with file.open("rb") as stream:
        while piece := stream.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def _fill_lab(sessions: list[dict[str, Any]], lab: str) -> None:
    others = {row["lab"] for row in sessions} - {"", lab}
    if others:
        raise InputError(
            f"lab={lab!r}, but folders say {', '.join(sorted(others))}", argument="lab", given=lab
        )
    for row in sessions:
        row["lab"] = lab


def _hash_ids(sessions: list[dict[str, Any]], datasets: list[dict[str, Any]], namespace: uuid.UUID) -> None:
    """Replace path ids by UUIDs. As in ONE-api, equal paths of different sessions get equal dataset ids.

    A file with an id in its name keeps that id.
    """
    made: dict[str, str] = {}

    def uuid_of(path: str) -> str:
        if path not in made:
            made[path] = str(uuid.uuid3(namespace, path))
        return made[path]

    for row in sessions + datasets:
        row["eid"] = uuid_of(row["eid"])
    for row in datasets:
        row["did"] = split_id(row["rel_path"])[1] or uuid_of(row["rel_path"])


def remove_missing_datasets(
    cache_dir: str | Path,
    catalogue: Catalogue | None = None,
    remove_empty_sessions: bool = True,
    dry: bool = True,
) -> list[Path]:
    """Delete the ALF files of a folder that are not in its tables, and session folders that are then empty.

    Return the sorted paths; with ``dry`` nothing is deleted. Files without ALF names stay, and so do empty folders of
    sessions in the tables. The tables are those of ``catalogue`` or of the folder.
    """
    root = Path(cache_dir)
    tables = Catalogue.open(root) if catalogue is None else catalogue
    known = {
        root / path: eid
        for eid, path in zip(tables.session_frame["eid"], tables.folders, strict=True)
        if path is not None
    }
    doomed: set[Path] = set()
    for session in iter_sessions(root):
        folder = Path(session)
        rows = tables.dataset_table.rows_of(known[folder]) if folder in known else slice(0, 0)
        kept = set(tables.dataset_table.rel_paths(rows))
        files = (Path(file) for file in _files(session))
        doomed |= {file for file in files if file.relative_to(folder).as_posix() not in kept}
        if remove_empty_sessions and folder not in known:
            doomed.add(folder)
    paths = sorted(doomed)
    if not dry:
        _delete(paths, root)
    return paths


def _delete(paths: list[Path], root: Path) -> None:
    for path in paths:
        if path.is_file() or path.is_symlink():
            path.unlink()
    for folder in (path for path in paths if path.is_dir()):
        for top, _, _ in os.walk(folder, topdown=False):
            if not any(Path(top).iterdir()):
                Path(top).rmdir()
        parent = folder.parent
        while (
            not folder.exists()
            and parent != root
            and parent.is_relative_to(root)
            and not any(parent.iterdir())
        ):
            parent.rmdir()
            parent = parent.parent
