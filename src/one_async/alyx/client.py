"""AsyncAlyxClient: the REST interface of one Alyx database for one user."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import anyio
import anyio.to_thread
from anyio.lowlevel import EventLoopToken, current_token

from one_async._boundary import public
from one_async._concurrency import RunningCalls
from one_async._observer import Observer
from one_async._threads import run_sync
from one_async._token_file import TokenFile
from one_async._values import without_password
from one_async.alyx import caching
from one_async.alyx.account import Account
from one_async.alyx.auth import Credentials
from one_async.alyx.caching import AgeLimit, note_stale, one_warning
from one_async.alyx.client_settings import ClientSettings, base_of
from one_async.alyx.files import FileDownloads, data_login_of
from one_async.alyx.json_fields import JsonFields
from one_async.alyx.paging import Lists, distinct
from one_async.alyx.responses import Answer, is_page, page_of
from one_async.alyx.retrying import Timeouts
from one_async.alyx.schema import (
    ADDRESS,
    HEADERS,
    METHODS,
    EndpointDescription,
    Schema,
    last_part,
    params_of,
    with_id,
)
from one_async.alyx.writes import Writes
from one_async.errors import AnswerError, ConfigurationError, InputError, naming
from one_async.events import EventHooks
from one_async.types import Expiry, StreamOpener, TokenStore

if TYPE_CHECKING:
    from one_async.alyx.transports import Session, Transport
    from one_async.settings import Settings

SCHEMA_EXPIRY = timedelta(weeks=1)


@public(traced="alyx", ended_by_closing=True)
class AsyncAlyxClient(ClientSettings, Account, Lists, Writes, JsonFields, FileDownloads):
    """The REST interface of an Alyx database.

    The constructor does no I/O on the network. The first request opens connections and the cache file; ``aclose`` or the
    end of ``async with`` closes them. They belong to one event loop, of asyncio or trio.

    Arguments that are omitted come from the environment (``ONE_BASE_URL``, ``ONE_USERNAME``, …), the settings and the
    stored tokens, including ONE-api's. ``base_url`` defaults to the default database. The environment's login belongs to
    the database of ``ONE_BASE_URL``, or without it to the default one.

    Parameters: ``token``, or ``username`` and ``password``, or a ``token_store`` that has one; ``cache_dir`` is the folder
    of the database's data, which contains the REST cache; ``cache_rest`` "GET" or None for no cache;
    ``default_expiry`` the maximum age of a stored answer; ``cache_storage`` "redis://…" to share the cache between machines;
    ``timeout`` in seconds for the next bytes of an answer; ``transport`` replaces the network in tests;
    ``event_hooks`` are functions by kind of event: ``{"request": […], "response": […], "retry": […]}``, see
    ``one_async.events``; they are called in the thread of the event loop and are not pickled.
    ``settings`` are resolved settings, which replace the arguments for server and user; ``tables`` is the library of ``frame``'s
    results. ``silent`` is accepted for compatibility with ONE-api: the client never prompts or prints.
    Raises InputError for invalid arguments, OfflineError if ``cache_dir`` belongs to no database.

    Examples:
        >>> from one_async import AsyncAlyxClient
        >>> async with AsyncAlyxClient() as alyx:
        ...     sessions = await alyx.rest("sessions", "list", lab="summitlab")
        >>> sessions[0]["lab"]
        'summitlab'
    """

    def __init__(
        self,
        base_url: str | None = None,
        username: str | None = None,
        password: str | None = None,
        cache_dir: Path | str | None = None,
        silent: bool = False,
        cache_rest: str | None = "GET",
        token: str | None = None,
        *,
        default_expiry: Expiry = caching.DEFAULT_EXPIRY,
        token_store: TokenStore | None = None,
        max_connections: int = 32,
        cache_storage: str | None = None,
        timeout: Timeouts | float | None = None,
        transport: Transport | None = None,
        settings: Settings | None = None,
        tables: Literal["polars", "pandas"] = "polars",
        event_hooks: EventHooks | None = None,
    ) -> None:
        if settings is None:
            from one_async.settings import resolve

            settings = resolve(
                base_url=base_url, username=username, password=password, token=token, cache_dir=cache_dir
            )
        self._settings = settings
        self._base_url = base_of(settings.require("base_url"))
        self.silent = silent
        if cache_storage is not None and not cache_storage.startswith(("redis://", "rediss://", "unix://")):
            raise InputError(
                "cache_storage must begin with redis://, rediss:// or unix://, or be None for a file; the value is not "
                "shown here, since it may contain a password",
                argument="cache_storage",
            )
        if tables not in ("polars", "pandas"):
            raise InputError.of("tables", tables, ("polars", "pandas"))
        self._table_kind = tables
        self._cache_dir = settings.cache_dir
        self._rest_cache_dir = settings.rest_cache_dir or settings.cache_dir
        self._cache_storage = cache_storage
        self._timeouts = Timeouts.of(settings.timeout if timeout is None else timeout)
        self._max_size = settings.max_response_size
        self._transport = transport
        self._token_store = token_store or TokenFile()
        password, token = settings.secret("password"), settings.secret("token")
        self._credentials = Credentials(self._base_url, settings.username, password, token, self._token_store)
        self._data_server, self._data_login = settings.data_server, data_login_of(settings)
        self.cache_mode = cache_rest
        self.default_expiry = (
            settings.default_expiry if default_expiry is caching.DEFAULT_EXPIRY else default_expiry
        )
        #: The key of this client for ``no_cache``; its blocking wrapper has the same.
        self.cache_scope = secrets.token_hex(8)
        self._calls = RunningCalls()
        self._observer = Observer(event_hooks)
        self._session: Session | None = None
        self.max_connections = max_connections
        self._loop: EventLoopToken | None = None
        self._schema: tuple[Schema, float] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Omit open resources and all secrets. Loading the pickle looks up the login again."""
        state = {**self.__dict__, "_session": None, "_loop": None, "_schema": None}
        user = state.pop("_credentials").user
        del state["_data_login"]
        if isinstance(self._cache_storage, str):
            state["_cache_storage"] = without_password(self._cache_storage)
        if not isinstance(self._token_store, TokenFile):
            state["_token_store"] = TokenFile()
        return {**state, "user": user}

    def __setstate__(self, state: dict[str, Any]) -> None:
        from one_async.settings import resolve

        user = state.pop("user")
        self.__dict__.update(state)
        settings = resolve(base_url=self._base_url, username=user)
        password, token = settings.secret("password"), settings.secret("token")
        self._credentials = Credentials(self._base_url, settings.username, password, token, self._token_store)
        is_same = settings.data_server == self._data_server
        self._data_login = data_login_of(settings) if is_same else None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._base_url!r}, user={self.user!r})"

    async def __aenter__(self) -> Self:
        await self._opened()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the calls that are running with a OneError; close connections and the cache file.

        The next request opens them again.

        Examples:
            >>> await one.alyx.aclose()
        """
        await self._calls.end()
        has_ended = _has_ended(self._loop)
        session, self._session, self._loop = self._session, None, None
        if session is not None:
            with anyio.CancelScope(shield=True):
                await (run_sync(session.abandon) if has_ended else session.aclose())

    # ---- the schema

    async def schema(self) -> Schema:
        """Return the server's OpenAPI document. It is requested once a week and kept in memory, too.

        Examples:
            >>> schema = await one.alyx.schema()
            >>> "lab" in schema.filters("sessions")
            True
        """
        if self._schema is None or time.monotonic() - self._schema[1] > SCHEMA_EXPIRY.total_seconds():
            return await (await self._opened()).schemas.share("schema", self._load_schema)
        return self._schema[0]

    async def _load_schema(self) -> Schema:
        try:
            schema = await self._fetch_schema(SCHEMA_EXPIRY)
        except AnswerError:  # the invalid schema may be a stored answer
            schema = await self._fetch_schema(timedelta(0))
        self._schema = (schema, time.monotonic())
        return schema

    async def _fetch_schema(self, expiry: timedelta) -> Schema:
        age_limit = self._age_limit(expiry, False)
        answer = await self._request("GET", self._url(ADDRESS), age_limit=age_limit, headers=HEADERS)
        return Schema(answer.json)

    async def list_endpoints(self) -> list[str]:
        """Return the names of all documented endpoints, sorted.

        Examples:
            >>> endpoints = await one.alyx.list_endpoints()
            >>> {"sessions", "insertions"} <= set(endpoints)
            True
        """
        with one_warning():
            return (await self.schema()).endpoints

    async def describe_endpoint(self, endpoint: str, action: str | None = None) -> EndpointDescription:
        """Describe an endpoint: its actions, filters and fields. ``print`` shows the description as text.

        Examples:
            >>> description = await one.alyx.describe_endpoint("weighings")  # print it to see filters and fields
            >>> sorted(description.actions)
            ['create', 'delete', 'list', 'read']
        """
        with one_warning():
            name = action.replace("-", "_") if isinstance(action, str) and action else action
            return (await self.schema()).describe(endpoint, name or None)

    async def clear_rest_cache(self) -> None:
        """Delete this user's stored answers of this server.

        Examples:
            >>> await one.alyx.clear_rest_cache()
        """
        self._schema = None
        stack = await (await self._opened()).stack()
        await stack.storage.clear()

    # ---- requests

    async def rest(
        self,
        /,
        url: str | None = None,
        action: str | None = None,
        id: UUID | str | None = None,
        data: Any = None,
        files: Mapping[str, Any] | None = None,
        no_cache: bool = False,
        expires: Expiry = None,
        **filters: Any,
    ) -> Any:
        """List, read or change records of an endpoint, whose name is ``url``.

        ``list`` returns all matching records as dicts, in the server's order, each once. As in ONE-api, ``limit`` is the
        page size and does not limit the result (``page`` returns a single page); ``offset`` skips the first rows. ``id``
        restricts the list to one record. Filters that are None are omitted; lists are joined by commas.
        ``read`` returns one dict; ``id`` is an id or name, or a path or URL that ends in it. ``create``, ``update`` and
        ``partial_update`` send ``data`` (and ``files``) and return the record; ``delete`` returns None. A write
        invalidates the stored answers of the endpoint. Without an action, the description of the endpoint is returned;
        without an endpoint, the names of all endpoints.
        ``expires`` is the maximum age of a stored answer for this call; ``no_cache`` bypasses the cache.

        Raises InputError for endpoints, actions and filters that the server does not document, since Alyx ignores
        unknown filters and returns every row; NotFound, LoginError, StatusError, AnswerError, ServerUnreachable.
        Warns IncompleteListWarning if rows are missing, StaleAnswerWarning if a stale answer was used.

        Examples:
            >>> sessions = await one.alyx.rest("sessions", "list", subject="SU_101", date_range=["2024-06-24", "2024-06-24"])
            >>> session = await one.alyx.rest("sessions", "read", id=sessions[0]["id"])
            >>> session["subject"], session["n_trials"]
            ('SU_101', 495)
        """
        with one_warning():
            if url is None:
                return await self.list_endpoints()
            if not isinstance(url, str):
                raise InputError.of("url", url, "the name of an endpoint")
            name, _, query = url.lstrip("/").partition("?")
            name = name.rstrip("/")
            if query:
                action, filters = "list", {**dict(parse_qsl(query)), **filters}
            documented = await self.schema()
            if action is None:
                return documented.describe(name)
            if isinstance(action, str):
                action = action.replace("-", "_")
            documented.check(name, action)
            if action == "list":
                params = documented.known_filters(name, params_of(with_id(filters, id)))
                return await self._list(name, params, self._age_limit(expires, no_cache))
            if filters:
                raise InputError.of(next(iter(filters)), "…", f"for lists only, not for {action}")
            address = f"/{name}" if action == "create" else f"/{name}/{last_part(id, name, action)}"
            if action == "read":
                return await self.get(address, expires=expires, no_cache=no_cache)
            if action != "delete" and not data:
                raise InputError.of(
                    "data", data, f"the fields of {name}: {', '.join(documented.fields(name, action))}"
                )
            return await self._write(METHODS[action], address, data, files)

    async def get(
        self, rest_query: str, *, expires: Expiry = None, no_cache: bool = False, clobber: bool = False
    ) -> Any:
        """Return the JSON of an address of this server; for a list, the rows of all pages.

        ``clobber`` ignores a stored answer and stores the new one; ``expires`` and ``no_cache`` as in ``rest``.
        Raises InputError for other servers' addresses, and as ``rest`` does.

        Examples:
            >>> sessions = await one.alyx.get("/sessions?subject=SU_101&number=1")
            >>> {session["subject"] for session in sessions}
            {'SU_101'}
        """
        with one_warning(), naming({"url": "rest_query"}):
            url = self._url(rest_query)
            age_limit = self._age_limit(False if clobber else expires, no_cache)
            answer = await self._request("GET", url, age_limit=age_limit)
            if not is_page(answer.json):
                return answer.json
            page = page_of(answer.json, url)
            query = dict(parse_qsl(urlsplit(url).query))
            if page.last and "offset" not in query:
                return distinct(page.rows)
            return await self._list(urlsplit(url).path.strip("/"), query, age_limit)

    @property
    def wire(self) -> StreamOpener:
        """Opens addresses of any host to read in pieces, without the cache. The token is sent to this server only."""
        return _LazyStreamOpener(self._open)

    # ---- inside

    async def _opened(self) -> Session:
        """Return the open session. Its module is imported in a thread, since httpx and hishel take a while."""
        if "one_async.alyx.transports" not in sys.modules:
            await run_sync(import_module, "one_async.alyx.transports")
        if self._session is not None and _has_ended(self._loop):
            ended, self._session, self._loop = self._session, None, None
            await run_sync(ended.abandon)
        return self._open()

    def _open(self) -> Session:
        from one_async.alyx.transports import Session

        loop = current_token()
        if self._session is not None and _has_ended(self._loop):
            self._session.abandon()
            self._session = None
        if self._session is None:
            self._session = Session(
                self._base_url,
                self._credentials,
                self._timeouts,
                self._max_connections,
                self._rest_cache_dir,
                self._cache_storage,
                self._transport,
                lambda: caching.retention(self._default_expiry),
                self._max_size,
                self._observer,
            )
            self._loop = loop
        elif self._loop != loop:
            raise ConfigurationError(
                f"this {type(self).__name__} is open on another event loop; create one for each loop, or close it first"
            )
        return self._session

    def _age_limit(self, expires: Expiry, no_cache: bool) -> AgeLimit | None:
        """Return the age limit of a request; None to bypass the cache."""
        age = caching.max_age(expires, self._default_expiry)
        if no_cache or self._cache_mode is None or caching.is_bypassed(self.cache_scope):
            return None
        return AgeLimit(age)

    async def _request(self, method: str, url: str, **options: Any) -> Answer:
        stack = await (await self._opened()).stack()
        answer = await stack.request(method, url, **options)
        if answer.stale is not None:
            note_stale(answer.stale)
        return answer

    def _url(self, path_or_url: str) -> str:
        """Return the address of a path. Raises InputError for addresses of other servers."""
        if not isinstance(path_or_url, str):
            raise InputError.of("url", path_or_url, "a path, or an address of this server")
        if path_or_url.startswith(("http://", "https://")):
            if not (path_or_url + "/").startswith((self._base_url + "/", self._base_url + "?")):
                raise InputError.of("url", path_or_url, f"addresses of {self._base_url}")
            return path_or_url
        return f"{self._base_url}/{path_or_url.lstrip('/')}"


class _LazyStreamOpener:
    """The stream opener of a client; the first use opens the client."""

    def __init__(self, open_session: Callable[[], Session]) -> None:
        self._open_session = open_session

    def open(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
    ) -> Any:
        return self._open_session().streams.open(url, headers=headers, auth=auth)


def _has_ended(loop: EventLoopToken | None) -> bool:
    """Return whether an event loop is closed, as that of each `asyncio.run` is at its end."""
    if loop is None:
        return False
    native: Any = loop.native_token
    if hasattr(native, "is_closed"):
        return bool(native.is_closed())
    try:
        native.run_sync_soon(bool)  # trio tells whether its loop runs only if something is scheduled on it
    except RuntimeError:
        return True
    return False
