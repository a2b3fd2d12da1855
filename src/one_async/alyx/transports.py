"""The transports between the cache and the connections: CacheControl(Login(Retry(Network(ConnectionPool)))).

Network reads whole bodies, so that Retry repeats and the cache stores complete responses only. What CacheControl returns
has a good status and a JSON body; every other response has been raised as an error.
"""

from __future__ import annotations

import email.utils
import ssl
import time
import zlib
from contextlib import nullcontext
from typing import NoReturn
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import httpx

from one_async._observer import Observer, resending
from one_async._retry_after import retry_after
from one_async.alyx import caching
from one_async.alyx.answers import check_status, detail_of, is_invalid_token, json_of
from one_async.alyx.body import TooLarge, read_all
from one_async.alyx.connection_pool import ConnectionPool, certificates, proxy_for
from one_async.alyx.login import Credentials, is_token
from one_async.alyx.retrying import ATTEMPTS, PATIENCE, SAFE, Timeouts, attempts, backoff
from one_async.errors import AnswerError, InputError, LoginError, OneError, ServerUnreachable

#: The type of a client's ``transport`` argument.
Transport = httpx.AsyncBaseTransport


class Network(Transport):
    """Send one request and read the whole response, decoded. Raises only errors of ours."""

    def __init__(
        self,
        base_url: str,
        total: float,
        max_size: int,
        transport: Transport | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._base_url, self._total, self._max_size = base_url, total, max_size
        self._observer = observer or Observer()
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
            content = await read_all(response, self._max_size)
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


class Retry(Transport):
    """Repeat requests after temporary failures, with at most ``slots`` requests at once.

    Repeated are: GET, HEAD and logins (which always return the same token) after a broken connection or 502, 503, 504;
    all methods after 429 or if the request was not sent. A 429 delays all requests, not only the refused one; the delay
    counts towards PATIENCE, not as an attempt. 500 is not repeated: Alyx responds with it to invalid queries.
    """

    def __init__(
        self, inner: Transport, slots: anyio.CapacityLimiter, observer: Observer | None = None
    ) -> None:
        self.inner, self.slots, self._observer = inner, slots, observer or Observer()
        self.requests, self.retries = 0, 0
        self._resume = 0.0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        attempt, waited, resends = 1, 0.0, 0
        max_attempts = request.extensions.get("attempts", ATTEMPTS)
        method = "GET" if request.extensions.get("repeatable") else request.method
        while True:
            try:
                async with self.slots:
                    await self._wait_for_throttle()
                    self.requests += 1
                    with resending(resends) if resends else nullcontext():
                        response = await self.inner.handle_async_request(request)
            except ServerUnreachable as error:
                if attempt >= min(max_attempts, attempts(method, error)):
                    raise
                delay, attempt, reason = backoff(attempt), attempt + 1, type(error).__name__
            else:
                reason = str(response.status_code)
                requested_delay = retry_after(response.headers.get("retry-after"))
                if response.status_code == 429:
                    delay = max(requested_delay or backoff(attempt), 0.05)
                    waited, attempt = waited + delay, min(attempt + 1, 6)
                    if waited <= PATIENCE:
                        self._resume = max(self._resume, anyio.current_time() + delay)
                elif response.status_code in (502, 503, 504) and method in SAFE and attempt < ATTEMPTS:
                    delay = max(requested_delay or 0.0, backoff(attempt))
                    waited, attempt = waited + delay, attempt + 1
                else:
                    return response
                if waited > PATIENCE:
                    return response
            self.retries, resends = self.retries + 1, resends + 1
            with resending(resends - 1):
                await self._observer.retry(
                    "http", request.method, str(request.url), reason, delay, throttled=reason == "429"
                )

    async def _wait_for_throttle(self) -> None:
        while (left := self._resume - anyio.current_time()) > 0:
            await self._observer.sleep(left)

    async def aclose(self) -> None:
        await self.inner.aclose()


class Login(Transport):
    """Add the token to requests to its own server. Renew it once if the server rejects it."""

    def __init__(self, inner: Transport, base_url: str, credentials: Credentials, timeouts: Timeouts) -> None:
        self.inner, self.credentials, self._timeouts = inner, credentials, timeouts
        self._origin = origin(base_url)
        self._address = f"{base_url}/auth-token"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if origin(request.url) != self._origin:
            raise InputError.of(
                "url", str(request.url), f"addresses of {self._origin}, to which the token belongs"
            )
        token = await self.credentials.obtain(self.request_token)
        response = await self._send(request, token)
        if _rejects_token(response):
            token = await self.credentials.renew(token, self.request_token)
            with resending(1):
                response = await self._send(request, token)
        if response.status_code == 403:
            detail = detail_of(response.content)
            if _rejects_token(response):
                raise self.credentials.missing(f"{self._origin} does not accept its own token")
            raise LoginError(
                f"{request.method} {request.url.path}: {detail}", url=str(request.url), detail=detail
            )
        return response

    async def _send(self, request: httpx.Request, token: str) -> httpx.Response:
        request.headers["Authorization"] = f"Token {token}"
        return await self.inner.handle_async_request(request)

    async def request_token(self, username: str, password: str) -> str:
        """Exchange a user name and password for a token. Raises LoginError; Alyx refuses them with 400."""
        request = httpx.Request(
            "POST",
            self._address,
            json={"username": username, "password": password},
            headers={"Accept": "application/json"},
            extensions={"timeout": self._timeouts.for_read(self._timeouts.login), "repeatable": True},
        )
        with resending(0):  # it may be requested while another request is sent again
            response = await self.inner.handle_async_request(request)
        if response.status_code in (400, 401, 403):
            text = f"{self._origin} refused the login of {username!r}: {detail_of(response.content)}"
            raise LoginError(text, url=self._address, status=response.status_code)
        check_status(request.method, str(request.url), response.status_code, response.content)
        answer = json_of(request, response)
        token = answer.get("token") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not is_token(token):
            raise AnswerError(f"{self._address} answered without a token", url=self._address)
        return token

    async def aclose(self) -> None:
        await self.inner.aclose()


def origin(url: str | httpx.URL) -> str:
    """Return scheme, host and port of an address; a token belongs to one origin."""
    parts = httpx.URL(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{parts.host}:{port}"


def _rejects_token(response: httpx.Response) -> bool:
    return is_invalid_token(response.status_code, response.content)


class CacheControl(Transport):
    """Raise errors for bad responses, and set the Cache-Control that Alyx does not send."""

    def __init__(self, inner: Transport) -> None:
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

    async def aclose(self) -> None:
        await self.inner.aclose()
