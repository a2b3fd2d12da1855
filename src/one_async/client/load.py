"""Loading: from a session and the name of something in it to arrays and frames."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, overload
from uuid import UUID

import anyio

from one_async import ids
from one_async._concurrency import run_all
from one_async._threads import run_polars
from one_async.alf.spec import QC
from one_async.client.core import one_answer
from one_async.client.files import Files, path_of, warn_missing
from one_async.client.jobs import SESSION_PATH, Job, Load, read_jobs
from one_async.client.outcomes import OnError, check_on_error, error_rows, outcome_frame, raise_first
from one_async.errors import ALFObjectNotFound, InputError, OneError
from one_async.queries import selection
from one_async.queries.base import SessionDatasets
from one_async.queries.selection import SelectionOptions

if TYPE_CHECKING:
    import polars as pl
    from anyio.streams.memory import MemoryObjectSendStream

    from one_async.alf.path import ALFPath
    from one_async.files.objects import ALFObject
    from one_async.types import Mode, RevisionPolicy, SessionLike, Several

#: How many sessions are worked on at once; the files of all of them share one limit of their own.
SESSIONS_AT_ONCE = 12
#: How many sessions are looked up at once, and how many such batches are worked on.
BATCH, BATCHES_AT_ONCE = 32, 4
#: The column that says which of the datasets that are wanted a row is.
PLACE = "_place"


class Loading(Files):
    """The methods that load data. Each takes one session or a list, and of a list gives the results in its order."""

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
        """Load one dataset of a session, fetched first if it is not there or not right.

        Args:
            eid: whatever names a session, or a list.
            dataset: a file name or pattern (``"spikes.times.npy"``, ``"spikes.times"``), a path below the session, or a
                mapping of ALF parts.
            collection: a pattern, such as ``"alf/probe00*"``.
            revision: the revision, or the last before it; without one, the default revision. The environment variable
                ONE_REVISION_LAST_BEFORE stands in for it.
            download_only: give the path of the file instead of its contents.
            check_hash: judge files by their hashes. False judges a file that is there by its size alone, and accepts what the
                server has where the database has another hash or size for it, which raises HashMismatch otherwise.
            revision_policy: what `revision` means; see `list_datasets`.
            qc: the worst QC that a dataset may have; CRITICAL ones are loaded only if asked for, also by their paths.
            ignore_qc_not_set: leave out datasets whose QC is not set.

        Returns an array, a frame, or whatever the format holds; a path for formats that are not read.
        Raises ALFObjectNotFound, ALFMultipleCollectionsFound and its like, or a ServerError if the file cannot be had.
        """
        how = SelectionOptions(self.wildcards, revision_policy, qc, ignore_qc_not_set)

        def choice(rows: pl.DataFrame) -> pl.DataFrame:
            return selection.one_dataset(rows, dataset, collection, revision, how)

        def finish(job: Job) -> Any:
            (file,) = job.files
            if file is None:
                raise ALFObjectNotFound(f"{job.records[0]['rel_path']} is not on disk", dataset=dataset)
            return file if download_only else self._read(file)

        return await self._for_each(eid, Load(choice, finish), query_type, check_hash)

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

        Returns an ALFObject: attributes by name, each with one row for each event; with `download_only` a list of paths.
        Raises ALFObjectNotFound, ALFMultipleObjectsFound or ALFMultipleCollectionsFound.
        """
        options: dict[str, Any] = {"revision_policy": revision_policy, "qc": qc, **parts}
        load = self._object_load(
            obj, collection, revision, download_only, ignore_qc_not_set=ignore_qc_not_set, **options
        )
        return await self._for_each(eid, load, query_type, check_hash)

    def _object_load(
        self,
        obj: str,
        collection: str | None,
        revision: str | None,
        download_only: bool = False,
        check_hash: bool = True,
        *,
        revision_policy: RevisionPolicy = "last_before",
        qc: int | str | QC = QC.FAIL,
        ignore_qc_not_set: bool = False,
        warn_of_rows: bool = True,
        **parts: Any,
    ) -> Load:
        """Return what `load_object` does with each session; `warn_of_rows=False` does not warn of rows that do not agree."""
        how = SelectionOptions(self.wildcards, revision_policy, qc, ignore_qc_not_set)

        def choice(rows: pl.DataFrame) -> pl.DataFrame:
            return selection.one_object(rows, obj, collection, revision, how, **parts)

        def finish(job: Job) -> Any:
            files = [file for file in job.files if file]
            if not files:
                raise ALFObjectNotFound(f"no file of the object {obj!r} is on disk", object=obj)
            return files if download_only else self._make_object(files, warn_of_rows=warn_of_rows)

        return Load(choice, finish)

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
        """
        how = SelectionOptions(self.wildcards, revision_policy, qc, ignore_qc_not_set)

        def choice(rows: pl.DataFrame) -> pl.DataFrame:
            return selection.whole_collection(rows, collection, object, revision, how, **parts)

        def finish(job: Job) -> Any:
            files = [file for file in job.files if file]
            if not files:
                raise ALFObjectNotFound(
                    f"no file of the collection {collection!r} is on disk", collection=collection
                )
            if download_only:
                return files
            groups: dict[str, list[ALFPath]] = {}
            for file in files:
                groups.setdefault(file.object, []).append(file)
            return {name: self._make_object(members) for name, members in groups.items()}

        return await self._for_each(eid, Load(choice, finish), query_type, check_hash)

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

        `datasets` are names, mappings of ALF parts, paths below the session as `list_datasets` gives them, or its frame.
        `collections` and `revisions` are one for all or a list, one for each. What is missing raises ALFObjectNotFound, or
        with ``assert_present=False`` is None in both lists.
        """
        if isinstance(datasets, str):
            raise InputError.of("datasets", datasets, "a list of names; load_dataset takes one")
        how = SelectionOptions(self.wildcards, revision_policy, qc, ignore_qc_not_set)

        def each_of(rows: pl.DataFrame) -> list[pl.DataFrame]:
            return selection.many_datasets(rows, datasets, collections, revisions, how)

        def choice(rows: pl.DataFrame) -> pl.DataFrame:
            import polars as pl

            found = each_of(rows)
            if not all(row.height for row in found):
                warn_missing(
                    f"not among the session's datasets: {selection.describe_missing(datasets, found)}",
                    assert_present,
                )
            numbered = [row.with_columns(pl.lit(at).alias(PLACE)) for at, row in enumerate(found)]
            return pl.concat([*numbered, rows.clear().with_columns(pl.lit(0).alias(PLACE))])

        def finish(job: Job) -> tuple[list[Any], list[Any]]:
            if absent := [
                row["rel_path"] for row, file in zip(job.records, job.files, strict=True) if not file
            ]:
                warn_missing(f"not on disk: {', '.join(absent)}", assert_present)
            data: list[Any] = [None] * len(datasets)
            records: list[Any] = [None] * len(datasets)
            for row, file in zip(job.records, job.files, strict=True):
                at = row[PLACE]
                records[at] = {
                    name: value for name, value in row.items() if name not in (PLACE, SESSION_PATH)
                }
                if file is not None:
                    data[at] = file if download_only else self._read(file)
            return data, records

        return await self._for_each(eid, Load(choice, finish, each_of), query_type, check_hash)

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
        """Return ``(eid, object)`` of each session as they arrive, in any order; `options` are those of `load_object`.

        At most `at_once` sessions are under way or waiting to be taken, so that a slow consumer holds back the network.
        The first error ends the iteration, or with ``on_error="collect"`` a session that cannot be loaded gives, in place
        of the object, a table of its errors, which `retry` takes.
        """
        check_on_error(on_error)
        if not isinstance(at_once, int) or at_once < 1:
            raise InputError.of("at_once", at_once, "a whole number of at least 1")
        await self.load_object([], obj, query_type=query_type, **options)  # refuses wrong filters at once
        known, _ = await self._known_eids(ids.as_many(eids), query_type)

        async def load(eid: str) -> Any:
            try:
                return await self.load_object(eid, obj, query_type=query_type, **options)
            except InputError:
                raise
            except OneError as error:
                if on_error == "raise":
                    raise
                return await run_polars(outcome_frame, error_rows(eid, obj, error))

        if self._group is None:  # not opened with `async with`: no place for tasks that outlive a step
            for start in range(0, len(known), at_once):
                batch = known[start : start + at_once]
                loaded, _ = await each(len(batch), lambda index, batch=batch: load(batch[index]))  # type: ignore[misc]
                for index, eid in enumerate(batch):
                    yield UUID(eid), loaded[index]
            return
        send, receive = anyio.create_memory_object_stream[tuple[str, Any]](0)
        scope = anyio.CancelScope()
        self._group.start_soon(self._load_into, send, scope, known, at_once, load)
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
        """Send what each session gives, or its error, which must not reach the group of the whole client."""
        limiter = anyio.CapacityLimiter(at_once)

        async def one(eid: str) -> None:
            async with limiter:
                try:
                    outcome = await load(eid)
                except Exception as error:
                    outcome = error
                with suppress(anyio.BrokenResourceError):  # nobody takes any more
                    await send.send((eid, outcome))

        with scope, send:
            async with self._showing(), anyio.create_task_group() as loads:
                for eid in eids:
                    loads.start_soon(one, eid)

    @one_answer
    async def _for_each(
        self,
        eid: SessionLike | Several[SessionLike],
        load: Load,
        query_type: Mode | None,
        check_hash: bool,
    ) -> Any:
        """Load from each session that is named, and give the results in the shape of the names."""
        if not self._is_local(query_type):
            await run_polars(load.check)  # before any request
        eids, rebuild = await self._known_eids(eid, query_type)
        results, _ = await self._load_each(eids, load, query_type, check_hash)
        return rebuild([results[index] for index in range(len(eids))])

    async def _load_each(
        self,
        eids: Sequence[str],
        load: Load,
        query_type: Mode | None,
        check_hash: bool,
        on_error: OnError = "raise",
    ) -> tuple[dict[int, Any], dict[int, OneError]]:
        """Load from sessions: what each gave, and the errors, by place.

        A batch of sessions is looked up, and what is on disk is read, in one trip to a thread.
        """
        mode = self._check_mode(query_type)
        if not eids:
            await run_polars(load.check)
            return {}, {}
        source = await self._source(mode)
        jobs = [Job(at, eid) for at, eid in enumerate(eids)]
        batches = [jobs[start : start + BATCH] for start in range(0, len(jobs), BATCH)]
        at_hand = self._at_hand(mode, check_hash)

        async def one(index: int) -> None:
            batch = batches[index]

            def begin(found: dict[str, SessionDatasets]) -> None:
                for job in batch:
                    with job.failing(on_error):
                        job.look_up(found, load)
                        job.files, job.unknown = at_hand(job.records)
                read_jobs([job for job in batch if not job.unknown], load, on_error)

            await source.datasets(list(dict.fromkeys(job.eid for job in batch)), begin)
            await self._fetch_jobs([job for job in batch if job.unknown], check_hash, on_error)
            while rest := [job for job in batch if not job.is_over]:
                await run_polars(read_jobs, rest, load, on_error, True)

        async with self._showing():
            await each(len(batches), one, at_once=BATCHES_AT_ONCE)
        if self.record_loaded:
            self._tables.record(did for job in jobs for did in job.loaded_ids)
        return {job.at: job.result for job in jobs if not job.error}, {
            job.at: job.error for job in jobs if job.error
        }

    async def _fetch_jobs(self, jobs: list[Job], check_hash: bool, on_error: OnError) -> None:
        """Fetch the files of jobs that are not on disk."""
        if not jobs:
            return
        wanted = [job.records[at] for job in jobs for at in job.unknown]
        outcomes = iter(await self._fetch(wanted, check_hash, collect=True))
        for job in jobs:
            own = [next(outcomes) for _ in job.unknown]
            with job.failing(on_error):
                raise_first(own)
                for at, outcome in zip(job.unknown, own, strict=True):
                    job.files[at] = path_of(outcome)
            job.unknown = []


async def each(
    count: int,
    load: Callable[[int], Awaitable[Any]],
    on_error: OnError = "raise",
    at_once: int = SESSIONS_AT_ONCE,
) -> tuple[dict[int, Any], dict[int, OneError]]:
    """Do something for each of so many sessions, several at once: what it gave, and the errors, by place.

    The first error ends the whole with ``on_error="raise"``. A wrong argument always does.
    """
    results: dict[int, Any] = {}
    errors: dict[int, OneError] = {}
    limiter = anyio.CapacityLimiter(at_once)

    async def one(index: int) -> None:
        async with limiter:
            try:
                results[index] = await load(index)
            except InputError:
                raise
            except OneError as error:
                if on_error == "raise":
                    raise
                errors[index] = error

    await run_all(one, [(index,) for index in range(count)])
    return {index: results[index] for index in sorted(results)}, {
        index: errors[index] for index in sorted(errors)
    }
