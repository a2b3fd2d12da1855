"""The page of a client: a server on 127.0.0.1, in its own thread, that calls the client on the client's event loop."""

from __future__ import annotations

import asyncio
import functools
import html
import secrets
import socket
import threading
from collections.abc import Mapping
from typing import Any, Self

import anyio
import uvicorn
from anyio.abc import TaskStatus
from anyio.from_thread import BlockingPortal

from one_async._display import Markup
from one_async.browse.app import make_app
from one_async.browse.search import FacetedSearch
from one_async.errors import ConfigurationError

__all__ = ["AsyncBrowsePage", "frame"]

#: The time in seconds for running requests to finish when the page is closed.
_GRACE = 1
#: Seconds between two checks of whether the thread has ended.
_PAUSE = 0.02


class AsyncBrowsePage:
    """A local page on the cache tables, returned by `AsyncONE.browse`.

    It is served until `aclose`, the end of an ``async with`` block, or the closing of the client.
    """

    url: str
    """The address with its secret, which gives access to the page from this machine."""

    def __init__(
        self, client: Any, search: FacetedSearch, *, port: int, about: Mapping[str, Any], online: bool
    ) -> None:
        """Bind the port. Raises ConfigurationError if it is in use.

        ``client`` is the `AsyncONE` that loads data, ``about`` describes the tables, and ``online`` is whether requests to the
        database are allowed.
        """
        self._client = client
        self._search = search
        self._listener = _bind(port)
        secret = secrets.token_urlsafe(32)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/{secret}/"
        self._portal: BlockingPortal | None = None
        app = make_app(search, self._ask, secret=secret, about=about, root=client.cache_dir, online=online)
        config = uvicorn.Config(
            app,
            interface="asgi3",
            http="h11",
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE,
        )
        self._server = uvicorn.Server(config)
        self._stopped, self._closed = anyio.Event(), anyio.Event()

    async def _ask(self, method: str, *args: Any, **options: Any) -> Any:
        """Call the client on its own event loop, from the server's event loop."""
        assert self._portal is not None
        call = functools.partial(getattr(self._client, method), *args, **options)
        return await asyncio.wrap_future(self._portal.start_task_soon(call))

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve the page until it is closed or cancelled; runs as a task of the client."""
        thread = threading.Thread(target=self._serve, name="one_async browse", daemon=True)
        try:
            async with BlockingPortal() as self._portal:
                thread.start()
                task_status.started()
                try:
                    await self._stopped.wait()
                finally:
                    self._server.should_exit = True
                    with anyio.CancelScope(shield=True):
                        # Not joined in another thread, since none can be started while Python ends.
                        while thread.is_alive():  # noqa: ASYNC110
                            await anyio.sleep(_PAUSE)
        finally:
            self._listener.close()
            self._closed.set()

    def _serve(self) -> None:
        self._server.run(sockets=[self._listener])

    def show_calls_of(self, client: str) -> None:
        """Set the name of the client in the code on the page, such as ``one`` or ``await one``."""
        self._search.client = client

    async def aclose(self) -> None:
        """Stop serving, and wait until the port is closed."""
        self._stopped.set()
        await self._closed.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def _repr_html_(self) -> str:
        return frame(self.url)


#: Tells the page whether the text around its frame is light, as in the dark themes of notebooks.
_TELL_THEME = (
    r"this.contentWindow.postMessage({dark: getComputedStyle(this).color.match(/\d+/g)[1] > 127}, '*')"
)


def frame(url: str) -> Markup:
    """Return the HTML of a page in a frame, with a link to it, for notebooks."""
    address = html.escape(url)
    return Markup(
        f'<iframe src="{address}" title="one_async browse" width="100%" height="700" allow="clipboard-write" '
        f'onload="{html.escape(_TELL_THEME)}" '
        'style="border:1px solid color-mix(in srgb,currentColor 25%,transparent);border-radius:6px"></iframe>'
        f'<div><a href="{address}" target="_blank" rel="noopener noreferrer">Open in a tab of its own</a></div>'
    )


def _bind(port: int) -> socket.socket:
    # asyncio disables Nagle's algorithm only on sockets with proto=IPPROTO_TCP
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"port {port} of 127.0.0.1 cannot be used ({error.strerror or error})"
        ) from error
    return listener
