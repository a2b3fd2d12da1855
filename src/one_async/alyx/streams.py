"""Bodies in pieces: data files and cache.zip. Never through the REST cache."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import anyio
import anyio.to_thread

from one_async.alyx.answers import is_invalid_token
from one_async.alyx.body import ENCODINGS, discard, encoding_of, inflate, read_start
from one_async.alyx.connection_pool import ConnectionPool
from one_async.alyx.http import Login, Transport, certificates, httpx, origin
from one_async.alyx.retrying import Timeouts
from one_async.errors import AnswerError, InputError, ServerUnreachable

#: Bytes that are read of an answer whose body is no file.
_SHORT = 64 * 1024


class HttpStream:
    """An answer whose body is read in pieces (a ByteStream)."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response

    @property
    def url(self) -> str:
        """The address that answered, after redirects."""
        return str(self._response.url)

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._response.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        """Header fields, names in any case."""
        return self._response.headers

    async def chunks(self) -> AsyncIterator[bytes]:
        """Return the bytes of the file, decoded where a server or proxy compressed them although nobody asked for it.

        Raises ServerUnreachable if the connection breaks, AnswerError for an encoding that is not understood.
        """
        encoded = self._is_encoded()
        raw, left = self._response.aiter_raw(), True
        try:
            if encoded:
                async with aclosing(inflate(raw)) as pieces:
                    async for piece in pieces:
                        yield piece
            else:
                async for chunk in raw:
                    yield chunk
            left = False
        except zlib.error as error:
            raise AnswerError(
                f"{self.url}: the body is not as encoded as it says ({error})", url=self.url
            ) from None
        except httpx.TransportError as error:
            raise ServerUnreachable(f"{self.url}: the connection broke ({error})", url=self.url) from error
        finally:
            if left:
                await discard(self._response, raw)

    def _is_encoded(self) -> bool:
        encoding = encoding_of(self._response)
        # Of a file that is itself compressed, some servers say so with this field.
        if not encoding or self._response.url.path.endswith((".gz", ".tgz")):
            return False
        if encoding not in ENCODINGS:
            raise AnswerError(f"{self.url} sent the body encoded as {encoding!r}, unasked", url=self.url)
        return True


class _Hops(Transport):
    """Answers whose body nobody reads, redirects, come without it: httpx would read all of it."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        if not response.has_redirect_location or response.is_stream_consumed:
            return response
        await read_start(response, _SHORT)
        headers = [(name, value) for name, value in response.headers.raw if name.lower() == b"location"]
        return httpx.Response(response.status_code, headers=headers, content=b"")

    async def aclose(self) -> None:
        await self._inner.aclose()


class _NoCookies(httpx.Cookies):
    """Servers of files need none, and what one of them sets is nothing for another; to look for them takes long."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Leave them."""

    def set_cookie_header(self, request: httpx.Request) -> None:
        """Send none."""


class _Client(httpx.AsyncClient):
    @property  # type: ignore[misc]  # nobody sets it
    def cookies(self) -> httpx.Cookies:
        return _NO_COOKIES


_NO_COOKIES = _NoCookies()


class HttpStreamOpener:
    """Opens addresses of any host; the token goes to its own server alone.

    At most ``max_connections`` bodies are open at once; whoever asks for more waits.
    """

    def __init__(
        self,
        login: Callable[[], Awaitable[Login]],
        base_url: str,
        timeouts: Timeouts,
        max_connections: int,
        inner: Transport | None,
    ) -> None:
        self._login, self._origin, self._inner = login, origin(base_url), inner
        self._timeout = httpx.Timeout(timeouts.list, connect=timeouts.connect, pool=None)
        self._slots = anyio.Semaphore(max_connections)
        self._lock = anyio.Lock()
        self._client: httpx.AsyncClient | None = None

    @asynccontextmanager
    async def open(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
    ) -> AsyncIterator[HttpStream]:
        """Start a request; credentials are dropped when a redirect leads to another host.

        Addresses of the Alyx server itself get its token, renewed once if it is refused, unless ``auth`` is given.
        Raises ServerUnreachable when no connection can be made, LoginError when there is no token to be had.
        Does not retry.
        """
        address = _parsed(url)
        asked = {"Accept-Encoding": "identity", **(headers or {})}
        own = (
            auth is None
            and "authorization" not in {name.lower() for name in asked}
            and origin(address) == self._origin
        )
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._slots)
            login = await self._login() if own else None
            token = await login.credentials.obtain(login.ask) if login else None
            response = await self._send(stack, method, address, asked, auth, token)
            if login and token and response.status_code == 403 and await _refused(response):
                token = await login.credentials.renew(token, login.ask)
                response = await self._send(stack, method, address, asked, auth, token)
            yield HttpStream(response)

    async def _send(
        self,
        stack: AsyncExitStack,
        method: str,
        url: httpx.URL,
        headers: Mapping[str, str],
        auth: tuple[str, str] | None,
        token: str | None,
    ) -> httpx.Response:
        client = self._client or await self._open()
        if token is not None:
            headers = {**headers, "Authorization": f"Token {token}"}
        try:
            request = client.build_request(method, url, headers=headers)
            response = await client.send(request, stream=True, auth=httpx.BasicAuth(*auth) if auth else None)
        except httpx.TooManyRedirects as error:
            raise AnswerError(f"{url} redirects without end", url=str(url)) from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL, ValueError, ExceptionGroup) as error:
            # httpx lets errors of sockets pass (AnyIO groups them) for a port or a host name that there cannot be.
            raise InputError.of("url", str(url), "http or https addresses") from error
        except httpx.TransportError as error:
            text = f"{url}: no answer ({error or type(error).__name__})"
            raise ServerUnreachable(
                text, url=str(url), slow=isinstance(error, httpx.TimeoutException)
            ) from error
        stack.push_async_callback(response.aclose)
        return response

    async def _open(self) -> httpx.AsyncClient:
        async with self._lock:
            if self._client is None:
                context = await anyio.to_thread.run_sync(certificates)
                self._client = _Client(
                    timeout=self._timeout,
                    follow_redirects=True,
                    transport=_Hops(self._inner or ConnectionPool(context)),
                )
            return self._client

    async def aclose(self) -> None:
        """Close all connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


def _parsed(url: str) -> httpx.URL:
    try:
        return httpx.URL(url)
    except httpx.InvalidURL as error:
        raise InputError.of("url", url, "http or https addresses") from error


async def _refused(response: httpx.Response) -> bool:
    return is_invalid_token(response.status_code, await read_start(response, _SHORT))
