"""Finding sessions, insertions and what the database says about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, cast, overload
from uuid import UUID

from .. import ids
from ..errors import ALFObjectNotFound, InputError, NotFound, OfflineError
from ..tables.ids import as_uuid
from ..terms import INSERTION_TERMS, SESSION_TERMS, complete_all
from .convert import Converting
from .core import one_answer

if TYPE_CHECKING:
    import polars as pl

    from ..types import Mode

RECORD_FIELDS = ("subject", "start_time", "number", "lab", "projects", "url", "task_protocol")


class Searching(Converting):
    """The methods that find sessions and insertions and describe them."""

    async def search_terms(
        self, query_type: Mode | None = None, endpoint: str = "sessions"
    ) -> tuple[str, ...]:
        """Give the names that `search` accepts as keywords, or with ``endpoint="insertions"`` `search_insertions`.

        Remote searches know the filters of the server's schema as well. Of another endpoint, all of its filters.
        """
        own = {"sessions": SESSION_TERMS, "insertions": (*SESSION_TERMS, *INSERTION_TERMS)}.get(endpoint, ())
        mode = self._check_mode(query_type)
        if mode == "local" or self.offline:
            if not own:
                raise InputError.of("endpoint", endpoint, ("sessions", "insertions"))
            return tuple(dict.fromkeys(own))
        filters = (await self.alyx.schema()).filters(endpoint)
        return tuple(sorted({*own, *filters} - {"lab", "limit", "offset"} if own else set(filters)))

    @overload
    async def search(
        self, /, details: Literal[False] = False, query_type: Mode | None = None, **terms: Any
    ) -> list[UUID]: ...
    @overload
    async def search(
        self, /, details: Literal[True], query_type: Mode | None = None, **terms: Any
    ) -> tuple[list[UUID], pl.DataFrame]: ...
    async def search(
        self, /, details: bool = False, query_type: Mode | None = None, **terms: Any
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

        Raises InputError for an unknown term or a value that the term cannot have, before any request is made.
        """
        mode = self._check_mode(query_type)
        complete = complete_all(terms, await self._terms_of("sessions", SESSION_TERMS, terms, mode))
        source = await self._source(mode)
        return await source.search_details(complete) if details else await source.search(complete)

    async def _terms_of(
        self, endpoint: str, own: tuple[str, ...], given: Mapping[str, Any], mode: Mode
    ) -> tuple[str, ...]:
        """Give the names to complete terms with; the schema is asked only where it can matter."""
        known = {*own, "lab", "project"}
        if (
            mode == "local"
            or self.offline
            or (mode != "remote" and known >= {name.casefold() for name in given})
        ):
            return (*own, "lab")
        return await self.search_terms("remote", endpoint)

    async def search_insertions(
        self, /, details: bool = False, query_type: Mode | None = None, **terms: Any
    ) -> list[UUID] | tuple[list[UUID], list[dict[str, Any]]]:
        """Find the probe insertions that meet all of the terms.

        Terms as in `search`, and `name` (``"probe00"``), `model`, `session`, `atlas_acronym`, `atlas_name`, `atlas_id`,
        `dataset` (a part of a file name), `datasets` (names, all of them), `dataset_types`, `tag`, `django`.

        Returns the pids, latest session first, then by name; with `details` also the server's records in the same order.
        Raises InputError for an unknown term or an impossible value, before any request is made.
        """
        mode = self._check_mode(query_type)
        own = (*SESSION_TERMS, *INSERTION_TERMS)
        complete = complete_all(terms, await self._terms_of("insertions", own, terms, mode))
        source = await self._source(mode)
        rows = await source.search_insertions(complete)
        pids = cast("list[UUID]", [as_uuid(str(row["id"])) for row in rows])
        return (pids, rows) if details else pids

    async def pid2eid(self, pid: Any, query_type: Mode | None = None) -> Any:
        """Give ``(eid, name)`` of an insertion: the session's id and the probe's label; (None, None) if unknown.

        Of a list, a list of such pairs.
        """
        values, rebuild = ids.flatten(pid)
        pids = [str(ids.as_uuid(value, "pid")) for value in values]
        source = await self._source(query_type)
        rows = {str(row["id"]): row for row in await source.insertions(list(dict.fromkeys(pids)))}
        pairs = (
            (as_uuid(str(rows[one]["session"])), rows[one]["name"]) if one in rows else (None, None)
            for one in pids
        )
        return rebuild(list(pairs))

    @one_answer
    async def eid2pid(
        self, /, eid: Any, query_type: Mode | None = None, details: bool = False, **filters: Any
    ) -> Any:
        """Give ``(pids, names)`` of a session's insertions, sorted by name, or with `details` also their records.

        A session without insertions gives None in their place. `filters` are terms of `search_insertions`.
        Of a list of sessions, a list of such tuples.
        """
        values, rebuild = ids.flatten(eid)
        eids = await self.to_eid(values, query_type=query_type)
        known = list(dict.fromkeys(str(one) for one in eids if one))
        if filters:
            found = await self.search_insertions(True, query_type, **{**filters, "session": known})
            rows = cast("list[dict[str, Any]]", found[1])
        else:
            rows = await (await self._source(query_type)).insertions_of(known)
        of_session: dict[str, list[dict[str, Any]]] = {}
        for row in sorted(rows, key=lambda row: row["name"] or ""):
            of_session.setdefault(str(row["session"]), []).append(row)
        return rebuild([_insertions(of_session.get(str(one), []), details) for one in eids])

    @one_answer
    async def get_details(self, eid: Any, full: bool = False, query_type: Mode | None = None) -> Any:
        """Give what is known of a session, as a dictionary; of a list, a list of them.

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

        from ..alf.path import ALFPath

        brief = {name: row[name] for name in RECORD_FIELDS if name in row}
        brief["projects"] = ",".join(row["projects"])
        brief["date"] = datetime.fromisoformat(row["start_time"]).date()
        brief["local_path"] = ALFPath(self.cache_dir) / ids.session_folder(row)
        return brief

    async def list_subjects(self, query_type: Mode | None = None) -> list[str]:
        """Give the names of all subjects, sorted: of the whole database remotely, of those with sessions from tables."""
        return await (await self._source(query_type)).subjects()

    async def describe_dataset(self, dataset_type: str | UUID | None = None) -> Any:
        """Give the database's record of a dataset type, named itself or by a file name or dataset id that is of it.

        Its `description` says what such files hold. Without argument, the list of all dataset types.
        """
        self._needs_database("describe_dataset")
        if dataset_type is None:
            return await self.alyx.rest("dataset-types", "list")
        if isinstance(dataset_type, str) and "/" not in dataset_type and not _looks_like_id(dataset_type):
            try:
                return await self.alyx.rest("dataset-types", "read", id=dataset_type)
            except NotFound:
                pass
        return await self.alyx.rest("dataset-types", "read", id=await self.dataset2type(dataset_type))

    async def dataset2type(self, dset: Any) -> Any:
        """Give the name of the dataset type that a dataset, given by id or file name, is of; of a list, a list.

        Raises ALFObjectNotFound for a dataset that the database does not know.
        """
        self._needs_database("dataset2type")
        values, rebuild = ids.flatten(dset)
        types = []
        for value in values:
            if isinstance(value, UUID) or _looks_like_id(str(value)):
                rows = await self.alyx.rest("datasets", "list", id=str(ids.as_uuid(value, "dset")))
            else:
                rows = (await self.alyx.page("datasets", 1, 0, name=str(value).rpartition("/")[2])).rows
            if not rows:
                raise ALFObjectNotFound(f"the database has no dataset {value!r}", dataset=value)
            types.append(rows[0]["dataset_type"])
        return rebuild(types)

    async def describe_revision(self, revision: str, full: bool = False) -> Any:
        """Give the description of a revision, or with `full` its whole record. Raises ALFObjectNotFound if there is none."""
        self._needs_database("describe_revision")
        if not isinstance(revision, str) or not revision.strip("#"):
            raise InputError.of("revision", revision, "a revision's name, such as '2024-05-06'")
        try:
            record = await self.alyx.rest("revisions", "read", id=revision.strip("#"))
        except NotFound:
            raise ALFObjectNotFound(f"the database has no revision {revision!r}", revision=revision) from None
        return record if full else record["description"]

    def _needs_database(self, method: str) -> None:
        if self.mode == "local" or self.offline:
            raise OfflineError(
                f"{method} asks the database, which mode 'local' rules out; set one.mode = 'remote'"
            )


def _looks_like_id(text: str) -> bool:
    try:
        ids.as_uuid(text)
    except InputError:
        return False
    return True


def _insertions(rows: list[dict[str, Any]], details: bool) -> tuple[Any, ...]:
    if not rows:
        return (None, None, None) if details else (None, None)
    pids, names = [as_uuid(str(row["id"])) for row in rows], [row["name"] for row in rows]
    return (pids, names, rows) if details else (pids, names)
