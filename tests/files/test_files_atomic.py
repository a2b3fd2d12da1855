"""Files are written whole or not at all, and the next write removes the temporary files of killed writers."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import pytest

from one_async.alf.path import ALFPath
from one_async.files.atomic import sweep_temporary, write_whole
from one_async.files.claim import is_running, owner_of

sys.path.append(str(Path(__file__).parents[2]))

from tests.files.write_kills import WRITERS, kill_and_write_again, temporary_files

#: A script that begins to write a file, prints a line, and waits.
BEGIN = """
import sys, pathlib
from one_async.files.atomic import write_whole
def write(file):
    file.write(b"half")
    file.flush()
    print("writes", flush=True)
    sys.stdin.readline()
write_whole(pathlib.Path(sys.argv[1]), write)
"""
HALF = "12345678"
ELSEWHERE = f"{HALF}-{'0' * 16}-1-1"


def begin(path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BEGIN, str(path)]
    writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writes\n"
    return writer


@pytest.mark.parametrize("name", ["x.npy", "." + "x" * 254, "a b#[1] +.csv", "line\nbreak", "ä" * 127])
def test_temporary_files_of_killed_writers_are_removed_and_those_of_running_ones_kept(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(b"old")
    with begin(path) as dead, begin(path) as living:
        dead.kill()
        dead.wait()
        assert len(temporary_files(tmp_path)) == 2
        write_whole(path, lambda file: file.write(b"new"))
        assert len(temporary_files(tmp_path)) == 1
        assert path.read_bytes() == b"new"
        living.communicate("\n")
    assert path.read_bytes() == b"half"
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_a_zombie_process_counts_as_dead(tmp_path: Path) -> None:
    with begin(tmp_path / "x") as writer:
        writer.kill()
        os.waitid(os.P_PID, writer.pid, os.WEXITED | os.WNOWAIT)
        sweep_temporary(tmp_path)
        assert temporary_files(tmp_path) == []


@pytest.mark.parametrize(
    ("age", "stays"), [(0, True), (1800, True), (4000, False), (-1800, True), (-4000, False)]
)
def test_files_of_other_machines_are_judged_by_their_age(tmp_path: Path, age: float, stays: bool) -> None:
    path = tmp_path / f".x.npy.{ELSEWHERE}.tmp"
    path.touch()
    os.utime(path, (time.time() - age,) * 2)
    sweep_temporary(tmp_path)
    assert path.exists() is stays


def test_an_old_file_of_a_running_process_stays(tmp_path: Path) -> None:
    path = tmp_path / f".x.npy.{owner_of(HALF, '-')}.tmp"
    path.touch()
    os.utime(path, (0, 0))
    sweep_temporary(tmp_path)
    assert path.exists()


def test_a_process_id_that_is_used_again_is_not_the_writer() -> None:
    token, machine, pid, started = owner_of(HALF).split(" ")
    assert is_running(f"{token} {machine} {pid} {started}") is True
    assert is_running(f"{token} {machine} {pid} {int(started) - 1}") is False
    assert is_running(f"{token} {machine} {10**30} {started}") is None
    assert is_running(f"{token} other {pid} {started}") is None


@pytest.mark.parametrize(
    "name", ["x.tmp", ".x.tmp", ".x.npy.12345678.tmp", f".{ELSEWHERE}.tmp", f"x.{ELSEWHERE}.tmp"]
)
def test_files_of_others_stay(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    os.utime(tmp_path / name, (0, 0))
    write_whole(tmp_path / "y", lambda file: file.write(b"y"))
    assert (tmp_path / name).exists()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_an_error_leaves_the_old_file_alone(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")

    def fail(file: IO[bytes]) -> None:
        file.write(b"half")
        raise error

    with pytest.raises(error):
        write_whole(path, fail)
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {"x": b"old"}


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o640])
def test_the_mode_holds_before_anything_is_written(tmp_path: Path, mode: int) -> None:
    modes = []

    def look(file: IO[bytes]) -> None:
        modes.append(stat.S_IMODE(os.fstat(file.fileno()).st_mode))

    write_whole(tmp_path / "x", look, mode=mode)
    assert [*modes, stat.S_IMODE((tmp_path / "x").stat().st_mode)] == [mode, mode]


def test_a_temporary_file_is_no_dataset(tmp_path: Path) -> None:
    assert not ALFPath(tmp_path / f".spikes.times.npy.{ELSEWHERE}.tmp").is_dataset()


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("name", WRITERS)
def test_a_writer_killed_at_a_random_point_leaves_no_partial_file(name: str, tmp_path: Path) -> None:
    """The long form is `tests/faults/test_write_kills.py`."""
    kill_and_write_again(name, tmp_path, kills=2, seed=1)
