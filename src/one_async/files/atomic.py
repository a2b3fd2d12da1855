"""Atomic writes: a file appears under its final name complete or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO
from uuid import uuid4

from one_async.files.claim import is_running, owner_of, short_name

__all__ = ["sweep_temporary", "sync", "write_whole"]

#: The name of a temporary file, with the target's name and the writing process (`owner_of`).
_TEMPORARY = re.compile(r"\..+\.([0-9a-f]{8}-[0-9a-f]{16}-\d+-(?:\d+|unknown))\.tmp", re.DOTALL)
#: Seconds without a change after which the file of a process on another machine counts as abandoned.
_ABANDONED = 3600.0


def write_whole(
    target: Path, write: Callable[[IO[bytes]], object], *, mode: int = 0o666, durable: bool = True
) -> None:
    """Write a temporary file in the same folder, sync it, and rename it to ``target``.

    ``mode`` are the permissions of the new file, before the umask. Without ``durable`` it is not synced, so a power failure
    may damage it. Temporary files left in the folder by killed processes are removed.
    """
    sweep_temporary(target.parent)
    owner = owner_of(uuid4().hex[:8], "-")
    temporary = target.with_name(f".{short_name(target.name)}.{owner}.tmp")
    try:
        with open(temporary, "xb", opener=lambda path, flags: os.open(path, flags, mode)) as stream:
            write(stream)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def sweep_temporary(folder: Path, *, unnamed: bool = False) -> None:
    """Remove the temporary files in a folder that were left by killed processes.

    Files of running processes are kept. If the state of the process is unknown, as on other machines, files are kept for an
    hour. With ``unnamed``, also remove files whose names do not contain their writer; for folders used only by this library.
    """
    with contextlib.suppress(OSError):
        for path in folder.glob(".*.tmp"):
            found = _TEMPORARY.fullmatch(path.name)
            if _is_abandoned(path, found[1]) if found else unnamed:
                with contextlib.suppress(OSError):
                    path.unlink()


def _is_abandoned(path: Path, owner: str) -> bool:
    running = is_running(owner, "-")
    if running is not None:
        return not running
    try:
        # abs: a file with an mtime in the future was written with a wrong clock, and must be removed eventually, too.
        return abs(time.time() - path.lstat().st_mtime) > _ABANDONED
    except OSError:
        return False


def sync(path: Path) -> None:
    """Sync a file or folder to the disk; do nothing for folders where that is unsupported."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
