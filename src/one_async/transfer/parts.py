"""The disk side of a transfer: part files, hashes, the final rename. All of it blocks, so it runs in threads.

A part file lies beside its target. While it is written it has a unique name (``.<name>.<key>.<token>.part``), so
that a process that has lost its claim cannot publish it; at rest its name is ``.<name>.<key>.part``. It is never
truncated: starting over creates a new file.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from one_async.errors import HashMismatch, TransferError, UnsafePath
from one_async.files.claim import Claim, Claimant, claim_folder, sweep
from one_async.files.owner import short_name
from one_async.transfer.plan import Item

__all__ = ["Busy", "Lost", "Part", "PartFile", "Present", "begin", "look"]

_BLOCK = 1 << 20
_ENDING = re.compile(r"[0-9a-f]{16}(\.[0-9a-f]{8})?\.part")
#: What the files that were hashed looked like then, by path and hash.
_VERIFIED: dict[tuple[str, str], tuple[int, ...]] = {}
_VERIFIED_LIMIT = 200_000


@dataclass(frozen=True)
class Present:
    """The file is on disk and valid."""

    size: int


class Busy:
    """Another worker holds the claim."""


class Lost(Exception):
    """Another worker took over the claim and the part because this one did not renew its claim in time."""


class PartFile(ABC):
    """A partial download in one file: the bytes on disk and the received bytes that are yet to be written."""

    def __init__(self, path: Path, max_size: int) -> None:
        self.path, self.max_size = path, max_size
        self.pending: list[bytes] = []
        self.buffered = 0
        self.size = 0
        self.synced = 0
        self._file: IO[bytes] | None = None
        self._at_end = False

    @property
    def total(self) -> int:
        """The number of bytes received."""
        return self.size + self.buffered

    @abstractmethod
    def check_size(self, url: str, size: int) -> None:
        """Raise an error if the file cannot have this many bytes."""

    def add(self, chunk: bytes) -> None:
        """Buffer a chunk until the next write; on the event loop only."""
        self.pending.append(chunk)
        self.buffered += len(chunk)

    def take(self) -> list[bytes]:
        """Return the buffered chunks and empty the buffer; on the event loop only."""
        data, self.pending, self.buffered = self.pending, [], 0
        return data

    def adopt(self) -> None:
        """Open the file that an earlier attempt left. Raises FileNotFoundError if there is none."""
        self._file = _open(self.path, 0)
        self.size = os.fstat(self._file.fileno()).st_size

    def write(self, chunks: Iterable[bytes]) -> None:
        """Write the next bytes; ``digest`` must receive the same ones, before, after or at the same time."""
        if self._file is None:
            self._file = _open(self.path, os.O_CREAT | os.O_EXCL)
        for chunk in chunks:
            if not self._at_end:
                self._file.seek(self.size)
            self._at_end = False
            view = memoryview(chunk)
            while view:
                view = view[self._file.write(view) :]
            self._at_end = True
            self.size += len(chunk)

    @abstractmethod
    def digest(self, chunks: Iterable[bytes]) -> None:
        """Hash the next bytes."""

    def sync(self) -> None:
        """Flush what was written to the disk, so that less is left for the end; may run beside writes."""
        assert self._file is not None
        self.synced = self.size
        os.fsync(self._file.fileno())

    def start_over(self) -> None:
        """Discard what was received; the next write creates a new file."""
        self.pending, self.buffered = [], 0
        self.close()
        self.path.unlink(missing_ok=True)
        self.size = self.synced = 0

    def close(self) -> None:
        """Close the file; the part stays on disk."""
        if self._file is not None:
            self._file.close()
            self._file, self._at_end = None, False


class Part(PartFile):
    """A partial download of a plan's file, with its claim and the hash so far.

    With ``check_hash=False`` the bytes are kept although the record has another hash or size.
    """

    def __init__(
        self, item: Item, target: Path, claim: Claim, claimant: Claimant, *, check_hash: bool = True
    ) -> None:
        self._check_hash = check_hash
        self._stem = target.with_name(f".{short_name(target.name)}.{item.key}")
        self._resting = self._stem.with_name(f"{self._stem.name}.part")
        super().__init__(
            self._stem.with_name(f"{self._stem.name}.{secrets.token_hex(4)}.part"),
            item.max_size if check_hash else item.max_size_unchecked,
        )
        self.item, self.target, self.claim, self._claimant = item, target, claim, claimant
        self.adopted = False
        self._hashed = 0
        self._hash: Any = _new_hash(item)

    @property
    def resumable(self) -> bool:
        """Whether a later attempt may continue it: without a hash, nothing shows that two halves belong together."""
        return self.item.hash is not None and self._check_hash

    def check_size(self, url: str, size: int) -> None:
        """Raise HashMismatch for more bytes than the record's file can have, without waiting for the end."""
        if size <= self.max_size:
            return
        item = self.item
        expected = f"{item.size} bytes" if item.hash is None else f"at most {self.max_size} bytes"
        hint = "" if item.hash is None else f"; the record has {item.size or 'no'} bytes"
        raise self._mismatch(url, expected, f"{size} bytes or more", hint)

    def open(self, folders: dict[Path, frozenset[str]]) -> None:
        """Adopt a part that an earlier attempt left; without one, the first write creates it."""
        start = f".{short_name(self.target.name)}."
        names = folders[self.target.parent]
        if self.claim.inherited:
            names = _parts_and_claims(self.target.parent)
        parts = [name for name in names if name.startswith(start) and _ENDING.fullmatch(name[len(start) :])]
        previous = self._longest(parts) if parts else self._resting
        try:
            previous.replace(self.path)
        except FileNotFoundError:
            return
        self.adopt()
        self._hash_again()
        self.adopted = self.size > 0

    def write(self, chunks: Iterable[bytes]) -> None:
        """Write the next bytes. Raises TransferError if the disk refuses them."""
        with _disk_errors(self.target):
            super().write(chunks)

    def digest(self, chunks: Iterable[bytes]) -> None:
        """Hash the next bytes."""
        for chunk in chunks:
            if self._hash is not None:
                self._hash.update(chunk)
            self._hashed += len(chunk)

    def sync(self) -> None:
        """Flush what was written to the disk. Raises TransferError if that fails."""
        with _disk_errors(self.target):
            super().sync()

    def start_over(self) -> None:
        """Discard what was received. Raises TransferError if the file cannot be removed."""
        with _disk_errors(self.target):
            super().start_over()
        self.adopted = False
        self._hashed, self._hash = 0, _new_hash(self.item)

    def is_complete(self) -> bool:
        """Return whether the bytes on disk are the whole file, by their hash."""
        whole = self.size == self._hashed > 0 and self._hash is not None
        return whole and self._hash.hexdigest() == self.item.hash

    def finish(self, chunks: Sequence[bytes], url: str) -> int:
        """Write the last bytes, verify the file, move it to its final name, release the claim; return its size.

        Raises HashMismatch if the bytes are not those of the record.
        """
        if chunks or self._file is None:
            self.write(chunks)
            self.digest(chunks)
        if self._hashed != self.size:  # an earlier write failed after its bytes had been hashed
            self._hash_again()
        is_right = self._verify(url)
        assert self._file is not None
        with _disk_errors(self.target):
            os.fsync(self._file.fileno())
            status = os.fstat(self._file.fileno())
            self.close()
            try:
                self.path.replace(self.target)
            except FileNotFoundError:
                raise Lost from None
            if is_right:
                _remember(self.target, self.item, status)
        self._claimant.release(self.claim)
        return self.size

    def keep(self) -> None:
        """Keep the part for a later attempt if it is resumable, delete it otherwise, and release the claim."""
        self.close()
        with contextlib.suppress(OSError):
            if self.resumable and self.size:
                self.path.replace(self._resting)
            else:
                self.path.unlink(missing_ok=True)
        self._claimant.release(self.claim)

    def _verify(self, url: str) -> bool:
        """Return whether the bytes are those of the record; raise HashMismatch where others are not accepted."""
        if self.item.hash:
            expected, found = self.item.hash, self._hash.hexdigest()
        elif self.item.size is not None:
            expected, found = f"{self.item.size} bytes", f"{self.size} bytes"
        else:
            return True
        if expected != found and self._check_hash:
            raise self._mismatch(url, expected, found, "; check_hash=False accepts the file as it is")
        return bool(expected == found)

    def _mismatch(self, url: str, expected: str, found: str, hint: str = "") -> HashMismatch:
        return HashMismatch(
            f"{url} is not the file of the record: expected {expected}, found {found}; nothing was kept{hint}",
            url=url, path=str(self.target), expected=expected, found=found,
        )  # fmt: skip

    def _longest(self, names: list[str]) -> Path:
        """Return the longest part of this version and remove all others; only the claim's holder may do so."""
        sizes = {}
        for name in names:
            path = self.target.with_name(name)
            with contextlib.suppress(FileNotFoundError):
                sizes[path] = path.stat(follow_symlinks=False).st_size
        fitting = [path for path in sizes if path.name.startswith(f"{self._stem.name}.") and self.resumable]
        best = max(fitting, key=lambda path: sizes[path], default=self._resting)
        for path in sizes:
            if path != best:
                path.unlink(missing_ok=True)
        return best

    def _hash_again(self) -> None:
        """Hash the bytes on disk."""
        assert self._file is not None
        self._hashed, self._hash, self._at_end = 0, _new_hash(self.item), False
        self._file.seek(0)
        while block := self._file.read(min(_BLOCK, self.size - self._hashed)):
            self.digest([block])


def _open(path: Path, flags: int) -> IO[bytes]:
    flags |= os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, 0o666), "r+b", buffering=0)


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
        right = hashlib.file_digest(file, lambda: _new_hash(item)).hexdigest() == item.hash
    if not right:
        return None
    _remember(target, item, found)
    return Present(found.st_size)


def begin(
    item: Item,
    root: Path,
    check_hash: bool,
    lease: float,
    folders: dict[Path, frozenset[str]],
    claimant: Claimant,
) -> Present | Busy | Part:
    """Look for a file on disk; if it is missing, claim it and open its part. ``folders`` caches folder listings."""
    target = root / item.target
    with _disk_errors(target):
        beyond = target.parent not in folders and not _may_write(target.parent, root)
        if beyond and (there := look(item, target, check_hash)):  # files of other users may be read
            return there
        _safe_folder(target.parent, root, folders)
        if there := look(item, target, check_hash):
            if claim_folder(target).name in folders[target.parent]:
                sweep(target, lease=lease)  # its owner may have died right after the final rename
            return there
        claim = claimant.try_claim(target, lease=lease)
        if claim is None:
            return Busy()
        try:
            # The previous owner of the claim may have finished meanwhile.
            if there := look(item, target, check_hash):
                claimant.release(claim)
                return there
            part = Part(item, target, claim, claimant, check_hash=check_hash)
            part.open(folders)
        except BaseException:
            claimant.release(claim)
            raise
    return part


def _safe_folder(folder: Path, root: Path, folders: dict[Path, frozenset[str]]) -> None:
    if folder in folders:
        return
    # Checked twice: the existing part of the path before anything is created, and the whole path afterwards.
    for create in (False, True):
        if create:
            folder.mkdir(parents=True, exist_ok=True)
        if not _may_write(folder, root):
            raise UnsafePath(
                f"{folder} leads out of the cache folder {root} by a link to a folder of another user",
                path=str(folder),
                local=True,
            )
    folders[folder] = _parts_and_claims(folder)


def _may_write(folder: Path, root: Path) -> bool:
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
        return folder.resolve(strict=True).is_relative_to(root) and not _parts_and_claims(folder)
    except OSError:
        return False


def _parts_and_claims(folder: Path) -> frozenset[str]:
    """Return the names of the parts and claims in a folder."""
    with os.scandir(folder) as entries:
        return frozenset(entry.name for entry in entries if entry.name.endswith((".part", ".claim")))


@contextlib.contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
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


def _new_hash(item: Item) -> Any:
    return hashlib.new(item.algorithm, usedforsecurity=False) if item.algorithm else None


def _signature(status: os.stat_result) -> tuple[int, ...]:
    return status.st_size, status.st_mtime_ns, status.st_ino


def _remember(target: Path, item: Item, status: os.stat_result) -> None:
    if item.hash:
        if len(_VERIFIED) >= _VERIFIED_LIMIT:
            _VERIFIED.clear()
        _VERIFIED[str(target), item.hash] = _signature(status)
