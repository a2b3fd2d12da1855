"""The transport below everything: httpcore's connections, which read what there is instead of 64 KiB of it.

httpx makes its connections itself and lets nobody say how they read; for small pieces the way through all layers costs
more than the bytes do. httpcore's pool looks at each of its connections, for each of them, at every request, and its
version 1.0.9 gives one idle connection to several requests that start together; here the one used last is used first.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any, TypeAlias

import anyio
import httpcore

from one_async.alyx.http import KEEPALIVE, Transport, httpx, proxy_for

#: What asyncio takes from a socket at a time.
READ = 256 * 1024
#: Of a body with so much to come, the rest is read from the connection itself, which then is not used again: for less,
#: a new connection would cost more than this saves.
LARGE = 64 * 1024 * 1024
#: Scheme, host, and port if it is not the scheme's own.
Server: TypeAlias = tuple[str, str, int | None]


class ConnectionPool(Transport):
    """Send requests to any host; through a proxy where the environment says so, then as httpx does it."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._open: set[httpcore.AsyncHTTPConnection] = set()
        self._idle: dict[Server, deque[tuple[httpcore.AsyncHTTPConnection, float]]] = {}
        self._proxies: dict[tuple[str, str], str | None] = {}
        self._proxied: dict[str, Transport] = {}
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        if self._closed:
            raise httpx.ConnectError("the client was closed")
        if url.scheme not in ("http", "https"):
            raise httpx.UnsupportedProtocol(f"{url} begins neither with http:// nor with https://")
        proxy = self._proxy_for(url.scheme, url.host)
        if proxy:
            return await self._through(proxy).handle_async_request(request)
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        idle = self._idle.setdefault((url.scheme, url.host, url.port), deque())
        connection = await self._take(idle, target.origin)

        async def release() -> None:
            if (
                connection.is_idle() and connection in self._open and not self._closed
            ):  # else all were closed meanwhile
                idle.append((connection, time.monotonic()))
            else:
                await self._close(connection)

        try:
            with _as_httpx():
                answer = await connection.handle_async_request(
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
            answer.status,
            headers=answer.headers,
            stream=_Body(request, answer, release),
            extensions=answer.extensions,
        )

    async def _take(
        self, idle: deque[tuple[httpcore.AsyncHTTPConnection, float]], origin: httpcore.Origin
    ) -> httpcore.AsyncHTTPConnection:
        """Return a connection that nobody uses; those that were not used for long are closed, as servers close theirs."""
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

    def _through(self, proxy: str) -> Transport:
        if proxy not in self._proxied:
            self._proxied[proxy] = httpx.AsyncHTTPTransport(
                verify=self._context, limits=httpx.Limits(keepalive_expiry=KEEPALIVE), proxy=proxy
            )
        return self._proxied[proxy]

    async def aclose(self) -> None:
        self._closed, self._idle = True, {}
        for connection in list(self._open):
            await self._close(connection)
        for transport in self._proxied.values():
            await transport.aclose()


class _Body(httpx.AsyncByteStream):
    """A body as it comes; the rest of a large one not through h11, which would copy all of it three times."""

    def __init__(
        self, request: httpx.Request, answer: httpcore.Response, release: Callable[[], Awaitable[None]]
    ) -> None:
        self._answer, self._release = answer, release
        self._patience: float | None = request.extensions.get("timeout", {}).get("read")
        self._released = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._length()
        stream = self._answer.extensions["network_stream"]
        with _as_httpx():
            pieces = aiter(self._answer.aiter_stream())
            async for chunk in pieces:  # the first of them is all that came with the head
                yield chunk
                left -= len(chunk)
                if left >= LARGE and isinstance(stream, PooledStream):
                    break
            else:
                return
            try:
                while left:
                    chunk = (await stream.read(READ, self._patience))[:left]
                    if not chunk:
                        raise httpcore.RemoteProtocolError(f"the body ended {left} bytes too early")
                    yield chunk
                    left -= len(chunk)
            finally:
                stream.end()  # for h11, which has not seen that the body ended: it gives the connection up
                with contextlib.suppress(httpcore.RemoteProtocolError):
                    await anext(pieces)

    def _length(self) -> int:
        """Return how many bytes a body has that says it; 0 for others, which h11 alone can read."""
        fields = {name.lower(): value for name, value in self._answer.headers}
        length = b"" if b"transfer-encoding" in fields else fields.get(b"content-length", b"")
        return int(length) if length.isdigit() else 0

    async def aclose(self) -> None:
        try:
            with _as_httpx():
                await self._answer.aclose()
        finally:
            if not self._released:
                self._released = True
                await self._release()


class _Backend(httpcore.AsyncNetworkBackend):
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
    """A connection whose reads are wide, also of TLS, where each record has 16 KiB at most."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner
        self._ended = False
        self._tls: ssl.SSLObject | None = inner.get_extra_info("ssl_object")
        self._socket: socket.socket | None = inner.get_extra_info("socket")

    def end(self) -> None:
        """Let what reads from now on find the end."""
        self._ended = True

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._ended:
            return b""
        data = await self._inner.read(READ, timeout)
        return data if self._tls is None or not data else data + self._deciphered()

    def _deciphered(self) -> bytes:
        """Return the records that have come already; what is wrong with one, the next read will say."""
        assert self._tls is not None
        pieces: list[bytes] = []
        with contextlib.suppress(ssl.SSLError):
            while piece := self._tls.read(READ):
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
        # As with a connection that the server closed: it is not to be used again.
        if info == "is_readable" and self._ended:
            return True
        # This is asked of every connection that is used again; anyio would look all other facts up as well.
        if info == "is_readable" and self._socket is not None and hasattr(select, "poll"):
            return _is_readable(self._socket)
        return self._inner.get_extra_info(info)


def _is_readable(sock: socket.socket) -> bool:
    """Return whether something came over an idle connection, which means that the server has closed it."""
    if sock.fileno() < 0:
        return True
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    return bool(poller.poll(0))


@contextlib.contextmanager
def _as_httpx() -> Iterator[None]:
    """Turn httpcore's errors into httpx's, which have the same names."""
    try:
        yield
    except httpcore.ConnectionNotAvailable as error:  # closed after it was taken; nothing was sent
        raise httpx.ConnectError("the client was closed") from error
    except (
        httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError,
        httpcore.UnsupportedProtocol,
    ) as error:  # fmt: skip
        raise getattr(httpx, type(error).__name__)(str(error)) from error
