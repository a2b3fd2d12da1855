"""Answers from the cache tables, and from tables and server together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from one_async._threads import run_polars
from one_async.alf.session import match_keys
from one_async.errors import OneError, TablesNotFound
from one_async.queries.base import (
    ProbeLists,
    SessionDatasets,
    matching_datasets,
    order_insertions,
    paths_below,
    warn_of_no_folder,
)
from one_async.tables import listing, query
from one_async.tables.arguments import SEARCH_TERMS
from one_async.tables.ids import as_uuid

if TYPE_CHECKING:
    import polars as pl

    from one_async.alf.path import ALFPath
    from one_async.queries.remote import RemoteSource
    from one_async.tables.catalogue import Catalogue

T = TypeVar("T")
NO_INSERTIONS = "the cache tables have no insertions; use query_type='remote'"
#: Terms of insertions that mean the same in tables: neither `model`, which is a part number there, nor terms of datasets,
#: which the server applies to the datasets of the insertion.
INSERTION_SEARCH = frozenset(
    {*SEARCH_TERMS, "name", "serial", "chronic_insertion", "session"} - {"datasets", "dataset_qc_lte"}
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
        columns: Sequence[str] | None = None,
    ) -> T:
        """Call ``use`` with the datasets of each session in the tables."""
        return await run_polars(lambda: use(self.datasets_of(eids, columns)))

    def datasets_of(
        self, eids: Sequence[str], columns: Sequence[str] | None = None
    ) -> dict[str, SessionDatasets]:
        """Return the datasets of each session in the tables; to be called in a thread."""
        tables = self._catalogue
        rows = {eid: row for eid in eids if (row := tables.session_row(eid)) is not None}
        frames = query.datasets_by_session(tables, list(rows), columns)
        return {
            eid: SessionDatasets(tables.session_frame.row(row, named=True), frame)
            for (eid, row), frame in zip(rows.items(), frames, strict=True)
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
        frames = zip(eids, query.datasets_by_session(tables, eids, columns), strict=True)
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


class AutoSource:
    """Answers from the tables; the server answers what the tables cannot."""

    def __init__(self, local: LocalSource, remote: RemoteSource) -> None:
        self._local = local
        self._remote = remote

    async def search(self, terms: Mapping[str, Any]) -> list[UUID]:
        """Ask the tables, or the server where a term is not one of the tables'."""
        return await self._for(terms).search(terms)

    async def search_details(self, terms: Mapping[str, Any]) -> tuple[list[UUID], pl.DataFrame]:
        """Ask the tables, or the server where a term is not one of the tables'."""
        return await self._for(terms).search_details(terms)

    def _for(self, terms: Mapping[str, Any]) -> LocalSource | RemoteSource:
        return self._local if set(terms) <= set(SEARCH_TERMS) else self._remote

    async def sessions(self, eids: Sequence[str], use: Callable[[pl.DataFrame], T]) -> T:
        """Call ``use`` with the sessions with these ids; request those that the tables lack."""

        def look() -> tuple[pl.DataFrame, list[str], T | None]:
            found = self._local.session_rows(eids)
            missing = sorted(set(eids) - set(found["eid"]))
            return found, missing, None if missing else use(found)

        found, missing, result = await run_polars(look, few=len(eids) <= FEW)
        if not missing:
            return cast("T", result)
        return await self._remote.sessions(missing, lambda more: use(_joined(found, more)))

    async def paths(self, eids: Sequence[str], root: ALFPath) -> dict[str, ALFPath]:
        """Return the sessions' paths below a folder, by id; request sessions that the tables lack."""
        found = await self._local.paths(eids, root)
        missing = [eid for eid in eids if eid not in found]
        return found | await self._remote.paths(missing, root) if missing else found

    async def find_sessions(
        self, wanted: Callable[[], pl.DataFrame], use: Callable[[pl.DataFrame, pl.DataFrame], T]
    ) -> T:
        """Call ``use`` with the keys and the sessions that have them; request those that the tables lack."""

        def look() -> tuple[pl.DataFrame, pl.DataFrame, pl.Series | None, T | None]:
            keys = wanted()
            found = self._local.sessions_with(keys)
            missing = _missing(keys, found)
            return (
                (keys, found, None, use(keys, found)) if missing.is_empty() else (keys, found, missing, None)
            )

        keys, found, missing, result = await run_polars(look)
        if missing is None:
            return cast("T", result)

        def join(_: pl.DataFrame, more: pl.DataFrame) -> T:
            return use(keys, _joined(found, more.with_columns(missing.gather(more["key"]))))

        return await self._remote.find_sessions(lambda: keys[missing], join)

    async def datasets(
        self,
        eids: Sequence[str],
        use: Callable[[dict[str, SessionDatasets]], T],
        columns: Sequence[str] | None = None,
    ) -> T:
        """Call ``use`` with each session's datasets; request those of sessions for which the tables have none."""

        def look() -> tuple[dict[str, SessionDatasets], list[str], T | None]:
            found = self._local.datasets_of(eids, columns)
            missing = [eid for eid in eids if eid not in found or found[eid].datasets.is_empty()]
            return found, missing, None if missing else use(found)

        found, missing, result = await run_polars(look)
        if not missing:
            return cast("T", result)
        more = await self._asked(self._remote.datasets_of, missing, found)
        return await run_polars(use, {**found, **more})

    async def listed(
        self,
        eids: Sequence[str],
        use: Callable[[dict[str, pl.DataFrame]], T],
        columns: Sequence[str] | None = None,
    ) -> T:
        """Call ``use`` with the frame of each session's datasets, requested as in `datasets`."""

        def look() -> tuple[dict[str, pl.DataFrame], list[str], T | None]:
            found = self._local.frames_of(eids, columns)
            missing = [eid for eid in eids if eid not in found or found[eid].is_empty()]
            return found, missing, None if missing else use(found)

        found, missing, result = await run_polars(look, few=self._local.has_few_datasets(eids))
        if not missing:
            return cast("T", result)
        more = await self._asked(self._remote.frames_of, missing, found)
        return await run_polars(use, {**found, **more})

    async def _asked(
        self, ask: Callable[[list[str]], Awaitable[dict[str, T]]], missing: list[str], found: Collection[str]
    ) -> dict[str, T]:
        """Request the sessions whose datasets the tables do not have.

        Tables that have a session without datasets may have learned the session alone from a search, perhaps long ago.
        If the server cannot answer, such a session has no datasets; but if this client itself learned it, or the tables do
        not have it, the error is raised.
        """
        try:
            return await ask(missing)
        except OneError:
            if set(missing) - set(found) or await self._local.learned(missing):
                raise
            return {}

    async def find_datasets(
        self, wanted: pl.DataFrame, use: Callable[[pl.DataFrame], T], columns: Collection[str] | None = None
    ) -> T:
        """Call ``use`` with the datasets that have these sessions and paths; request those that the tables lack."""
        import polars as pl

        def look() -> tuple[pl.DataFrame, pl.Series, pl.DataFrame | None, T | None]:
            found = self._local.datasets_like(wanted, columns)
            missing = _missing(wanted, found)
            if missing.is_empty():
                return found, missing, None, use(found)
            return found, missing, wanted[missing], None

        found, missing, unknown, result = await run_polars(look)
        if unknown is None:
            return cast("T", result)

        def join(more: pl.DataFrame) -> T:
            more = more.with_columns(missing.gather(more["key"]))
            return use(pl.concat([found, more], how="diagonal_relaxed"))

        return await self._remote.find_datasets(unknown, join, columns)

    async def search_insertions(self, terms: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Ask the tables if they have insertions and all terms mean the same in tables, else the server."""
        if self._local.has_insertions() and set(terms) <= INSERTION_SEARCH:
            return await self._local.search_insertions(terms)
        return await self._remote.search_insertions(terms)

    async def insertions_of(self, eids: Sequence[str]) -> list[dict[str, Any]]:
        """Ask the tables if they have insertions of all the sessions, else the server."""
        if self._local.has_insertions():
            rows = await self._local.insertions_of(eids)
            if {row["session"] for row in rows} >= set(eids):
                return rows
        return await self._remote.insertions_of(eids)

    async def probes_of(self, eids: Sequence[str]) -> dict[str, ProbeLists]:
        """Ask the tables if they have insertions of all the sessions, else the server."""
        if self._local.has_insertions():
            probes = await self._local.probes_of(eids)
            if len(probes) == len(set(eids)):
                return probes
        return await self._remote.probes_of(eids)

    async def insertions(self, pids: Sequence[str]) -> list[dict[str, Any]]:
        """Return the insertions with these ids; request those that the tables lack."""
        rows = await self._local.insertions(pids) if self._local.has_insertions() else []
        missing = sorted(set(pids) - {row["id"] for row in rows})
        return rows + (await self._remote.insertions(missing) if missing else [])

    async def subjects(self) -> list[str]:
        """Return the names of the subjects that have sessions in the tables."""
        return await self._local.subjects()


def _missing(wanted: pl.DataFrame, found: pl.DataFrame) -> pl.Series:
    """Return the row numbers (`key`) in ``wanted`` of rows for which nothing was found."""
    import polars as pl

    places = pl.Series("key", range(len(wanted)), dtype=found.schema["key"])
    return places.filter(~places.is_in(found["key"].implode()))


def _joined(first: pl.DataFrame, second: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    # Columns that only the tables have are null in rows of the server.
    return pl.concat(
        [first, second.select(name for name in first.columns if name in second.columns)], how="diagonal"
    )
