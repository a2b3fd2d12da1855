"""What an answer says: its JSON, or which error it is. Pure."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from one_async.errors import AnswerError, NotFound, StatusError, Throttled

_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class Answer(NamedTuple):
    """The JSON of an answer, when it was asked for, and a text if it is old because nobody answers now."""

    json: Any
    asked: float
    stale: str | None


def parse(url: str, content: bytes, content_type: str) -> Any:
    """Read an answer's JSON; None for an empty one.

    Raises AnswerError for anything else. Alyx answers some failures with a page and status 200.
    """
    if not content:
        return None
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "text/html":
        raise AnswerError(f"{url} answered with a page, not with JSON: {detail_of(content)}", url=url)
    try:
        return read_json(content)
    except (ValueError, RecursionError) as error:
        text = f"{url} answered with {kind or 'something'} that is not JSON, or nested too deep ({error})"
        raise AnswerError(text, url=url) from None


def read_json(content: bytes) -> Any:
    """Read JSON, with lone surrogates replaced. Raise ValueError or RecursionError for what is no JSON, or nested too deep."""
    answer = json.loads(content)
    return _without_surrogates(answer) if has_surrogates(content) else answer


def has_surrogates(content: bytes) -> bool:
    """Tell whether JSON has surrogates written as escapes, in pairs or alone."""
    return _ESCAPED_SURROGATE.search(content) is not None


def _without_surrogates(value: Any) -> Any:
    """Return a JSON value with lone surrogates replaced, since they are no text: neither files nor tables can hold them."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(name): _without_surrogates(item) for name, item in value.items()}
    return value


def check_status(method: str, url: str, status: int, content: bytes) -> None:
    """Raise NotFound, Throttled or StatusError for an error status, with what the server said about it."""
    if status < 400:
        return
    detail = detail_of(content)
    parts = urlsplit(url)
    where = f"{parts.path}?{parts.query}" if parts.query else parts.path
    kind = {404: NotFound, 429: Throttled}.get(status, StatusError)
    raise kind(f"{method} {where[:500]}: {status} {detail}", url=url, status=status, detail=detail)


def detail_of(content: bytes) -> Any:
    """Give what an error body says, whichever of Alyx's forms it has; of a page the title."""
    text = content[:20000].decode(errors="replace")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        title = text.partition("<title>")[2].partition("</title>")[0].strip()
        return title or ("a page without title" if "<html" in text.lower() else text[:300].strip())
    if isinstance(body, dict):
        body.pop("status_code", None)
        only = next(iter(body), None)
        if len(body) == 1 and only in ("detail", "details", "error", "non_field_errors"):
            body = body[only]
    return body[0] if isinstance(body, list) and len(body) == 1 else body


def is_invalid_token(status: int, content: bytes) -> bool:
    """Say whether this is Alyx's answer to a token it does not know (there is no 401)."""
    return status == 403 and b"Invalid token" in content[:1000]
