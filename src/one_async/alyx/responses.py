"""Responses: read their bodies in pieces and up to a limit, and parse their JSON or the error that they report."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from one_async.errors import AnswerError, NotFound, StatusError, Throttled, shown
from one_async.types import JSON

if TYPE_CHECKING:
    import httpx

#: Encodings that are decoded although requests do not accept any: some servers and proxies compress regardless.
ENCODINGS = frozenset({"gzip", "x-gzip", "deflate"})
#: Maximum number of bytes that are decoded at a time.
_PIECE = 1024**2
#: First bytes of each member of gzip data.
_GZIP = b"\x1f\x8b"
#: Maximum nesting of JSON. Alyx's answers have fewer than ten levels; Python and Polars recurse into each.
MAX_DEPTH = 100
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
#: Counts from here on are rejected as invalid.
MOST_ROWS = 10**12

Row = JSON


# ---- bodies


class TooLarge(Exception):
    """The body is larger than allowed."""


def encoding_of(response: httpx.Response) -> str:
    """Return the content encoding of a body, or an empty string."""
    encoding = str(response.headers.get("content-encoding", "")).strip().lower()
    return "" if encoding == "identity" else encoding


async def inflate(raw: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Decode gzip of one or several members, or deflate, detected by its header, in worker threads.

    Bytes after the end of the data are skipped. Raises zlib.error for damaged or truncated data.
    """
    decoder, rest, seen, ended = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32), b"", False, False
    async for chunk in raw:
        seen = seen or bool(chunk)
        rest, piece = b"" if ended else rest + chunk, b""
        while rest or len(piece) == _PIECE:
            if decoder.eof:
                if len(rest) < len(_GZIP):  # the rest of the next header may follow
                    break
                if not rest.startswith(_GZIP):
                    rest, ended = b"", True
                    break
                decoder = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            piece = await anyio.to_thread.run_sync(decoder.decompress, rest, _PIECE)
            rest = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
            if piece:
                yield piece
    if seen and not decoder.eof:
        raise zlib.error("truncated data")


async def read_body(response: httpx.Response, limit: int) -> bytes:
    """Return the decoded body and close the response.

    Raises TooLarge for more than ``limit`` bytes, zlib.error for a body that cannot be decoded, and the errors of the
    connection.
    """
    encoding = encoding_of(response)
    raw, body, complete = response.aiter_raw(), bytearray(), False
    try:
        if encoding and encoding not in ENCODINGS:
            raise zlib.error(f"unsupported content encoding {encoding[:50]!r}")
        async with aclosing(inflate(raw) if encoding else _identity(raw)) as pieces:
            async for piece in pieces:
                if len(body) + len(piece) > limit:
                    raise TooLarge
                body += piece
        complete = True
    finally:
        if not complete:
            await discard(response, raw)
        await _close(response)
    return bytes(body)


async def read_start(response: httpx.Response, limit: int) -> bytes:
    """Return the first bytes of a body, undecoded, and close the response without reading the rest."""
    raw, body = response.aiter_raw(), bytearray()
    try:
        async for chunk in raw:
            body += chunk
            if len(body) >= limit:
                break
    finally:
        await discard(response, raw)
        await _close(response)
    return bytes(body[:limit])


async def discard(response: httpx.Response, raw: AsyncIterator[bytes]) -> None:
    """End a body whose rest is not needed. The connection reports its end, so that all generators below finish."""
    stream: Any = response.extensions.get("network_stream")
    if end := getattr(stream, "mark_eof", None):
        end()
        with suppress(Exception):
            async for _ in raw:
                pass


async def _identity(raw: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield the pieces unchanged; closing this generator leaves ``raw`` open for `discard`."""
    async for chunk in raw:
        yield chunk


async def _close(response: httpx.Response) -> None:
    with anyio.CancelScope(shield=True), suppress(Exception):
        await response.aclose()


# ---- JSON and errors


class Answer(NamedTuple):
    """Parsed JSON, the time of its request, and a warning text if it is stale because the server is unreachable."""

    json: Any
    asked: float
    stale: str | None


def parse(url: str, content: bytes, content_type: str) -> Any:
    """Parse the JSON of a response; return None for an empty body.

    Raises AnswerError for anything else: Alyx reports some failures with an HTML page and status 200.
    """
    if not content:
        return None
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "text/html":
        raise AnswerError(f"{url} answered with an HTML page instead of JSON: {detail_of(content)}", url=url)
    try:
        return read_json(content)
    except ValueError as error:
        text = f"{url} answered with {kind or 'content'} that cannot be read as JSON ({error})"
        raise AnswerError(text, url=url) from None


def json_of(request: httpx.Request, response: httpx.Response) -> Any:
    """Parse the JSON of a response. Raises AnswerError."""
    return parse(str(request.url), response.content, response.headers.get("content-type", ""))


def read_json(content: bytes) -> Any:
    """Read JSON, with lone surrogates replaced. Raise ValueError for anything else, and for too many levels."""
    try:
        answer = json.loads(content)
        too_deep = may_be_deep(content) and is_deep(answer)
    except RecursionError:
        too_deep = True
    if too_deep:
        raise ValueError(f"more than {MAX_DEPTH} nested levels")
    return _without_surrogates(answer) if has_surrogates(content) else answer


def may_be_deep(content: bytes) -> bool:
    """Return whether JSON may have more than MAX_DEPTH levels, judging by its brackets.

    Each round removes the innermost pairs, of up to two levels. Brackets inside strings may be left over.
    """
    brackets, rounds = content.translate(None, _NOT_BRACKETS), 0
    while brackets and rounds < MAX_DEPTH:
        outer = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if len(outer) == len(brackets):
            break
        brackets, rounds = outer, rounds + 1
    return 2 * rounds + len(brackets) > MAX_DEPTH


def is_deep(value: Any) -> bool:
    """Return whether lists and mappings are nested in more than MAX_DEPTH levels."""
    level = [value]
    for _ in range(MAX_DEPTH):
        outer = [
            one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)
        ]
        level = [inner for values in outer for inner in values if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


def has_surrogates(content: bytes) -> bool:
    """Return whether JSON has surrogates written as escapes, paired or lone."""
    return _ESCAPED_SURROGATE.search(content) is not None


def _without_surrogates(value: Any) -> Any:
    """Replace lone surrogates, which neither files nor tables can store as text."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(name): _without_surrogates(item) for name, item in value.items()}
    return value


@dataclass(frozen=True, slots=True)
class Page:
    """One page: the server's count of all rows, the rows of this page, and whether it is the last page."""

    count: int
    rows: list[Row]
    last: bool


def page_of(answer: object, url: str) -> Page:
    """Parse a page. A bare list, which a few endpoints return, is a single page. Raises AnswerError for anything else."""
    if isinstance(answer, list):
        return Page(len(answer), answer, True)
    if is_page(answer):
        assert isinstance(answer, dict)
        count, rows = answer["count"], answer["results"]
        if type(count) is int and 0 <= count < MOST_ROWS and isinstance(rows, list):
            return Page(count, rows, answer["next"] is None)
        text = f"{url} answered with an invalid page: count {shown(count)}, results {shown(rows)}"
        raise AnswerError(text, url=url)
    raise AnswerError(f"{url} answered with something that is no list", url=url)


def is_page(answer: object) -> bool:
    """Return whether an answer is a page of a list."""
    return isinstance(answer, dict) and {"count", "next", "previous", "results"} <= answer.keys()


def check_status(method: str, url: str, status: int, content: bytes) -> None:
    """Raise NotFound, Throttled or StatusError for an error status, with the detail that the server sent."""
    if status < 400:
        return
    detail = detail_of(content)
    parts = urlsplit(url)
    where = f"{parts.path}?{parts.query}" if parts.query else parts.path
    kind = {404: NotFound, 429: Throttled}.get(status, StatusError)
    raise kind(f"{method} {where[:500]}: {status} {detail}", url=url, status=status, detail=detail)


def detail_of(content: bytes) -> Any:
    """Return the detail of an error body in any of Alyx's formats; the title of an HTML page."""
    text = content[:20000].decode(errors="replace")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        title = text.partition("<title>")[2].partition("</title>")[0].strip()
        return title or ("a page without a title" if "<html" in text.lower() else text[:300].strip())
    if isinstance(body, dict):
        body.pop("status_code", None)
        only = next(iter(body), None)
        if len(body) == 1 and only in ("detail", "details", "error", "non_field_errors"):
            body = body[only]
    return body[0] if isinstance(body, list) and len(body) == 1 else body
