"""The disk side of a transfer: part files, hashes, the final rename. All of it blocks, so it runs in threads.

A part file lies beside its target. While it is written it has a unique name (``.<name>.<key>.<token>.part``), so
that a process that has lost its claim cannot publish it; at rest its name is ``.<name>.<key>.part``. It is never
truncated: starting over creates a new file.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

from one_async.errors import HashMismatch
from one_async.files.claim import Claim, Claimant, claim_folder, short_name, sweep
from one_async.transfer.items import Item
from one_async.transfer.on_disk import (
    Present,
    disk_errors,
    look,
    may_write,
    new_hash,
    parts_and_claims,
    remember,
    safe_folder,
)

__all__ = ["Busy", "Lost", "Part", "PartFile", "begin"]

_BLOCK = 1 << 20
_ENDING = re.compile(r"[0-9a-f]{16}(\.[0-9a-f]{8})?\.part")


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
        """Flush written bytes to the disk, so that the final flush is short; may run concurrently with writes."""
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
        self._hash: Any = new_hash(item)

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
            names = parts_and_claims(self.target.parent)
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
        with disk_errors(self.target):
            super().write(chunks)

    def digest(self, chunks: Iterable[bytes]) -> None:
        """Hash the next bytes."""
        for chunk in chunks:
            if self._hash is not None:
                self._hash.update(chunk)
            self._hashed += len(chunk)

    def sync(self) -> None:
        """Flush written bytes to the disk. Raises TransferError if that fails."""
        with disk_errors(self.target):
            super().sync()

    def start_over(self) -> None:
        """Discard what was received. Raises TransferError if the file cannot be removed."""
        with disk_errors(self.target):
            super().start_over()
        self.adopted = False
        self._hashed, self._hash = 0, new_hash(self.item)

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
        with disk_errors(self.target):
            os.fsync(self._file.fileno())
            status = os.fstat(self._file.fileno())
            self.close()
            try:
                self.path.replace(self.target)
            except FileNotFoundError:
                raise Lost from None
            if is_right:
                remember(self.target, self.item, status)
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
        self._hashed, self._hash, self._at_end = 0, new_hash(self.item), False
        self._file.seek(0)
        while block := self._file.read(min(_BLOCK, self.size - self._hashed)):
            self.digest([block])


def _open(path: Path, flags: int) -> IO[bytes]:
    flags |= os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, 0o666), "r+b", buffering=0)


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
    with disk_errors(target):
        beyond = target.parent not in folders and not may_write(target.parent, root)
        if beyond and (there := look(item, target, check_hash)):  # files of other users may be read
            return there
        safe_folder(target.parent, root, folders)
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
