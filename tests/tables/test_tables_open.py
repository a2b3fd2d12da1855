"""Tables of every format open; damaged ones raise errors; the memory-mapped form may disappear at any time."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import struct
from pathlib import Path
from uuid import UUID

import polars as pl
import pytest

from one_async.errors import TablesDamaged, TablesNotFound, TablesWarning
from one_async.tables import listing, mmap_cache
from one_async.tables.catalogue import Catalogue
from one_async.tables.columns import decode, encode
from one_async.tables.disk import save_tables, write_table
from one_async.tables.schema import QC_LEVELS, read_table
from tables_data import datasets_frame, make_catalogue, search, sessions_frame

META = {"one_metadata": json.dumps({"date_created": "2021-05-13 20:38", "origin": "here"})}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_tables(make_catalogue(), tmp_path, clobber=True)
    return tmp_path


def same(left: Catalogue, right: Catalogue) -> bool:
    return left.session_frame.equals(right.session_frame) and left.dataset_table.frame().equals(
        right.dataset_table.frame()
    )


def fast_files(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / mmap_cache.FOLDER).rglob("*") if path.is_file())


def halves(eid: str) -> tuple[int, int]:
    low, high = struct.unpack("<qq", UUID(eid).bytes)
    return low, high


def test_tables_of_2021_open(tmp_path: Path) -> None:
    """Ids were pairs of integers, sizes were floats, there was one project, and no QC."""
    sessions, datasets = sessions_frame(), datasets_frame(sessions_frame())
    old = sessions.rename({"projects": "project"}).with_columns(pl.col("number").cast(pl.Int64))
    pairs = [halves(eid) for eid in sessions["eid"]]
    old = old.drop("eid").with_columns(
        id_0=pl.Series([p[0] for p in pairs]), id_1=pl.Series([p[1] for p in pairs])
    )
    old.write_parquet(tmp_path / "sessions.pqt", metadata=META)
    columns = {
        f"{short}_{half}": pl.Series([halves(value)[half] for value in datasets[name]])
        for name, short in (("eid", "eid"), ("did", "id"))
        for half in (0, 1)
    }
    old = datasets.drop("eid", "did", "qc", "default_revision").with_columns(
        pl.col("file_size").cast(pl.Float64), session_path=pl.lit("a/b"), **columns
    )
    old.write_parquet(tmp_path / "datasets.pqt", metadata=META)
    opened = Catalogue.open(tmp_path)
    assert opened.session_frame.equals(sessions.sort("eid"))
    expected = (
        datasets.drop("default_revision")
        .with_columns(qc=pl.lit("NOT_SET", dtype=QC_LEVELS))
        .sort("eid", "did")
    )
    assert opened.dataset_table.frame().equals(expected)
    assert opened.meta.origin == {"here"}
    assert str(opened.meta.created_time) == "2021-05-13 20:38:00"


def test_binary_ids_and_dictionaries_open(tmp_path: Path) -> None:
    sessions, datasets = sessions_frame(), datasets_frame(sessions_frame())
    packed = pl.Series([UUID(eid).bytes for eid in sessions["eid"]])
    lab = pl.col("lab").cast(pl.Categorical)
    sessions.with_columns(packed.alias("id"), lab).drop("eid").write_parquet(
        tmp_path / "sessions.pqt", metadata=META
    )
    columns = [pl.col("rel_path").cast(pl.Categorical), pl.col("qc").cast(pl.String)]
    datasets.with_columns(columns).rename({"did": "id"}).write_parquet(
        tmp_path / "datasets.pqt", metadata=META
    )
    opened = Catalogue.open(tmp_path)
    assert opened.session_frame.equals(sessions.sort("eid"))
    assert opened.dataset_table.frame().equals(datasets.sort("eid", "did"))


def test_rows_without_an_id_are_left_out(tmp_path: Path) -> None:
    datasets = datasets_frame(sessions_frame())
    loose = datasets.head(5).with_columns(eid=pl.lit(None, dtype=pl.String))
    pl.concat([loose, datasets]).rename({"did": "id"}).write_parquet(tmp_path / "datasets.pqt", metadata=META)
    assert Catalogue.open(tmp_path).dataset_table.frame().equals(datasets.sort("eid", "did"))


def test_one_table_alone_and_others_open(tmp_path: Path) -> None:
    write_table(tmp_path / "sessions.pqt", "sessions", sessions_frame(), {"date_created": "2025-01-01 00:00"})
    rows = pl.DataFrame({"id": [str(UUID(int=1))], "eid": [str(UUID(int=2))], "name": ["probe00"]})
    rows.write_parquet(tmp_path / "insertions.pqt", metadata=META)
    pl.DataFrame({"x": [1]}).write_parquet(tmp_path / "weights.pqt", metadata=META)
    pl.DataFrame({"x": [1]}).write_parquet(tmp_path / "mine.pqt")
    opened = Catalogue.open(tmp_path)
    assert len(opened.dataset_table) == 0
    assert opened.insertions().collect()["pid"].to_list() == [str(UUID(int=1))]
    assert set(opened.others) == {"insertions", "weights"}


def test_no_tables_are_not_found(tmp_path: Path) -> None:
    with pytest.raises(TablesNotFound, match=str(tmp_path)):
        Catalogue.open(tmp_path)
    with pytest.raises(TablesNotFound):
        Catalogue.open(tmp_path / "nowhere")


def test_files_truncated_anywhere_are_damaged(folder: Path) -> None:
    whole = (folder / "datasets.pqt").read_bytes()
    rng = random.Random(3)
    for _ in range(25):
        (folder / "datasets.pqt").write_bytes(whole[: rng.randrange(len(whole))])
        with pytest.raises(TablesDamaged, match=r"datasets\.pqt"):
            Catalogue.open(folder, convert=True)
    (folder / "datasets.pqt").write_bytes(whole)
    assert same(Catalogue.open(folder), make_catalogue())


@pytest.mark.parametrize(
    ("frame", "metadata", "why"),
    [
        (pl.DataFrame({"a": [1]}), META, "no eid"),
        (sessions_frame(), None, "one_metadata"),
        (sessions_frame(), {"one_metadata": "{"}, "JSON"),
        (sessions_frame().with_columns(date=pl.lit("monday")), META, "monday"),
    ],
)
def test_foreign_files_are_damaged(
    tmp_path: Path, frame: pl.DataFrame, metadata: dict[str, str] | None, why: str
) -> None:
    frame.write_parquet(tmp_path / "sessions.pqt", metadata=metadata)
    with pytest.raises(TablesDamaged, match=why) as caught:
        Catalogue.open(tmp_path)
    assert "sessions.pqt" in str(caught.value)


@pytest.mark.parametrize("number", [-5, 70_000, 2.0, "3", None, "three"])
def test_an_invalid_number_affects_only_its_session(tmp_path: Path, number: object) -> None:
    sessions = sessions_frame().sort("eid")
    kind = {str: pl.String, float: pl.Float64}.get(type(number), pl.Int64)
    column = pl.Series("number", [number, *sessions["number"][1:]], dtype=kind, strict=False)
    sessions.with_columns(column).write_parquet(tmp_path / "sessions.pqt", metadata=META)
    opened = Catalogue.open(tmp_path)
    read = {"3": 3, 2.0: 2, "three": None}.get(number, number)  # type: ignore[call-overload]
    assert opened.session_frame["number"].to_list() == [read, *sessions["number"][1:]]
    assert opened.session_frame.drop("number").equals(sessions.drop("number"))
    if isinstance(read, int):
        assert sessions["eid"][0] in search(opened, number=read)


def test_odd_sizes_and_qc_become_null(tmp_path: Path) -> None:
    datasets = datasets_frame(sessions_frame()).sort("eid", "did").head(4)
    odd = datasets.with_columns(file_size=pl.Series([-1, 2, None, 3]), qc=pl.Series([10, 4, None, 50]))
    odd.rename({"did": "id"}).write_parquet(tmp_path / "datasets.pqt", metadata=META)
    rows = Catalogue.open(tmp_path).dataset_table.frame()
    assert rows["file_size"].to_list() == [None, 2, None, 3]
    assert rows["qc"].to_list() == ["PASS", "NOT_SET", "NOT_SET", "CRITICAL"]
    named = datasets.with_columns(qc=pl.Series(["PASS", "GOOD", None, "FAIL"]))
    named.rename({"did": "id"}).write_parquet(tmp_path / "datasets.pqt", metadata=META)
    assert Catalogue.open(tmp_path).dataset_table.frame()["qc"].to_list() == [
        "PASS",
        "NOT_SET",
        "NOT_SET",
        "FAIL",
    ]


def test_levels_of_an_index_without_names_are_session_and_dataset(tmp_path: Path) -> None:
    sessions, datasets = sessions_frame(), datasets_frame(sessions_frame())
    names = {"eid": "__index_level_0__", "did": "__index_level_1__"}
    sessions.rename({"eid": "__index_level_0__"}).write_parquet(tmp_path / "sessions.pqt", metadata=META)
    datasets.rename(names).write_parquet(tmp_path / "datasets.pqt", metadata=META)
    opened = Catalogue.open(tmp_path)
    assert opened.session_frame.equals(sessions.sort("eid"))
    assert opened.dataset_table.frame().equals(datasets.sort("eid", "did"))


@pytest.mark.parametrize("said", ["{}", "{", '"text"'])
def test_a_foreign_table_in_the_folder_is_ignored(folder: Path, said: str) -> None:
    pl.DataFrame({"a": [1]}).write_parquet(folder / "trials.pqt", metadata={"one_metadata": said})
    with pytest.warns(TablesWarning, match=r"trials\.pqt"):
        opened = Catalogue.open(folder)
    assert same(opened, make_catalogue())
    assert dict(opened.others) == {}


def test_the_memory_mapped_form_is_equivalent(folder: Path) -> None:
    plain = Catalogue.open(folder, convert=False)
    assert not (folder / mmap_cache.FOLDER).exists()
    made = Catalogue.open(folder, convert=True)
    files = fast_files(folder)
    again = Catalogue.open(folder)
    assert same(plain, made)
    assert same(plain, again)
    assert again.meta.raw == plain.meta.raw
    assert fast_files(folder) == files
    assert search(again, datasets="spikes.times.npy") == search(plain, datasets="spikes.times.npy")
    assert listing.list_datasets(again) == listing.list_datasets(plain)


def test_changed_tables_are_converted_again(folder: Path) -> None:
    Catalogue.open(folder, convert=True)
    save_tables(make_catalogue(seed=2), folder, clobber=True)
    assert same(Catalogue.open(folder, convert=True), make_catalogue(seed=2))
    forms = [path for path in (folder / mmap_cache.FOLDER).iterdir() if path.is_dir()]
    assert len(forms) == 1


def test_a_damaged_memory_mapped_form_is_replaced(folder: Path) -> None:
    expected = make_catalogue()
    rng = random.Random(5)
    for attempt in range(40):
        Catalogue.open(folder, convert=True)
        victim = rng.choice(fast_files(folder))
        data = bytearray(victim.read_bytes())
        if attempt % 3 == 0:
            victim.unlink()
        elif attempt % 3 == 1:
            victim.write_bytes(data[: rng.randrange(len(data))])
        else:
            position = rng.randrange(len(data))
            data[position] ^= 0xFF
            victim.write_bytes(data)
        assert same(Catalogue.open(folder, convert=True), expected), victim
    shutil.rmtree(folder / mmap_cache.FOLDER)
    assert same(Catalogue.open(folder), expected)


def test_a_removed_memory_mapped_form_remains_readable_for_open_tables(folder: Path) -> None:
    opened = Catalogue.open(folder, convert=True)
    shutil.rmtree(folder / mmap_cache.FOLDER)
    assert same(opened, make_catalogue())


def test_touched_files_with_equal_content_are_not_converted_again(folder: Path) -> None:
    Catalogue.open(folder, convert=True)
    before = [path.stat().st_ino for path in fast_files(folder)]
    for path in fast_files(folder):
        os.utime(path)
    assert same(Catalogue.open(folder, convert=True), make_catalogue())
    assert [path.stat().st_ino for path in fast_files(folder)] == before


def test_a_folder_that_cannot_be_written_can_be_opened(folder: Path) -> None:
    # A file in place of the folder of the memory-mapped form, which also stops a superuser.
    (folder / mmap_cache.FOLDER).write_text("in the way")
    assert same(Catalogue.open(folder, convert=True), make_catalogue())


def _open_many(folder: str, barrier: object, results: object) -> None:
    barrier.wait()  # type: ignore[attr-defined]
    opened = Catalogue.open(folder, convert=True)
    results.put(same(opened, make_catalogue()))  # type: ignore[attr-defined]


def test_concurrent_processes_can_convert(folder: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(3), context.Queue()
    workers = [context.Process(target=_open_many, args=(str(folder), barrier, results)) for _ in range(3)]
    for worker in workers:
        worker.start()
    assert [results.get(timeout=60) for _ in workers] == [True] * 3
    for worker in workers:
        worker.join(60)
    results.close()
    results.join_thread()
    names = [path.name for path in (folder / mmap_cache.FOLDER).iterdir()]
    assert len(names) == 1
    assert len(names[0]) == 32


def test_files_of_a_killed_conversion_are_not_tables(folder: Path) -> None:
    home = folder / mmap_cache.FOLDER
    Catalogue.open(folder, convert=True)
    form = next(home.iterdir())
    (form / "meta.json").unlink()  # it is written last
    left = home / "tmp-left"
    left.mkdir()
    os.utime(left, (0, 0))
    assert same(Catalogue.open(folder, convert=True), make_catalogue())
    assert not left.exists()


@pytest.mark.parametrize(
    "series",
    [
        pl.Series(["a", None, "", "b"] * 3),
        pl.Series([None, None], dtype=pl.String),
        pl.Series([], dtype=pl.String),
        pl.Series(["0" * 32, None, "", "f" * 32]),
        pl.Series(["0" * 40, "a" * 40]),
        pl.Series(["A" * 32, "a" * 32]),
        pl.Series([str(UUID(int=i)) for i in range(1200)]),
        pl.Series([str(UUID(int=1)).upper().replace("0", "A"), str(UUID(int=2))]),
        pl.Series([f"é{i}" for i in range(3000)]),
        pl.Series([1.5, None, float("nan")]),
        pl.Series([True, None, False]),
        pl.Series(["PASS", None, "CRITICAL"], dtype=QC_LEVELS),
        pl.Series(["PASS"] * 2000, dtype=QC_LEVELS),
        pl.Series([2**63, None, 1], dtype=pl.UInt64),
        pl.Series([[1], None, []]),
    ],
)
def test_every_column_is_read_back(series: pl.Series) -> None:
    column = encode(series)
    assert decode(column).equals(series, check_dtypes=True)
    assert decode(column, slice(1, 2)).equals(series[1:2])


def test_read_table_returns_the_metadata(folder: Path) -> None:
    _, raw = read_table(folder / "sessions.pqt")
    assert raw["date_created"] == "2025-01-15 06:00"
    assert raw["origin"] == "here"
