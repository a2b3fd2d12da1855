"""What every question to an Alyx database needs: settings, login, connections, and the schema that the server documents."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import anyio
import anyio.to_thread
from anyio.lowlevel import current_token

from one_async._boundary import Boundary
from one_async._stored import TokenFile
from one_async._values import without_password
from one_async.alyx import caching
from one_async.alyx.answers import Answer
from one_async.alyx.caching import Terms, note_stale, one_warning
from one_async.alyx.login import Credentials
from one_async.alyx.query import base_of
from one_async.alyx.retrying import Timeouts
from one_async.alyx.schema import ADDRESS, HEADERS, EndpointDescription, Schema
from one_async.errors import AnswerError, ConfigurationError, InputError
from one_async.types import Expiry, StreamOpener, TokenStore

if TYPE_CHECKING:
    from one_async.alyx.connections import Connections
    from one_async.alyx.http import Transport
    from one_async.settings import Settings

SCHEMA_EXPIRY = timedelta(weeks=1)


class Asking(Boundary):
    """One database as one user asks it; `AsyncAlyxClient` says what can be asked."""

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
            text = "cache_storage must begin with redis://, rediss:// or unix://, or be None for a file; what was given"
            raise InputError(
                f"{text} is not shown here, since it may hold a password", argument="cache_storage"
            )
        self._cache_dir = settings.cache_dir
        self._rest_cache_dir = settings.rest_cache_dir or settings.cache_dir
        self._cache_storage = cache_storage
        self._timeouts = Timeouts.of(timeout)
        self._most = settings.max_response_size
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

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is open, and every secret: where a pickle is loaded, the login is found anew."""
        state = {**self.__dict__, "_connections": None, "_loop": None, "_schema": None}
        user = state.pop("_credentials").user
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
        with anyio.CancelScope(shield=True):  # all of it or nothing
            await self.clear_rest_cache()
            await self._credentials.logout()
            await self._open().switch(self._credentials)

    # ---- the schema

    async def schema(self) -> Schema:
        """Return what the server documents; asked once a week, and kept in memory beside the cache."""
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
        """Return what an endpoint takes: actions, filters, fields. Print it to read it."""
        with one_warning():
            return (await self.schema()).describe(endpoint, action and action.replace("-", "_"))

    async def clear_rest_cache(self) -> None:
        """Forget this user's stored answers of this server."""
        self._schema = None
        stack = await self._open().stack()
        await stack.clear()

    @property
    def wire(self) -> StreamOpener:
        """Bodies in pieces, of any host; the token goes to this server alone, and nothing through the cache."""
        return _LazyStreamOpener(self)

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
                lambda: caching.kept_for(self._default_expiry),
                self._most,
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

    def _url(self, path_or_url: str) -> str:
        if path_or_url.startswith(("http://", "https://")):
            if not (path_or_url + "/").startswith((self._base_url + "/", self._base_url + "?")):
                raise InputError.of("url", path_or_url, f"addresses of {self._base_url}")
            return path_or_url
        return f"{self._base_url}/{path_or_url.lstrip('/')}"


class _LazyStreamOpener:
    """The wire of a client, opened with it."""

    def __init__(self, client: Asking) -> None:
        self._client = client

    def open(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
    ) -> Any:
        return self._client._open().streams.open(url, method=method, headers=headers, auth=auth)
