"""Faults on demand: answers that a client must survive."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
from starlette.responses import Response
from starlette.types import Scope, Send

__all__ = ["CutShort", "Faults", "Rule", "misbehave"]


class CutShort(Exception):
    """Raised half-way through a body: the server then closes the connection."""


@dataclass
class Rule:
    """A fault: which requests it affects, how often, and how.

    ``path`` is the beginning of the path and ``method`` the method (None: any). The first ``skip`` matching
    requests are answered normally; then ``times`` requests fail (None: all). The kinds of failure:

    - ``status`` with ``headers`` and ``body``: another answer, such as 429 with Retry-After, or a redirect
    - ``html``: an error page with status 200; ``broken``: only half of the JSON, in a complete response
    - ``cut``: the connection closes half-way through the body; ``drop``: before any answer
    - ``truncate``: this many bytes fewer than Content-Length; ``shorten``: the same with a Content-Length that agrees
    - ``corrupt``: the byte at this position is inverted; ``ignore_range``: the whole file instead of the requested range
    - ``delay``: seconds before the request is processed; ``hang``: seconds between processing and the answer
      (``math.inf``: no answer)
    - ``before``: whether the request fails before anything is written (None, the default: a ``status`` does, all others
      fail after the row was written)
    - ``call``: a function that is called before the answer is made, for instance to change rows
    """

    path: str = "/"
    method: str | None = None
    times: int | None = 1
    skip: int = 0
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | str | None = None
    html: bool = False
    broken: bool = False
    cut: bool = False
    drop: bool = False
    truncate: int = 0
    shorten: int = 0
    corrupt: int | None = None
    delay: float = 0.0
    hang: float = 0.0
    ignore_range: bool = False
    before: bool | None = None
    call: Callable[[], object] | None = None
    hits: int = 0

    def refuses(self, method: str) -> bool:
        """Return whether a write request fails before anything is written."""
        before = self.status is not None if self.before is None else self.before
        return before and method not in ("GET", "HEAD", "OPTIONS")

    def takes(self, method: str, path: str) -> bool:
        """Return whether this rule applies to a request, and count the request."""
        if not path.startswith(self.path) or self.method not in (None, method) or self.times == 0:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times = None if self.times is None else self.times - 1
        self.hits += 1
        return True


class Faults(list[Rule]):
    """The active rules, of which the first match applies; they may be changed while the server runs."""

    def add(self, path: str = "/", **kind: Any) -> Rule:
        """Add a rule (see `Rule`); its ``hits`` tells how often it was used."""
        rule = Rule(path, **kind)
        self.append(rule)
        return rule

    def matching(self, method: str, path: str) -> Rule | None:
        """Return the rule that applies to a request; None if none does."""
        return next((rule for rule in list(self) if rule.takes(method, path)), None)


PIECE = 256 * 1024
PAGE = b"<!doctype html><html><head><title>500 Internal Server Error</title></head><body></body></html>"


def spoiled(rule: Rule, response: Response) -> Response:
    """Return an answer that a rule has replaced or damaged."""
    status, media = rule.status or response.status_code, "application/json"
    body = (
        bytes(response.body)
        if rule.status is None
        else f'{{"detail":"Fault","status_code":{status}}}'.encode()
    )
    if rule.html:
        status, body, media = rule.status or 200, PAGE, "text/html; charset=utf-8"
    elif rule.body is not None:
        body = rule.body.encode() if isinstance(rule.body, str) else rule.body
    if rule.broken:
        body = body[: len(body) // 2]
    if rule.shorten:
        body = body[: -rule.shorten]
    if rule.corrupt is not None and body:
        at = rule.corrupt % len(body)
        body = body[:at] + bytes([body[at] ^ 0xFF]) + body[at + 1 :]
    replaced = rule.html or rule.status is not None
    headers = {"content-type": media} if replaced else dict(response.headers)
    headers.pop("content-length", None)
    return Response(body, status, {**headers, **rule.headers})


async def misbehave(rule: Rule | None, response: Response, scope: Scope, send: Send) -> None:
    """Send an answer, damaged as the rule says."""
    cut = rule is not None and (rule.cut or rule.truncate > 0)
    if rule is not None:
        if rule.hang:
            await (anyio.sleep_forever() if math.isinf(rule.hang) else anyio.sleep(rule.hang))
        if rule.drop:
            raise CutShort
        response = spoiled(rule, response)
    body = b"" if scope["method"] == "HEAD" else bytes(response.body)
    if rule is not None and cut:
        body = body[: len(body) // 2 if rule.cut else -rule.truncate]
    start = {"status": response.status_code, "headers": response.raw_headers}
    await send({"type": "http.response.start", **start})
    # Sent in pieces, as file servers do: uvicorn would hold a second copy of a body that is sent whole.
    for at in range(0, max(len(body), 1), PIECE):
        more = cut or at + PIECE < len(body)
        await send({"type": "http.response.body", "body": body[at : at + PIECE], "more_body": more})
    if cut:
        raise CutShort
