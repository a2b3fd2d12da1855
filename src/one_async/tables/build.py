"""Tables of a folder of ALF data that no database knows."""

from __future__ import annotations

import hashlib
import os
import uuid
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from one_async._fork import check_polars
from one_async.alf.path import ALFPath, get_alf_path, session_path_parts
from one_async.alf.spec import is_session_path
from one_async.errors import InputError, TablesWarning

from .catalogue import Catalogue, TablesMeta
from .disk import save_tables
from .schema import DATASETS, SESSIONS

__all__ = ["build_tables", "iter_sessions", "make_parquet_db", "remove_missing_datasets"]

#: Called with the number of files that are done and of all.
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
    """Write tables of a folder's ALF data into it, or into ``out_dir``; gives the files of sessions and datasets.

    See `build_tables`. Tables that are there already are replaced.
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
    workers: int | None = None,
) -> Catalogue:
    """Give tables of the ALF sessions and datasets below a folder.

    Ids are UUIDs (version 3) of paths in a ``namespace``, by default one of this machine and moment as in ONE-api:
    give one to get the same ids again. Without ``hash_ids``, ids are the paths themselves. ``hash_files`` adds each
    file's md5, many files at a time. ``lab`` fills the lab where folders do not say it; InputError if they say another.
    Warns with TablesWarning where nothing is found.
    """
    check_polars()
    root = Path(root_dir).resolve()
    if not root.is_dir():
        raise InputError.of("root_dir", str(root_dir), "a folder that exists")
    folders = list(iter_sessions(root))
    sessions = [_session_row(folder) for folder in folders]
    found = [
        (row["eid"], file) for row, folder in zip(sessions, folders, strict=True) for file in _files(folder)
    ]
    datasets = _dataset_rows(found, hash_files, progress, workers)
    for name, rows in (("sessions", sessions), ("datasets", datasets)):
        if not rows:
            warnings.warn(f"no {name} found in {root}", TablesWarning, stacklevel=2)
    if lab:
        _fill_lab(sessions, lab)
    if hash_ids:
        _hash_ids(sessions, datasets, namespace or uuid.uuid1())
    created = datetime.now().isoformat(sep=" ", timespec="minutes")
    raw = {name: {"date_created": created, "origin": str(root)} for name in ("sessions", "datasets")}
    schema = {name: dtype for name, dtype in DATASETS.items() if name != "default_revision"}
    return Catalogue.from_frames(
        pl.DataFrame(sessions, schema=SESSIONS),
        pl.DataFrame(datasets, schema=schema),
        meta=TablesMeta(datetime.fromisoformat(created), raw=raw),
    )


def iter_sessions(root_dir: str | Path) -> Iterator[ALFPath]:
    """Give the session folders of a folder (itself, if it is one), in the order of their paths."""
    root = Path(root_dir)
    if is_session_path(root):
        yield ALFPath(root)
    folders = [Path(top, name) for top, names, _ in os.walk(root) for name in names]
    for folder in sorted(folders):
        if is_session_path(folder):
            yield ALFPath(folder)


def _files(session: ALFPath) -> Iterator[ALFPath]:
    yield from session.iter_datasets(recursive=True)


def _session_row(folder: ALFPath) -> dict[str, Any]:
    path = get_alf_path(folder)
    lab, subject, day, number = session_path_parts(path or "", assert_valid=True)
    try:
        parsed = date.fromisoformat(day or "")
    except ValueError:
        raise InputError.of("root_dir", str(folder), "sessions in folders of dates that there are") from None
    return {
        "eid": "/".join(part for part in (lab, subject, day, number) if part),
        "lab": lab or "",
        "subject": subject,
        "date": parsed,
        "number": int(number or ""),
        "task_protocol": "",
        "projects": "",
    }


def _dataset_rows(
    found: list[tuple[str, ALFPath]], hash_files: bool, progress: Progress | None, workers: int | None
) -> list[dict[str, Any]]:
    def describe(item: tuple[str, ALFPath]) -> dict[str, Any]:
        eid, file = item
        if not file.exists():  # its tables would lack what is only out of reach
            raise InputError.of("root_dir", str(file), "links to files that are there")
        rel_path = file.relative_to_session().as_posix()
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
    with ThreadPoolExecutor(workers or min(16, (os.cpu_count() or 2) * 2)) as pool:
        for row in pool.map(describe, found):
            rows.append(row)
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
    """Make UUIDs of path ids. As in ONE-api, equal paths of different sessions get equal dataset ids."""
    made: dict[str, str] = {}
    for row, name in [(row, "eid") for row in sessions + datasets] + [(row, "did") for row in datasets]:
        path = row[name]
        if path not in made:
            made[path] = str(uuid.uuid3(namespace, path))
        row[name] = made[path]


def remove_missing_datasets(
    cache_dir: str | Path,
    catalogue: Catalogue | None = None,
    remove_empty_sessions: bool = True,
    dry: bool = True,
) -> list[Path]:
    """Delete the ALF files of a folder that its tables do not have, and session folders that are then empty.

    Gives the paths, sorted; with ``dry`` nothing is deleted. Files without ALF names stay, and so do empty folders of
    sessions that the tables know. The tables are those of ``catalogue`` or of the folder.
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
