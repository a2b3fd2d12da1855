"""Answers from the Alyx server, as rows of the tables that the local source has."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import anyio

from one_async._boundary import reads_answers
from one_async._concurrency import run_all
from one_async._threads import run_polars, run_sync
from one_async.alf.session_paths import match_keys
from one_async.alyx.caching import no_cache
from one_async.errors import AnswerError, NotFound
from one_async.queries.base import (
    SESSION_ORDER,
    ProbeLists,
    SessionDatasets,
    matching_datasets,
    order_insertions,
    paths_below,
)
from one_async.queries.empty_search import reasons_at_server
from one_async.queries.records import (
    InsertionRecord,
    SessionDetail,
    datasets_frame,
    parse,
    parse_list,
    revision_of,
    sessions_frame,
)
from one_async.queries.terms import insertion_queries, rest_queries, value_batches
from one_async.tables.ids import as_uuid

if TYPE_CHECKING:
    import polars as pl

    from one_async.alf.path import ALFPath
    from one_async.alyx.client import AsyncAlyxClient

T = TypeVar("T")
#: Number of file names that fit into a request line beside the ids of sessions.
FEW_NAMES = 16
_PLAIN = re.compile(r"[\w.-]{1,60}\Z").match
#: The server cannot parse a ``__in`` list whose values contain brackets.
_BRACKET = re.compile(r"[()\[\]]").search
#: Called with the rows of the sessions, datasets and insertions tables that a query returned.
Learn = Callable[..., None]


@reads_answers("the server")
class RemoteSource:
    """Answers from REST queries. A list of values becomes concurrent requests."""

    def __init__(self, alyx: AsyncAlyxClient, learn: Learn) -> None:
        self._alyx = alyx
        self._learn = learn

    async def search(self, terms: Mapping[str, Any]) -> list[UUID]:
        """Return the ids of the sessions that match, latest date first."""
        return (await self.search_details(terms))[0]

    async def search_details(self, terms: Mapping[str, Any]) -> tuple[list[UUID], pl.DataFrame]:
        """Return the sessions that match: the sessions table's columns and start_time, latest date first."""
        rows = await self._list_all("sessions", rest_queries(terms), key="id")
        return await self._sessions(rows, lambda frame: ([UUID(eid) for eid in frame["eid"]], frame))

    async def sessions(self, eids: Sequence[str], use: Callable[[pl.DataFrame], T]) -> T:
        """Call ``use`` with the sessions with these ids, in any order, without unknown ones."""
        return await self._sessions(await self.records(eids), use)

    async def paths(self, eids: Sequence[str], root: ALFPath) -> dict[str, ALFPath]:
        """Return the path of each session with one of these ids below a folder, by id, without unknown ones."""
        return await self.sessions(eids, lambda frame: paths_below(root, frame))

    async def records(self, eids: Sequence[str]) -> list[dict[str, Any]]:
        """Return the rows of `/sessions` for these ids, in any order, without unknown ones."""
        queries = [{"django": f"pk__in,{batch}"} for batch in value_batches(eids)]
        return await self._list_all("sessions", queries, key="id")

    async def current_sessions(self, queries: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
        """Return the current rows of `/sessions` for these queries, bypassing the cache."""
        with no_cache(self._alyx):
            return await self._list_all("sessions", queries, key="id")

    async def find_sessions(
        self, wanted: Callable[[], pl.DataFrame], use: Callable[[pl.DataFrame, pl.DataFrame], T]
    ) -> T:
        """Call ``use`` with the keys and the sessions that have them.

        One request lists all sessions of up to 40 subjects within the span of dates; sessions without a key are dropped here.
        """
        keys, queries = await run_polars(lambda: _key_queries(wanted()))
        rows = await self._list_all("sessions", queries, key="id") if queries else []
        return await self._sessions(rows, lambda frame: use(keys, match_keys(frame, keys)))

    async def details(self, eids: Sequence[str]) -> list[dict[str, Any]]:
        """Return the detail body of each session, in the order of the ids.

        Raises NotFound for a session that the server does not know.
        """
        bodies: dict[str, dict[str, Any]] = {}

        async def read(eid: str) -> None:
            bodies[eid] = await self._alyx.rest("sessions", "read", id=eid)

        await run_all(read, [(item,) for item in dict.fromkeys(eids)])
        return [bodies[eid] for eid in eids]

    async def datasets(
        self,
        eids: Sequence[str],
        use: Callable[[dict[str, SessionDatasets]], T],
    ) -> T:
        """Call ``use`` with the datasets of each session: the datasets table's columns and data_url, by dataset id."""
        return await run_polars(use, await self.datasets_of(eids))

    async def datasets_of(self, eids: Sequence[str]) -> dict[str, SessionDatasets]:
        """Return the datasets of each session, as `_details_of` does, as rows."""
        details = await self._details_of(eids)

        def make() -> dict[str, SessionDatasets]:
            return {
                eid: SessionDatasets(row, frame.rows(named=True)) for eid, (row, frame) in details.items()
            }

        return await run_polars(make)

    async def _details_of(self, eids: Sequence[str]) -> dict[str, tuple[dict[str, Any], pl.DataFrame]]:
        """Return the row and the datasets of each session.

        These are the datasets with an existing file on a shared repository. Sessions that the server does
        not know are missing.
        """
        found: dict[str, tuple[dict[str, Any], pl.DataFrame]] = {}
        revisions = _Revisions(self._alyx)

        async def read(eid: str) -> None:
            try:
                body = {**await self._alyx.rest("sessions", "read", id=eid), "id": eid}
            except NotFound:
                return
            detail = await run_sync(parse, SessionDetail, "sessions", body)
            names = await revisions.needed_for(detail)

            def make() -> tuple[pl.DataFrame, pl.DataFrame]:
                return sessions_frame([body]), datasets_frame(detail, names)

            sessions, datasets = await run_polars(make)
            found[eid] = detail.row(), datasets
            self._learn(sessions=sessions, datasets=datasets)

        await run_all(read, [(item,) for item in dict.fromkeys(eids)])
        return found

    async def listed(
        self,
        eids: Sequence[str],
        use: Callable[[dict[str, pl.DataFrame]], T],
        columns: Sequence[str] | None = None,
    ) -> T:
        """Call ``use`` with the frame of each session's datasets."""
        return await run_polars(use, await self.frames_of(eids))

    async def frames_of(self, eids: Sequence[str]) -> dict[str, pl.DataFrame]:
        """Return the frame of each session's datasets."""
        return {eid: frame for eid, (_, frame) in (await self._details_of(eids)).items()}

    async def search_insertions(self, terms: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the insertions that match, as the server lists them: latest session first, then by name."""
        rows = await self._list_all("insertions", insertion_queries(terms), key="id")
        order_insertions(rows)
        await self._learn_insertions(rows)
        return rows

    async def insertions_of(self, eids: Sequence[str]) -> list[dict[str, Any]]:
        """Return all insertions of these sessions, as the server lists them."""
        queries = [{"django": f"session__in,{batch}"} for batch in value_batches(eids)]
        rows = await self._list_all("insertions", queries, key="id")
        await self._learn_insertions(rows)
        return rows

    async def probes_of(self, eids: Sequence[str]) -> dict[str, ProbeLists]:
        """Return the ids and names of these sessions' insertions, by name."""
        probes: dict[str, ProbeLists] = {}
        for row in sorted(await self.insertions_of(eids), key=lambda row: row["name"] or ""):
            pids, names = probes.setdefault(str(row["session"]), ([], []))
            pids.append(as_uuid(str(row["id"])))
            names.append(row["name"])
        return probes

    async def insertions(self, pids: Sequence[str]) -> list[dict[str, Any]]:
        """Return the insertions with these ids, in any order, without unknown ones."""
        queries = [{"django": f"pk__in,{batch}"} for batch in value_batches(pids)]
        rows = await self._list_all("insertions", queries, key="id")
        await self._learn_insertions(rows)
        return rows

    async def find_datasets(
        self, wanted: pl.DataFrame, use: Callable[[pl.DataFrame], T], columns: Collection[str] | None = None
    ) -> T:
        """Call ``use`` with the datasets that have these sessions and paths, with data_url.

        As in `datasets`, these have an existing file on a shared repository. One request lists the datasets of up to 60
        sessions, filtered by name if the wanted names are few.
        """
        from one_async.queries.rows import dataset_rows, rows_frame

        def look() -> tuple[list[str], list[str]]:
            names = wanted["rel_path"].str.extract(r"([^/]*)$", 1).unique(maintain_order=True).to_list()
            return names, wanted["eid"].unique(maintain_order=True).to_list()

        names, eids = await run_polars(look)
        filters = f"name__in,{names}" if len(names) <= FEW_NAMES and all(map(_PLAIN, names)) else ""
        rows = await self.dataset_lists(eids, filters, exists="True")
        return await run_polars(lambda: use(matching_datasets(rows_frame(dataset_rows(rows)), wanted)))

    async def dataset_records(self, dids: Sequence[str]) -> list[dict[str, Any]]:
        """Return the rows of `/datasets` for these ids, in any order, without unknown ones."""
        queries = [{"django": f"pk__in,{batch}"} for batch in value_batches(dids)]
        return await self._list_all("datasets", queries, key="url")

    async def datasets_named(self, names: Iterable[str]) -> list[dict[str, Any]]:
        """Return one row of `/datasets` for each of these file names, without unknown ones."""
        rows: list[dict[str, Any]] = []

        async def ask(name: str) -> None:
            rows.extend((await self._alyx.page("datasets", 1, 0, name=name)).rows)

        await run_all(ask, [(item,) for item in names])
        return rows

    async def dataset_lists(self, eids: Sequence[str], filters: str, **more: str) -> list[dict[str, Any]]:
        """Return the rows of `/datasets` for these sessions, a django filter, which may be empty, and other filters."""
        queries = [
            {"django": ",".join(filter(None, [f"session__in,{batch}", filters])), **more}
            for batch in value_batches(dict.fromkeys(eids), 60)
        ]
        return await self._list_all("datasets", queries, key="url")

    async def subjects(self) -> list[str]:
        """Return the nicknames of all subjects of the database."""
        return sorted({row["nickname"] for row in await self._alyx.rest("subjects", "list")})

    async def why_empty(self, endpoint: str, terms: Mapping[str, Any]) -> list[str]:
        """Return which names of the terms the server does not know, as far as one request tells."""
        return await reasons_at_server(self._alyx, endpoint, terms)

    async def _sessions(self, rows: list[dict[str, Any]], use: Callable[[pl.DataFrame], T]) -> T:
        """Call ``use`` with the frame of these rows of `/sessions`, latest first, and add them to the learned rows."""

        def make() -> tuple[pl.DataFrame | None, T]:
            frame = sessions_frame(rows)
            return frame if frame.height else None, use(_ordered(frame))

        learned, result = await run_polars(make)
        if learned is not None:
            self._learn(sessions=learned)
        return result

    async def _learn_insertions(self, rows: list[dict[str, Any]]) -> None:
        if not rows:
            return

        def make() -> tuple[pl.DataFrame, list[dict[str, Any]]]:
            records = parse_list(InsertionRecord, "insertions", rows)
            infos = {
                str(r.session): {**r.session_info.model_dump(), "id": r.session}
                for r in records
                if r.session_info and r.session
            }
            known = [record.row() for record in records if record.session]
            return sessions_frame(infos.values(), "insertions"), known

        sessions, insertions = await run_polars(make)
        self._learn(sessions=sessions, insertions=insertions)

    async def _list_all(
        self, endpoint: str, queries: Sequence[Mapping[str, str]], key: str
    ) -> list[dict[str, Any]]:
        """Make queries concurrently. Return each row once, in the order of the queries."""
        answers: dict[int, list[dict[str, Any]]] = {}

        async def ask(index: int) -> None:
            filters: dict[str, Any] = dict(queries[index])
            answers[index] = await self._alyx.rest(endpoint, "list", **filters)

        await run_all(ask, [(item,) for item in range(len(queries))])
        try:
            rows = {row[key]: row for index in range(len(queries)) for row in answers[index]}
        except (KeyError, TypeError):
            raise AnswerError(f"/{endpoint} answered with rows that have no {key}") from None
        return list(rows.values())


def _ordered(sessions: pl.DataFrame) -> pl.DataFrame:
    """Return sessions in the order of searches: latest first, those without a date last."""
    return sessions.sort(SESSION_ORDER, descending=True, nulls_last=True)


def _key_queries(keys: pl.DataFrame) -> tuple[pl.DataFrame, list[dict[str, str]]]:
    """Return the keys of sessions and the queries that find these sessions."""
    subjects = keys["subject"].unique().sort().to_list()
    if not subjects:
        return keys, []
    days = keys["date"].sort()
    span = f"{days[0]},{days[-1]}"
    # The server strips the filter `subject` of blanks and evaluates the brackets of a list.
    stripped = [name for name in subjects if name == name.strip()]
    if len(keys) == 1 and stripped:
        return keys, [{"subject": subjects[0], "date_range": span, "number": str(keys["number"][0])}]
    if any(_BRACKET(name) and name != name.strip() for name in subjects):
        return keys, [{"date_range": span}]
    batches = value_batches((name for name in subjects if not _BRACKET(name)), 40, 2500)
    queries = [{"django": f"subject__nickname__in,{batch}", "date_range": span} for batch in batches]
    return keys, queries + [{"subject": name, "date_range": span} for name in stripped if _BRACKET(name)]


class _Revisions:
    """The names of revisions by id, requested only if a dataset's record does not show its revision's name."""

    def __init__(self, alyx: AsyncAlyxClient) -> None:
        self._alyx = alyx
        self._names: dict[str, str] | None = None
        self._lock = anyio.Lock()

    async def needed_for(self, session: SessionDetail) -> dict[str, str]:
        datasets = session.data_dataset_session_related
        if not any(one.revision and revision_of(one.data_url) is None for one in datasets):
            return {}
        async with self._lock:
            if self._names is None:
                rows = await self._alyx.rest("revisions", "list")
                self._names = {row["id"]: row["name"] for row in rows if row["name"]}
        return self._names
