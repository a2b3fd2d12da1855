"""The emulator on a real port of 127.0.0.1, in a thread of its own or in the foreground."""

from __future__ import annotations

import json
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send

from .app import App, Logged
from .content import World, recorded
from .faults import CutShort, Faults
from .store import Store

__all__ = ["Emulator", "RequestLog", "serve"]


class RequestLog:
    """The requests that an emulator received, oldest first."""

    def __init__(self, requests: list[Logged]) -> None:
        self._requests = requests

    def __iter__(self) -> Any:
        """Go through a copy, since requests may come in meanwhile."""
        return iter(list(self._requests))

    def __len__(self) -> int:
        """Count all requests."""
        return len(self._requests)

    def __getitem__(self, index: int) -> Logged:
        """Give one request."""
        return self._requests[index]

    def count(self, path_prefix: str = "/", method: str | None = None) -> int:
        """Count the requests whose path begins so."""
        return sum(
            r.path.startswith(path_prefix) and method in (None, r.method) for r in list(self._requests)
        )

    def reset(self) -> None:
        """Forget all requests."""
        self._requests.clear()


def load_world(world: World | None, records: Path | str | None) -> World:
    """Choose the world to serve: the one given, that of a records folder, or the seeded one."""
    if world is not None:
        return world
    if records is not None:
        return recorded(Path(records))
    from . import seeded

    return seeded.world()


class Emulator:
    """A small Alyx on 127.0.0.1.

    ``world`` is what it serves (None: that of the ``records`` folder, or else the seeded one); ``port`` 0
    takes a free one. ``latency`` and ``file_latency`` are seconds, ``throttle`` is requests in a minute for
    each user, ``database`` a file for its state (None: memory; one that exists is served as it is),
    ``data_url`` the address of the data server (None: its own), ``unstable_paging`` a seed (pages without
    order then repeat and lose rows, as a real Alyx's do), ``keep_alive`` the seconds after which an idle
    connection is closed. Log in as ``demo``/``demo`` (reads and writes), ``reader``/``reader`` (reads) or
    as a user of the world.

    >>> with Emulator() as alyx:
    ...     print(alyx.url)  # doctest: +SKIP
    """

    def __init__(
        self,
        world: World | None = None,
        *,
        records: Path | str | None = None,
        port: int = 0,
        latency: float = 0.0,
        file_latency: float = 0.0,
        throttle: int | None = None,
        database: Path | str | None = None,
        data_url: str | None = None,
        unstable_paging: int | None = None,
        keep_alive: float = 5.0,
        token_seed: str | None = None,
    ) -> None:
        self.world = load_world(world, records)
        self.app = App(
            self.world,
            database=None if database is None else Path(database),
            latency=latency,
            file_latency=file_latency,
            throttle=throttle,
            data_url=data_url,
            unstable_paging=unstable_paging,
            token_seed=token_seed or secrets.token_hex(8),
        )
        self.port = port
        self.keep_alive = keep_alive
        self.requests = RequestLog(self.app.requests)
        self.connections_peak = 0
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The address of the server, without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def store(self) -> Store:
        """The records: ``insert``, ``update`` and ``delete`` change them while the server runs."""
        return self.app.store

    @property
    def faults(self) -> Faults:
        """What goes wrong, and for which requests: see `faults.Rule`."""
        return self.app.faults

    @property
    def connections(self) -> int:
        """The connections that are open now."""
        return len(self._server.server_state.connections) if self._server is not None else 0

    def token(self, user: str) -> str:
        """Give a user's token."""
        return self.app.token(user)

    def touch_tables(self, date_created: str | None = None, cache_zip: bytes | None = None) -> None:
        """Publish newer cache tables: another date (``YYYY-MM-DD HH:MM``), other bytes, or both."""
        self.app.touch_tables(date_created, cache_zip)

    async def _asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.connections_peak = max(self.connections_peak, self.connections)
        try:
            await self.app(scope, receive, send)
        except CutShort:
            self._cut(scope)
            raise

    def _cut(self, scope: Scope) -> None:
        """Close a request's connection; uvicorn alone would answer 500 if nothing was sent yet."""
        server = self._server
        for connection in list(server.server_state.connections) if server is not None else ():
            if getattr(connection, "scope", None) is scope:
                connection.transport.close()

    def _bind(self) -> socket.socket:
        # asyncio switches Nagle's delay off only where the protocol is said to be TCP (else 40 ms an answer)
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", self.port))
            listener.listen(2048)
        except OSError:
            listener.close()
            raise
        self.port = listener.getsockname()[1]
        return listener

    def _prepare(self) -> uvicorn.Server:
        config = uvicorn.Config(
            self._asgi,
            interface="asgi3",
            http="h11",
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            timeout_keep_alive=self.keep_alive,  # type: ignore[arg-type]
            timeout_graceful_shutdown=0,
        )
        return uvicorn.Server(config)

    def start(self) -> Emulator:
        """Start serving; after `stop`, on the same port and with the same records."""
        if self._thread is not None:
            return self
        listener = self._bind()
        server = self._server = self._prepare()
        ready = threading.Event()

        def run() -> None:
            try:
                server.run(sockets=[listener])
            finally:
                listener.close()
                ready.set()

        on_startup(server, ready.set)
        self._thread = threading.Thread(target=run, name=f"alyx-emulator-{self.port}", daemon=True)
        self._thread.start()
        ready.wait()
        if not server.started:
            self.stop()
            raise RuntimeError(f"the emulator could not start on port {self.port}")
        return self

    def stop(self) -> None:
        """Stop at once: open connections are cut. The records stay for another `start`."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join()
        self._server = self._thread = None

    def close(self) -> None:
        """Stop and forget the records."""
        self.stop()
        self.app.store.close()

    def __enter__(self) -> Emulator:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop and forget the records."""
        self.close()


def on_startup(server: uvicorn.Server, call: Callable[[], None]) -> None:
    """Have a function called as soon as a server accepts connections."""
    startup = server.startup

    async def then_call(*args: Any, **kwargs: Any) -> None:
        await startup(*args, **kwargs)
        call()

    server.startup = then_call  # type: ignore[method-assign]


def serve(
    records: Path | str | None = None,
    port: int = 0,
    latency: float = 0.0,
    throttle: int | None = None,
    *,
    as_json: bool = False,
    write: Callable[[str], object] | None = None,
) -> None:
    """Run an emulator in the foreground until interrupted; ``latency`` in milliseconds.

    Writes the address and the logins first (``as_json``: as one line of JSON) by ``write``.
    """
    say = write or partial(print, file=sys.stdout, flush=True)
    with Emulator(records=records, port=port, latency=latency / 1000, throttle=throttle) as emulator:
        logins = emulator.app.passwords
        if as_json:
            say(json.dumps({"url": emulator.url, "logins": logins}))
        else:
            say(f"Alyx emulator at {emulator.url} (stop it with Ctrl-C)")
            for user, password in logins.items():
                rights = "reads only" if user in emulator.app.read_only else "reads and writes"
                say(f"  {user} / {password}  ({rights})")
        with stopped_by_signals() as stop:
            stop.wait()


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """Give an event that SIGINT and SIGTERM set (a shell's background jobs ignore SIGINT unless told so)."""
    stop = threading.Event()
    before = {which: signal.signal(which, lambda *_: stop.set()) for which in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
