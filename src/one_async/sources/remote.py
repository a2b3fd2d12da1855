"""Answers of the Alyx server, as rows of the same tables that the local source has."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID

import anyio

from ..alf.session import match_keys
from ..errors import AnswerError, NotFound, first_error
from ..records import (
    InsertionRecord,
    SessionDetail,
    datasets_frame,
    parse,
    parse_list,
    sessions_frame,
)
from ..tables.ids import as_uuid
from ..terms import id_batches, insertion_queries, rest_queries
from .base import (
    SESSION_ORDER,
    ProbeLists,
    SessionDatasets,
    matching_datasets,
    order_insertions,
    paths_below,
)

if TYPE_CHECKING:
    import polars as pl

    from ..alf.path import ALFPath
    from ..alyx.rest import AsyncAlyxClient

#: So many names of files fit a request line beside the ids of sessions.
FEW_NAMES = 16
_PLAIN = re.compile(r"[\w.-]{1,60}\Z").match
#: With brackets in its texts, the server cannot read a list.
_BRACKET = re.compile(r"[()\[\]]").search
#: Called with what a query taught: rows of the sessions, datasets and insertions tables.
Learn = Callable[..., None]


class RemoteSource:
    """REST queries, each list of several values as several requests at once."""

    def __init__(self, alyx: AsyncAlyxClient, learn: Learn) -> None:
        self._alyx = alyx
        self._learn = learn

    async def search(self, terms: Mapping[str, Any]) -> list[UUID]:
        """Give the ids of the sessions that match, latest date first."""
        return (await self.search_details(terms))[0]

    async def search_details(self, terms: Mapping[str, Any]) -> tuple[list[UUID], pl.DataFrame]:
        """Give the sessions that match: the sessions table's columns and start_time, latest date first."""
        frame = self._sessions(await self._list_all("sessions", rest_queries(terms), key="id"))
        return [UUID(eid) for eid in frame["eid"]], frame

    async def sessions(self, eids: Sequence[str]) -> pl.DataFrame:
        """Give the sessions with these ids, in no order; unknown ones are left out."""
        return self._sessions(await self.records(eids))

    async def paths(self, eids: Sequence[str], root: ALFPath) -> dict[str, ALFPath]:
        """Give the path of each of the sessions with these ids below a folder; unknown ones are left out."""
        return paths_below(root, await self.sessions(eids))

    async def records(self, eids: Sequence[str]) -> list[dict[str, Any]]:
        """Give the rows that `/sessions` lists for these ids, in no order; unknown ones are left out."""
        queries = [{"django": f"pk__in,{batch}"} for batch in id_batches(eids)]
        return await self._list_all("sessions", queries, key="id")

    async def find_sessions(self, wanted: pl.DataFrame) -> pl.DataFrame:
        """Return the sessions with these keys.

        All sessions of up to 40 subjects within the span of dates are asked for in one request, and the others left out here.
        """
        subjects = wanted["subject"].unique().sort().to_list()
        if not subjects:
            return match_keys(self._sessions([]), wanted)
        days = wanted["date"].sort()
        span = f"{days[0]},{days[-1]}"
        queries = [
            {"django": f"subject__nickname__in,{batch}", "date_range": span}
            for batch in _batches([name for name in subjects if not _BRACKET(name)])
        ]
        queries += [{"subject": name, "date_range": span} for name in subjects if _BRACKET(name)]
        if len(wanted) == 1:
            queries = [{"subject": subjects[0], "date_range": span, "number": str(wanted["number"][0])}]
        return match_keys(self._sessions(await self._list_all("sessions", queries, key="id")), wanted)

    async def details(self, eids: Sequence[str]) -> list[dict[str, Any]]:
        """Give the detail body of each session, in the order of the ids.

        Raises NotFound for a session that the server does not know.
        """
        bodies: dict[str, dict[str, Any]] = {}

        async def read(eid: str) -> None:
            bodies[eid] = await self._alyx.rest("sessions", "read", id=eid)

        await _at_once(read, dict.fromkeys(eids))
        return [bodies[eid] for eid in eids]

    async def datasets(
        self, eids: Sequence[str], columns: Sequence[str] | None = None
    ) -> dict[str, SessionDatasets]:
        """Give the datasets of each session: the datasets table's columns and data_url, by dataset id.

        These are the datasets with an existing file on a shared repository. A session that the server does not know is
        left out.
        """
        found: dict[str, SessionDatasets] = {}
        revisions = _Revisions(self._alyx)

        async def read(eid: str) -> None:
            try:
                body = await self._alyx.rest("sessions", "read", id=eid)
            except NotFound:
                return
            detail = parse(SessionDetail, "sessions", {**body, "id": eid})
            frame = datasets_frame(detail, await revisions.needed_for(detail))
            found[eid] = SessionDatasets(detail.row(), frame)
            self._learn(sessions=sessions_frame([{**body, "id": eid}]), datasets=frame)

        await _at_once(read, dict.fromkeys(eids))
        return found

    async def listed(
        self, eids: Sequence[str], columns: Sequence[str] | None = None
    ) -> dict[str, pl.DataFrame]:
        """Give the frame of each session's datasets."""
        return {eid: session.datasets for eid, session in (await self.datasets(eids, columns)).items()}

    async def search_insertions(self, terms: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Give the insertions that match, as the server lists them: latest session first, then by name."""
        rows = await self._list_all("insertions", insertion_queries(terms), key="id")
        order_insertions(rows)
        self._learn_insertions(rows)
        return rows

    async def insertions_of(self, eids: Sequence[str]) -> list[dict[str, Any]]:
        """Give all insertions of these sessions, as the server lists them."""
        queries = [{"django": f"session__in,{batch}"} for batch in id_batches(eids)]
        rows = await self._list_all("insertions", queries, key="id")
        self._learn_insertions(rows)
        return rows

    async def probes_of(self, eids: Sequence[str]) -> dict[str, ProbeLists]:
        """Give the ids and names of these sessions' insertions, by name."""
        probes: dict[str, ProbeLists] = {}
        for row in sorted(await self.insertions_of(eids), key=lambda row: row["name"] or ""):
            pids, names = probes.setdefault(str(row["session"]), ([], []))
            pids.append(as_uuid(str(row["id"])))
            names.append(row["name"])
        return probes

    async def insertions(self, pids: Sequence[str]) -> list[dict[str, Any]]:
        """Give the insertions with these ids, in no order; unknown ones are left out."""
        queries = [{"django": f"pk__in,{batch}"} for batch in id_batches(pids)]
        rows = await self._list_all("insertions", queries, key="id")
        self._learn_insertions(rows)
        return rows

    async def find_datasets(
        self, wanted: pl.DataFrame, columns: Collection[str] | None = None
    ) -> pl.DataFrame:
        """Give the datasets with these sessions and paths, and which of them each is; each has data_url.

        As in `datasets`, these have an existing file on a shared repository. All datasets of up to 60 sessions are asked for
        at once, cut down to the wanted names where these are few.
        """
        from .rows import dataset_rows, rows_frame

        names = wanted["rel_path"].str.extract(r"([^/]*)$", 1).unique(maintain_order=True).to_list()
        filters = f"name__in,{names}" if len(names) <= FEW_NAMES and all(map(_PLAIN, names)) else ""
        eids = wanted["eid"].unique(maintain_order=True).to_list()
        rows = await self.datasets_of(eids, filters, exists="True")
        return matching_datasets(rows_frame(dataset_rows(rows)), wanted)

    async def dataset_records(self, dids: Sequence[str]) -> list[dict[str, Any]]:
        """Give the rows that `/datasets` lists for these ids, in no order; unknown ones are left out."""
        queries = [{"django": f"pk__in,{batch}"} for batch in id_batches(dids)]
        return await self._list_all("datasets", queries, key="url")

    async def datasets_named(self, names: Iterable[str]) -> list[dict[str, Any]]:
        """Give one row that `/datasets` lists for each of these file names; unknown ones are left out."""
        rows: list[dict[str, Any]] = []

        async def ask(name: str) -> None:
            rows.extend((await self._alyx.page("datasets", 1, 0, name=name)).rows)

        await _at_once(ask, names)
        return rows

    async def datasets_of(self, eids: Sequence[str], filters: str, **more: str) -> list[dict[str, Any]]:
        """Give the rows that `/datasets` lists for these sessions, a django filter, if there is one, and other filters."""
        queries = [
            {"django": ",".join(filter(None, [f"session__in,{batch}", filters])), **more}
            for batch in id_batches(dict.fromkeys(eids), 60)
        ]
        return await self._list_all("datasets", queries, key="url")

    async def subjects(self) -> list[str]:
        """Give the nicknames of all subjects of the database."""
        return sorted({row["nickname"] for row in await self._alyx.rest("subjects", "list")})

    def _sessions(self, rows: list[dict[str, Any]]) -> pl.DataFrame:
        frame = sessions_frame(rows)
        if frame.height:
            self._learn(sessions=frame)
        return frame.sort(SESSION_ORDER, descending=True)

    def _learn_insertions(self, rows: list[dict[str, Any]]) -> None:
        if not rows:
            return
        records = parse_list(InsertionRecord, "insertions", rows)
        infos = {
            str(r.session): {**r.session_info.model_dump(), "id": r.session}
            for r in records
            if r.session_info
        }
        self._learn(
            sessions=sessions_frame(infos.values(), "insertions"),
            insertions=[record.row() for record in records],
        )

    async def _list_all(
        self, endpoint: str, queries: Sequence[Mapping[str, str]], key: str
    ) -> list[dict[str, Any]]:
        """Make all these queries at once and give each row once, in the order of the queries."""
        answers: dict[int, list[dict[str, Any]]] = {}

        async def ask(index: int) -> None:
            filters: dict[str, Any] = dict(queries[index])
            answers[index] = await self._alyx.rest(endpoint, "list", **filters)

        await _at_once(ask, range(len(queries)))
        try:
            rows = {row[key]: row for index in range(len(queries)) for row in answers[index]}
        except (KeyError, TypeError):
            raise AnswerError(f"/{endpoint} answered with rows that have no {key}") from None
        return list(rows.values())


def _batches(names: Iterable[str], most: int = 40, longest: int = 2500) -> Iterable[list[str]]:
    """Cut names into lists of so many that, escaped, are no longer than that: they are part of a request line."""
    batch: list[str] = []
    length = 0
    for name in names:
        size = len(quote(repr(name))) + 6
        if batch and (len(batch) == most or length + size > longest):
            yield batch
            batch, length = [], 0
        batch.append(name)
        length += size
    if batch:
        yield batch


class _Revisions:
    """The names of revisions by id, asked for only where a dataset's own record does not show its revision's name."""

    def __init__(self, alyx: AsyncAlyxClient) -> None:
        self._alyx = alyx
        self._names: dict[str, str] | None = None
        self._lock = anyio.Lock()

    async def needed_for(self, session: SessionDetail) -> dict[str, str]:
        if not any(d.revision and not d.data_url for d in session.data_dataset_session_related):
            return {}
        async with self._lock:
            if self._names is None:
                rows = await self._alyx.rest("revisions", "list")
                self._names = {row["id"]: row["name"] for row in rows}
        return self._names


async def _at_once(function: Callable[[Any], Any], items: Iterable[Any]) -> None:
    """Call an async function for each item, all at once; the first error cancels the rest and is raised itself."""
    try:
        async with anyio.create_task_group() as group:
            for item in items:
                group.start_soon(function, item)
    except BaseExceptionGroup as group_error:
        raise first_error(group_error) from None
