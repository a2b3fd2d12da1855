"""Stream bodies in pieces: data files and cache.zip. The REST cache is bypassed."""

from __future__ import annotations

import logging
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from contextvars import ContextVar

import anyio
import anyio.to_thread
import httpx

from one_async._observer import Observer, resending
from one_async.alyx.auth import REFUSED, Login, is_invalid_token, origin
from one_async.alyx.connection_pool import ConnectionPool, certificates
from one_async.alyx.responses import ENCODINGS, discard, encoding_of, inflate, read_start
from one_async.alyx.retrying import Timeouts
from one_async.errors import AnswerError, InputError, OneError, ServerUnreachable

#: Maximum number of bytes that are read of a redirect or a refusal.
_MAX_START = 64 * 1024


_our_own: ContextVar[bool] = ContextVar("one_async_own_request", default=False)
# httpx would log addresses with signed queries; `one_async.http` logs them without.
logging.getLogger("httpx").addFilter(lambda _: not _our_own.get())


class HttpStream:
    """A response whose body is read in pieces (a ByteStream)."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response

    @property
    def url(self) -> str:
        """The address of the response, after redirects."""
        return str(self._response.url)

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._response.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        """Header fields; names are case-insensitive."""
        return self._response.headers

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes of the file; decoded if a server or proxy compressed them although the request excludes it.

        Raises ServerUnreachable if the connection breaks, AnswerError for an unsupported encoding.
        """
        encoded = self._is_encoded()
        raw, complete = self._response.aiter_raw(), False
        try:
            if encoded:
                async with aclosing(inflate(raw)) as pieces:
                    async for piece in pieces:
                        yield piece
            else:
                async for chunk in raw:
                    yield chunk
            complete = True
        except zlib.error as error:
            raise AnswerError(f"{self.url}: the body cannot be decoded ({error})", url=self.url) from None
        except httpx.TransportError as error:
            raise ServerUnreachable(f"{self.url}: the connection broke ({error})", url=self.url) from error
        finally:
            if not complete:
                await discard(self._response, raw)

    def _is_encoded(self) -> bool:
        encoding = encoding_of(self._response)
        # Some servers declare the compression of the file itself in this header.
        if not encoding or self._response.url.path.endswith((".gz", ".tgz")):
            return False
        if encoding not in ENCODINGS:
            raise AnswerError(
                f"{self.url} sent a body with the unsupported encoding {encoding!r}", url=self.url
            )
        return True


class _Hops(httpx.AsyncBaseTransport):
    """Observe each request, also those of redirects, whose bodies are dropped: httpx would read them completely."""

    def __init__(self, inner: httpx.AsyncBaseTransport, observer: Observer) -> None:
        self._inner, self._observer = inner, observer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        with self._observer.exchange(request.method, str(request.url), is_rest=False) as exchange:
            response = await self._inner.handle_async_request(request)
            exchange.status = response.status_code
        if not response.has_redirect_location or response.is_stream_consumed:
            return response
        await read_start(response, _MAX_START)
        self._observer.counts.received += response.num_bytes_downloaded
        headers = [(name, value) for name, value in response.headers.raw if name.lower() == b"location"]
        return httpx.Response(response.status_code, headers=headers, content=b"")

    async def aclose(self) -> None:
        await self._inner.aclose()


class _NoCookies(httpx.Cookies):
    """Ignore cookies: file servers need none, other servers must not receive them, and looking for them is slow."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Store no cookie."""

    def set_cookie_header(self, request: httpx.Request) -> None:
        """Send no cookie."""


class _Client(httpx.AsyncClient):
    @property  # type: ignore[misc]  # read-only
    def cookies(self) -> httpx.Cookies:
        return _NO_COOKIES


_NO_COOKIES = _NoCookies()


class HttpStreamOpener:
    """Open addresses of any host. The token is sent to its own server only.

    At most ``max_connections`` bodies are open at once; further calls wait.
    """

    def __init__(
        self,
        login: Callable[[], Awaitable[Login]],
        base_url: str,
        timeouts: Timeouts,
        max_connections: int,
        inner: httpx.AsyncBaseTransport | None,
        observer: Observer,
    ) -> None:
        self._observer = observer
        self._login, self._origin, self._inner = login, origin(base_url), inner
        self._timeout = httpx.Timeout(timeouts.list, connect=timeouts.connect, pool=None)
        self._slots = anyio.Semaphore(max_connections)
        self._lock = anyio.Lock()
        self._client: httpx.AsyncClient | None = None
        self._closed = False

    @asynccontextmanager
    async def open(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
    ) -> AsyncIterator[HttpStream]:
        """Send a GET request and open its response; a redirect to another host drops the credentials.

        Requests to the Alyx server carry its token, which is renewed once if it is refused, unless ``auth`` is passed.
        Raises ServerUnreachable if no connection can be made, LoginError if there is no token. Does not retry.
        """
        address = _parse_url(url)
        all_headers = {"Accept-Encoding": "identity", **(headers or {})}
        own = (
            auth is None
            and "authorization" not in {name.lower() for name in all_headers}
            and origin(address) == self._origin
        )
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._slots)
            login = await self._login() if own else None
            token = await login.credentials.obtain(login.request_token) if login else None
            response = await self._send(stack, address, all_headers, auth, token)
            if login and token and response.status_code in REFUSED and await _rejects_token(response):
                token = await login.credentials.renew(token, login.request_token)
                with resending(1):
                    response = await self._send(stack, address, all_headers, auth, token)
            yield HttpStream(response)

    async def _send(
        self,
        stack: AsyncExitStack,
        url: httpx.URL,
        headers: Mapping[str, str],
        auth: tuple[str, str] | None,
        token: str | None,
    ) -> httpx.Response:
        client = self._client or await self._open_client()
        if token is not None:
            headers = {**headers, "Authorization": f"Token {token}"}
        response: httpx.Response | None = None
        quiet = _our_own.set(True)
        try:
            request = client.build_request("GET", url, headers=headers)
            response = await client.send(request, stream=True, auth=httpx.BasicAuth(*auth) if auth else None)
        except httpx.TooManyRedirects as error:
            raise AnswerError(f"{url} redirects without end", url=str(url)) from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL, ValueError) as error:
            raise InputError.of("url", str(url), "http or https addresses") from error
        except ExceptionGroup:
            # For an impossible port or host name, httpx does not convert the socket's errors, which AnyIO groups.
            pass
        except httpx.TransportError as error:
            text = f"{url}: no answer ({error or type(error).__name__})"
            raise ServerUnreachable(
                text, url=str(url), slow=isinstance(error, httpx.TimeoutException)
            ) from error
        finally:
            _our_own.reset(quiet)
        if response is None:  # raised here, so that __context__ holds no exception group
            raise InputError.of("url", str(url), "http or https addresses")
        stack.callback(self._count, response)
        stack.push_async_callback(response.aclose)
        return response

    def _count(self, response: httpx.Response) -> None:
        self._observer.counts.received += response.num_bytes_downloaded

    async def _open_client(self) -> httpx.AsyncClient:
        async with self._lock:
            if self._closed:
                raise OneError("the client was closed during this request")
            if self._client is None:
                context = await anyio.to_thread.run_sync(certificates)
                self._client = _Client(
                    timeout=self._timeout,
                    follow_redirects=True,
                    transport=_Hops(self._inner or ConnectionPool(context), self._observer),
                )
            return self._client

    async def aclose(self) -> None:
        """Close all connections."""
        self._closed = True
        async with self._lock:
            client, self._client = self._client, None
        if client is not None:
            await client.aclose()


def _parse_url(url: str) -> httpx.URL:
    try:
        return httpx.URL(url)
    except httpx.InvalidURL as error:
        raise InputError.of("url", url, "http or https addresses") from error


async def _rejects_token(response: httpx.Response) -> bool:
    return is_invalid_token(response.status_code, await read_start(response, _MAX_START))
