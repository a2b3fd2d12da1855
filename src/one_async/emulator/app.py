"""The ASGI application: what Alyx does with a request, in the order in which it does it."""

from __future__ import annotations

import hashlib
import json
import math
import re
import secrets
import time
import zipfile
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .content import World
from .datafiles import data_file
from .faults import Faults, misbehave
from .filters import Failed, Refused, rules
from .models import MODELS
from .options import description
from .store import HOST, Store, dumps
from .water import requirement

__all__ = ["App", "Logged"]

DATA_HOST = "https://data.test"
HOSTS = frozenset({"alyx.test", "127.0.0.1", "localhost", "[::1]"})
LONGEST_REQUEST_LINE = 4094
DEFAULT_LIMIT, MAX_LIMIT = 250, 1000
OPEN = frozenset("/api/schema /docs/ /check-protected /sync-file-status /register-file /new-download".split())
BROKEN_OPTIONS = frozenset({"/sessions", "/datasets", "/trajectories", "/tasks"})
PATTERNS = {"uuid": "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "integer": r"\d+", "string": "[^/]+"}
PAGE = (
    "\n<!doctype html>\n<html lang=\"en\">\n<head>\n  <title>{title}</title>\n</head>\n"
    "<body>\n  <h1>{title}</h1><p>{text}</p>\n</body>\n</html>\n"
)
NOT_FOUND = PAGE.format(title="Not Found", text="The requested resource was not found on this server.")


@dataclass(frozen=True)
class Route:
    """One address of the schema: the methods it takes and, for a record's address, which endpoint and key."""

    path: str
    methods: tuple[str, ...]
    pattern: re.Pattern[str]

    @property
    def endpoint(self) -> str:
        """The endpoint's name."""
        return self.path.split("/")[1]

    @property
    def allow(self) -> str:
        """The Allow header."""
        order = ("GET", "POST", "PUT", "PATCH", "DELETE")
        methods = [method for method in order if method in self.methods]
        return ", ".join([*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"])


@lru_cache(maxsize=1)
def schema() -> bytes:
    """Give the OpenAPI document of Alyx 3.6.1 as it was served."""
    return files(__package__).joinpath("openapi.json").read_bytes()


@lru_cache(maxsize=1)
def routes() -> tuple[dict[str, Route], list[Route]]:
    """Read the schema's addresses: those that are fixed, and those with a part to fill in."""
    fixed: dict[str, Route] = {}
    keyed: list[Route] = []
    documented = json.loads(schema())["paths"]
    documented["/cache/info/{tag}/"] = {"get": {"parameters": []}}
    for path, operations in documented.items():
        pattern = re.escape(path)
        for parameter in operations.get("get", {}).get("parameters", []):
            if parameter["in"] == "path":
                kind = parameter["schema"].get("format") or parameter["schema"]["type"]
                pattern = re.escape(path).replace(
                    re.escape("{" + parameter["name"] + "}"), f"(?P<key>{PATTERNS[kind]})"
                )
        pattern = pattern.replace(re.escape("{tag}"), r"(?P<key>\w+)")
        route = Route(path, tuple(name.upper() for name in operations), re.compile(pattern + r"\Z"))
        if "{" in path:
            keyed.append(route)
        else:
            fixed[path] = route
    return fixed, keyed


def find_route(path: str) -> tuple[Route | None, str]:
    """Find the route of a path and the key in it."""
    fixed, keyed = routes()
    if path in fixed:
        return fixed[path], ""
    for route in keyed:
        match = route.pattern.match(path)
        if match:
            return route, match["key"]
    return None, ""


class Answer(Exception):
    """Ends a request early with an error body."""

    def __init__(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body if "status_code" in body else {**body, "status_code": status}
        self.headers = headers or {}


@dataclass(frozen=True)
class Logged:
    """One request as the emulator saw it; ``time`` is in seconds since the epoch."""

    method: str
    path: str
    query: str
    user: str | None
    status: int
    time: float


@dataclass
class App:
    """Serve a world; every option may be changed while it runs.

    ``throttle`` is requests in a minute for each user; ``latency`` and ``file_latency`` are seconds;
    ``data_url`` replaces the address of the data server (default: ``/data`` of this server);
    ``unstable_paging`` is a seed: pages of endpoints without order then repeat rows and lose others.
    """

    world: World
    database: Path | None = None
    latency: float = 0.0
    file_latency: float = 0.0
    throttle: int | None = None
    data_url: str | None = None
    unstable_paging: int | None = None
    token_seed: str = field(default_factory=lambda: secrets.token_hex(8))
    clock: Callable[[], float] = time.monotonic
    requests: list[Logged] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)
    files: dict[str, bytes | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Load the world into the store."""
        self.store = Store(self.world, self.database)
        self.passwords = {"demo": "demo", "reader": "reader", **self.world.passwords}
        known = self.world.unserved.get("users", ())
        self.read_only = {user["username"] for user in known if user.get("is_public_user")} | {"reader"}
        self._users = {self.token(user): user for user in self.passwords}
        self._windows: dict[str, deque[float]] = defaultdict(deque)
        self._zip: bytes | None = None
        self._date_created: str | None = None
        self.read_file = lru_cache(maxsize=64)(self.world.read_file)

    def token(self, user: str) -> str:
        """Give a user's token: 40 hexadecimal characters, the same as long as the emulator lives."""
        return hashlib.sha1(f"{self.token_seed}:{user}".encode()).hexdigest()  # noqa: S324

    def touch_tables(self, date_created: str | None = None, cache_zip: bytes | None = None) -> None:
        """Publish newer cache tables: another date (``YYYY-MM-DD HH:MM``), other bytes, or both."""
        self._date_created = date_created or self._date_created
        self._zip = cache_zip or self._zip

    # ---- one request ----

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or misbehave as the faults ask for."""
        request = Request(scope, receive)
        path = request.url.path
        rule = self.faults.matching(request.method, path)
        if rule is not None and rule.call is not None:
            rule.call()
        is_file = path.startswith("/data/")
        if self.latency or (is_file and self.file_latency):
            await anyio.sleep(self.latency + (self.file_latency if is_file else 0))
        response, user = await self._respond(request, ignore_range=rule is not None and rule.ignore_range)
        record = Logged(request.method, path, request.url.query, user, response.status_code, time.time())
        self.requests.append(record)
        await misbehave(rule, response, scope, receive, send)

    async def _respond(self, request: Request, ignore_range: bool) -> tuple[Response, str | None]:
        scope = request.scope
        path = scope["path"]
        target = (scope.get("raw_path") or path.encode()) + b"?" + scope["query_string"]
        if len(request.method) + len(target) + len("  HTTP/1.1") > LONGEST_REQUEST_LINE + 1:
            return html(414, PAGE.format(title="Request-URI Too Large", text="")), None
        if urlsplit(f"//{request.headers.get('host', '')}").hostname not in HOSTS:
            return html(400, PAGE.format(title="Bad Request (400)", text="")), None
        if path.startswith("/data/"):
            name = path.removeprefix("/data/")
            body = self.files[name] if name in self.files else self.read_file(name)
            return data_file(request, body, ignore_range), None
        route, key = find_route(path)
        if route is None:
            if path in ("/cache/info", "/docs"):
                return Response(b"", 301, {"location": f"{path}/", "content-type": "text/html; charset=utf-8"}), None
            return html(404, NOT_FOUND), None
        exchange = Exchange(self, request, route, key)
        return await exchange.answer(), exchange.user

    # ---- who asks, and how often ----

    def user_of(self, authorization: str | None) -> str | None:
        """Find the user of an Authorization header; Answer 403 for an invalid token."""
        parts = (authorization or "").split()
        if not parts or parts[0].lower() != "token":
            return None
        if len(parts) == 1:
            raise Answer(403, {"detail": "Invalid token header. No credentials provided."})
        if len(parts) > 2:
            raise Answer(403, {"detail": "Invalid token header. Token string should not contain spaces."})
        if parts[1] not in self._users:
            raise Answer(403, {"detail": "Invalid token."})
        return self._users[parts[1]]

    def count(self, who: str) -> None:
        """Count a request of a user (or address); Answer 429 when there were too many in the last minute."""
        if self.throttle is None:
            return
        now, window = self.clock(), self._windows[who]
        while window and window[0] <= now - 60:
            window.popleft()
        if len(window) >= self.throttle:
            wait = math.ceil(window[0] + 60 - now)
            text = f"Request was throttled. Expected available in {wait} second{'s' if wait != 1 else ''}."
            raise Answer(429, {"detail": text}, {"retry-after": str(wait)})
        window.append(now)

    # ---- cache tables ----

    def cache_zip(self) -> bytes:
        """Give the published cache tables."""
        return self._zip or self.world.cache_zip()

    def cache_info(self) -> dict[str, Any]:
        """Give what is known of the published cache tables."""
        with zipfile.ZipFile(BytesIO(self.cache_zip())) as archive:
            info: dict[str, Any] = json.loads(archive.read("cache_info.json"))
        return {**info, **({"date_created": self._date_created} if self._date_created else {})}

    def pick(self, endpoint: str, rows: Any, limit: int, offset: int) -> list[int]:
        """Take one page of row numbers; with ``unstable_paging`` some give way to rows of other pages."""
        page = list(rows[offset : offset + limit])
        if self.unstable_paging is None or MODELS[endpoint].order or len(rows) <= limit:
            return page
        # Measured at a real Alyx: about 8 % of the rows are lost at pages of up to 250, 0.2 % at larger ones
        chance = 0.08 if limit <= DEFAULT_LIMIT else 0.003
        for at in range(len(page)):
            name = f"{self.unstable_paging}:{endpoint}:{limit}:{offset}:{at}"
            draw = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())
            if draw % 10_000 < chance * 10_000:
                page[at] = rows[draw // 10_000 % len(rows)]
        return page


def html(status: int, text: str) -> Response:
    """Answer with a page."""
    return Response(text, status, {"content-type": "text/html; charset=utf-8"})


# ---- one request to a view of Alyx ----

Handler = Callable[["Exchange"], Awaitable[Response]]
JSON, HTML = "application/json", "text/html"
OPENAPI = "application/vnd.oai.openapi"
SCHEMA_TYPES = (OPENAPI, "application/yaml", f"{OPENAPI}+json", JSON)


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
        offered = SCHEMA_TYPES if self.route.path == "/api/schema" else (JSON, HTML)
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
        return f"{self.request.url.scheme}://{self.request.headers['host']}"

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
        endpoint, query = self.route.endpoint, self.request.url.query
        if self.request.method == "HEAD" and endpoint == "sessions":
            raise Failed("'NoneType' object is not iterable")
        given = {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
        limit, offset = whole(given.get("limit"), MAX_LIMIT) or DEFAULT_LIMIT, whole(given.get("offset")) or 0
        known = rules(endpoint)
        rows = self.app.store.rows(endpoint, {k: v for k, v in given.items() if v and k in known})
        texts = self.app.store.texts(endpoint, self.app.pick(endpoint, rows, limit, offset))
        count = len(set(rows)) if endpoint == "imaging-stack" else len(rows)
        following = self.link(limit, offset + limit) if offset + limit < count else None
        previous = self.link(limit, offset - limit) if offset > 0 else None
        head = f'{{"count":{count},"next":{dumps(following)},"previous":{dumps(previous)},"results":['
        results = f"[{','.join(texts)}]" if self.key else ""
        return self.localized(results or f"{head}{','.join(texts)}]}}")

    def link(self, limit: int, offset: int) -> str:
        """Write the address of another page: the same query, its keys sorted and escaped again."""
        query: dict[str, Any] = parse_qs(self.request.url.query, keep_blank_values=True)
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
            'SELECT d.name FROM datasets d JOIN "datasets.tags" l ON l.row = d.row JOIN tags t ON t.name = l.value'
            " WHERE d.session = ? AND coalesce(d.collection, '') = ? AND t.protected"
        )
        held = {name for (name,) in self.app.store.select(sql, found[0][0], collection or "")}
        details = [{name: [{"": name in held}]} for name in names]
        if held.intersection(names):
            return dumps({"status_code": 403, "error": "One or more datasets is protected", "details": details})
        return dumps({"status_code": 200, "details": details})

    def water(self) -> str:
        """Give the water requirement of a subject, day by day."""
        return dumps(requirement(self.app.store, self.app.world.now, self.key, dict(self.request.query_params)))

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
        missing = {name: ["This field is required."] for name in ("username", "password") if not given.get(name)}
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
