"""Tables without an optional column, or with null cells, affect only answers that need that column or cell."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from one_async import ONE, OneError
from one_async.errors import InputError
from one_async.tables.build import make_parquet_db
from one_async.tables.disk import write_table
from one_async.tables.schema import read_table

from .every_method import Facts, examples, names_of

SESSION = "lab/Subjects/A/2020-01-01/001"
OTHER = "lab/Subjects/B/2020-01-02/001"
FILES = (
    "alf/spikes.times.npy",
    "alf/spikes.depths.npy",
    "alf/trials.choice.npy",
    "alf/#2020-02-02#/spikes.times.npy",
)
#: The method that makes the tables again, with all columns.
MAKES_TABLES = "watch_folder"
OPTIONAL = {
    "sessions": (
        "task_protocol",
        "projects",
    ),  # without lab, the paths of the tables differ from these folders
    "datasets": ("file_size", "hash", "exists", "qc", "default_revision"),
}
NULLABLE = {
    "sessions": ("lab", "task_protocol", "projects", "number", "date", "subject"),
    "datasets": ("file_size", "hash", "exists", "qc", "default_revision"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write two sessions with small files, and tables with every column."""
    for at, session in enumerate((SESSION, OTHER)):
        for number, file in enumerate(FILES):
            path = tmp_path / session / file
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, np.arange(3) + 10 * number + 100 * at)
    make_parquet_db(tmp_path, hash_files=True)
    flags = pl.col("rel_path").str.contains("#").not_()
    change(tmp_path, "datasets", lambda frame: frame.with_columns(default_revision=flags))
    return tmp_path


def change(folder: Path, table: str, how: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    path = folder / f"{table}.pqt"
    frame, raw = read_table(path)
    write_table(path, table, how(frame), raw)


def without(column: str, eid: str) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Set the cells of a column to null except those of one session."""

    def nulled(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(pl.when(pl.col("eid") == eid).then(pl.col(column)).alias(column))

    return nulled


def calls(one: ONE, facts: Facts) -> Iterator[tuple[str, Any]]:
    """Call every public method; return the answers and errors."""
    for example in examples(facts):
        if example.method.startswith("alyx.") or example.method == MAKES_TABLES:
            continue
        try:
            answer = attrgetter(example.method)(one)(*example.args, **(example.kwargs or {}))
            if inspect.isgenerator(answer) or hasattr(answer, "__next__"):
                answer = list(answer)
        except OneError as error:
            answer = error
        yield example.method, answer


def facts(one: ONE, folder: Path) -> Facts:
    """Return the names of session B, whose cells are unchanged."""
    eid = next(eid for eid in one.search() if one.get_details(eid)["subject"] == "B")
    path = folder / OTHER
    frame = one.list_datasets(eid, details=True, keep_eid_index=True)
    row = frame.filter(frame["rel_path"] == FILES[2]).to_dicts()[0]
    record = {"subject": "B", "date": "2020-01-02", "number": 1}
    return Facts(
        str(eid),
        "00000000-0000-4000-8000-000000000000",
        row["did"],
        str(path),
        "2020-01-02_1_B",
        record,
        row,
        folder,
    )


def assert_as_before(name: str, answer: object, before: object) -> None:
    """A method that answered with all columns answers without one, too, and raises the same error if it raised one."""
    assert type(answer) is type(before), (name, answer, before)
    assert "does not understand its arguments" not in str(answer), (name, answer)


@pytest.mark.parametrize(("table", "column"), [(t, c) for t, names in OPTIONAL.items() for c in names])
def test_every_method_answers_without_an_optional_column(folder: Path, table: str, column: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = ONE(cache_dir=folder, mode="local")
        before = list(calls(whole, facts(whole, folder)))
        change(folder, table, lambda frame: frame.drop(column))
        one = ONE(cache_dir=folder, mode="local")
        answers = list(calls(one, facts(one, folder)))
    assert {name for name, _ in answers} >= names_of(ONE) - {MAKES_TABLES}
    for (name, answer), (_, expected) in zip(answers, before, strict=True):
        assert_as_before(name, answer, expected)


@pytest.mark.parametrize(("table", "column"), [(t, c) for t, names in NULLABLE.items() for c in names])
def test_a_null_cell_does_not_affect_other_sessions(folder: Path, table: str, column: str) -> None:
    whole = ONE(cache_dir=folder, mode="local")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = list(calls(whole, facts(whole, folder)))
        change(folder, table, without(column, facts(whole, folder).eid))
        one = ONE(cache_dir=folder, mode="local")
        after = list(calls(one, facts(one, folder)))
    about_all = {
        "search",
        "sessions",
        "datasets",
        "sql",
        "list_subjects",
        "insertions",
        "save_cache",
        "load_cache",
    }
    for (name, answer), (_, expected) in zip(after, before, strict=True):
        assert_as_before(name, answer, expected)
        if name not in about_all | {"save_loaded_ids", "refresh_cache", "freeze", "download", "browse"}:
            assert repr(answer) == repr(expected), name


@pytest.mark.parametrize("column", OPTIONAL["datasets"])
def test_all_datasets_of_a_list_are_loaded_without_an_optional_column(folder: Path, column: str) -> None:
    change(folder, "datasets", lambda frame: frame.drop(column))
    one = ONE(cache_dir=folder, mode="local")
    eid = one.path2eid(folder / SESSION)
    names = one.list_datasets(eid)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        arrays, _ = one.load_datasets(eid, names)
    assert sorted(names) == sorted(FILES)
    for name, array in zip(names, arrays, strict=True):
        assert array.tolist() == np.load(folder / SESSION / name).tolist()


@pytest.mark.parametrize("column", NULLABLE["datasets"])
def test_datasets_with_a_null_cell_are_loaded(folder: Path, column: str) -> None:
    change(
        folder, "datasets", lambda frame: frame.with_columns(pl.lit(None, frame.schema[column]).alias(column))
    )
    one = ONE(cache_dir=folder, mode="local")
    eid = one.path2eid(folder / SESSION)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = one.load_dataset(eid, FILES[2])
    assert data.tolist() == [20, 21, 22]


@pytest.mark.parametrize("lab", [None, ""])
def test_a_session_without_lab_is_found_and_described(folder: Path, lab: str | None) -> None:
    change(folder, "sessions", lambda frame: frame.with_columns(lab=pl.lit(lab, pl.String)))
    one = ONE(cache_dir=folder, mode="local")
    eids = one.search(subject="A")
    assert len(eids) == 1
    assert one.get_details(eids[0])["subject"] == "A"
    assert one.list_datasets(eids[0]) == sorted(FILES)


def test_a_wrong_column_is_still_refused(folder: Path) -> None:
    one = ONE(cache_dir=folder, mode="local")
    with pytest.raises(InputError):
        one.search(no_such_term=1)
