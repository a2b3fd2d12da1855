"""A file server with faults, on a real port."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from one_async.emulator.server import Server

#: Faults that declare an encoded body; only the first one's body is encoded.
ENCODINGS = {"gzip": "gzip", "gzip-bomb": "gzip", "no-gzip": "gzip", "says-gzip": "gzip", "brotli": "br"}


@dataclass
class Files:
    """The server's files, its faults, and the requests that it received."""

    content: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)  # path -> faults, each used by one request
    always: dict[str, str] = field(default_factory=dict)  # path -> fault of each request
    latency: float = 0.0
    pace: float = 0.0  # seconds between pieces
    piece: int = 16_384
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)
    redirect_to: str = ""
    base: str = ""

    def put(self, path: str, data: bytes) -> str:
        self.content[path] = data
        return hashlib.md5(data, usedforsecurity=False).hexdigest()

    def count(self, path: str) -> int:
        return sum(seen == path for seen, _ in self.requests)

    def fault(self, path: str) -> str:
        if self.faults.get(path):
            return self.faults[path].pop(0)
        return self.always.get(path, "")

    async def answer(self, request: Request) -> Response:
        path = (
            request.url.path.lstrip("/")
            if "%" not in request.scope["raw_path"].decode()
            else request.path_params["path"]
        )
        self.requests.append((path, dict(request.headers)))
        if self.latency:
            await asyncio.sleep(self.latency)
        fault = self.fault(path)
        if fault.isdigit():
            headers = {"retry-after": "0"} if fault in ("429", "503") else {}
            if fault == "416":
                headers["content-range"] = "bytes */1"
            return Response("no", int(fault), headers)
        if fault == "redirect":
            return Response(status_code=302, headers={"location": f"{self.redirect_to}/{path}"})
        data = self.content.get(path)
        if data is None:
            return Response("not here", 404)
        if "secret" in path and request.headers.get("authorization") != "Basic dXNlcjpwYXNz":
            return Response("who?", 401)
        return self.body(path, data, fault, request.headers.get("range"))

    def body(self, path: str, data: bytes, fault: str, asked: str | None) -> Response:
        start, status, headers = 0, 200, {}
        if asked and fault != "ignore-range":
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(data):
                return Response(status_code=416, headers={"content-range": f"bytes */{len(data)}"})
            status = 206
            headers["content-range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            if fault == "wrong-range":
                headers["content-range"] = f"bytes {start + 1}-{len(data) - 1}/{len(data)}"
        rest = data[start:]
        headers["content-length"] = str(len(rest))
        if fault == "corrupt":
            middle = len(rest) // 2
            rest = rest[:middle] + bytes([rest[middle] ^ 1]) + rest[middle + 1 :]
        if fault == "lie-short":
            rest = rest[: len(rest) // 2]
            headers["content-length"] = str(len(rest))
        if fault == "lie-long":
            headers["content-length"] = str(len(rest) + 1000)
        if fault in ("truncate", "stall", "truncate-ignore"):
            rest = rest[: len(rest) // 2]
        if fault in ("chunked", "endless"):
            del headers["content-length"]
        if fault in ENCODINGS:
            headers["content-encoding"] = ENCODINGS[fault]
            rest = gzip.compress(rest) if fault in ("gzip", "gzip-bomb") else rest
            headers["content-length"] = str(len(rest))
        return StreamingResponse(self.pieces(path, rest, fault), status, headers)

    async def pieces(self, path: str, data: bytes, fault: str) -> AsyncIterator[bytes]:
        for at in range(0, len(data), self.piece):
            if self.pace:
                await asyncio.sleep(self.pace)
            piece = data[at : at + self.piece]
            self.sent[path] += len(piece)
            yield piece
        while fault == "endless":
            self.sent[path] += len(data)
            yield data
            await asyncio.sleep(0)
        if fault == "stall":
            await asyncio.sleep(3600)


@contextlib.contextmanager
def serve(files: Files, **settings: object) -> Iterator[Files]:
    """Run the server in its own thread until the block ends."""
    app = Starlette(routes=[Route("/{path:path}", files.answer)])
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="off", **settings)  # type: ignore[arg-type]
    server = Server(config)
    place = socket.create_server(("127.0.0.1", 0), backlog=1024)
    files.base = f"http://127.0.0.1:{place.getsockname()[1]}"
    thread = threading.Thread(target=server.run, kwargs={"sockets": [place]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield files
    finally:
        server.stop()
        thread.join()
        place.close()
