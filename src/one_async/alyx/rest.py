"""AsyncAlyxClient: the REST interface of one Alyx database for one user."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import anyio
import anyio.to_thread
from anyio.lowlevel import current_token

from one_async._stored import TokenFile
from one_async.alyx import caching, paging
from one_async.alyx.answers import Answer
from one_async.alyx.caching import Terms, note_stale, one_warning
from one_async.alyx.login import Credentials
from one_async.alyx.paging import Page, Row
from one_async.alyx.query import base_of, last_part, params_of, plain, read_files, whole, with_id
from one_async.alyx.retrying import Timeouts
from one_async.alyx.schema import ADDRESS, HEADERS, METHODS, EndpointDescription, Schema
from one_async.errors import AnswerError, ConfigurationError, InputError
from one_async.types import Expiry, TokenStore, Wire

if TYPE_CHECKING:
    import polars as pl

    from one_async.alyx.connections import Connections
    from one_async.alyx.http import Transport
    from one_async.settings import Settings

SCHEMA_EXPIRY = timedelta(weeks=1)


class AsyncAlyxClient:
    """The REST interface of an Alyx database.

    Constructing does nothing but remember; the first request opens connections and the cache file, ``aclose`` or the
    end of ``async with`` closes them. All of that belongs to one event loop, asyncio's or trio's.

    What is not given comes from the environment (``ONE_BASE_URL``, ``ONE_USERNAME``, …), the settings and the tokens that
    are kept, ONE-api's among them; without ``base_url`` it is the default database.

    Parameters: ``token``, or ``username`` and ``password``, or a ``token_store`` that has one; ``cache_dir`` is the folder
    of the database's data, below which the REST cache lies; ``cache_rest`` "GET" or None for no cache;
    ``default_expiry`` how old a stored answer may be; ``cache_storage`` "redis://…" to share the cache between machines;
    ``timeout`` in seconds for the next bytes of an answer; ``transport`` takes the network's place in tests;
    ``settings`` that were resolved already stand for all that says who and where. ``silent`` is accepted for ONE-api's
    sake: nothing is ever asked or printed.
    Raises InputError for what cannot be meant, OfflineError where ``cache_dir`` is no database's.

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
    ) -> None:
        if settings is None:
            from one_async.settings import resolve

            settings = resolve(
                base_url=base_url, username=username, password=password, token=token, cache_dir=cache_dir
            )
        self._base_url = base_of(settings.require("base_url"))
        self.silent = silent
        if cache_storage is not None and not cache_storage.startswith(("redis://", "rediss://", "unix://")):
            raise InputError.of("cache_storage", cache_storage, "redis://…, rediss://…, or None for a file")
        self._cache_dir = settings.cache_dir
        self._rest_cache_dir = settings.rest_cache_dir or settings.cache_dir
        self._cache_storage = cache_storage
        self._timeouts = Timeouts.of(timeout)
        self._transport = transport
        self._token_store = token_store or TokenFile()
        password, token = settings.secret("password"), settings.secret("token")
        self._credentials = Credentials(self._base_url, settings.username, password, token, self._token_store)
        self.cache_mode = cache_rest
        self.default_expiry = (
            settings.default_expiry if default_expiry is caching.DEFAULT_EXPIRY else default_expiry
        )
        #: What ``no_cache`` knows this client by; the blocking face of a client has the same.
        self.cache_scope = secrets.token_hex(8)
        self._connections: Connections | None = None
        self.max_connections = max_connections
        self._loop: object = None
        self._schema: tuple[Schema, float] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._base_url!r}, user={self.user!r})"

    async def __aenter__(self) -> Self:
        # httpx and hishel take a while to import: not on the event loop.
        await anyio.to_thread.run_sync(import_module, "one_async.alyx.connections")
        self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close connections and the cache file; the next request would open them again."""
        connections, self._connections, self._loop = self._connections, None, None
        if connections is not None:
            with anyio.CancelScope(shield=True):
                await connections.aclose()

    # ---- settings

    @property
    def base_url(self) -> str:
        """The server's address, without a slash at its end."""
        return self._base_url

    @property
    def cache_dir(self) -> Path:
        """The folder of the database's data, below which stored answers lie."""
        return self._cache_dir

    @property
    def user(self) -> str | None:
        """The user's name; None as long as only the token store, or of a bare token only the server, knows it."""
        return self._credentials.user

    @property
    def is_logged_in(self) -> bool:
        """Whether a token is at hand (a stored one is looked for by the first request)."""
        return self._credentials.token is not None

    @property
    def cache_mode(self) -> str | None:
        """The method whose answers are kept: "GET", or None for no cache."""
        return self._cache_mode

    @cache_mode.setter
    def cache_mode(self, mode: str | None) -> None:
        if mode is not None and mode.upper() != "GET":
            raise InputError.of("cache_rest", mode, "'GET' or None")
        self._cache_mode = mode and mode.upper()

    @property
    def default_expiry(self) -> Expiry:
        """How old a stored answer may be: a timedelta or seconds, None for any age; counts at once, for stored ones too."""
        return self._default_expiry

    @default_expiry.setter
    def default_expiry(self, expiry: Expiry) -> None:
        caching.max_age(expiry)
        self._default_expiry = expiry

    @property
    def max_connections(self) -> int:
        """How many requests may be under way at once; counts at once."""
        return self._max_connections

    @max_connections.setter
    def max_connections(self, number: int) -> None:
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise InputError.of("max_connections", number, "1 or more")
        self._max_connections = number
        if self._connections is not None:
            self._connections.slots.total_tokens = number

    @property
    def request_counts(self) -> tuple[int, int]:
        """Requests sent since the client was opened, and how many of them were repetitions."""
        retry = None if self._connections is None else self._connections.retry
        return (0, 0) if retry is None else (retry.requests, retry.retries)

    # ---- login

    async def authenticate(
        self,
        username: str | None = None,
        password: str | None = None,
        cache_token: bool = True,
        force: bool = False,
        token: str | None = None,
    ) -> None:
        """Log in now; without arguments with what is known, and only if there is no token yet or with ``force``.

        Without ``cache_token`` the token is not kept for later sessions. Another user's stored answers are not seen by
        this one. Raises LoginError if the server refuses, ServerUnreachable if it does not answer.
        """
        if token is not None or (username is not None and username != self.user):
            connections = self._open()
            store = self._token_store if cache_token else None
            self._credentials = Credentials(self._base_url, username, password, token, store)
            await connections.switch(self._credentials)
            password = None
        if token is None:
            stack = await self._open().stack()
            await self._credentials.login(password, force, stack.login.ask, keep=cache_token)

    async def logout(self) -> None:
        """Forget token, password and user, here and in the token store, and the user's stored answers."""
        await self.clear_rest_cache()
        await self._credentials.logout()
        await self._open().switch(self._credentials)

    # ---- REST

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
        """Ask an endpoint, named by ``url``, for a list of records, for one, or to change one.

        ``list`` gives all records that match as a list of dicts, in the server's order, each once. As in
        ONE-api, ``limit`` is the size of the pages it is read in and cuts nothing (``page`` gives a single one);
        ``offset`` leaves out the first rows. ``id`` narrows it to one. Filters that are None are left out; lists are
        joined by commas.
        ``read`` gives one dict; ``id`` is an id or name, or a path or URL that ends in it. ``create``, ``update`` and
        ``partial_update`` send ``data`` (and ``files``) and give the record; ``delete`` gives None. A write makes the
        stored answers of the endpoint stale. Without an action: what the endpoint can do (print it), and without
        an endpoint the names of all.
        ``expires`` is how old a stored answer may be here; ``no_cache`` goes round the cache.

        Raises InputError for endpoints, actions and filters that the server does not document, since Alyx ignores
        unknown filters and gives every row; NotFound, LoginError, StatusError, AnswerError, ServerUnreachable.
        Warns IncompleteListWarning if rows stayed away, StaleAnswerWarning if an old answer had to do.
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
                params = params_of(with_id(filters, id))
                documented.check_filters(name, params)
                return await self._list(name, params, self._terms(expires, no_cache))
            if filters:
                raise InputError.of(next(iter(filters)), "…", f"for lists, not for {action}")
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
        """Give the JSON of an address of this server; of a list all pages, as a list.

        ``clobber`` takes no stored answer and stores the new one; ``expires`` and ``no_cache`` as in ``rest``.
        Raises InputError for other servers' addresses, and as ``rest`` does.
        """
        with one_warning():
            url = self._url(rest_query)
            terms = self._terms(False if clobber else expires, no_cache)
            answer = await self._ask("GET", url, terms=terms)
            if not paging.is_page(answer.json):
                return answer.json
            page = paging.page_of(answer.json, url)
            query = dict(parse_qsl(urlsplit(url).query))
            if page.last and "offset" not in query:
                return paging.distinct(page.rows)
            return await self._list(urlsplit(url).path.strip("/"), query, terms)

    async def post(self, rest_query: str, data: Any = None, files: Mapping[str, Any] | None = None) -> Any:
        """Send data to an address; gives the answer's JSON."""
        return await self._write("POST", rest_query, data, files)

    async def put(self, rest_query: str, data: Any = None, files: Mapping[str, Any] | None = None) -> Any:
        """Replace the record at an address; gives the answer's JSON."""
        return await self._write("PUT", rest_query, data, files)

    async def patch(self, rest_query: str, data: Any = None, files: Mapping[str, Any] | None = None) -> Any:
        """Change fields of the record at an address; gives the answer's JSON."""
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
        """Stream a list: pages of ``limit`` rows (at most 1000), in order, each row once, a few asked ahead.

        ``offset`` leaves out the first rows. Warns IncompleteListWarning at the end if rows stayed away: unlike ``rest`` it
        cannot read twice.
        """
        size, start = whole("limit", str(limit)), whole("offset", str(filters.pop("offset", None) or 0))
        with one_warning():
            params = await self._checked(endpoint, filters)
        gathered = paging.Gathered(paging.may_join(endpoint, params))
        ask = self._pager(endpoint, params, self._terms(expires, no_cache))
        async with aclosing(paging.in_order(ask, min(size, paging.PAGE), start, None)) as pages:
            async for page in pages:
                if rows := gathered.add(page):
                    yield rows
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
        """Give one page as the server gives it: its count, its rows, and whether it is the last."""
        with one_warning():
            params = await self._checked(endpoint, filters)
            return await self._pager(endpoint, params, self._terms(expires, no_cache))(limit, offset)

    async def frame(
        self, /, endpoint: str, *, no_cache: bool = False, expires: Expiry = None, **filters: Any
    ) -> pl.DataFrame:
        """Give a list as one frame; columns and types are those that the server documents, whatever rows come.

        Objects and arrays are structs and lists, times are naive datetimes; fields that may hold anything are JSON text.
        Raises and warns as ``rest`` does.
        """
        from one_async.alyx.frame import columns_of, frame_of

        rows = await self.rest(endpoint, "list", no_cache=no_cache, expires=expires, **filters)
        columns = columns_of(await self.schema(), endpoint)
        return await anyio.to_thread.run_sync(frame_of, rows, columns)

    # ---- the schema

    async def schema(self) -> Schema:
        """Give what the server documents; asked once a week, and kept in memory beside the cache."""
        if self._schema is None or time.monotonic() - self._schema[1] > SCHEMA_EXPIRY.total_seconds():
            return await self._open().schemas.share("schema", self._ask_schema)
        return self._schema[0]

    async def _ask_schema(self) -> Schema:
        try:
            schema = await self._schema_of_age(SCHEMA_EXPIRY)
        except AnswerError:  # what is no schema may be a stored answer
            schema = await self._schema_of_age(timedelta(0))
        self._schema = (schema, time.monotonic())
        return schema

    async def _schema_of_age(self, expiry: timedelta) -> Schema:
        terms = self._terms(expiry, False)
        return Schema((await self._ask("GET", self._url(ADDRESS), terms=terms, headers=HEADERS)).json)

    async def list_endpoints(self) -> list[str]:
        """Name all endpoints that the server documents, sorted."""
        with one_warning():
            return (await self.schema()).endpoints

    async def describe_endpoint(self, endpoint: str, action: str | None = None) -> EndpointDescription:
        """Say what an endpoint takes: actions, filters, fields. Print it to read it."""
        with one_warning():
            return (await self.schema()).describe(endpoint, action and action.replace("-", "_"))

    async def clear_rest_cache(self) -> None:
        """Forget this user's stored answers of this server."""
        self._schema = None
        stack = await self._open().stack()
        await stack.clear()

    @property
    def wire(self) -> Wire:
        """Bodies in pieces, of any host; the token goes to this server alone, and nothing through the cache."""
        return _LazyWire(self)

    # ---- inside

    def _open(self) -> Connections:
        from one_async.alyx.connections import Connections

        loop = current_token()
        if self._connections is None:
            self._connections = Connections(
                self._base_url,
                self._credentials,
                self._timeouts,
                self._max_connections,
                self._rest_cache_dir,
                self._cache_storage,
                self._transport,
            )
            self._loop = loop
        elif self._loop != loop:
            raise ConfigurationError(
                f"this {type(self).__name__} is open on another event loop; make one for each loop, or close it first"
            )
        return self._connections

    def _terms(self, expires: Expiry, no_cache: bool) -> Terms | None:
        age = caching.max_age(expires, self._default_expiry)
        if no_cache or self._cache_mode is None or caching.goes_around(self.cache_scope):
            return None
        return Terms(age)

    async def _ask(self, method: str, url: str, **options: Any) -> Answer:
        stack = await self._open().stack()
        answer = await stack.ask(method, url, **options)
        if answer.stale is not None:
            note_stale(answer.stale)
        return answer

    async def _write(self, method: str, path_or_url: str, data: Any, files: Mapping[str, Any] | None) -> Any:
        url = self._url(path_or_url)
        body: dict[str, Any] = {}
        if files is not None:
            body = {"files": await anyio.to_thread.run_sync(read_files, files), "data": data}
        elif isinstance(data, str | bytes):
            body = {"content": data, "headers": {"Content-Type": "application/json"}}
        elif data is not None:
            body = {"json": plain(data)}
        stack = await self._open().stack()
        try:
            return (await self._ask(method, url, **body)).json
        finally:  # also after an error: Alyx has 500 answers to writes that it made
            with anyio.CancelScope(shield=True):
                await stack.wrote(url)

    async def _checked(self, endpoint: str, filters: Mapping[str, Any]) -> dict[str, str]:
        documented = await self.schema()
        documented.check(endpoint, "list")
        params = params_of(filters)
        documented.check_filters(endpoint, params)
        return params

    async def _list(self, endpoint: str, params: dict[str, str], terms: Terms | None) -> list[Row]:
        given = {key: whole(key, params[key]) for key in ("limit", "offset") if key in params}
        ask = self._pager(endpoint, {k: v for k, v in params.items() if k not in given}, terms)
        size, start = min(given.get("limit", paging.PAGE), paging.PAGE), given.get("offset", 0)
        if not start:
            return await paging.read_all(ask, endpoint, paging.may_join(endpoint, params), size)
        pages = paging.in_order(ask, size, start, None)
        return paging.distinct([row async for page in pages for row in page.rows])

    def _pager(self, endpoint: str, params: Mapping[str, str], terms: Terms | None) -> paging.AskPage:
        url = self._url(endpoint)
        since = 0.0

        async def ask(limit: int, offset: int) -> Page:
            # Pages of one list belong together: none may be older than the first.
            nonlocal since
            query = dict(
                sorted({**params, "limit": str(limit), **({"offset": str(offset)} if offset else {})}.items())
            )
            wanted = terms and Terms(terms.max_age, since)
            answer = await self._ask("GET", url, params=query, terms=wanted, slow=True)
            since = since or answer.asked
            return paging.page_of(answer.json, url)

        return ask

    def _url(self, path_or_url: str) -> str:
        if path_or_url.startswith(("http://", "https://")):
            if not (path_or_url + "/").startswith((self._base_url + "/", self._base_url + "?")):
                raise InputError.of("url", path_or_url, f"addresses of {self._base_url}")
            return path_or_url
        return f"{self._base_url}/{path_or_url.lstrip('/')}"


class _LazyWire:
    """The wire of a client, opened with it."""

    def __init__(self, client: AsyncAlyxClient) -> None:
        self._client = client

    def open(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
    ) -> Any:
        return self._client._open().wire.open(url, method=method, headers=headers, auth=auth)
