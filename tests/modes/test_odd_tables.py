"""Tables with odd values answer everything else, in both faces."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl
import pytest

from one_async.emulator import Emulator
from one_async.errors import (
    ALFMultipleObjectsFound,
    ALFObjectNotFound,
    ALFWarning,
    InputError,
    TablesNotFound,
)
from one_async.tables.build import make_parquet_db
from one_async.tables.disk import write_table
from shared_worlds import checks, unzip

from .conftest import Make

SAID = {"date_created": "2025-01-01 00:00"}
EIDS = [str(UUID(int=number)) for number in range(1, 5)]
FILES = ["alf/spikes.times.npy", "alf/#2024-01-01#/spikes.times.npy", "_ibl_experiment.description.yaml"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write four sessions: a normal one, one without date, one without subject, and one that occurs twice."""
    folder = tmp_path / "odd"
    folder.mkdir()
    rows = [(EIDS[0], "a", date(2020, 1, 1)), (EIDS[1], "b", None), (EIDS[2], None, date(2020, 1, 2))]
    rows += [(EIDS[3], "c", date(2020, 1, 3))] * 2
    sessions = pl.DataFrame(rows, schema=["eid", "subject", "date"], orient="row").with_columns(
        lab=pl.lit("lab"), number=pl.lit(1, pl.UInt16), task_protocol=pl.lit(""), projects=pl.lit("p")
    )
    write_table(folder / "sessions.pqt", "sessions", sessions, SAID)
    datasets = pl.DataFrame(
        [
            {"eid": eid, "did": str(UUID(int=100 * index + at)), "rel_path": path}
            for index, eid in enumerate([*EIDS, str(UUID(int=9))])
            for at, path in enumerate(FILES)
        ]
    ).with_columns(exists=True, qc=pl.lit("PASS"), default_revision=pl.lit(value=True))
    write_table(folder / "datasets.pqt", "datasets", datasets, SAID)
    return folder


def test_a_session_without_date_or_subject_has_no_path(make: Make, folder: Path) -> None:
    one = make(None, cache_dir=folder)
    path = folder / "lab" / "Subjects" / "a" / "2020-01-01" / "001"
    with pytest.warns(ALFWarning, match=f"{EIDS[1]}.*'b'"):
        assert one.ask("eid2path", EIDS[1]) is None
    with pytest.warns(ALFWarning, match=EIDS[2]):
        assert one.ask("eid2path", EIDS[:3]) == [path, None, None]
    with pytest.warns(ALFWarning, match=EIDS[2]):
        assert one.ask("eid2path", [*EIDS[:3]] * 5) == [path, None, None] * 5
    assert one.ask("get_details", EIDS[1])["subject"] == "b"
    assert len(one.ask("list_datasets", EIDS[2])) == 3


@pytest.mark.parametrize("method", ["eid2path", "get_details", "eid2ref"])
@pytest.mark.parametrize("count", [1, 30])
def test_a_duplicate_session_is_refused(make: Make, folder: Path, method: str, count: int) -> None:
    one = make(None, cache_dir=folder)
    with pytest.raises(ALFMultipleObjectsFound, match=EIDS[3]):
        one.ask(method, [EIDS[3], *[EIDS[0]] * count])
    assert len(one.ask("list_datasets", EIDS[3])) == 3


@pytest.mark.parametrize("without", [True, False])
def test_datasets_are_listed_without_their_session(make: Make, folder: Path, without: bool) -> None:
    """First the last session is only in the table of datasets; then all sessions are."""
    if without:
        (folder / "sessions.pqt").unlink()
    one = make(None, cache_dir=folder)
    eid = str(UUID(int=9))
    assert one.ask("list_datasets", eid) == sorted(FILES)
    assert (
        one.ask("list_datasets", UUID(eid), details=True, keep_eid_index=True)["eid"].to_list() == [eid] * 3
    )
    assert sorted(one.ask("list_collections", eid)) == ["", "alf"]
    assert sorted(one.ask("list_revisions", [eid])[0]) == ["", "2024-01-01"]
    assert one.ask("list_datasets", EIDS[0] if without else eid) == sorted(FILES)
    assert one.ask("list_datasets", str(UUID(int=10))) == []
    assert one.ask("eid2path", eid) is None
    with pytest.raises(ALFObjectNotFound):
        one.ask("get_details", eid)
    with pytest.raises(ALFObjectNotFound):
        one.ask("load_dataset", eid, "spikes.times.npy")


def test_an_empty_list_as_a_term_is_refused(make: Make, folder: Path) -> None:
    one = make(None, cache_dir=folder, wildcards=False)
    for term in ("projects", "lab", "subject", "task_protocol"):
        with pytest.raises(InputError, match=term):
            one.ask("search", **{term: []})
    assert len(one.ask("search", projects=["p", "q"])) == 5


@pytest.mark.parametrize("query", ["select * from nope", "selec", "select nope from sessions", ""])
def test_invalid_sql_is_refused(make: Make, folder: Path, query: str) -> None:
    one = make(None, cache_dir=folder)
    with pytest.raises(InputError, match="SQL"):
        one.ask("sql", query)
    assert one.ask("sql", "select count(*) as n from datasets")["n"].to_list() == [15]


def test_missing_insertions_raise_not_found(make: Make, folder: Path) -> None:
    one = make(None, cache_dir=folder)
    with pytest.raises(TablesNotFound, match="insertions"):
        one.ask("insertions")
    assert one.ask("sql", "select * from insertions").height == 0


# ---- tables of a folder, built with paths as ids

NAMES = {
    "lab/Subjects/s1/2020-01-01/001": "lab/s1/2020-01-01/001",
    "other/Subjects/s1/2020-01-01/001": "other/s1/2020-01-01/001",  # equal except for the lab
    "s-2/2020-01-02/002": "s-2/2020-01-02/002",
}


@pytest.fixture
def built(tmp_path: Path) -> Path:
    root = tmp_path / "built"
    for folder in NAMES:
        (root / folder / "alf").mkdir(parents=True)
        (root / folder / "alf/things.names.json").write_text('["x"]')
    make_parquet_db(root, hash_ids=False)
    return root


CALLS: list[tuple[str, Callable[[str], Any]]] = [
    ("list_datasets", lambda name: ["alf/things.names.json"]),
    ("list_collections", lambda name: ["alf"]),
    ("list_revisions", lambda name: [""]),
    ("to_eid", lambda name: name),
]


def test_methods_accept_paths_as_ids(make: Make, built: Path) -> None:
    one = make(None, cache_dir=built)
    found = one.ask("search")
    assert sorted(found) == sorted(NAMES.values())
    for folder, name in NAMES.items():
        for method, answer in CALLS:
            assert one.ask(method, name) == answer(name), method
        assert one.ask("load_dataset", name, "things.names.json") == ["x"]
        subject, day, number = name.split("/")[-3:]
        assert one.ask("get_details", name)["subject"] == subject
        assert one.ask("get_details", name, full=True)["rel_path"].to_list() == ["alf/things.names.json"]
        assert one.ask("eid2path", name) == built / folder
        assert one.ask("eid2ref", name, as_dict=False) == f"{day}_{int(number)}_{subject}"
    assert sorted(one.ask("eid2path", found)) == sorted(built / folder for folder in NAMES)


def test_a_path_of_one_session_has_its_id(make: Make, built: Path, tmp_path: Path) -> None:
    import shutil

    shutil.rmtree(built / "other")
    make_parquet_db(built, hash_ids=False)
    one = make(None, cache_dir=built)
    path = built / "lab/Subjects/s1/2020-01-01/001/alf/things.names.json"
    assert one.ask("path2eid", path) == "lab/s1/2020-01-01/001"
    assert one.ask("ref2eid", "2020-01-01_1_s1") == "lab/s1/2020-01-01/001"
    assert one.ask("to_eid", [path, "2020-01-01_1_s1"]) == ["lab/s1/2020-01-01/001"] * 2
    assert one.ask("list_datasets", path) == ["alf/things.names.json"]
    with pytest.raises(ALFObjectNotFound):
        one.ask("list_datasets", "lab/s3/2020-01-01/001")


# ---- tables and server together


def test_datasets_of_a_learned_session_are_queried_from_the_server(
    make: Make, alyx: Emulator, tmp_path: Path
) -> None:
    """A search learns only the session, so missing datasets in the tables do not mean that it has none."""
    folder = unzip(alyx, tmp_path / "cache")
    one = make(alyx, mode="local")
    (eid,) = one.ask("search", subject="KS014", date="2020-02-18")
    sessions, datasets = one.ask("sessions").collect(), one.ask("datasets").collect()
    known = one.ask("list_datasets", eid)
    for name, frame in (("sessions", sessions), ("datasets", datasets)):
        write_table(folder / f"{name}.pqt", name, frame.filter(pl.col("eid") != str(eid)), SAID)
    one = make(alyx)
    one.ask("search", subject="KS014", query_type="remote")
    assert str(eid) in one.ask("sessions").collect()["eid"]
    assert one.ask("list_datasets", eid, query_type="auto") == known
    assert one.ask("list_datasets", eid, query_type="local") == known  # learned meanwhile
    assert checks(alyx) <= 1


def test_datasets_of_a_session_learned_in_an_earlier_run_are_queried_from_the_server(
    make: Make, alyx: Emulator, tmp_path: Path
) -> None:
    folder = unzip(alyx, tmp_path / "cache")
    one = make(alyx, mode="local")
    (eid,) = one.ask("search", subject="KS014", date="2020-02-18")
    known = one.ask("list_datasets", eid)
    for name in ("sessions", "datasets"):
        frame = one.ask(name).collect()
        write_table(folder / f"{name}.pqt", name, frame.filter(pl.col("eid") != str(eid)), SAID)
    one = make(alyx)
    one.ask("search", subject="KS014", query_type="remote")
    one.ask("save_cache")
    assert make(alyx, mode="local").ask("list_datasets", eid) == []  # all files on disk
    assert make(alyx).ask("list_datasets", eid, query_type="auto") == known


def test_a_session_without_datasets_in_the_tables_needs_no_server(
    make: Make, alyx: Emulator, tmp_path: Path
) -> None:
    folder = unzip(alyx, tmp_path / "cache")
    one = make(alyx, mode="local")
    (eid,) = one.ask("search", subject="KS014", date="2020-02-18")
    datasets = one.ask("datasets").collect()
    write_table(folder / "datasets.pqt", "datasets", datasets.filter(pl.col("eid") != str(eid)), SAID)
    one = make(alyx)
    alyx.stop()
    assert one.ask("list_datasets", eid, query_type="auto") == []
    assert one.ask("get_details", eid, query_type="auto", full=True).height == 0
