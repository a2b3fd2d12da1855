"""Answers from the cache tables."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from one_async._threads import run_polars
from one_async.alf.session_paths import match_keys
from one_async.errors import TablesNotFound
from one_async.queries.base import (
    ProbeLists,
    SessionDatasets,
    matching_datasets,
    order_insertions,
    paths_below,
    warn_of_no_folder,
)
from one_async.queries.empty_search import reasons_in_tables
from one_async.queries.terms import SESSION_TERMS
from one_async.tables import listing, query
from one_async.tables.ids import as_uuid

if TYPE_CHECKING:
    import polars as pl

    from one_async.alf.path import ALFPath
    from one_async.tables.catalogue import Catalogue

T = TypeVar("T")
NO_INSERTIONS = "the cache tables have no insertions; use query_type='remote'"
#: Terms of insertions that mean the same in tables: neither `model`, which is a part number there, nor terms of datasets,
#: which the server applies to the datasets of the insertion.
INSERTION_SEARCH = frozenset(
    {*SESSION_TERMS, "name", "serial", "chronic_insertion", "session"} - {"datasets", "dataset_qc_lte"}
)
#: Number of sessions that are found by position in less time than it takes to start a thread.
FEW = 8
#: Number of rows of one session that are read in less time than it takes to start a thread.
FEW_DATASETS = 500


class LocalSource:
    """Look-ups in the cache tables, off the event loop."""

    def __init__(self, catalogue: Catalogue, *, wildcards: bool) -> None:
        self._catalogue = catalogue
        self._wildcards = wildcards

    async def search(self, terms: Mapping[str, Any]) -> list[UUID]:
        """Return the ids of the sessions that match, latest date first."""
        return await run_polars(lambda: query.search(self._catalogue, wildcards=self._wildcards, **terms))

    async def search_details(self, terms: Mapping[str, Any]) -> tuple[list[UUID], pl.DataFrame]:
        """Return the sessions that match, latest date first."""

        def look() -> tuple[list[UUID], pl.DataFrame]:
            frame = query.search(self._catalogue, wildcards=self._wildcards, details=True, **terms)
            return [as_uuid(eid) for eid in frame["eid"]], frame

        return await run_polars(look)

    async def sessions(self, eids: Sequence[str], use: Callable[[pl.DataFrame], T]) -> T:
        """Call ``use`` with the sessions with these ids, without unknown ones."""
        return await run_polars(lambda: use(self.session_rows(eids)), few=len(eids) <= FEW)

    def session_rows(self, eids: Sequence[str]) -> pl.DataFrame:
        """Return the sessions with these ids; to be called in a thread."""
        return query.find_sessions(self._catalogue, eids)

    async def paths(self, eids: Sequence[str], root: ALFPath) -> dict[str, ALFPath]:
        """Return the path of each session with one of these ids below a folder, by id, without unknown ones."""

        def look() -> dict[str, ALFPath]:
            if len(eids) <= FEW:
                return paths_below(root, self.session_rows(eids))
            folders = query.session_paths(self._catalogue, eids)
            if None in folders:
                some = [eid for eid, folder in zip(eids, folders, strict=True) if folder is None]
                if len(known := query.find_sessions(self._catalogue, some)):
                    warn_of_no_folder(known)
            return {eid: root / folder for eid, folder in zip(eids, folders, strict=True) if folder}

        return await run_polars(look, few=len(eids) <= FEW)

    async def find_sessions(
        self, wanted: Callable[[], pl.DataFrame], use: Callable[[pl.DataFrame, pl.DataFrame], T]
    ) -> T:
        """Call ``use`` with the keys and the sessions that have them."""

        def look() -> T:
            keys = wanted()
            return use(keys, self.sessions_with(keys))

        return await run_polars(look)

    def sessions_with(self, keys: pl.DataFrame) -> pl.DataFrame:
        """Return the sessions with these keys; to be called in a thread."""
        return match_keys(self._catalogue.session_frame, keys)

    async def datasets(
        self,
        eids: Sequence[str],
        use: Callable[[dict[str, SessionDatasets]], T],
    ) -> T:
        """Call ``use`` with the datasets of each session in the tables."""
        return await run_polars(lambda: use(self.datasets_of(eids)))

    def datasets_of(self, eids: Sequence[str]) -> dict[str, SessionDatasets]:
        """Return the datasets of each session in the tables; to be called in a thread."""
        tables = self._catalogue
        rows = {eid: row for eid in eids if (row := tables.session_row(eid)) is not None}
        return {
            eid: SessionDatasets(tables.session_frame.row(row, named=True), tables.dataset_table.session(eid))
            for eid, row in rows.items()
        }

    async def listed(
        self,
        eids: Sequence[str],
        use: Callable[[dict[str, pl.DataFrame]], T],
        columns: Sequence[str] | None = None,
    ) -> T:
        """Call ``use`` with the frame of each session's datasets, for sessions of which the tables have a row or datasets."""
        return await run_polars(lambda: use(self.frames_of(eids, columns)), few=self.has_few_datasets(eids))

    def has_few_datasets(self, eids: Sequence[str]) -> bool:
        """Return whether these sessions and their datasets are so few that reading them is faster without a thread."""
        if len(eids) != 1:
            return not eids
        rows = self._catalogue.dataset_table.rows_of(eids[0])
        return bool(rows.stop - rows.start <= FEW_DATASETS)

    def frames_of(self, eids: Sequence[str], columns: Sequence[str] | None = None) -> dict[str, pl.DataFrame]:
        """Return the frame of each session's datasets, as `listed` uses it; to be called in a thread."""
        tables = self._catalogue
        frames = zip(eids, tables.dataset_table.by_session(eids, columns), strict=True)
        return {eid: frame for eid, frame in frames if len(frame) or tables.session_row(eid) is not None}

    async def find_datasets(
        self, wanted: pl.DataFrame, use: Callable[[pl.DataFrame], T], columns: Collection[str] | None = None
    ) -> T:
        """Call ``use`` with the datasets that have these sessions and paths."""
        return await run_polars(lambda: use(self.datasets_like(wanted, columns)))

    def datasets_like(self, wanted: pl.DataFrame, columns: Collection[str] | None = None) -> pl.DataFrame:
        """Return the datasets with these sessions and paths, with ``key``; to be called in a thread."""
        return matching_datasets(listing.datasets_like(self._catalogue, wanted, columns), wanted)

    async def details(self, eids: Sequence[str], full: bool) -> dict[str, Any]:
        """Return the row of each session in the tables; with ``full``, the frame of its datasets with its columns."""
        import polars as pl

        def look() -> dict[str, Any]:
            rows = {row["eid"]: row for row in self.session_rows(eids).iter_rows(named=True)}
            if not full:
                return rows
            found = self.frames_of(list(rows))
            return {
                eid: found[eid].with_columns(
                    pl.lit(value).alias(name) for name, value in row.items() if name != "eid"
                )
                for eid, row in rows.items()
            }

        return await run_polars(look, few=len(eids) <= FEW and not full)

    async def search_insertions(self, terms: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the insertions that match, latest session first."""
        self._needs_insertions()

        def look() -> list[dict[str, Any]]:
            frame = query.search_insertions(self._catalogue, wildcards=self._wildcards, details=True, **terms)
            rows = _insertion_rows(frame)
            order_insertions(rows)
            return rows

        return await run_polars(look)

    async def insertions_of(self, eids: Sequence[str]) -> list[dict[str, Any]]:
        """Return all insertions of these sessions."""
        return await self._insertions("eid", eids)

    async def probes_of(self, eids: Sequence[str]) -> dict[str, ProbeLists]:
        """Return the ids and names of these sessions' insertions, by name."""
        import polars as pl

        self._needs_insertions()

        def look() -> dict[str, ProbeLists]:
            found = self._catalogue.insertions().filter(pl.col("eid").is_in(list(eids)))
            rows = (
                found.select("eid", "pid", "name")
                .collect()
                .sort("eid", pl.col("name").fill_null(""), maintain_order=True)
            )
            pids, names, at = list(map(as_uuid, rows["pid"])), rows["name"].to_list(), 0
            probes: dict[str, ProbeLists] = {}
            for eid, count in rows["eid"].rle().struct.unnest().select("value", "len").iter_rows():
                probes[eid] = pids[at : at + count], names[at : at + count]
                at += count
            return probes

        return await run_polars(look)

    async def insertions(self, pids: Sequence[str]) -> list[dict[str, Any]]:
        """Return the insertions with these ids, without unknown ones."""
        return await self._insertions("pid", pids)

    async def subjects(self) -> list[str]:
        """Return the names of the subjects that have sessions in the tables."""
        return await run_polars(query.list_subjects, self._catalogue)

    async def why_empty(self, endpoint: str, terms: Mapping[str, Any]) -> list[str]:
        """Return the terms that by themselves match nothing in the tables."""
        find = partial(reasons_in_tables, wildcards=self._wildcards)
        return await run_polars(find, self._catalogue, endpoint, terms)

    async def learned(self, eids: Sequence[str]) -> set[str]:
        """Return the sessions among these that are in the tables only because a query at the server returned them."""
        sessions = self._catalogue.pending.get("sessions")
        if sessions is None:
            return set()
        return await run_polars(lambda: set(eids).intersection(sessions["eid"]))

    def has_insertions(self) -> bool:
        """Whether the tables include insertions."""
        return "insertions" in self._catalogue.others

    def _needs_insertions(self) -> None:
        if not self.has_insertions():
            raise TablesNotFound(NO_INSERTIONS)

    async def _insertions(self, column: str, wanted: Sequence[str]) -> list[dict[str, Any]]:
        import polars as pl

        self._needs_insertions()

        def look() -> list[dict[str, Any]]:
            found = self._catalogue.insertions().filter(pl.col(column).is_in(list(wanted)))
            return _insertion_rows(found.collect())

        return await run_polars(look)


def _insertion_rows(frame: Any) -> list[dict[str, Any]]:
    """Return rows whose ids have the names in the server's records."""
    return list(frame.rename({"pid": "id", "eid": "session"}).iter_rows(named=True))
