"""Files in the cache folder: where that of a dataset lies, whether it is there and valid, and folders to write to.

What accesses the disk blocks, so it runs in threads.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from one_async._warnings import warn
from one_async.alf.session_paths import (
    has_id,
    is_id,
    other_spellings,
    session_folder,
    session_part,
    with_id,
    without_id,
)
from one_async.errors import (
    ALFInvalid,
    ALFMultipleObjectsFound,
    InputError,
    OneError,
    TransferError,
    UnsafePath,
    shown,
)
from one_async.transfer.items import HASHES, Item

__all__ = [
    "Expected",
    "Present",
    "at_hand",
    "conflict",
    "dataset_id_of",
    "disk_errors",
    "expected_files",
    "find_local",
    "hash_of",
    "is_plain",
    "look",
    "may_write",
    "new_hash",
    "parts_and_claims",
    "remember",
    "row_path",
    "row_target",
    "safe_folder",
    "safe_relative",
    "valid_size",
]

P = TypeVar("P", bound=Path)

#: The signatures of files at the time they were hashed, by path and hash.
_VERIFIED: dict[tuple[str, str], tuple[int, ...]] = {}
_VERIFIED_LIMIT = 200_000
_HEX = re.compile("[0-9a-f]+")
#: Paths of at least two parts of ordinary characters, of which none begins with a period.
_ORDINARY = re.compile(r"(?:[A-Za-z0-9_#-][A-Za-z0-9_#.-]*/)+[A-Za-z0-9_#-][A-Za-z0-9_#.-]*\Z")
_CONTROL, _SURROGATE = re.compile("[\x00-\x1f\x7f]"), re.compile("[\ud800-\udfff]")


def safe_relative(path: str, *, written: bool = True) -> str:
    """Return a relative path with ``/`` between its parts if it stays within its folder.

    Raises UnsafePath for ``..`` and absolute paths; for a file to be ``written`` also for drive letters, backslashes,
    control characters, and files directly in the root or below a hidden folder there, which hold tables, settings and
    stored answers.
    """
    if _ORDINARY.match(path):
        return path
    parts = path.split("/")
    problem = (
        "it is absolute" if path.startswith(("/", "\\")) else
        "it refers to another folder" if ".." in parts else
        "it has an invalid character" if _SURROGATE.search(path) or "\0" in path else None
    )  # fmt: skip
    if written and not problem:
        problem = (
            "it refers to another folder" if any(p in (".", "~") for p in parts) else
            "it has an empty part" if not all(p.strip(" .") for p in parts) else
            "it has a drive letter" if any(re.match(r"[A-Za-z]:", p) for p in parts) else
            "it has a backslash" if "\\" in path else
            "it has a control character" if _CONTROL.search(path) else
            "it lies in the root of the cache folder" if len(parts) < 2 else
            "it lies in a hidden folder" if parts[0].startswith(".") else None
        )  # fmt: skip
    if problem:
        raise UnsafePath(f"{path!r} cannot be written to the cache folder: {problem}", path=path)
    return path


def row_target(record: Mapping[str, Any], *, uuid_filenames: bool = False, written: bool = True) -> str:
    """Return the path of a row's file below the cache folder.

    With ``written=False``, an id in the row's own path belongs to the name on disk.
    """
    path = row_path(record)
    if not written and has_id(path):
        return path
    path = without_id(path)
    return with_id(path, dataset_id_of(record)) if uuid_filenames else path


def row_path(record: Mapping[str, Any]) -> str:
    """Return the path of a row below the cache folder, as the row has it. Raises InputError for a row without a session."""
    session = record.get("session_path")
    if session is None and "subject" in record:
        session = session_folder(record)
    if session is None:
        raise InputError.of(
            "records", dict(record), "rows with session_path, or lab, subject, date and number"
        )
    return f"{session}/{record['rel_path']}" if session else str(record["rel_path"])


def dataset_id_of(record: Mapping[str, Any]) -> str:
    """Return the id of a record's dataset in lower case. Raises InputError for a record without a UUID."""
    value = record.get("did") or record.get("id") or str(record.get("url") or "")[-36:]
    if not is_id(str(value)):
        raise InputError.of("records", dict(record), "records with the id of a dataset")
    return str(value).lower()


def hash_of(record: Mapping[str, Any]) -> str | None:
    """Return the recorded hash of a dataset, None if there is none. Raises TransferError if it is neither md5 nor sha1."""
    value = record.get("hash")
    if not value:
        return None
    text = str(value).strip().lower()
    if len(text) not in HASHES or not _HEX.fullmatch(text):
        path = str(record.get("rel_path", ""))
        name = f"the dataset {dataset_id_of(record)} {path}".rstrip()
        raise TransferError(f"the hash {shown(value)} of {name} is neither md5 nor sha1", path=path)
    return text


def conflict(target: str, did: str, other: str) -> TransferError:
    """Return the error for two datasets with one path."""
    return TransferError(
        f"the datasets {did} and {other} have the same path {target}; uuid_filenames=True keeps both",
        path=target,
    )


@dataclass(frozen=True)
class Present:
    """The file is on disk and valid."""

    size: int


def look(item: Item, target: Path, check_hash: bool) -> Present | None:
    """Return the file on disk if it is valid, else None. A file that is to be replaced is not valid."""
    size = None if item.replace else valid_size(target, item.size, item.hash, check_hash)
    return None if size is None else Present(size)


def valid_size(target: Path, size: int | None, digest: str | None, check_hash: bool) -> int | None:
    """Return the size of a file on disk if the file is valid, else None.

    A valid file has the recorded size, and with ``check_hash`` the recorded hash. Where the size differs, the
    hash decides in any case, since Alyx's ``file_size`` is often stale. A file hashed once is not read again
    until it changes.
    """
    try:
        found = os.stat(target)  # noqa: PTH116 - `Path.stat` takes longer
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(found.st_mode):
        raise TransferError(f"{target} exists and is not a file", path=str(target), local=True)
    same_size = size is None or found.st_size == size
    if digest is None or (same_size and not check_hash):
        return found.st_size if same_size else None
    if _VERIFIED.get((str(target), digest)) == _signature(found):
        return found.st_size
    with target.open("rb") as file:
        if hashlib.file_digest(file, lambda: _new_hash(digest)).hexdigest() != digest:
            return None
    _remember(target, digest, found)
    return found.st_size


class Expected(NamedTuple):
    """The file of a row of the datasets table: its path below the cache folder, and its recorded size and hash."""

    target: str
    size: int | None = None
    hash: str | None = None
    error: OneError | None = None
    """Why the row cannot be right."""


def expected_files(
    rows: Iterable[Mapping[str, Any]], *, uuid_filenames: bool, written: bool
) -> Iterator[Expected]:
    """Return the files of rows of the datasets table, each with its session's path.

    ``written`` as in `safe_relative`. Of two datasets with one path, the second one has an error.
    """
    owners: dict[str, tuple[object, str | None]] = {}
    for row in rows:
        try:
            target = row_target(row, uuid_filenames=uuid_filenames, written=written)
            safe_relative(target, written=written)
            digest = hash_of(row)
        except (ALFInvalid, TransferError) as error:
            yield Expected(str(row["rel_path"]), error=error)
            continue
        owner = row["did"], digest
        if owners.setdefault(target, owner) != owner:
            yield Expected(target, error=conflict(target, str(owners[target][0]), str(row["did"])))
            continue
        yield Expected(target, None if row["file_size"] is None else int(row["file_size"]), digest)


def at_hand(files: Iterable[Expected], root: P, check_hash: bool) -> list[P | None]:
    """Return the path of each file that is on disk and valid, None for those that `fetch` must examine.

    Files in a folder outside the root or in one with parts or claims of a transfer are left to `fetch`, too.
    """
    real = root.resolve()
    folders: dict[str, P | None] = {}
    paths: list[P | None] = []
    for file in files:
        head, _, name = file.target.rpartition("/")
        if head not in folders:
            folders[head] = root / head if is_plain(root / head, real) else None
        folder, path = folders[head], None
        if folder is not None and file.error is None:
            with contextlib.suppress(OSError, OneError):  # `fetch` raises a clear error
                found = folder / name
                path = None if valid_size(found, file.size, file.hash, check_hash) is None else found
        paths.append(path)
    return paths


def find_local(files: Iterable[Expected], root: P, check_hash: bool) -> list[P | None]:
    """Return the path of each file that is on disk. Warn of those that differ from the tables.

    For clients that fetch no files, whose root may itself be a session's folder. Raises UnsafePath or ALFInvalid for a file
    outside of the root.
    """
    paths: list[P | None] = []
    parents: dict[str, P] = {}
    folders: dict[str, str] = {}
    for file in files:
        if isinstance(file.error, UnsafePath | ALFInvalid):
            raise file.error
        head, _, name = file.target.rpartition("/")
        if head not in parents:
            parents[head] = root / head
        path, size = parents[head] / name, None
        if file.error is None:
            size = valid_size(path, file.size, file.hash, check_hash)
            if size is None and (other := _spelled_otherwise(file.target, root, folders)) != file.target:
                path = root / other
                size = valid_size(path, file.size, file.hash, check_hash)
        is_there = size is not None or path.exists()
        paths.append(path if is_there else None)
        if is_there and size is None:
            warn(f"{path} is not the file that the tables describe")
    return paths


def _spelled_otherwise(target: str, root: Path, folders: dict[str, str]) -> str:
    """Return a path with the session's number as spelled on disk, `1` or `01`, if there is no folder `001`.

    ``folders`` caches the results.
    """
    folder = session_part(target)
    if folder and folder not in folders:
        folders[folder] = folder
        if not (root / folder).exists():
            existing = [other for other in other_spellings(folder) if (root / other).is_dir()]
            if len(existing) > 1:
                raise ALFMultipleObjectsFound(f"{root / folder} may be {' or '.join(existing)}")
            folders[folder] = existing[0] if existing else folder
    return folders.get(folder, "") + target[len(folder) :]


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
    return _new_hash(item.hash) if item.hash else None


def _new_hash(digest: str) -> Any:
    return hashlib.new(HASHES[len(digest)], usedforsecurity=False)


def _signature(status: os.stat_result) -> tuple[int, ...]:
    return status.st_size, status.st_mtime_ns, status.st_ino


def remember(target: Path, item: Item, status: os.stat_result) -> None:
    if item.hash:
        _remember(target, item.hash, status)


def _remember(target: Path, digest: str, status: os.stat_result) -> None:
    if len(_VERIFIED) >= _VERIFIED_LIMIT:
        _VERIFIED.clear()
    _VERIFIED[str(target), digest] = _signature(status)
