"""What every part of `AsyncONE` stands on: settings, the mode, the server, the tables, and their life."""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextvars import ContextVar
from datetime import timedelta
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, cast, get_args

import anyio

from one_async._boundary import Boundary
from one_async._fork import check_polars, is_polars_lost
from one_async._threads import run_polars, run_sync
from one_async._values import without_secrets
from one_async.errors import InputError, OfflineError, TablesNotFound, TablesWarning
from one_async.settings import Settings, resolve, resolved_again, setup
from one_async.transfer.bar import bar_for
from one_async.types import Mode

if TYPE_CHECKING:
    from anyio import CancelScope
    from anyio.abc import TaskGroup

    from one_async.alyx.client import AsyncAlyxClient
    from one_async.queries.base import Source
    from one_async.queries.local import LocalSource
    from one_async.queries.remote import RemoteSource
    from one_async.refresh import TablesKeeper
    from one_async.tables.catalogue import Catalogue
    from one_async.transfer.fetch import Progress

OFFLINE_ADVICE = (
    "no database is configured for {folder}, so it can only be searched in local mode; "
    "give base_url= (for the public data: https://openalyx.internationalbrainlab.org), "
    "set ONE_BASE_URL, or call ONE.setup(base_url)"
)
#: So few sessions are looked up in less time than a thread takes to begin.
FEW = 8
#: The modes in which tables are refreshed in the background.
REFRESHING = ("auto", "refresh")

M = TypeVar("M", bound="Callable[..., Coroutine[Any, Any, Any]]")


class _Answer:
    """The tables that the call at hand has asked, by client and mode."""

    def __init__(self) -> None:
        self.asked: dict[tuple[Core, Mode], Catalogue] = {}
        self.is_given = False

    @classmethod
    def now(cls) -> _Answer | None:
        """Return that of the call at hand, None outside of `one_answer`."""
        answer = _answer.get()
        return None if answer is None or answer.is_given else answer

    def end(self) -> None:
        """Let go of the tables: tasks and connections that were begun meanwhile keep a copy of the context."""
        self.asked, self.is_given = {}, True


_answer: ContextVar[_Answer | None] = ContextVar("_answer", default=None)


def one_answer(method: M) -> M:
    """Have all questions that a method asks go to the same tables, and with ``refresh`` check for newer ones once."""

    @wraps(method)
    async def call(*args: Any, **kwargs: Any) -> Any:
        if _Answer.now() is not None:  # part of a larger answer
            return await method(*args, **kwargs)
        answer = _Answer()
        token = _answer.set(answer)
        try:
            return await method(*args, **kwargs)
        finally:
            _answer.reset(token)
            answer.end()

    return cast("M", call)


class Core(Boundary):
    """Settings, mode, server and tables of one instance, and how they are opened and closed."""

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
        tables: Literal["polars", "pandas"] = "polars",
        uuid_filenames: bool = False,
        progress: Progress | bool | None = None,
        frozen: str | Path | None = None,
        silent: bool = False,
    ) -> None:
        """Make a client; nothing is read from the network and nothing is written until the first question.

        Args:
            base_url: the database's address; without it, the one that was set up, else the public Open Alyx.
            username, password, token: credentials, else taken from the environment (ONE_USERNAME, ONE_PASSWORD,
                ONE_TOKEN), the settings, or a token kept by an earlier login. The environment's belong to the database of
                ONE_BASE_URL, without it to the default database: another one that `base_url` names does not get them.
            cache_dir: the folder of data files; alone, without any database that was set up for it, it means local mode.
            tables_dir: the folder of the cache tables, where it is not `cache_dir`.
            mode: `local`, `remote`, `auto` or `refresh`; where answers come from.
            wildcards: patterns for files are shell wildcards (True) or regular expressions (False).
            cache_rest: None keeps no REST answers.
            cache_storage: `redis://…` keeps them in Redis instead of a file below `cache_dir`. Its password does not travel
                with a pickle: where one is loaded it is taken from ONE_CACHE_STORAGE, if that is the same address with it.
            default_expiry: how old a kept REST answer may be, 24 h by default.
            cache_expiry: how often `auto` asks for newer cache tables, every 24 h by default.
            data_server, data_server_login, data_server_password: where data files are, for datasets of which the
                database gives no address, and who may read them there.
            max_connections: how many connections the server may get at once.
            tables: what tables in data files are loaded as.
            uuid_filenames: keep dataset ids in the names of downloaded files.
            progress: False shows no progress of downloads, True always does, an object with start, advance and stop is told
                about them; without it, a bar is shown on an interactive terminal or in a notebook if rich is installed.
            frozen: a file that `freeze` wrote: exactly its files are found and loaded.
            silent: as ``progress=False``, by ONE-api's name.

        """
        if mode is not None and mode not in get_args(Mode):
            raise InputError.of("mode", mode, get_args(Mode))
        if tables not in ("polars", "pandas"):
            raise InputError.of("tables", tables, ("polars", "pandas"))
        self._frozen: Catalogue | None = None
        if frozen is not None:
            from one_async.frozen import read_frozen

            origin, self._frozen = read_frozen(frozen)
            base_url, mode = base_url or origin, "local"
        self.settings: Settings = resolve(
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
        )
        self.wildcards = wildcards
        self.uuid_filenames = uuid_filenames
        self.record_loaded = False
        self._mode: Mode = self.settings.mode
        self._table_kind: Literal["polars", "pandas"] = tables
        self._progress = None if isinstance(progress, bool) else progress
        self._bar = bar_for(progress, silent)
        self._rest_options: dict[str, Any] = {
            "cache_rest": cache_rest,
            "cache_storage": cache_storage,
            "max_connections": max_connections,
        }
        self._alyx: AsyncAlyxClient | None = None
        self._keeper: TablesKeeper | None = None
        self._group: TaskGroup | None = None
        self._refreshing: CancelScope | None = None
        self._background: set[CancelScope] = set()
        if self._mode == "remote" and self.offline:
            raise OfflineError(OFFLINE_ADVICE.format(folder=self.cache_dir))

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is open, and every secret: where a pickle is loaded, the login is found anew."""
        closed: dict[str, Any] = {
            "_alyx": None,
            "_keeper": None,
            "_group": None,
            "_refreshing": None,
            "_background": set(),
        }
        options = {"_rest_options": without_secrets(self._rest_options), "_bar": self._bar is not None}
        return {**self.__dict__, **closed, **options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.settings = resolved_again(self.settings)
        self._bar = bar_for(None, silent=not state["_bar"])

    def __repr__(self) -> str:
        return (
            f"One (offline, {self.cache_dir})" if self.offline else f"One (online, {self.settings.base_url})"
        )

    @property
    def offline(self) -> bool:
        """Whether no database is configured, so that there is nothing but tables and files."""
        return self.settings.base_url is None

    @property
    def mode(self) -> Mode:
        """Where answers come from unless a call says otherwise with `query_type`; the tables are refreshed by it, too."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._mode = self._check_mode(mode, "mode")
        if self._mode not in REFRESHING:
            self._stop_refreshing()

    @property
    def cache_dir(self) -> Path:
        """The folder of data files."""
        return self.settings.cache_dir

    @property
    def tables_dir(self) -> Path:
        """The folder of the cache tables."""
        return self.settings.tables_dir

    @property
    def alyx(self) -> AsyncAlyxClient:
        """The client of the database's REST interface. Raises OfflineError where no database is configured."""
        if self._alyx is None:
            from one_async.alyx.client import AsyncAlyxClient

            if self.offline:
                raise OfflineError(OFFLINE_ADVICE.format(folder=self.cache_dir))
            self._alyx = AsyncAlyxClient(settings=self.settings, **self._rest_options)
        return self._alyx

    @property
    def _tables(self) -> TablesKeeper:
        if self._keeper is None:
            from one_async.refresh import TablesKeeper

            self._keeper = TablesKeeper(
                self.tables_dir,
                alyx=None if self.offline else lambda: self.alyx,
                cache_expiry=self.settings.cache_expiry,
            )
        return self._keeper

    @property
    def cache_expiry(self) -> timedelta:
        """How often `auto` asks the server for newer cache tables; setting it counts at once."""
        return self._tables.cache_expiry

    @cache_expiry.setter
    def cache_expiry(self, value: timedelta | float) -> None:
        self._tables.cache_expiry = value

    async def __aenter__(self) -> Self:
        await run_sync(_import_late, self.offline)
        self._group = await anyio.create_task_group().__aenter__()
        self._start_refreshing()
        return self

    async def __aexit__(self, *details: Any) -> bool | None:
        group, self._group = self._group, None
        try:
            if group is None:
                return None
            group.cancel_scope.cancel()
            # The caller's own error is none of the group's, which would wrap it; a cancellation may be the group's.
            if isinstance(details[1], anyio.get_cancelled_exc_class()):
                return await group.__aexit__(*details)
            await group.__aexit__(None, None, None)
            return None
        finally:
            self._stop_refreshing()
            with anyio.CancelScope(shield=True):
                await self.aclose()

    async def aclose(self) -> None:
        """End the calls that are running with a OneError; close connections and files. A later call opens them again."""
        await self._calls.end()
        alyx, self._alyx = self._alyx, None
        if alyx is not None:
            await alyx.aclose()

    def _start_refreshing(self) -> None:
        """Start the background task if the mode wants it; a mode set later starts it with the next question."""
        if (
            self._refreshing is None
            and self._mode in REFRESHING
            and not self.offline
            and not is_polars_lost()
        ):
            self._refreshing = self._in_background(self._tables.run)

    def _stop_refreshing(self) -> None:
        """End all that goes on in the background, now."""
        self._refreshing = None
        while self._background:
            self._background.pop().cancel()

    def _in_background(self, work: Callable[[], Awaitable[None]]) -> CancelScope | None:
        """Begin something that goes on beside calls until the mode rules it out; None where nothing holds it."""
        if self._group is None:
            return None
        scope = anyio.CancelScope()
        self._background.add(scope)

        async def go_on() -> None:
            try:
                with scope:
                    await work()
            finally:
                self._background.discard(scope)

        self._group.start_soon(go_on)
        return scope

    def _check_mode(self, mode: Mode | None, argument: str = "query_type") -> Mode:
        mode = mode or self._mode
        if mode not in get_args(Mode):
            raise InputError.of(argument, mode, get_args(Mode))
        if mode == "remote" and self.offline:
            raise OfflineError(OFFLINE_ADVICE.format(folder=self.cache_dir))
        return mode

    async def _source(self, query_type: Mode | None) -> Source:
        """Return the source of answers that a mode means. Raises ConfigurationError in a forked child without Polars."""
        check_polars()
        if self._frozen is None and self._check_mode(query_type) == "remote":
            await self._tables.settle()  # what earlier queries brought, where nobody asks the tables
            return self._remote()
        local = await self._local(query_type)
        if self._is_local(query_type):
            return local
        from one_async.queries.local import AutoSource

        return AutoSource(local, self._remote())

    def _is_local(self, query_type: Mode | None) -> bool:
        """Whether a mode means the tables alone."""
        return self._frozen is not None or self.offline or self._check_mode(query_type) == "local"

    async def _local(self, query_type: Mode | None) -> LocalSource:
        """Return the tables as a source of answers, brought up to date first as far as a mode means it."""
        from one_async.queries.local import LocalSource

        return LocalSource(await self._catalogue(query_type), wildcards=self.wildcards)

    async def _path_ids(self, values: Iterable[object], query_type: Mode | None) -> set[object]:
        """Return which of these are ids as they stand, in tables of a folder that were built with paths for ids."""
        texts = [value for value in values if type(value) is str and "/" in value]
        if not texts or not self._is_local(query_type):
            return set()
        try:
            tables = await self._catalogue(query_type)
        except TablesNotFound:
            return set()

        def look() -> set[object]:
            if not tables.has_paths_for_ids:
                return set()
            return {text for text in texts if tables.session_row(text) is not None}

        return await run_polars(look, few=len(texts) <= FEW)

    async def _catalogue(self, query_type: Mode | None = None) -> Catalogue:
        """Return the tables in use, brought up to date first as far as a mode means it."""
        check_polars()
        if self._frozen is not None:
            return self._frozen
        mode = self._check_mode(query_type)
        answer = _Answer.now()
        if answer is not None and (self, mode) in answer.asked:
            return answer.asked[self, mode]
        if mode == "refresh":
            await self._tables.refresh("refresh")
        elif mode == "auto":
            self._start_refreshing()
            later = None if self._group is None else self._in_background
            await self._tables.refresh("auto", later=later)
        tables = await self._tables.current()
        if tables.meta.is_partial and mode != "remote":
            warnings.warn(
                f"there are no whole cache tables in {self.tables_dir}: this answer is from the "
                f"{len(tables.session_frame):,} sessions that earlier queries brought. With query_type='remote' the "
                "database is asked; refresh_cache() fetches its tables",
                TablesWarning,
                stacklevel=2,
            )
        if answer is not None:
            answer.asked[self, mode] = tables
        return tables

    def _remote(self) -> RemoteSource:
        from one_async.queries.remote import RemoteSource

        return RemoteSource(self.alyx, self._tables.learn)


def _import_late(offline: bool) -> None:
    """Import and begin what takes a while, so that no call does it on the event loop."""
    online = () if offline else ("alyx.session", "alyx.client", "queries.remote", "transfer.fetch")
    for module in ("refresh", "queries.local", "queries.rows", "files.objects", "frozen", *online):
        import_module(f"one_async.{module}")
    from one_async.tables.catalogue import Catalogue

    if not is_polars_lost():
        Catalogue.empty()  # the first query of a process takes Polars long
