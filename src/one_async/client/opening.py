"""Datasets of a session by their paths, and the source of their bytes: the disk, or a server that sends ranges."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from one_async._threads import run_sync
from one_async._warnings import warnings_name
from one_async.alf.match import DatasetFilter
from one_async.alf.revisions import last_revisions
from one_async.alf.session_paths import describe, session_folder
from one_async.client.call import Call
from one_async.client.datafiles import DataFiles
from one_async.client.identify import known_eids
from one_async.client.jobs import SESSION_PATH
from one_async.errors import ALFObjectNotFound, HashMismatch, StorageError

if TYPE_CHECKING:
    from one_async.client.context import Context
    from one_async.queries.base import SessionDatasets
    from one_async.transfer.ranges import RangeReader

    Origin: TypeAlias = Path | RangeReader

#: Rows of the datasets table, by path below the session.
Files: TypeAlias = "dict[str, dict[str, Any]]"


async def files_of(context: Context, session: str) -> Files:
    """Return the datasets of a session by their paths, with the quality that loading requires.

    A path without a revision means the default revision. Raise ALFObjectNotFound if there is no such session.
    """
    call = Call(context, None)
    (eid,), _ = await known_eids(call, session)

    def choose(found: dict[str, SessionDatasets]) -> Files:
        if eid not in found:
            raise ALFObjectNotFound(f"no session has the id {eid}", eid=eid)
        session = found[eid].session
        with warnings_name(describe(session)):
            return _by_path(DatasetFilter().choose(found[eid].datasets), session_folder(session))

    return await (await call.source()).datasets([eid], choose)


def _by_path(rows: Sequence[Mapping[str, Any]], folder: str) -> Files:
    same: dict[str, list[int]] = {}
    files: Files = {}
    paths = [row["rel_path"] for row in rows]
    flags = [row["default_revision"] for row in rows] if rows and "default_revision" in rows[0] else None
    for at, path in enumerate(paths):
        plain = re.sub("#.*#/", "", path)
        same.setdefault(plain, []).append(at)
        if plain != path:
            files[path] = {**rows[at], SESSION_PATH: folder}
    for path, places in same.items():
        (at,) = places if len(places) == 1 else last_revisions(paths, flags, rows=places, assert_unique=False)
        files[path] = {**rows[at], SESSION_PATH: folder}
    return files


async def origin_of(context: Context, row: Mapping[str, Any]) -> Origin:
    """Return the file of a dataset if it is on disk, else a reader of its ranges. Raise ALFObjectNotFound if there is neither."""
    files = DataFiles(context)
    (local,), unknown = await run_sync(files.at_hand(Call(context, None), False), [row])
    if local is not None:
        return Path(local)
    if not unknown:
        raise ALFObjectNotFound(f"{row['rel_path']} is not on disk", did=row["did"])
    return await files.range_reader(row)


async def size_of(row: Mapping[str, Any], origin: Origin) -> int:
    """Return the size of a dataset's file. Raise HashMismatch if it is unknown."""
    if isinstance(origin, Path):
        return (await run_sync(origin.stat)).st_size
    size = row["file_size"] if row["file_size"] is not None else (await origin.read(0, 1)).size
    if size is None:
        raise HashMismatch(f"{row['rel_path']}: neither the database nor the server has the size of the file")
    return int(size)


async def read_range(row: Mapping[str, Any], origin: Origin, size: int, start: int, stop: int) -> bytes:
    """Return bytes of a file. Raise HashMismatch if the size of the server's file differs from that in the database."""
    if start >= stop:
        return b""
    if isinstance(origin, Path):
        return await run_sync(_of_disk, origin, start, stop)
    found = await origin.read(start, stop)
    if found.size is not None and found.size != size:
        raise HashMismatch(f"{row['rel_path']}: {size} bytes by the database, {found.size} on the server")
    return b"".join(found.pieces)


def _of_disk(file: Path, start: int, stop: int) -> bytes:
    try:
        with file.open("rb") as stream:
            stream.seek(start)
            return stream.read(stop - start)
    except OSError as error:
        raise StorageError.of(error, file) from error
