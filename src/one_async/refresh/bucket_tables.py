"""Local copies of tables in a bucket, downloaded again when they have changed there."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, cast
from uuid import NAMESPACE_URL, uuid5

import anyio

from one_async._progress import Display, Task, shown
from one_async._threads import run_sync
from one_async._warnings import warn
from one_async.errors import ServerUnreachable, TablesDamaged, TablesNotFound, TablesWarning
from one_async.files.atomic import write_whole
from one_async.refresh.swap import WORK, new_folder, stamp_of, swap
from one_async.refresh.update import download_claim
from one_async.tables.catalogue import Catalogue
from one_async.transfer.bucket import Version, versions
from one_async.transfer.fetch import fetch
from one_async.transfer.items import FileSource, Item, S3Location

__all__ = ["copy_tables"]

_NEEDED = ("sessions.pqt", "datasets.pqt")
_NAMES = (*_NEEDED, "insertions.pqt")
_STATE = "bucket.json"
_LONGEST_PAUSE = 1.0
_TRIES = 5


async def copy_tables(bucket: S3Location, folder: Path, display: Display | None = None) -> None:
    """Copy the tables in a folder of a bucket to a local folder, unless the local copies are up to date.

    One process downloads, and the others use its copies. If the bucket cannot be reached, existing copies are used with a
    TablesWarning. Raises TablesNotFound, LoginError, ServerUnreachable, TablesDamaged or OSError.
    """
    for _ in range(_TRIES):
        try:
            found = await versions(bucket, _NAMES)
        except ServerUnreachable as error:
            if not await run_sync(stamp_of, folder):
                raise
            text = f"{error}; using the tables that were downloaded earlier"
            warn(text, TablesWarning)
            return
        if absent := [name for name in _NEEDED if name not in found]:
            raise TablesNotFound(
                f"there are no cache tables at {bucket.url}: {' and '.join(absent)} not found. Either the bucket or the "
                "folder does not exist, or the folder was uploaded without running `one-async tables build` first",
                path=bucket.url,
            )
        if await _copy_once(bucket, folder, found, display):
            return
    raise TablesDamaged(
        f"the tables at {bucket.url} changed during each of {_TRIES} downloads", path=bucket.url
    )


async def _copy_once(
    bucket: S3Location, folder: Path, found: Mapping[str, Version], display: Display | None
) -> bool:
    """Copy these versions, or wait for the process that does; return False if they changed meanwhile."""
    pause = 0.02
    while True:
        if await run_sync(_is_copied, folder, found):
            return True
        async with download_claim(folder) as is_ours:
            if await run_sync(_is_copied, folder, found):
                return True
            if is_ours:
                async with shown(display, Task("downloading tables")):
                    return await _download(bucket, folder, found)
        await anyio.sleep(pause * random.uniform(0.5, 1.5))
        pause = min(pause * 1.5, _LONGEST_PAUSE)


async def _download(bucket: S3Location, folder: Path, found: Mapping[str, Version]) -> bool:
    new = await run_sync(new_folder, folder)
    try:
        items = [_item(bucket / name, name, version) for name, version in found.items()]
        await fetch(items, root=new, streams=cast("Any", None))  # S3 sources need no HTTP client
        if await versions(bucket, _NAMES) != found:
            return False
        try:
            await run_sync(_install, new, folder, found)
        except TablesDamaged as error:
            text = str(error).replace(new.as_posix(), bucket.url)
            raise TablesDamaged(text, path=bucket.url) from None
        return True
    finally:
        with anyio.CancelScope(shield=True):
            await run_sync(partial(shutil.rmtree, new, ignore_errors=True))


def _item(location: S3Location, name: str, version: Version) -> Item:
    did = str(uuid5(NAMESPACE_URL, f"{location.url} {version.tag}"))
    return Item(did, name, (FileSource(location.url, None, location),), version.size)


def _install(new: Path, folder: Path, found: Mapping[str, Version]) -> None:
    for path in new.iterdir():
        if path.name not in found:  # left by the downloads
            shutil.rmtree(path, ignore_errors=True)
    Catalogue.open(new)  # validates them and writes their memory-mapped form
    swap(new, folder)
    for name in _NAMES:
        if name not in found:
            (folder / name).unlink(missing_ok=True)
    content = json.dumps(_state(folder, found)).encode()
    write_whole(folder / WORK / _STATE, lambda file: file.write(content), durable=False)


def _state(folder: Path, found: Mapping[str, Version]) -> dict[str, Any]:
    """Return the stored description of copies: the versions in the bucket and the stamp of the local files."""
    return {
        "versions": {name: list(version) for name, version in found.items()},
        "files": [list(file) for file in stamp_of(folder)],
    }


def _is_copied(folder: Path, found: Mapping[str, Version]) -> bool:
    with suppress(OSError, ValueError):
        stored: object = json.loads((folder / WORK / _STATE).read_text(encoding="utf-8"))
        return stored == _state(folder, found)
    return False
