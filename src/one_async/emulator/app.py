"""The ASGI application: a service, delays, faults, and a log of requests."""

from __future__ import annotations

import re
import time
from collections.abc import Set
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import anyio
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from one_async.emulator.exchange import find_route
from one_async.emulator.faults import Faults, misbehave
from one_async.emulator.service import Service
from one_async.emulator.views import NOT_FOUND, View, data_file, page_of

__all__ = ["App", "Logged", "RequestLog"]

LONGEST_REQUEST_LINE = 4094


@dataclass(frozen=True)
class Logged:
    """One request as the emulator saw it; ``time`` is in seconds since the epoch, ``size`` the bytes of the answer."""

    method: str
    path: str
    query: str
    user: str | None
    status: int
    time: float
    size: int = 0


class RequestLog(list[Logged]):
    """The requests that an emulator received, oldest first."""

    def count(self, path_prefix: str = "/", method: str | None = None) -> int:  # type: ignore[override]
        """Return how many requests have a path that begins with ``path_prefix``, and this method (None: any)."""
        return sum(r.path.startswith(path_prefix) and method in (None, r.method) for r in self)

    def reset(self) -> None:
        """Forget all requests."""
        self.clear()


@dataclass
class App(Service):
    """Serve a world; every option may be changed while it runs.

    ``latency`` and ``file_latency`` are seconds; requests by a host name that is not in ``hosts`` are refused (None: none
    are). The other options are those of `Service`.
    """

    latency: float = 0.0
    file_latency: float = 0.0
    hosts: Set[str] | None = frozenset({"alyx.test", "127.0.0.1", "localhost", "::1"})
    requests: RequestLog = field(default_factory=RequestLog)
    faults: Faults = field(default_factory=Faults)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or fail as the matching fault rule says."""
        request, path = Request(scope, receive), scope["path"]
        rule = self.faults.matching(request.method, path)
        if rule is not None and rule.call is not None:
            rule.call()
        latency = self.latency + (self.file_latency if path.startswith("/data/") else 0)
        latency += rule.delay if rule is not None else 0
        if latency:
            await anyio.sleep(latency)
        response, user = Response(b'{"detail":"Fault","status_code":500}', 500), None
        if rule is None or not rule.refuses(request.method):
            response, user = await self._respond(request, rule is not None and rule.ignore_range)
        query = scope["query_string"].decode("latin-1")
        size = int(response.headers.get("content-length", 0))
        self.requests.append(
            Logged(request.method, path, query, user, response.status_code, time.time(), size)
        )
        await misbehave(rule, response, scope, send)

    async def _respond(self, request: Request, ignore_range: bool) -> tuple[Response, str | None]:
        path = request.scope["path"]
        target = (request.scope.get("raw_path") or path.encode()) + b"?" + request.scope["query_string"]
        if len(request.method) + len(target) + len("  HTTP/1.1") > LONGEST_REQUEST_LINE + 1:
            return page_of(414, "Request-URI Too Large"), None
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname
        if self.hosts is not None and host not in self.hosts:
            return page_of(400, "Bad Request (400)"), None
        if path.startswith("/data/"):
            name = path.removeprefix("/data/")
            if name in self.files:
                body = self.files[name]
            elif "/raw_ephys_data/" in name:  # takes a third of a second to generate
                body = await to_thread.run_sync(self.read_file, name)
            else:
                body = self.read_file(name)
            return data_file(request, body, ignore_range), None
        if re.fullmatch(r"/docs|/admin|/cache/info(/\w+)?", path):
            return Response(b"", 301, {"location": f"{path}/"}, media_type="text/html"), None
        if path == "/":
            return Response(b"", 302, {"location": "/admin"}, media_type="text/html"), None
        if path == "/admin/":
            return Response(
                b"", 302, {"location": "/admin/login/?next=/admin/"}, media_type="text/html"
            ), None
        route, key = find_route(path)
        if route is None:
            return page_of(404, "Not Found", NOT_FOUND), None
        view = View(self, request, route, key)
        return await view.answer(), view.user
