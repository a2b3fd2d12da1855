"""The stack of transports: Accept(Cache(Stamp(Login(Retry(Network))))). The only module that knows httpx or hishel.

Each layer sees whole answers: Network reads the body, so that what Retry repeats and Cache keeps is complete. From
Stamp upwards an answer has a good status and JSON in it; everything else has been raised as an error by then.
"""

from __future__ import annotations

import copy
import email.utils
import json
import random
import ssl
import time
import urllib.request
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, NoReturn, cast
from urllib.parse import urljoin, urlsplit
from uuid import UUID

import anyio
import anyio.to_thread
import hishel
import hishel.httpx
import httpx

from one_async.alyx import caching
from one_async.alyx.caching import Kept, Shelf
from one_async.alyx.login import Credentials
from one_async.errors import (
    AnswerError,
    InputError,
    LoginError,
    NotFound,
    OneError,
    ServerUnreachable,
    StatusError,
    Throttled,
)

__all__ = ["httpx"]
Transport = httpx.AsyncBaseTransport
Storage = hishel.AsyncBaseStorage
STORED = "one-stored-at"  # our header on stored answers: when they were asked for, in seconds
#: Alyx closes a connection after 5 s without use; ours are dropped before, so that none is found closed.
KEEPALIVE = 4.0


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait: for a connection; for the next bytes of a record, of a list, of a login; for a whole answer."""

    connect: float = 10.0
    record: float = 60.0
    list: float = 120.0
    login: float = 30.0
    total: float = 600.0

    @classmethod
    def of(cls, given: Timeouts | float | None) -> Timeouts:
        """Take a number as the limit for records and lists alike."""
        if given is None:
            return cls()
        if isinstance(given, Timeouts):
            return given
        if isinstance(given, bool) or not given > 0:
            raise InputError.of("timeout", given, "seconds above 0")
        wait = float(given)
        return cls(connect=min(10.0, wait), record=wait, list=wait, login=min(30.0, wait), total=5 * wait)

    def on(self, read: float) -> dict[str, float | None]:
        return {"connect": self.connect, "read": read, "write": read, "pool": None}


@dataclass(frozen=True, slots=True)
class Terms:
    """How old an answer a request takes: in seconds, and asked for not before a moment (seconds since 1970)."""

    max_age: float
    since: float = 0.0


class Answer(NamedTuple):
    """The JSON of an answer, when it was asked for, and, if it is older than wanted since nobody answers, a text."""

    json: Any
    asked: float
    stale: str | None


# ---- Network ----------------------------------------------------------------------------------------------


class Network(Transport):
    """Send one request and read the whole answer; nothing but our errors comes out."""

    def __init__(self, base_url: str, total: float, inner: Transport | None = None) -> None:
        self._base, self._total = base_url, total
        self._inner = inner
        self._lock = anyio.Lock()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        inner = self._inner or await self._open()
        try:
            with anyio.fail_after(self._total):
                response = await inner.handle_async_request(request)
                await response.aread()
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            unreachable(request, f"no connection ({error or type(error).__name__})", error, sent=False)
        except (httpx.TimeoutException, TimeoutError) as error:
            unreachable(request, "no answer within the time allowed", error, slow=True)
        except httpx.DecodingError as error:
            raise AnswerError(
                f"{request.url} answered with bytes that cannot be decoded", url=str(request.url)
            ) from error
        except httpx.TransportError as error:
            unreachable(request, f"the connection broke ({error or type(error).__name__})", error)
        except OSError as error:
            unreachable(request, f"the connection broke ({error})", error)
        return response

    async def _open(self) -> Transport:
        async with self._lock:
            if self._inner is None:
                self._inner = await anyio.to_thread.run_sync(self._make)
            return self._inner

    def _make(self) -> Transport:
        parts = urlsplit(self._base)
        limits = httpx.Limits(
            max_connections=None, max_keepalive_connections=None, keepalive_expiry=KEEPALIVE
        )
        # Plain http needs no certificates, and reading them takes time; a context without any trusts nobody.
        plain = parts.scheme == "http"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else httpx.create_ssl_context()
        return httpx.AsyncHTTPTransport(
            verify=context, http2=False, limits=limits, proxy=proxy_for(parts.hostname, parts.scheme)
        )

    async def aclose(self) -> None:
        inner, self._inner = self._inner, None
        if inner is not None:
            await inner.aclose()


def proxy_for(host: str | None, scheme: str) -> str | None:
    """Give the proxy that the environment sets for a host, as other tools understand it."""
    if host in (None, "localhost", "127.0.0.1", "::1") or urllib.request.proxy_bypass(host):
        return None
    found = urllib.request.getproxies()
    return found.get(scheme) or found.get("all")


def unreachable(
    request: httpx.Request, what: str, cause: BaseException, *, sent: bool = True, slow: bool = False
) -> NoReturn:
    """Raise ServerUnreachable; ``sent`` and ``slow`` tell Retry whether and how often to try again."""
    where = f"{request.url.scheme}://{request.url.netloc.decode()}"
    raise ServerUnreachable(f"{where}: {what}", url=str(request.url), sent=sent, slow=slow) from cause


# ---- Retry ------------------------------------------------------------------------------------------------


class Retry(Transport):
    """Try again what may pass: broken connections and 502, 503, 504 of GET and HEAD, unsent requests and 429 of all.

    At most ``slots`` requests are under way at once. A 429 makes every request wait, not only the one that was refused;
    waiting for it counts as time (``patience``), not as an attempt. 500 is not repeated: Alyx says it of a bad query.
    """

    attempts = 5
    slow_attempts = 2
    patience = 300.0

    def __init__(self, inner: Transport, slots: anyio.CapacityLimiter) -> None:
        self.inner, self.slots = inner, slots
        self._resume = 0.0
        self.retries = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        attempt, waited = 1, 0.0
        while True:
            try:
                async with self.slots:
                    await self._pause_over()
                    response = await self.inner.handle_async_request(request)
            except ServerUnreachable as error:
                if attempt >= self._allowed(request, error):
                    raise
                delay = backoff(attempt)
                attempt += 1
            else:
                if response.status_code == 429:
                    delay = max(retry_after(response), 0.05)
                    if waited + delay > self.patience:
                        return response
                    waited += delay
                    self._resume = max(self._resume, anyio.current_time() + delay)
                elif response.status_code in (502, 503, 504) and request.method in ("GET", "HEAD"):
                    delay = max(backoff(attempt), retry_after(response, 0.0))
                    if attempt >= self.attempts or delay > self.patience:
                        return response
                    attempt += 1
                else:
                    return response
            self.retries += 1
            await anyio.sleep(delay)

    def _allowed(self, request: httpx.Request, error: ServerUnreachable) -> int:
        if getattr(error, "sent", True) and request.method not in ("GET", "HEAD"):
            return 1
        return self.slow_attempts if getattr(error, "slow", False) else self.attempts

    async def _pause_over(self) -> None:
        while (left := self._resume - anyio.current_time()) > 0:
            await anyio.sleep(left)

    async def aclose(self) -> None:
        await self.inner.aclose()


def backoff(attempt: int) -> float:
    """Give the seconds before the next attempt: doubling from 0.1 to 5, half of it by chance."""
    full = min(0.1 * 2**attempt, 5.0)
    return full * random.uniform(0.5, 1.0)


def retry_after(response: httpx.Response, default: float = 1.0) -> float:
    """Read Retry-After, seconds or a date (RFC 9110 section 10.2.3)."""
    value = response.headers.get("retry-after", "")
    try:
        return max(float(value), 0.0)
    except ValueError:
        pass
    try:
        when: float = email.utils.parsedate_to_datetime(value).timestamp()
        return max(0.0, when - time.time())
    except (ValueError, TypeError):
        return default


# ---- Login ------------------------------------------------------------------------------------------------


class Login(Transport):
    """Add the token to requests to its own server; renew it once when the server calls it invalid."""

    def __init__(self, inner: Transport, base_url: str, credentials: Credentials, timeouts: Timeouts) -> None:
        self.inner, self.credentials, self._timeouts = inner, credentials, timeouts
        self._origin = origin(base_url)
        self._address = f"{base_url}/auth-token"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if origin(str(request.url)) != self._origin:
            raise InputError.of("url", str(request.url), f"addresses of {self._origin}, whose token this is")
        token = await self.credentials.obtain(self.ask)
        response = await self._send(request, token)
        if response.status_code == 403 and is_invalid_token(response):
            token = await self.credentials.renew(token, self.ask)
            response = await self._send(request, token)
        if response.status_code == 403:
            detail = detail_of(response)
            if is_invalid_token(response):
                raise self.credentials.missing(f"{self._origin} does not accept its own token")
            raise LoginError(
                f"{request.method} {request.url.path}: {detail}", url=str(request.url), detail=detail
            )
        return response

    async def _send(self, request: httpx.Request, token: str) -> httpx.Response:
        request.headers["Authorization"] = f"Token {token}"
        return await self.inner.handle_async_request(request)

    async def ask(self, username: str, password: str) -> str:
        """Exchange a user name and password for a token; Alyx refuses bad ones with 400."""
        request = httpx.Request(
            "POST",
            self._address,
            json={"username": username, "password": password},
            headers={"Accept": "application/json"},
            extensions={"timeout": self._timeouts.on(self._timeouts.login)},
        )
        response = await self.inner.handle_async_request(request)
        if response.status_code in (400, 401, 403):
            text = f"{self._origin} refused the login of {username!r}: {detail_of(response)}"
            raise LoginError(text, url=self._address, status=response.status_code)
        check_status(request, response)
        answer = parse(request, response)
        token = answer.get("token") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not token:
            raise AnswerError(f"{self._address} answered without a token", url=self._address)
        return token

    async def aclose(self) -> None:
        await self.inner.aclose()


def origin(url: str) -> str:
    """Give scheme, host and port: what a token belongs to."""
    parts = httpx.URL(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{parts.host}:{port}"


def is_invalid_token(response: httpx.Response) -> bool:
    return b"Invalid token" in response.content[:1000]


# ---- Stamp ------------------------------------------------------------------------------------------------


class Stamp(Transport):
    """Let only good JSON answers pass, and say how long each may be kept, since Alyx does not."""

    def __init__(self, inner: Transport) -> None:
        self.inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.extensions.get("only-if-cached"):
            return httpx.Response(504)
        asked = time.time()
        response = await self.inner.handle_async_request(request)
        status = response.status_code
        if not 300 <= status < 400:
            check_status(request, response)
            response.extensions["json"] = parse(request, response)
        own = any(name in response.headers for name in ("cache-control", "expires", "pragma"))
        policy = caching.stamp_for(str(request.url), status, own)
        if policy is not None:
            response.headers["cache-control"] = policy
        if policy == caching.STAMP:
            # Its own clock may be wrong, and the cache counts the age from here.
            response.headers["date"] = email.utils.formatdate(asked, usegmt=True)
        response.headers[STORED] = f"{asked:.3f}"
        return response

    async def aclose(self) -> None:
        await self.inner.aclose()


def parse(request: httpx.Request, response: httpx.Response) -> Any:
    """Read an answer's JSON; None for an empty one. Alyx answers some failures with a page and status 200."""
    if not response.content:
        return None
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith("text/html"):
        raise AnswerError(
            f"{request.url} answered with a page, not with JSON: {detail_of(response)}", url=str(request.url)
        )
    try:
        return json.loads(response.content)
    except ValueError as error:
        text = f"{request.url} answered with {kind or 'something'} that is not JSON ({error})"
        raise AnswerError(text, url=str(request.url)) from None


def detail_of(response: httpx.Response) -> Any:
    """Give what an error body says, whichever of Alyx's forms it has; of a page the title."""
    text = response.text[:20000]
    try:
        body = json.loads(text)
    except ValueError:
        _, _, rest = text.partition("<title>")
        title = rest.partition("</title>")[0].strip()
        return title or ("a page without title" if "<html" in text.lower() else text[:300].strip())
    if isinstance(body, dict):
        body.pop("status_code", None)
        if len(body) == 1 and (only := next(iter(body))) in (
            "detail",
            "details",
            "error",
            "non_field_errors",
        ):
            body = body[only]
    return body[0] if isinstance(body, list) and len(body) == 1 else body


def check_status(request: httpx.Request, response: httpx.Response) -> None:
    """Raise for an error status, with what the server said about it."""
    status = response.status_code
    if status < 400:
        return
    detail = detail_of(response)
    where = request.url.path + (f"?{request.url.query.decode()}" if request.url.query else "")
    kind = {404: NotFound, 429: Throttled}.get(status, StatusError)
    text = f"{request.method} {where[:500]}: {status} {detail}"
    raise kind(text, url=str(request.url), status=status, detail=detail)


# ---- Cache ------------------------------------------------------------------------------------------------


class ShelfStorage(Storage):
    """A hishel storage on a Shelf: one answer for each key, the newest.

    Of the request only what ``Vary`` names is kept, so no credentials even if a layer is moved.
    """

    def __init__(self, shelf: Shelf) -> None:
        super().__init__()
        self.shelf = shelf

    async def create_entry(
        self,
        request: hishel.Request,
        response: hishel.Response,
        key: str,
        *,
        ttl: float | None = None,
        tti: float | None = None,
    ) -> hishel.Entry:
        stream = cast("AsyncIterator[bytes]", response.stream)
        body = b"".join([chunk async for chunk in stream])
        varying = {name.strip().lower() for name in response.headers.get("vary", "").split(",")} - {
            "authorization"
        }
        asked = {name: values for name, values in lists(request.headers).items() if name.lower() in varying}
        head = caching.head_of(
            request.url, request.method, asked, response.status_code, lists(response.headers)
        )
        id = bytes.fromhex(key[:32])
        kept = Kept(
            id, caching.endpoint_of(request.url), float(response.headers.get(STORED, time.time())), head, body
        )
        await self.shelf.put(kept)
        return hishel.Entry(
            id=UUID(bytes=id), request=request, response=replace(response, stream=one_chunk(body))
        )

    async def get_entries(self, key: str) -> list[hishel.Entry]:
        kept = await self.shelf.get(bytes.fromhex(key[:32]))
        if kept is None:
            return []
        url, method, asked, status, said = json.loads(kept.head)
        request = hishel.Request(method=method, url=url, headers=hishel.Headers(asked))
        response = hishel.Response(status, hishel.Headers(said), one_chunk(kept.body))
        return [hishel.Entry(id=UUID(bytes=kept.id), request=request, response=response)]

    async def update_headers(self, id: UUID, headers: hishel.Headers) -> None:
        def change(head: bytes) -> bytes:
            url, method, asked, status, _ = json.loads(head)
            return caching.head_of(url, method, asked, status, lists(headers))

        await self.shelf.set_head(id.bytes, float(headers.get(STORED, time.time())), change)

    async def remove_entry(self, id: UUID) -> None:
        await self.shelf.remove(id.bytes)

    async def close(self) -> None:
        await self.shelf.close()


def lists(headers: hishel.Headers) -> dict[str, list[str]]:
    return {name: headers.get_list(name) or [] for name in headers}


async def one_chunk(body: bytes) -> AsyncIterator[bytes]:
    yield body


# ---- Accept -----------------------------------------------------------------------------------------------


def _asked(response: httpx.Response) -> float:
    return float(response.headers.get(STORED, 0.0))


class _Flight:
    __slots__ = ("answer", "done", "error")

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.answer: httpx.Response | None = None
        self.error: OneError | None = None


class Accept(Transport):
    """Judge whether what the cache gives is young enough, ask again if not, and fall back on it if nobody answers.

    hishel 2.0.0 ignores ``max-age`` and ``max-stale`` of requests (RFC 9111 section 5.2.1), so this does it. Tasks that
    ask the same at the same time make one request. Requests without Terms go round the cache.
    """

    def __init__(self, cache: Transport, around: Transport) -> None:
        self.cache, self.around = cache, around
        self._flights: dict[tuple[str, float], _Flight] = {}
        self._written: dict[str, float] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        terms = request.extensions.get("terms")
        if not isinstance(terms, Terms) or request.method != "GET":
            return await self.around.handle_async_request(request)
        if terms.max_age != float("inf"):
            request.headers["Cache-Control"] = f"max-age={int(terms.max_age)}"
        if terms.max_age <= 0:
            return await self._answer(request, terms)
        # A write begins a new generation: who asks after it does not join an answer from before.
        key = (str(request.url), self._written.get(caching.endpoint_of(str(request.url)), 0.0))
        while (flight := self._flights.get(key)) is not None:
            await flight.done.wait()
            if flight.error is not None:
                raise copy.copy(flight.error)
            if flight.answer is not None and (
                self._young(flight.answer, terms) or "stale" in flight.answer.extensions
            ):
                return flight.answer
        flight = self._flights[key] = _Flight()
        try:
            flight.answer = await self._answer(request, terms)
            return flight.answer
        except OneError as error:
            flight.error = error
            raise
        finally:  # if cancelled, the next in line asks itself
            if self._flights.get(key) is flight:
                del self._flights[key]
            flight.done.set()

    async def _answer(self, request: httpx.Request, terms: Terms) -> httpx.Response:
        try:
            response = await self._ask(request)
            if response.extensions["caching"]["from_cache"] and not self._young(response, terms):
                request.headers["Cache-Control"] = "no-cache"
                response = await self._ask(request)
            return response
        except (ServerUnreachable, StatusError) as error:
            if isinstance(error, StatusError) and error.status not in (502, 503, 504):
                raise
            stale = await self._stored(request)
            if stale is None:
                raise
            stale.extensions["stale"] = (
                f"{error}; the answer given is {self._age(stale) / 3600:.1f} hours old"
            )
            return stale

    async def _ask(self, request: httpx.Request) -> httpx.Response:
        response = await self.cache.handle_async_request(request)
        await response.aread()
        response.extensions["url"] = request.url
        return response

    async def _stored(self, request: httpx.Request) -> httpx.Response | None:
        request.headers.pop("Cache-Control", None)
        any_age = {"rfc": hishel.CacheOptions(shared=False, allow_stale=True)}
        extensions = {**request.extensions, "only-if-cached": True, "caching": any_age}
        response = await self._ask(
            httpx.Request("GET", request.url, headers=request.headers, extensions=extensions)
        )
        return None if response.status_code == 504 else response

    def _age(self, response: httpx.Response) -> float:
        return time.time() - _asked(response)

    def _young(self, response: httpx.Response, terms: Terms) -> bool:
        since = max(terms.since, self._written.get(caching.endpoint_of(str(response.extensions["url"])), 0.0))
        return self._age(response) <= terms.max_age and _asked(response) >= since

    def written(self, endpoints: frozenset[str]) -> None:
        """Begin a new generation of answers of these endpoints."""
        for endpoint in endpoints:
            self._written[endpoint] = time.time()

    async def aclose(self) -> None:
        await self.cache.aclose()


# ---- the whole --------------------------------------------------------------------------------------------


class Stack:
    """The transports of one user of one server, on one event loop."""

    def __init__(
        self,
        base_url: str,
        retry: Retry,
        credentials: Credentials,
        storage: Storage,
        timeouts: Timeouts,
    ) -> None:
        self.base_url, self.storage, self.timeouts = base_url, storage, timeouts
        self.login = Login(retry, base_url, credentials, timeouts)
        stamp = Stamp(self.login)
        cache = hishel.httpx.AsyncCacheTransport(stamp, storage, rfc=hishel.CacheOptions(shared=False))
        self.top = Accept(cache, stamp)

    async def ask(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        terms: Terms | None = None,
        slow: bool = False,
        **body: Any,
    ) -> Answer:
        """Send a request and give its answer; ``slow`` for lists, which take Alyx seconds."""
        wait = self.timeouts.on(self.timeouts.list if slow else self.timeouts.record)
        extensions: dict[str, Any] = {"timeout": wait} if terms is None else {"timeout": wait, "terms": terms}
        for _ in range(4):
            request = httpx.Request(
                method,
                url,
                params=params,
                headers={"Accept": "application/json", **(headers or {})},
                extensions=extensions,
                **body,
            )
            response = await self.top.handle_async_request(request)
            if not 300 <= response.status_code < 400:
                known = response.extensions.pop("json", None)
                answer = parse(request, response) if known is None else known
                return Answer(answer, _asked(response), response.extensions.get("stale"))
            url, params = self._redirect(method, url, response.headers.get("location", "")), None
        raise AnswerError(f"{url} redirects without end", url=url)

    def _redirect(self, method: str, url: str, location: str) -> str:
        target = urljoin(url, location)
        if method != "GET" or not location or origin(target) != origin(self.base_url):
            raise AnswerError(
                f"{url} redirects to {location!r}; if the server moved, change base_url", url=url
            )
        return target

    async def wrote(self, url: str) -> None:
        """Make stored answers stale that a write to this address changed."""
        endpoints = caching.changed_by(caching.endpoint_of(url))
        self.top.written(endpoints)
        if isinstance(self.storage, ShelfStorage):
            await self.storage.shelf.expire(endpoints)

    async def clear(self) -> None:
        """Forget all stored answers of this user."""
        self.top.written(frozenset({""}))
        if isinstance(self.storage, ShelfStorage):
            await self.storage.shelf.clear()
