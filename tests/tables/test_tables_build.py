"""Tables built from a folder contain its sessions and datasets."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Iterator
from itertools import count, product
from pathlib import Path

import polars as pl
import pytest

from one_async.alf.match import resolve
from one_async.errors import InputError, TablesWarning
from one_async.tables import query
from one_async.tables.build import build_tables, make_parquet_db, remove_missing_datasets
from one_async.tables.catalogue import Catalogue
from one_async.tables.scan import find_sessions, walk
from tables_data import search

FILES = [
    "cortexlab/Subjects/KS005/2020-01-01/001/alf/spikes.times.npy",
    "cortexlab/Subjects/KS005/2020-01-01/001/alf/#2020-02-01#/spikes.times.npy",
    "cortexlab/Subjects/KS005/2020-01-01/001/_ibl_experiment.description.yaml",
    "cortexlab/Subjects/KS005/2020-01-01/001/notes.txt",
    "cortexlab/Subjects/ZM_1/2020-01-02/002/alf/spikes.times.npy",
    "cortexlab/Subjects/ZM_1/2020-01-03/001/empty of datasets.txt",
]
NAMESPACE = uuid.UUID(int=5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for name in FILES:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return root


def test_rows_and_ids_come_from_paths(folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    built = build_tables(
        folder, hash_files=True, namespace=NAMESPACE, progress=lambda done, total: seen.append((done, total))
    )
    eids = search(built)
    assert sorted(filter(None, query.session_paths(built, eids))) == sorted(
        {"/".join(f.split("/")[:5]) for f in FILES}
    )
    eid = str(uuid.uuid3(NAMESPACE, "cortexlab/KS005/2020-01-01/001"))
    rows = resolve(built.dataset_table.by_session([eid])[0])
    assert set(rows["rel_path"]) == {f.split("/", 5)[5] for f in FILES[:3]}
    times = rows.filter(rel_path="alf/spikes.times.npy").to_dicts()[0]
    assert times["hash"] == hashlib.md5(FILES[0].encode()).hexdigest()
    assert times["file_size"] == len(FILES[0])
    assert times["did"] == str(uuid.uuid3(NAMESPACE, "alf/spikes.times.npy"))
    assert seen == [(n, 4) for n in range(1, 5)]


def test_tables_are_written_and_open(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    files = make_parquet_db(folder, out, lab="cortexlab")
    assert [file.name for file in files] == ["sessions.pqt", "datasets.pqt"]
    opened = Catalogue.open(out)
    assert set(opened.dataset_table.frame()["hash"]) == {""}
    assert opened.meta.origin == {str(folder.resolve())}
    ids = [uuid.UUID(eid) for eid in search(opened)]
    assert {eid.version for eid in ids} == {3}


def test_ids_may_remain_paths(folder: Path) -> None:
    built = build_tables(folder, hash_ids=False)
    assert search(built, subject="KS") == ["cortexlab/KS005/2020-01-01/001"]
    assert query.search(built, subject="KS") == ["cortexlab/KS005/2020-01-01/001"]
    rows = built.dataset_table.by_session(["cortexlab/KS005/2020-01-01/001"])[0]
    assert rows["did"].to_list() == rows["rel_path"].to_list()
    assert "alf/spikes.times.npy" in rows["did"]


def test_a_lab_that_differs_from_the_folders_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="cortexlab"):
        build_tables(folder, lab="mainenlab")
    with pytest.raises(InputError, match="exists"):
        build_tables(folder / "nowhere")
    with pytest.raises(InputError, match="root_dir"):
        make_parquet_db(folder / "nowhere")
    with pytest.raises(InputError, match="out_dir"):
        make_parquet_db(folder, folder / "nowhere")


@pytest.mark.parametrize("day", ["2020-13-01", "2021-02-29", "0000-01-01", "2020-04-31"])
def test_a_folder_with_an_invalid_date_is_reported_and_only_it_is_omitted(folder: Path, day: str) -> None:
    usual = search(build_tables(folder, namespace=NAMESPACE))
    (folder / f"cortexlab/Subjects/KS005/{day}/001/alf").mkdir(parents=True)
    with pytest.warns(TablesWarning, match=day):
        built = build_tables(folder, namespace=NAMESPACE)
    assert search(built) == usual


def test_a_broken_link_is_reported_and_omitted(folder: Path) -> None:
    usual = build_tables(folder, namespace=NAMESPACE)
    link = folder / "cortexlab/Subjects/KS005/2020-01-01/001/alf/spikes.amps.npy"
    try:
        link.symlink_to(folder / "nowhere.npy")
    except OSError:
        pytest.skip("no links here")
    with pytest.warns(TablesWarning, match=r"spikes\.amps\.npy"):
        built = build_tables(folder, namespace=NAMESPACE)
    assert built.dataset_table.frame().equals(usual.dataset_table.frame())


def test_a_folder_removed_during_the_walk_is_not_reported_as_omitted(folder: Path) -> None:
    sessions = find_sessions(folder, lambda: None)
    claim = folder / ".tables.claim"  # as if another build ended meanwhile
    claim.mkdir()
    assert find_sessions(folder, lambda: claim.exists() and claim.rmdir()) == sessions


@pytest.mark.parametrize(
    "place", ["", "2020-01-01/001", "2020-01-01/001/alf", "2020-01-01/001/alf/spikes.times.npy"]
)
@pytest.mark.parametrize("is_renamed", [False, True])
def test_a_change_during_a_build_affects_no_other_session(
    tmp_path: Path, place: str, is_renamed: bool
) -> None:
    """Whatever another process removes or renames, at any moment: no warning, and the other sessions are complete."""
    for moment in count():
        root = tmp_path / str(moment)
        for subject, name in product("ABC", ("alf/spikes.times.npy", "alf/probe00/spikes.times.npy")):
            path = root / subject / "2020-01-01/001" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"1")
        target, checks = root / "B" / place, count()

        def check(target: Path = target, checks: Iterator[int] = checks, moment: int = moment) -> None:
            if next(checks) == moment:
                if is_renamed:
                    target.rename(target.with_name(f"{target.name}5"))
                elif target.is_dir():
                    shutil.rmtree(target)
                else:
                    target.unlink()

        make_parquet_db(root, hash_files=True, check=check)
        built = Catalogue.open(root)
        others = built.session_frame.filter(pl.col("subject").is_in(["A", "C"]))["eid"]
        rows = built.dataset_table.frame().filter(pl.col("eid").is_in(others.implode()))
        assert (len(others), rows["hash"].to_list()) == (2, [hashlib.md5(b"1").hexdigest()] * 4)
        if next(checks) <= moment:
            break


def test_a_session_that_is_renamed_during_a_build_is_not_left_out(tmp_path: Path) -> None:
    """The new folder has the identity of the one that was visited, and is no second name of it."""
    before, after = tmp_path / "A/2020-01-01/001", tmp_path / "B/2020-01-01"
    for folder in (before, after):
        folder.mkdir(parents=True)
    seen = []
    for visit in walk(str(tmp_path), None):
        seen.append(visit.path)
        if visit.path == str(before):
            before.rename(after / "001")
    assert str(after / "001") in seen


def test_a_folder_without_sessions_warns(tmp_path: Path) -> None:
    with pytest.warns(TablesWarning, match="no sessions|no datasets"):
        assert search(build_tables(tmp_path)) == []


def test_only_files_that_are_not_in_the_tables_are_removed(folder: Path) -> None:
    make_parquet_db(folder)
    known = folder / "cortexlab/Subjects/KS005/2020-01-01/001/alf"
    unknown = folder / "cortexlab/Subjects/new/2021-01-01/001"
    (unknown / "alf").mkdir(parents=True)
    doomed = [known / "extra.times.npy", unknown / "alf/spikes.times.npy"]
    for path in doomed:
        path.write_text("x")
    assert remove_missing_datasets(folder) == sorted([*doomed, unknown])
    assert all(path.exists() for path in doomed)
    remove_missing_datasets(folder, dry=False)
    assert not any(path.exists() for path in doomed)
    assert not (folder / "cortexlab/Subjects/new").exists()
    assert all((folder / name).exists() for name in FILES)
