"""Tables of the cache folder that follow its files."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import anyio
import anyio.lowlevel

from one_async._concurrency import task_group
from one_async._threads import check_polars, run_sync
from one_async.client.call import public_methods
from one_async.client.watching import pause_after, seconds
from one_async.errors import ConfigurationError, InputError, StorageError

if TYPE_CHECKING:
    from one_async.client.context import Context
    from one_async.tables.changes import BuildReport

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())


class _Ended(Exception):
    """A build was ended because its task was cancelled."""


@public_methods(ended_by_closing=True)
class FolderWatching:
    """The method that keeps the tables of a folder up to date."""

    _context: Context

    async def watch_folder(
        self,
        /,
        *,
        every: float | timedelta | None = 60.0,
        hash_files: bool = False,
        lab: str | None = None,
        namespace: UUID | str | None = None,
        overwrite: bool = False,
        quick: bool = False,
    ) -> AsyncIterator[BuildReport]:
        """Build the tables of the cache folder, build them again when its files change, and yield a report of each change.

        The first report comes at once. Ids stay from build to build, and this client uses the new tables when the report comes::

            async with AsyncONE(cache_dir="/data/lab", mode="local") as one:
                async for report in one.watch_folder(every=30):
                    print(report)  # sessions: 1 new, 0 gone, 340 unchanged; datasets: …

        The folder is scanned in each round. If it cannot be read in a later round, the error is logged and the pauses are
        doubled up to 15 minutes. When the iteration is left, a running build stops and writes nothing.

        Args:
            every: seconds between two rounds; with None there is one round and the iteration ends.
            hash_files, lab, namespace, overwrite, quick: see `one_async.tables.build.make_parquet_db`.

        Raises ConfigurationError if the client is not in local mode, InputError for wrong arguments, StorageError in round one.

        Examples:
            >>> from one_async import AsyncONE
            >>> async with AsyncONE(cache_dir=data_dir, mode="local") as lab:
            ...     async for report in lab.watch_folder(every=None):
            ...         print(report)
            sessions: 1 new, 0 gone, 0 unchanged; datasets: 2 new, 0 gone, 0 unchanged
        """
        check_polars()
        pause, space = seconds(every), _uuid_or_none(namespace)
        if self._context.mode != "local" and not self._context.offline:
            raise ConfigurationError("watch_folder makes tables of a folder, which needs mode='local'")
        if bucket := self._context.settings.cache_bucket:
            raise ConfigurationError(f"watch_folder makes tables of a folder of files; {bucket} is only read")
        options = {
            "hash_files": hash_files,
            "lab": lab,
            "namespace": space,
            "overwrite": overwrite,
            "quick": quick,
        }
        is_first, failures = True, 0
        while True:
            try:
                report = await self._build(options)
            except StorageError as error:
                if is_first or pause is None:
                    raise
                failures += 1
                log.warning("round %d without tables of %s: %s", failures, self._context.cache_dir, error)
            else:
                failures = 0
                if is_first or report.written:  # the first may find what another process built
                    is_first = False
                    await self._context.tables.read_if_changed()
                    yield report
            if pause is None:
                return
            await anyio.sleep(pause_after(pause, failures))

    async def _build(self, options: dict[str, Any]) -> BuildReport:
        """Build the tables once in a thread, which stops soon after this task is cancelled."""
        from one_async.tables.build import make_parquet_db

        ended = threading.Event()

        def check() -> None:
            if ended.is_set():
                raise _Ended

        async def end_with_task() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                ended.set()

        settings = self._context.settings
        build = partial(make_parquet_db, settings.cache_dir, settings.tables_dir, check=check, **options)
        async with task_group() as group:
            group.start_soon(end_with_task)
            try:
                report = await run_sync(build)
            except _Ended:
                await anyio.lowlevel.checkpoint()  # raises the cancellation
                raise
            group.cancel_scope.cancel()
        return report


def _uuid_or_none(namespace: object) -> UUID | None:
    if namespace is None or isinstance(namespace, UUID):
        return namespace
    try:
        return UUID(namespace)  # type: ignore[arg-type]
    except (ValueError, TypeError, AttributeError):
        raise InputError.of("namespace", namespace, "a UUID") from None
