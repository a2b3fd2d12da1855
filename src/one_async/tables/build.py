"""Build cache tables from a folder of ALF data, without a database."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from one_async._arguments import path_of
from one_async._boundary import of_arguments
from one_async._progress import Display, Task, display_for, working
from one_async._threads import check_polars
from one_async._values import environment
from one_async._warnings import warn
from one_async.alf.session_paths import FOLDER
from one_async.errors import InputError, TablesError, TablesWarning
from one_async.tables import assemble, build_state
from one_async.tables.assemble import Progress
from one_async.tables.build_state import BuildState
from one_async.tables.catalogue import Catalogue, TablesMeta
from one_async.tables.changes import BuildReport, Changes
from one_async.tables.disk import save_tables
from one_async.tables.missing import remove_missing_datasets
from one_async.tables.old_tables import DATASET_COLUMNS, OldTables, table_files
from one_async.tables.scan import Files, find_sessions, iter_sessions, scan_session, session_row, usual_folder

__all__ = ["build_tables", "iter_sessions", "make_parquet_db", "remove_missing_datasets"]

#: The number of files at which rows are moved from lists to a frame.
_BATCH: Final = 100_000
_SCANNED: Final = {
    "session": pl.UInt32,
    "rel_path": pl.String,
    "file_size": pl.UInt64,
    "mtime": pl.Int64,
    "ctime": pl.Int64,
}


@of_arguments
def make_parquet_db(
    root_dir: str | Path,
    out_dir: str | Path | None = None,
    hash_ids: bool = True,
    hash_files: bool = False,
    lab: str | None = None,
    *,
    progress: Progress | None = None,
    namespace: uuid.UUID | None = None,
    overwrite: bool = False,
    quick: bool = False,
    check: Callable[[], object] | None = None,
) -> BuildReport:
    """Build or update the tables of a folder of ALF data, in it or in ``out_dir``; return their files and what changed.

    Sessions and datasets keep the ids that they have in existing tables: a session is found by its folder, otherwise by lab,
    subject, date and number; a dataset by its session and path. New ids are UUIDs (version 3) of paths in a ``namespace``,
    which is stored in ``.one_async_build`` next to the tables. With the same namespace, a path gets the same id in every
    folder. Without ``hash_ids``, ids are the paths themselves. If nothing has changed, the files are not rewritten.

    ``hash_files`` adds each file's MD5 hash; it reads files that are new, or whose size or modification time has changed since
    the last build. ``lab`` is the lab of sessions without a lab in their path. ``quick`` scans the files of a session only if
    the modification time of one of its folders has changed since the last build. It detects files that were added, removed or
    renamed, but not those that were modified in place, whose sizes and hashes stay as they were.

    Links to folders are followed, each folder once. The column ``folder`` contains the folder of each session that is not at
    its usual path: its number does not have three digits, or the folder is elsewhere. ``check`` is called repeatedly, and may
    raise an error to end the build.

    Warns with TablesWarning if nothing is found, and for each folder or file that is omitted: its date does not exist, its name
    cannot be stored in a table, or it is unreadable. Raises InputError if ``lab`` differs from the lab in a path, if a different
    namespace is stored, and, without ``overwrite``, if existing tables were not built from a folder or cannot be read.

    Examples:
        >>> from one_async.tables.build import make_parquet_db
        >>> report = make_parquet_db(data_dir)
        >>> print(report)
        sessions: 1 new, 0 gone, 0 unchanged; datasets: 2 new, 0 gone, 0 unchanged
    """
    check_polars()
    if lab and (not isinstance(lab, str) or lab in (".", "..") or set(lab) & set("/\\\0")):
        raise InputError.of("lab", lab, "a string that can be the name of a folder")
    root, out = _folder(root_dir, "root_dir").resolve(), _folder(out_dir or root_dir, "out_dir")
    old = OldTables(out, overwrite=overwrite)
    if hash_ids:
        namespace = build_state.ensure_namespace(out, namespace)
    files = table_files(out)
    state, mark = BuildState.read(out), build_state.mark_of(files)
    options = _Options(
        hash_files, lab, namespace if hash_ids else None, progress, _display(progress), check or _no_check
    )
    built = _Build(root, old, state, options, quick and state.mark == mark != "").run()
    written = bool(
        built.sessions or built.datasets or not old.is_complete or old.origins not in ([], [str(root)])
    )
    if written:
        try:
            save_tables(built.catalogue(), out, clobber=True)
        except TimeoutError as error:
            raise TablesError(str(error), path=str(out)) from None
        mark = build_state.mark_of(files)
    BuildState(built.files, built.folders, built.gone, mark).write(out, state)
    return BuildReport((files["sessions"], files["datasets"]), built.sessions, built.datasets, written)


@of_arguments
def build_tables(
    root_dir: str | Path,
    *,
    hash_ids: bool = True,
    hash_files: bool = False,
    lab: str | None = None,
    progress: Progress | None = None,
    namespace: uuid.UUID | None = None,
) -> Catalogue:
    """Return tables of the ALF sessions and datasets below a folder without writing anything.

    See `make_parquet_db`. Ids are those of the tables in the folder. New ids are made in ``namespace``, otherwise in the
    namespace stored in the folder, otherwise in a random one.
    """
    check_polars()
    root = _folder(root_dir, "root_dir").resolve()
    space = namespace or build_state.read_namespace(root) or uuid.uuid4()
    options = _Options(hash_files, lab, space if hash_ids else None, progress, _display(progress), _no_check)
    return _Build(root, OldTables(root), BuildState.read(root), options, False).run().catalogue()


def _no_check() -> None:
    """Never end a build."""


def _display(progress: Progress | None) -> Display | None:
    return None if progress is not None else display_for(environment().progress)


def _folder(given: str | Path, argument: str) -> Path:
    folder = path_of(given, argument)
    if not folder.is_dir():
        raise InputError.of(argument, str(given), "a folder that exists")
    return folder


class _Options(NamedTuple):
    hash_files: bool
    lab: str | None
    namespace: uuid.UUID | None
    progress: Progress | None
    display: Display | None
    check: Callable[[], object]


class _Built(NamedTuple):
    """New tables, what changed, and what the next build needs."""

    catalogue: Callable[[], Catalogue]
    sessions: Changes
    datasets: Changes
    files: pl.DataFrame
    folders: pl.DataFrame
    gone: pl.DataFrame


class _Batch:
    """Columns of files, collected session by session. Times are 0 unless ``has_times``, since only hashes depend on them."""

    def __init__(self, has_times: bool) -> None:
        self.has_times = has_times
        self.paths: list[str] = []
        self._sessions: list[int] = []
        self._counts: list[int] = []
        self._sizes: list[int] = []
        self._mtimes: list[int] = []
        self._ctimes: list[int] = []

    def add(self, session: int, found: Files) -> None:
        self._sessions.append(session)
        self._counts.append(len(found.paths))
        self.paths += found.paths
        self._sizes += [stat.st_size for stat in found.stats]
        if self.has_times:
            self._mtimes += [stat.st_mtime_ns for stat in found.stats]
            self._ctimes += [stat.st_ctime_ns for stat in found.stats]

    def frame(self) -> pl.DataFrame:
        none = np.zeros(len(self.paths), np.int64)
        columns = {
            "session": np.repeat(np.array(self._sessions, np.uint32), self._counts),
            "rel_path": self.paths,
            "file_size": self._sizes,
            "mtime": self._mtimes if self.has_times else none,
            "ctime": self._ctimes if self.has_times else none,
        }
        return pl.DataFrame(columns, schema=_SCANNED)


class _Scanned(NamedTuple):
    """The files of sessions, the folders that a quick build can skip, and the sessions that were skipped."""

    files: pl.DataFrame
    folders: pl.DataFrame
    skipped: list[int]


@dataclass(frozen=True)
class _Build:
    """One build of tables."""

    root: Path
    old: OldTables
    state: BuildState
    options: _Options
    quick: bool

    def run(self) -> _Built:
        """Scan the folder and compare it with the old tables."""
        began = time.time_ns() - build_state.SETTLED
        make = self._maker()
        rows = self._sessions()
        folders = [row.pop(FOLDER) for row in rows]
        gone = self.state.gone
        if make is not None:
            known = [self.old.sessions.select(gone.columns), gone]
            gone = pl.concat(known).unique("eid", keep="first", maintain_order=True)
            assemble.assign_eids(rows, folders, gone, make)
        eids = pl.Series("eid", [row["eid"] for row in rows], dtype=pl.String)
        sessions = assemble.sessions_frame(rows, folders)
        sessions, changes = assemble.compare_sessions(sessions, folders, self.old.sessions)
        gone = gone.join(sessions.select("eid"), on="eid", how="anti", maintain_order="left")
        same = self._unchanged(folders, eids)
        with working(self.options.display, Task("looking for files", "sessions", len(folders))) as task:
            scanned = self._scan(task.each(folders), same, began)
        if rows and not changes and len(scanned.skipped) == len(rows):
            datasets, found, hashed = (
                lambda: self.old.datasets,
                Changes(unchanged=self.old.count()),
                self.state.files,
            )
        else:
            files = scanned.files.with_columns(eid=eids.gather(scanned.files["session"])).drop("session")
            paths = dict(zip(eids, folders, strict=True))
            datasets, found, hashed = self._compare(files, eids.gather(scanned.skipped), paths, began)
        for name, count in (
            ("sessions", len(rows)),
            ("datasets", found.new + found.changed + found.unchanged),
        ):
            if not count:
                warn(f"no {name} found in {self.root}", TablesWarning)
        made = partial(self._catalogue, sessions, datasets)
        return _Built(made, changes, found, hashed, scanned.folders, gone)

    def _compare(
        self, files: pl.DataFrame, skipped: pl.Series, folders: dict[str, str], began: int
    ) -> tuple[Callable[[], pl.DataFrame], Changes, pl.DataFrame]:
        """Compare the files found with the old datasets; ``folders`` are those of the sessions by id.

        Return a function that creates the new datasets, what changed, and the hashes for the next build.
        """
        old, seen, options = self.old.datasets, self.state.files, self.options
        reused = old.join(skipped.to_frame(), on="eid", how="semi")
        find = partial(self._path, folders) if options.hash_files else None
        with working(options.display, Task("reading files", "files", len(files))) as task:
            files = assemble.add_hashes(files, seen, find, options.progress or task.set, options.check)
        files = assemble.add_ids(files, old, self._maker())
        changes = assemble.compare_datasets(files, len(old), len(reused))
        hashed = files.filter((pl.col("hash") != "") & (pl.max_horizontal("mtime", "ctime") < began))
        carried = seen.join(reused.select("eid", "rel_path"), on=["eid", "rel_path"], how="semi")

        def datasets() -> pl.DataFrame:
            columns = list(DATASET_COLUMNS)
            return pl.concat([files.with_columns(exists=True).select(columns), reused.select(columns)])

        return datasets, changes, pl.concat([hashed.select(seen.columns), carried])

    def _maker(self) -> Callable[[str], str] | None:
        space = self.options.namespace
        return None if space is None else lambda text: str(uuid.uuid3(space, text))

    def _sessions(self) -> list[dict[str, Any]]:
        """Return the sessions' rows with their folders; ``eid`` is a key that identifies each."""
        folders = find_sessions(self.root, self.options.check)
        rows = [row for folder in folders if (row := session_row(folder, self.root))]
        _make_ids_unique(rows)
        lab = self.options.lab
        if lab:
            others = {row["lab"] for row in rows} - {"", lab}
            if others:
                text = f"lab={lab!r}, but folders have {', '.join(sorted(others))}"
                raise InputError(text, argument="lab", given=lab)
            for row in rows:
                row["lab"] = lab
        return rows

    def _unchanged(self, folders: list[str], eids: pl.Series) -> dict[str, dict[str, int]]:
        """Return the sessions that a quick build may skip, with the times of their folders."""
        if not self.quick:
            return {}
        known: dict[str, dict[str, int]] = {}
        for session, folder, mtime in self.state.folders.iter_rows():
            known.setdefault(session, {})[folder] = mtime
        if self.options.hash_files:
            hashes = self.old.datasets.filter(pl.col("hash").fill_null("") == "")
            for folder, eid in zip(folders, eids.is_in(hashes["eid"].implode()), strict=True):
                if eid:
                    known.pop(folder, None)
        return known

    def _scan(self, folders: Iterable[str], known: dict[str, dict[str, int]], began: float) -> _Scanned:
        frames: list[pl.DataFrame] = []
        kept: dict[str, list[Any]] = {name: [] for name in self.state.folders.columns}
        skipped: list[int] = []
        batch = _Batch(self.options.hash_files or not self.state.files.is_empty())
        for at, folder in enumerate(folders):
            session = str(self.root / folder)
            if folder in known and _is_unchanged(session, known[folder]):
                skipped.append(at)
                times = known[folder]
            else:
                found = scan_session(session, self.options.check)
                batch.add(at, found)
                if len(batch.paths) >= _BATCH:
                    frames.append(batch.frame())
                    batch = _Batch(batch.has_times)
                times = found.folders
                if not found.is_plain or max(times.values(), default=0) >= began:
                    continue
            kept["session"] += [folder] * len(times)
            kept["folder"] += times
            kept["mtime"] += times.values()
        frames.append(batch.frame())
        return _Scanned(pl.concat(frames), pl.DataFrame(kept, schema=self.state.folders.schema), skipped)

    def _path(self, folders: Mapping[str, str], row: Mapping[str, Any]) -> Path:
        return self.root.joinpath(folders[row["eid"]], row["rel_path"])

    def _catalogue(self, sessions: pl.DataFrame, datasets: Callable[[], pl.DataFrame]) -> Catalogue:
        created = datetime.now().isoformat(sep=" ", timespec="minutes")
        raw = {name: {"date_created": created, "origin": str(self.root)} for name in ("sessions", "datasets")}
        meta = TablesMeta(datetime.fromisoformat(created), raw=raw)
        return Catalogue.from_frames(sessions, datasets(), meta=meta)


def _is_unchanged(session: str, folders: Mapping[str, int]) -> bool:
    """Return whether the folders of a session are there with these modification times."""
    try:
        return all(
            os.stat(f"{session}{os.sep}{below}").st_mtime_ns == mtime  # noqa: PTH116 - called for each folder
            for below, mtime in folders.items()
        )
    except OSError:
        return False


def _make_ids_unique(sessions: list[dict[str, Any]]) -> None:
    """Make the keys unique for sessions of the same lab, subject, date and number in different folders."""
    taken: set[str] = set()
    for row in sorted(sessions, key=lambda row: usual_folder(row) != row[FOLDER]):
        if row["eid"] in taken:
            row["eid"] = f"./{row[FOLDER]}"
        taken.add(row["eid"])
