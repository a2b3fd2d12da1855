"""Several workers that take over the same abandoned claim at the same moment."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from one_async.files.claim import Claim, Claimant, claim, claim_folder, sweep, try_claim

#: A function that is called once, just before a folder is renamed.
_before_rename: dict[str, Callable[[], object]] = {}


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    # Python calls this before each rename by any function; an audit hook cannot be removed.
    if _before_rename and event == "os.rename":
        other = _before_rename.pop(os.fspath(arguments[0]), None)
        if other is not None:
            other()


sys.addaudithook(_audit)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spikes.times.npy"


def abandon(path: Path) -> Claim:
    """Write a claim whose owner's last heartbeat was in 1970."""
    left = try_claim(path)
    assert left is not None
    for file in claim_folder(path).iterdir():
        os.utime(file, (0, 0))
    return left


def plainly(path: Path) -> Claim | None:
    return try_claim(path)


def with_a_claimant(path: Path) -> Claim | None:
    return Claimant(path.parent / ".claims").try_claim(path)


def sweeping(path: Path) -> Claim | None:
    sweep(path)
    return None


def waiting(path: Path) -> Claim | None:
    try:
        with claim(path, wait=0.1) as mine:
            return mine
    except TimeoutError:
        return None


WAYS = [plainly, with_a_claimant, sweeping, waiting]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("other", [plainly, with_a_claimant])
def test_a_claim_taken_over_by_another_owner_is_not_released(
    path: Path, way: Callable[[Path], Claim | None], other: Callable[[Path], Claim | None]
) -> None:
    """Another worker takes over an abandoned claim between its inspection and its removal, and is alive."""
    left = abandon(path)
    taken: list[Claim | None] = []
    _before_rename[os.fspath(claim_folder(path))] = lambda: taken.append(other(path))
    assert way(path) is None
    assert not _before_rename
    (its,) = taken
    assert its is not None
    assert its.is_valid()
    assert its.renew()
    assert not left.is_valid()
    assert try_claim(path) is None
    its.release()
    assert not its.is_valid()
    assert not claim_folder(path).exists()


@pytest.mark.parametrize("way", [plainly, with_a_claimant, waiting])
def test_an_abandoned_claim_is_taken_over_and_the_old_owner_has_lost_it(
    path: Path, way: Callable[[Path], Claim | None]
) -> None:
    left = abandon(path)
    mine = way(path)
    assert mine is not None
    assert not left.is_valid()
    assert not left.renew()
    left.release()  # has no effect
    if way is not waiting:  # it was released
        assert mine.is_valid()
        assert try_claim(path) is None
        mine.release()
    assert not claim_folder(path).exists()
    assert [entry.name for entry in path.parent.iterdir()] in ([], [".claims"])


@contextmanager
def full_disk() -> Iterator[None]:
    """Make every write to a file fail, as on a full disk."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_leaves_no_claim(path: Path) -> None:
    claimant = Claimant(path.with_name("spare"))
    calls: list[Callable[[], object]] = [
        lambda: try_claim(path),
        lambda: claimant.try_claim(path),
        lambda: claim(path, wait=60).__enter__(),
    ]
    for call in calls:
        with full_disk(), pytest.raises(OSError, match="too large"):
            call()
        assert [each for each in path.parent.rglob("*") if each.name != "spare"] == []
    with claim(path, wait=0):
        pass


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_an_abandoned_claim_that_cannot_be_removed_is_no_other_process(path: Path, code: int) -> None:
    """The disk has become read-only, say: an error at once, and not one of a time limit."""

    def refuse() -> None:
        raise OSError(code, os.strerror(code))

    abandon(path)
    for call in (lambda: try_claim(path), lambda: claim(path, wait=60).__enter__()):
        _before_rename[str(claim_folder(path))] = refuse
        with pytest.raises(OSError, match=os.strerror(code)) as raised:
            call()
        assert not isinstance(raised.value, TimeoutError)
    _before_rename[str(claim_folder(path))] = refuse
    sweep(path)  # it is only an attempt
    sweep(path)
    assert not claim_folder(path).exists()
