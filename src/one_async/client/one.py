"""`AsyncONE`: the client of a database and its files."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from one_async import _display
from one_async._display import Printer
from one_async.alyx.retrying import Timeouts
from one_async.client.aggregates import Aggregates
from one_async.client.browsing import Browsing
from one_async.client.by_id import SessionById
from one_async.client.call import public_methods
from one_async.client.cards import client_fields
from one_async.client.context import Context
from one_async.client.convert import Conversions
from one_async.client.dataset_types import DatasetTypes
from one_async.client.folder_watching import FolderWatching
from one_async.client.harvesting import Harvesting
from one_async.client.listing import Listing
from one_async.client.load import Loading
from one_async.client.many import ManySessions
from one_async.client.quality import QualityMethods
from one_async.client.recordings import Recordings
from one_async.client.records import Records
from one_async.client.registering import Registering
from one_async.client.search import Searching
from one_async.client.spikes import SpikeLoading
from one_async.client.tables import TableMethods
from one_async.client.watching import Watching
from one_async.errors import InputError, naming
from one_async.events import EventHooks, Stats
from one_async.settings import Settings, resolve, setup
from one_async.types import Mode

if TYPE_CHECKING:
    from one_async.alyx.client import AsyncAlyxClient
    from one_async.transfer.fetch import Progress


@public_methods
class AsyncONE(
    SessionById,
    Searching,
    Listing,
    Conversions,
    Records,
    Loading,
    ManySessions,
    SpikeLoading,
    QualityMethods,
    Recordings,
    DatasetTypes,
    Aggregates,
    Harvesting,
    Registering,
    Watching,
    FolderWatching,
    TableMethods,
    Browsing,
):
    """Find and load the data of a database of neurophysiology sessions, from inside an event loop.

    Use it as a context manager, so that connections and the background task end with the block::

        async with AsyncONE(base_url="https://openalyx.internationalbrainlab.org") as one:
            eids = await one.search(lab="cortexlab", datasets="spikes.times.npy")
            trials = await one.load_object(eids, "trials")  # one object for each session, in that order

    `ONE` has the same methods for notebooks and scripts, without `await`. A method that takes one session also
    takes a list, and works on its members concurrently. Sessions are named by eid, path, URL, reference or record.

    Errors are `OneError`s (the tree is in `one_async.errors`); a wrong argument raises an `InputError`, which names the
    accepted values, before any request is made.

    Examples:
        >>> from one_async import AsyncONE
        >>> async with AsyncONE() as one:
        ...     eids = await one.search(lab="summitlab", datasets="spikes.times.npy")
        ...     trials = await one.load_object(eids, "trials")
        >>> len(trials) == len(eids)
        True
    """

    # Each base has the methods of one subject and no base of its own. They share only the context.

    setup = staticmethod(setup)

    def __init__(
        self,
        *,
        base_url: str | None = None,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
        cache_dir: str | Path | None = None,
        tables_dir: str | Path | None = None,
        mode: Mode | None = None,
        wildcards: bool = True,
        cache_rest: Literal["GET"] | None = "GET",
        cache_storage: str | None = None,
        default_expiry: timedelta | None = None,
        cache_expiry: timedelta | None = None,
        data_server: str | None = None,
        data_server_login: str | None = None,
        data_server_password: str | None = None,
        max_connections: int = 32,
        timeout: Timeouts | float | None = None,
        event_hooks: EventHooks | None = None,
        tables: Literal["polars", "pandas"] = "polars",
        uuid_filenames: bool = False,
        progress: Progress | bool | None = None,
        frozen: str | Path | None = None,
        silent: bool = False,
    ) -> None:
        """Make a client. Nothing is read from the network or written before the first call.

        Args:
            base_url: the database's address; without it, the one that was set up, else the public Open Alyx.
            username, password, token: credentials, else taken from the environment (ONE_USERNAME, ONE_PASSWORD,
                ONE_TOKEN), the settings, or a token kept by an earlier login. The environment's belong to the database of
                ONE_BASE_URL, without it to the default database: another one that `base_url` names does not get them.
            cache_dir: the folder of data files; alone, without any database that was set up for it, it means local mode.
                ``s3://bucket/folder`` reads tables and files from a bucket, in local mode; they are kept in a local folder.
            tables_dir: the folder of the cache tables, where it is not `cache_dir`.
            mode: `local`, `remote`, `auto` or `refresh`; where answers come from.
            wildcards: patterns for files are shell wildcards (True) or regular expressions (False).
            cache_rest: None stores no REST answers.
            cache_storage: `redis://…` stores them in Redis instead of a file below `cache_dir`. A pickle does not contain its
                password; a loaded pickle takes it from ONE_CACHE_STORAGE, if that is the same address with a password.
            default_expiry: the maximum age of a stored REST answer, 24 h by default.
            cache_expiry: the time between checks of `auto` for newer cache tables, 24 h by default.
            data_server, data_server_login, data_server_password: the server of data files, for datasets without an address
                in the database, and the login there.
            max_connections: the maximum number of connections to the server.
            timeout: seconds to wait for the next bytes of an answer, else ONE_TIMEOUT, else 120 for lists and files, 60 for
                records and 30 for logins. A whole REST answer may take five times as long; `Timeouts` sets each of these.
            event_hooks: functions by kind of event: ``{"request": […], "response": […], "retry": […]}``, see
                `one_async.events`. They are called in the thread of the event loop, and are not pickled.
            tables: the library of all frames, those of data files and those of answers. In pandas, tables of sessions,
                datasets and insertions have an index of UUIDs.
            uuid_filenames: keep dataset ids in the names of downloaded files.
            progress: False (or ONE_PROGRESS=0) shows no progress, True always does; by default, long work is shown in a line
                on standard error if that is an interactive terminal or a notebook. An object with the methods start, advance
                and stop receives the progress of downloads instead.
            frozen: a file from `freeze`: exactly the files that it lists are found and loaded.
            silent: ONE-api's name for ``progress=False``.

        """
        if mode is not None and mode not in get_args(Mode):
            raise InputError.of("mode", mode, get_args(Mode))
        if tables not in ("polars", "pandas"):
            raise InputError.of("tables", tables, ("polars", "pandas"))
        Timeouts.of(timeout)
        catalogue = None
        if frozen is not None:
            from one_async.frozen import read_frozen

            origin, catalogue = read_frozen(frozen)
            base_url, mode = base_url or origin, "local"
        settings = resolve(
            base_url=base_url,
            username=username,
            password=password,
            token=token,
            cache_dir=cache_dir,
            tables_dir=tables_dir,
            mode=mode,
            default_expiry=default_expiry,
            cache_expiry=cache_expiry,
            data_server=data_server,
            data_server_login=data_server_login,
            data_server_password=data_server_password,
            timeout=None if isinstance(timeout, Timeouts) else timeout,
            progress=progress if isinstance(progress, bool) else None,
        )
        rest_options: dict[str, Any] = {
            "cache_rest": cache_rest,
            "cache_storage": cache_storage,
            "max_connections": max_connections,
            "timeout": timeout,
        }
        self._context = Context(
            settings,
            client_class=AsyncONE,
            frozen=catalogue,
            wildcards=wildcards,
            table_kind=tables,
            uuid_filenames=uuid_filenames,
            progress=settings.progress if progress is None and not silent else progress,
            silent=silent,
            event_hooks=event_hooks,
            rest_options=rest_options,
        )
        self._calls = self._context.calls

    @classmethod
    def from_frozen(cls, file: str | Path, **options: Any) -> Self:
        """Make a client for a frozen set, which finds and loads exactly the files that `freeze` recorded.

        `options` are those of the constructor. Files that are not on disk come from the database of the set; bytes
        that have changed there raise HashMismatch.

        Examples:
            >>> from one_async import AsyncONE
            >>> file = await one.freeze([eid], "paper.json", filename="_ibl_trials*")
            >>> async with AsyncONE.from_frozen(file, cache_dir=data_dir) as paper:
            ...     print(await paper.search() == [eid])
            True
        """
        with naming({"frozen": "file"}):
            return cls(frozen=file, **options)

    def __repr__(self) -> str:
        if self.offline:
            return f"One (offline, {self.settings.cache_bucket or self.cache_dir})"
        return f"One (online, {self.settings.base_url})"

    def _repr_html_(self) -> str:
        return _display.card(repr(self), client_fields(self._context))

    def _repr_pretty_(self, printer: Printer, cycle: bool) -> None:
        lines = [repr(self), *_display.field_lines(client_fields(self._context))]
        _display.pretty(lines, printer, cycle)

    @property
    def settings(self) -> Settings:
        """The settings that were resolved from arguments, environment and settings file.

        Examples:
            >>> one.settings.require("username")
            'demo'
        """
        return self._context.settings

    @property
    def offline(self) -> bool:
        """Whether no database is configured, so that only tables and files are available.

        Examples:
            >>> one.offline
            False
        """
        return self._context.offline

    @property
    def mode(self) -> Mode:
        """The source of answers for calls without `query_type`; it also determines the refresh of the tables.

        Examples:
            >>> one.mode
            'remote'
        """
        return self._context.mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._context.mode = mode

    @property
    def cache_dir(self) -> Path:
        """The folder of data files.

        Examples:
            >>> one.cache_dir.is_absolute()
            True
        """
        return self._context.cache_dir

    @property
    def tables_dir(self) -> Path:
        """The folder of the cache tables.

        Examples:
            >>> one.tables_dir == one.cache_dir
            True
        """
        return self._context.settings.tables_dir

    @property
    def wildcards(self) -> bool:
        """Whether patterns for files are shell wildcards, or regular expressions.

        Examples:
            >>> one.wildcards = False
            >>> await one.list_datasets(eid, "_ibl_wheel[.](position|timestamps)[.]npy")
            ['alf/_ibl_wheel.position.npy', 'alf/_ibl_wheel.timestamps.npy']
            >>> one.wildcards = True
        """
        return self._context.wildcards

    @wildcards.setter
    def wildcards(self, value: bool) -> None:
        self._context.wildcards = value

    @property
    def uuid_filenames(self) -> bool:
        """Whether dataset ids are kept in the names of downloaded files."""
        return self._context.uuid_filenames

    @uuid_filenames.setter
    def uuid_filenames(self, value: bool) -> None:
        self._context.uuid_filenames = value

    @property
    def record_loaded(self) -> bool:
        """Whether the ids of loaded datasets are recorded for `save_loaded_ids`."""
        return self._context.record_loaded

    @record_loaded.setter
    def record_loaded(self, value: bool) -> None:
        self._context.record_loaded = value

    @property
    def alyx(self) -> AsyncAlyxClient:
        """The client of the database's REST interface. Raises OfflineError where no database is configured.

        Examples:
            >>> session = await one.alyx.rest("sessions", "read", id=eid)
            >>> session["subject"]
            'SU_101'
        """
        return self._context.alyx

    @property
    def stats(self) -> Stats:
        """Counts since the client was made: requests, answers from the cache, retries, waits, bytes, files.

        Examples:
            >>> eids = await one.search(query_type="remote")
            >>> one.stats.requests + one.stats.cache_hits > 0
            True
        """
        return self._context.stats

    @property
    def cache_expiry(self) -> timedelta:
        """The time between checks of `auto` for newer cache tables. Changes apply at once.

        Examples:
            >>> one.cache_expiry
            datetime.timedelta(days=1)
        """
        return self._context.tables.cache_expiry

    @cache_expiry.setter
    def cache_expiry(self, value: timedelta | float) -> None:
        self._context.tables.cache_expiry = value

    async def __aenter__(self) -> Self:
        await self._context.open()
        return self

    async def __aexit__(self, *details: Any) -> bool | None:
        return await self._context.close(*details)

    async def aclose(self) -> None:
        """End the calls that are running with a OneError; close connections and files. A later call opens them again.

        Examples:
            >>> await one.aclose()
        """
        await self._context.aclose()
