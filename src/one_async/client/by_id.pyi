"""Made by `tests/typing/make_stub.py` of the async classes; not to be edited by hand."""

from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Literal, Unpack, overload
from uuid import UUID

import polars as pl

from one_async.alf.match import Filename, Pattern
from one_async.alf.path import ALFPath
from one_async.alf.spec import QC
from one_async.client.many import Loaded
from one_async.client.outcomes import OnError
from one_async.client.search import Probes, ProbesDetails
from one_async.files.objects import ALFObject
from one_async.recordings.video import AsyncVideo
from one_async.types import (
    JSON,
    InsertionTerms,
    Mode,
    Reference,
    ReferenceText,
    RevisionPolicy,
    SessionLike,
    Several,
)

__all__ = ["SessionById"]

class SessionById:
    @overload
    async def download(
        self,
        eids: SessionLike | Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        query_type: Mode | None = None,
        *,
        dry_run: bool = False,
        check_hash: bool = True,
        on_error: OnError = "raise",
        revision_policy: RevisionPolicy = "last_before",
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
    ) -> pl.DataFrame:
        """Fetch all datasets of sessions that match, without reading them; filters as in `list_datasets`.

        `check_hash` is that of `load_dataset`. In place of sessions, records of the database's datasets
        (``alyx.rest("datasets", "list", …)``), and rows and frames as `list_datasets` gives them, name the datasets.

        With `dry_run` nothing is fetched: the table has the files that would be fetched (status ``absent``), with their
        sizes, and those on disk (``present``).

        Returns a table with a row for each file: eid, did, dataset, status, path, bytes, error.

        Examples:
            >>> plan = await one.download(eid, "_ibl_wheel.*", dry_run=True)  # a row for each file
            >>> files = await one.download(eid, "_ibl_wheel.*")
            >>> files["error"].is_null().all()
            True
        """
    @overload
    async def download(
        self,
        *,
        id: SessionLike | Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        query_type: Mode | None = None,
        dry_run: bool = False,
        check_hash: bool = True,
        on_error: OnError = "raise",
        revision_policy: RevisionPolicy = "last_before",
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
    ) -> pl.DataFrame: ...
    @overload
    async def eid2path(self, eid: SessionLike, query_type: Mode | None = None) -> ALFPath | None:
        """Return the local path of a session, ``CACHE_DIR/lab/Subjects/subject/yyyy-mm-dd/nnn``, whether or not it exists.

        Accepts any name of a session; a list gives a list. The result is None for an unknown session, and for one whose lab
        or subject cannot be the name of a folder; a warning names the latter.

        Examples:
            >>> session_path = await one.eid2path(eid)
            >>> session_path.relative_to(one.cache_dir).as_posix()
            'summitlab/Subjects/SU_101/2024-06-24/001'
        """
    @overload
    async def eid2path(
        self, eid: Several[SessionLike | None], query_type: Mode | None = None
    ) -> list[ALFPath | None]: ...
    @overload
    async def eid2path(self, *, id: SessionLike, query_type: Mode | None = None) -> ALFPath | None: ...
    @overload
    async def eid2path(
        self, *, id: Several[SessionLike | None], query_type: Mode | None = None
    ) -> list[ALFPath | None]: ...
    @overload
    async def eid2pid(
        self,
        /,
        eid: SessionLike,
        query_type: Mode | None = None,
        details: Literal[False] = False,
        **filters: Unpack[InsertionTerms],
    ) -> Probes:
        """Return ``(pids, names)`` of a session's insertions, sorted by name, or with `details` also their records.

        For a session without insertions, or an unknown one, all of these are None. `filters` are terms of
        `search_insertions`. A list of sessions gives a list of such tuples.

        Examples:
            >>> pids, names = await one.eid2pid(eid)
            >>> names
            ['probe00']
        """
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
    @overload
    async def eid2pid(
        self,
        *,
        id: SessionLike,
        query_type: Mode | None = None,
        details: Literal[False] = False,
        **filters: Any,
    ) -> Probes: ...
    @overload
    async def eid2pid(
        self, *, id: SessionLike, query_type: Mode | None = None, details: Literal[True], **filters: Any
    ) -> ProbesDetails: ...
    @overload
    async def eid2pid(
        self, *, id: SessionLike, query_type: Mode | None = None, details: bool = False, **filters: Any
    ) -> Probes | ProbesDetails: ...
    @overload
    async def eid2pid(
        self,
        *,
        id: Several[SessionLike],
        query_type: Mode | None = None,
        details: Literal[False] = False,
        **filters: Any,
    ) -> list[Probes]: ...
    @overload
    async def eid2pid(
        self,
        *,
        id: Several[SessionLike],
        query_type: Mode | None = None,
        details: Literal[True],
        **filters: Any,
    ) -> list[ProbesDetails]: ...
    @overload
    async def eid2pid(
        self,
        *,
        id: Several[SessionLike],
        query_type: Mode | None = None,
        details: bool = False,
        **filters: Any,
    ) -> list[Probes | ProbesDetails]: ...
    @overload
    async def eid2ref(
        self,
        eid: SessionLike,
        as_dict: Literal[True] = True,
        parse: Literal[True] = True,
        query_type: Mode | None = None,
    ) -> Reference:
        """Return the reference of a session: ``{'subject', 'date', 'sequence'}``, or text with ``as_dict=False``.

        With ``parse=False`` date and sequence are texts, the sequence with three digits. A list gives a list.
        Missing fields are None. A session without subject, date or number has no reference as text: the result is None, and
        a warning names the session. Raises ALFObjectNotFound for an unknown session.

        Examples:
            >>> await one.eid2ref(eid)
            {'subject': 'SU_101', 'date': datetime.date(2024, 6, 24), 'sequence': 1}
            >>> await one.eid2ref(eid, as_dict=False)
            '2024-06-24_1_SU_101'
        """
    @overload
    async def eid2ref(
        self,
        eid: SessionLike,
        as_dict: Literal[True] = True,
        *,
        parse: Literal[False],
        query_type: Mode | None = None,
    ) -> ReferenceText: ...
    @overload
    async def eid2ref(
        self, eid: SessionLike, as_dict: Literal[False], parse: bool = True, query_type: Mode | None = None
    ) -> str | None: ...
    @overload
    async def eid2ref(
        self,
        eid: Several[SessionLike],
        as_dict: Literal[True] = True,
        parse: Literal[True] = True,
        query_type: Mode | None = None,
    ) -> list[Reference]: ...
    @overload
    async def eid2ref(
        self,
        eid: Several[SessionLike],
        as_dict: Literal[True] = True,
        *,
        parse: Literal[False],
        query_type: Mode | None = None,
    ) -> list[ReferenceText]: ...
    @overload
    async def eid2ref(
        self,
        eid: Several[SessionLike],
        as_dict: Literal[False],
        parse: bool = True,
        query_type: Mode | None = None,
    ) -> list[str | None]: ...
    @overload
    async def eid2ref(
        self,
        *,
        id: SessionLike,
        as_dict: Literal[True] = True,
        parse: Literal[True] = True,
        query_type: Mode | None = None,
    ) -> Reference: ...
    @overload
    async def eid2ref(
        self,
        *,
        id: SessionLike,
        as_dict: Literal[True] = True,
        parse: Literal[False],
        query_type: Mode | None = None,
    ) -> ReferenceText: ...
    @overload
    async def eid2ref(
        self, *, id: SessionLike, as_dict: Literal[False], parse: bool = True, query_type: Mode | None = None
    ) -> str | None: ...
    @overload
    async def eid2ref(
        self,
        *,
        id: Several[SessionLike],
        as_dict: Literal[True] = True,
        parse: Literal[True] = True,
        query_type: Mode | None = None,
    ) -> list[Reference]: ...
    @overload
    async def eid2ref(
        self,
        *,
        id: Several[SessionLike],
        as_dict: Literal[True] = True,
        parse: Literal[False],
        query_type: Mode | None = None,
    ) -> list[ReferenceText]: ...
    @overload
    async def eid2ref(
        self,
        *,
        id: Several[SessionLike],
        as_dict: Literal[False],
        parse: bool = True,
        query_type: Mode | None = None,
    ) -> list[str | None]: ...
    @overload
    async def freeze(
        self,
        eids: SessionLike | Several[SessionLike] | pl.DataFrame,
        file: str | Path,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        query_type: Mode | None = None,
        *,
        revision_policy: RevisionPolicy = "last_before",
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
    ) -> Path:
        """Record an exact set of files of sessions: their ids, paths, sizes, hashes, revisions and origin.

        `eids` are sessions, filtered as in `list_datasets`, or a frame of datasets from `list_datasets` (with its eid
        column). `from_frozen(file)` loads exactly these files, even if the database has changed since.

        Examples:
            >>> from one_async import AsyncONE
            >>> file = await one.freeze([eid], "paper.json", filename="_ibl_wheel.*")
            >>> async with AsyncONE.from_frozen(file) as paper:
            ...     print(await paper.list_datasets(eid))
            ['alf/_ibl_wheel.position.npy', 'alf/_ibl_wheel.timestamps.npy']
        """
    @overload
    async def freeze(
        self,
        *,
        id: SessionLike | Several[SessionLike] | pl.DataFrame,
        file: str | Path,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        query_type: Mode | None = None,
        revision_policy: RevisionPolicy = "last_before",
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
    ) -> Path: ...
    @overload
    async def get_details(
        self, eid: SessionLike, full: Literal[False] = False, query_type: Mode | None = None
    ) -> JSON:
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
    @overload
    async def get_details(
        self, *, id: SessionLike, full: Literal[False] = False, query_type: Mode | None = None
    ) -> JSON: ...
    @overload
    async def get_details(
        self, *, id: SessionLike, full: bool, query_type: Mode | None = None
    ) -> JSON | pl.DataFrame: ...
    @overload
    async def get_details(
        self, *, id: Several[SessionLike], full: Literal[False] = False, query_type: Mode | None = None
    ) -> list[JSON]: ...
    @overload
    async def get_details(
        self, *, id: Several[SessionLike], full: bool, query_type: Mode | None = None
    ) -> list[JSON | pl.DataFrame]: ...
    @overload
    def iter_objects(
        self,
        /,
        eids: SessionLike | Several[SessionLike],
        obj: str,
        *,
        at_once: int = ...,
        on_error: Literal["raise"] = "raise",
        query_type: Mode | None = None,
        **options: Any,
    ) -> AsyncIterator[tuple[UUID, ALFObject]]:
        """Yield ``(eid, object)`` for each session as it arrives, in any order; `options` are those of `load_object`.

        At most `at_once` sessions are loading or loaded but not yet consumed, so a slow consumer slows the downloads.
        The first error ends the iteration. With ``on_error="collect"``, a session that cannot be loaded yields a table of its
        errors instead of the object; `retry` accepts such tables.

        Examples:
            >>> eids = await one.search(lab="summitlab", datasets="spikes.times.npy")
            >>> async for session, wheel in one.iter_objects(eids, "wheel", at_once=3):
            ...     print(session, sorted(wheel))
            ee777d8f-aff9-481f-9056-f61ba0fed84f ['position', 'timestamps']
        """
    @overload
    def iter_objects(
        self,
        /,
        eids: SessionLike | Several[SessionLike],
        obj: str,
        *,
        at_once: int = ...,
        on_error: Literal["collect"],
        query_type: Mode | None = None,
        **options: Any,
    ) -> AsyncIterator[tuple[UUID, ALFObject | pl.DataFrame]]: ...
    @overload
    def iter_objects(
        self,
        *,
        id: SessionLike | Several[SessionLike],
        obj: str,
        at_once: int = ...,
        on_error: Literal["raise"] = "raise",
        query_type: Mode | None = None,
        **options: Any,
    ) -> AsyncIterator[tuple[UUID, ALFObject]]: ...
    @overload
    def iter_objects(
        self,
        *,
        id: SessionLike | Several[SessionLike],
        obj: str,
        at_once: int = ...,
        on_error: Literal["collect"],
        query_type: Mode | None = None,
        **options: Any,
    ) -> AsyncIterator[tuple[UUID, ALFObject | pl.DataFrame]]: ...
    @overload
    async def list_collections(
        self,
        eid: SessionLike | None = None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[False] = False,
        query_type: Mode | None = None,
    ) -> list[str]:
        """List the collections of a session, or without `eid` of all sessions in the tables; filters as in `list_datasets`.

        Datasets directly in the session's folder are in the collection ``""``. With `details`, returns a mapping of each
        collection to the frame of its datasets. A list of sessions gives a list of results.

        Examples:
            >>> await one.list_collections(eid, filename="spikes.times*")
            ['alf/probe00/pykilosort']
            >>> collections = await one.list_collections(eid, details=True)
            >>> collections["alf"]["rel_path"].to_list()[:2]
            ['alf/_ibl_trials.table.pqt', 'alf/_ibl_bodyCamera.times.npy']
        """
    @overload
    async def list_collections(
        self,
        eid: SessionLike | None = None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[True] = ...,
        query_type: Mode | None = None,
    ) -> dict[str, pl.DataFrame]: ...
    @overload
    async def list_collections(
        self,
        eid: SessionLike | None = None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: bool = False,
        query_type: Mode | None = None,
    ) -> list[str] | dict[str, pl.DataFrame]: ...
    @overload
    async def list_collections(
        self,
        eid: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[False] = False,
        query_type: Mode | None = None,
    ) -> list[list[str]]: ...
    @overload
    async def list_collections(
        self,
        eid: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[True] = ...,
        query_type: Mode | None = None,
    ) -> list[dict[str, pl.DataFrame]]: ...
    @overload
    async def list_collections(
        self,
        eid: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: bool = False,
        query_type: Mode | None = None,
    ) -> list[list[str] | dict[str, pl.DataFrame]]: ...
    @overload
    async def list_collections(
        self,
        *,
        id: SessionLike | None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[False] = False,
        query_type: Mode | None = None,
    ) -> list[str]: ...
    @overload
    async def list_collections(
        self,
        *,
        id: SessionLike | None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[True] = ...,
        query_type: Mode | None = None,
    ) -> dict[str, pl.DataFrame]: ...
    @overload
    async def list_collections(
        self,
        *,
        id: SessionLike | None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: bool = False,
        query_type: Mode | None = None,
    ) -> list[str] | dict[str, pl.DataFrame]: ...
    @overload
    async def list_collections(
        self,
        *,
        id: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[False] = False,
        query_type: Mode | None = None,
    ) -> list[list[str]]: ...
    @overload
    async def list_collections(
        self,
        *,
        id: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[True] = ...,
        query_type: Mode | None = None,
    ) -> list[dict[str, pl.DataFrame]]: ...
    @overload
    async def list_collections(
        self,
        *,
        id: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: bool = False,
        query_type: Mode | None = None,
    ) -> list[list[str] | dict[str, pl.DataFrame]]: ...
    @overload
    async def list_datasets(
        self,
        eid: SessionLike | None = None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        details: Literal[False] = False,
        query_type: Mode | None = None,
        default_revisions_only: bool = False,
        keep_eid_index: bool = False,
        *,
        revision_policy: RevisionPolicy = "exact",
    ) -> list[str]:
        """List the datasets of a session, or without `eid` those of all sessions in the tables.

        Args:
            eid: any name of a session; a list gives a list of results.
            filename: a file name pattern, a list of patterns, or a mapping of ALF parts.
            collection, revision: patterns; an empty text means none.
            qc: the worst QC that a dataset may have, by name, number or member.
            ignore_qc_not_set: leave out datasets whose QC is not set.
            details: return a frame instead of paths.
            default_revisions_only: leave out older and newer revisions.
            keep_eid_index: with `details`, keep the eid column.
            revision_policy: `exact`, the revision is a pattern like the others; `last_before`, the revision or the last
                before it, as loads do; `default`, default revisions only.

        Returns the paths below the session, sorted; with `details` a frame: did, rel_path, file_size (bytes), hash, exists,
        qc, default_revision.

        Examples:
            >>> await one.list_datasets(eid, "_ibl_wheel.*")
            ['alf/_ibl_wheel.position.npy', 'alf/_ibl_wheel.timestamps.npy']
            >>> datasets = await one.list_datasets(eid, qc="PASS", ignore_qc_not_set=True, details=True)
            >>> datasets["qc"].unique().to_list()
            ['PASS']
        """
    @overload
    async def list_datasets(
        self,
        eid: SessionLike | None = None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        details: Literal[True] = ...,
        query_type: Mode | None = None,
        default_revisions_only: bool = False,
        keep_eid_index: bool = False,
        *,
        revision_policy: RevisionPolicy = "exact",
    ) -> pl.DataFrame: ...
    @overload
    async def list_datasets(
        self,
        eid: SessionLike | None = None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        details: bool = False,
        query_type: Mode | None = None,
        default_revisions_only: bool = False,
        keep_eid_index: bool = False,
        *,
        revision_policy: RevisionPolicy = "exact",
    ) -> list[str] | pl.DataFrame: ...
    @overload
    async def list_datasets(
        self,
        eid: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        details: Literal[False] = False,
        query_type: Mode | None = None,
        default_revisions_only: bool = False,
        keep_eid_index: bool = False,
        *,
        revision_policy: RevisionPolicy = "exact",
    ) -> list[list[str]]: ...
    @overload
    async def list_datasets(
        self,
        eid: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        details: Literal[True] = ...,
        query_type: Mode | None = None,
        default_revisions_only: bool = False,
        keep_eid_index: bool = False,
        *,
        revision_policy: RevisionPolicy = "exact",
    ) -> list[pl.DataFrame]: ...
    @overload
    async def list_datasets(
        self,
        eid: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        details: bool = False,
        query_type: Mode | None = None,
        default_revisions_only: bool = False,
        keep_eid_index: bool = False,
        *,
        revision_policy: RevisionPolicy = "exact",
    ) -> list[list[str] | pl.DataFrame]: ...
    @overload
    async def list_datasets(
        self,
        *,
        id: SessionLike | None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        details: Literal[False] = False,
        query_type: Mode | None = None,
        default_revisions_only: bool = False,
        keep_eid_index: bool = False,
        revision_policy: RevisionPolicy = "exact",
    ) -> list[str]: ...
    @overload
    async def list_datasets(
        self,
        *,
        id: SessionLike | None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        details: Literal[True] = ...,
        query_type: Mode | None = None,
        default_revisions_only: bool = False,
        keep_eid_index: bool = False,
        revision_policy: RevisionPolicy = "exact",
    ) -> pl.DataFrame: ...
    @overload
    async def list_datasets(
        self,
        *,
        id: SessionLike | None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        details: bool = False,
        query_type: Mode | None = None,
        default_revisions_only: bool = False,
        keep_eid_index: bool = False,
        revision_policy: RevisionPolicy = "exact",
    ) -> list[str] | pl.DataFrame: ...
    @overload
    async def list_datasets(
        self,
        *,
        id: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        details: Literal[False] = False,
        query_type: Mode | None = None,
        default_revisions_only: bool = False,
        keep_eid_index: bool = False,
        revision_policy: RevisionPolicy = "exact",
    ) -> list[list[str]]: ...
    @overload
    async def list_datasets(
        self,
        *,
        id: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        details: Literal[True] = ...,
        query_type: Mode | None = None,
        default_revisions_only: bool = False,
        keep_eid_index: bool = False,
        revision_policy: RevisionPolicy = "exact",
    ) -> list[pl.DataFrame]: ...
    @overload
    async def list_datasets(
        self,
        *,
        id: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        details: bool = False,
        query_type: Mode | None = None,
        default_revisions_only: bool = False,
        keep_eid_index: bool = False,
        revision_policy: RevisionPolicy = "exact",
    ) -> list[list[str] | pl.DataFrame]: ...
    @overload
    async def list_revisions(
        self,
        eid: SessionLike | None = None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[False] = False,
        query_type: Mode | None = None,
    ) -> list[str]:
        """List the revisions of a session's datasets, or without `eid` of all; filters as in `list_datasets`.

        Datasets without revision are under ``""``. With `details`, returns a mapping of each revision to the frame of its
        datasets. A list of sessions gives a list of results.

        Examples:
            >>> await one.list_revisions(eid, collection="alf/probe00/*")
            ['']
        """
    @overload
    async def list_revisions(
        self,
        eid: SessionLike | None = None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[True] = ...,
        query_type: Mode | None = None,
    ) -> dict[str, pl.DataFrame]: ...
    @overload
    async def list_revisions(
        self,
        eid: SessionLike | None = None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: bool = False,
        query_type: Mode | None = None,
    ) -> list[str] | dict[str, pl.DataFrame]: ...
    @overload
    async def list_revisions(
        self,
        eid: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[False] = False,
        query_type: Mode | None = None,
    ) -> list[list[str]]: ...
    @overload
    async def list_revisions(
        self,
        eid: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[True] = ...,
        query_type: Mode | None = None,
    ) -> list[dict[str, pl.DataFrame]]: ...
    @overload
    async def list_revisions(
        self,
        eid: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: bool = False,
        query_type: Mode | None = None,
    ) -> list[list[str] | dict[str, pl.DataFrame]]: ...
    @overload
    async def list_revisions(
        self,
        *,
        id: SessionLike | None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[False] = False,
        query_type: Mode | None = None,
    ) -> list[str]: ...
    @overload
    async def list_revisions(
        self,
        *,
        id: SessionLike | None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[True] = ...,
        query_type: Mode | None = None,
    ) -> dict[str, pl.DataFrame]: ...
    @overload
    async def list_revisions(
        self,
        *,
        id: SessionLike | None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: bool = False,
        query_type: Mode | None = None,
    ) -> list[str] | dict[str, pl.DataFrame]: ...
    @overload
    async def list_revisions(
        self,
        *,
        id: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[False] = False,
        query_type: Mode | None = None,
    ) -> list[list[str]]: ...
    @overload
    async def list_revisions(
        self,
        *,
        id: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[True] = ...,
        query_type: Mode | None = None,
    ) -> list[dict[str, pl.DataFrame]]: ...
    @overload
    async def list_revisions(
        self,
        *,
        id: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: bool = False,
        query_type: Mode | None = None,
    ) -> list[list[str] | dict[str, pl.DataFrame]]: ...
    @overload
    async def load_collection(
        self,
        /,
        eid: SessionLike | Several[SessionLike],
        collection: str,
        object: str | list[str] | None = None,
        revision: str | None = None,
        query_type: Mode | None = None,
        download_only: bool = False,
        check_hash: bool = True,
        *,
        revision_policy: RevisionPolicy = "last_before",
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        **parts: Any,
    ) -> Any:
        """Load all objects of a collection, or those that `object` and `parts` match: a mapping of names to ALFObjects.

        The other arguments are those of `load_object`; with `download_only`, a list of paths.

        Examples:
            >>> objects = await one.load_collection(eid, "alf", object="wheel*")
            >>> sorted(objects)
            ['wheel', 'wheelMoves']
        """
    @overload
    async def load_collection(
        self,
        *,
        id: SessionLike | Several[SessionLike],
        collection: str,
        object: str | list[str] | None = None,
        revision: str | None = None,
        query_type: Mode | None = None,
        download_only: bool = False,
        check_hash: bool = True,
        revision_policy: RevisionPolicy = "last_before",
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        **parts: Any,
    ) -> Any: ...
    @overload
    async def load_dataset(
        self,
        eid: SessionLike | Several[SessionLike],
        dataset: str | Mapping[str, Any],
        collection: str | None = None,
        revision: str | None = None,
        query_type: Mode | None = None,
        download_only: bool = False,
        check_hash: bool = True,
        *,
        revision_policy: RevisionPolicy = "last_before",
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
    ) -> Any:
        """Load one dataset of a session. A file that is missing or wrong on disk is fetched first.

        Args:
            eid: any name of a session, or a list.
            dataset: a file name or pattern (``"spikes.times.npy"``, ``"spikes.times"``), a path below the session, or a
                mapping of ALF parts.
            collection: a pattern, such as ``"alf/probe00*"``.
            revision: the revision, or the last before it; without one, the default revision. The environment variable
                ONE_REVISION_LAST_BEFORE is its default.
            download_only: return the path of the file instead of its content.
            check_hash: check files by their hashes. False checks files on disk by their size only, and accepts the server's
                file even if the database has another hash or size for it, which raises HashMismatch otherwise.
            revision_policy: the meaning of `revision`; see `list_datasets`.
            qc: the worst QC that a dataset may have; CRITICAL ones are loaded only if this allows them, also by their paths.
            ignore_qc_not_set: leave out datasets whose QC is not set.

        Returns an array, a frame, or another object, depending on the format; a path for formats that are not read.
        Raises ALFObjectNotFound, ALFMultipleCollectionsFound and similar errors, or a ServerError if the file cannot be fetched.

        Examples:
            >>> times = await one.load_dataset(eid, "spikes.times.npy", collection="alf/probe00/pykilosort")
            >>> times.dtype, times.ndim
            (dtype('float64'), 1)
            >>> file = await one.load_dataset(eid, "_ibl_trials.table.pqt", download_only=True)
            >>> file.relative_to_session().as_posix()
            'alf/_ibl_trials.table.pqt'
        """
    @overload
    async def load_dataset(
        self,
        *,
        id: SessionLike | Several[SessionLike],
        dataset: str | Mapping[str, Any],
        collection: str | None = None,
        revision: str | None = None,
        query_type: Mode | None = None,
        download_only: bool = False,
        check_hash: bool = True,
        revision_policy: RevisionPolicy = "last_before",
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
    ) -> Any: ...
    @overload
    async def load_datasets(
        self,
        eid: SessionLike | Several[SessionLike],
        datasets: Sequence[str] | Sequence[Mapping[str, Any]] | pl.DataFrame,
        collections: str | Sequence[str | None] | None = None,
        revisions: str | Sequence[str | None] | None = None,
        query_type: Mode | None = None,
        assert_present: bool = True,
        download_only: bool = False,
        check_hash: bool = True,
        *,
        revision_policy: RevisionPolicy = "last_before",
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
    ) -> Any:
        """Load several datasets of a session: ``(data, records)``, two lists as long as `datasets`.

        `datasets` are names, mappings of ALF parts, paths below the session as `list_datasets` returns them, or its frame.
        `collections` and `revisions` are one value for all, or a list with one for each. A missing dataset raises
        ALFObjectNotFound; with ``assert_present=False`` it is None in both lists.

        Examples:
            >>> names = ["_ibl_wheel.position.npy", "_ibl_wheel.timestamps.npy"]
            >>> (position, timestamps), rows = await one.load_datasets(eid, names)
            >>> position.shape == timestamps.shape
            True
        """
    @overload
    async def load_datasets(
        self,
        *,
        id: SessionLike | Several[SessionLike],
        datasets: Sequence[str] | Sequence[Mapping[str, Any]] | pl.DataFrame,
        collections: str | Sequence[str | None] | None = None,
        revisions: str | Sequence[str | None] | None = None,
        query_type: Mode | None = None,
        assert_present: bool = True,
        download_only: bool = False,
        check_hash: bool = True,
        revision_policy: RevisionPolicy = "last_before",
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
    ) -> Any: ...
    @overload
    async def load_many(
        self,
        /,
        eids: SessionLike | Several[SessionLike],
        obj: str,
        collection: str | None = None,
        revision: str | None = None,
        query_type: Mode | None = None,
        *,
        on_error: Literal["raise"] = "raise",
        executor: Executor | None = None,
        **options: Any,
    ) -> pl.DataFrame:
        """Load an object, such as ``"trials"``, of many sessions into one frame with an `eid` column.

        Rows are in the order of the sessions, and within a session in their own order. A column that a session lacks is null
        for it. Columns of different types get the wider type, numbers and texts become texts, and arrays of several columns
        become ``name_0``, ``name_1``. `options` are those of `load_object`, among them `check_hash`.

        With ``on_error="raise"`` the error of a session ends the call; with ``"collect"`` errors are gathered, and the result
        is `Loaded`: the frame and a table of errors. Attributes of a session that differ in their number of rows are an
        ALFError, which names the numbers; so is a column of another kind than in the sessions before (times and numbers).

        With an `executor` (a process pool, or a Dask client's ``get_executor()``) the sessions are loaded there, some at a
        time; the workers find credentials in their own environment or settings.

        Examples:
            >>> eids = await one.search(datasets="spikes.times.npy")
            >>> trials = await one.load_many(eids, "trials")
            >>> trials["eid"].n_unique() == len(eids)
            True
        """
    @overload
    async def load_many(
        self,
        /,
        eids: SessionLike | Several[SessionLike],
        obj: str,
        collection: str | None = None,
        revision: str | None = None,
        query_type: Mode | None = None,
        *,
        on_error: Literal["collect"],
        executor: Executor | None = None,
        **options: Any,
    ) -> Loaded: ...
    @overload
    async def load_many(
        self,
        *,
        id: SessionLike | Several[SessionLike],
        obj: str,
        collection: str | None = None,
        revision: str | None = None,
        query_type: Mode | None = None,
        on_error: Literal["raise"] = "raise",
        executor: Executor | None = None,
        **options: Any,
    ) -> pl.DataFrame: ...
    @overload
    async def load_many(
        self,
        *,
        id: SessionLike | Several[SessionLike],
        obj: str,
        collection: str | None = None,
        revision: str | None = None,
        query_type: Mode | None = None,
        on_error: Literal["collect"],
        executor: Executor | None = None,
        **options: Any,
    ) -> Loaded: ...
    @overload
    async def load_object(
        self,
        /,
        eid: SessionLike | Several[SessionLike],
        obj: str,
        collection: str | None = None,
        revision: str | None = None,
        query_type: Mode | None = None,
        download_only: bool = False,
        check_hash: bool = True,
        *,
        revision_policy: RevisionPolicy = "last_before",
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        **parts: Any,
    ) -> Any:
        """Load all attributes of an ALF object, such as ``"trials"`` or ``"spikes"``, of a session.

        `parts` filter by other ALF parts: ``attribute=["times", "clusters"]``, ``namespace="ibl"``, ``timescale=``,
        ``extra=``, ``extension=``. The other arguments are those of `load_dataset`.

        Returns an ALFObject: attributes by name, each with a row for each event; with `download_only` a list of paths.
        Raises ALFObjectNotFound, ALFMultipleObjectsFound or ALFMultipleCollectionsFound.

        Examples:
            >>> trials = await one.load_object(eid, "trials")
            >>> trials.choice.shape
            (495,)
            >>> wheel = await one.load_object(eid, "wheel", attribute=["position", "timestamps"])
            >>> sorted(wheel)
            ['position', 'timestamps']
        """
    @overload
    async def load_object(
        self,
        *,
        id: SessionLike | Several[SessionLike],
        obj: str,
        collection: str | None = None,
        revision: str | None = None,
        query_type: Mode | None = None,
        download_only: bool = False,
        check_hash: bool = True,
        revision_policy: RevisionPolicy = "last_before",
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        **parts: Any,
    ) -> Any: ...
    @overload
    async def type2datasets(
        self, eid: SessionLike, dataset_type: str | list[str], details: Literal[False] = False
    ) -> list[str]:
        """List a session's datasets of one or several dataset types: sorted paths, or with `details` a frame.

        A list of sessions gives a list. Only files that can be reached are listed.
        Raises ALFObjectNotFound for an unknown session.

        Examples:
            >>> await one.type2datasets(eid, "wheel.position")
            ['alf/_ibl_wheel.position.npy']
        """
    @overload
    async def type2datasets(
        self, eid: SessionLike, dataset_type: str | list[str], details: Literal[True]
    ) -> pl.DataFrame: ...
    @overload
    async def type2datasets(
        self, eid: SessionLike, dataset_type: str | list[str], details: bool
    ) -> list[str] | pl.DataFrame: ...
    @overload
    async def type2datasets(
        self, eid: Several[SessionLike], dataset_type: str | list[str], details: Literal[False] = False
    ) -> list[list[str]]: ...
    @overload
    async def type2datasets(
        self, eid: Several[SessionLike], dataset_type: str | list[str], details: Literal[True]
    ) -> list[pl.DataFrame]: ...
    @overload
    async def type2datasets(
        self, eid: Several[SessionLike], dataset_type: str | list[str], details: bool
    ) -> list[list[str] | pl.DataFrame]: ...
    @overload
    async def type2datasets(
        self, *, id: SessionLike, dataset_type: str | list[str], details: Literal[False] = False
    ) -> list[str]: ...
    @overload
    async def type2datasets(
        self, *, id: SessionLike, dataset_type: str | list[str], details: Literal[True]
    ) -> pl.DataFrame: ...
    @overload
    async def type2datasets(
        self, *, id: SessionLike, dataset_type: str | list[str], details: bool
    ) -> list[str] | pl.DataFrame: ...
    @overload
    async def type2datasets(
        self, *, id: Several[SessionLike], dataset_type: str | list[str], details: Literal[False] = False
    ) -> list[list[str]]: ...
    @overload
    async def type2datasets(
        self, *, id: Several[SessionLike], dataset_type: str | list[str], details: Literal[True]
    ) -> list[pl.DataFrame]: ...
    @overload
    async def type2datasets(
        self, *, id: Several[SessionLike], dataset_type: str | list[str], details: bool
    ) -> list[list[str] | pl.DataFrame]: ...
    @overload
    async def video(
        self,
        eid: SessionLike,
        camera: str,
        pixels: Literal["rgb24", "gray"] = "rgb24",
        revision: str | None = None,
        query_type: Mode | None = None,
        *,
        check_hash: bool = True,
    ) -> AsyncVideo:
        """Open the raw video of a camera to read frames without fetching the file. Needs ``one-async[video]``.

        Args:
            eid: any name of a session.
            camera: the label of the camera, such as ``"left"`` for `_iblrig_leftCamera.raw.mp4`.
            pixels: ``"rgb24"`` for three values a pixel, ``"gray"`` for one.
            revision: the revision, or the last before it; the default one without.
            query_type: as everywhere.
            check_hash: judge the file of the frames' times by its hash.

        Returns an object with fps, size, times and frames by number, ``video[100:200]``, or by time, ``video.at(times)``. A
        video that is on disk is read from there. Raises ALFObjectNotFound if the session has no such camera.

        Examples:
            >>> video = await one.video(eid, "left")
            >>> video.fps, video.size
            (10.0, (144, 128))
            >>> (await video[10:15]).shape
            (5, 128, 144, 3)
        """
    @overload
    async def video(
        self,
        *,
        id: SessionLike,
        camera: str,
        pixels: Literal["rgb24", "gray"] = "rgb24",
        revision: str | None = None,
        query_type: Mode | None = None,
        check_hash: bool = True,
    ) -> AsyncVideo: ...
