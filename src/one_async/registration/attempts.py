"""Writes that must not happen twice: after an ambiguous failure, the server is queried before a repetition."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from one_async.errors import AnswerError, OneError, ServerUnreachable, StatusError

__all__ = ["ATTEMPTS", "is_unclear", "may_repeat", "pause", "write_once"]

T = TypeVar("T")
ATTEMPTS = 5
#: Seconds before the server is asked, doubled for each later attempt, and their maximum.
_FIRST, _LONGEST = 0.1, 5.0


def is_unclear(error: OneError) -> bool:
    """Return whether the server may have written although the request failed.

    Alyx answers some requests with 500 that have written, and an answer that cannot be read says nothing.
    """
    if isinstance(error, ServerUnreachable):
        return bool(getattr(error, "sent", True))
    return isinstance(error, AnswerError) or (isinstance(error, StatusError) and error.status >= 500)


def may_repeat(error: OneError) -> bool:
    """Return whether to send a request again that has not written.

    Not after 500, with which Alyx refuses values, and not after a timeout, since the server may still be at work.
    """
    if isinstance(error, ServerUnreachable):
        return not getattr(error, "slow", False)
    return isinstance(error, StatusError) and error.status in (502, 503, 504)


async def pause(attempt: int) -> None:
    """Wait before the server is asked after a failure."""
    await anyio.sleep(min(_FIRST * 2.0 ** (attempt - 1), _LONGEST) * random.uniform(0.5, 1.0))


async def write_once(write: Callable[[], Awaitable[T]], find: Callable[[], Awaitable[T | None]]) -> T:
    """Send a write whose repetition would make a second row, and return the row.

    ``find`` asks the server for the row; it raises an error if there are several. After an unclear failure, and after a
    repeated attempt, the server is asked. Raises the error of the write if there is no row.
    """
    attempt = 1
    while True:
        try:
            row = await write()
        except (ServerUnreachable, StatusError, AnswerError) as error:
            if not is_unclear(error):
                raise
            await pause(attempt)
            if (found := await find()) is not None:
                return found
            if attempt >= ATTEMPTS or not may_repeat(error):
                raise
            attempt += 1
            continue
        return row if attempt == 1 else (await find() or row)
