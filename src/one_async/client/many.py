"""Many sessions at once: one frame of all, spike sorting with its regions, downloads, and sets of files that stay the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, overload

import anyio
import anyio.to_thread

from .. import ids
from ..alf.match import resolve
from ..errors import ALFObjectNotFound, InputError, OneError
from ..ids import session_folder
from ..sources.base import first_error
from .core import one_answer
from .load import SESSIONS_AT_ONCE
from .records import Records

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import polars as pl

    from ..alf.match import Filename, Pattern
    from ..transfer.fetch import Outcome
    from ..types import Mode, RevisionPolicy, SessionLike, Several

OnError = Literal["raise", "collect"]


class Loaded(NamedTuple):
    """What `load_many` gives with ``on_error="collect"``."""

    frame: pl.DataFrame
    """The rows of all sessions that could be loaded."""
    errors: pl.DataFrame
    """What could not: eid, did, dataset, status, path, bytes, error; `retry` takes it."""


class Many(Records):
    """The methods for many sessions at once."""

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
    @one_answer
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

        Rows come in the order of the sessions and then in their own. A column that a session lacks is null there; columns of
        different types take the wider one; arrays of several columns become ``name_0``, ``name_1``. `options` are those of
        `load_object`.

        Errors of single sessions end the whole with ``on_error="raise"``; with ``"collect"`` they are gathered, and what comes
        back is `Loaded`: the frame and a table of errors.

        With an `executor` (a process pool, or a Dask client's ``get_executor()``) the sessions are loaded there, some at a
        time; the workers find credentials in their own environment or settings.
        """
        _check_on_error(on_error)
        known, _ = await self._known_eids(ids.as_many(eids), query_type)
        if executor is not None:
            from .elsewhere import load_elsewhere

            given = (obj, collection, revision, query_type)
            done = await load_elsewhere(self, executor, known, given, {"on_error": on_error, **options})
            parts = [part if on_error == "raise" else part.frame for part in done]
            frame = await anyio.to_thread.run_sync(_concatenated, parts)
            if on_error == "raise":
                return frame
            failed = [row for part in done for row in part.errors.iter_rows(named=True)]
            return Loaded(frame, _outcome_frame(failed))
        frames: dict[int, pl.DataFrame] = {}
        errors: list[dict[str, Any]] = []
        limiter = anyio.CapacityLimiter(SESSIONS_AT_ONCE)

        async def one(index: int) -> None:
            async with limiter:
                try:
                    data = await self.load_object(
                        known[index], obj, collection, revision, query_type, **options
                    )
                    frames[index] = await anyio.to_thread.run_sync(_with_eid, data, known[index])
                except OneError as error:
                    if on_error == "raise":
                        raise
                    errors.append(_error_row(known[index], obj, error))

        await _all_of(one, range(len(known)))
        frame = await anyio.to_thread.run_sync(_concatenated, [frames[index] for index in sorted(frames)])
        return Loaded(frame, _outcome_frame(errors)) if on_error == "collect" else frame

    @one_answer
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
    ) -> pl.DataFrame:
        """Fetch all datasets of sessions that match, without reading them; filters as in `list_datasets`.

        With `dry_run` nothing is fetched: the table says what would be (status ``absent``), of how many bytes, and what is
        there (``present``). Returns a table with a row for each file: eid, did, dataset, status, path, bytes, error.
        """
        _check_on_error(on_error)
        records = await self._chosen_rows(eids, filename, collection, revision, query_type, revision_policy)
        if dry_run:
            from ..transfer.fetch import survey

            plan = self._plan([_addressed(record) for record in records])
            outcomes = await survey(plan, root=self.cache_dir, check_hash=check_hash)
        else:
            self._needs_database("download")
            outcomes = await self._fetch(records, check_hash, collect=on_error == "collect")
        return _outcomes(outcomes)

    async def retry(self, table: pl.DataFrame, check_hash: bool = True) -> pl.DataFrame:
        """Fetch again what a table of errors names; gives the same table with what became of each row this time.

        Rows that name no dataset (of a session without the object that was asked for, say) stay as they are.
        """
        self._needs_database("retry")
        if not hasattr(table, "columns") or not {"did", "status"} <= set(table.columns):
            raise InputError.of("table", table, "a table as load_many and download give it")
        rows = list(table.iter_rows(named=True))
        dids = [row["did"] for row in rows if row["did"] and row["status"] not in ("fetched", "present")]
        known = await self._rows_of(dids, "remote")
        outcomes = await self._fetch([known[did] for did in dids if did in known], check_hash, collect=True)
        again = {outcome.did: outcome.row() for outcome in outcomes}
        return _outcome_frame([again.get(row["did"], row) if row["did"] in dids else row for row in rows])

    @one_answer
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
    ) -> Path:
        """Write down exactly which files of which sessions are meant: ids, paths, sizes, hashes, revisions, origin.

        `eids` are sessions, filtered as in `list_datasets`, or a frame of datasets that `list_datasets` gave (with its eid
        column). `from_frozen(file)` loads exactly those files, whatever the database says by then.
        """
        import polars as pl

        from ..frozen import write_frozen

        if isinstance(eids, pl.DataFrame):
            records = await self._frame_rows(eids, query_type)
        else:
            records = await self._chosen_rows(
                eids, filename, collection, revision, query_type, revision_policy
            )
        source = await self._source(query_type)
        sessions = await source.sessions(sorted({row["eid"] for row in records}))
        target = Path(file)
        origin = self.settings.base_url
        await anyio.to_thread.run_sync(
            write_frozen, target, origin, list(sessions.iter_rows(named=True)), records
        )
        return target

    @classmethod
    def from_frozen(cls, file: str | Path, **options: Any) -> Self:
        """Make a client for a frozen set: it finds and loads exactly the files that `freeze` wrote down.

        `options` are those of the constructor. Files that are not on disk come from the database they were frozen from; one
        whose bytes have changed there raises HashMismatch.
        """
        return cls(frozen=file, **options)

    async def _frame_rows(self, frame: pl.DataFrame, query_type: Mode | None) -> list[dict[str, Any]]:
        if not {"did", "eid"} <= set(frame.columns):
            raise InputError.of(
                "eids", frame, "sessions, or a frame of datasets with its did and eid columns"
            )
        source = await self._source(query_type)
        wanted = set(frame["did"])
        found = await source.datasets(frame["eid"].unique(maintain_order=True).to_list())
        return [row for row in _located(found.values()) if row["did"] in wanted]

    async def _chosen_rows(
        self,
        eids: SessionLike | Several[SessionLike],
        filename: Filename,
        collection: Pattern,
        revision: Pattern,
        query_type: Mode | None,
        policy: RevisionPolicy,
    ) -> list[dict[str, Any]]:
        known, _ = await self._known_eids(ids.as_many(eids), query_type)
        source = await self._source(query_type)
        unique = list(dict.fromkeys(known))
        found = await source.datasets(unique)
        if missing := [eid for eid in unique if eid not in found]:
            raise ALFObjectNotFound(f"no session has the id {missing[0]}", eid=missing[0])

        def choose() -> list[dict[str, Any]]:
            chosen = [
                found[eid]._replace(
                    datasets=resolve(
                        found[eid].datasets,
                        filename,
                        collection,
                        revision,
                        wildcards=self.wildcards,
                        policy=policy,
                    )
                )
                for eid in unique
            ]
            return _located(chosen)

        return await anyio.to_thread.run_sync(choose)


async def _all_of(function: Any, items: Iterable[Any]) -> None:
    try:
        async with anyio.create_task_group() as group:
            for item in items:
                group.start_soon(function, item)
    except BaseExceptionGroup as error:
        raise first_error(error) from None


def _located(sessions: Iterable[Any]) -> list[dict[str, Any]]:
    """Give the rows of datasets with their session's path."""
    return [
        {**row, "session_path": session_folder(session.session)}
        for session in sessions
        for row in session.datasets.iter_rows(named=True)
    ]


def _addressed(record: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in record.items() if name != "data_url" or value}


def _check_on_error(on_error: str) -> None:
    if on_error not in ("raise", "collect"):
        raise InputError.of("on_error", on_error, ("raise", "collect"))


def _with_eid(data: Any, eid: str) -> pl.DataFrame:
    import polars as pl

    frame: pl.DataFrame = data.to_frame()
    return frame.select(pl.lit(eid).alias("eid"), *frame.columns)


def _concatenated(frames: list[pl.DataFrame]) -> pl.DataFrame:
    import polars as pl

    if not frames:
        return pl.DataFrame(schema={"eid": pl.String})
    return pl.concat(frames, how="diagonal_relaxed", rechunk=True)


OUTCOME_COLUMNS = ("eid", "did", "dataset", "status", "path", "bytes", "error")


def _error_row(eid: str, obj: str, error: OneError) -> dict[str, Any]:
    return {
        "eid": eid,
        "did": getattr(error, "did", None),
        "dataset": getattr(error, "dataset", None) or obj,
        "status": "failed",
        "path": str(getattr(error, "path", "") or "") or None,
        "bytes": 0,
        "error": f"{type(error).__name__}: {error}",
    }


def _outcome_frame(rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    import polars as pl

    schema = {name: pl.Int64 if name == "bytes" else pl.String for name in OUTCOME_COLUMNS}
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


def _outcomes(outcomes: Iterable[Outcome]) -> pl.DataFrame:
    return _outcome_frame([outcome.row() for outcome in outcomes])
