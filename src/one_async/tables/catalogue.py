"""Catalogue: an immutable set of cache tables with their origin and date."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache, cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
import polars as pl

from one_async._threads import check_polars
from one_async._warnings import warn
from one_async.alf.session_paths import session_folders
from one_async.errors import InputError, TablesDamaged, TablesNotFound, TablesWarning
from one_async.tables import install, mmap_cache
from one_async.tables.columns import codes_of
from one_async.tables.dataset_table import Datasets, find
from one_async.tables.ids import as_uuid
from one_async.tables.polars_files import read_metadata
from one_async.tables.schema import INSERTIONS, SCHEMAS, SESSIONS, canonical, read_table

__all__ = ["Catalogue", "TablesMeta"]


@dataclass(frozen=True)
class TablesMeta:
    """The origin and date of tables; the counterpart of ONE-api's ``_cache._meta``."""

    created_time: datetime | None = None
    loaded_time: datetime | None = None
    modified_time: datetime | None = None
    saved_time: datetime | None = None
    #: Each table's ``one_metadata``: date_created, origin, min_api_version, database_tags…
    raw: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tables_dir: Path | None = None

    @property
    def origin(self) -> frozenset[str]:
        """The databases or folders of the rows."""
        return frozenset(name for raw in self.raw.values() for name in as_texts(raw.get("origin")))

    @property
    def is_partial(self) -> bool:
        """Whether the sessions are rows from queries rather than a complete table."""
        return bool(self.raw.get("sessions", {}).get("partial"))

    @property
    def database_tags(self) -> frozenset[str]:
        """The tags by which the tables were filtered."""
        return frozenset(tag for raw in self.raw.values() for tag in as_texts(raw.get("database_tags")))


def as_texts(value: Any) -> list[str]:
    """Return a string, a list of strings or None as a list."""
    if not value:
        return []
    return [value] if isinstance(value, str) else [str(item) for item in value if item]


def created_time(raw: Mapping[str, Mapping[str, Any]]) -> datetime | None:
    """Return the earliest ``date_created`` of the tables."""
    times = []
    for entry in raw.values():
        try:
            times.append(datetime.fromisoformat(entry["date_created"]))
        except (KeyError, TypeError, ValueError):
            continue
    return min(times, default=None)


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Immutable tables; every change returns a new catalogue, which shares the unchanged parts.

    ``session_frame`` is ordered by eid; ``others`` holds the insertions and any further tables.
    """

    session_frame: pl.DataFrame
    dataset_table: Datasets
    others: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    meta: TablesMeta = field(default_factory=TablesMeta)
    #: Rows that were merged since the tables were opened or saved.
    pending: Mapping[str, pl.DataFrame] = field(default_factory=dict)

    @classmethod
    def open(
        cls,
        tables_dir: str | Path,
        *,
        convert: bool | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Catalogue:
        """Open the tables of a folder, memory-mapped if their memory-mapped form exists or can be written.

        ``convert``: None writes that form for large tables, True always, False never. ``progress`` is called with the number
        of files read and their total.
        Raises TablesNotFound if there are no tables, and TablesDamaged with the name of a file that cannot be read.
        """
        check_polars()
        folder = Path(tables_dir)
        install.finish(folder)
        files = _table_files(folder)
        if not any(name in files for name in ("sessions", "datasets")):
            raise TablesNotFound(
                f"no cache tables (sessions.pqt, datasets.pqt) in {folder}", path=str(folder)
            )
        read = partial(read_parts, progress=progress)
        parts = mmap_cache.open_or_convert(folder, files, read, write=convert)
        meta = TablesMeta(created_time(parts.raw), datetime.now(), raw=parts.raw, tables_dir=folder)
        return cls(parts.sessions, parts.datasets, MappingProxyType(dict(parts.others)), meta)

    @classmethod
    def empty(cls) -> Catalogue:
        """Return a catalogue without rows."""
        return _empty()

    @classmethod
    def from_frames(
        cls,
        sessions: pl.DataFrame | None = None,
        datasets: pl.DataFrame | None = None,
        *,
        meta: TablesMeta | None = None,
        **others: pl.DataFrame,
    ) -> Catalogue:
        """Create a catalogue from frames with the tables' columns."""
        return cls.empty().replace(sessions=sessions, datasets=datasets, meta=meta, **others)

    def replace(
        self,
        *,
        sessions: pl.DataFrame | None = None,
        datasets: pl.DataFrame | None = None,
        meta: TablesMeta | None = None,
        **others: pl.DataFrame,
    ) -> Catalogue:
        """Return a catalogue in which these tables are replaced."""
        made = {name: canonical(name, frame) for name, frame in others.items()}
        return Catalogue(
            self.session_frame if sessions is None else sorted_sessions(canonical("sessions", sessions)),
            self.dataset_table if datasets is None else Datasets.from_frame(canonical("datasets", datasets)),
            MappingProxyType({**self.others, **made}),
            self.meta if meta is None else meta,
            self.pending,
        )

    def with_meta(self, **changes: Any) -> Catalogue:
        """Return the same tables with changed metadata."""
        return replace(self, meta=replace(self.meta, **changes))

    def sessions(self) -> pl.LazyFrame:
        """Return the sessions: eid, lab, subject, date, number, task_protocol, projects and further columns of the file."""
        return self.session_frame.lazy()

    def datasets(self) -> pl.LazyFrame:
        """Return the datasets: did, eid, rel_path, file_size, hash, exists, qc and further columns of the file."""
        return self.dataset_table.lazy()

    def insertions(self) -> pl.LazyFrame:
        """Return the insertions: pid, eid, name and further columns of the file; no rows if there is no such table."""
        frame = self.others.get("insertions")
        return pl.LazyFrame(schema=INSERTIONS) if frame is None else frame.lazy()

    def sql(self, query: str) -> pl.DataFrame:
        """Run SQL on the tables ``sessions``, ``datasets``, ``insertions`` and any others in the folder.

        Raises InputError for SQL that Polars cannot run.
        """
        check_polars()
        frames = {name: frame.lazy() for name, frame in self.others.items()}
        frames |= {"sessions": self.sessions(), "datasets": self.datasets(), "insertions": self.insertions()}
        try:
            return pl.SQLContext(frames).execute(query, eager=True)
        except (pl.exceptions.PolarsError, TypeError) as error:
            raise InputError(f"the SQL cannot be run: {error}", argument="query", given=query) from error

    @cached_property
    def order(self) -> npt.NDArray[np.uint32]:
        """The sessions' rows in the order of search results: date, subject and number descending, then eid."""
        rows = self.session_frame.select("date", "subject", "number").with_row_index("row")
        ordered = rows.sort(
            "date", "subject", "number", descending=True, nulls_last=True, maintain_order=True
        )
        return ordered["row"].to_numpy()

    @cached_property
    def spans(self) -> npt.NDArray[np.int64]:
        """The position of each session in ``dataset_table.eids``, -1 if it has no datasets."""
        eids = self.dataset_table.eids
        if len(eids) == len(self.session_frame) and eids.equals(self.session_frame["eid"], check_names=False):
            return np.arange(len(eids))
        table = pl.DataFrame({"eid": eids, "at": np.arange(len(eids))})
        found = self.session_frame.select("eid").join(table, on="eid", how="left", maintain_order="left")
        return found["at"].fill_null(-1).to_numpy()

    @cached_property
    def _distinct(self) -> dict[str, tuple[pl.Series, npt.NDArray[np.uint32]]]:
        return {}

    def distinct(self, column: str) -> tuple[pl.Series, npt.NDArray[np.uint32]]:
        """Return the distinct values of a column of sessions, and the position of each session's value."""
        if column not in self._distinct:
            series = self.session_frame[column]
            words = series.unique(maintain_order=True)
            self._distinct[column] = (words, codes_of(series, words))
        return self._distinct[column]

    @cached_property
    def _uuids(self) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.bool_]]:
        size = len(self.session_frame)
        return np.empty(size, object), np.zeros(size, bool)

    def uuids(self, rows: npt.NDArray[np.uint32]) -> list[UUID | str]:
        """Return the ids of sessions as UUIDs; each UUID is created on first use and kept.

        They are not created all at once, since garbage collection of so many new objects would stall all threads.
        """
        kept, known = self._uuids
        new = rows[~known[rows]]
        if len(new):
            made = np.empty(len(new), object)
            made[:] = [as_uuid(eid) for eid in self.session_frame["eid"].gather(new)]
            kept[new] = made
            known[new] = True
        return kept[rows].tolist()  # type: ignore[no-any-return]

    @cached_property
    def folders(self) -> pl.Series:
        """The path of each session below the cache folder, in row order; null for a session that cannot have a folder."""
        return session_folders(self.session_frame)

    @property
    def has_paths_for_ids(self) -> bool:
        """Whether the tables were built without UUIDs."""
        eids = self.session_frame["eid"]
        return any("/" in eid for eid in (*eids[:1], *eids[-1:]))

    @cached_property
    def duplicated_ids(self) -> frozenset[str]:
        """The ids that more than one session has; valid tables have none."""
        eids = self.session_frame["eid"]
        return frozenset(eids.filter(eids == eids.shift()))

    def session_row(self, eid: str) -> int | None:
        """Return the row of a session in ``session_frame``, None if it is not in the tables."""
        return find(self.session_frame["eid"], eid)


@cache
def _empty() -> Catalogue:
    check_polars()
    return Catalogue(pl.DataFrame(schema=SESSIONS), Datasets.empty())


def sorted_sessions(frame: pl.DataFrame) -> pl.DataFrame:
    """Sort sessions by eid, as searches by id require."""
    return frame if frame["eid"].is_sorted() else frame.sort("eid", maintain_order=True)


def read_parts(
    files: Mapping[str, Path], progress: Callable[[int, int], None] | None = None
) -> mmap_cache.Parts:
    """Read Parquet files in any of the formats since 2021."""
    sessions, datasets = pl.DataFrame(schema=SESSIONS), Datasets.empty()
    others: dict[str, pl.DataFrame] = {}
    raw: dict[str, dict[str, Any]] = {}
    for done, (table, path) in enumerate(files.items()):
        if progress is not None:
            progress(done, len(files))
        try:
            frame, one_metadata = read_table(path, table)
        except TablesDamaged as error:
            if table in SCHEMAS:
                raise
            warn(f"it is left out of the tables: {error}", TablesWarning)
            continue
        raw[table] = one_metadata
        if table == "sessions":
            sessions = sorted_sessions(frame)
        elif table == "datasets":
            datasets = Datasets.from_frame(frame)
        else:
            others[table] = frame
    return mmap_cache.Parts(sessions, datasets, others, raw)


def _table_files(folder: Path) -> dict[str, Path]:
    """Return the table files in a folder; other parquet files without ``one_metadata`` are not tables."""
    files = {}
    waiting = install.waiting(folder)
    for path in sorted({*folder.glob("*.pqt"), *waiting}):
        if path.stem in SCHEMAS or path in waiting or _is_table(path):
            files[path.stem] = waiting.get(path, path)
    return files


def _is_table(path: Path) -> bool:
    try:
        return "one_metadata" in read_metadata(path)
    except (pl.exceptions.PolarsError, OSError):
        warn(f"{path} is no parquet file; it is left out of the tables", TablesWarning)
        return False
