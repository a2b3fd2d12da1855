"""`One` and `OneAlyx`, for scripts that name ONE-api's classes."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from one_async.api import ONE, One, OneAlyx
from one_async.emulator import Emulator
from one_async.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "lab_a/Subjects/S1/2024-01-02/001/alf/trials.intervals.npy"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    return tmp_path / "data"


def test_one_opens_a_folder(folder: Path) -> None:
    one = One.setup(folder)
    assert (one.mode, one.offline, one.cache_dir) == ("local", True, folder)
    assert One(folder, "local", False).wildcards is False
    assert len(one.search(subject="S1")) == 1
    assert pickle.loads(pickle.dumps(one)).search() == one.search()
    with pytest.raises(InputError, match="cache_dir"):
        One.setup()


def test_one_alyx_opens_a_database(recorded_emulator: Emulator) -> None:
    recorded_emulator.start()
    one = OneAlyx("alice", "alice", recorded_emulator.url)
    assert len(one.search(subject="KS014")) == len(
        ONE(base_url=one.alyx.base_url, username="alice").search(subject="KS014")
    )
    again = OneAlyx.setup(recorded_emulator.url, username="alice", make_default=True)
    assert again.alyx.user == "alice"
    assert OneAlyx().alyx.base_url == recorded_emulator.url


def test_isinstance_distinguishes_one_and_one_alyx(recorded_emulator: Emulator, folder: Path) -> None:
    online, offline = ONE(base_url=recorded_emulator.url), One(folder)
    assert isinstance(online, OneAlyx)
    assert isinstance(online, One)
    assert isinstance(offline, One)
    assert not isinstance(offline, OneAlyx)
    assert not isinstance("one", One)
