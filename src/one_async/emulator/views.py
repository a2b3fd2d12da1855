"""The steps of Alyx's views, in their order, and the data server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from one_async.emulator.exchange import Exchange, schema
from one_async.emulator.fields import LOGIN, WRITES, validated
from one_async.emulator.metadata import describe
from one_async.emulator.models import MODELS
from one_async.emulator.query import Answer, Failed
from one_async.emulator.reading import as_read, of_one_session
from one_async.emulator.rows import Rows
from one_async.emulator.service import DEFAULT_LIMIT
from one_async.emulator.store import dumps
from one_async.emulator.values import NAMED
from one_async.emulator.water import water_requirement
from one_async.emulator.writes import body_of, write

__all__ = ["NOT_FOUND", "View", "data_file", "page_of"]

PICTURES = "/var/www/alyx/uploaded"
MAX_LIMIT = 1000
OPEN = {"/api/schema", "/docs/", "/check-protected", "/sync-file-status", "/register-file", "/new-download"}
JSON, HTML, ZIP = "application/json", "text/html", "application/zip"
YAML, OPENAPI = "application/yaml", "application/vnd.oai.openapi"
FORMATS = {JSON: "json", HTML: "api", OPENAPI: "yaml", YAML: "yaml", f"{OPENAPI}+json": "json"}
OFFERED: dict[str, tuple[str, ...]] = {
    "/api/schema": (OPENAPI, YAML, f"{OPENAPI}+json", JSON),
    "/auth-token": (JSON,),
}
# Lists whose views do not know what they show to HEAD
HEADLESS = ("sessions", "fov-location", "imaging-stack")
PAGE = (
    '\n<!doctype html>\n<html lang="en">\n<head>\n  <title>{title}</title>\n</head>\n'
    "<body>\n  <h1>{title}</h1><p>{text}</p>\n</body>\n</html>\n"
)
NOT_FOUND = "The requested resource was not found on this server."


def page_of(status: int, title: str, text: str = "") -> Response:
    """Return an HTML page."""
    return Response(PAGE.format(title=title, text=text), status, media_type=HTML)


class View(Exchange):
    """An exchange that is processed as in a real view: negotiation, login, permission, throttle, method."""

    async def answer(self) -> Response:
        """Answer the request."""
        status, headers, body = 200, {}, ""
        try:
            self.media = self.negotiate()
            self.admit()
            body = await self.handle()
        except Answer as error:
            status, headers, body = error.status, error.headers, dumps(error.body)
        vary = "Accept, Cookie" if self.media else "Accept"
        headers |= {"vary": "Cookie" if self.route.path == "/auth-token" else vary, "allow": self.route.allow}
        if isinstance(body, Response):
            for name, value in headers.items():
                body.headers.setdefault(name, value)
            return body
        if self.media == HTML and self.route.endpoint != "cache":
            escaped = body.replace("&", "&amp;").replace("<", "&lt;")
            page = page_of(status, self.route.endpoint, f"<pre>{escaped}</pre>")
            page.headers.update(headers)
            return page
        return Response(body, status, {"content-type": self.kind, **headers})

    @property
    def kind(self) -> str:
        """The media type of a text that is no page."""
        return self.media if self.media not in ("", HTML) else JSON

    def negotiate(self) -> str:
        """Choose the media type of the answer. Raise Answer 406 if none is acceptable."""
        accept = self.request.headers.get("accept", "*/*").lower()
        offered = OFFERED.get(self.route.path, (JSON, HTML))
        asked = self.request.query_params.get("format")
        if asked is not None:
            offered = tuple(kind for kind in offered if FORMATS[kind] == asked)
            if not offered:
                raise Answer(404, {"detail": "Not found."})
        wanted = [part.strip() for part in accept.split(",")]
        for level in (3, 2, 1, 0):
            kinds = [part.partition(";")[0].strip() for part in wanted if precision(part) == level]
            for kind in offered:
                if not {"*/*", kind, kind.split("/")[0] + "/*"}.isdisjoint(kinds):
                    return kind
        raise Answer(406, {"detail": "Could not satisfy the request Accept header."})

    def admit(self) -> None:
        """Check token, permission, rate and method."""
        method = self.request.method
        self.user = self.app.user_of(self.request.headers.get("authorization"))
        if self.route.path not in OPEN | {"/auth-token"}:
            if self.user is None:
                raise Answer(403, {"detail": "Authentication credentials were not provided."})
            if self.user in self.app.read_only and method != "GET":
                raise Answer(403, {"detail": "You do not have permission to perform this action."})
        if self.route.path != "/auth-token":
            client = self.request.client
            self.app.count(self.user or (client.host if client else ""))
        if method not in self.route.allow.split(", "):
            raise Answer(405, {"detail": f'Method "{method}" not allowed.'})

    async def handle(self) -> Any:
        """Run the view. Return the text of a body, or a whole response."""
        path, method = self.route.path, self.request.method
        if path == "/auth-token" and method == "POST":
            return self.login(await body_of(self.request))
        if method == "OPTIONS":
            return self.options()
        if method not in ("GET", "HEAD") or path == "/check-protected":
            return await write(self)
        special: dict[str, Callable[[], str | Response]] = {
            "/api/schema": self.schema,
            "/cache.zip": lambda: download(self.app.cache_zip(), ZIP, "cache.zip"),
            "/cache/info/": lambda: json.dumps(self.app.cache_info(), ensure_ascii=False),
            "/cache/info/{tag}/": self.tagged_info,
            "/sync-file-status": lambda: "[]",  # the emulator never has a pending transfer
            # The text of the path on the server's disk, not the picture
            "/uploaded/{img_url}": lambda: Response(f"{PICTURES}/{self.key}", media_type=HTML),
            "/docs/": lambda: page_of(200, "Redoc", "The schema of this server is at /api/schema."),
            "/water-type/{name}": self.page,
            "/water-requirement/{nickname}": self.water_requirement,
        }
        if path in special:
            return special[path]()
        if self.route.endpoint not in MODELS:
            return page_of(404, "Not Found", NOT_FOUND)
        view = self.record if self.key else self.page
        slow = self.app.store.slow(self.route.endpoint, None if self.key else self.filters)
        text = await to_thread.run_sync(view) if slow else view()
        if self.route.endpoint == "tasks" and '"status":null,"name":' in text:
            # As in a real Alyx, a task without a status cannot be shown, nor any list with it
            raise Failed("list index out of range")
        return text

    # ---- reading ----

    def record(self) -> str:
        """Return one record. Raise Answer 404 if it does not exist."""
        text = self.app.store.detail(self.route.endpoint, self.key)
        if text is None:
            name = MODELS[self.route.endpoint].singular
            raise Answer(404, {"detail": f"No {name} matches the given query."})
        return self.localized(self.linked(text))

    def page(self) -> str:
        """Return one page of a list."""
        endpoint = self.route.endpoint
        if self.request.method == "HEAD" and endpoint in HEADLESS:
            raise Failed("'NoneType' object is not iterable")
        limit = min(whole(self.given.get("limit", "")), MAX_LIMIT) or DEFAULT_LIMIT
        offset = whole(self.given.get("offset", ""))
        rows = self.app.store.rows(endpoint, self.filters)
        rows = as_read(self.app.store, endpoint, rows, limit, self.given)
        page = self.app.store.texts(endpoint, self.app.pick(endpoint, rows, limit, offset))
        texts = self.linked(",".join(of_one_session(self.app.store, endpoint, page)))
        by_region = any(name.startswith("atlas_") and value for name, value in self.given.items())
        count = len(set(rows)) if endpoint == "imaging-stack" and not by_region else len(rows)
        following = self.link(limit, offset + limit) if offset + limit < count else None
        previous = self.link(limit, offset - limit) if offset > 0 else None
        head = f'{{"count":{count},"next":{dumps(following)},"previous":{dumps(previous)}'
        return self.localized(f'{head},"results":[{texts}]}}')

    def link(self, limit: int, offset: int) -> str:
        """Return the address of another page: the same query, with sorted keys, escaped anew."""
        query: dict[str, Any] = {**self.query, "limit": limit, "offset": offset}
        if offset <= 0:
            del query["offset"]
        return f"{self.base}{self.request.scope['path']}?{urlencode(sorted(query.items()), doseq=True)}"

    def options(self) -> str:
        """Return the description of this view. Raise Answer 500 where a real Alyx fails: on choices of its own."""
        endpoint, fields = self.route.endpoint, WRITES.get(self.route.endpoint)
        known = bool(self.key) and endpoint in MODELS
        exists = known and self.app.store.detail(endpoint, self.key) is not None
        named = fields is not None and any(f.kind in NAMED and not f.fixed for f in fields.fields.values())
        if named and (exists or not self.key):
            raise Failed("'list' object has no attribute 'items'")
        return dumps(describe(json.loads(schema()), self.route.path, endpoint, bool(self.key), exists))

    def water_requirement(self) -> str:
        """Return the water that a subject needs and gets each day."""
        dates = (self.given.get("start_date"), self.given.get("end_date"))
        return dumps(water_requirement(Rows(self.app.store, self.app.now), self.key, *dates))

    def schema(self) -> Response:
        """Return the OpenAPI document as JSON, which is also valid YAML."""
        return download(schema(), self.media, f"schema.{'json' if self.media.endswith('json') else 'yaml'}")

    def tagged_info(self) -> Response | str:
        """Return the cache info of a tag's tables, which exist only for protected tags."""
        rows = self.app.store.rows("tags", {"name": self.key})
        if not rows:
            return Response("Tag matching query does not exist.", 404, media_type="text/html")
        if not json.loads(self.app.store.texts("tags", rows)[0])["protected"]:
            raise Failed(f"[Errno 2] No such file or directory: 'tables/{self.key}/cache_info.json'")
        return self.localized(json.dumps(self.app.tagged_info(self.key), ensure_ascii=False))

    # ---- logging in ----

    def login(self, given: Any) -> str:
        """Return the token of a user, given name and password."""
        values, complaints = validated(LOGIN, given, False, self.app.store.exists)
        if complaints:
            raise Answer(400, dict(complaints))
        name = values["username"]
        if self.app.passwords.get(name) != values["password"]:
            raise Answer(400, {"non_field_errors": ["Unable to log in with provided credentials."]})
        return dumps({"token": self.app.token(name)})


def download(body: bytes, media: str, name: str) -> Response:
    """Return a file as an attachment."""
    return Response(body, 200, {"content-type": media, "content-disposition": f'inline; filename="{name}"'})


def precision(accepted: str) -> int:
    """Return how precisely a part of an Accept header names a media type."""
    kind, _, parameters = accepted.partition(";")
    if "*" in kind:
        return int(not kind.startswith("*"))
    return 3 if parameters and not parameters.strip().startswith("q=") else 2


def whole(text: str) -> int:
    """Parse a number that is not negative; return 0 for anything else."""
    try:
        return max(int(text), 0)
    except ValueError:
        return 0


# ---- the data server ----


def data_file(request: Request, body: bytes | None, ignore_range: bool = False) -> Response:
    """Answer a request for a file: 200, 206 with the requested range (RFC 9110, section 14), 404, 405 or 416."""
    if request.method not in ("GET", "HEAD"):
        return Response("Method Not Allowed", 405, {"allow": "GET, HEAD"}, media_type="text/plain")
    if body is None:
        return Response("Not Found", 404, media_type="text/plain")
    headers = {"accept-ranges": "bytes", "content-type": "application/octet-stream"}
    asked = "" if ignore_range or request.method == "HEAD" else request.headers.get("range", "")
    match = re.fullmatch(r"bytes=(?!-$)(\d*)-(\d*)", asked)
    if match is None:
        return Response(body, 200, headers)
    first, last = match.groups()
    size = len(body)
    start = int(first) if first else max(size - int(last), 0)
    stop = min(int(last) + 1, size) if first and last else size
    if start >= stop:
        return Response(b"", 416, headers | {"content-range": f"bytes */{size}"})
    return Response(body[start:stop], 206, headers | {"content-range": f"bytes {start}-{stop - 1}/{size}"})
