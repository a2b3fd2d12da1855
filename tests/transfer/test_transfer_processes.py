"""Concurrent and killed processes, and abandoned claims."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest

from one_async.files.claim import Claimant, claim, claim_folder, try_claim

from .kills import kill_until, listing, start, wrong_files
from .servers import Files


def test_kills_never_leave_a_wrong_file_and_parts_resume(files: Files, tmp_path: Path) -> None:
    file, hashes = listing(files, tmp_path, count=50, size=200_000)
    files.pace, files.piece = 0.025, 4_096
    root = tmp_path / "cache"
    assert kill_until(files, file, root, hashes, kills=8, seed=5) > 2
    assert sum(files.sent.values()) < 1.5 * sum(map(len, files.content.values()))
    assert any("range" in headers for _, headers in files.requests)


def test_eight_processes_fetch_each_file_once(files: Files, tmp_path: Path) -> None:
    file, hashes = listing(files, tmp_path, count=100, size=30_000)
    files.latency = 0.01
    root = tmp_path / "cache"
    workers = [start(file, root) for _ in range(8)]
    for one in workers:
        one.ready()
    statuses = [status for one in workers for status in one.statuses()]
    assert wrong_files(root, hashes) == []
    assert [files.count(path) for path in hashes] == [1] * 100
    assert sorted(statuses) == ["fetched"] * 100 + ["present"] * 700


@pytest.mark.skipif(os.name == "nt", reason="SIGSTOP is POSIX")
def test_a_process_that_slept_beyond_its_lease_cannot_publish(files: Files, tmp_path: Path) -> None:
    file, hashes = listing(files, tmp_path, count=1, size=400_000)
    (path,) = hashes
    files.pace = 0.05
    root = tmp_path / "cache"
    sleeper = start(file, root)
    sleeper.ready()
    while files.sent[path] < 100_000:
        time.sleep(0.01)
    os.kill(sleeper.pid, signal.SIGSTOP)
    owner = claim_folder(root / path) / "owner"
    os.utime(owner, (1, 1))
    try:
        second = start(file, root)
        second.ready()
        assert second.statuses() == ["fetched"]
    finally:
        os.kill(sleeper.pid, signal.SIGCONT)
    assert sleeper.statuses() == ["present"]
    assert wrong_files(root, hashes) == []
    assert [p.name for p in (root / path).parent.iterdir()] == [(root / path).name]


def test_claim_excludes_and_is_released(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    with claim(path) as mine:
        assert mine.is_valid()
        assert try_claim(path) is None
        with pytest.raises(TimeoutError, match=r"x\.npy"), claim(path, wait=0.05):
            pass
    assert list(tmp_path.iterdir()) == []
    assert not mine.renew()


def test_claim_of_a_silent_owner_is_taken_over_by_one(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    old = try_claim(path)
    assert old is not None
    owner = claim_folder(path) / "owner"
    owner.write_text("token other-machine 1 1")
    assert try_claim(path, lease=60) is None
    os.utime(owner, (1, 1))
    got = []
    threads = [threading.Thread(target=lambda: got.append(try_claim(path, lease=60))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    new = [one for one in got if one]
    assert len(new) == 1
    assert not old.renew()
    old.release()
    assert new[0].is_valid()


def test_claim_of_a_dead_process_is_taken_over_at_once(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    child = os.fork() if hasattr(os, "fork") else 0
    if child == 0 and hasattr(os, "fork"):
        try_claim(path)
        os._exit(0)
    os.waitpid(child, 0)
    assert claim_folder(path).exists()
    assert try_claim(path, lease=3600) is not None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is POSIX")
def test_the_claim_of_a_process_that_died_after_its_work_is_removed(files: Files, tmp_path: Path) -> None:
    file, hashes = listing(files, tmp_path, count=2, size=100)
    first, second = hashes
    root = tmp_path / "cache"
    for path in hashes:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(files.content[path])
    child = os.fork()
    if child == 0:
        try_claim(root / first)
        os._exit(0)
    os.waitpid(child, 0)
    with claim(root / second):
        one = start(file, root)
        one.ready()
        assert one.statuses() == ["present", "present"]
        assert not claim_folder(root / first).exists()
        assert claim_folder(root / second).exists()
    assert files.requests == []


def test_claim_is_renewed_while_it_is_held(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    with claim(path, lease=0.2):
        owner = claim_folder(path) / "owner"
        before = owner.stat().st_mtime_ns
        while owner.stat().st_mtime_ns == before:
            time.sleep(0.01)
        assert try_claim(path, lease=0.2) is None


def test_a_claimant_uses_its_folders_again(tmp_path: Path) -> None:
    first, second = Claimant(tmp_path / ".claims"), Claimant(tmp_path / ".claims")
    for name in "abc":
        mine = first.try_claim(tmp_path / name)
        assert mine is not None
        assert second.try_claim(tmp_path / name) is None
        assert try_claim(tmp_path / name) is None
        first.release(mine)
        assert not claim_folder(tmp_path / name).exists()
        theirs = second.try_claim(tmp_path / name)
        assert theirs is not None
        second.release(theirs)
    assert len(list((tmp_path / ".claims").iterdir())) == 2
    first.close()
    second.close()
    assert list(tmp_path.iterdir()) == []


def test_a_claimant_takes_over_and_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "x"
    first, second = Claimant(tmp_path / ".claims"), Claimant(tmp_path / ".claims")
    mine = first.try_claim(path)
    assert mine is not None
    os.utime(claim_folder(path) / "owner", (1, 1))
    theirs = second.try_claim(path)
    assert theirs is not None
    assert not mine.renew()
    first.release(mine)
    assert theirs.is_valid()
    # A plain folder that another process changed is respected, too; a folder that was removed is made again.
    second.release(theirs)
    shutil.rmtree(tmp_path / ".claims")
    with claim(path):
        assert first.try_claim(path) is None
    assert second.try_claim(path) is not None
    with pytest.raises(FileNotFoundError):
        first.try_claim(tmp_path / "no such folder" / "x")


def test_long_names_can_be_claimed(tmp_path: Path) -> None:
    with claim(tmp_path / ("x" * 250)):
        assert len(list(tmp_path.iterdir())) == 1
    assert hashlib.sha256(b"x" * 250).hexdigest()[:32] in claim_folder(tmp_path / ("x" * 250)).name
