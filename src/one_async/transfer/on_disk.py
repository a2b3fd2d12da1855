"""Files that are on disk already, and the folders that transfers write to. All of it blocks, so it runs in threads."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from one_async.errors import TransferError, UnsafePath
from one_async.transfer.plan import Item

__all__ = [
    "Present",
    "disk_errors",
    "is_plain",
    "look",
    "may_write",
    "new_hash",
    "parts_and_claims",
    "remember",
    "safe_folder",
]

#: The signatures of files at the time they were hashed, by path and hash.
_VERIFIED: dict[tuple[str, str], tuple[int, ...]] = {}
_VERIFIED_LIMIT = 200_000


@dataclass(frozen=True)
class Present:
    """The file is on disk and valid."""

    size: int


def look(item: Item, target: Path, check_hash: bool) -> Present | None:
    """Return the file on disk if it is valid, else None.

    A valid file has the recorded size, and with ``check_hash`` the recorded hash. Where the size differs, the
    hash decides in any case, since Alyx's ``file_size`` is often stale. A file hashed once is not read again
    until it changes. A file that is to be replaced is none.
    """
    if item.replace:
        return None
    try:
        found = target.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(found.st_mode):
        raise TransferError(f"{target} exists and is not a file", path=str(target), local=True)
    same_size = item.size is None or found.st_size == item.size
    if item.hash is None:
        return Present(found.st_size) if same_size else None
    if same_size and not check_hash:
        return Present(found.st_size)
    if _VERIFIED.get((str(target), item.hash)) == _signature(found):
        return Present(found.st_size)
    with target.open("rb") as file:
        right = hashlib.file_digest(file, lambda: new_hash(item)).hexdigest() == item.hash
    if not right:
        return None
    remember(target, item, found)
    return Present(found.st_size)


def safe_folder(folder: Path, root: Path, folders: dict[Path, frozenset[str]]) -> None:
    if folder in folders:
        return
    # Checked twice: the existing part of the path before anything is created, and the whole path afterwards.
    for create in (False, True):
        if create:
            folder.mkdir(parents=True, exist_ok=True)
        if not may_write(folder, root):
            raise UnsafePath(
                f"{folder} leads out of the cache folder {root} by a link to a folder of another user",
                path=str(folder),
                local=True,
            )
    folders[folder] = parts_and_claims(folder)


def may_write(folder: Path, root: Path) -> bool:
    """Return whether a folder is inside the root, or is reached from it only by links that may be followed for writing.

    Such links belong to this user or to root, and lead to folders of this user.
    """
    if folder.resolve().is_relative_to(root.resolve()):
        return True
    if not hasattr(os, "getuid"):
        return False
    user = os.getuid()
    for path in (folder, *folder.parents):
        if path == root:
            return True
        if path.is_symlink() and (path.lstat().st_uid not in {user, 0} or path.stat().st_uid != user):
            return False
    return False


def is_plain(folder: Path, root: Path) -> bool:
    """Return whether a folder exists within a resolved root and holds no parts or claims."""
    try:
        return folder.resolve(strict=True).is_relative_to(root) and not parts_and_claims(folder)
    except OSError:
        return False


def parts_and_claims(folder: Path) -> frozenset[str]:
    """Return the names of the parts and claims in a folder."""
    with os.scandir(folder) as entries:
        return frozenset(entry.name for entry in entries if entry.name.endswith((".part", ".claim")))


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Raise TransferError for an OSError of the code inside."""
    try:
        yield
    except TransferError:
        raise
    except OSError as error:
        hint = {
            errno.EACCES: "; choose a cache folder that can be written",
            errno.EPERM: "; choose a cache folder that can be written",
            errno.EROFS: "; choose a cache folder that can be written",
            errno.ENOSPC: "; make room or choose another cache folder",
        }.get(error.errno or 0, "")
        raise TransferError(
            f"{path} cannot be written: {error.strerror or error}{hint}", path=str(path), local=True
        ) from error


def new_hash(item: Item) -> Any:
    return hashlib.new(item.algorithm, usedforsecurity=False) if item.algorithm else None


def _signature(status: os.stat_result) -> tuple[int, ...]:
    return status.st_size, status.st_mtime_ns, status.st_ino


def remember(target: Path, item: Item, status: os.stat_result) -> None:
    if item.hash:
        if len(_VERIFIED) >= _VERIFIED_LIMIT:
            _VERIFIED.clear()
        _VERIFIED[str(target), item.hash] = _signature(status)
