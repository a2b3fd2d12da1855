"""Parse responses: their JSON, or the error that they report. Pure."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from one_async.errors import AnswerError, NotFound, StatusError, Throttled

if TYPE_CHECKING:
    import httpx

#: Maximum nesting of JSON. Alyx's answers have fewer than ten levels; Python and Polars recurse into each.
MAX_DEPTH = 100
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


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


def is_invalid_token(status: int, content: bytes) -> bool:
    """Return whether Alyx rejected the token as unknown. It uses status 403, never 401."""
    return status == 403 and b"Invalid token" in content[:1000]
