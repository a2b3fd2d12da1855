"""AsyncAlyxClient: the REST interface of one Alyx database for one user."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import anyio
import anyio.to_thread
from anyio.lowlevel import current_token

from one_async._boundary import public, reading
from one_async._concurrency import RunningCalls, ended_by_closing
from one_async._fork import check_polars
from one_async._observer import Observer
from one_async._parameters import Parameters
from one_async._stored import TokenFile
from one_async._threads import run_polars, run_sync
from one_async._tracing import traced
from one_async._values import without_password
from one_async.alyx import caching, paging
from one_async.alyx.answers import Answer
from one_async.alyx.caching import AgeLimit, note_stale, one_warning
from one_async.alyx.files import FileDownloads, data_login_of
from one_async.alyx.json_fields import JsonFields
from one_async.alyx.login import Credentials
from one_async.alyx.paging import Page, Row
from one_async.alyx.query import (
    base_of,
    form_of,
    last_part,
    params_of,
    read_files,
    to_json_types,
    whole_number,
    with_id,
)
from one_async.alyx.retrying import Timeouts
from one_async.alyx.schema import ADDRESS, HEADERS, METHODS, EndpointDescription, Schema
from one_async.errors import AnswerError, ConfigurationError, InputError
from one_async.events import EventHooks, Stats
from one_async.tables.pandas_frames import as_pandas
from one_async.types import Expiry, StreamOpener, TokenStore

if TYPE_CHECKING:
    import polars as pl

    from one_async.alyx.session import Session
    from one_async.alyx.transports import Transport
    from one_async.settings import Settings

SCHEMA_EXPIRY = timedelta(weeks=1)


@public
@ended_by_closing
@traced("alyx")
class AsyncAlyxClient(JsonFields, FileDownloads):
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
    ``settings`` are resolved settings, which replace the arguments for server and user; ``tables`` is what ``frame``
    returns. ``silent`` is accepted for compatibility with ONE-api: the client never prompts or prints.
    Raises InputError for invalid arguments, OfflineError if ``cache_dir`` belongs to no database.

    >>> async with AsyncAlyxClient("http://127.0.0.1:8000", username="demo", password="demo") as alyx:
    ...     sessions = await alyx.rest("sessions", "list", lab="cortexlab")
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
        self._loop: object = None
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
        """
        await self._calls.end()
        session, self._session, self._loop = self._session, None, None
        if session is not None:
            with anyio.CancelScope(shield=True):
                await session.aclose()

    # ---- settings

    @property
    def base_url(self) -> str:
        """The server's address, without a trailing slash."""
        return self._base_url

    @property
    def cache_dir(self) -> Path:
        """The folder of the database's data, which contains the REST cache."""
        return self._cache_dir

    @property
    def _par(self) -> Parameters:
        """The settings under ONE-api's names, read-only, for software that reads them here."""
        return Parameters(self._settings)

    @property
    def user(self) -> str | None:
        """The user's name; None until the token store is read, or for a token without a user name."""
        return self._credentials.user

    @property
    def is_logged_in(self) -> bool:
        """Whether the client has a token. The first request reads the token store."""
        return self._credentials.token is not None

    @property
    def cache_mode(self) -> str | None:
        """The method whose answers are stored: "GET", or None for no cache."""
        return self._cache_mode

    @cache_mode.setter
    def cache_mode(self, mode: str | None) -> None:
        if mode is not None and mode.upper() != "GET":
            raise InputError.of("cache_rest", mode, "'GET' or None")
        self._cache_mode = mode and mode.upper()

    @property
    def default_expiry(self) -> Expiry:
        """Maximum age of a stored answer: a timedelta or seconds, None for any age. Changes apply to stored answers too."""
        return self._default_expiry

    @default_expiry.setter
    def default_expiry(self, expiry: Expiry) -> None:
        caching.max_age(expiry)
        self._default_expiry = expiry

    @property
    def max_connections(self) -> int:
        """Maximum number of concurrent requests. Changes apply immediately."""
        return self._max_connections

    @max_connections.setter
    def max_connections(self, number: int) -> None:
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise InputError.of("max_connections", number, "1 or more")
        self._max_connections = number
        if self._session is not None:
            self._session.slots.total_tokens = number

    @property
    def request_counts(self) -> tuple[int, int]:
        """Number of requests since the client was opened, and how many of them were retries."""
        retry = None if self._session is None else self._session.retry
        return (0, 0) if retry is None else (retry.requests, retry.retries)

    @property
    def stats(self) -> Stats:
        """What the client has counted since it was made: requests, answers from the cache, retries, waits, bytes."""
        return self._observer.stats()

    # ---- login

    async def authenticate(
        self,
        username: str | None = None,
        password: str | None = None,
        cache_token: bool = True,
        force: bool = False,
        token: str | None = None,
    ) -> None:
        """Log in now. Without arguments, the known credentials are used if there is no token yet, or with ``force``.

        With ``cache_token`` False the token is not stored for later sessions. Users do not see each other's stored
        answers. Raises LoginError if the server refuses the login, ServerUnreachable if it does not answer.
        """
        if token is not None or (username is not None and username != self.user):
            session = await self._opened()
            store = self._token_store if cache_token else None
            self._credentials = Credentials(self._base_url, username, password, token, store)
            await session.switch(self._credentials)
            password = None
        if token is None:
            stack = await (await self._opened()).stack()
            await self._credentials.login(password, force, stack.login.request_token, keep=cache_token)

    async def logout(self) -> None:
        """Delete token, password and user, also from the token store, and the user's stored answers."""
        with anyio.CancelScope(shield=True):  # completely or not at all
            await self.clear_rest_cache()
            await self._credentials.logout()
            await (await self._opened()).switch(self._credentials)

    # ---- the schema

    async def schema(self) -> Schema:
        """Return the server's OpenAPI document. It is requested once a week and kept in memory, too."""
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
        """Return the names of all documented endpoints, sorted."""
        with one_warning():
            return (await self.schema()).endpoints

    async def describe_endpoint(self, endpoint: str, action: str | None = None) -> EndpointDescription:
        """Describe an endpoint: its actions, filters and fields. ``print`` shows the description as text."""
        with one_warning():
            return (await self.schema()).describe(endpoint, action and action.replace("-", "_"))

    async def clear_rest_cache(self) -> None:
        """Delete this user's stored answers of this server."""
        self._schema = None
        stack = await (await self._opened()).stack()
        await stack.storage.clear()

    @property
    def wire(self) -> StreamOpener:
        """Opens addresses of any host to read in pieces, without the cache. The token is sent to this server only."""
        return _LazyStreamOpener(self)

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
        invalidates the stored answers of the endpoint. Without an action, the description of the endpoint is returned,
        and without an endpoint the names of all.
        ``expires`` is the maximum age of a stored answer for this call; ``no_cache`` bypasses the cache.

        Raises InputError for endpoints, actions and filters that the server does not document, since Alyx ignores
        unknown filters and returns every row; NotFound, LoginError, StatusError, AnswerError, ServerUnreachable.
        Warns IncompleteListWarning if rows are missing, StaleAnswerWarning if a stale answer was used.
        """
        with one_warning():
            if url is None:
                return await self.list_endpoints()
            name, _, query = url.lstrip("/").partition("?")
            name = name.rstrip("/")
            if query:
                action, filters = "list", {**dict(parse_qsl(query)), **filters}
            documented = await self.schema()
            if action is None:
                return documented.describe(name)
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
        """
        with one_warning():
            url = self._url(rest_query)
            age_limit = self._age_limit(False if clobber else expires, no_cache)
            answer = await self._request("GET", url, age_limit=age_limit)
            if not paging.is_page(answer.json):
                return answer.json
            page = paging.page_of(answer.json, url)
            query = dict(parse_qsl(urlsplit(url).query))
            if page.last and "offset" not in query:
                return paging.distinct(page.rows)
            return await self._list(urlsplit(url).path.strip("/"), query, age_limit)

    async def post(self, rest_query: str, data: Any = None, files: Mapping[str, Any] | None = None) -> Any:
        """Send data to an address and return the JSON of the answer."""
        return await self._write("POST", rest_query, data, files)

    async def put(self, rest_query: str, data: Any = None, files: Mapping[str, Any] | None = None) -> Any:
        """Replace the record at an address and return the JSON of the answer."""
        return await self._write("PUT", rest_query, data, files)

    async def patch(self, rest_query: str, data: Any = None, files: Mapping[str, Any] | None = None) -> Any:
        """Change fields of the record at an address and return the JSON of the answer."""
        return await self._write("PATCH", rest_query, data, files)

    async def delete(self, rest_query: str) -> Any:
        """Delete the record at an address."""
        return await self._write("DELETE", rest_query, None, None)

    async def pages(
        self,
        /,
        endpoint: str,
        *,
        no_cache: bool = False,
        expires: Expiry = None,
        limit: int = paging.PAGE,
        **filters: Any,
    ) -> AsyncIterator[list[Row]]:
        """Yield the pages of a list in order, with at most ``limit`` (and 1000) rows and each row once, some prefetched.

        ``offset`` skips the first rows. Warns IncompleteListWarning at the end if rows are missing: unlike ``rest``, it
        cannot read the list again.
        """
        size, start = (
            whole_number("limit", limit),
            whole_number("offset", filters.pop("offset", None) or 0),
        )
        with one_warning():
            params = await self._checked_params(endpoint, filters)
        gathered = paging.Gathered(paging.may_join(endpoint, params))
        fetch = self._page_fetcher(endpoint, params, self._age_limit(expires, no_cache))
        async with aclosing(paging.in_order(fetch, min(size, paging.PAGE), start)) as pages:
            async for page in pages:
                if rows := gathered.add(page):
                    yield rows
                if gathered.barren_pages >= paging.MAX_BARREN_PAGES:
                    break
        if gathered.suspicious and not start:
            paging.warn_incomplete(endpoint, gathered)

    async def page(
        self,
        /,
        endpoint: str,
        limit: int,
        offset: int,
        *,
        no_cache: bool = False,
        expires: Expiry = None,
        **filters: Any,
    ) -> Page:
        """Return one page as the server sends it: count, rows, and whether it is the last one."""
        limit, offset = whole_number("limit", limit), whole_number("offset", offset)
        with one_warning():
            params = await self._checked_params(endpoint, filters)
            fetch = self._page_fetcher(endpoint, params, self._age_limit(expires, no_cache))
            return await fetch(limit, offset)

    async def frame(
        self, /, endpoint: str, *, no_cache: bool = False, expires: Expiry = None, **filters: Any
    ) -> pl.DataFrame:
        """Return a list as a frame. The server's documentation determines columns and types, whatever the rows are.

        Objects and arrays are structs and lists, times are naive datetimes, and fields of any type are JSON text. The frame
        is of pandas if the client, or the `ONE` that it belongs to, has ``tables="pandas"``. Raises and warns as ``rest`` does.
        """
        frames = await run_sync(import_module, "one_async.alyx.frame")
        check_polars()
        rows = await self.rest(endpoint, "list", no_cache=no_cache, expires=expires, **filters)
        schema = await self.schema()
        with reading(f"/{endpoint}"):
            frame: pl.DataFrame = await run_polars(
                lambda: frames.frame_of(rows, frames.columns_of(schema, endpoint))
            )
        if self._table_kind == "polars":
            return frame
        return await run_sync(as_pandas, frame, False)

    # ---- inside

    async def _opened(self) -> Session:
        """Return the open session. Its module is imported in a thread, since httpx and hishel take a while."""
        if "one_async.alyx.session" not in sys.modules:
            await run_sync(import_module, "one_async.alyx.session")
        return self._open()

    def _open(self) -> Session:
        from one_async.alyx.session import Session

        loop = current_token()
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
        if path_or_url.startswith(("http://", "https://")):
            if not (path_or_url + "/").startswith((self._base_url + "/", self._base_url + "?")):
                raise InputError.of("url", path_or_url, f"addresses of {self._base_url}")
            return path_or_url
        return f"{self._base_url}/{path_or_url.lstrip('/')}"

    async def _write(self, method: str, path_or_url: str, data: Any, files: Mapping[str, Any] | None) -> Any:
        url = self._url(path_or_url)
        body: dict[str, Any] = {}
        if files:
            body = {"files": await run_sync(read_files, files), "data": form_of(data)}
        elif isinstance(data, str | bytes):
            body = {"content": data, "headers": {"Content-Type": "application/json"}}
        elif data is not None:
            body = {"json": to_json_types(data)}
        stack = await (await self._opened()).stack()
        try:
            return (await self._request(method, url, **body)).json
        finally:  # also after an error: Alyx answers some successful writes with 500
            with anyio.CancelScope(shield=True):
                await stack.invalidate(url)

    async def _expire(self, endpoint: str) -> None:
        """Reject the stored answers that a write to an endpoint by another client may have changed."""
        stack = await self._open().stack()
        await stack.invalidate(self._url(endpoint))

    async def _checked_params(self, endpoint: str, filters: Mapping[str, Any]) -> dict[str, str]:
        documented = await self.schema()
        documented.check(endpoint, "list")
        return documented.known_filters(endpoint, params_of(filters))

    async def _list(self, endpoint: str, params: dict[str, str], age_limit: AgeLimit | None) -> list[Row]:
        numbers = {key: whole_number(key, params[key]) for key in ("limit", "offset") if key in params}
        fetch = self._page_fetcher(endpoint, {k: v for k, v in params.items() if k not in numbers}, age_limit)
        size, start = min(numbers.get("limit", paging.PAGE), paging.PAGE), numbers.get("offset", 0)
        if not start:
            return await paging.read_all(fetch, endpoint, paging.may_join(endpoint, params), size)
        pages = paging.in_order(fetch, size, start)
        return paging.distinct([row async for page in pages for row in page.rows])

    def _page_fetcher(
        self, endpoint: str, params: Mapping[str, str], age_limit: AgeLimit | None
    ) -> paging.FetchPage:
        """Return a function that requests pages of one list, none of which is older than the first."""
        url = self._url(endpoint)
        since = 0.0

        async def fetch(limit: int, offset: int) -> Page:
            nonlocal since
            query = dict(
                sorted({**params, "limit": str(limit), **({"offset": str(offset)} if offset else {})}.items())
            )
            page_limit = age_limit and AgeLimit(age_limit.max_age, since)
            answer = await self._request("GET", url, params=query, age_limit=page_limit, slow=True)
            since = since or answer.asked
            return paging.page_of(answer.json, url)

        return fetch


class _LazyStreamOpener:
    """The stream opener of a client; the first use opens the client."""

    def __init__(self, client: AsyncAlyxClient) -> None:
        self._client = client

    def open(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
    ) -> Any:
        return self._client._open().streams.open(url, headers=headers, auth=auth)
