"""Searches for sessions and insertions, and their details."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Unpack, overload
from uuid import UUID

from one_async import ids
from one_async._arguments import as_list, check_details
from one_async._boundary import reading
from one_async._warnings import warn
from one_async.alf.path import ALFPath
from one_async.alf.session_paths import session_folder
from one_async.client.call import Call, has_keywords, public_methods
from one_async.client.cards import InsertionRecord, SessionRecord
from one_async.client.identify import eid_texts, known_eids
from one_async.errors import ALFInvalid, ALFObjectNotFound, EmptySearchWarning, InputError, NotFound
from one_async.queries.terms import OWN_TERMS, TABLE_TERMS, complete_all
from one_async.tables.ids import as_uuid
from one_async.types import InsertionTerms, SessionTerms

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from one_async.client.context import Context
    from one_async.queries.base import Source
    from one_async.types import JSON, InsertionLike, Mode, SessionLike, Several

#: A session and a probe's name, or neither.
Place: TypeAlias = tuple[UUID, str] | tuple[None, None]
Probes: TypeAlias = tuple[list[UUID], list[str]] | tuple[None, None]
ProbesDetails: TypeAlias = tuple[list[UUID], list[str], list[dict[str, Any]]] | tuple[None, None, None]
RECORD_FIELDS = ("subject", "start_time", "number", "lab", "projects", "url", "task_protocol")


@public_methods
class Searching:
    """The methods that find sessions and insertions and describe them."""

    _context: Context

    async def search_terms(
        self, query_type: Mode | None = None, endpoint: str | None = None
    ) -> tuple[str, ...]:
        """Return the names that `search` accepts as keywords, or with ``endpoint="insertions"`` `search_insertions`.

        Remote searches also accept the filters of the server's schema. For another endpoint, returns all of its filters.

        Examples:
            >>> "task_protocol" in await one.search_terms()
            True
        """
        endpoint = endpoint or "sessions"
        if not isinstance(endpoint, str):
            raise InputError.of("endpoint", endpoint, "the name of an endpoint")
        call = Call(self._context, query_type)
        if call.mode == "local" or self._context.offline:
            if endpoint not in TABLE_TERMS:
                raise InputError.of("endpoint", endpoint, TABLE_TERMS)
            return TABLE_TERMS[endpoint]
        return await _remote_terms(self._context, endpoint)

    @overload
    async def search(
        self,
        /,
        details: Literal[False] = False,
        query_type: Mode | None = None,
        **terms: Unpack[SessionTerms],
    ) -> list[UUID]: ...
    @overload
    async def search(
        self, /, details: Literal[True], query_type: Mode | None = None, **terms: Unpack[SessionTerms]
    ) -> tuple[list[UUID], pl.DataFrame]: ...
    @overload
    async def search(
        self, /, details: bool, query_type: Mode | None = None, **terms: Unpack[SessionTerms]
    ) -> list[UUID] | tuple[list[UUID], pl.DataFrame]: ...
    @has_keywords(SessionTerms)
    async def search(
        self, /, details: bool = False, query_type: Mode | None = None, **terms: Unpack[SessionTerms]
    ) -> list[UUID] | tuple[list[UUID], pl.DataFrame]:
        """Find the sessions that meet all of the terms.

        The terms, which may be shortened if unambiguous: `subject`, `laboratory` (`lab`), `date_range` (`date`; a
        date, or a pair with None for an open end, both ends included), `number`, `task_protocol`, `projects`,
        `datasets` (file names, all of which the session must have), `dataset_qc_lte` (the worst QC that they may have);
        remotely also `dataset_types` (all of them), `users`, `location`, `performance_gte` and `performance_lte` (per
        cent), `qc`, `histology`, `atlas_acronym`, `atlas_name`, `atlas_id`, `narrative`, `tag`, `procedures`, `django`
        (``"field__lookup,value"``) and the other filters that `search_terms()` returns. A list means any of its members.

        Returns the eids, latest date first, then by subject and number downwards; with `details` also a frame of the same
        sessions in the same order: eid, lab, subject, date, number, task_protocol, projects (joined by commas),
        remotely also start_time.

        Remote answers may come from the REST cache for the time of `default_expiry`, 24 h by default: a loop of searches
        sees no new session meanwhile. Use `watch` to wait for sessions.

        Raises InputError for an unknown term or a value that the term cannot have, before any request is made. Warns
        EmptySearchWarning if nothing is found and the reason is known without effort, such as an unknown lab; not
        for a search with `django`, which may look for new records.

        Examples:
            >>> eids = await one.search(lab="summitlab", datasets="spikes.times.npy")
            >>> eids, sessions = await one.search(subject="SU_101", date=["2024-06-24", "2024-06-25"], details=True)
            >>> sessions["date"].to_list()
            [datetime.date(2024, 6, 25), datetime.date(2024, 6, 24)]
        """
        check_details(details)
        call = Call(self._context, query_type)
        complete = complete_all(terms, await _terms_of(call, "sessions", terms))
        source = await call.source()
        frame: pl.DataFrame | None = None
        if details:
            eids, frame = await source.search_details(complete)
        else:
            eids = await source.search(complete)
        if not eids:
            await _warn_of_empty(source, "sessions", complete)
        return eids if frame is None else (eids, frame)

    @overload
    async def search_insertions(
        self,
        /,
        details: Literal[False] = False,
        query_type: Mode | None = None,
        **terms: Unpack[InsertionTerms],
    ) -> list[UUID]: ...
    @overload
    async def search_insertions(
        self, /, details: Literal[True], query_type: Mode | None = None, **terms: Unpack[InsertionTerms]
    ) -> tuple[list[UUID], list[JSON]]: ...
    @overload
    async def search_insertions(
        self, /, details: bool, query_type: Mode | None = None, **terms: Unpack[InsertionTerms]
    ) -> list[UUID] | tuple[list[UUID], list[JSON]]: ...
    @has_keywords(InsertionTerms)
    async def search_insertions(
        self, /, details: bool = False, query_type: Mode | None = None, **terms: Unpack[InsertionTerms]
    ) -> list[UUID] | tuple[list[UUID], list[JSON]]:
        """Find the probe insertions that meet all of the terms.

        Terms as in `search`, and `name` (``"probe00"``), `serial`, `chronic_insertion`, `model` (the model's name; in local
        mode its part number), `session` (any name of sessions), `dataset` (a part of a file name); remotely also
        `datasets` (names, all of them), `atlas_acronym`, `atlas_name`, `atlas_id`, `dataset_types`, `tag`, `django`.

        Returns the pids, latest session first, then by name; with `details` also the records in the same order, remotely
        the server's. Raises InputError for an unknown term or an impossible value, before any request is made. Warns
        EmptySearchWarning as `search` does.

        Examples:
            >>> pids, insertions = await one.search_insertions(subject="SU_101", name="probe00", details=True)
            >>> [(insertion["name"], insertion["model"]) for insertion in insertions]
            [('probe00', 'NP2.1'), ('probe00', '3B2')]
        """
        check_details(details)
        rows = await insertions_that(Call(self._context, query_type), terms, explain=True)
        pids = [as_uuid(str(row["id"])) for row in rows]
        return (pids, _shown(self._context, rows)) if details else pids

    @overload
    async def pid2eid(self, pid: InsertionLike, query_type: Mode | None = None) -> Place: ...
    @overload
    async def pid2eid(self, pid: Several[InsertionLike], query_type: Mode | None = None) -> list[Place]: ...
    async def pid2eid(
        self, pid: InsertionLike | Several[InsertionLike], query_type: Mode | None = None
    ) -> Place | list[Place]:
        """Return ``(eid, name)`` of an insertion: the session's id and the probe's label; (None, None) if the insertion is
        unknown or has no session.

        A list gives a list of such pairs.

        Examples:
            >>> await one.pid2eid(pid)
            (UUID('ee777d8f-aff9-481f-9056-f61ba0fed84f'), 'probe00')
        """
        call = Call(self._context, query_type)
        values, rebuild = ids.flatten(pid)
        return rebuild(await places_of(call, values))

    @overload
    async def eid2pid(
        self,
        /,
        eid: SessionLike,
        query_type: Mode | None = None,
        details: Literal[False] = False,
        **filters: Unpack[InsertionTerms],
    ) -> Probes: ...
    @overload
    async def eid2pid(
        self,
        /,
        eid: SessionLike,
        query_type: Mode | None = None,
        *,
        details: Literal[True],
        **filters: Unpack[InsertionTerms],
    ) -> ProbesDetails: ...
    @overload
    async def eid2pid(
        self,
        /,
        eid: SessionLike,
        query_type: Mode | None = None,
        details: bool = False,
        **filters: Unpack[InsertionTerms],
    ) -> Probes | ProbesDetails: ...
    @overload
    async def eid2pid(
        self,
        /,
        eid: Several[SessionLike],
        query_type: Mode | None = None,
        details: Literal[False] = False,
        **filters: Unpack[InsertionTerms],
    ) -> list[Probes]: ...
    @overload
    async def eid2pid(
        self,
        /,
        eid: Several[SessionLike],
        query_type: Mode | None = None,
        *,
        details: Literal[True],
        **filters: Unpack[InsertionTerms],
    ) -> list[ProbesDetails]: ...
    @overload
    async def eid2pid(
        self,
        /,
        eid: Several[SessionLike],
        query_type: Mode | None = None,
        details: bool = False,
        **filters: Unpack[InsertionTerms],
    ) -> list[Probes | ProbesDetails]: ...
    @has_keywords(InsertionTerms)
    async def eid2pid(
        self,
        /,
        eid: SessionLike | Several[SessionLike],
        query_type: Mode | None = None,
        details: bool = False,
        **filters: Unpack[InsertionTerms],
    ) -> object:
        """Return ``(pids, names)`` of a session's insertions, sorted by name, or with `details` also their records.

        For a session without insertions, or an unknown one, all of these are None. `filters` are terms of
        `search_insertions`. A list of sessions gives a list of such tuples.

        Examples:
            >>> pids, names = await one.eid2pid(eid)
            >>> names
            ['probe00']
        """
        call = Call(self._context, query_type)
        values, rebuild = ids.flatten(eid)
        eids = await eid_texts(call, values)
        known = list(dict.fromkeys(filter(None, eids)))
        if known and not (details or filters):
            probes = await (await call.source()).probes_of(known)
            if len(known) < len(eids):  # of a session that is named twice, each result is a copy of its own
                return rebuild(
                    [
                        tuple(part and list(part) for part in probes.get(one or "", (None, None)))
                        for one in eids
                    ]
                )
            return rebuild([probes.get(one or "", (None, None)) for one in eids])
        rows: list[JSON] = []
        if known and filters:
            rows = await insertions_that(call, {**filters, "session": known})
        elif known:
            rows = await (await call.source()).insertions_of(known)
        of_session: dict[str | None, list[JSON]] = {}
        for row in sorted(_shown(self._context, rows), key=lambda row: row["name"] or ""):
            of_session.setdefault(str(row["session"]), []).append(row)
        return rebuild([_insertions(of_session.get(one, []), details) for one in eids])

    @overload
    async def get_details(
        self, eid: SessionLike, full: Literal[False] = False, query_type: Mode | None = None
    ) -> JSON: ...
    @overload
    async def get_details(
        self, eid: SessionLike, full: bool, query_type: Mode | None = None
    ) -> JSON | pl.DataFrame: ...
    @overload
    async def get_details(
        self, eid: Several[SessionLike], full: Literal[False] = False, query_type: Mode | None = None
    ) -> list[JSON]: ...
    @overload
    async def get_details(
        self, eid: Several[SessionLike], full: bool, query_type: Mode | None = None
    ) -> list[JSON | pl.DataFrame]: ...
    async def get_details(
        self, eid: SessionLike | Several[SessionLike], full: bool = False, query_type: Mode | None = None
    ) -> object:
        """Return the details of a session as a dictionary; a list gives a list.

        From the server: subject, start_time, number, lab, projects (joined by commas), url, task_protocol, local_path,
        date; with `full` the whole record of `/sessions/<eid>`. From tables: the row of the sessions table;
        with `full` a frame of its datasets, each with the session's columns. In `auto` and `refresh` mode they come from
        the tables if these have all of the sessions, else from the server.

        Raises ALFObjectNotFound for an unknown session.

        Examples:
            >>> details = await one.get_details(eid)
            >>> details["subject"], details["lab"], details["number"]
            ('SU_101', 'summitlab', 1)
        """
        call = Call(self._context, query_type)
        eids, rebuild = await known_eids(call, eid)
        unique = list(dict.fromkeys(eids))
        found: Mapping[str, Any] = {}
        if call.mode != "remote":
            found = await (await call.local()).details(unique, full)
        if len(found) < len(unique) and not call.is_local:
            found = await _server_details(self._context, unique, full)
        if missing := [one for one in unique if one not in found]:
            raise ALFObjectNotFound(f"no session has the id {missing[0]}", eid=missing[0])
        return rebuild([found[one] for one in eids])

    async def list_subjects(self, query_type: Mode | None = None) -> list[str]:
        """Return the sorted names of all subjects; from tables, of those that have sessions.

        Examples:
            >>> subjects = await one.list_subjects()
            >>> "SU_101" in subjects
            True
        """
        return await (await Call(self._context, query_type).source()).subjects()


async def _remote_terms(context: Context, endpoint: str) -> tuple[str, ...]:
    """Return the terms of an endpoint's search at the server: ours, and the filters of its schema."""
    await context.prepare()
    own = OWN_TERMS.get(endpoint, ())
    filters = (await context.alyx.schema()).filters(endpoint)
    return tuple(sorted({*own, *filters} - {"lab", "limit", "offset"} if own else set(filters)))


async def _terms_of(call: Call, endpoint: str, given: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names for completing terms. The schema is requested only if they may depend on it."""
    if call.mode == "local" or call.context.offline:
        return (*TABLE_TERMS[endpoint], "lab")
    if call.mode == "remote":
        return await _remote_terms(call.context, endpoint)
    return await terms_to_complete(call.context, endpoint, given)


async def terms_to_complete(context: Context, endpoint: str, given: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names for completing terms. The server's schema is read only if a given name is not one of ours."""
    own = TABLE_TERMS[endpoint]
    if {*own, "lab", "project"} >= {name.casefold() for name in given}:
        return (*own, "lab")
    return await _remote_terms(context, endpoint)


async def _warn_of_empty(source: Source, endpoint: str, terms: Mapping[str, Any]) -> None:
    """Warn of a search that found nothing, if the reason is known."""
    from one_async.queries.empty_search import is_poll, text_of_reasons

    if not terms or is_poll(terms):
        return
    if text := text_of_reasons(await source.why_empty(endpoint, terms)):
        warn(text, EmptySearchWarning)


async def insertions_that(call: Call, terms: Mapping[str, Any], *, explain: bool = False) -> list[JSON]:
    """Return the records of the insertions that meet all terms; with ``explain``, warn of the reason of an empty result."""
    complete = complete_all(terms, await _terms_of(call, "insertions", terms))
    if "session" in complete:
        eids = await eid_texts(call, as_list(complete["session"]), "session")
        complete["session"] = list(dict.fromkeys(filter(None, eids)))
        if not complete["session"]:
            if explain:
                warn("none of the sessions is known", EmptySearchWarning)
            return []
    source = await call.source()
    rows = await source.search_insertions(complete)
    if explain and not rows:
        await _warn_of_empty(source, "insertions", complete)
    return rows


async def places_of(call: Call, pids: Iterable[object]) -> list[Place]:
    """Return the session's id and the probe's name of each insertion."""
    values = list(pids)
    texts = zip(values, ids.eid_texts(values), strict=True)
    known = [text or str(ids.insertion_id(value)) for value, text in texts]
    rows = {str(row["id"]): row for row in await (await call.source()).insertions(list(dict.fromkeys(known)))}
    return [
        (as_uuid(str(eid)), rows[one]["name"])
        if (eid := rows.get(one, {}).get("session")) is not None
        else (None, None)
        for one in known
    ]


async def _server_details(context: Context, eids: list[str], full: bool) -> Mapping[str, Any]:
    if not full:
        rows = await context.remote().records(eids)
        with reading("/sessions"):
            return {str(row["id"]): _brief(row, context.cache_dir) for row in rows}
    try:
        records = await context.remote().details(eids)
    except NotFound as error:
        raise ALFObjectNotFound(f"the database has no session {error.url.rpartition('/')[2]}") from None
    base_url = context.settings.base_url
    return {eid: SessionRecord(record, base_url) for eid, record in zip(eids, records, strict=True)}


def _brief(row: Mapping[str, Any], cache_dir: Path) -> dict[str, Any]:
    """Return the result of `get_details` for a record of the server."""
    brief = {name: row[name] for name in RECORD_FIELDS if name in row}
    brief["projects"] = ",".join(filter(None, row["projects"] or ()))
    start = row["start_time"]
    brief["date"] = datetime.fromisoformat(start).date() if start else None
    try:
        brief["local_path"] = ALFPath(cache_dir) / session_folder(row)
    except ALFInvalid:  # its folder is not known
        brief["local_path"] = None
    return brief


def _shown(context: Context, rows: list[JSON]) -> list[JSON]:
    """Return the records of insertions as dictionaries that notebooks show as cards."""
    return [InsertionRecord(row, context.settings.base_url) for row in rows]


def _insertions(rows: list[dict[str, Any]], details: bool) -> tuple[Any, ...]:
    if not rows:
        return (None, None, None) if details else (None, None)
    pids, names = [as_uuid(str(row["id"])) for row in rows], [row["name"] for row in rows]
    return (pids, names, rows) if details else (pids, names)
