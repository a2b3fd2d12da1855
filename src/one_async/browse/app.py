"""The ASGI application of the page: static files and JSON, at an address with a secret."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from one_async import _display
from one_async._threads import run_polars, run_sync
from one_async.browse.filters import parse_filters
from one_async.browse.plots import PLOTS
from one_async.browse.search import MOST_ROWS, FacetedSearch
from one_async.browse.session import PlotData, describe, describe_record, on_disk, plots_of
from one_async.errors import ALFObjectNotFound, InputError, NotFound, OneError

__all__ = ["make_app"]

#: Calls a method of the client by its name.
Ask = Callable[..., Awaitable[Any]]
#: Host names by which a browser on this machine reaches a port of 127.0.0.1, directly or through a tunnel.
HOSTS = ["127.0.0.1", "localhost"]
HEADERS = {
    # Notebooks show the page in a frame.
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; object-src 'none'; "
        "frame-ancestors 'self' http://127.0.0.1:* http://localhost:* vscode-webview:"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
STATIC = Path(__file__).parent / "static"
_FIRST_ROWS = 100
#: The most plots computed concurrently; each may load the spikes of a long recording.
_PLOTS_AT_ONCE = 2


class Guard:
    """Middleware that answers 403 unless the path begins with the secret, and adds the headers of every answer."""

    def __init__(self, app: ASGIApp, secret: str) -> None:
        self._app = app
        self._secret = secret.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on without the secret."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        _, _, path = str(scope["path"]).partition("/")
        given, slash, rest = path.partition("/")
        answer: ASGIApp = self._app
        if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), self._secret):
            answer = PlainTextResponse("403: the address lacks its secret", 403)
        elif not slash:
            answer = RedirectResponse(f"/{given}/")
        await answer({**scope, "path": f"/{rest}"}, receive, send_with_headers)


class Pages:
    """The handlers of the page's requests."""

    def __init__(
        self, search: FacetedSearch, ask: Ask, about: Mapping[str, Any], root: Path, online: bool
    ) -> None:
        self._search = search
        self._ask = ask
        self._about = about
        self._root = root
        self._online = online
        self._plotting = anyio.CapacityLimiter(_PLOTS_AT_ONCE)

    async def about(self, _: Request) -> Response:
        """Return the database and tables of the page, and whether files can be downloaded."""
        return JSONResponse({**self._about, "online": self._online})

    async def query(self, request: Request) -> Response:
        """Return the number of sessions, the first of them, the counts of the filters' values and the code."""
        filters = parse_filters(request.query_params.multi_items())
        return JSONResponse(await run_polars(self._search.answer, filters, _FIRST_ROWS))

    async def sessions(self, request: Request) -> Response:
        """Return sessions from an offset."""
        filters = parse_filters(request.query_params.multi_items())
        offset, limit = _number(request, "offset", 0), _number(request, "limit", MOST_ROWS)
        return JSONResponse({"rows": await run_polars(self._search.page, filters, offset, limit)})

    async def session(self, request: Request) -> Response:
        """Return one session, with the plots available for its data."""
        eid = request.query_params.get("eid", "")
        found = await run_polars(describe, self._search, eid)
        plots = await run_polars(plots_of, self._search, eid)
        ready = await run_polars(on_disk, self._search, self._root, eid, plots)
        shown = [self._plot(eid, plot, here) for plot, here in zip(plots, ready, strict=True)]
        return JSONResponse({**found, "plots": shown})

    def _plot(self, eid: str, plot: PlotData, here: bool) -> dict[str, Any]:
        return {
            "kind": plot.kind,
            "collection": plot.collection,
            "size": _display.size(plot.size),
            "on_disk": here,
            "code": self._search.code("load_object", eid, plot.object, **plot.arguments()),
        }

    async def record(self, request: Request) -> Response:
        """Return the fields of the database's record that are not in the tables; none in local mode."""
        if not self._online:
            return JSONResponse(None)
        record = await self._ask(
            "get_details", request.query_params.get("eid", ""), full=True, query_type="remote"
        )
        return JSONResponse(await run_sync(describe_record, self._search, record))

    async def plot(self, request: Request) -> Response:
        """Return the data of a plot, loaded through the client."""
        eid, kind, collection = (request.query_params.get(name, "") for name in ("eid", "kind", "collection"))
        plots = await run_polars(plots_of, self._search, eid)
        wanted = [plot for plot in plots if (plot.kind, plot.collection) == (kind, collection)]
        if not wanted:
            raise ALFObjectNotFound(
                f"the session has no data for this plot: {kind} of {collection or 'no folder'}"
            )
        async with self._plotting:
            data = await self._ask("load_object", eid, wanted[0].object, **wanted[0].arguments())
            return JSONResponse(await run_sync(PLOTS[kind], data))


def _number(request: Request, name: str, default: int) -> int:
    given = request.query_params.get(name, "")
    if not given:
        return default
    if not (given.isdecimal() and len(given) < 16):
        raise InputError.of(name, given, "a whole number")
    return int(given)


async def _failed(_: Request, error: Exception) -> Response:
    """Return an error of the library as JSON."""
    status = 502
    if isinstance(error, InputError):
        status = 400
    elif isinstance(error, ALFObjectNotFound | NotFound):
        status = 404
    return JSONResponse({"kind": type(error).__name__, "error": str(error)}, status)


async def _refused(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return PlainTextResponse(str(status), status)


def make_app(
    search: FacetedSearch, ask: Ask, *, secret: str, about: Mapping[str, Any], root: Path, online: bool
) -> ASGIApp:
    """Return the application.

    ``ask`` calls the client, ``root`` is its cache folder; without ``online``, no network is used.
    """
    pages = Pages(search, ask, about, root, online)
    routes = [
        Route(f"/api/{name}", getattr(pages, name))
        for name in ("about", "query", "sessions", "session", "record", "plot")
    ]
    return Starlette(
        routes=[*routes, Mount("/", StaticFiles(directory=STATIC, html=True))],
        middleware=[
            Middleware(Guard, secret=secret),
            Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False),
        ],
        exception_handlers={OneError: _failed, HTTPException: _refused},
    )
