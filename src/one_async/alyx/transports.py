"""The session of a client on one event loop: its connections, and the login and cache of its current user.

A request passes ``AsyncAlyxClient`` -> `UserStack.request` -> `Freshness` -> hishel's cache -> `CacheControl` -> `Login` ->
`Retry` -> `Network` -> `ConnectionPool`. Network reads whole bodies, so that Retry repeats and the cache stores complete
responses only. What CacheControl returns has a good status and a JSON body, or is a redirect; every other response has
been raised as an error.
"""

from __future__ import annotations

import asyncio
import email.utils
import hashlib
import ssl
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urljoin, urlsplit

import anyio
import anyio.to_thread
import hishel
import hishel.httpx
import httpx

from one_async._concurrency import SingleFlight
from one_async._observer import Observer
from one_async.alyx import caching
from one_async.alyx.auth import Credentials, Login, origin
from one_async.alyx.caching import AgeLimit, Freshness, requested_at
from one_async.alyx.connection_pool import ConnectionPool, certificates, proxy_for
from one_async.alyx.redis_storage import RedisStorage, Storage
from one_async.alyx.responses import Answer, TooLarge, check_status, json_of, read_body
from one_async.alyx.retrying import Retry, Timeouts
from one_async.alyx.schema import Schema
from one_async.alyx.sqlite_storage import ResponseStore, SQLiteStorage, cache_file
from one_async.alyx.streams import HttpStreamOpener
from one_async.errors import AnswerError, ConfigurationError, InputError, OneError, ServerUnreachable, shown

#: The type of a client's ``transport`` argument.
Transport = httpx.AsyncBaseTransport


class Network(Transport):
    """Send one request and read the whole response, decoded. Raises only errors of ours."""

    def __init__(
        self,
        base_url: str,
        total: float,
        max_size: int,
        transport: Transport | None,
        observer: Observer,
    ) -> None:
        self._base_url, self._total, self._max_size = base_url, total, max_size
        self._observer = observer
        self._transport = transport  # the caller's, which stays open
        self._pool: ConnectionPool | None = None
        self._lock = anyio.Lock()
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        transport = self._transport or self._pool or await self._open_pool()
        with self._observer.exchange(request.method, str(request.url), is_rest=True) as exchange:
            response = await self._exchange(transport, request)
            exchange.status = response.status_code
            return response

    async def _exchange(self, transport: Transport, request: httpx.Request) -> httpx.Response:
        try:
            with anyio.fail_after(self._total):
                response = await transport.handle_async_request(request)
                return await self._read(response)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            slow = isinstance(error, httpx.ConnectTimeout)
            _raise_unreachable(request, f"no connection ({_text_of(error)})", error, sent=False, slow=slow)
        except (httpx.TimeoutException, TimeoutError) as error:
            _raise_unreachable(request, "no answer within the time allowed", error, slow=True)
        except TooLarge:
            text = (
                f"{str(request.url)[:300]} answered with more than {self._max_size:,} bytes; to allow more, set "
                "max_response_size (ONE_MAX_RESPONSE_SIZE)"
            )
            raise AnswerError(text, url=str(request.url)) from None
        except (zlib.error, httpx.DecodingError) as error:
            text = f"{request.url} answered with a body that cannot be decoded ({error})"
            raise AnswerError(text, url=str(request.url)) from error
        except httpx.LocalProtocolError:  # its text may contain a header
            raise InputError(f"{request.url}: a header of this request cannot be sent") from None
        except (httpx.TransportError, OSError) as error:
            _raise_unreachable(request, f"the connection broke ({_text_of(error)})", error)

    async def _read(self, response: httpx.Response) -> httpx.Response:
        """Return the response with its decoded body. Raises TooLarge."""
        if response.is_stream_consumed:
            self._observer.counts.received += len(response.content)
            if len(response.content) > self._max_size:
                raise TooLarge
            return response
        try:
            content = await read_body(response, self._max_size)
        finally:
            self._observer.counts.received += response.num_bytes_downloaded
        dropped = {b"content-encoding", b"content-length", b"transfer-encoding"}
        headers = [(name, value) for name, value in response.headers.raw if name.lower() not in dropped]
        return httpx.Response(
            response.status_code, headers=headers, content=content, extensions=response.extensions
        )

    async def _open_pool(self) -> ConnectionPool:
        async with self._lock:
            if self._closed:
                raise OneError("the client was closed during this request")
            if self._pool is None:
                self._pool = ConnectionPool(await anyio.to_thread.run_sync(self._ssl_context))
            return self._pool

    def _ssl_context(self) -> ssl.SSLContext:
        # Plain http needs no certificates, which are slow to load. A context without any trusts no server.
        parts = urlsplit(self._base_url)
        plain = parts.scheme == "http" and not proxy_for(parts.hostname, "http")
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else certificates()

    async def aclose(self) -> None:
        self._closed = True
        async with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            await pool.aclose()


def _text_of(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _raise_unreachable(
    request: httpx.Request, what: str, cause: BaseException, *, sent: bool = True, slow: bool = False
) -> NoReturn:
    """Raise ServerUnreachable; Retry decides by ``sent`` and ``slow`` whether and how often to repeat the request."""
    server = f"{request.url.scheme}://{request.url.netloc.decode()}"
    raise ServerUnreachable(f"{server}: {what}", url=str(request.url), sent=sent, slow=slow) from cause


class CacheControl(httpx.AsyncBaseTransport):
    """Raise errors for bad responses, and set the Cache-Control that Alyx does not send."""

    def __init__(self, inner: Login) -> None:
        self.inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.extensions.get("only-if-cached"):
            return httpx.Response(504)
        sent = time.time()
        response = await self.inner.handle_async_request(request)
        status = response.status_code
        if not 300 <= status < 400:
            check_status(request.method, str(request.url), status, response.content)
            response.extensions["json"] = json_of(request, response)
        own = any(name in response.headers for name in ("cache-control", "expires", "pragma"))
        policy = caching.cache_control(str(request.url), status, own)
        if policy is not None:
            response.headers["cache-control"] = policy
        if policy == caching.CACHEABLE:
            # The cache computes ages from this date; the server's clock may be wrong.
            response.headers["date"] = email.utils.formatdate(sent, usegmt=True)
        response.headers[caching.REQUESTED_AT] = f"{sent:.3f}"
        return response


class UserStack:
    """The transports and cache of one user of one server."""

    def __init__(
        self,
        base_url: str,
        retry: Retry,
        credentials: Credentials,
        storage: Storage,
        timeouts: Timeouts,
        observer: Observer,
    ) -> None:
        self.base_url, self.storage = base_url, storage
        self._timeout_of_list, self._timeout_of_record = map(
            timeouts.for_read, (timeouts.list, timeouts.record)
        )
        self.login = Login(retry, base_url, credentials, timeouts)
        checked = CacheControl(self.login)
        cache = hishel.httpx.AsyncCacheTransport(checked, storage, rfc=hishel.CacheOptions(shared=False))
        self._freshness = Freshness(cache, checked, observer)

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        age_limit: AgeLimit | None = None,
        slow: bool = False,
        **body: Any,
    ) -> Answer:
        """Send a request and return its answer. ``slow`` requests are lists, for which Alyx needs seconds."""
        extensions = {"timeout": self._timeout_of_list if slow else self._timeout_of_record}
        headers = {"Accept": "application/json", **(headers or {})}
        for _ in range(4):
            try:
                request = httpx.Request(
                    method, url, params=params, headers=headers, extensions=extensions, **body
                )
            except httpx.InvalidURL as error:
                raise InputError.of("url", url[:200], f"an address ({error})") from None
            response = await self._freshness.send(request, age_limit)
            if not 300 <= response.status_code < 400:
                parsed = response.extensions.pop("json", None)
                try:
                    answer = json_of(request, response) if parsed is None else parsed
                except AnswerError:
                    # Only valid JSON is stored, so another program changed the cache: request it again.
                    if age_limit is None or age_limit.max_age <= 0 or "stale" in response.extensions:
                        raise
                    age_limit = AgeLimit(0.0)
                    continue
                return Answer(answer, requested_at(response), response.extensions.get("stale"))
            url, params = self._redirect(method, url, response.headers.get("location", "")), None
        raise AnswerError(f"{url} redirects without end", url=url)

    def _redirect(self, method: str, url: str, location: str) -> str:
        """Return the target of a redirect. Raises AnswerError unless it is a GET to the same server."""
        try:
            target = urljoin(url, location)
            external = origin(target) != origin(self.base_url)
        except (ValueError, httpx.InvalidURL):  # an invalid host in brackets, or an invalid port
            target, external = "", True
        if method != "GET" or not location or external:
            raise AnswerError(
                f"{url} redirects to {shown(location)}; if the server moved, change base_url", url=url
            )
        return target

    async def invalidate(self, endpoints: frozenset[str]) -> None:
        """Invalidate the stored answers of endpoints that were written to."""
        self._freshness.invalidate(endpoints)
        await self.storage.expire(endpoints)


class Session:
    """Connections of a client on one event loop, and the stack of its current user."""

    def __init__(
        self,
        base_url: str,
        credentials: Credentials,
        timeouts: Timeouts,
        max_connections: int,
        cache_dir: Path | None,
        cache_storage: str | None,
        transport: Transport | None,
        retention: Callable[[], float],
        max_size: int,
        observer: Observer,
    ) -> None:
        self._observer = observer
        self._base_url, self._credentials, self._timeouts = base_url, credentials, timeouts
        self._cache_dir, self._cache_storage, self._retention = cache_dir, cache_storage, retention
        self.schemas: SingleFlight[Schema] = SingleFlight()
        self._lock = anyio.Lock()
        self.slots = anyio.CapacityLimiter(max_connections)
        self.retry = Retry(
            Network(base_url, timeouts.total, max_size, transport, observer), self.slots, observer
        )
        self._stack: UserStack | None = None
        self.streams = HttpStreamOpener(self._login, base_url, timeouts, max_connections, transport, observer)
        credentials.rebind()

    async def stack(self) -> UserStack:
        """Return the stack of the current user. The first call identifies the user, without a request."""
        if self._stack is not None:
            return self._stack
        async with self._lock:
            if self._stack is None:
                user = await self._credentials.identify()
                self._stack = UserStack(
                    self._base_url,
                    self.retry,
                    self._credentials,
                    self._storage(user),
                    self._timeouts,
                    self._observer,
                )
            return self._stack

    async def _login(self) -> Login:
        return (await self.stack()).login

    def _storage(self, user: str) -> Storage:
        # A digest, which does not reveal the user, of the answers of one server to one user.
        digest = hashlib.sha256(f"one_async REST cache\0{self._base_url}\0{user}".encode())
        key = digest.hexdigest()[:20]
        if self._cache_storage is not None:
            try:
                asyncio.get_running_loop()
            except RuntimeError as error:
                raise ConfigurationError(
                    "a Redis cache works with asyncio only; omit cache_storage"
                ) from error
            return RedisStorage(self._cache_storage, key)
        folder = self._cache_dir
        file = None if folder is None else cache_file(folder, self._base_url, key)
        return SQLiteStorage(ResponseStore(file, self._retention))

    async def switch(self, credentials: Credentials) -> None:
        """Use another user's credentials and cache for new requests; requests under way keep theirs."""
        async with self._lock:
            stack, self._stack, self._credentials = self._stack, None, credentials
            if stack is not None:
                await stack.storage.close()

    def abandon(self) -> None:
        """Close the cache file of a session whose event loop has ended; blocking. Its connections ended with the loop."""
        if self._stack is not None and isinstance(self._stack.storage, SQLiteStorage):
            self._stack.storage.store.close_blocking()

    async def aclose(self) -> None:
        """Close all connections and the cache."""
        await self.streams.aclose()
        await self.retry.aclose()
        if self._stack is not None:
            await self._stack.storage.close()
