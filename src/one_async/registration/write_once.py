"""Writes that must not happen twice: after an ambiguous failure, query the server before repeating them."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from one_async.errors import AnswerError, OneError, ServerUnreachable, StatusError

__all__ = ["ATTEMPTS", "is_ambiguous", "may_repeat", "pause", "write_once"]

T = TypeVar("T")
ATTEMPTS = 5
#: The pause before the first query, doubled for each later attempt, and its maximum, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


def is_ambiguous(error: OneError) -> bool:
    """Return whether the server may have written although the request failed.

    Alyx answers 500 to some requests that did write, and an unreadable answer proves nothing.
    """
    if isinstance(error, ServerUnreachable):
        return bool(getattr(error, "sent", True))
    return isinstance(error, AnswerError) or (isinstance(error, StatusError) and error.status >= 500)


def may_repeat(error: OneError) -> bool:
    """Return whether to send a request again that has not written.

    Do not repeat it after 500, with which Alyx refuses values, or after a timeout, since the server may still be working.
    """
    if isinstance(error, ServerUnreachable):
        return not getattr(error, "slow", False)
    return isinstance(error, StatusError) and error.status in (502, 503, 504)


async def pause(attempt: int) -> None:
    """Wait before the server is queried after a failed attempt."""
    await anyio.sleep(min(_FIRST_PAUSE * 2.0 ** (attempt - 1), _LONGEST_PAUSE) * random.uniform(0.5, 1.0))


async def write_once(write: Callable[[], Awaitable[T]], find: Callable[[], Awaitable[T | None]]) -> T:
    """Send a write that would create a second row if it were repeated; return the row.

    ``find`` queries the server for the row, and raises an error if there are several. It is called after each ambiguous
    failure, and after a repeated attempt. Raises the error of the write if there is no row.
    """
    attempt = 1
    while True:
        try:
            row = await write()
        except (ServerUnreachable, StatusError, AnswerError) as error:
            if not is_ambiguous(error):
                raise
            await pause(attempt)
            if (found := await find()) is not None:
                return found
            if attempt >= ATTEMPTS or not may_repeat(error):
                raise
            attempt += 1
            continue
        return row if attempt == 1 else (await find() or row)
