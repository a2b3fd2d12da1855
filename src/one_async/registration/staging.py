"""Copy files to a repository's folder or bucket, and verify the copies, before the files are registered."""

from __future__ import annotations

import os
from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

from one_async._concurrency import run_all
from one_async._threads import run_sync
from one_async.errors import InputError, OneError
from one_async.registration.local import LocalFile, md5_of

if TYPE_CHECKING:
    from one_async.harvest.storage import Storage

__all__ = ["open_storage", "stage"]


def open_storage(to: str | PathLike[str], dry_run: bool) -> Storage | None:
    """Return the storage for a folder or an address such as ``s3://bucket/prefix``; None in a dry run, which only checks it.

    Raises InputError; blocking.
    """
    from one_async.harvest.storage import TO, folder_of, storage_of

    folder = folder_of(to)
    if folder is None or not dry_run:
        storage = storage_of(to, None)
        return None if dry_run else storage
    above = next(one for one in (folder, *folder.parents) if one.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise InputError.of("to", folder, TO)
    return None


async def stage(storage: Storage, files: Sequence[LocalFile]) -> None:
    """Copy files to a storage, by the paths of their records: ``subject/yyyy-mm-dd/nnn/collection/#revision#/name``.

    A file whose copy has a different hash is refused.
    """

    async def copy(file: LocalFile) -> None:
        await run_sync(_copy, storage, file)

    await run_all(copy, [(file,) for file in files])


def _copy(storage: Storage, file: LocalFile) -> None:
    assert file.session is not None
    name = f"{file.session.relative}/{file.rel_path}"
    try:
        wanted = file.hash or md5_of(file.path)
        if storage.md5(name) == wanted:
            return
        storage.put_file(name, file.path)
        found = storage.md5(name)
    except (OneError, OSError) as error:
        file.refuse("refused", f"the copy to {storage.address(name)} failed: {error}")
        return
    if found != wanted:
        file.refuse("refused", f"the copy at {storage.address(name)} has hash {found}, the file has {wanted}")
