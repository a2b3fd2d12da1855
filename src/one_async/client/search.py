"""Finding sessions, insertions and what the database says about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload
from uuid import UUID

from one_async import ids
from one_async.client.convert import Converting
from one_async.client.core import one_answer
from one_async.errors import ALFInvalid, ALFObjectNotFound, InputError, NotFound, OfflineError
from one_async.queries.terms import OWN_TERMS, TABLE_TERMS, as_list, complete_all
from one_async.tables.ids import as_uuid

if TYPE_CHECKING:
    import polars as pl

    from one_async.types import JSON, InsertionLike, Mode, SessionLike, Several

#: A session and a probe's name, or neither.
Place: TypeAlias = tuple[UUID, str] | tuple[None, None]
Probes: TypeAlias = tuple[list[UUID], list[str]] | tuple[None, None]
ProbesDetails: TypeAlias = tuple[list[UUID], list[str], list[dict[str, Any]]] | tuple[None, None, None]
RECORD_FIELDS = ("subject", "start_time", "number", "lab", "projects", "url", "task_protocol")


class Searching(Converting):
    """The methods that find sessions and insertions and describe them."""

    async def search_terms(
        self, query_type: Mode | None = None, endpoint: str | None = None
    ) -> tuple[str, ...]:
        """Return the names that `search` accepts as keywords, or with ``endpoint="insertions"`` `search_insertions`.

        Remote searches know the filters of the server's schema as well. Of another endpoint, all of its filters.
        """
        endpoint = endpoint or "sessions"
        mode = self._check_mode(query_type)
        if mode == "local" or self.offline:
            if endpoint not in TABLE_TERMS:
                raise InputError.of("endpoint", endpoint, TABLE_TERMS)
            return TABLE_TERMS[endpoint]
        own = OWN_TERMS.get(endpoint, ())
        filters = (await self.alyx.schema()).filters(endpoint)
        return tuple(sorted({*own, *filters} - {"lab", "limit", "offset"} if own else set(filters)))

    @overload
    async def search(
        self, /, details: Literal[False] = False, query_type: Mode | None = None, **terms: object
    ) -> list[UUID]: ...
    @overload
    async def search(
        self, /, details: Literal[True], query_type: Mode | None = None, **terms: object
    ) -> tuple[list[UUID], pl.DataFrame]: ...
    @overload
    async def search(
        self, /, details: bool, query_type: Mode | None = None, **terms: object
    ) -> list[UUID] | tuple[list[UUID], pl.DataFrame]: ...
    async def search(
        self, /, details: bool = False, query_type: Mode | None = None, **terms: object
    ) -> list[UUID] | tuple[list[UUID], pl.DataFrame]:
        """Find the sessions that meet all of the terms.

        The terms, of which an unambiguous beginning will do: `subject`, `laboratory` (`lab`), `date_range` (`date`; a
        date, or a pair with None for an open end, both ends included), `number`, `task_protocol`, `projects`,
        `datasets` (file names, all of which the session must have), `dataset_qc_lte` (the worst QC that they may have);
        remotely also `dataset_types` (all of them), `users`, `location`, `performance_gte` and `performance_lte` (per
        cent), `qc`, `histology`, `atlas_acronym`, `atlas_name`, `atlas_id`, `narrative`, `tag`, `procedures`, `django`
        (``"field__lookup,value"``) and the other filters that `search_terms()` gives. A list means any of its members.

        Returns the eids, latest date first, then by subject and number downwards; with `details` also a frame of the same
        sessions in the same order: eid, lab, subject, date, number, task_protocol, projects (joined by commas),
        remotely also start_time.

        Remote answers may come from the REST cache for as long as `default_expiry` says, 24 h by default: a loop that
        searches again and again sees no new session meanwhile. `watch` is there for that.

        Raises InputError for an unknown term or a value that the term cannot have, before any request is made.
        """
        mode = self._check_mode(query_type)
        complete = complete_all(terms, await self._terms_of("sessions", terms, mode))
        source = await self._source(mode)
        return await source.search_details(complete) if details else await source.search(complete)

    async def _terms_of(self, endpoint: str, given: Mapping[str, Any], mode: Mode) -> tuple[str, ...]:
        """Return the names to complete terms with; the schema is asked only where it can matter."""
        own = TABLE_TERMS[endpoint]
        known = {*own, "lab", "project"}
        if (
            mode == "local"
            or self.offline
            or (mode != "remote" and known >= {name.casefold() for name in given})
        ):
            return (*own, "lab")
        return await self.search_terms("remote", endpoint)

    @overload
    async def search_insertions(
        self, /, details: Literal[False] = False, query_type: Mode | None = None, **terms: object
    ) -> list[UUID]: ...
    @overload
    async def search_insertions(
        self, /, details: Literal[True], query_type: Mode | None = None, **terms: object
    ) -> tuple[list[UUID], list[JSON]]: ...
    @overload
    async def search_insertions(
        self, /, details: bool, query_type: Mode | None = None, **terms: object
    ) -> list[UUID] | tuple[list[UUID], list[JSON]]: ...
    async def search_insertions(
        self, /, details: bool = False, query_type: Mode | None = None, **terms: object
    ) -> list[UUID] | tuple[list[UUID], list[JSON]]:
        """Find the probe insertions that meet all of the terms.

        Terms as in `search`, and `name` (``"probe00"``), `serial`, `chronic_insertion`, `model` (the model's name; in local
        mode its part number), `session` (whatever names sessions), `dataset` (a part of a file name); remotely also
        `datasets` (names, all of them), `atlas_acronym`, `atlas_name`, `atlas_id`, `dataset_types`, `tag`, `django`.

        Returns the pids, latest session first, then by name; with `details` also the records in the same order, remotely
        the server's. Raises InputError for an unknown term or an impossible value, before any request is made.
        """
        mode = self._check_mode(query_type)
        complete = complete_all(terms, await self._terms_of("insertions", terms, mode))
        rows: list[JSON] = []
        if "session" in complete:
            eids = await self._eid_texts(as_list(complete["session"]), mode, "session")
            complete["session"] = list(dict.fromkeys(filter(None, eids)))
        if complete.get("session", True):  # of sessions that nobody knows there are none
            rows = await (await self._source(mode)).search_insertions(complete)
        pids = [as_uuid(str(row["id"])) for row in rows]
        return (pids, rows) if details else pids

    @overload
    async def pid2eid(self, pid: InsertionLike, query_type: Mode | None = None) -> Place: ...
    @overload
    async def pid2eid(self, pid: Several[InsertionLike], query_type: Mode | None = None) -> list[Place]: ...
    async def pid2eid(
        self, pid: InsertionLike | Several[InsertionLike], query_type: Mode | None = None
    ) -> Place | list[Place]:
        """Return ``(eid, name)`` of an insertion: the session's id and the probe's label; (None, None) if the insertion is
        unknown or has no session.

        Of a list, a list of such pairs.
        """
        values, rebuild = ids.flatten(pid)
        texts = zip(values, ids.eid_texts(values), strict=True)
        pids = [text or str(ids.as_uuid(value, "pid")) for value, text in texts]
        source = await self._source(query_type)
        rows = {str(row["id"]): row for row in await source.insertions(list(dict.fromkeys(pids)))}
        pairs = (
            (as_uuid(str(eid)), rows[one]["name"])
            if (eid := rows.get(one, {}).get("session")) is not None
            else (None, None)
            for one in pids
        )
        return rebuild(list(pairs))

    @overload
    async def eid2pid(
        self,
        /,
        eid: SessionLike,
        query_type: Mode | None = None,
        details: Literal[False] = False,
        **filters: object,
    ) -> Probes: ...
    @overload
    async def eid2pid(
        self,
        /,
        eid: SessionLike,
        query_type: Mode | None = None,
        *,
        details: Literal[True],
        **filters: object,
    ) -> ProbesDetails: ...
    @overload
    async def eid2pid(
        self, /, eid: SessionLike, query_type: Mode | None = None, details: bool = False, **filters: object
    ) -> Probes | ProbesDetails: ...
    @overload
    async def eid2pid(
        self,
        /,
        eid: Several[SessionLike],
        query_type: Mode | None = None,
        details: Literal[False] = False,
        **filters: object,
    ) -> list[Probes]: ...
    @overload
    async def eid2pid(
        self,
        /,
        eid: Several[SessionLike],
        query_type: Mode | None = None,
        *,
        details: Literal[True],
        **filters: object,
    ) -> list[ProbesDetails]: ...
    @overload
    async def eid2pid(
        self,
        /,
        eid: Several[SessionLike],
        query_type: Mode | None = None,
        details: bool = False,
        **filters: object,
    ) -> list[Probes | ProbesDetails]: ...
    @one_answer
    async def eid2pid(
        self,
        /,
        eid: SessionLike | Several[SessionLike],
        query_type: Mode | None = None,
        details: bool = False,
        **filters: object,
    ) -> object:
        """Return ``(pids, names)`` of a session's insertions, sorted by name, or with `details` also their records.

        A session without insertions, or one that is not known, return None in their place. `filters` are terms of
        `search_insertions`. Of a list of sessions, a list of such tuples.
        """
        values, rebuild = ids.flatten(eid)
        eids = await self._eid_texts(values, query_type)
        known = list(dict.fromkeys(filter(None, eids)))
        if known and not (details or filters):
            probes = await (await self._source(query_type)).probes_of(known)
            if len(known) < len(eids):  # of a session that is named twice, each answer is the caller's own
                return rebuild(
                    [
                        tuple(part and list(part) for part in probes.get(one or "", (None, None)))
                        for one in eids
                    ]
                )
            return rebuild([probes.get(one or "", (None, None)) for one in eids])
        rows: list[JSON] = []
        if known and filters:
            _, rows = await self.search_insertions(True, query_type, **{**filters, "session": known})
        elif known:
            rows = await (await self._source(query_type)).insertions_of(known)
        of_session: dict[str | None, list[JSON]] = {}
        for row in sorted(rows, key=lambda row: row["name"] or ""):
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
    @one_answer
    async def get_details(
        self, eid: SessionLike | Several[SessionLike], full: bool = False, query_type: Mode | None = None
    ) -> object:
        """Return what is known of a session, as a dictionary; of a list, a list of them.

        From the server: subject, start_time, number, lab, projects (joined by commas), url, task_protocol, local_path,
        date; with `full` the whole record as `/sessions/<eid>` gives it. From tables: the row of the sessions table;
        with `full` a frame of its datasets, each with the session's columns. In `auto` and `refresh` mode they come from
        tables that have all of the sessions, else from the server.

        Raises ALFObjectNotFound for a session that is not known.
        """
        eids, rebuild = await self._known_eids(eid, query_type)
        unique = list(dict.fromkeys(eids))
        found: Mapping[str, Any] = {}
        if self._check_mode(query_type) != "remote":
            found = await (await self._local(query_type)).details(unique, full)
        if len(found) < len(unique) and not self._is_local(query_type):
            found = await self._server_details(unique, full)
        if missing := [one for one in unique if one not in found]:
            raise ALFObjectNotFound(f"no session has the id {missing[0]}", eid=missing[0])
        return rebuild([found[one] for one in eids])

    async def _server_details(self, eids: list[str], full: bool) -> Mapping[str, Any]:
        if not full:
            return {str(row["id"]): self._brief(row) for row in await self._remote().records(eids)}
        try:
            return dict(zip(eids, await self._remote().details(eids), strict=True))
        except NotFound as error:
            raise ALFObjectNotFound(f"the database has no session {error.url.rpartition('/')[2]}") from None

    def _brief(self, row: Mapping[str, Any]) -> dict[str, Any]:
        from datetime import datetime

        from one_async.alf.path import ALFPath
        from one_async.alf.session import session_folder

        brief = {name: row[name] for name in RECORD_FIELDS if name in row}
        brief["projects"] = ",".join(filter(None, row["projects"] or ()))
        start = row["start_time"]
        brief["date"] = datetime.fromisoformat(start).date() if start else None
        try:
            brief["local_path"] = ALFPath(self.cache_dir) / session_folder(row)
        except ALFInvalid:  # its folder is not known
            brief["local_path"] = None
        return brief

    async def list_subjects(self, query_type: Mode | None = None) -> list[str]:
        """Return the names of all subjects, sorted: of the whole database remotely, of those with sessions from tables."""
        return await (await self._source(query_type)).subjects()

    @overload
    async def describe_dataset(self, dataset_type: None = None) -> list[JSON]: ...
    @overload
    async def describe_dataset(self, dataset_type: str | UUID) -> JSON: ...
    async def describe_dataset(self, dataset_type: str | UUID | None = None) -> JSON | list[JSON]:
        """Return the database's record of a dataset type, named itself or by a file name or dataset id that is of it.

        Its `description` says what such files hold. Without argument, the list of all dataset types.
        """
        self._needs_database("describe_dataset")
        if dataset_type is None:
            types: list[JSON] = await self.alyx.rest("dataset-types", "list")
            return types
        name, did = _dataset_name(dataset_type, "dataset_type")
        record: JSON
        if did is None and "/" not in str(dataset_type):
            try:
                record = await self.alyx.rest("dataset-types", "read", id=name)
            except NotFound:
                pass
            else:
                return record
        record = await self.alyx.rest("dataset-types", "read", id=await self.dataset2type(dataset_type))
        return record

    @overload
    async def dataset2type(self, dset: str | UUID) -> str: ...
    @overload
    async def dataset2type(self, dset: Several[str | UUID]) -> list[str]: ...
    async def dataset2type(self, dset: str | UUID | Several[str | UUID]) -> str | list[str]:
        """Return the name of the dataset type that a dataset, given by id or file name, is of; of a list, a list.

        Raises ALFObjectNotFound for a dataset that the database does not know.
        """
        self._needs_database("dataset2type")
        values, rebuild = ids.flatten(dset)
        names = [_dataset_name(value, "dset") for value in values]
        found: dict[str, str] = {}
        rows = await self._remote().dataset_records(list(dict.fromkeys(did for _, did in names if did)))
        found |= {row["url"][-36:]: row["dataset_type"] for row in rows}
        rows = await self._remote().datasets_named(dict.fromkeys(name for name, did in names if not did))
        found |= {row["name"]: row["dataset_type"] for row in rows}
        for value, (name, did) in zip(values, names, strict=True):
            if (did or name) not in found:
                raise ALFObjectNotFound(f"the database has no dataset {value!r}", dataset=value)
        return rebuild([found[did or name] for name, did in names])

    @overload
    async def describe_revision(self, revision: str, full: Literal[False] = False) -> str: ...
    @overload
    async def describe_revision(self, revision: str, full: Literal[True]) -> JSON: ...
    @overload
    async def describe_revision(self, revision: str, full: bool) -> str | JSON: ...
    async def describe_revision(self, revision: str, full: bool = False) -> str | JSON:
        """Return the description of a revision, or with `full` its whole record. Raises ALFObjectNotFound if there is none."""
        self._needs_database("describe_revision")
        if not isinstance(revision, str) or not revision.strip("#"):
            raise InputError.of("revision", revision, "a revision's name, such as '2024-05-06'")
        try:
            record: JSON = await self.alyx.rest("revisions", "read", id=revision.strip("#"))
        except NotFound:
            raise ALFObjectNotFound(f"the database has no revision {revision!r}", revision=revision) from None
        return record if full else str(record["description"])

    def _needs_database(self, method: str) -> None:
        if self.mode == "local" or self.offline:
            raise OfflineError(
                f"{method} asks the database, which mode 'local' rules out; set one.mode = 'remote'"
            )


def _dataset_name(value: object, argument: str) -> tuple[str, str | None]:
    """Return a file's name, and the dataset's id if that is what names it."""
    if isinstance(value, UUID):
        return "", str(value)
    if not isinstance(value, str) or not value.rpartition("/")[2]:
        raise InputError.of(argument, value, "a dataset's id or file name, such as 'spikes.times.npy'")
    try:
        return "", str(ids.as_uuid(value))
    except InputError:
        return value.rpartition("/")[2], None


def _insertions(rows: list[dict[str, Any]], details: bool) -> tuple[Any, ...]:
    if not rows:
        return (None, None, None) if details else (None, None)
    pids, names = [as_uuid(str(row["id"])) for row in rows], [row["name"] for row in rows]
    return (pids, names, rows) if details else (pids, names)
