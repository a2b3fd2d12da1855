"""The state that the methods of `AsyncONE` share: settings, the database's client, the tables, background tasks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import anyio

from one_async._concurrency import RunningCalls
from one_async._observer import Observer
from one_async._progress import Transfers, display_for
from one_async._threads import is_polars_lost, run_sync
from one_async._values import without_secrets
from one_async.errors import InputError, OfflineError
from one_async.events import EventHooks, Stats
from one_async.settings import Settings, resolved_again
from one_async.types import Mode

if TYPE_CHECKING:
    from anyio import CancelScope
    from anyio.abc import TaskGroup

    from one_async.alyx.client import AsyncAlyxClient
    from one_async.queries.remote import RemoteSource
    from one_async.refresh import TablesInfo, TablesKeeper
    from one_async.tables.catalogue import Catalogue
    from one_async.transfer.fetch import Progress
    from one_async.transfer.items import S3Location

OFFLINE_ADVICE = (
    "no database is configured for {folder}, so it can only be searched in local mode; "
    "give base_url= (for the public data: https://openalyx.internationalbrainlab.org), "
    "set ONE_BASE_URL, or call ONE.setup(base_url)"
)
#: The modes in which tables are refreshed in the background.
REFRESHING = ("auto", "refresh")


class Context:
    """The state of one client.

    The client of the database and the keeper of the tables are made when they are first used.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        client_class: type[Any],
        frozen: Catalogue | None,
        wildcards: bool,
        table_kind: Literal["polars", "pandas"],
        uuid_filenames: bool,
        progress: Progress | bool | None,
        silent: bool,
        event_hooks: EventHooks | None,
        rest_options: dict[str, Any],
    ) -> None:
        self.settings = settings
        #: Makes the same client in another process; passed in, since its module imports this one.
        self.client_class = client_class
        self.frozen = frozen
        self.wildcards = wildcards
        self.table_kind: Literal["polars", "pandas"] = table_kind
        self.uuid_filenames = uuid_filenames
        self.record_loaded = False
        self.progress = None if isinstance(progress, bool) else progress
        self.display = display_for(progress, silent)
        self.rest_options = rest_options
        self.observer = Observer(event_hooks)
        self.observer.notice = None if self.display is None else self.display.notice
        self.group: TaskGroup | None = None
        self.calls = RunningCalls()
        self._is_prepared = False
        self._mode: Mode = settings.mode
        self._alyx: AsyncAlyxClient | None = None
        self._tables: TablesKeeper | None = None
        self._refreshing: CancelScope | None = None
        self._background: set[CancelScope] = set()
        if self._mode == "remote" and self.offline:
            raise self.offline_error()

    @asynccontextmanager
    async def showing(self) -> AsyncIterator[Transfers | None]:
        """Show all transfers of a call together, if there is a display."""
        if self.display is None:
            yield None
            return
        async with self.display.transferring() as transfers:
            yield transfers

    def __getstate__(self) -> dict[str, Any]:
        """Omit open resources and all secrets. Loading the pickle looks up the login again."""
        closed: dict[str, Any] = {
            "_alyx": None,
            "_tables": None,
            "group": None,
            "_refreshing": None,
            "_background": set(),
            "_is_prepared": False,
        }
        options = {"rest_options": without_secrets(self.rest_options), "display": self.display is not None}
        return {**self.__dict__, **closed, **options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.settings = resolved_again(self.settings)
        self.display = display_for(None, silent=not state["display"])
        self.observer.notice = None if self.display is None else self.display.notice

    @property
    def offline(self) -> bool:
        """Whether no database is configured."""
        return self.settings.base_url is None

    @property
    def cache_dir(self) -> Path:
        """The folder of data files."""
        return self.settings.cache_dir

    @property
    def mode(self) -> Mode:
        """The default mode of calls; it also decides whether tables are refreshed in the background."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        bucket = self.settings.cache_bucket
        if bucket and mode in get_args(Mode) and mode != "local":
            raise InputError.of("mode", mode, f"'local', the only mode in which {bucket} is read")
        self._mode = self.check_mode(mode, "mode")
        if self._mode not in REFRESHING:
            self.stop_background()

    def check_mode(self, mode: Mode | None, argument: str = "query_type") -> Mode:
        """Return a mode, or the client's own for None. Raises InputError, or OfflineError for a mode that needs a database."""
        mode = mode or self._mode
        if mode not in get_args(Mode):
            raise InputError.of(argument, mode, get_args(Mode))
        if mode == "remote" and self.offline:
            raise self.offline_error()
        return mode

    def offline_error(self) -> OfflineError:
        """Return the error of a call that needs a database where none is configured."""
        return OfflineError(OFFLINE_ADVICE.format(folder=self.settings.cache_bucket or self.cache_dir))

    def needs_database(self, method: str) -> None:
        """Raise OfflineError if a method needs the database and cannot use it."""
        if self._mode == "local" or self.offline:
            raise OfflineError(
                f"{method} asks the database, which mode 'local' excludes; set one.mode = 'remote'"
            )

    def needs_files(self, method: str) -> None:
        """Raise OfflineError unless files can be fetched, as they can for a frozen set or from a bucket in local mode."""
        if self.settings.cache_bucket is None and (self.frozen is None or self.offline):
            self.needs_database(method)

    @property
    def alyx(self) -> AsyncAlyxClient:
        """The client of the database's REST interface. Raises OfflineError where no database is configured."""
        if self._alyx is None:
            from one_async.alyx.client import AsyncAlyxClient

            if self.offline:
                raise self.offline_error()
            self._alyx = AsyncAlyxClient(settings=self.settings, tables=self.table_kind, **self.rest_options)
            self._alyx._observer = self.observer  # also of the client that replaces a closed one
        return self._alyx

    @property
    def tables(self) -> TablesKeeper:
        """The keeper of the cache tables."""
        if self._tables is None:
            from one_async.refresh import TablesKeeper

            self._tables = TablesKeeper(
                self.settings.tables_dir,
                alyx=None if self.offline else lambda: self.alyx,
                cache_expiry=self.settings.cache_expiry,
                display=self.display,
                bring=self._copy_tables if self._has_copies else None,
            )
        return self._tables

    @property
    def bucket(self) -> S3Location | None:
        """The folder of a bucket from which files are fetched, in place of a database's."""
        if self.settings.cache_bucket is None:
            return None
        from one_async.transfer.bucket import folder_of

        return folder_of(self.settings.cache_bucket, self.settings.s3_endpoint)

    @property
    def _has_copies(self) -> bool:
        """Whether the tables are those of the bucket, and not of another folder."""
        return self.settings.cache_bucket is not None and self.settings.tables_dir == self.cache_dir

    async def _copy_tables(self) -> None:
        from one_async.refresh.bucket_tables import copy_tables

        assert self.bucket is not None
        await copy_tables(self.bucket, self.settings.tables_dir, self.display)

    @property
    def known_tables(self) -> TablesInfo | None:
        """Information on the tables in memory; None before they are first used. Reads nothing."""
        return None if self._tables is None or is_polars_lost() else self._tables.info

    @property
    def user(self) -> str | None:
        """The user's name, as far as it is known without a request."""
        return (self._alyx.user if self._alyx is not None else None) or self.settings.username

    @property
    def stats(self) -> Stats:
        """The counts of the client, and the age of the tables in memory."""
        info = self.known_tables
        made = None if info is None or info.created is None else info.created.replace(tzinfo=None)
        age = None if made is None else max(0.0, (datetime.now() - made).total_seconds())
        return self.observer.stats(age)

    def remote(self) -> RemoteSource:
        """Return the database as a source of answers. Its rows are added to the tables."""
        from one_async.queries.remote import RemoteSource

        return RemoteSource(self.alyx, self.tables.learn)

    async def prepare(self) -> None:
        """Import the modules that calls use, once and in a thread, so that no call imports them on the event loop."""
        if not self._is_prepared:
            await run_sync(_import_late, self.offline, self.settings.cache_bucket is not None)
            self._is_prepared = True

    async def open(self) -> None:
        """Open the task group of background tasks, and start the tasks of the mode."""
        await self.prepare()
        self.group = await anyio.create_task_group().__aenter__()
        self.start_refreshing()

    async def close(self, *details: Any) -> bool | None:
        """Cancel the background tasks and close all connections; the arguments are those of ``__aexit__``."""
        group, self.group = self.group, None
        try:
            if group is None:
                return None
            group.cancel_scope.cancel()
            # The task group would wrap the caller's own error in an exception group; a cancellation may be the group's.
            if isinstance(details[1], anyio.get_cancelled_exc_class()):
                return await group.__aexit__(*details)
            await group.__aexit__(None, None, None)
            return None
        finally:
            self.stop_background()
            with anyio.CancelScope(shield=True):
                await self.aclose()

    async def aclose(self) -> None:
        """End the calls that are running with a OneError; close connections and files. A later call opens them again."""
        await self.calls.end()
        alyx, self._alyx = self._alyx, None
        if alyx is not None:
            await alyx.aclose()

    def start_refreshing(self) -> None:
        """Start the background refresh if the mode has one. If the mode is set later, the next call starts it."""
        if (
            self._refreshing is None
            and self._mode in REFRESHING
            and not self.offline
            and not is_polars_lost()
        ):
            self._refreshing = self.in_background(self.tables.run)

    def stop_background(self) -> None:
        """Cancel all background tasks."""
        self._refreshing = None
        while self._background:
            self._background.pop().cancel()

    def in_background(self, work: Callable[[], Awaitable[None]]) -> CancelScope | None:
        """Start a background task, which runs until the mode excludes it. Return None if no task group is open."""
        if self.group is None:
            return None
        scope = anyio.CancelScope()
        self._background.add(scope)

        async def run() -> None:
            try:
                with scope:
                    await work()
            finally:
                self._background.discard(scope)

        self.group.start_soon(run)
        return scope


def _import_late(offline: bool, has_bucket: bool) -> None:
    """Import and begin what takes a while, so that no call does it on the event loop."""
    online: tuple[str, ...] = (
        () if offline else ("alyx.transports", "alyx.client", "queries.remote", "transfer.fetch")
    )
    if has_bucket:
        online = ("refresh.bucket_tables",)
    for module in ("refresh", "queries.auto", "queries.rows", "files.objects", "frozen", *online):
        import_module(f"one_async.{module}")
    from one_async.tables.catalogue import Catalogue

    if not is_polars_lost():
        Catalogue.empty()  # the first query of a process is slow in Polars
