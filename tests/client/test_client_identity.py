"""A name selects its own session, with any letters: tested with generated folders and worlds, and examples."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from one_async import ONE
from one_async.emulator import Emulator
from one_async.errors import ALFMultipleObjectsFound, ALFObjectNotFound, InputError, TablesWarning
from one_async.tables.build import build_tables, make_parquet_db
from one_async.tables.catalogue import Catalogue
from one_async.tables.disk import save_tables

from .identity import Place, check_tree, check_world, trees, worlds

# Tables of a folder do not record the default revision.
pytestmark = pytest.mark.filterwarnings("ignore:No default revision")


@given(trees)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_each_session_of_a_folder_is_found_and_loads_its_own_files(tree: dict[str, set[str]]) -> None:
    check_tree(tree)


@given(worlds)
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
def test_each_session_of_a_database_is_found_and_loads_its_own_files(places: set[Place]) -> None:
    check_world(places)


@pytest.mark.parametrize("subjects", [["1", "1 "], [" 1", "1"], ["1\u00a0"], [" (1)", "(1)", "[1"]])
def test_the_server_strips_a_subject_of_blanks(subjects: list[str]) -> None:
    check_world({Place("lab", subject, "2020-01-01", 1) for subject in subjects})


def test_names_that_look_escaped_are_texts_of_their_own() -> None:
    """Alyx escapes nothing in a data_url, so ``%41`` in it does not stand for A."""
    subjects = ("Mouse", "%91", "%41", "A", "A%20B", "A B", "100%")
    check_world({Place("Mouse", subject, "2020-01-01", 1) for subject in subjects})


# --- examples of each kind ---

Local = Callable[..., ONE]


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    """Write files that contain their own path to a folder, and return a client of its tables."""
    with ExitStack() as stack:

        def make(*files: str) -> ONE:
            for file in files:
                path = tmp_path / file
                path.parent.mkdir(parents=True, exist_ok=True)
                np.save(path, np.frombuffer(file.encode(), np.uint8))
            make_parquet_db(tmp_path)
            return stack.enter_context(ONE(cache_dir=tmp_path, mode="local"))

        yield make


def read(one: ONE, folder: str, file: str = "alf/spikes.times.npy") -> str:
    """Return the content of a session's file."""
    return bytes(one.load_dataset(one.cache_dir / folder, file)).decode()


SPIKES = "alf/spikes.times.npy"
DAY = "2020-01-01/001"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Mouse", "My Mouse"),
        ("12", "A#12"),
        ("GAD++", "GAD X GAD++"),
        ("1", "A 1"),
        ("x)", "(x)"),
        ("3", "マウス 3"),
        ("b.1", "a,b.1"),
    ],
)
def test_a_subject_is_not_taken_for_one_whose_name_ends_the_same(
    local: Local, first: str, second: str
) -> None:
    one = local(*(f"lab/Subjects/{name}/{DAY}/{SPIKES}" for name in (first, second)))
    assert len(set(one.search())) == 2
    for name in (first, second):
        folder = f"lab/Subjects/{name}/{DAY}"
        eid = one.path2eid(one.cache_dir / folder)
        assert one.eid2path(eid) == one.cache_dir / folder
        assert read(one, folder) == f"{folder}/{SPIKES}"
        assert one.eid2ref(eid)["subject"] == name
        assert one.ref2eid(one.eid2ref(eid, as_dict=False)) == eid


@pytest.mark.parametrize("labs", [("labA", "labB"), ("lab", "zador-lab"), ("1", "lab 1"), ("l.b", "a#l.b")])
def test_the_lab_in_a_path_decides(local: Local, labs: tuple[str, str]) -> None:
    one = local(*(f"{lab}/Subjects/S1/{DAY}/{SPIKES}" for lab in labs))
    for lab in labs:
        folder = f"{lab}/Subjects/S1/{DAY}"
        assert one.get_details(one.path2eid(folder))["lab"] == lab
        assert one.path2eid(f"https://data.example.org/{folder}/{SPIKES}") == one.path2eid(folder)
        assert read(one, folder) == f"{folder}/{SPIKES}"
    for unknown in ("labC", "other", f"x{labs[0]}", labs[0].upper() + "_"):
        assert one.path2eid(f"{unknown}/Subjects/S1/{DAY}") is None
        assert one.to_eid([f"{unknown}/Subjects/S1/{DAY}"] * 300) == [None] * 300
    for name in (f"S1/{DAY}", "2020-01-01_1_S1"):  # of any lab
        with pytest.raises(ALFMultipleObjectsFound) as caught:
            one.to_eid(name)
        assert all(str(eid) in str(caught.value) for eid in one.search())


@pytest.mark.parametrize(
    "numbers", [("1",), ("01",), ("1", "001"), ("01", "1"), ("2", "02", "002"), ("1000", "100")]
)
def test_a_session_is_in_the_folder_that_has_its_number(local: Local, numbers: tuple[str, ...]) -> None:
    folders = [f"lab/Subjects/S/2020-01-01/{number}" for number in numbers]
    one = local(*(f"{folder}/{SPIKES}" for folder in folders))
    eids = one.path2eid([one.cache_dir / folder for folder in folders])
    assert len(set(eids)) == len(numbers)
    assert one.eid2path(eids) == [one.cache_dir / folder for folder in folders]
    assert [read(one, folder) for folder in folders] == [f"{folder}/{SPIKES}" for folder in folders]


@pytest.mark.parametrize("number", ["1", "01"])
def test_tables_without_folders_find_the_number_as_it_is_spelled(local: Local, number: str) -> None:
    one = local(f"lab/Subjects/S/2020-01-01/{number}/{SPIKES}")
    tables = Catalogue.open(one.cache_dir)
    save_tables(tables.replace(sessions=tables.session_frame.drop("folder")), one.cache_dir, clobber=True)
    with ONE(cache_dir=one.cache_dir, mode="local") as other:
        (eid,) = other.search()
        assert (
            bytes(other.load_dataset(eid, SPIKES)).decode() == f"lab/Subjects/S/2020-01-01/{number}/{SPIKES}"
        )


@pytest.mark.parametrize(
    "folder",
    [
        f"lab/subjects/S/{DAY}",
        f"disk one/S/{DAY}",
        f"Subjects/S/{DAY}",
        f"a/b/lab/Subjects/S/{DAY}",
        f"2019-01-01/S/{DAY}",
    ],
)
def test_a_session_may_lie_anywhere_in_the_folder(local: Local, folder: str) -> None:
    one = local(f"{folder}/{SPIKES}", f"S/{DAY}/{SPIKES}")
    assert len(set(one.search())) == 2
    for each in (folder, f"S/{DAY}"):
        eid = one.path2eid(one.cache_dir / each)
        assert one.eid2path(eid) == one.cache_dir / each
        assert bytes(one.load_dataset(eid, SPIKES)).decode() == f"{each}/{SPIKES}"


def test_the_cache_folder_may_have_the_name_of_a_session(tmp_path: Path) -> None:
    root = tmp_path / "S" / "2019-01-01" / "001" / "copies"
    for subject in ("S", "T"):
        path = root / f"lab/Subjects/{subject}/{DAY}/{SPIKES}"
        path.parent.mkdir(parents=True)
        np.save(path, np.frombuffer(subject.encode(), np.uint8))
    make_parquet_db(root)
    with ONE(cache_dir=root, mode="local") as one:
        eids = one.search()
        assert one.path2eid(one.eid2path(eids)) == eids == one.to_eid(one.eid2path(eids))
        assert {bytes(one.load_dataset(eid, SPIKES)) for eid in eids} == {b"S", b"T"}


ID = "0a1b2c3d-1234-4abc-8def-001122334455"


@pytest.mark.parametrize(
    "name",
    [
        f"spikes.times.{ID}.npy",
        f"spikes.times.{ID.upper()}.npy",
        f"_ibl_trials.table.{ID}.pqt",
        f"a.b.{ID}.json",
    ],
)
def test_files_with_their_ids_in_their_names_are_loaded(local: Local, tmp_path: Path, name: str) -> None:
    folder = f"lab/Subjects/S/{DAY}"
    one = local(f"{folder}/{SPIKES}")
    (tmp_path / folder / "alf" / name).write_bytes(b"x")
    make_parquet_db(tmp_path)
    with ONE(cache_dir=tmp_path, mode="local") as other:
        (eid,) = other.search()
        assert set(other.list_datasets(eid)) == {SPIKES, f"alf/{name}"}
        found = other.load_dataset(eid, f"alf/{name}", download_only=True)
        assert found == other.load_dataset_from_id(ID, download_only=True) == tmp_path / folder / "alf" / name
        record = other.path2record(found)
        assert (record["did"], record["rel_path"]) == (ID, f"alf/{name}")
        assert other.record2path(record) == found
    assert read(one, folder) == f"{folder}/{SPIKES}"


def test_an_id_that_datasets_of_several_sessions_have_is_refused(local: Local) -> None:
    one = local(*(f"lab/Subjects/{name}/{DAY}/{SPIKES}" for name in "ST"))
    did = one.list_datasets(one.search()[0], details=True)["did"][0]
    with pytest.raises(ALFMultipleObjectsFound, match=did):
        one.load_dataset_from_id(did)


@pytest.mark.parametrize("depth", range(1, 6))
def test_tables_and_loads_follow_the_links_of_the_user(tmp_path: Path, depth: int) -> None:
    root, parts = tmp_path / "cache", ["lab", "Subjects", "S", "2020-01-01", "001", "alf"]
    out, link = tmp_path / "disk", root.joinpath(*parts[:depth])
    file = out.joinpath(*parts[depth:], "spikes.times.npy")
    file.parent.mkdir(parents=True)
    np.save(file, np.arange(3))
    link.parent.mkdir(parents=True)
    try:
        link.symlink_to(out, target_is_directory=True)
    except OSError:
        pytest.skip("no links here")
    (file.parent / "loop").symlink_to(link.parent, target_is_directory=True)
    make_parquet_db(root)
    with ONE(cache_dir=root, mode="local") as one:
        (eid,) = one.search()
        assert one.list_datasets(eid) == [SPIKES]
        assert one.load_dataset(eid, SPIKES).tolist() == [0, 1, 2]


@pytest.mark.parametrize("folder", ["lab/Subjects/A\\B/2020-01-01/001", "a\\lab/Subjects/S/2020-01-01/001"])
def test_a_folder_that_no_path_can_name_is_left_out_by_name(tmp_path: Path, folder: str) -> None:
    if os.name == "nt":
        pytest.skip("back slashes are separators here")
    (tmp_path / folder / "alf").mkdir(parents=True)
    other = tmp_path / f"lab/Subjects/B/{DAY}/{SPIKES}"
    other.parent.mkdir(parents=True)
    np.save(other, np.arange(3))
    with pytest.warns(TablesWarning, match=re.escape(repr(str(tmp_path / folder)))):
        built = build_tables(tmp_path)
    assert built.session_frame["subject"].to_list() == ["B"]
    with pytest.warns(TablesWarning):
        make_parquet_db(tmp_path)
    with ONE(cache_dir=tmp_path, mode="local") as one:
        assert one.path2eid(tmp_path / "lab/Subjects/A\\B/2020-01-01/001") is None


# --- records of the database's datasets, and long texts ---


@pytest.fixture
def remote(recorded_emulator: Emulator, tmp_path: Path) -> Iterator[ONE]:
    login = {"base_url": recorded_emulator.url, "username": "demo", "password": "demo"}
    with ONE(cache_dir=tmp_path, mode="remote", **login) as one:
        yield one


def some_record(one: ONE) -> dict[str, Any]:
    """Return a record of a dataset that can be downloaded."""
    for record in one.alyx.rest("datasets", "list", name="spikes.clusters.npy", exists=True):
        if record["hash"] and record["file_records"][0]["exists"] and record["session"]:
            return dict(record)
    raise AssertionError("the recorded world has such a dataset")


def test_records_of_datasets_are_understood(remote: ONE) -> None:
    record = some_record(remote)
    did, eid, copy = record["url"][-36:], UUID(record["session"][-36:]), record["file_records"][0]
    path = remote.cache_dir / copy["data_repository_path"].strip("/") / copy["relative_path"]
    assert remote.to_eid(record) == eid
    assert remote.record2path(record) == path
    assert remote.record2path([record, record]) == [path, path]
    assert remote.record2url(record) == copy["data_url"]
    table = remote.download(record)
    assert table.select("did", "eid", "path").row(0) == (did, str(eid), str(path))
    assert remote.load_dataset_from_id(record, download_only=True) == path
    assert remote.load_dataset(eid, record, download_only=True) == path
    files, rows = remote.load_datasets(eid, [record], download_only=True)
    assert files == [path]
    assert rows[0]["did"] == did
    assert remote.download([record, record])["status"].to_list() == ["present"] * 2


def test_records_of_datasets_are_not_taken_for_others(remote: ONE) -> None:
    record = some_record(remote)
    others = [eid for eid in remote.search() if str(eid) != record["session"][-36:]]
    with pytest.raises(ALFObjectNotFound, match=re.escape(record["name"])):
        remote.load_dataset(others[0], record)
    with pytest.raises(InputError, match="id="):
        remote.to_eid({**record, "session": None})
    with pytest.raises(InputError, match="filters"):
        remote.download([record], "spikes*")
    with pytest.raises(InputError, match="filters"):
        remote.download([record, others[0]])


def test_a_record_of_an_insertion_names_its_session(remote: ONE) -> None:
    insertion = remote.alyx.rest("insertions", "list")[0]
    assert remote.to_eid(insertion) == UUID(insertion["session"])


def test_long_texts_are_refused_in_linear_time(local: Local) -> None:
    one = local(f"S/{DAY}/{SPIKES}")  # a quadratic pattern would take minutes for each of these
    for text in ("x" * 2_000_000, "x." * 1_000_000, "/x" * 1_000_000, "2020-01-01_" * 100_000):
        with pytest.raises(InputError):
            one.to_eid(text)
        with pytest.raises(InputError):
            one.search_insertions(session=text)
        assert one.path2eid(text) is None
    assert one.path2eid("x//2020-01-01/001" * 50_000) is None
