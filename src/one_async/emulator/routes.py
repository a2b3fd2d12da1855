"""The addresses of Alyx and the methods that each takes, read from the OpenAPI document that it serves."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

__all__ = ["Route", "find_route", "schema"]

PATTERNS = {"uuid": "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "integer": r"\d+", "string": "[^/]+"}


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
