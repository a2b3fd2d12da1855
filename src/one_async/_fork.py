"""Detection of forked children that cannot use Polars because its threads exist only in the parent.

The first query that needs these threads would wait forever. A fork hook looks up whether they exist.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from one_async.errors import ConfigurationError

__all__ = ["check_polars", "is_polars_lost"]

#: Prefixes of the names of the threads that Polars starts with its first query. Those started on import run no queries.
_THREADS = ("polars-0", "polars-1", "async-executor", "tokio-rt-worker")

_in_use = False
_lost = False


def is_polars_lost() -> bool:
    """Return whether this is a child that was forked from a process that had used Polars."""
    return _lost


def check_polars() -> None:
    """Raise ConfigurationError if Polars would block forever."""
    if _lost:
        raise ConfigurationError(
            "this process was forked from one that had already used Polars, which cannot be used here. Start processes "
            "by spawn or forkserver: multiprocessing.set_start_method('spawn'), "
            "ProcessPoolExecutor(mp_context=multiprocessing.get_context('spawn')), "
            "DataLoader(multiprocessing_context='spawn'), gunicorn without preload_app; or fork before the first call"
        )


def _before_fork() -> None:
    global _in_use
    _in_use = _lost or _has_polars_threads()


def _after_fork_in_child() -> None:
    global _lost
    _lost = _in_use


def _has_polars_threads() -> bool:
    if "polars" not in sys.modules:
        return False
    tasks = Path("/proc/self/task")
    try:
        names = [(task / "comm").read_text("utf-8", "replace") for task in tasks.iterdir()]
    except OSError:  # not Linux, or a thread has ended meanwhile
        return True
    return any(name.startswith(_THREADS) for name in names)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
