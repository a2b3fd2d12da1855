"""Compare an answer with a recorded one by the rules of the recordings' README."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from one_async.emulator.app import App

DATA = Path(__file__).parents[1] / "data" / "alyx"


@cache
def exchanges() -> dict[str, dict[str, Any]]:
    """Return every recorded read exchange: topic/name -> exchange."""
    paths = sorted((DATA / "exchanges").glob("*/*.json"))
    paths = [path for path in paths if path.parent.name not in ("scenarios", "registration")]
    return {f"{path.parent.name}/{path.stem}": json.loads(path.read_text("utf-8")) for path in paths}


def with_token(app: App, value: str) -> str:
    return re.sub(r"<(\w+)>", lambda match: app.token(match[1]), value)


def build(app: App, recorded: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of httpx's request for a recorded request."""
    headers = {name: with_token(app, value) for name, value in recorded["headers"].items()}
    url = "https://alyx.test" + quote(recorded["path"], safe="/%")
    if recorded["query"]:
        url += "?" + urlencode([(name, value) for name, value in recorded["query"]])
    body = recorded["body"]
    content: bytes | None = None
    if headers.get("content-type", "").startswith("application/x-www-form"):
        content = urlencode([(name, value) for name, value in body]).encode()
    elif isinstance(body, str):
        content = body.encode()
    elif body is not None:
        content = json.dumps(body).encode()
    return {"method": recorded["method"], "url": url, "headers": headers, "content": content}


def tokens(path: str) -> list[str]:
    return re.findall(r"[^.\[\]$]+", path)


def without(value: Any, path: list[str]) -> Any:
    """Return a copy of a JSON value without the values at a path."""
    if not path:
        return "(varies)"
    if isinstance(value, list):
        return [without(v, path[1:]) if path[0] in ("*", str(i)) else v for i, v in enumerate(value)]
    if isinstance(value, dict) and path[0] in value:
        return {k: without(v, path[1:]) if k == path[0] else v for k, v in value.items()}
    return value


def as_set(value: Any, path: list[str]) -> Any:
    if not path:
        return sorted(value, key=lambda row: json.dumps(row, sort_keys=True))
    return {k: as_set(v, path[1:]) if k == path[0] else v for k, v in value.items()}


def comparable(value: Any, exchange: dict[str, Any]) -> Any:
    if isinstance(value, dict | list):
        for path in [*exchange.get("volatile", []), *exchange.get("clock", [])]:
            if path.startswith("$"):
                value = without(value, tokens(path))
        for path in exchange.get("unordered", []):
            if isinstance(value, dict):
                value = as_set(value, tokens(path))
    return value


def differences(exchange: dict[str, Any], response: httpx.Response) -> list[str]:
    """Return the differences between an answer and the recorded one."""
    recorded = exchange["response"]
    found = []
    if response.status_code != recorded["status"]:
        found.append(f"status {response.status_code}, recorded {recorded['status']}")
    for name, value in recorded["headers"].items():
        if f"header {name}" not in exchange.get("volatile", []) and response.headers.get(name) != value:
            found.append(f"{name}: {response.headers.get(name)}, recorded {value}")
    body = recorded["body"]
    if isinstance(body, dict) and "$file" in body:
        content = (DATA / body["$file"]).read_bytes()
        same = (
            response.json() == json.loads(content)
            if body["$file"].endswith(".json")
            else hashlib.sha256(response.content).hexdigest() == body["sha256"]
        )
        return found if same else [*found, f"not the bytes of {body['$file']}"]
    if isinstance(body, dict) and "$not_kept" in body:
        return found
    if isinstance(body, str):
        return found if response.text == body else [*found, f"text {response.text[:200]!r}"]
    try:
        got = response.json()
    except ValueError:
        return [*found, f"no JSON: {response.text[:200]!r}"]
    if exchange.get("arbitrary_page"):
        got["results"], body = len(got["results"]), {**body, "results": len(body["results"])}
    else:
        got, body = comparable(got, exchange), comparable(body, exchange)
    return found + unlike(got, body, "$")


def unlike(got: Any, wanted: Any, at: str) -> list[str]:
    """Return where two JSON values differ: values, types, and the order of keys and of lists."""
    if isinstance(got, dict) and isinstance(wanted, dict):
        if list(got) != list(wanted):
            return [f"{at}: keys {list(got)}, recorded {list(wanted)}"]
        return [text for key in wanted for text in unlike(got[key], wanted[key], f"{at}.{key}")]
    if isinstance(got, list) and isinstance(wanted, list) and len(got) == len(wanted):
        return [text for i, item in enumerate(wanted) for text in unlike(got[i], item, f"{at}[{i}]")]
    # 0.0 and -0.0 are equal numbers
    same = got == wanted and isinstance(got, bool) is isinstance(wanted, bool)
    return [] if same else [f"{at}: {short(got)}, recorded {short(wanted)}"]


def short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 300 else text[:300] + "…"
