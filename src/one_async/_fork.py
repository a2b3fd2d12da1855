"""What a forked child may use: not Polars once the parent has used it, since its threads do not exist there.

The first query that needs these threads would wait for them for ever. Whether they exist is looked up before each fork.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from one_async.errors import ConfigurationError

__all__ = ["check_polars", "is_polars_lost"]

#: How the threads begin that Polars starts with its first query. Others that it starts on import do no queries.
_THREADS = ("polars-0", "polars-1", "async-executor", "tokio-rt-worker")

_in_use = False
_lost = False


def is_polars_lost() -> bool:
    """Whether this is a child that was forked from a process that had used Polars."""
    return _lost


def check_polars() -> None:
    """Raise ConfigurationError where Polars would wait for ever."""
    if _lost:
        raise ConfigurationError(
            "this process was forked from one that had already used Polars, which cannot be used here. Start processes "
            "by spawn or forkserver: multiprocessing.set_start_method('spawn'), "
            "ProcessPoolExecutor(mp_context=multiprocessing.get_context('spawn')), "
            "DataLoader(multiprocessing_context='spawn'), gunicorn without preload_app; or fork before the first call"
        )


def _before() -> None:
    global _in_use
    _in_use = _lost or _has_polars_threads()


def _in_child() -> None:
    global _lost
    _lost = _in_use


def _has_polars_threads() -> bool:
    if "polars" not in sys.modules:
        return False
    tasks = Path("/proc/self/task")
    try:
        names = [(task / "comm").read_text() for task in tasks.iterdir()]
    except OSError:  # no Linux, or a thread that ended meanwhile
        return True
    return any(name.startswith(_THREADS) for name in names)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_child=_in_child)
