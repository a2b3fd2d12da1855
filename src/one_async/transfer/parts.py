"""The disk side of a transfer: part files, hashes, the final rename. All of it blocks, so it runs in threads.

A part file lies beside its target. While it is written it has a name of its own
(``.<name>.<key>.<token>.part``), so that a process that wrongly believes it still has the claim cannot
publish it; at rest it waits as ``.<name>.<key>.part``. It is never truncated: starting over makes a new file.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from one_async.errors import HashMismatch, TransferError, UnsafePath
from one_async.files.claim import Claim, Claimant, claim_folder, sweep

from .plan import Item

__all__ = ["Busy", "Lost", "Part", "Present", "begin", "look", "sync_folders"]

_BLOCK = 1 << 20
_ENDING = re.compile(r"[0-9a-f]{16}(\.[0-9a-f]{8})?\.part")
_JUDGED: dict[tuple[str, str], tuple[int, ...]] = {}
_JUDGED_LIMIT = 200_000


@dataclass(frozen=True)
class Present:
    """The file is there, and is the right one."""

    size: int


class Busy:
    """Another worker has the claim."""


class Lost(Exception):
    """Another worker took the claim and the part over, since this one was silent for too long."""


class Part:
    """A file on its way: what is on disk of it, what is yet to be written, and the hash so far."""

    def __init__(self, item: Item, target: Path, claim: Claim, claimant: Claimant) -> None:
        self.item, self.target, self.claim, self._claimant = item, target, claim, claimant
        self.pending: list[bytes] = []
        self.buffered = 0
        self.size = 0
        self.synced = 0
        self.adopted = False
        self._stem = target.with_name(f".{_short(target.name)}.{item.key}")
        self._resting = self._stem.with_name(f"{self._stem.name}.part")
        self._moved = True
        self.path = self._stem.with_name(f"{self._stem.name}.{secrets.token_hex(4)}.part")
        self._file: IO[bytes] | None = None
        self._hashed = 0
        self._hash: Any = _new_hash(item)

    @property
    def resumable(self) -> bool:
        """Without a hash nothing could tell whether two halves belong together."""
        return self.item.hash is not None

    @property
    def total(self) -> int:
        """How much of the file has come."""
        return self.size + self.buffered

    def add(self, chunk: bytes) -> None:
        """Keep what came until the next write; for the event loop."""
        self.pending.append(chunk)
        self.buffered += len(chunk)

    def take(self) -> list[bytes]:
        """Give what is to be written; for the event loop."""
        data, self.pending, self.buffered = self.pending, [], 0
        return data

    def open(self, folders: dict[Path, frozenset[str]]) -> None:
        """Go on from a part that someone left, if there is one; else the first write starts one."""
        start = f".{_short(self.target.name)}."
        names = folders[self.target.parent]
        if self.claim.inherited:
            names = _traces_in(self.target.parent)
        mine = [name for name in names if name.startswith(start) and _ENDING.fullmatch(name[len(start) :])]
        rest = self._longest(mine) if mine else self._resting
        try:
            rest.replace(self.path)
        except FileNotFoundError:
            return
        self._file = _open(self.path, 0)
        self.size = os.fstat(self._file.fileno()).st_size
        self._hash_again()
        self.adopted = self.size > 0

    def write(self, chunks: Iterable[bytes]) -> None:
        """Write the next bytes; ``digest`` must be given the same, before or after or at once."""
        with _disk(self.target):
            if self._file is None:
                self._create()
            assert self._file is not None
            for chunk in chunks:
                if self._moved:
                    self._file.seek(self.size)
                self._moved = True
                view = memoryview(chunk)
                while view:
                    view = view[self._file.write(view) :]
                self._moved = False
                self.size += len(chunk)

    def digest(self, chunks: Iterable[bytes]) -> None:
        """Hash the next bytes."""
        for chunk in chunks:
            if self._hash is not None:
                self._hash.update(chunk)
            self._hashed += len(chunk)

    def sync(self) -> None:
        """Have the disk take what was written so far, so that the end need not wait for it; beside writes."""
        with _disk(self.target):
            assert self._file is not None
            self.synced = self.size
            os.fsync(self._file.fileno())

    def start_over(self) -> None:
        """Forget what came; the next write starts a new file."""
        self.pending, self.buffered = [], 0
        self._close()
        with _disk(self.target):
            self.path.unlink(missing_ok=True)
        self.size, self.synced, self.adopted = 0, 0, False
        self._hashed, self._hash = 0, _new_hash(self.item)

    def is_complete(self) -> bool:
        """Tell whether the bytes at hand are the whole file, by their hash."""
        whole = self.size == self._hashed > 0 and self._hash is not None
        return whole and self._hash.hexdigest() == self.item.hash

    def finish(self, chunks: Sequence[bytes], url: str) -> int:
        """Write the last bytes, judge the whole, give it its final name, give up the claim; gives its size.

        Raises HashMismatch if the bytes are not those of the record.
        """
        if chunks or self._file is None:
            self.write(chunks)
            self.digest(chunks)
        if self._hashed != self.size:  # the disk once refused bytes that were hashed
            self._hash_again()
        self._judge(url)
        assert self._file is not None
        with _disk(self.target):
            os.fsync(self._file.fileno())
            stat = os.fstat(self._file.fileno())
            self._close()
            try:
                self.path.replace(self.target)
            except FileNotFoundError:
                raise Lost from None
            _remember(self.target, self.item, stat)
        self._claimant.release(self.claim)
        return self.size

    def keep(self) -> None:
        """Leave the part for whoever comes next, if it can be resumed, and give up the claim."""
        self._close()
        with contextlib.suppress(OSError):
            if self.resumable and self.size:
                self.path.replace(self._resting)
            else:
                self.path.unlink(missing_ok=True)
        self._claimant.release(self.claim)

    def _judge(self, url: str) -> None:
        if self.item.hash:
            expected, found = self.item.hash, self._hash.hexdigest()
        elif self.item.size is not None:
            expected, found = f"{self.item.size} bytes", f"{self.size} bytes"
        else:
            return
        if expected != found:
            raise HashMismatch(
                f"{url} is not the file of the record: expected {expected}, found {found}; nothing was kept",
                url=url, path=str(self.target), expected=expected, found=found,
            )  # fmt: skip

    def _longest(self, names: list[str]) -> Path:
        """Find the longest part of this version and remove all others, as the claim's holder may."""
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

    def _create(self) -> None:
        self._file = _open(self.path, os.O_CREAT | os.O_EXCL)

    def _hash_again(self) -> None:
        """Hash what is on disk."""
        assert self._file is not None
        self._hashed, self._hash, self._moved = 0, _new_hash(self.item), True
        self._file.seek(0)
        while block := self._file.read(min(_BLOCK, self.size - self._hashed)):
            self.digest([block])

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _open(path: Path, flags: int) -> IO[bytes]:
    flags |= os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, 0o666), "r+b", buffering=0)


def look(item: Item, target: Path, check_hash: bool) -> Present | None:
    """Tell whether the right file is there.

    Right means: of the recorded size, and with ``check_hash`` of the recorded hash. Where the size differs,
    the hash decides in any case, since Alyx's ``file_size`` is often stale. A file judged once is not read
    again until it changes.
    """
    try:
        stat = target.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not target.is_file():
        raise TransferError(f"{target} is in the way: it is not a file", path=str(target), local=True)
    same_size = item.size is None or stat.st_size == item.size
    if item.hash is None:
        return Present(stat.st_size) if same_size else None
    if same_size and not check_hash:
        return Present(stat.st_size)
    if _JUDGED.get((str(target), item.hash)) == _signature(stat):
        return Present(stat.st_size)
    with target.open("rb") as file:
        right = hashlib.file_digest(file, lambda: _new_hash(item)).hexdigest() == item.hash
    if not right:
        return None
    _remember(target, item, stat)
    return Present(stat.st_size)


def begin(
    item: Item,
    root: Path,
    check_hash: bool,
    lease: float,
    folders: dict[Path, frozenset[str]],
    claimant: Claimant,
) -> Present | Busy | Part:
    """See what is there, claim what is not, and open its part; ``folders`` keeps what was seen of folders."""
    target = root / item.target
    with _disk(target):
        beyond = target.parent not in folders and not _may_write(target.parent, root)
        if beyond and (there := look(item, target, check_hash)):  # what is only read may be anybody's
            return there
        _safe_folder(target.parent, root, folders)
        if there := look(item, target, check_hash):
            if claim_folder(target).name in folders[target.parent]:
                sweep(target, lease=lease)  # its owner may have ended just after it gave the file its name
            return there
        claim = claimant.try_claim(target, lease=lease)
        if claim is None:
            return Busy()
        try:
            # Whoever had the claim before may have finished meanwhile.
            if there := look(item, target, check_hash):
                claimant.release(claim)
                return there
            part = Part(item, target, claim, claimant)
            part.open(folders)
        except BaseException:
            claimant.release(claim)
            raise
    return part


def _safe_folder(folder: Path, root: Path, folders: dict[Path, frozenset[str]]) -> None:
    if folder in folders:
        return
    # Before anything is made: the part of the way that exists must not lead out, nor must what is made then.
    for made in (False, True):
        if made:
            folder.mkdir(parents=True, exist_ok=True)
        if not _may_write(folder, root):
            raise UnsafePath(
                f"{folder} leads out of the cache folder {root} by a link to what is not this user's",
                path=str(folder),
                local=True,
            )
    folders[folder] = _traces_in(folder)


def _may_write(folder: Path, root: Path) -> bool:
    """Tell whether a folder lies within the root, or the links that lead out of it are this user's.

    They and what they lead to must belong to this user; the links may be the administrator's.
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


def _traces_in(folder: Path) -> frozenset[str]:
    """Name the parts and claims in a folder."""
    with os.scandir(folder) as entries:
        return frozenset(entry.name for entry in entries if entry.name.endswith((".part", ".claim")))


@contextlib.contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Say clearly what the disk refused."""
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


def _short(name: str) -> str:
    """Leave room for what a part's name has besides; names are limited to 255 bytes."""
    if len(name.encode()) <= 180:
        return name
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def _new_hash(item: Item) -> Any:
    return hashlib.new(item.algorithm, usedforsecurity=False) if item.algorithm else None


def sync_folders(folders: Iterable[Path]) -> None:
    """Make the final names in these folders last, now that all of a job's files have them."""
    if os.name == "nt":
        return
    for folder in folders:
        with contextlib.suppress(OSError):
            number = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(number)
            finally:
                os.close(number)


def _signature(stat: os.stat_result) -> tuple[int, ...]:
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def _remember(target: Path, item: Item, stat: os.stat_result) -> None:
    if item.hash:
        if len(_JUDGED) >= _JUDGED_LIMIT:
            _JUDGED.clear()
        _JUDGED[str(target), item.hash] = _signature(stat)
