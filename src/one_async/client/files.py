"""The files behind datasets: which are here, which must be fetched, and what is in them."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

import anyio
import anyio.to_thread

from ..alf.path import ALFPath
from ..alf.session import other_spellings, session_folder, session_part
from ..errors import (
    ALFInvalid,
    ALFMultipleObjectsFound,
    ALFObjectNotFound,
    ALFWarning,
    LoginError,
    NotFound,
    ServerUnreachable,
    StatusError,
    TransferError,
    UnsafePath,
)
from ..tables.ids import as_uuid
from .listing import FEW, Listing
from .outcomes import raise_first

if TYPE_CHECKING:
    import polars as pl

    from ..files.objects import ALFObject
    from ..sources.base import SessionDatasets
    from ..transfer.fetch import Outcome
    from ..transfer.plan import Item, Plan
    from ..types import Mode

#: How many files are fetched at once.
FILES_AT_ONCE = 16


class Files(Listing):
    """Fetching and reading the files that rows of the datasets table stand for."""

    async def _files(
        self, session: SessionDatasets, rows: pl.DataFrame, mode: Mode, check_hash: bool
    ) -> list[ALFPath | None]:
        """Give the local path of each row's file, fetched first if need be; None for what is neither here nor online."""
        folder = session_folder(session.session)
        records = [{**row, "session_path": folder} for row in rows.iter_rows(named=True)]
        return await self._files_of_rows(records, mode, check_hash)

    async def _files_of_rows(
        self, records: Sequence[Mapping[str, Any]], mode: Mode, check_hash: bool
    ) -> list[ALFPath | None]:
        """Do the same for rows that name their session's path."""
        if self.offline or (mode == "local" and self._frozen is None):
            files = await self._at_hand(records, check_hash)
        else:
            files = [_path(outcome) for outcome in await self._fetch(records, check_hash)]
        if self.record_loaded:
            self._tables.record([row["did"] for row, file in zip(records, files, strict=True) if file])
        return files

    async def _at_hand(self, records: Sequence[Mapping[str, Any]], check_hash: bool) -> list[ALFPath | None]:
        """Give the files that are on disk; one that is not what the tables say gives a warning."""
        from ..transfer.fetch import survey

        root = self.cache_dir
        plan = await self._plan(
            records,
            lambda record: {**record, "did": _plan_id(record["did"]), "data_url": None},
            written=False,
        )
        for item in plan.items:
            if isinstance(
                item.error, UnsafePath | ALFInvalid
            ):  # whatever lies there is none of the cache folder's
                raise item.error
        items, seen = list(plan.items), await survey(plan, root=root, check_hash=check_hash)
        if lost := [at for at, outcome in enumerate(seen) if outcome.status == "absent"]:
            there = await anyio.to_thread.run_sync(_spelled_otherwise, [items[at] for at in lost], root)
            again = await survey(there, root=root, check_hash=check_hash)
            for at, item, outcome in zip(lost, there, again, strict=True):
                items[at], seen[at] = item, outcome

        def look() -> list[ALFPath | None]:
            files: list[ALFPath | None] = []
            for item, outcome in zip(items, seen, strict=True):
                path = ALFPath(root / item.target)
                files.append(path if path.exists() else None)
                if files[-1] and outcome.status != "present":
                    warnings.warn(
                        f"{path} is not the file that the tables describe", ALFWarning, stacklevel=2
                    )
            return files

        return await anyio.to_thread.run_sync(look)

    async def _plan(
        self,
        records: Sequence[Mapping[str, Any]],
        change: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
        repositories: Iterable[Mapping[str, Any]] = (),
        *,
        written: bool = True,
    ) -> Plan:
        """Plan the files of records, each changed first; many of them beside the event loop."""
        from ..transfer.plan import make_plan

        def make() -> Plan:
            return make_plan(
                map(change or _with_address, records),
                data_server=self.settings.data_server,
                base_url=self.settings.base_url,
                repositories=repositories,
                uuid_filenames=self.uuid_filenames,
                s3_endpoint=self.settings.s3_endpoint,
                on_error="collect",
                written=written,
            )

        return make() if len(records) <= FEW else await anyio.to_thread.run_sync(make)

    async def _fetch(
        self, records: Sequence[Mapping[str, Any]], check_hash: bool, *, collect: bool = False
    ) -> list[Outcome]:
        """Fetch what is not here; where the first address fails, the database's file records may know others.

        Raises the first error, or with `collect` leaves them in the outcomes.
        """
        async with self._showing():
            plan = await self._plan(records)
            unknown = {item.did for item in plan.items if not item.sources and not item.error}
            if unknown:
                plan = await self._replanned(records, unknown)
            outcomes = await self._transfer(plan, check_hash)
            failed = {outcome.did for outcome in outcomes if _elsewhere(outcome)} - unknown
            if failed:
                second = await self._replanned(
                    [record for record in records if record["did"] in failed], failed
                )
                again = {outcome.did: outcome for outcome in await self._transfer(second, check_hash)}
                outcomes = [again.get(outcome.did, outcome) for outcome in outcomes]
        if not collect:
            raise_first(outcomes)
        return outcomes

    @asynccontextmanager
    async def _showing(self) -> AsyncIterator[None]:
        """Sum up the transfers of a call, of all its sessions, in one bar, where there is one to be seen."""
        if self._bar is None:
            yield
            return
        self._bar.enter()
        try:
            yield
        finally:
            if wait := self._bar.leave():
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(wait)

    async def _transfer(self, plan: Plan, check_hash: bool) -> list[Outcome]:
        from ..transfer.fetch import fetch
        from ..transfer.web import Credentials

        login, password = self.settings.data_server_login, self.settings.data_server_password
        return await fetch(
            plan,
            root=self.cache_dir,
            wire=self.alyx.wire,
            limit=FILES_AT_ONCE,
            check_hash=check_hash,
            progress=self._bar or self._progress,
            on_error="collect",
            credentials=Credentials(
                data=(login, password.get_secret_value()) if login and password else None
            ),
        )

    async def _replanned(self, records: Sequence[Mapping[str, Any]], dids: set[str]) -> Plan:
        """Plan again with all places that the database knows for some datasets, S3 buckets among them."""
        known: dict[str, Mapping[str, Any]] = {}
        for row in await self._remote().dataset_records(sorted(dids)):
            known[row["url"][-36:]] = row
        files = [one for row in known.values() for one in row["file_records"]]
        repositories = []
        if any(one["data_repository"].startswith("aws") for one in files):
            repositories = await self.alyx.rest("data-repository", "list")

        def change(record: Mapping[str, Any]) -> Mapping[str, Any]:
            if record["did"] in known:
                return {**record, "file_records": known[record["did"]]["file_records"]}
            return _with_address(record)

        return await self._plan(records, change, repositories)

    async def _read(self, file: ALFPath) -> Any:
        from ..files.read import read_file

        kind = self._table_kind
        return await anyio.to_thread.run_sync(lambda: read_file(file, tables=kind))

    async def _make_object(self, files: Sequence[ALFPath]) -> ALFObject:
        from ..files.objects import make_object

        kind = self._table_kind
        return await anyio.to_thread.run_sync(lambda: make_object(files, tables=kind))


def _spelled_otherwise(items: Sequence[Item], root: Path) -> list[Item]:
    """Return items with the session's number as it is on disk, `1` or `01`, where there is no folder `001`."""
    targets: dict[str, str] = {}
    found = []
    for item in items:
        folder = session_part(item.target)
        if folder and folder not in targets:
            targets[folder] = folder
            if not (root / folder).exists():
                there = [other for other in other_spellings(folder) if (root / other).is_dir()]
                if len(there) > 1:
                    raise ALFMultipleObjectsFound(f"{root / folder} may be {' or '.join(there)}")
                targets[folder] = there[0] if there else folder
        target = targets.get(folder, "") + item.target[len(folder) :]
        found.append(item if target == item.target else replace(item, target=target))
    return found


def _plan_id(did: str) -> str:
    """Give a UUID for a dataset whose id is its path, since plans want one; a file that is here is known by its place."""
    return str(uuid5(NAMESPACE_URL, did)) if isinstance(as_uuid(did), str) else did


def _with_address(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out an address that is not known, so that the plan makes one from the data server's."""
    return {name: value for name, value in record.items() if name != "data_url" or value}


def _elsewhere(outcome: Outcome) -> bool:
    """Whether another place may have what this one did not give."""
    return isinstance(outcome.error, LoginError | NotFound | ServerUnreachable | StatusError | TransferError)


def _path(outcome: Outcome) -> ALFPath | None:
    return ALFPath(outcome.path) if outcome.path else None


def warn_missing(message: str, assert_present: bool) -> None:
    """Raise ALFObjectNotFound for datasets that must be present, else warn."""
    if assert_present:
        raise ALFObjectNotFound(message)
    warnings.warn(message, ALFWarning, stacklevel=3)
