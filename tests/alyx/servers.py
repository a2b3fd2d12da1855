from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from one_async.emulator.server import Server

RECORDS = Path(__file__).parents[1] / "data" / "alyx" / "records"
SCHEMA = RECORDS.parent / "openapi.json"


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve an ASGI application on a free port."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    server = Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    with ExitStack() as stack:
        stack.callback(listener.close)
        thread.start()
        while not server.started:
            time.sleep(0.005)
        stack.callback(thread.join)
        stack.callback(server.stop)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
