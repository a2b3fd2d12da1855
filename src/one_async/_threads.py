"""Run blocking work and Polars queries in worker threads.

Polars has its own handler of Ctrl-C beside Python's: a running query raises KeyboardInterrupt in any thread. On an event
loop, or passed to one by a worker thread, this exception would break the loop. Such a query is repeated here instead,
after a pause in which Python's own handler can cancel the waiting task.

The threads of Polars exist only in the process that started them. In a forked child the first query that needs them would wait
forever, so a fork hook looks up whether they exist.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

import anyio
import anyio.to_thread
from anyio import CapacityLimiter

from one_async.errors import ConfigurationError

__all__ = ["check_polars", "is_polars_lost", "run_many", "run_polars", "run_sync"]

P = ParamSpec("P")
T = TypeVar("T")

# Seconds before an interrupted query is repeated.
_PAUSE = 0.1
_INTERRUPTED = object()
# Plain Python processes this many items in about the time that a switch to a thread takes.
_MANY = 200

#: Prefixes of the names of the threads that Polars starts with its first query. Those started on import run no queries.
_POLARS_THREADS = ("polars-0", "polars-1", "async-executor", "tokio-rt-worker")

_polars_in_use = False
_polars_lost = False


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


def is_polars_lost() -> bool:
    """Return whether this is a child that was forked from a process that had used Polars."""
    return _polars_lost


def check_polars() -> None:
    """Raise ConfigurationError if Polars would block forever."""
    if _polars_lost:
        raise ConfigurationError(
            "this process was forked from one that had already used Polars, which cannot be used here. Start processes "
            "by spawn or forkserver: multiprocessing.set_start_method('spawn'), "
            "ProcessPoolExecutor(mp_context=multiprocessing.get_context('spawn')), "
            "DataLoader(multiprocessing_context='spawn'), gunicorn without preload_app; or fork before the first call"
        )


def _before_fork() -> None:
    global _polars_in_use
    _polars_in_use = _polars_lost or _has_polars_threads()


def _after_fork_in_child() -> None:
    global _polars_lost
    _polars_lost = _polars_in_use


def _has_polars_threads() -> bool:
    if "polars" not in sys.modules:
        return False
    tasks = Path("/proc/self/task")
    try:
        names = [(task / "comm").read_text("utf-8", "replace") for task in tasks.iterdir()]
    except OSError:  # not Linux, or a thread has ended meanwhile
        return True
    return any(name.startswith(_POLARS_THREADS) for name in names)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
