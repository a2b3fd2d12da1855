"""Atomic writes: a file appears complete under its final name, or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO
from uuid import uuid4

from one_async.files.owner import is_running, owner_of, short_name

__all__ = ["sweep_temporary", "sync", "write_whole"]

#: A temporary file's name holds the target's name and the process that writes it (`owner_of`).
_TEMPORARY = re.compile(r"\..+\.([0-9a-f]{8}-[0-9a-f]{16}-\d+-(?:\d+|unknown))\.tmp", re.DOTALL)
#: Seconds without a change after which the file of a process on another machine counts as abandoned.
_ABANDONED = 3600.0


def write_whole(
    target: Path, write: Callable[[IO[bytes]], object], *, mode: int = 0o666, durable: bool = True
) -> None:
    """Write a temporary file in the same folder, sync it, and rename it to ``target``.

    ``mode`` holds the permissions of the new file, before the umask. Without ``durable`` it is not synced, so a power
    cut may damage it. Temporary files that killed processes left in the folder are removed.
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
    """Remove the temporary files that `write_whole` left in a folder when its process was killed.

    Files of running processes stay. Where that cannot be known, as on other machines, files stay for an hour. With
    ``unnamed``, files whose names do not tell their writer are removed too: for folders that only this library uses.
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
        # abs: a file that seems to come from the future was made by a clock that is wrong, and must end too
        return abs(time.time() - path.lstat().st_mtime) > _ABANDONED
    except OSError:
        return False


def sync(path: Path) -> None:
    """Flush a file or folder to the disk; where folders cannot be synced, do nothing."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
