"""What a view of Alyx does with a request, in the order in which it does it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode

from starlette.requests import Request
from starlette.responses import Response

from .filters import Refused
from .models import MODELS
from .options import description
from .query import Failed
from .routes import Route, schema
from .store import HOST, dumps
from .water import requirement

if TYPE_CHECKING:
    from .app import App

__all__ = ["DEFAULT_LIMIT", "NOT_FOUND", "PAGE", "Answer", "Exchange", "html"]

DATA_HOST = "https://data.test"
DEFAULT_LIMIT, MAX_LIMIT = 250, 1000
OPEN = {"/api/schema", "/docs/", "/check-protected", "/sync-file-status", "/register-file", "/new-download"}
BROKEN_OPTIONS = {"/sessions", "/datasets", "/trajectories", "/tasks"}
JSON, HTML = "application/json", "text/html"
OPENAPI = "application/vnd.oai.openapi"
SCHEMA_TYPES = (OPENAPI, "application/yaml", f"{OPENAPI}+json", JSON)
PAGE = (
    '\n<!doctype html>\n<html lang="en">\n<head>\n  <title>{title}</title>\n</head>\n'
    "<body>\n  <h1>{title}</h1><p>{text}</p>\n</body>\n</html>\n"
)
NOT_FOUND = PAGE.format(title="Not Found", text="The requested resource was not found on this server.")


class Answer(Exception):
    """Ends a request early with an error body."""

    def __init__(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body if "status_code" in body else {**body, "status_code": status}
        self.headers = headers or {}


def html(status: int, text: str) -> Response:
    """Answer with a page."""
    return Response(text, status, {"content-type": "text/html; charset=utf-8"})


@dataclass
class Exchange:
    """A request on its way through negotiation, login, permission, throttle and method, as in a real view."""

    app: App
    request: Request
    route: Route
    key: str
    user: str | None = None
    media: str = JSON

    async def answer(self) -> Response:
        """Answer the request."""
        login = self.route.path == "/auth-token"
        vary = "Cookie" if login else "Accept, Cookie"
        headers: dict[str, str] = {}
        status = 200
        try:
            try:
                self.media = self.negotiate()
            except Answer:
                vary = "Accept"
                raise
            self.admit(login)
            body = await self.handle()
            if isinstance(body, Response):
                body.headers.update({"vary": vary, "allow": self.route.allow})
                return body
        except Answer as error:
            status, body, headers = error.status, dumps(error.body), error.headers
        except Refused as error:
            status, body = 400, dumps({**error.messages, "status_code": 400})
        except Failed as error:
            status, body = 500, dumps({"status_code": 500, "detail": str(error)})
        if self.media == HTML:
            escaped = body.replace("&", "&amp;").replace("<", "&lt;")
            return html(status, PAGE.format(title=self.route.endpoint, text=f"<pre>{escaped}</pre>"))
        headers |= {"content-type": self.media, "vary": vary, "allow": self.route.allow}
        return Response(body, status, headers)

    def negotiate(self) -> str:
        """Choose the media type of the answer; Answer 406 where none is acceptable."""
        accept = self.request.headers.get("accept") or "*/*"
        wanted = [part.split(";")[0].strip() for part in accept.split(",")]
        offered: tuple[str, ...] = SCHEMA_TYPES if self.route.path == "/api/schema" else (JSON, HTML)
        if "format" in self.request.query_params:
            offered = tuple(kind for kind in offered if kind.endswith(self.request.query_params["format"]))
        for kind in offered:
            if any(want in ("*/*", kind, kind.split("/")[0] + "/*") for want in wanted):
                return kind
        raise Answer(406, {"detail": "Could not satisfy the request Accept header."})

    def admit(self, login: bool) -> None:
        """Check token, rights, rate and method."""
        method = self.request.method
        self.user = self.app.user_of(self.request.headers.get("authorization"))
        if not login and self.route.path not in OPEN:
            if self.user is None:
                raise Answer(403, {"detail": "Authentication credentials were not provided."})
            if self.user in self.app.read_only and method != "GET":
                raise Answer(403, {"detail": "You do not have permission to perform this action."})
        if not login:
            client = self.request.client
            self.app.count(self.user or (client.host if client else ""))
        if method not in self.route.allow.split(", "):
            raise Answer(405, {"detail": f'Method "{method}" not allowed.'})

    async def handle(self) -> str | Response:
        """Do what the view does."""
        path, method = self.route.path, self.request.method
        if path == "/auth-token" and method == "POST":
            return await self.login()
        if method == "OPTIONS":
            return self.options()
        if method not in ("GET", "HEAD"):
            return await self.write()
        special: dict[str, Callable[[], str | Response]] = {
            "/api/schema": self.schema,
            "/docs/": lambda: html(200, PAGE.format(title="Alyx", text="The schema is at /api/schema.")),
            "/cache.zip": self.zip,
            "/cache/info/": lambda: json.dumps(self.app.cache_info(), ensure_ascii=False),
            "/cache/info/{tag}/": self.tagged_info,
            "/check-protected": self.check_protected,
            "/water-requirement/{nickname}": self.water,
            "/water-type/{name}": self.page,
            "/sync-file-status": lambda: "[]",
        }
        if path in special:
            return special[path]()
        return self.record() if self.key else self.page()

    # ---- reading ----

    @property
    def base(self) -> str:
        """The address under which the client knows this server."""
        return f"{self.request.scope['scheme']}://{self.request.headers['host']}"

    @property
    def query(self) -> str:
        """The query, still escaped."""
        return str(self.request.scope["query_string"], "latin-1")

    def localized(self, text: str) -> str:
        """Put this server's addresses where the world says alyx.test and data.test."""
        data = f"{self.base}/data" if self.app.data_url is None else self.app.data_url.rstrip("/")
        text = text if data == DATA_HOST else text.replace(DATA_HOST, data)
        return text if self.base == HOST else text.replace(HOST, self.base)

    def record(self) -> str:
        """Give one record; Answer 404 if there is none."""
        text = self.app.store.detail(self.route.endpoint, self.key)
        if text is None:
            name = MODELS[self.route.endpoint].singular
            raise Answer(404, {"detail": f"No {name} matches the given query."})
        return self.localized(text)

    def page(self) -> str:
        """Give one page of a list."""
        endpoint, query = self.route.endpoint, self.query
        if self.request.method == "HEAD" and endpoint == "sessions":
            raise Failed("'NoneType' object is not iterable")
        given = {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
        limit, offset = whole(given.get("limit"), MAX_LIMIT) or DEFAULT_LIMIT, whole(given.get("offset")) or 0
        rows = self.app.store.rows(endpoint, given)
        texts = self.app.store.texts(endpoint, self.app.pick(endpoint, rows, limit, offset))
        count = len(set(rows)) if endpoint == "imaging-stack" else len(rows)
        following = self.link(limit, offset + limit) if offset + limit < count else None
        previous = self.link(limit, offset - limit) if offset > 0 else None
        head = f'{{"count":{count},"next":{dumps(following)},"previous":{dumps(previous)},"results":['
        results = f"[{','.join(texts)}]" if self.key else ""
        return self.localized(results or f"{head}{','.join(texts)}]}}")

    def link(self, limit: int, offset: int) -> str:
        """Write the address of another page: the same query, its keys sorted and escaped again."""
        query: dict[str, Any] = parse_qs(self.query, keep_blank_values=True)
        query["limit"] = [limit]
        query["offset"] = [offset]
        if offset <= 0:
            del query["offset"]
        return f"{self.base}{self.request.scope['path']}?{urlencode(sorted(query.items()), doseq=True)}"

    def schema(self) -> Response:
        """Give the OpenAPI document."""
        suffix = "json" if self.media.endswith("json") else "yaml"
        disposition = f'inline; filename="schema.{suffix}"'
        # JSON is YAML too, so one text serves both
        return Response(schema(), 200, {"content-type": self.media, "content-disposition": disposition})

    def zip(self) -> Response:
        """Give the cache tables."""
        disposition = 'inline; filename="cache.zip"'
        headers = {"content-type": "application/zip", "content-disposition": disposition}
        return Response(self.app.cache_zip(), 200, headers)

    def tagged_info(self) -> Response:
        """Answer for the tables of a tag: this server has none."""
        if not self.app.store.rows("tags", {"name": self.key}):
            return html(404, f"Tag {self.key} not found")
        raise Failed(f"[Errno 2] No such file or directory: 'tables/{self.key}/cache_info.json'")

    def check_protected(self) -> str:
        """Tell whether any of some files is protected."""
        query = self.request.query_params
        if "path" not in query:
            raise Failed("The path argument is required.")
        match = re.match(r"([^/]+)/(\d{4}-\d\d-\d\d)/(\d+)(?:/(.*))?$", query["path"])
        if match is None:
            raise Failed(f"The path {query['path']} should be `nickname/YYYY-MM-DD/n/...")
        subject, date, number, collection = match.groups()
        found = self.app.store.select(
            "SELECT id FROM sessions WHERE subject = ? AND substr(start_time, 1, 10) = ? AND number = ?",
            subject,
            date,
            int(number),
        )
        if not found:
            raise Failed(f"A base session for {subject} on {date} does not exist")
        names = query.get("filenames", "").split(",")
        sql = (
            'SELECT d.name FROM datasets d JOIN "datasets.tags" l ON l.row = d.row'
            " JOIN tags t ON t.name = l.value"
            " WHERE d.session = ? AND coalesce(d.collection, '') = ? AND t.protected"
        )
        held = {name for (name,) in self.app.store.select(sql, found[0][0], collection or "")}
        details = [{name: [{"": name in held}]} for name in names]
        if held.intersection(names):
            return dumps(
                {"status_code": 403, "error": "One or more datasets is protected", "details": details}
            )
        return dumps({"status_code": 200, "details": details})

    def water(self) -> str:
        """Give the water requirement of a subject, day by day."""
        return dumps(
            requirement(self.app.store, self.app.world.now, self.key, dict(self.request.query_params))
        )

    def options(self) -> str:
        """Describe a view, where Alyx can."""
        if self.route.path in BROKEN_OPTIONS:
            raise Failed("'list' object has no attribute 'items'")
        return dumps(description(self.route.path, json.loads(schema())))

    # ---- writing ----

    async def data(self) -> Any:
        """Read the body: JSON or a form; Answer 415 for anything else."""
        kind = (self.request.headers.get("content-type") or JSON).split(";")[0].strip().lower()
        body = await self.request.body()
        if kind == JSON:
            try:
                return json.loads(body or b"{}")
            except ValueError as error:
                raise Answer(400, {"detail": f"JSON parse error - {error}"}) from None
        if kind == "application/x-www-form-urlencoded":
            return {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
        raise Answer(415, {"detail": f'Unsupported media type "{kind}" in request.'})

    async def login(self) -> str:
        """Exchange a name and a password for a token."""
        given = await self.data()
        given = given if isinstance(given, dict) else {}
        missing = {
            name: ["This field is required."] for name in ("username", "password") if not given.get(name)
        }
        if missing:
            raise Answer(400, missing)
        name = str(given["username"])
        if self.app.passwords.get(name) != given["password"]:
            raise Answer(400, {"non_field_errors": ["Unable to log in with provided credentials."]})
        return dumps({"token": self.app.token(name)})

    async def write(self) -> str:
        """Refuse what would change the world: its records change through the store alone."""
        await self.data()
        raise Answer(405, {"detail": f'Method "{self.request.method}" not allowed.'})


def whole(text: str | None, most: int | None = None) -> int | None:
    """Read a number that is not negative, up to a limit; None where it cannot be read."""
    try:
        number = int(text or "")
    except ValueError:
        return None
    if number < 0:
        return None
    return min(number, most) if most else number
