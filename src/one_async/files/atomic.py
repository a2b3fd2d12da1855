"""Atomic writes: a file appears complete under its final name, or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO
from uuid import uuid4

__all__ = ["write_whole"]


def write_whole(target: Path, write: Callable[[IO[bytes]], object], *, mode: int = 0o666) -> None:
    """Write a temporary file in the same folder, sync it, and rename it to ``target``.

    ``mode`` holds the permissions of the new file, before the umask.
    """
    part = target.with_name(f".{target.name}.{uuid4().hex}.part")
    try:
        with open(part, "xb", opener=lambda path, flags: os.open(path, flags, mode)) as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
