"""Claims on files: one worker at a time among threads, processes and machines that share a folder; names of their owners.

A claim is a folder created by ``mkdir``, which succeeds for exactly one caller on every file system; ``flock``
succeeds for every caller on Lustre, GPFS and some NFS. The folder contains a file with the owner's name, which the owner
touches periodically. A claim whose owner is known to be dead, or did not touch the file for longer than the lease, is taken
over: it is renamed, which succeeds for exactly one caller, and then created again.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import platform
import random
import shutil
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "LEASE",
    "Claim",
    "Claimant",
    "claim",
    "claim_folder",
    "is_dead",
    "is_running",
    "owner_of",
    "short_name",
    "start_heartbeat",
    "sweep",
    "try_claim",
]

#: Seconds without renewal after which a claim may be taken over if the state of its owner is unknown.
LEASE = 60.0
_OWNER = "owner"
#: The same for a claim without an owner's name, whose owner ended between two system calls.
_NAMELESS = 2.0
# Errors of a folder that cannot be changed. Windows also refuses access while another process reads the folder.
_REFUSED = {errno.EROFS} if os.name == "nt" else {errno.EROFS, errno.EACCES, errno.EPERM}
#: Seconds within which the timestamp of a folder that is kept for reuse is recent enough.
_YOUNG = 1.0


@dataclass(frozen=True)
class Claim:
    """A claim owned by this process; ``renew`` it more often than its lease, ``release`` it at the end.

    ``inherited`` is True if another owner had it at first, who is dead or finished meanwhile.
    """

    folder: Path
    token: str
    home: Path | None = None
    since: float = 0.0
    inherited: bool = False

    def is_valid(self) -> bool:
        """Return whether this claim is still valid, not taken over by another owner."""
        owner = _read_owner(self.folder)
        return owner is not None and owner.split(" ")[0] == self.token

    def renew(self) -> bool:
        """Refresh the timestamp of the claim; return False if the claim was lost."""
        if not self.is_valid():
            return False
        with contextlib.suppress(OSError):
            os.utime(self.folder / _OWNER)
        return True

    def release(self) -> None:
        """Release the claim; do nothing if it was lost."""
        if not self.is_valid():
            return
        with contextlib.suppress(OSError):
            if self.home:
                self.folder.rename(self.home)
                return
        with contextlib.suppress(OSError):
            (self.folder / _OWNER).unlink()
            self.folder.rmdir()


def claim_folder(path: Path) -> Path:
    """Return the hidden folder next to a file that represents the claim on it."""
    return path.with_name(f".{short_name(path.name)}.claim")


def try_claim(path: Path, *, lease: float = LEASE) -> Claim | None:
    """Claim a file without waiting; return None if another owner has it.

    The folder of the file must exist. Raises OSError if the folder is not writable.
    """
    folder = claim_folder(path)
    for _ in range(2):
        try:
            folder.mkdir()
        except FileExistsError:
            if not _take_away(folder, lease):
                return None
            continue
        try:
            return Claim(folder, _sign(folder))
        except (FileExistsError, FileNotFoundError):
            return (
                None  # this process was suspended here for so long that another took over the unsigned claim
            )
        except OSError:  # the disk is full
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return None


def sweep(path: Path, *, lease: float = LEASE) -> None:
    """Remove the claim on a file if its owner has ended; for files that will not be claimed again."""
    with contextlib.suppress(OSError):
        _take_away(claim_folder(path), lease)


class Claimant:
    """Claims many files one after the other, reusing few folders.

    On ext4, allocating an inode is slow when many were freed within the last seconds, so creating and removing a folder for
    each file would take longer than writing the file. A claimant keeps its signed folders in ``home`` and renames one to the
    claim's path, which fails if a claim exists there, and succeeds for only one of several callers.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._spare: deque[Claim] = deque()
        self._swept = False

    def try_claim(self, path: Path, *, lease: float = LEASE) -> Claim | None:
        """Claim a file without waiting, with the contract of the function ``try_claim``."""
        folder = claim_folder(path)
        for inherited in (False, True):
            spare = self._take_spare()
            assert spare.home is not None
            try:
                spare.home.rename(folder)
            except OSError as error:
                if error.errno == errno.ENOENT and not spare.home.exists():
                    continue  # it was removed as that of a dead process; the next one is new
                self._spare.append(spare)
                if error.errno == errno.EXDEV:
                    return try_claim(path, lease=lease)
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
                if not _take_away(folder, lease):
                    return None
                continue
            return Claim(folder, spare.token, spare.home, time.time(), inherited)
        return None

    def release(self, claim: Claim) -> None:
        """Release a claim, and keep its folder for reuse."""
        claim.release()
        if claim.home:
            self._spare.append(claim)

    def close(self) -> None:
        """Remove the unused folders."""
        while self._spare:
            home = self._spare.popleft().home
            assert home is not None
            shutil.rmtree(home, ignore_errors=True)
        with contextlib.suppress(OSError):
            self._home.rmdir()

    def _take_spare(self) -> Claim:
        try:
            spare = self._spare.popleft()
        except IndexError:
            return self._make_spare()
        assert spare.home is not None
        if time.time() - spare.since < _YOUNG:
            return spare
        try:
            os.utime(spare.home / _OWNER)
        except OSError:
            return self._make_spare()
        return Claim(spare.folder, spare.token, spare.home, time.time())

    def _make_spare(self) -> Claim:
        if not self._swept:
            self._swept = True
            with contextlib.suppress(OSError):
                for other in self._home.iterdir():
                    _take_away(other, LEASE)
        while True:
            home = self._home / uuid.uuid4().hex
            with contextlib.suppress(FileNotFoundError):  # swept away by another before it was signed
                home.mkdir(parents=True)
                try:
                    return Claim(home, _sign(home), home, time.time())
                except OSError:  # the disk is full
                    shutil.rmtree(home, ignore_errors=True)
                    raise


def _sign(folder: Path) -> str:
    token = uuid.uuid4().hex
    with (folder / _OWNER).open("x", encoding="utf-8") as file:
        file.write(owner_of(token))
    return token


@contextlib.contextmanager
def claim(path: Path, *, lease: float = LEASE, wait: float | None = None) -> Iterator[Claim]:
    """Hold the claim on a file during a ``with`` block; wait for it if necessary.

    ``lease`` and ``wait`` are in seconds; without ``wait`` there is no time limit. A background thread renews the claim.
    Blocking: call it in a thread, not on the event loop. Raises TimeoutError after ``wait`` seconds.
    """
    end = None if wait is None else time.monotonic() + wait
    pause = 0.02
    while (own_claim := try_claim(path, lease=lease)) is None:
        if end is not None and time.monotonic() >= end:
            raise TimeoutError(f"another process has been writing {path} for more than {wait} s")
        time.sleep(pause * random.uniform(0.5, 1.5))
        pause = min(pause * 1.5, 1.0)
    stop = start_heartbeat(own_claim.renew, lease)
    try:
        yield own_claim
    finally:
        stop()
        own_claim.release()


def start_heartbeat(renew: Callable[[], bool], lease: float = LEASE) -> Callable[[], None]:
    """Call ``renew`` four times per lease until it returns False; return a function that stops the heartbeat.

    ``renew`` is called in a background thread, so that neither a busy event loop nor a long write delays it.
    """
    done = threading.Event()

    def beat() -> None:
        while not done.wait(lease / 4) and renew():
            pass

    thread = threading.Thread(target=beat, name="one-async-claim", daemon=True)
    thread.start()

    def stop() -> None:
        done.set()
        thread.join()

    return stop


def _take_away(folder: Path, lease: float) -> bool:
    """Remove a claim whose owner has ended; return True if the claim may be free now.

    Raises OSError if it cannot be removed, as on a disk that has become read-only.
    """
    owner = _read_owner(folder)
    try:
        seen = (folder / _OWNER if owner else folder).stat().st_mtime
    except FileNotFoundError:
        return True
    # abs: a claim with an mtime in the future was written with a wrong clock, and must expire eventually, too.
    silent = abs(time.time() - seen) > (lease if owner else min(lease, _NAMELESS))
    if not silent and not (owner and is_dead(owner)):
        return False
    away = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}")
    try:
        folder.rename(away)
    except OSError as error:
        if error.errno in _REFUSED:
            raise
        return True
    if _read_owner(away) != owner:
        # Another live process had taken it over between the check and the rename: put it back.
        with contextlib.suppress(OSError):
            away.rename(folder)
            return False
    shutil.rmtree(away, ignore_errors=True)
    return True


def _read_owner(folder: Path) -> str | None:
    try:
        number = os.open(f"{folder}/{_OWNER}", os.O_RDONLY)
    except OSError:
        return None
    try:
        return os.read(number, 1000).decode() or None
    except OSError:
        return None
    finally:
        os.close(number)


# ---- names of processes, from which others can determine whether an owner is running


def owner_of(token: str, separator: str = " ") -> str:
    """Return a name for this process as the owner of the object that ``token`` identifies."""
    return separator.join((token, _machine(), str(os.getpid()), _started(os.getpid())))


def is_running(owner: str, separator: str = " ") -> bool | None:
    """Return whether the process named by ``owner_of`` is running; None if that is unknown.

    It is unknown for processes of other machines or containers.
    """
    try:
        _, machine, pid, started = owner.split(separator)
        number = int(pid)
    except ValueError:
        return None
    if machine != _machine() or sys.platform == "win32":  # on Windows, os.kill(pid, 0) would end the process
        return None
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return None
    now = _started(number)
    if "unknown" in (started, now):
        return None
    return started == now


def is_dead(owner: str) -> bool:
    """Return whether the owner is known to have ended."""
    return is_running(owner) is False


def short_name(name: str) -> str:
    """Return a name that leaves room for a prefix and a suffix; file names are limited to 255 bytes."""
    if len(name.encode("utf-8", "surrogateescape")) <= 180:
        return name
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:32]


@functools.cache
def _machine() -> str:
    """Return an identifier of this boot of this machine and container, within which process ids are unique."""
    parts = [platform.node()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("/".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _started(pid: int) -> str:
    """Return the start time of a process, since its id may be used again.

    "unknown" outside Linux, "ended" for a zombie process.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")  # it contains the process's name
    except OSError:
        return "unknown"
    fields = stat.rpartition(")")[2].split()
    return "ended" if fields[0] in "ZX" else fields[19]
