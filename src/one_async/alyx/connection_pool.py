"""The innermost transport: a pool of httpcore connections that read up to 256 KiB at a time instead of 64 KiB.

httpx makes its connections itself and does not let callers choose how they read; for small responses its layers cost more
than the transfer. At every request, httpcore's pool loops over all of its connections for each of them, and its version
1.0.9 assigns one idle connection to several requests that start together. This pool reuses the most recently used
connection of a server, in constant time.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import time
import urllib.request
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import httpcore
import httpx

from one_async.errors import ConfigurationError

#: Bytes that asyncio reads from a socket at a time.
READ_SIZE = 256 * 1024
#: Alyx closes a connection after 5 s without use; the pool drops idle connections before that.
KEEPALIVE = 4.0
#: Variables that name the file or folder of trusted authorities: OpenSSL's, which httpx reads too, then requests'.
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
#: Scheme, host, and port unless it is the scheme's default.
Server: TypeAlias = tuple[str, str, int | None]


class ConnectionPool(httpx.AsyncBaseTransport):
    """Send requests to any host. Where the environment sets a proxy, httpx's own transport is used."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._open: set[httpcore.AsyncHTTPConnection] = set()
        self._idle: dict[Server, deque[tuple[httpcore.AsyncHTTPConnection, float]]] = {}
        self._proxies: dict[tuple[str, str], str | None] = {}
        self._proxy_transports: dict[str, httpx.AsyncHTTPTransport] = {}
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        if self._closed:
            raise httpx.ConnectError("the client was closed")
        if url.scheme not in ("http", "https"):
            raise httpx.UnsupportedProtocol(f"{url} begins neither with http:// nor with https://")
        proxy = self._proxy_for(url.scheme, url.host)
        if proxy:
            return await self._proxy_transport(proxy).handle_async_request(request)
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        idle = self._idle.setdefault((url.scheme, url.host, url.port), deque())
        connection = await self._acquire(idle, target.origin)

        async def release() -> None:
            reusable = connection.is_idle() and connection in self._open and not self._closed
            if reusable:
                idle.append((connection, time.monotonic()))
            else:
                await self._close(connection)

        try:
            with _httpx_errors():
                response = await connection.handle_async_request(
                    httpcore.Request(
                        request.method,
                        target,
                        headers=request.headers.raw,
                        content=request.stream,
                        extensions=request.extensions,
                    )
                )
        except BaseException:
            await release()
            raise
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_Body(response, release),
            extensions=response.extensions,
        )

    async def _acquire(
        self, idle: deque[tuple[httpcore.AsyncHTTPConnection, float]], origin: httpcore.Origin
    ) -> httpcore.AsyncHTTPConnection:
        """Return an idle or new connection. Connections idle for longer than KEEPALIVE are closed."""
        while idle and time.monotonic() - idle[0][1] > KEEPALIVE:
            await self._close(idle.popleft()[0])
        while idle:
            connection, _ = idle.pop()
            if not connection.has_expired():
                return connection
            await self._close(connection)
        connection = httpcore.AsyncHTTPConnection(
            origin, self._context, keepalive_expiry=KEEPALIVE, network_backend=_Backend()
        )
        self._open.add(connection)
        return connection

    async def _close(self, connection: httpcore.AsyncHTTPConnection) -> None:
        self._open.discard(connection)
        with anyio.CancelScope(shield=True):
            await connection.aclose()

    def _proxy_for(self, scheme: str, host: str) -> str | None:
        if (scheme, host) not in self._proxies:
            self._proxies[scheme, host] = proxy_for(host, scheme)
        return self._proxies[scheme, host]

    def _proxy_transport(self, proxy: str) -> httpx.AsyncHTTPTransport:
        if proxy not in self._proxy_transports:
            self._proxy_transports[proxy] = httpx.AsyncHTTPTransport(
                verify=self._context, limits=httpx.Limits(keepalive_expiry=KEEPALIVE), proxy=proxy
            )
        return self._proxy_transports[proxy]

    async def aclose(self) -> None:
        self._closed, self._idle = True, {}
        for connection in list(self._open):
            await self._close(connection)
        for transport in self._proxy_transports.values():
            await transport.aclose()


class _Body(httpx.AsyncByteStream):
    """A response body that releases its connection when it is closed."""

    def __init__(self, response: httpcore.Response, release: Callable[[], Awaitable[None]]) -> None:
        self._response, self._release = response, release
        self._released = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _httpx_errors():
            async for chunk in self._response.aiter_stream():
                yield chunk

    async def aclose(self) -> None:
        try:
            with _httpx_errors():
                await self._response.aclose()
        finally:
            if not self._released:
                self._released = True
                await self._release()


class _Backend(httpcore.AsyncNetworkBackend):
    """httpcore's AnyIO backend with `PooledStream` connections."""

    def __init__(self) -> None:
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return PooledStream(await self._inner.connect_tcp(host, port, timeout, local_address, socket_options))

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class PooledStream(httpcore.AsyncNetworkStream):
    """A connection with large reads, also over TLS, whose records have at most 16 KiB each."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner
        self._eof = False
        self._tls: ssl.SSLObject | None = inner.get_extra_info("ssl_object")
        self._socket: socket.socket | None = inner.get_extra_info("socket")

    def mark_eof(self) -> None:
        """Make all further reads report the end of the connection."""
        self._eof = True

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._eof:
            return b""
        data = await self._inner.read(READ_SIZE, timeout)
        return data if self._tls is None or not data else data + self._buffered_records()

    def _buffered_records(self) -> bytes:
        """Return the TLS records that were received already. The next read reports an error of theirs."""
        assert self._tls is not None
        pieces: list[bytes] = []
        with contextlib.suppress(ssl.SSLError):
            while piece := self._tls.read(READ_SIZE):
                pieces.append(piece)
        return b"".join(pieces)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return PooledStream(await self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # httpcore checks whether the server closed an idle connection
            if self._eof:
                return True
            # At every reuse of a connection; anyio would evaluate all of its other attributes as well.
            if self._socket is not None and hasattr(select, "poll"):
                return _is_readable(self._socket)
        return self._inner.get_extra_info(info)


def _is_readable(sock: socket.socket) -> bool:
    """Return whether an idle connection has data, which means that the server closed it."""
    if sock.fileno() < 0:
        return True
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    return bool(poller.poll(0))


@contextlib.contextmanager
def _httpx_errors() -> Iterator[None]:
    """Convert httpcore's errors to httpx's, which have the same names."""
    try:
        yield
    except httpcore.ConnectionNotAvailable as error:  # closed after it was acquired; nothing was sent
        raise httpx.ConnectError("the client was closed") from error
    except (
        httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError,
        httpcore.UnsupportedProtocol,
    ) as error:  # fmt: skip
        raise getattr(httpx, type(error).__name__)(str(error)) from error


# ---- the environment


def certificates() -> ssl.SSLContext:
    """Return a context that trusts the authorities named by the environment, else certifi's; blocking.

    Raises ConfigurationError if a variable names a place without readable certificates.
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


def proxy_for(host: str | None, scheme: str) -> str | None:
    """Return the proxy that the environment sets for a host, by the rules of `urllib`; None for this machine."""
    if host in (None, "localhost", "127.0.0.1", "::1") or urllib.request.proxy_bypass(host):
        return None
    proxies = urllib.request.getproxies()
    return proxies.get(scheme) or proxies.get("all")
