"""Tables that a colleague opens: on a read-only share, and under another path."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from one_async.tables import mmap_cache
from one_async.tables.build import make_parquet_db

from .faces import KINDS, opened

SESSIONS = ("lab/Subjects/A/2020-01-01/001", "lab/Subjects/B/2020-01-02/002", "C/2020-01-03/1")


def fill(root: Path) -> None:
    for number, session in enumerate(SESSIONS):
        folder = root / session / "alf"
        folder.mkdir(parents=True)
        np.save(folder / "spikes.times.npy", np.arange(number + 3.0))
        np.save(folder / "spikes.clusters.npy", np.full(number + 3, number))
    make_parquet_db(root, hash_files=True)


def listing(root: Path) -> list[tuple[str, int, int]]:
    found = ((path, path.stat()) for path in (root, *root.rglob("*")))
    return sorted((str(path), stat.st_mtime_ns, stat.st_size) for path, stat in found)


@pytest.fixture
def protected(tmp_path: Path) -> Iterator[Path]:
    """Make a read-only folder."""
    root = tmp_path / "share"
    fill(root)
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    yield root
    for folder in folders:
        folder.chmod(0o755)


@pytest.mark.skipif(os.name == "nt", reason="folders have no such mode there")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_large", [False, True])
def test_nothing_is_written_to_a_read_only_share(
    protected: Path, kind: str, is_large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_large:  # tables of any size are then converted if the folder can be written
        monkeypatch.setattr(mmap_cache, "MIN_ROWS", 0)
    before = listing(protected)
    with opened(kind, cache_dir=protected, mode="local") as one, warnings.catch_warnings():
        warnings.simplefilter("error")
        eids = one.ask("search")
        assert len(eids) == 3
        assert sorted(len(one.ask("load_object", eid, "spikes")["times"]) for eid in eids) == [3, 4, 5]
        one.ask("refresh_cache", "refresh")
        assert one.ask("save_cache") == protected  # no rows were learned
    assert listing(protected) == before


@pytest.mark.parametrize("is_large", [False, True])
def test_tables_open_from_another_path(
    tmp_path: Path, is_large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_large:
        monkeypatch.setattr(mmap_cache, "MIN_ROWS", 0)
    here, there = tmp_path / "here", tmp_path / "elsewhere" / "data"
    fill(here)
    found = []
    for root in (here, there):
        with opened("blocking", cache_dir=root, mode="local") as one:
            eids = one.ask("search")
            paths = [one.ask("eid2path", eid).relative_to(root).as_posix() for eid in eids]
            loaded = [one.ask("load_dataset", eid, "spikes.times.npy").tolist() for eid in eids]
            found.append((eids, paths, loaded, sorted(one.ask("list_datasets", eids[0]))))
        if root == here:
            shutil.copytree(here, there)
            shutil.rmtree(here)  # nothing can be downloaded
    assert found[0] == found[1]
    assert sorted(found[0][1]) == sorted(SESSIONS)
