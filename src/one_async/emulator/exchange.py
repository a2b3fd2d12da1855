"""One request to the emulator: its address, its parameters, and the addresses in its answer."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from urllib.parse import parse_qs

from starlette.requests import Request

from one_async.emulator.service import DATA_HOST, Service
from one_async.emulator.store import HOST

__all__ = ["Exchange", "Route", "find_route", "schema"]


@dataclass(frozen=True)
class Route:
    """One path of Alyx's OpenAPI document, and its methods."""

    path: str
    endpoint: str
    allow: str
    pattern: re.Pattern[str]


KEYS = {"img_url": ".*", "id": r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "tag": r"\w+"}
NUMBERED = "/brain-regions/"


@cache
def schema() -> bytes:
    """Return the OpenAPI document of Alyx 3.6.1 as it was served."""
    return files(__package__).joinpath("openapi.json").read_bytes()


@cache
def routes() -> list[Route]:
    """Return the routes of the OpenAPI document, and that of a tag's tables, which the document omits."""
    found = []
    for path, methods in (json.loads(schema())["paths"] | {"/cache/info/{tag}/": {"get": {}}}).items():
        allowed = [name.upper() for name in ("get", "post", "put", "patch", "delete") if name in methods]
        allowed += ["HEAD", "OPTIONS"] if "get" in methods else ["OPTIONS"]
        fixed, _, name = path.partition("{")
        name, _, end = name.partition("}")
        key = r"\d+" if fixed == NUMBERED else KEYS.get(name, "[^/]+")
        pattern = re.escape(fixed) + (f"(?P<key>{key})" if name else "") + end
        found.append(Route(path, path.split("/")[1], ", ".join(allowed), re.compile(pattern)))
    return found


def find_route(path: str) -> tuple[Route | None, str]:
    """Return the route of a path and the key in it."""
    for route in routes():
        match = route.pattern.fullmatch(path)
        if match:
            key = match.groupdict().get("key", "")
            return route, str(int(key)) if path.startswith(NUMBERED) else key
    return None, ""


@dataclass
class Exchange:
    """A request for a route, with the user who sends it and the media type of the answer."""

    app: Service
    request: Request
    route: Route
    key: str
    user: str | None = None
    media: str = ""

    @property
    def base(self) -> str:
        """The address under which the client knows this server."""
        return f"{self.request.scope['scheme']}://{self.request.headers['host']}"

    @cached_property
    def query(self) -> dict[str, list[str]]:
        """The query parameters, each with all its values."""
        return parse_qs(str(self.request.scope["query_string"], "latin-1"), keep_blank_values=True)

    @cached_property
    def given(self) -> dict[str, str]:
        """The query parameters, each with its last value."""
        return {name: values[-1] for name, values in self.query.items()}

    @cached_property
    def filters(self) -> dict[str, str | tuple[str, ...]]:
        """The query parameters for filters: each with its value, or with a tuple of several."""
        return {name: tuple(said) if len(said) > 1 else said[0] for name, said in self.query.items()}

    def localized(self, text: str) -> str:
        """Replace alyx.test and data.test by the addresses of this server."""
        data = f"{self.base}/data" if self.app.data_url is None else self.app.data_url.rstrip("/")
        for address, ours in ((DATA_HOST, data), (HOST, self.base)):
            text = text if ours == address else text.replace(address, ours)
        return text

    def linked(self, text: str) -> str:
        """Add the format, if the request names one, to the addresses of records."""
        asked = self.given.get("format")
        return re.sub(rf'"({HOST}/(?!uploaded/)[^"]*)"', rf'"\1?format={asked}"', text) if asked else text
