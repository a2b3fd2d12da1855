"""Run blocking work and Polars queries in worker threads.

Polars has its own handler of Ctrl-C beside Python's: a running query raises KeyboardInterrupt in any thread. On an event
loop, or passed to one by a worker thread, this exception would break the loop. Such a query is repeated here instead,
after a pause in which Python's own handler can cancel the waiting task.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import anyio
import anyio.to_thread
from anyio import CapacityLimiter

from one_async._fork import check_polars

__all__ = ["run_many", "run_polars", "run_sync"]

P = ParamSpec("P")
T = TypeVar("T")

# Seconds before an interrupted query is repeated.
_PAUSE = 0.1
_INTERRUPTED = object()
# Plain Python processes this many items in about the time that a switch to a thread takes.
_MANY = 200


async def run_sync(
    function: Callable[..., T],
    *args: object,
    limiter: CapacityLimiter | None = None,
    abandon_on_cancel: bool = False,
) -> T:
    """Call a function in a worker thread, as `anyio.to_thread.run_sync` does."""
    while True:
        result = await anyio.to_thread.run_sync(
            _attempt, function, args, limiter=limiter, abandon_on_cancel=abandon_on_cancel
        )
        if result is not _INTERRUPTED:
            return cast("T", result)
        await anyio.sleep(_PAUSE)


async def run_many(count: int, function: Callable[..., T], *args: object) -> T:
    """Call a function that processes ``count`` items: directly if they are few, else in a worker thread."""
    return function(*args) if count <= _MANY else await run_sync(function, *args)


async def run_polars(function: Callable[..., T], *args: object, few: bool = False) -> T:
    """Call a function that uses Polars in a worker thread, or directly if it reads only a ``few`` rows.

    A switch to a thread takes longer than reading a few rows. Raises ConfigurationError if Polars cannot be used.
    """
    check_polars()
    result = _attempt(function, args) if few else _INTERRUPTED
    return cast("T", result) if result is not _INTERRUPTED else await run_sync(function, *args)


def _attempt(function: Callable[..., T], args: tuple[object, ...]) -> T | object:
    try:
        return function(*args)
    except BaseException as error:
        if not _is_of_polars(error):
            raise
        return _INTERRUPTED


def _is_of_polars(error: BaseException) -> bool:
    """Return whether Polars, and not Python's own handler, raised an exception because of Ctrl-C."""
    if isinstance(error, KeyboardInterrupt):
        at = error.__traceback__
        while at is not None and at.tb_next is not None:
            at = at.tb_next
        if at is None or not at.tb_frame.f_globals.get("__name__", "").startswith("polars."):
            return False
        return threading.current_thread() is not threading.main_thread() or (
            signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        )
    # The interrupt occurred in Python code that provides rows to Polars.
    return type(error).__module__ == "polars.exceptions" and "KeyboardInterrupt" in str(error)
