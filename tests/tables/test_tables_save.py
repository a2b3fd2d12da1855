"""Merging is by id and does not modify the old catalogue; saving is atomic and keeps rows saved by others."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
import uuid
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from one_async.errors import InputError
from one_async.tables import install
from one_async.tables.arrow_schema import schema_with_metadata
from one_async.tables.catalogue import Catalogue
from one_async.tables.disk import is_modified, remove_tables, save_tables
from one_async.tables.merge import merge
from tables_data import datasets_frame, make_catalogue, search, sessions_frame

BASE = make_catalogue(12, seed=3)
EIDS = BASE.session_frame["eid"].to_list()
DIDS = BASE.dataset_table.frame()["did"].to_list()
NEW = [str(uuid.UUID(int=i)) for i in range(1, 5)]

rows = st.fixed_dictionaries(
    {
        "eid": st.sampled_from(EIDS[:6] + NEW),
        "did": st.sampled_from(DIDS[:10] + NEW),
        "rel_path": st.sampled_from(["alf/_ibl_wheel.position.npy", "alf/new.file.npy", "x.y.z"]),
        "exists": st.booleans(),
    },
    optional={
        "file_size": st.none() | st.integers(0, 2**40),
        "hash": st.sampled_from([None, "", "ab", "0" * 32]),
        "qc": st.sampled_from(["PASS", "FAIL"]),
        "data_url": st.just("http://nowhere"),
    },
)


def keyed(catalogue: Catalogue) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["eid"], row["did"]): row for row in catalogue.dataset_table.frame().to_dicts()}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(rows, max_size=6), min_size=1, max_size=3))
def test_merging_equals_merging_dicts(batches: list[list[dict[str, Any]]]) -> None:
    before, merged = keyed(BASE), BASE
    expected = dict(before)
    columns = list(BASE.dataset_table.schema)
    for batch in batches:
        merged = merge(merged, {"datasets": batch})
        fresh: dict[tuple[str, str], dict[str, Any]] = {}
        for row in batch:
            # defaults of the table for missing fields: those of its file's generation
            filled = {name: row.get(name) for name in columns} | {"qc": row.get("qc", "NOT_SET")}
            fresh.setdefault((row["eid"], row["did"]), filled)
        expected |= fresh
    assert keyed(merged) == expected
    assert keyed(BASE) == before
    frame = merged.dataset_table.frame()
    assert frame.equals(frame.sort("eid", "did"))
    for eid in frame["eid"].unique():
        assert merged.dataset_table.frame(merged.dataset_table.rows_of(eid)).equals(frame.filter(eid=eid))
    assert is_modified(merged) == any(batches)


def test_many_sessions_merge_in_the_same_way() -> None:
    """Merges of more than a few thousand sessions use another algorithm."""
    more = sessions_frame(2500, seed=9)
    new = datasets_frame(more, seed=9)
    merged = merge(BASE, {"datasets": new, "sessions": more})
    expected = pl.concat([BASE.dataset_table.frame(), new]).sort("eid", "did")
    assert merged.dataset_table.frame().equals(expected)
    assert merged.session_frame.equals(pl.concat([BASE.session_frame, more]).sort("eid"))


def test_rows_of_any_form_are_merged() -> None:
    eid = uuid.uuid4()
    session = {
        "id": eid,
        "lab": "x",
        "subject": "new",
        "date": date(2030, 1, 1),
        "number": 1,
        "start_time": "…",
    }
    merged = merge(
        BASE,
        {"sessions": [session], "insertions": [{"id": uuid.UUID(int=7), "eid": str(eid), "name": "probe00"}]},
        origin="https://alyx",
    )
    assert search(merged)[0] == str(eid)
    assert merged.insertions().collect().select("pid", "eid", "name").rows() == [
        (str(uuid.UUID(int=7)), str(eid), "probe00")
    ]
    assert merged.meta.origin == {"here", "https://alyx"}
    assert merged.meta.modified_time is not None
    assert "start_time" not in merged.session_frame.columns
    changed = merge(merged, {"sessions": [{**session, "lab": "y"}]})
    assert changed.session_frame.filter(eid=str(eid))["lab"].to_list() == ["y"]
    assert merged.session_frame.filter(eid=str(eid))["lab"].to_list() == ["x"]
    from_nothing = merge(Catalogue.empty(), {"datasets": datasets_frame(sessions_frame(3))})
    assert "default_revision" in from_nothing.dataset_table.schema


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="sessions"):
        merge(BASE, {"sessions": [{"id": "x", "subject": "s", "date": "monday", "number": 1}]})
    with pytest.raises(InputError, match="rel_path"):
        merge(BASE, {"datasets": [{"did": "x", "eid": "y"}]})


def test_saved_tables_are_read_back_and_pandas_has_its_index(tmp_path: Path) -> None:
    saved = save_tables(BASE, tmp_path, clobber=True)
    back = Catalogue.open(tmp_path)
    assert back.session_frame.equals(BASE.session_frame)
    assert back.dataset_table.frame().equals(BASE.dataset_table.frame())
    assert saved.meta.saved_time is not None
    pandas = json.loads(pl.read_parquet_metadata(tmp_path / "datasets.pqt")["pandas"])
    assert pandas["index_columns"] == ["eid", "id"]
    raw = json.loads(pl.read_parquet_metadata(tmp_path / "sessions.pqt")["one_metadata"])
    assert raw["date_created"] == "2025-01-15 06:00"
    assert raw["origin"] == "here"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["datasets.pqt", "sessions.pqt"]


@pytest.mark.parametrize("metadata", [{"a": ""}, {"pandas": "{}", "é": "ü" * 1001, "b": "x" * 70000}])
def test_arrow_finds_the_metadata_in_the_schema(tmp_path: Path, metadata: dict[str, str]) -> None:
    """The metadata are where pyarrow looks for them, and the columns are unchanged."""
    parquet = pytest.importorskip("pyarrow.parquet")
    frame = BASE.dataset_table.frame()
    frame.write_parquet(tmp_path / "plain.pqt")
    frame.write_parquet(tmp_path / "x.pqt", metadata={"ARROW:schema": schema_with_metadata(frame, metadata)})
    found = parquet.read_table(tmp_path / "x.pqt")
    assert found.schema.metadata == {k.encode(): v.encode() for k, v in metadata.items()}
    assert found.equals(parquet.read_table(tmp_path / "plain.pqt"))
    assert pl.read_parquet(tmp_path / "x.pqt").equals(frame)


def test_unchanged_tables_are_not_written(tmp_path: Path) -> None:
    save_tables(BASE, tmp_path, clobber=True)
    opened = Catalogue.open(tmp_path)
    before = (tmp_path / "sessions.pqt").stat().st_ino
    assert save_tables(opened, tmp_path) is opened
    assert (tmp_path / "sessions.pqt").stat().st_ino == before


def test_tables_can_be_removed(tmp_path: Path) -> None:
    save_tables(BASE, tmp_path, clobber=True)
    Catalogue.open(tmp_path, convert=True)
    (tmp_path / "cache_info.json").write_text("{}")
    assert len(remove_tables(tmp_path)) == 3
    assert list(tmp_path.iterdir()) == []


def _row(worker: int, step: int) -> dict[str, Any]:
    eid = EIDS[worker % len(EIDS)]
    return {
        "eid": eid,
        "did": str(uuid.UUID(int=1000 * worker + step)),
        "rel_path": f"alf/w{worker}.s{step}.npy",
        "exists": True,
        "qc": "PASS",
    }


def _save_some(folder: str, worker: int, barrier: Any) -> None:
    mine = Catalogue.open(folder)
    barrier.wait()
    for step in range(4):
        mine = merge(mine, {"datasets": [_row(worker, step)]})
        mine = save_tables(mine, folder)


def test_concurrent_saves_keep_all_rows(tmp_path: Path) -> None:
    save_tables(BASE, tmp_path, clobber=True)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(4)
    workers = [context.Process(target=_save_some, args=(str(tmp_path), n, barrier)) for n in range(1, 5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    found = set(Catalogue.open(tmp_path).dataset_table.paths)
    assert {_row(n, step)["rel_path"] for n in range(1, 5) for step in range(4)} <= found
    assert sorted(path.name for path in tmp_path.iterdir()) == ["datasets.pqt", "sessions.pqt"]


def _save_for_ever(folder: str) -> None:
    seed = 0
    while True:
        seed = 1 - seed
        save_tables(make_catalogue(30, seed=50 + seed), folder, clobber=True)


def test_a_killed_save_leaves_complete_tables(tmp_path: Path) -> None:
    wholes = [make_catalogue(30, seed=50), make_catalogue(30, seed=51)]
    save_tables(wholes[0], tmp_path, clobber=True)
    context = multiprocessing.get_context("spawn")
    for attempt in range(4):
        worker = context.Process(target=_save_for_ever, args=(str(tmp_path),))
        worker.start()
        started = (tmp_path / "sessions.pqt").stat().st_ino
        while (tmp_path / "sessions.pqt").stat().st_ino == started and worker.is_alive():
            time.sleep(0.001)
        time.sleep(0.003 * attempt)
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        worker.join(30)
        found = Catalogue.open(tmp_path)
        assert any(
            found.session_frame.equals(whole.session_frame)
            and found.dataset_table.frame().equals(whole.dataset_table.frame())
            for whole in wholes
        )


def test_an_interrupted_installation_is_completed(tmp_path: Path) -> None:
    """The note exists and one of two files is renamed: the other one is renamed, too, or read where it is."""
    old, new = make_catalogue(10, seed=1), make_catalogue(10, seed=2)
    save_tables(old, tmp_path, clobber=True)
    other = tmp_path / "other"
    save_tables(new, other, clobber=True)
    for name in ("sessions", "datasets"):
        (other / f"{name}.pqt").rename(tmp_path / f".{name}.tmp")
    note = {"sessions.pqt": ".sessions.tmp", "datasets.pqt": ".datasets.tmp", "../../x": "y"}
    (tmp_path / ".one_async_install.1").write_text(json.dumps(note))
    (tmp_path / ".sessions.tmp").replace(tmp_path / "sessions.pqt")
    assert install.waiting(tmp_path) == {tmp_path / "datasets.pqt": tmp_path / ".datasets.tmp"}
    found = Catalogue.open(tmp_path)
    assert found.session_frame.equals(new.session_frame)
    assert found.dataset_table.frame().equals(new.dataset_table.frame())
    assert install.waiting(tmp_path) == {}
    with pytest.raises(InputError):
        install.install(tmp_path, {"../sessions.pqt": tmp_path / "sessions.pqt"})
