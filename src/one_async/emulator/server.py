"""The emulator on a real port, in a background thread or in the foreground."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import signal
import socket
import sqlite3
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send

from one_async.emulator.app import App
from one_async.emulator.content import World, recorded
from one_async.emulator.faults import CutShort

__all__ = ["Emulator", "Server", "serve"]

LOOPBACK = "127.0.0.1"


class Server(uvicorn.Server):
    """A uvicorn server that `stop` ends at once; uvicorn itself polls for it, and then sleeps, 0.2 s together."""

    _loop: asyncio.AbstractEventLoop | None = None

    def stop(self) -> None:
        """Stop from any thread: close all connections and cancel the requests in progress."""
        self.should_exit = True  # for a loop that has not begun to wait
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                self._loop.call_soon_threadsafe(self._stopped.set)

    async def main_loop(self) -> None:
        """Wait until the server is stopped; ten times a second, as uvicorn does, update the date of answers."""
        self._stopped = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        for tick in itertools.count():
            if await self.on_tick(tick):
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), 0.1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the listeners and the connections; `asyncio.run` cancels what is left of the requests."""
        for listener in (*self.servers, *(sockets or ())):
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await asyncio.sleep(0)


class Emulator:
    """A small Alyx, by default on 127.0.0.1.

    ``world`` is the content to serve (None: that of the ``records`` folder, or else the generated one); ``port`` 0
    chooses a free one; ``host`` is the IPv4 address to listen on, and if it is not 127.0.0.1 (0.0.0.0 in a container),
    clients may call the server by any name; ``keep_alive`` is the number of seconds after which an idle connection is
    closed; ``state`` is a SQLite file that stores all changes (created from the world if it does not exist; None: in
    memory); ``options`` are those of `App`, such as ``latency`` and ``throttle``. Log in as ``demo``/``demo`` (reads
    and writes), ``reader``/``reader`` (reads) or as a user of the world.

    ``store`` can change the records while the server runs, ``faults`` makes requests fail, and ``requests`` lists the
    requests that were received.

    Examples:
        >>> from one_async import ONE
        >>> from one_async.emulator import Emulator
        >>> with Emulator() as alyx, ONE(base_url=alyx.url, username="demo", password="demo") as one:
        ...     print(len(one.search(subject="SU_101")))
        25
    """

    def __init__(
        self,
        world: World | None = None,
        *,
        records: Path | str | None = None,
        port: int = 0,
        keep_alive: float = 5.0,
        state: Path | str | None = None,
        host: str = LOOPBACK,
        **options: Any,
    ) -> None:
        if world is None and records is None:
            from one_async.emulator import seeded

            world = seeded.world()
        self.world = world or recorded(Path(records or ""))
        if host != LOOPBACK:
            options = {"hosts": None, **options}
        self.app = App(self.world, **{"database": state, **options})
        self.host, self.port = host, port
        self.keep_alive = keep_alive
        self.store, self.faults, self.requests = self.app.store, self.app.faults, self.app.requests
        self.token, self.touch_tables = self.app.token, self.app.touch_tables
        self.connections_peak = 0
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The address of the server, without a trailing slash."""
        return f"http://{LOOPBACK if self.host == '0.0.0.0' else self.host}:{self.port}"

    @property
    def connections(self) -> int:
        """The connections that are open now."""
        return len(self._server.server_state.connections) if self._server is not None else 0

    async def _asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.connections_peak = max(self.connections_peak, self.connections)
        try:
            await self.app(scope, receive, send)
        except CutShort:
            # uvicorn itself would answer 500 if nothing has been sent yet
            for connection in list(self._server.server_state.connections) if self._server else ():
                if getattr(connection, "scope", None) is scope:
                    connection.transport.close()
            raise

    def _bind(self) -> socket.socket:
        # asyncio disables Nagle's algorithm only on sockets with proto=IPPROTO_TCP; with it, each answer takes 40 ms longer
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self.host, self.port))
            listener.listen(2048)
        except OSError:
            listener.close()
            raise
        self.port = listener.getsockname()[1]
        return listener

    def start(self) -> Emulator:
        """Start serving; after `stop`, on the same port and with the same records.

        Examples:
            >>> from one_async.emulator import Emulator
            >>> alyx = Emulator().start()
            >>> alyx.close()
        """
        if self._thread is not None:
            return self
        listener = self._bind()
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
        )
        server = self._server = Server(config)

        def run() -> None:
            with listener:
                server.run(sockets=[listener])

        self._thread = threading.Thread(target=run, name=f"alyx-emulator-{self.port}", daemon=True)
        self._thread.start()
        while not server.started and self._thread.is_alive():
            time.sleep(0.002)
        if not server.started:
            self.stop()
            raise RuntimeError(f"the emulator could not start on port {self.port}")
        return self

    def stop(self) -> None:
        """Stop at once and close open connections. The records are kept for another `start`.

        Examples:
            >>> from one_async.emulator import Emulator
            >>> with Emulator() as alyx:
            ...     alyx.stop()  # clients cannot reach it any more
        """
        if self._server is None or self._thread is None:
            return
        self._server.stop()
        self._thread.join()
        self._server = self._thread = None

    def close(self) -> None:
        """Stop and forget the records.

        Examples:
            >>> from one_async.emulator import Emulator
            >>> alyx = Emulator().start()
            >>> alyx.close()
        """
        self.stop()
        self.store.close()

    def __enter__(self) -> Emulator:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop and forget the records."""
        self.close()


def _started(**options: Any) -> Emulator:
    """Return an emulator that serves. Raise SystemExit with the reason where that is impossible."""
    try:
        emulator = Emulator(**options)
    except (OSError, ValueError) as error:
        raise SystemExit(f"the emulator cannot read its records: {error}") from None
    except sqlite3.Error as error:
        raise SystemExit(f"the emulator cannot use the file {options['state']}: {error}") from None
    try:
        return emulator.start()
    except (OSError, OverflowError) as error:
        emulator.close()
        raise SystemExit(f"the emulator cannot use the port {options['port']}: {error}") from None


def serve(
    records: Path | str | None = None,
    port: int = 0,
    latency: float = 0.0,
    throttle: int | None = None,
    *,
    state: Path | str | None = None,
    as_json: bool = False,
    host: str = LOOPBACK,
) -> int:
    """Run an emulator in the foreground until SIGINT or SIGTERM; return the signal. ``latency`` is in milliseconds.

    First prints the address and the logins (``as_json``: as one line of JSON). ``state`` is the file that stores changes.
    """
    with _started(
        records=records, port=port, state=state, host=host, latency=latency / 1000, throttle=throttle
    ) as emulator:
        logins = emulator.app.passwords
        if as_json:
            said = json.dumps({"url": emulator.url, "logins": logins})
        else:
            said = f"Alyx emulator at {emulator.url} (stop it with Ctrl-C)"
            for user, password in logins.items():
                rights = "reads only" if user in emulator.app.read_only else "reads and writes"
                said += f"\n  {user} / {password}  ({rights})"
        stop = threading.Event()
        received: list[int] = []

        def end(number: int, _: object) -> None:
            received.append(number)
            stop.set()

        # Handlers are installed since a shell's background jobs ignore SIGINT by default
        before = {s: signal.signal(s, end) for s in (signal.SIGINT, signal.SIGTERM)}
        sys.stdout.write(said + "\n")
        sys.stdout.flush()
        stop.wait()
        for which, handler in before.items():
            signal.signal(which, handler)
    return received[0]
