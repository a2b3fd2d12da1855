"""Many sessions at once: one frame of all, downloads, and frozen sets of files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

from one_async import ids
from one_async._arguments import path_of
from one_async._threads import run_polars, run_sync
from one_async._warnings import warnings_name
from one_async.alf.session_paths import describe, session_folder
from one_async.alf.spec import QC
from one_async.client.call import Call, public_methods
from one_async.client.datafiles import DataFiles
from one_async.client.identify import known_eids
from one_async.client.jobs import Job, load_each
from one_async.client.load import object_load
from one_async.client.outcomes import (
    COLUMNS,
    OnError,
    check_on_error,
    error_rows,
    frames_html,
    frames_text,
    outcome_frame,
    rows_of,
)
from one_async.client.rows import folder_of, rows_of_ids, with_paths
from one_async.errors import ALFError, ALFObjectNotFound, InputError
from one_async.files.join import joined, owned
from one_async.queries.selection import SelectionOptions

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import polars as pl

    from one_async.alf.match import Filename, Pattern
    from one_async.client.context import Context
    from one_async.queries.base import SessionDatasets
    from one_async.types import Mode, RevisionPolicy, SessionLike, Several


class Loaded(NamedTuple):
    """Result of `load_many` with ``on_error="collect"``.

    Examples:
        >>> eids = await one.search(datasets="spikes.times.npy")
        >>> trials, errors = await one.load_many(eids, "trials", on_error="collect")
        >>> trials["eid"].n_unique(), errors.height
        (4, 0)
    """

    frame: pl.DataFrame
    """The rows of all sessions that could be loaded."""
    errors: pl.DataFrame
    """The datasets that could not be loaded: eid, did, dataset, status, path, bytes, error; `retry` accepts it."""

    def __repr__(self) -> str:
        return frames_text("Loaded", self._asdict())

    def _repr_html_(self) -> str:
        return frames_html("Loaded", self._asdict(), self.errors)


@public_methods(ended_by_closing=True)
class ManySessions:
    """The methods for many sessions at once."""

    _context: Context

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
    ) -> pl.DataFrame: ...
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
    async def load_many(
        self,
        /,
        eids: SessionLike | Several[SessionLike],
        obj: str,
        collection: str | None = None,
        revision: str | None = None,
        query_type: Mode | None = None,
        *,
        on_error: OnError = "raise",
        executor: Executor | None = None,
        **options: Any,
    ) -> pl.DataFrame | Loaded:
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
        check_on_error(on_error)
        call = Call(self._context, query_type)
        if options.get("download_only"):
            raise InputError.of("download_only", True, "False; download() fetches without reading")
        # Attributes with different numbers of rows make no frame, so this is an error here.
        wanted = object_load(self._context, obj, collection, revision, **{**options, "warn_of_rows": False})
        check_hash = options.get("check_hash", True)
        known, _ = await known_eids(call, ids.as_many(eids))
        if executor is not None:
            given = (obj, collection, revision, query_type)
            return await _load_in_workers(self._context, executor, known, given, on_error, options)

        def frame_of(job: Job) -> pl.DataFrame:
            return owned(wanted.finish(job), obj, eid=job.eid)

        frames, errors = await load_each(call, known, wanted._replace(finish=frame_of), check_hash, on_error)
        frame, refused = await run_polars(joined, list(frames.values()))
        places = list(frames)
        errors.update((places[at], error) for at, error in refused.items())
        if on_error == "raise":
            if errors:
                raise errors[min(errors)]
            return frame
        rows = [row for at in sorted(errors) for row in error_rows(known[at], obj, errors[at])]
        return Loaded(frame, await run_polars(outcome_frame, rows))

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
        qc: int | str | QC = QC.FAIL,
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
        check_on_error(on_error)
        call = Call(self._context, query_type)
        how = SelectionOptions(self._context.wildcards, revision_policy, qc, ignore_qc_not_set)
        if not dry_run:
            self._context.needs_files("download")
        filters = {"filename": filename, "collection": collection, "revision": revision}
        records = await _chosen_rows(call, eids, filters, how)
        if dry_run:
            from one_async.transfer.fetch import survey

            plan = await DataFiles(self._context).plan(records)
            outcomes = await survey(plan, root=self._context.cache_dir, check_hash=check_hash)
        else:
            outcomes = await DataFiles(self._context).fetch(
                records, check_hash, collect=on_error == "collect"
            )
        return await run_polars(lambda: outcome_frame(outcome.row() for outcome in outcomes))

    async def retry(self, table: pl.DataFrame, check_hash: bool = True) -> pl.DataFrame:
        """Fetch the datasets of a table of errors again; return the same table with the new outcome of each row.

        With ``check_hash=False`` a file is accepted even if the database has another hash or size for it.

        Rows without a dataset (for example of a session without the requested object) and additional columns stay as they
        are.

        Examples:
            >>> files = await one.download([eid], "_ibl_wheel.*", on_error="collect")
            >>> files = await one.retry(files)
            >>> files["error"].is_null().all()
            True
        """
        self._context.needs_files("retry")
        accepted = "a table from load_many or download"
        rows = await run_polars(rows_of, table, "table", ("did", "status"), accepted)
        dids = {row["did"] for row in rows if row["did"] and row["status"] not in ("fetched", "present")}
        mode: Mode | None = None if self._context.settings.cache_bucket else "remote"
        known = await rows_of_ids(Call(self._context, mode), sorted(dids))
        outcomes = await DataFiles(self._context).fetch(list(known.values()), check_hash, collect=True)
        again = {outcome.did: outcome.row() for outcome in outcomes}
        owner = [name for name in table.columns if name not in COLUMNS]
        rows = [{**row, **again.get(row["did"], {})} for row in rows]
        return await run_polars(outcome_frame, rows, *owner)

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
        qc: int | str | QC = QC.FAIL,
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
        from one_async.frozen import write_frozen

        call = Call(self._context, query_type)
        how = SelectionOptions(self._context.wildcards, revision_policy, qc, ignore_qc_not_set)
        if hasattr(eids, "columns"):
            records = await _frame_rows(call, eids)
        else:
            filters = {"filename": filename, "collection": collection, "revision": revision}
            records = await _chosen_rows(call, eids, filters, how)
        for row in records:
            if row["session_path"] is None:
                session_folder(row)  # raises, naming the session
        source = await call.source()
        sessions = await source.sessions(
            sorted({row["eid"] for row in records}), lambda frame: list(frame.iter_rows(named=True))
        )
        target = path_of(file, "file")
        origin = self._context.settings.base_url
        await run_sync(write_frozen, target, origin, sessions, records)
        return target


async def _load_in_workers(
    context: Context,
    executor: Executor,
    known: list[str],
    given: tuple[Any, ...],
    on_error: OnError,
    options: Mapping[str, Any],
) -> pl.DataFrame | Loaded:
    """Load the sessions in the workers of an executor, a few at a time."""
    from one_async.client.executors import load_in_workers

    done = await load_in_workers(context, executor, known, given, {"on_error": on_error, **options})

    def join() -> tuple[pl.DataFrame, dict[str, ALFError]]:
        parts = [part if on_error == "raise" else part.frame for part in done]
        frames = [one for part in parts for one in part.partition_by("eid", maintain_order=True)]
        frame, refused = joined(frames)
        return frame, {frames[at]["eid"][0]: error for at, error in refused.items()}

    frame, refused = await run_polars(join)
    if on_error == "raise":
        for error in refused.values():
            raise error
        return frame

    def errors() -> pl.DataFrame:
        rows = [row for part in done for row in part.errors.iter_rows(named=True)]
        rows += [row for eid, error in refused.items() for row in error_rows(eid, given[0], error)]
        return outcome_frame(rows)

    return Loaded(frame, await run_polars(errors))


def _is_row(value: object) -> bool:
    """Return whether this is a row of the datasets table, or of a table that `download` returned."""
    return isinstance(value, Mapping) and not {"did", "rel_path"}.isdisjoint(value)


async def _record_rows(call: Call, records: list[Any]) -> list[dict[str, Any]]:
    """Return rows of the datasets table for rows and for records of the database, each with its session's path."""
    from one_async.queries.rows import record_row

    rows = await with_paths(call, [record_row(one, "eids") for one in records if not _is_row(one)])
    dids = [str(ids.dataset_id(one, "eids")) for one in records if _is_row(one)]
    known = await rows_of_ids(call, dids) if dids else {}
    if unknown := [did for did in dids if did not in known]:
        raise ALFObjectNotFound(f"no dataset has the id {unknown[0]}", did=unknown[0])
    by_record, by_did = iter(rows), iter(dids)
    return [known[next(by_did)] if _is_row(one) else next(by_record) for one in records]


async def _frame_rows(call: Call, frame: Any) -> list[dict[str, Any]]:
    accepted = "sessions, or a frame of datasets with its did and eid columns"
    rows = await run_polars(rows_of, frame, "eids", ("did", "eid"), accepted)
    source = await call.source()
    wanted = {str(row["did"]) for row in rows}

    def choose(found: dict[str, SessionDatasets]) -> list[dict[str, Any]]:
        return _located(
            one._replace(datasets=[row for row in one.datasets if row["did"] in wanted])
            for one in found.values()
        )

    return await source.datasets(list(dict.fromkeys(str(row["eid"]) for row in rows)), choose)


async def _chosen_rows(
    call: Call,
    eids: SessionLike | Several[SessionLike],
    filters: Mapping[str, Any],
    how: SelectionOptions,
) -> list[dict[str, Any]]:
    choice = how.filter(**filters).choose
    given = ids.as_many(eids)
    if records := [one for one in given if ids.is_dataset_record(one) or _is_row(one)]:
        if len(records) < len(given) or any(value is not None for value in filters.values()):
            raise InputError.of("eids", eids, "sessions with filters, or records of datasets without any")
        return await _record_rows(call, records)
    known, _ = await known_eids(call, given)
    source = await call.source()
    unique = list(dict.fromkeys(known))

    def chosen(session: SessionDatasets) -> SessionDatasets:
        with warnings_name(describe(session.session)):
            return session._replace(datasets=choice(session.datasets))

    def choose(found: dict[str, SessionDatasets]) -> list[dict[str, Any]]:
        if missing := [eid for eid in unique if eid not in found]:
            raise ALFObjectNotFound(f"no session has the id {missing[0]}", eid=missing[0])
        return _located(chosen(found[eid]) for eid in unique)

    return await source.datasets(unique, choose)


def _located(sessions: Iterable[SessionDatasets]) -> list[dict[str, Any]]:
    """Return the rows of datasets with their session's path, or with the session's row where the path is not known."""
    return [
        {**row, **place}
        for session in sessions
        for place in [folder_of(session.session)]
        for row in session.datasets
    ]
