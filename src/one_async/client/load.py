"""Loading of datasets and objects of sessions as arrays and frames."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload
from uuid import UUID

import anyio

from one_async import ids
from one_async._threads import run_polars, run_sync
from one_async.alf.spec import QC
from one_async.client.call import Call, public_methods
from one_async.client.datafiles import DataFiles, warn_missing
from one_async.client.identify import known_eids, naming_eid_first
from one_async.client.jobs import SESSION_PATH, SESSIONS_AT_ONCE, Job, Load, each, load_each, load_sessions
from one_async.client.outcomes import OnError, check_on_error, error_rows, outcome_frame
from one_async.client.rows import rows_of_ids
from one_async.errors import ALFObjectNotFound, InputError, OneError
from one_async.queries import selection
from one_async.queries.selection import SelectionOptions

if TYPE_CHECKING:
    import polars as pl
    from anyio.streams.memory import MemoryObjectSendStream

    from one_async.alf.path import ALFPath
    from one_async.client.context import Context
    from one_async.files.objects import ALFObject
    from one_async.types import Mode, RevisionPolicy, SessionLike, Several

    DatasetLike: TypeAlias = UUID | str | Mapping[str, Any]

#: The column with the position of the requested dataset that a row belongs to.
PLACE = "_place"


@public_methods(ended_by_closing=True)
class Loading:
    """Methods that load data. Each takes one session or a list; the results of a list are in its order."""

    _context: Context

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
        qc: int | str | QC = QC.FAIL,
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
        call = Call(self._context, query_type)
        how = SelectionOptions(self._context.wildcards, revision_policy, qc, ignore_qc_not_set)
        with naming_eid_first(eid):
            choose = selection.one_dataset(dataset, collection, revision, how)

        def finish(job: Job) -> Any:
            (file,) = job.files
            if file is None:
                raise ALFObjectNotFound(f"{job.records[0]['rel_path']} is not on disk", dataset=dataset)
            return file if download_only else DataFiles(self._context).read(file)

        return await load_sessions(call, eid, Load(choose, finish), check_hash)

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
        qc: int | str | QC = QC.FAIL,
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
        call = Call(self._context, query_type)
        options: dict[str, Any] = {"revision_policy": revision_policy, "qc": qc, **parts}
        options["ignore_qc_not_set"] = ignore_qc_not_set
        with naming_eid_first(eid):
            load = object_load(self._context, obj, collection, revision, download_only, **options)
        return await load_sessions(call, eid, load, check_hash)

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
        qc: int | str | QC = QC.FAIL,
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
        call = Call(self._context, query_type)
        how = SelectionOptions(self._context.wildcards, revision_policy, qc, ignore_qc_not_set)
        with naming_eid_first(eid):
            choose = selection.whole_collection(collection, object, revision, how, **parts)

        def finish(job: Job) -> Any:
            files = present(job)
            if not files:
                raise ALFObjectNotFound(
                    f"no file of the collection {collection!r} is on disk", collection=collection
                )
            if download_only:
                return files
            groups: dict[str, list[ALFPath]] = {}
            for file in files:
                groups.setdefault(file.object, []).append(file)
            return {name: DataFiles(self._context).make_object(members) for name, members in groups.items()}

        return await load_sessions(call, eid, Load(choose, finish), check_hash)

    async def load_dataset_from_id(
        self, dset_id: DatasetLike | Several[DatasetLike], download_only: bool = False, details: bool = False,
        check_hash: bool = True, query_type: Mode | None = None,
    ) -> Any:  # fmt: skip
        """Load a dataset by its id or a record that has it; with `details`, return its row as a dictionary, too.

        A list gives a list. `check_hash` is that of `load_dataset`.
        Raises ALFObjectNotFound for an unknown id, or a file that is not on disk in local mode;
        ALFMultipleObjectsFound, which names the sessions, if datasets of several sessions have the id.

        Examples:
            >>> times, row = await one.load_dataset_from_id(did, details=True)
            >>> row["rel_path"], len(times)
            ('alf/probe00/pykilosort/spikes.times.npy', 58646)
        """
        values, rebuild = ids.flatten(dset_id)
        dids = [str(ids.dataset_id(value)) for value in values]
        call = Call(self._context, query_type)
        rows = await rows_of_ids(call, dids)
        if unknown := [did for did in dids if did not in rows]:
            raise ALFObjectNotFound(f"no dataset has the id {unknown[0]}", dataset=unknown[0])
        files = await DataFiles(self._context).of_rows(call, list(rows.values()), check_hash)
        paths = dict(zip(rows, files, strict=True))
        if absent := [did for did in dids if paths[did] is None]:
            raise ALFObjectNotFound(f"{rows[absent[0]]['rel_path']} is not on disk", dataset=absent[0])

        async def load(index: int) -> Any:
            did = dids[index]
            file = paths[did]
            data = (
                file if download_only or file is None else await run_sync(DataFiles(self._context).read, file)
            )
            return (data, dict(rows[did])) if details else data

        results, _ = await each(len(dids), load)
        return rebuild([results[index] for index in range(len(dids))])

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
        qc: int | str | QC = QC.FAIL,
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
        if isinstance(datasets, str):
            raise InputError.of("datasets", datasets, "a list of names; load_dataset takes one")
        call = Call(self._context, query_type)
        how = SelectionOptions(self._context.wildcards, revision_policy, qc, ignore_qc_not_set)
        with naming_eid_first(eid):
            wanted = selection.as_wanted(datasets)
            choose_each = selection.many_datasets(wanted, collections, revisions, how)

        def choose(rows: Sequence[selection.Row]) -> list[selection.Row]:
            found = choose_each(rows)
            if not all(found):
                warn_missing(
                    f"not among the session's datasets: {selection.describe_missing(wanted, found)}",
                    assert_present,
                )
            return [{**row, PLACE: at} for at, own in enumerate(found) for row in own]

        def finish(job: Job) -> tuple[list[Any], list[Any]]:
            if absent := [
                row["rel_path"] for row, file in zip(job.records, job.files, strict=True) if not file
            ]:
                warn_missing(f"not on disk: {', '.join(absent)}", assert_present)
            data: list[Any] = [None] * len(wanted)
            records: list[Any] = [None] * len(wanted)
            for row, file in zip(job.records, job.files, strict=True):
                at = row[PLACE]
                records[at] = {
                    name: value for name, value in row.items() if name not in (PLACE, SESSION_PATH)
                }
                if file is not None:
                    data[at] = file if download_only else DataFiles(self._context).read(file)
            return data, records

        return await load_sessions(call, eid, Load(choose, finish), check_hash)

    @overload
    def iter_objects(
        self,
        /,
        eids: SessionLike | Several[SessionLike],
        obj: str,
        *,
        at_once: int = SESSIONS_AT_ONCE,
        on_error: Literal["raise"] = "raise",
        query_type: Mode | None = None,
        **options: Any,
    ) -> AsyncIterator[tuple[UUID, ALFObject]]: ...
    @overload
    def iter_objects(
        self,
        /,
        eids: SessionLike | Several[SessionLike],
        obj: str,
        *,
        at_once: int = SESSIONS_AT_ONCE,
        on_error: Literal["collect"],
        query_type: Mode | None = None,
        **options: Any,
    ) -> AsyncIterator[tuple[UUID, ALFObject | pl.DataFrame]]: ...
    async def iter_objects(
        self,
        /,
        eids: SessionLike | Several[SessionLike],
        obj: str,
        *,
        at_once: int = SESSIONS_AT_ONCE,
        on_error: OnError = "raise",
        query_type: Mode | None = None,
        **options: Any,
    ) -> AsyncIterator[tuple[UUID, Any]]:
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
        check_on_error(on_error)
        if not isinstance(at_once, int) or at_once < 1:
            raise InputError.of("at_once", at_once, "a whole number of at least 1")
        call = Call(self._context, query_type)
        wanted, check_hash = object_load(self._context, obj, **options), options.get("check_hash", True)
        known, _ = await known_eids(call, ids.as_many(eids))

        async def load(eid: str) -> Any:
            try:
                return (await load_each(call, [eid], wanted, check_hash))[0][0]
            except InputError:
                raise
            except OneError as error:
                if on_error == "raise":
                    raise
                return await run_polars(outcome_frame, error_rows(eid, obj, error))

        if (
            self._context.group is None
        ):  # not opened with `async with`: no task group for tasks that outlive a step
            for start in range(0, len(known), at_once):
                batch = known[start : start + at_once]
                loaded, _ = await each(len(batch), lambda index, batch=batch: load(batch[index]))  # type: ignore[misc]
                for index, eid in enumerate(batch):
                    yield UUID(eid), loaded[index]
            return
        send, receive = anyio.create_memory_object_stream[tuple[str, Any]](0)
        scope = anyio.CancelScope()
        self._context.group.start_soon(self._load_into, send, scope, known, at_once, load)
        with receive:
            try:
                for _ in known:
                    try:
                        eid, outcome = await receive.receive()
                    except anyio.EndOfStream:
                        raise OneError("the client was closed during this iteration") from None
                    if isinstance(outcome, Exception):
                        raise outcome
                    yield UUID(eid), outcome
            finally:
                scope.cancel()

    async def _load_into(
        self,
        send: MemoryObjectSendStream[tuple[str, Any]],
        scope: anyio.CancelScope,
        eids: Sequence[str],
        at_once: int,
        load: Callable[[str], Awaitable[Any]],
    ) -> None:
        """Send the result of each session, or its error, since errors must not reach the client's task group."""
        limiter = anyio.CapacityLimiter(at_once)

        async def one(eid: str) -> None:
            async with limiter:
                try:
                    with self._context.calls.call():
                        outcome = await load(eid)
                except Exception as error:
                    outcome = error
                with suppress(anyio.BrokenResourceError):  # the receiver is closed
                    await send.send((eid, outcome))

        with scope, send:
            async with self._context.showing(), anyio.create_task_group() as loads:
                for eid in eids:
                    loads.start_soon(one, eid)


def present(job: Job) -> list[ALFPath]:
    """Return the files of a job that are on disk. Warns of the others if there are any."""
    absent = [row["rel_path"] for row, file in zip(job.records, job.files, strict=True) if file is None]
    files = [file for file in job.files if file is not None]
    if files and absent:
        warn_missing(f"not on disk: {', '.join(absent)}", assert_present=False)
    return files


def object_load(
    context: Context,
    obj: str,
    collection: str | None = None,
    revision: str | None = None,
    download_only: bool = False,
    check_hash: bool = True,
    *,
    revision_policy: RevisionPolicy = "last_before",
    qc: int | str | QC = QC.FAIL,
    ignore_qc_not_set: bool = False,
    warn_of_rows: bool = True,
    **parts: Any,
) -> Load:
    """Return the `Load` of `load_object`. `warn_of_rows=False` suppresses warnings of different numbers of rows."""
    how = SelectionOptions(context.wildcards, revision_policy, qc, ignore_qc_not_set)
    choose = selection.one_object(obj, collection, revision, how, **parts)

    def finish(job: Job) -> Any:
        found = present(job)
        if not found:
            raise ALFObjectNotFound(f"no file of the object {obj!r} is on disk", object=obj)
        return found if download_only else DataFiles(context).make_object(found, warn_of_rows=warn_of_rows)

    return Load(choose, finish)
