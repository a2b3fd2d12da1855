from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from one_async.files.claim import claim, try_claim
from one_async.refresh.swap import WORK, open_tables
from one_async.tables import mmap_cache
from one_async.tables.disk import save_tables
from tables_data import make_catalogue

MARK, HEX = "a" * 32, "b" * 32
HOLD = "import sys, pathlib, one_async.files.claim as c; c.try_claim(pathlib.Path(sys.argv[1])); print(); input()"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_tables(make_catalogue(30), tmp_path, clobber=True)
    (tmp_path / mmap_cache.FOLDER).mkdir(exist_ok=True)
    (tmp_path / WORK).mkdir()
    return tmp_path


@pytest.fixture
def dead(folder: Path) -> None:
    """Write the claims of a killed process."""
    for path in claimed(folder):
        with subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as owner:
            assert owner.stdout is not None
            owner.stdout.readline()
            owner.send_signal(signal.SIGKILL)


def claimed(folder: Path) -> list[Path]:
    return [
        folder / "tables",
        folder / mmap_cache.FOLDER / MARK,
        folder / WORK / "download",
    ]


def leave(folder: Path) -> list[Path]:
    """Write the temporary files of each kind of writer."""
    files = [folder / f".sessions.{HEX}.tmp", folder / f"..one_async_install.{HEX}.tmp"]
    folders = [folder / mmap_cache.FOLDER / f"tmp-{MARK}-{HEX}", folder / WORK / f"new-{HEX}"]
    for path in files:
        path.write_text("half")
    for path in folders:
        path.mkdir()
        (path / "sessions.arrow").write_text("half")
    return files + folders


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_opening_removes_temporary_files_of_killed_processes(folder: Path, dead: None) -> None:
    left = leave(folder)
    assert len([name for name in names(folder) if name.endswith(".claim")]) == 3
    open_tables(folder)
    assert not any(path.exists() for path in left)
    assert names(folder) == {"sessions.pqt", "datasets.pqt", mmap_cache.FOLDER, WORK}


def test_opening_keeps_temporary_files_of_running_processes(folder: Path) -> None:
    left = leave(folder)
    claims = [try_claim(path) for path in claimed(folder)]
    open_tables(folder)
    assert all(path.exists() for path in left)
    assert all(one is not None and one.is_valid() for one in claims)


def test_a_resumable_download_is_kept(folder: Path, dead: None) -> None:
    part = folder / WORK / "x.zip.part"
    part.write_text("half")
    open_tables(folder)
    assert part.exists()


def test_saving_removes_temporary_files_of_a_killed_save(folder: Path, dead: None) -> None:
    files = leave(folder)[:2]
    save_tables(make_catalogue(30, seed=3), folder, clobber=True)
    assert not any(path.exists() for path in files)


def test_tables_waiting_to_be_renamed_are_kept(folder: Path) -> None:
    waiting = folder / f".sessions.{HEX}.tmp"
    (folder / "sessions.pqt").rename(waiting)
    (folder / f".one_async_install.{HEX}").write_text(f'{{"sessions.pqt": "{waiting.name}"}}')
    assert len(open_tables(folder)[0].session_frame) == 30
    assert (folder / "sessions.pqt").exists()


def test_an_abandoned_takeover_is_removed(folder: Path) -> None:
    old, young = folder / f".x.claim.{HEX}", folder / f".y.claim.{HEX}"
    old.mkdir()
    young.mkdir()
    os.utime(old, (0, 0))
    open_tables(folder)
    assert (old.exists(), young.exists()) == (False, True)


def test_a_folder_that_cannot_be_written_is_opened(folder: Path) -> None:
    left = leave(folder)
    folder.chmod(0o500)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write anywhere; .ci/run drops that right")
    try:
        open_tables(folder)
        assert left[0].exists()
    finally:
        folder.chmod(0o700)


def test_a_claim_of_a_new_conversion_is_kept(folder: Path) -> None:
    with claim(folder / mmap_cache.FOLDER / MARK) as mine:
        open_tables(folder)
        assert mine.is_valid()
