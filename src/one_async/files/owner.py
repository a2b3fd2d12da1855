"""Names of processes, from which others can determine whether the owner of a claim or temporary file is running."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import sys
from pathlib import Path

__all__ = ["is_dead", "is_running", "owner_of", "short_name"]


def owner_of(token: str, separator: str = " ") -> str:
    """Return a name for this process as the owner of the object that ``token`` identifies."""
    return separator.join((token, _machine(), str(os.getpid()), _started(os.getpid())))


def is_running(owner: str, separator: str = " ") -> bool | None:
    """Return whether the process named by ``owner_of`` is running; None if that is unknown.

    It is unknown for processes of other machines or containers.
    """
    try:
        _, machine, pid, started = owner.split(separator)
        number = int(pid)
    except ValueError:
        return None
    if machine != _machine() or sys.platform == "win32":  # on Windows, os.kill(pid, 0) would end the process
        return None
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return None
    now = _started(number)
    if "unknown" in (started, now):
        return None
    return started == now


def is_dead(owner: str) -> bool:
    """Return whether the owner is known to have ended."""
    return is_running(owner) is False


def short_name(name: str) -> str:
    """Return a name that leaves room for a prefix and a suffix; file names are limited to 255 bytes."""
    if len(name.encode("utf-8", "surrogateescape")) <= 180:
        return name
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:32]


@functools.cache
def _machine() -> str:
    """Return an identifier of this boot of this machine and container, within which process ids are unique."""
    parts = [platform.node()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("/".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _started(pid: int) -> str:
    """Return the start time of a process, since its id may be used again.

    "unknown" outside Linux, "ended" for a zombie process.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")  # it contains the process's name
    except OSError:
        return "unknown"
    fields = stat.rpartition(")")[2].split()
    return "ended" if fields[0] in "ZX" else fields[19]
