"""The journal of a session: written atomically, keeps hashes, and records moved protected files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.faces import Face
from one_async.emulator import Emulator
from one_async.errors import RegistrationError, ServerUnreachable
from one_async.registration.journal import NAME, Journal
from one_async.registration.local import local_file, read_sizes, session_folder_of

from . import folders
from .folders import NAMES, session, write, written


def test_hashes_are_kept_while_files_are_unchanged(tmp_path: Path) -> None:
    folder = session_folder_of(session(tmp_path))
    files = [local_file(folder.path / name, folder) for name in NAMES]
    read_sizes(files)
    fresh = Journal.load(folder.path)
    fresh.record_hash(files[0])
    assert fresh.hashes == {}  # a change within the resolution of the clock would not be seen
    for file in files:
        os.utime(file.path, (1_000_000, 1_000_000))
    journal = Journal.load(folder.path)
    for file in files:
        file.hash = folders.md5(file.path)
        journal.record_hash(file)
    assert journal.save()
    again = Journal.load(folder.path)
    assert [again.known_hash(file) for file in files] == [file.hash for file in files]
    write(files[0].path, "other")
    os.utime(files[1].path, (1, 1))
    assert [again.known_hash(file) for file in files[:2]] == [None, None]
    assert [path.name for path in folder.path.iterdir() if "one_async" in path.name] == [NAME]
    journal.remove()
    assert not (folder.path / NAME).exists()


KEYS = ["version", "hashes", "moved", "a"]
CONTENT = st.one_of(
    st.binary(max_size=60),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    ).map(lambda value: json.dumps(value).encode()),
    st.sampled_from([{"alf/a.b.npy": "../x"}, {"alf/a.b.npy": "/etc/x"}, {"a": 5}]).map(
        lambda moved: json.dumps({"version": 1, "hashes": {}, "moved": moved}).encode()
    ),
)  # fmt: skip


@given(CONTENT)
def test_an_unreadable_journal_counts_as_absent(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("session")
    (folder / NAME).write_bytes(content)
    found = Journal.load(folder)
    assert all(len(one) == 3 for one in found.hashes.values())
    assert not any(Path(new).is_absolute() or ".." in new for new in found.moved.values())


def test_a_folder_that_cannot_be_written_is_registered(one: Face, server: Emulator, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "absent")
    assert not journal.save()
    folder = session(tmp_path)
    folder.chmod(0o500)
    try:
        _, records = one.ask("register_session", folder)
    finally:
        folder.chmod(0o700)
    assert len(records) == len(NAMES)


def test_a_protected_file_moved_before_a_failure_is_registered_later(
    one: Face, server: Emulator, tmp_path: Path
) -> None:
    folder = session(tmp_path, subject="KS014", date="2019-12-04", names=["alf/_ibl_wheel.position.npy"])
    path = folder / "alf/_ibl_wheel.position.npy"
    server.faults.add("/register-file", method="POST", times=None, drop=True, before=True)
    with pytest.raises((RegistrationError, ServerUnreachable)):
        one.ask("register_files", path)
    assert not path.exists()
    server.faults.clear()
    record = one.ask("register_files", path)  # its old path
    assert record["revision"]
    assert (
        len([row for row in folders.rows(server, "datasets") if row["revision"] == record["revision"]]) == 1
    )
    assert not (folder / NAME).exists()


KILLED = """
import os, sys, threading
from one_async import ONE
url, home, *paths = sys.argv[1:]
with ONE(base_url=url, username="alice", password="alice", cache_dir=home, silent=True) as one:
    one.register_session(paths)
"""


@pytest.mark.parametrize("at", ["/sessions", "/register-file"])
@pytest.mark.parametrize("before", [True, False])
def test_registration_continues_after_a_kill(server: Emulator, tmp_path: Path, at: str, before: bool) -> None:
    """The process is killed while the server handles a write; the next process continues."""
    paths = [session(tmp_path, number=f"00{n}") for n in (1, 2, 3)]
    command = [sys.executable, "-c", KILLED, server.url, str(tmp_path / "c"), *map(str, paths)]
    process: dict[str, Any] = {}

    def kill() -> None:
        process["it"].kill()
        process["it"].wait()

    server.faults.add(at, method="POST", skip=1, call=kill, before=before)
    process["it"] = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    assert process["it"].wait(60) != 0
    server.faults.clear()
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    made = [row for row in folders.rows(server, "sessions") if row["start_time"][:10] == folders.DATE]
    assert sorted(row["number"] for row in made) == [1, 2, 3]
    for row in made:
        datasets = [one["name"] for one in folders.rows(server, "datasets") if one["session"] == row["id"]]
        assert sorted(datasets) == sorted(Path(name).name for name in NAMES)
    left = [path.name for path in tmp_path.rglob("*") if "one_async" in path.name]
    assert left == []
    assert "POST /sessions" in written(server)
