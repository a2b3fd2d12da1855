"""The scan of a session finds its datasets with their sizes and times, as the folder itself has them."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from one_async.errors import OneError, TablesWarning
from one_async.tables import scan
from one_async.tables.build import make_parquet_db
from one_async.tables.scan import scan_session

SESSION = "lab/Subjects/A/2020-01-01/001"
NAMES = ["spikes.times.npy", "spikes.amps.npy", "_ibl_trials.table.pqt", "notes.txt", "README"]
FOLDERS = ["", "alf", "alf/probe00", "alf/probe00/#2024-01-01#", "raw_video_data"]
places = st.builds(
    lambda folder, name: f"{folder}/{name}".removeprefix("/"),
    st.sampled_from(FOLDERS),
    st.sampled_from(NAMES),
)
entries = st.lists(
    st.one_of(
        st.tuples(st.just("file"), places, st.integers(0, 50)),
        st.tuples(st.just("link to file"), places, st.integers(0, 50)),
        st.tuples(st.just("link to nothing"), places, st.just(0)),
        st.tuples(st.just("link to folder"), st.sampled_from(["alf/linked", "linked"]), st.integers(0, 50)),
        st.tuples(st.just("link to parent"), st.sampled_from(["alf/up", "up"]), st.just(0)),
    ),
    max_size=12,
)


@pytest.fixture(params=["by descriptor", "by path"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The two ways to read a folder; the second is that of Windows."""
    if request.param == "by path":
        monkeypatch.setattr(scan, "_BY_DESCRIPTOR", False)
    elif os.scandir not in os.supports_fd:
        pytest.skip("folders are not read by descriptor here")
    return str(request.param)


def make(session: Path, outside: Path, kind: str, place: str, size: int) -> None:
    """Make an entry of a session, unless there is one of that name; targets of links are outside."""
    path = session / place
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or path.exists():
        return
    target = outside / f"{len(list(outside.iterdir()))}"
    if kind == "file":
        path.write_bytes(b"x" * size)
    elif kind == "link to file":
        target.write_bytes(b"x" * size)
        path.symlink_to(target)
    elif kind == "link to folder":
        target.mkdir()
        (target / "clusters.depths.npy").write_bytes(b"x" * size)
        path.symlink_to(target, target_is_directory=True)
    else:
        path.symlink_to(outside / "nothing" if kind == "link to nothing" else path.parent)


def on_disk(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Return the size and times of each file with an ALF name, in linked folders too, but not in links to parents."""
    found = {}
    for entry in folder.rglob("*.*.*"):
        if entry.is_file():
            seen = entry.stat()
            found[entry.relative_to(folder).as_posix()] = (seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
    for entry in folder.rglob("linked"):
        found |= {
            f"{entry.relative_to(folder).as_posix()}/{name}": row
            for name, row in on_disk(entry.resolve()).items()
        }
    return found


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(given_entries=entries)
def test_a_scan_agrees_with_the_folder(way: str, given_entries: list[tuple[str, str, int]]) -> None:
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore", TablesWarning)
        session, outside = Path(name).resolve() / SESSION, Path(name).resolve() / "outside"
        session.mkdir(parents=True)
        outside.mkdir()
        try:
            for kind, place, size in given_entries:
                make(session, outside, kind, place, size)
        except OSError:
            pytest.skip("no links here")
        before = open_descriptors()
        found = scan_session(str(session))
        assert open_descriptors() == before
        rows = [(one.st_size, one.st_mtime_ns, one.st_ctime_ns) for one in found.stats]
        assert dict(zip(found.paths, rows, strict=True)) == on_disk(session)
        assert found.paths == sorted(found.paths)
        links = any(path.is_symlink() for path in session.rglob("*"))
        assert found.is_plain is not links
        assert found.folders.items() >= {
            (path.relative_to(session).as_posix().removeprefix("."), path.stat().st_mtime_ns)
            for path in (session, *session.rglob("*"))
            if path.is_dir() and not path.is_symlink()
        }


def open_descriptors() -> int | None:
    """Return the number of open files of this process, where the system tells."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else None


@pytest.mark.parametrize("hashed", [False, True])
@pytest.mark.parametrize(
    "kind", ["file", "file in a collection", "link to a file", "file in a linked folder"]
)
def test_a_file_that_is_rewritten_in_place_is_found(
    tmp_path: Path, way: str, kind: str, hashed: bool
) -> None:
    root, outside = tmp_path / "data", tmp_path / "outside"
    session = root / SESSION
    place = session / ("alf/probe00" if "collection" in kind else "") / "spikes.times.npy"
    file = place
    (session / "alf/probe00").mkdir(parents=True)
    outside.mkdir()
    try:
        if kind == "link to a file":
            file = outside / "target"
            place.symlink_to(file)
        elif kind == "file in a linked folder":
            file = outside / place.name
            (session / "linked").symlink_to(outside, target_is_directory=True)
    except OSError:
        pytest.skip("no links here")
    file.write_bytes(b"x")
    (session / "alf/spikes.amps.npy").write_bytes(b"y")
    make_parquet_db(root, hash_files=hashed)
    folders = {
        path: path.stat().st_mtime_ns for path in (outside, session, *session.rglob("*")) if path.is_dir()
    }
    with file.open("r+b") as stream:  # of the same size: a hash alone shows it
        stream.write(b"z" if hashed else b"zz")
    assert folders == {path: path.stat().st_mtime_ns for path in folders}
    report = make_parquet_db(root, hash_files=hashed)
    assert (
        report.datasets.new,
        report.datasets.gone,
        report.datasets.changed,
        report.datasets.unchanged,
    ) == (0, 0, 1, 1)
    sizes = pl.read_parquet(root / "datasets.pqt")["file_size"].to_list()
    assert sorted(sizes) == ([1, 1] if hashed else [1, 2])


def fail_at(monkeypatch: pytest.MonkeyPatch, name: str, error: int) -> None:
    """Make the system refuse to open folders of a name, as it does for a user without permission."""

    def refusing(real: Callable[..., Any]) -> Callable[..., Any]:
        def refuse(path: Any, *more: Any) -> Any:
            if not isinstance(path, int) and Path(path).name == name:
                raise OSError(error, os.strerror(error), str(path))
            return real(path, *more)

        return refuse

    for call in ("open", "scandir"):
        monkeypatch.setattr(os, call, refusing(getattr(os, call)))


@pytest.mark.parametrize("error", [errno.EACCES, errno.EIO])
@pytest.mark.parametrize("folder", ["alf", "probe00", "001"])
def test_a_quick_build_looks_again_into_a_folder_that_could_not_be_read(
    tmp_path: Path, way: str, folder: str, error: int
) -> None:
    session = tmp_path / SESSION
    (session / "alf/probe00").mkdir(parents=True)
    names = ["trials.table.pqt", "alf/trials.table.pqt", "alf/probe00/spikes.times.npy"]
    for name in names:
        (session / name).write_bytes(b"x")
    for path in (session, *session.rglob("*")):  # long ago, as a folder that is skipped must be
        os.utime(path, (1e9, 1e9))
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fail_at(patch, folder, error)
        make_parquet_db(tmp_path)
    assert any(os.strerror(error) in str(warning.message) for warning in caught)
    make_parquet_db(tmp_path, quick=True)
    assert sorted(pl.read_parquet(tmp_path / "datasets.pqt")["rel_path"]) == sorted(names)


@pytest.mark.parametrize(
    ("folder", "error"),
    [
        ("A", errno.EMFILE),
        ("alf", errno.ENFILE),
        ("alf", errno.ENOMEM),
        ("data", errno.EACCES),
        ("data", errno.EIO),
        ("data", errno.ENOENT),
    ],
)
def test_tables_stay_if_a_shortage_hides_folders_or_the_root_cannot_be_read(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch, folder: str, error: int
) -> None:
    root = tmp_path / "data"
    (root / SESSION / "alf").mkdir(parents=True)
    (root / SESSION / "alf/spikes.times.npy").write_bytes(b"x")
    make_parquet_db(root)
    before = (root / "datasets.pqt").read_bytes()
    fail_at(monkeypatch, folder, error)
    with pytest.raises(OneError, match=os.strerror(error)):
        make_parquet_db(root)
    monkeypatch.undo()
    assert (root / "datasets.pqt").read_bytes() == before


@pytest.mark.parametrize("kind", ["pipe", "link to a pipe", "socket"])
def test_only_regular_files_are_datasets(tmp_path: Path, way: str, kind: str) -> None:
    """To hash a named pipe would take forever."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    session = tmp_path / SESSION
    session.mkdir(parents=True)
    (session / "spikes.amps.npy").write_bytes(b"x")
    place = session / "spikes.times.npy"
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "socket":
        os.mknod(place, 0o600 | stat.S_IFSOCK)
    else:
        os.mkfifo(tmp_path / "pipe")
        place.symlink_to(tmp_path / "pipe")
    with pytest.warns(TablesWarning, match="not a regular file"):
        make_parquet_db(tmp_path, hash_files=True)
    assert pl.read_parquet(tmp_path / "datasets.pqt")["rel_path"].to_list() == ["spikes.amps.npy"]
