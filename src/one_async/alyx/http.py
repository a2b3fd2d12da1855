"""The stack of transports: Accept(Cache(Stamp(Login(Retry(Network))))). The only module that knows httpx or hishel.

Each layer sees whole answers: Network reads the body, so that what Retry repeats and Cache keeps is complete. From
Stamp upwards an answer has a good status and JSON in it; everything else has been raised as an error by then.
"""

from __future__ import annotations

import email.utils
import os
import ssl
import time
import urllib.request
import zlib
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import hishel
import hishel.httpx
import httpx

from one_async._headers import retry_after
from one_async.alyx import caching
from one_async.alyx.answers import check_status, detail_of, is_invalid_token, parse
from one_async.alyx.body import TooLarge, read_all
from one_async.alyx.login import Credentials, is_token
from one_async.alyx.retrying import ATTEMPTS, PATIENCE, SAFE, Timeouts, attempts, backoff
from one_async.errors import (
    AnswerError,
    ConfigurationError,
    InputError,
    LoginError,
    OneError,
    ServerUnreachable,
)

__all__ = ["hishel", "httpx"]
Transport = httpx.AsyncBaseTransport
Storage = hishel.AsyncBaseStorage
STORED = "one-stored-at"  # our header on stored answers: when they were asked for, in seconds
#: The file or folder of trusted authorities: OpenSSL's variables, which httpx reads, then those of requests.
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
#: Alyx closes a connection after 5 s without use; ours are dropped before, so that none is found closed.
KEEPALIVE = 4.0


# ---- Network ----------------------------------------------------------------------------------------------


class Network(Transport):
    """Send one request and read the whole answer; nothing but our errors comes out."""

    def __init__(self, base_url: str, total: float, most: int, inner: Transport | None = None) -> None:
        self._base, self._total, self._most, self._given = base_url, total, most, inner
        self._own: Transport | None = None
        self._lock = anyio.Lock()
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        transport = self._given or self._own or await self._open()
        try:
            with anyio.fail_after(self._total):
                response = await transport.handle_async_request(request)
                return await self._whole(response)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            slow = isinstance(error, httpx.ConnectTimeout)
            unreachable(request, f"no connection ({_say(error)})", error, sent=False, slow=slow)
        except (httpx.TimeoutException, TimeoutError) as error:
            unreachable(request, "no answer within the time allowed", error, slow=True)
        except TooLarge:
            text = (
                f"{str(request.url)[:300]} answered with more than {self._most:,} bytes; if that is right, allow more "
                "with the setting max_response_size (ONE_MAX_RESPONSE_SIZE)"
            )
            raise AnswerError(text, url=str(request.url)) from None
        except (zlib.error, httpx.DecodingError) as error:
            text = f"{request.url} answered with bytes that cannot be decoded ({error})"
            raise AnswerError(text, url=str(request.url)) from error
        except httpx.LocalProtocolError:  # its text may hold a header
            raise InputError(f"{request.url}: a header of this request cannot be sent") from None
        except (httpx.TransportError, OSError) as error:
            unreachable(request, f"the connection broke ({_say(error)})", error)

    async def _whole(self, response: httpx.Response) -> httpx.Response:
        """Return the response with its body, decoded, which has no more bytes than are allowed."""
        if response.is_stream_consumed:
            if len(response.content) > self._most:
                raise TooLarge
            return response
        content = await read_all(response, self._most)
        gone = {b"content-encoding", b"content-length", b"transfer-encoding"}
        kept = [(name, value) for name, value in response.headers.raw if name.lower() not in gone]
        return httpx.Response(
            response.status_code, headers=kept, content=content, extensions=response.extensions
        )

    async def _open(self) -> Transport:
        from one_async.alyx.connection_pool import ConnectionPool

        async with self._lock:
            if self._closed:
                raise OneError("the client was closed while this request was under way")
            if self._own is None:
                self._own = ConnectionPool(await anyio.to_thread.run_sync(self._certificates))
            return self._own

    def _certificates(self) -> ssl.SSLContext:
        # Plain http needs no certificates, and reading them takes time; a context without any trusts nobody.
        plain = urlsplit(self._base).scheme == "http" and not proxy_for(urlsplit(self._base).hostname, "http")
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else certificates()

    async def aclose(self) -> None:
        self._closed = True
        async with self._lock:
            own, self._own = self._own, None
        if own is not None:
            await own.aclose()


def certificates() -> ssl.SSLContext:
    """Return what servers are trusted: the authorities that the environment names, as other tools read it, else certifi's.

    Raises ConfigurationError where a variable names what is not there or holds no certificates.
    """
    for name in CERTIFICATES:
        place = os.environ.get(name)
        if not place:
            continue
        try:
            folder = any(Path(part).is_dir() for part in place.split(os.pathsep))
            if not folder:
                Path(place).stat()
            return ssl.create_default_context(
                cafile=None if folder else place, capath=place if folder else None
            )
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            why = getattr(error, "strerror", None) or error
            raise ConfigurationError(
                f"the environment variable {name} names {place!r}, where no certificates can be read ({why}); "
                "correct it or unset it",
                variable=name,
            ) from error
    return httpx.create_ssl_context(trust_env=False)


def _say(error: BaseException) -> str:
    return str(error) or type(error).__name__


def proxy_for(host: str | None, scheme: str) -> str | None:
    """Return the proxy that the environment sets for a host, as other tools understand it."""
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
    """Try again what may pass, at most ``slots`` requests at once.

    That is: broken connections and 502, 503, 504 of GET and HEAD and of logins (each gives the same token), unsent
    requests and 429 of all methods. A 429 makes
    every request wait, not only the refused one; the wait counts against PATIENCE, not as an attempt. 500 is not
    repeated: Alyx says it of a bad query.
    """

    def __init__(self, inner: Transport, slots: anyio.CapacityLimiter) -> None:
        self.inner, self.slots = inner, slots
        self.requests, self.retries = 0, 0
        self._resume = 0.0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        attempt, waited = 1, 0.0
        most = request.extensions.get("attempts", ATTEMPTS)
        method = "GET" if request.extensions.get("repeatable") else request.method
        while True:
            try:
                async with self.slots:
                    await self._pause_over()
                    self.requests += 1
                    response = await self.inner.handle_async_request(request)
            except ServerUnreachable as error:
                if attempt >= min(most, attempts(method, error)):
                    raise
                delay, attempt = backoff(attempt), attempt + 1
            else:
                said = retry_after(response.headers.get("retry-after"))
                if response.status_code == 429:
                    delay = max(said or backoff(attempt), 0.05)
                    waited, attempt = waited + delay, min(attempt + 1, 6)
                    if waited <= PATIENCE:
                        self._resume = max(self._resume, anyio.current_time() + delay)
                elif response.status_code in (502, 503, 504) and method in SAFE and attempt < ATTEMPTS:
                    delay = max(said or 0.0, backoff(attempt))
                    waited, attempt = waited + delay, attempt + 1
                else:
                    return response
                if waited > PATIENCE:
                    return response
            self.retries += 1
            await anyio.sleep(delay)

    async def _pause_over(self) -> None:
        while (left := self._resume - anyio.current_time()) > 0:  # noqa: ASYNC110 (another 429 may prolong it)
            await anyio.sleep(left)

    async def aclose(self) -> None:
        await self.inner.aclose()


# ---- Login ------------------------------------------------------------------------------------------------


class Login(Transport):
    """Add the token to requests to its own server; renew it once when the server calls it invalid."""

    def __init__(self, inner: Transport, base_url: str, credentials: Credentials, timeouts: Timeouts) -> None:
        self.inner, self.credentials, self._timeouts = inner, credentials, timeouts
        self._origin = origin(base_url)
        self._address = f"{base_url}/auth-token"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if origin(request.url) != self._origin:
            raise InputError.of("url", str(request.url), f"addresses of {self._origin}, whose token this is")
        token = await self.credentials.obtain(self.ask)
        response = await self._send(request, token)
        if invalid(response):
            token = await self.credentials.renew(token, self.ask)
            response = await self._send(request, token)
        if response.status_code == 403:
            detail = detail_of(response.content)
            if invalid(response):
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
            extensions={"timeout": self._timeouts.for_read(self._timeouts.login), "repeatable": True},
        )
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
    """Return scheme, host and port: what a token belongs to."""
    parts = httpx.URL(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{parts.host}:{port}"


def invalid(response: httpx.Response) -> bool:
    """Return whether the server calls the token of this request invalid."""
    return is_invalid_token(response.status_code, response.content)


def json_of(request: httpx.Request, response: httpx.Response) -> Any:
    return parse(str(request.url), response.content, response.headers.get("content-type", ""))


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
            check_status(request.method, str(request.url), response.status_code, response.content)
            response.extensions["json"] = json_of(request, response)
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
