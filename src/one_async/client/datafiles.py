"""Files of datasets: find them on disk, fetch missing ones, read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast
from uuid import NAMESPACE_URL, uuid5

from one_async._threads import run_many, run_sync
from one_async._warnings import warn
from one_async.alf.path import ALFPath
from one_async.alf.session_paths import is_id
from one_async.client.outcomes import raise_first
from one_async.errors import (
    ALFObjectNotFound,
    LoginError,
    NotFound,
    ServerError,
    ServerUnreachable,
    StatusError,
    TransferError,
)

if TYPE_CHECKING:
    from one_async._progress import Transfers
    from one_async.client.call import Call
    from one_async.client.context import Context
    from one_async.files.objects import ALFObject
    from one_async.transfer.fetch import Outcome
    from one_async.transfer.items import FileSource
    from one_async.transfer.plan import Plan
    from one_async.transfer.ranges import RangeReader
    from one_async.transfer.web import Credentials
    from one_async.types import StreamOpener

#: Finds the files of records on disk: their paths, and the positions of those that must be fetched.
AtHand: TypeAlias = "Callable[[Sequence[Mapping[str, Any]]], tuple[list[ALFPath | None], list[int]]]"
#: Files that are fetched at once.
FILES_AT_ONCE = 16


class DataFiles:
    """Find, fetch and read the files of rows of the datasets table."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def of_rows(
        self, call: Call, records: Sequence[Mapping[str, Any]], check_hash: bool
    ) -> list[ALFPath | None]:
        """Return the local path of each row's file and fetch missing files. None for a file that is not available.

        The rows have their session's path.
        """
        files, unknown = await run_sync(self.at_hand(call, check_hash), records)
        if unknown:
            outcomes = await self.fetch([records[at] for at in unknown], check_hash)
            for at, outcome in zip(unknown, outcomes, strict=True):
                files[at] = path_of(outcome)
        if self._context.record_loaded:
            self._context.tables.record(
                [row["did"] for row, file in zip(records, files, strict=True) if file]
            )
        return files

    def at_hand(self, call: Call, check_hash: bool) -> AtHand:
        """Return a function that finds files on disk; it runs in a thread.

        It returns the paths, and the positions of the files that must be fetched. If nothing can be fetched, it warns of
        files that differ from the tables.
        """
        from one_async.transfer import on_disk

        context = self._context
        is_local = context.bucket is None and (
            context.offline or (call.mode == "local" and context.frozen is None)
        )
        is_watched = context.progress is not None  # progress counts files that are here, too
        root, uuid_filenames = _root_of(context.cache_dir), context.uuid_filenames

        def look(records: Sequence[Mapping[str, Any]]) -> tuple[list[ALFPath | None], list[int]]:
            if is_watched and not is_local:
                return [None] * len(records), list(range(len(records)))
            rows = [row if is_id(row["did"]) else {**row, "did": _plan_id(row["did"])} for row in records]
            files = on_disk.expected_files(rows, uuid_filenames=uuid_filenames, written=not is_local)
            if is_local:
                return on_disk.find_local(files, root, check_hash), []
            found = on_disk.at_hand(files, root, check_hash)
            return found, [at for at, file in enumerate(found) if file is None]

        return look

    async def plan(
        self,
        records: Sequence[Mapping[str, Any]],
        change: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
        repositories: Iterable[Mapping[str, Any]] = (),
    ) -> Plan:
        """Plan the downloads of records. ``change`` is applied to each first. Many records are planned in a thread."""
        from one_async.transfer.plan import make_plan

        settings, bucket = self._context.settings, self._context.bucket

        def make() -> Plan:
            return make_plan(
                map(change or (_with_address if bucket is None else _row_alone), records),
                data_server=settings.data_server,
                base_url=settings.base_url,
                repositories=repositories,
                uuid_filenames=self._context.uuid_filenames,
                s3_endpoint=settings.s3_endpoint,
                bucket=bucket,
                on_error="collect",
            )

        return await run_many(len(records), make)

    async def fetch(
        self, records: Sequence[Mapping[str, Any]], check_hash: bool, *, collect: bool = False
    ) -> list[Outcome]:
        """Fetch missing files. If the first address fails, those of the database's file records are tried.

        Raises the first error; with `collect`, errors stay in the outcomes.
        """
        asks = self._context.bucket is None
        async with self._context.showing() as transfers:
            plan = await self.plan(records)
            unknown = {item.did for item in plan.items if asks and not item.sources and not item.error}
            if unknown:
                plan = await self._replanned(records, unknown)
            outcomes = await self._transfer(plan, check_hash, transfers)
            failed = {outcome.did for outcome in outcomes if asks and _elsewhere(outcome)} - unknown
            if failed:
                again = await self._fetch_elsewhere(records, outcomes, failed, check_hash, transfers)
                outcomes = [again.get(outcome.did, outcome) for outcome in outcomes]
        if not collect:
            raise_first(outcomes)
        return outcomes

    async def _fetch_elsewhere(
        self,
        records: Sequence[Mapping[str, Any]],
        outcomes: Sequence[Outcome],
        failed: set[str],
        check_hash: bool,
        transfers: Transfers | None,
    ) -> dict[str, Outcome]:
        """Fetch files again from the other addresses that the database has for them.

        If the database cannot be asked, the first errors, which name the files, stay, and note that.
        """
        try:
            second = await self._replanned([record for record in records if record["did"] in failed], failed)
        except ServerError as error:
            for outcome in outcomes:
                if outcome.did in failed and outcome.error:
                    outcome.error.add_note(f"the database was asked for other addresses: {error}")
            return {}
        return {outcome.did: outcome for outcome in await self._transfer(second, check_hash, transfers)}

    async def _transfer(self, plan: Plan, check_hash: bool, transfers: Transfers | None) -> list[Outcome]:
        from one_async.transfer.fetch import fetch

        context = self._context
        return await fetch(
            plan,
            root=_root_of(context.cache_dir),
            streams=self._streams,
            limit=FILES_AT_ONCE,
            check_hash=check_hash,
            progress=transfers or context.progress,
            on_error="collect",
            credentials=self._credentials(),
            observer=context.observer,
        )

    @property
    def _streams(self) -> StreamOpener:
        """The HTTP client of files. A bucket's files need none."""
        return cast("Any", None) if self._context.bucket is not None else self._context.alyx.wire

    def _credentials(self) -> Credentials:
        from one_async.transfer.web import Credentials

        settings = self._context.settings
        login, password = settings.data_server_login, settings.data_server_password
        return Credentials(data=(login, password.get_secret_value()) if login and password else None)

    async def range_reader(self, record: Mapping[str, Any]) -> RangeReader:
        """Return a reader of ranges of a record's file. If its address fails, the database is asked for others."""
        from one_async.transfer.ranges import RangeReader

        async def more() -> Sequence[FileSource]:
            return (await self._replanned([record], {record["did"]})).items[0].sources

        (item,) = (await self.plan([record])).items
        if item.error:
            raise item.error
        context = self._context
        others = more if context.bucket is None else None
        return RangeReader(
            self._streams, item.sources, self._credentials(), others, observer=context.observer
        )

    async def _replanned(self, records: Sequence[Mapping[str, Any]], dids: set[str]) -> Plan:
        """Plan again with all addresses that the database has for some datasets, including S3 buckets."""
        known: dict[str, Mapping[str, Any]] = {}
        for row in await self._context.remote().dataset_records(sorted(dids)):
            known[row["url"][-36:]] = row
        files = [one for row in known.values() for one in row["file_records"] or ()]
        repositories = []
        if any(str(one["data_repository"]).startswith("aws") for one in files):
            repositories = await self._context.alyx.rest("data-repository", "list")

        def change(record: Mapping[str, Any]) -> Mapping[str, Any]:
            if record["did"] in known:
                return {**record, "file_records": known[record["did"]]["file_records"]}
            return _with_address(record)

        return await self.plan(records, change, repositories)

    def read(self, file: ALFPath) -> Any:
        """Return the content of a file."""
        from one_async.files.read import read_file

        return read_file(file, tables=self._context.table_kind)

    def make_object(self, files: Sequence[ALFPath], *, warn_of_rows: bool = True) -> ALFObject:
        """Return the ALF object that consists of these files."""
        from one_async.files.objects import make_object

        return make_object(files, tables=self._context.table_kind, warn_of_rows=warn_of_rows)


@lru_cache(maxsize=16)
def _root_of(folder: Path) -> ALFPath:
    """Return the cache folder as an ALF path, of which the paths of data files are made."""
    return ALFPath(folder)


def _plan_id(did: str) -> str:
    """Return a UUID for a dataset whose id is its path, since plans need one; a file on disk is identified by its path."""
    return did if is_id(did) else str(uuid5(NAMESPACE_URL, did))


def _with_address(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Remove an unknown address, so that the plan composes one with the data server."""
    return {name: value for name, value in record.items() if name != "data_url" or value}


def _row_alone(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a record as the tables have it, without addresses."""
    plain = {name: value for name, value in record.items() if name not in ("data_url", "file_records")}
    return {**plain, "did": _plan_id(record["did"])}


def _elsewhere(outcome: Outcome) -> bool:
    """Return whether another address may have the file that this one did not send."""
    return isinstance(outcome.error, LoginError | NotFound | ServerUnreachable | StatusError | TransferError)


def path_of(outcome: Outcome) -> ALFPath | None:
    """Return the path of an outcome's file."""
    path = outcome.path
    return path if path is None or isinstance(path, ALFPath) else ALFPath(path)


def warn_missing(message: str, assert_present: bool) -> None:
    """Raise ALFObjectNotFound for datasets that must be present, else warn."""
    if assert_present:
        raise ALFObjectNotFound(message)
    warn(message)
