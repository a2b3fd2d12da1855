"""Assemble tables from the scan of a folder, reusing ids and hashes of earlier tables."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any, Final, TypeAlias

import polars as pl

from one_async._warnings import warn
from one_async.alf.session_paths import FOLDER, is_id, split_ids
from one_async.errors import TablesWarning
from one_async.tables.changes import Changes
from one_async.tables.scan import usual_folder
from one_async.tables.schema import QC_LEVELS, SESSIONS

__all__ = [
    "Progress", "add_hashes", "add_ids", "assign_eids", "compare_datasets", "compare_sessions", "sessions_frame",
]  # fmt: skip

#: Called with the number of finished files and the total.
Progress: TypeAlias = Callable[[int, int], None]
_CHUNK: Final = 1 << 20
#: The number of files passed to the threads at once.
_AT_ONCE: Final = 2048
_UUID: Final = "^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$"


def assign_eids(
    rows: Sequence[dict[str, Any]],
    folders: Sequence[str],
    old: pl.DataFrame,
    make: Callable[[str], str],
) -> None:
    """Replace the keys in ``eid`` by ids: those of the old sessions, or new ones that ``make`` computes from the keys.

    An old session is found by its folder, otherwise by its lab, subject, date and number. No id is assigned twice.
    """
    by_folder: dict[str, str] = {}
    by_key: defaultdict[tuple[Any, ...], list[str]] = defaultdict(list)
    for row in old.iter_rows(named=True):
        if is_id(row["eid"]):
            by_folder.setdefault(row[FOLDER], row["eid"])
            by_key[_key(row)].append(row["eid"])
    found: dict[int, str] = {}
    for at, folder in enumerate(folders):
        if folder in by_folder:
            found[at] = by_folder[folder]
    taken = set(found.values())
    for at, row in enumerate(rows):
        if at not in found:
            free = next((eid for eid in by_key.get(_key(row), ()) if eid not in taken), None)
            if free is not None:
                found[at] = free
                taken.add(free)
    for at, (row, folder) in enumerate(zip(rows, folders, strict=True)):
        text, again = row["eid"], 0
        eid = found.get(at)
        while eid is None or (at not in found and eid in taken):
            eid = make(text)
            text, again = f"./{folder}" + f"#{again}" * bool(again), again + 1
        row["eid"] = eid
        taken.add(eid)


def _key(row: Mapping[str, Any]) -> tuple[str, str, date, int]:
    return row["lab"] or "", row["subject"], row["date"], row["number"]


def sessions_frame(rows: Sequence[Mapping[str, Any]], folders: Sequence[str]) -> pl.DataFrame:
    """Return the sessions table. It has a column with the folder if a session is not at its usual path."""
    own = [None if folder == usual_folder(row) else folder for row, folder in zip(rows, folders, strict=True)]
    frame = pl.DataFrame(list(rows), schema={**SESSIONS, FOLDER: pl.String})
    frame = frame.with_columns(pl.Series(FOLDER, own, dtype=pl.String))
    return frame if frame[FOLDER].null_count() < len(frame) else frame.drop(FOLDER)


def compare_sessions(
    frame: pl.DataFrame, folders: Sequence[str], old: pl.DataFrame
) -> tuple[pl.DataFrame, Changes]:
    """Copy the protocols and projects of old sessions to the new ones; return them and the changes."""
    given = ["lab", "subject", "date", "number", FOLDER]
    told = ["task_protocol", "projects"]
    both = frame.with_columns(pl.Series("_folder", folders, dtype=pl.String)).join(
        old.with_columns(_old=True), on="eid", how="left", suffix="_old", maintain_order="left"
    )
    folder = f"{FOLDER}_old" if FOLDER in frame.columns else FOLDER
    differs = pl.any_horizontal(
        *(pl.col(name).ne_missing(pl.col(f"{name}_old")) for name in given[:-1]),
        pl.col("_folder").ne_missing(pl.col(folder)),
    )
    numbers = both.select(
        new=pl.col("_old").is_null().sum(), changed=(pl.col("_old").is_not_null() & differs).sum()
    ).row(0, named=True)
    kept = len(both) - numbers["new"]
    changes = Changes(gone=len(old) - kept, unchanged=kept - numbers["changed"], **numbers)
    filled = [pl.coalesce(f"{name}_old", name).alias(name) for name in told]
    return both.with_columns(filled).select(frame.columns), changes


def add_ids(files: pl.DataFrame, old: pl.DataFrame, make: Callable[[str], str] | None) -> pl.DataFrame:
    """Add dataset ids to the files, and values of the old datasets: ``size_old``, ``hash_old``, ``qc``.

    The id is the one in the file's name, otherwise that of the old dataset, otherwise the one that ``make`` computes from the
    path below the session; without ``make``, the path. As in ONE-api, equal paths of different sessions get equal ids.
    """
    same = ["eid", "rel_path"]
    old = old.rename({"did": "did_old", "file_size": "size_old", "hash": "hash_old"}).drop("exists")
    both = files.join(old, on=same, how="left", maintain_order="left")
    if len(both) != len(files):  # rows of one path
        old = old.unique(same, keep="first", maintain_order=True)
        both = files.join(old, on=same, how="left", maintain_order="left")
    both = both.with_columns(pl.col("qc").fill_null(pl.lit("NOT_SET", QC_LEVELS)))
    if make is None:
        return both.with_columns(did=pl.col("rel_path"))
    is_id = pl.col("did_old").str.contains(_UUID)
    all_ids = old["did_old"].unique().str.contains(_UUID).all()
    both = both.with_columns(did=pl.col("did_old") if all_ids else pl.when(is_id).then("did_old"))
    names = both["rel_path"].unique()
    named = pl.DataFrame({"rel_path": names, "other": split_ids(names)["did"]}).drop_nulls()
    both = _with_ids(both, named, pl.coalesce("other", "did"))
    new = both.filter(pl.col("did").is_null())["rel_path"].unique()
    made = pl.DataFrame({"rel_path": new, "other": pl.Series(map(make, new), dtype=pl.String)})
    return _with_ids(both, made, pl.coalesce("did", "other"))


def _with_ids(files: pl.DataFrame, ids: pl.DataFrame, did: pl.Expr) -> pl.DataFrame:
    """Replace the ids of files by ``did``, an expression of ``did`` and of the column ``other`` that ``ids`` has by path."""
    if ids.is_empty():
        return files
    both = files.join(ids, on="rel_path", how="left", maintain_order="left")
    return both.with_columns(did=did).drop("other")


def compare_datasets(files: pl.DataFrame, old: int, reused: int) -> Changes:
    """Return the changes, for files with ids and hashes, and the numbers of ``old`` and of ``reused`` datasets."""
    is_old = pl.col("did_old").is_not_null()
    differs = (
        pl.col("did").ne_missing(pl.col("did_old"))
        | pl.col("file_size").ne_missing(pl.col("size_old"))
        | pl.col("hash").ne_missing(pl.col("hash_old").fill_null(""))
    )
    known, changed = files.select(is_old.sum(), changed=(is_old & differs).sum()).row(0)
    return Changes(len(files) - known, old - known - reused, changed, known - changed + reused)


def add_hashes(
    files: pl.DataFrame,
    seen: pl.DataFrame,
    find: Callable[[Mapping[str, Any]], Path] | None,
    progress: Progress | None,
    check: Callable[[], object],
) -> pl.DataFrame:
    """Add the known hashes of files that have not changed since the last build.

    ``find`` returns the path of a row's file; if it is given, the other files are read and hashed.
    """
    same = ["eid", "rel_path", "file_size", "mtime", "ctime"]
    if seen.is_empty():
        files = files.with_columns(hash=pl.lit(None, pl.String))
    elif files.select(same).equals(seen.select(same)):
        files = files.with_columns(seen["hash"])
    else:
        files = files.join(seen, on=same, how="left", maintain_order="left")
    total = len(files)
    if find is not None:
        todo = files.with_row_index("at").filter(pl.col("hash").is_null()).select("at", "eid", "rel_path")
        done = total - len(todo)
        hashes: list[str] = []
        with ThreadPoolExecutor(min(16, (os.cpu_count() or 2) * 2)) as pool:
            for piece in todo.iter_slices(_AT_ONCE):
                paths = [find(row) for row in piece.iter_rows(named=True)]
                for digest in pool.map(lambda path: _md5(path, check), paths):
                    hashes.append(digest)
                    if progress is not None:
                        progress(done + len(hashes), total)
        new = todo.select("at", new=pl.Series(hashes, dtype=pl.String))
        files = files.with_row_index("at").join(new, on="at", how="left", maintain_order="left")
        files = files.with_columns(hash=pl.coalesce("hash", "new")).drop("at", "new")
    if progress is not None and (find is None or not len(todo)):
        progress(total, total)
    return files.with_columns(pl.col("hash").fill_null(""))


def _md5(file: Path, check: Callable[[], object]) -> str:
    """Return the hash of a file, or an empty string with a warning if it is there and cannot be read."""
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with file.open("rb") as stream:
            while piece := stream.read(_CHUNK):
                check()
                digest.update(piece)
    except FileNotFoundError:  # it was removed meanwhile
        return ""
    except OSError as error:
        text = f"{str(file)!r} has no hash in the tables, since it cannot be read: {error.strerror or error}"
        warn(text, TablesWarning)
        return ""
    return digest.hexdigest()
