"""The sessions that a watch has yielded already: in memory, or in a file that survives the process."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

from one_async._arguments import path_of
from one_async._threads import run_sync
from one_async.errors import InputError

#: A file, or the ids of the sessions that are done.
CursorLike: TypeAlias = str | os.PathLike[str] | Iterable[UUID | str] | None
_FORMAT = "one_async watch 1"
_ACCEPTED = "a file, the ids of sessions that are done, or None"


class WatchCursor:
    """The ids of sessions that are done. ``path`` is the file to which more ids are appended, None to keep them only in memory.

    The file has a line of JSON with the terms of the watch, then a line for each session.
    """

    def __init__(self, done: Iterable[str], path: Path | None = None) -> None:
        self._done = set(done)
        self._path = path

    def __contains__(self, eid: str) -> bool:
        return eid in self._done

    async def add(self, eid: str) -> None:
        """Add a session; when this returns, it is on disk."""
        if self._path is not None:
            await run_sync(_append, self._path, f"{eid}\n".encode())
        self._done.add(eid)

    @classmethod
    async def open(cls, given: CursorLike, watched: Mapping[str, Any]) -> WatchCursor:
        """Return the cursor for an argument, and create its file. Raise InputError for the file of another watch."""
        if given is None:
            return cls(())
        if isinstance(given, str | os.PathLike):
            if not os.fspath(given):
                raise InputError.of("cursor", given, _ACCEPTED)
            path = path_of(given, "cursor")
            return cls(await run_sync(_read, path, {"format": _FORMAT, **watched}), path)
        if isinstance(given, bytes | Mapping) or not isinstance(given, Iterable):
            raise InputError.of("cursor", given, _ACCEPTED)
        return cls(map(_id_of, given))


def _id_of(given: object) -> str:
    try:
        return str(UUID(str(given)))
    except ValueError:
        raise InputError.of("cursor", given, "ids of sessions") from None


def _read(path: Path, watched: Mapping[str, Any]) -> list[str]:
    """Return the ids in a file, which is created if it is missing; blocking.

    An incomplete last line, left by a killed process, is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        file.seek(0)
        whole, _, rest = file.read().rpartition(b"\n")
        header, _, lines = whole.partition(b"\n")
        begun = header or rest
        if begun and not begun.startswith(b'{"format": "one_async watch'[: len(begun)]):
            raise InputError.of("cursor", str(path), "a file from an earlier watch, or a new file")
        if not header:
            file.truncate(0)
            _append(path, json.dumps(watched).encode() + b"\n")
            return []
        if rest:
            file.truncate(len(whole) + 1)
    found = json.loads(header)
    if found != watched:
        raise InputError(
            f"cursor={str(path)!r} belongs to a watch of {found}, not of {dict(watched)}; give another file",
            argument="cursor",
            given=str(path),
        )
    return lines.decode("ascii").split()


def _append(path: Path, line: bytes) -> None:
    """Append a line to a file and flush it to the disk; blocking."""
    with path.open("ab", buffering=0) as file:
        file.write(line)
        os.fsync(file.fileno())
