"""File system errors are errors of the library that name the file, with the system's error as their cause."""

from __future__ import annotations

import errno
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from one_async import ONE
from one_async.emulator import Emulator
from one_async.errors import OneError, TablesNotFound
from one_async.tables.build import make_parquet_db

pytestmark = pytest.mark.filterwarnings("ignore:No default revision")

CALLS: dict[str, Callable[[ONE, Path], Any]] = {
    "freeze": lambda one, place: one.freeze(one.search(), place / "frozen.json"),
    "save_cache": lambda one, place: one.save_cache(place / "tables", clobber=True),
    "load_cache": lambda one, place: one.load_cache(place / "tables"),
    "from_frozen": lambda one, place: ONE.from_frozen(place / "frozen.json"),
}


@pytest.fixture
def one(tmp_path: Path) -> Iterator[ONE]:
    session = tmp_path / "data/lab/Subjects/mouse/2024-05-06/001/alf"
    session.mkdir(parents=True)
    np.save(session / "trials.choice.npy", np.arange(3))
    make_parquet_db(tmp_path / "data")
    with ONE(cache_dir=tmp_path / "data", mode="local") as one:
        yield one


def check(error: OneError, place: Path) -> None:
    assert str(place) in str(error) or str(place) in str(getattr(error, "path", ""))
    assert len(str(error)) < 500
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", ["file", "loop", "long"])
def test_impossible_paths_raise_errors_that_name_them(one: ONE, tmp_path: Path, call: str, kind: str) -> None:
    place = tmp_path / ("x" * 300 if kind == "long" else "place")
    if kind == "file":
        place.write_bytes(b"")
    elif kind == "loop":
        place.symlink_to(place)
    with pytest.raises(OneError) as caught:
        CALLS[call](one, place)
    cause = caught.value.__cause__ or caught.value.__context__
    assert isinstance(cause, OSError | RuntimeError) or isinstance(caught.value, TablesNotFound)
    check(caught.value, place)


FULL_DISK = """
import pickle, resource, signal, sys
from one_async import ONE
from one_async.errors import StorageError

one = ONE(cache_dir=sys.argv[1], mode="local")
eids = one.search()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))  # as on a disk that has no more room
try:
    one.freeze(eids, sys.argv[2])
except StorageError as error:
    sys.stdout.buffer.write(pickle.dumps(error))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file sizes are of Unix")
def test_a_full_disk_raises_a_storage_error(one: ONE, tmp_path: Path) -> None:
    target = tmp_path / "frozen.json"
    command = [sys.executable, "-c", FULL_DISK, str(one.cache_dir), str(target)]
    done = subprocess.run(command, check=True, capture_output=True)
    error = pickle.loads(done.stdout)
    assert error.errno == errno.EFBIG
    assert str(target) in str(error)
    assert not [path for path in tmp_path.iterdir() if "frozen" in path.name]


def test_a_harvest_to_an_unusable_location_is_refused(recorded_emulator: Emulator, tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_bytes(b"")
    with (
        ONE(
            base_url=recorded_emulator.url,
            username="demo",
            password="demo",
            cache_dir=tmp_path / "c",
            mode="remote",
        ) as one,
        pytest.raises(OneError) as caught,
    ):
        one.harvest(["labs"], place / "metadata")
    check(caught.value, place)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit of open files")
def test_too_many_open_files_raise_storage_errors(one: ONE, tmp_path: Path) -> None:
    code = """
import resource, sys
from one_async import ONE
from one_async.errors import OneError
one = ONE(cache_dir=sys.argv[1], mode="local")
eid, = one.search()
one.load_object(eid, "trials")
held = []
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
try:
    while True:
        held.append(open(sys.argv[1]+"/lab/Subjects/mouse/2024-05-06/001/alf/trials.choice.npy"))
except OSError:
    pass
for call in (lambda: one.load_object(eid, "trials"), lambda: one.load_dataset(eid, "trials.choice.npy"),
             lambda: one.freeze([eid], sys.argv[1] + "/frozen.json"), lambda: one.load_collection(eid, "alf"),
             lambda: ONE(cache_dir=sys.argv[1], mode="local").search()):
    try:
        call()
        print("answered")
    except OneError as error:
        print(type(error).__name__, error)
"""
    answer = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "data"], capture_output=True, text=True, timeout=120
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    assert "StorageError" in answer.stdout
