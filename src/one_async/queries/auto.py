"""Answers from the cache tables if they suffice, else from the server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from one_async._threads import run_polars
from one_async.errors import OneError
from one_async.queries.base import (
    ProbeLists,
    SessionDatasets,
)
from one_async.queries.local import FEW, INSERTION_SEARCH
from one_async.queries.terms import SESSION_TERMS

if TYPE_CHECKING:
    import polars as pl

    from one_async.alf.path import ALFPath
    from one_async.queries.local import LocalSource
    from one_async.queries.remote import RemoteSource

T = TypeVar("T")


class AutoSource:
    """Answers from the tables; the server answers what the tables cannot."""

    def __init__(self, local: LocalSource, remote: Callable[[], RemoteSource]) -> None:
        self._local = local
        self._make_remote = remote

    @cached_property
    def _remote(self) -> RemoteSource:
        """The server, whose client is made only if a call needs it."""
        return self._make_remote()

    async def search(self, terms: Mapping[str, Any]) -> list[UUID]:
        """Ask the tables, or the server where a term is not one of the tables'."""
        return await self._for(terms).search(terms)

    async def search_details(self, terms: Mapping[str, Any]) -> tuple[list[UUID], pl.DataFrame]:
        """Ask the tables, or the server where a term is not one of the tables'."""
        return await self._for(terms).search_details(terms)

    def _for(self, terms: Mapping[str, Any]) -> LocalSource | RemoteSource:
        return self._local if set(terms) <= set(SESSION_TERMS) else self._remote

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
    ) -> T:
        """Call ``use`` with each session's datasets; request those of sessions for which the tables have none."""

        def look() -> tuple[dict[str, SessionDatasets], list[str], T | None]:
            found = self._local.datasets_of(eids)
            missing = [eid for eid in eids if eid not in found or not found[eid].datasets]
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

        Tables that have a session without datasets may have learned the session from a search, perhaps long ago.
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
        return await self._for_insertions(terms).search_insertions(terms)

    def _for_insertions(self, terms: Mapping[str, Any]) -> LocalSource | RemoteSource:
        is_local = self._local.has_insertions() and set(terms) <= INSERTION_SEARCH
        return self._local if is_local else self._remote

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

    async def why_empty(self, endpoint: str, terms: Mapping[str, Any]) -> list[str]:
        """Ask the source that has answered the search."""
        source = self._for(terms) if endpoint == "sessions" else self._for_insertions(terms)
        reasons = await source.why_empty(endpoint, terms)
        if reasons and source is self._local:
            reasons.append("The cache tables were asked; query_type='remote' asks the server")
        return reasons


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
