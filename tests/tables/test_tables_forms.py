"""Tables are the same, however a program has written them: types of columns, order, repeated rows, further columns."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from one_async.errors import TablesDamaged
from one_async.tables.catalogue import Catalogue
from tables_data import datasets_frame, search, sessions_frame

Change = Callable[[pl.DataFrame], pl.DataFrame]
EXTRA = {
    "probe_0": ["a", None],
    "probe_1": ["b", "c"],
    "side_0": [1, 2],
    "side_1": [3, None],
    "tags": [["x"], []],
}


def _upper(*names: str) -> Change:
    return lambda frame: frame.with_columns(
        pl.col(n).cast(pl.String).str.to_uppercase() for n in names if n in frame.columns
    )


def _cast(dtype: pl.DataType, *names: str) -> Change:
    return lambda frame: frame.with_columns(pl.col(n).cast(dtype) for n in names if n in frame.columns)


def _dates(convert: Callable[[pl.Expr], pl.Expr]) -> Change:
    return lambda frame: frame.with_columns(convert(pl.col("date"))) if "date" in frame.columns else frame


def _with_extra(frame: pl.DataFrame) -> pl.DataFrame:
    repeated = {name: pl.Series((values * len(frame))[: len(frame)]) for name, values in EXTRA.items()}
    return frame.with_columns(**repeated)


#: Other ways to write the same tables.
FORMS: dict[str, Change] = {
    "upper case": _upper("id", "eid"),
    "categories": _cast(
        pl.Categorical(), "eid", "lab", "subject", "task_protocol", "projects", "rel_path", "qc"
    ),
    "number as text": _cast(pl.String(), "number", "file_size"),
    "number as float": _cast(pl.Float64(), "number", "file_size"),
    "date as text": _dates(lambda date: date.cast(pl.String)),
    "date with slashes": _dates(lambda date: date.dt.to_string("%Y/%m/%d")),
    "date as moment": _dates(lambda date: date.dt.to_string("%Y-%m-%dT23:59:00+09:00")),
    "date as category": _dates(lambda date: date.cast(pl.String).cast(pl.Categorical())),
    "time": _dates(lambda date: date.cast(pl.Datetime("ns")) + pl.duration(hours=23)),
    "time far east": _dates(lambda date: date.cast(pl.Datetime("us")).dt.replace_time_zone("Asia/Tokyo")),
    "time far west": _dates(
        lambda date: (date.cast(pl.Datetime("ms")) + pl.duration(hours=23)).dt.replace_time_zone(
            "Pacific/Honolulu"
        )
    ),
    "datasets twice": lambda frame: pl.concat([frame, frame]) if "rel_path" in frame.columns else frame,
    "reversed": lambda frame: frame.reverse(),
    "shuffled": lambda frame: frame.sample(fraction=1, shuffle=True, seed=3),
    "further columns": _with_extra,
}


def _written(folder: Path, sessions: pl.DataFrame, datasets: pl.DataFrame) -> Catalogue:
    about = {"one_metadata": json.dumps({"date_created": "2025-01-15 06:00"})}
    sessions.write_parquet(folder / "sessions.pqt", metadata=about)
    datasets.write_parquet(folder / "datasets.pqt", metadata=about)
    return Catalogue.open(folder)


@given(st.integers(0, 50), st.lists(st.sampled_from(sorted(FORMS)), min_size=1, max_size=4, unique=True))
@example(1, ["further columns", "datasets twice"])
@example(2, ["upper case", "categories"])
@settings(max_examples=40, deadline=None)
def test_tables_of_any_form_answer_the_same(seed: int, forms: list[str]) -> None:
    sessions = sessions_frame(8, seed)
    datasets = datasets_frame(sessions, seed)
    plain = Catalogue.from_frames(sessions, datasets)
    written = [sessions.rename({"eid": "id"}), datasets.rename({"did": "id"})]
    for form in sorted(forms, key=lambda form: not form.startswith(("date", "time"))):
        if form.startswith(("date", "time")) and written[0].schema["date"] != pl.Date:
            continue
        if form.startswith("number") and written[0].schema["number"] != pl.UInt16:
            continue
        written = [FORMS[form](frame) for frame in written]
    with TemporaryDirectory() as folder:
        found = _written(Path(folder), *written)
        columns = sessions.columns
        assert found.session_frame.select(columns).equals(plain.session_frame.select(columns))
        keys = ["eid", "did"]
        rows, expected = (c.dataset_table.frame().select(datasets.columns).sort(keys) for c in (found, plain))
        assert rows.equals(expected)
        assert search(found) == search(plain)
        assert search(found, date_range="2020-01-05") == search(plain, date_range="2020-01-05")
        if "further columns" in forms:
            kept = found.session_frame.select("probe_0", "side_0")
            assert kept.schema == {"probe_0": pl.String, "side_0": pl.Int64}
            assert set(kept["side_0"]) <= {1, 2}


@pytest.mark.parametrize("text", ["", " ", "yesterday", "2020-13-40", None])
def test_a_date_that_is_none_costs_its_own_session(tmp_path: Path, text: str | None) -> None:
    sessions = sessions_frame(5)
    dates = [text, *sessions["date"].cast(pl.String)[1:]]
    written = sessions.with_columns(date=pl.Series(dates)).rename({"eid": "id"})
    found = _written(tmp_path, written, datasets_frame(sessions).rename({"did": "id"}))
    odd = found.session_frame.filter(pl.col("date").is_null())["eid"].to_list()
    assert odd == [sessions["eid"][0]]
    assert sorted(search(found)) == sorted(sessions["eid"])
    assert search(found, date_range=["2020-01-01", None]) == [eid for eid in search(found) if eid not in odd]


def test_a_column_without_any_date_is_refused(tmp_path: Path) -> None:
    sessions = sessions_frame(3)
    written = sessions.with_columns(date=pl.lit("yesterday")).rename({"eid": "id"})
    with pytest.raises(TablesDamaged, match="date"):
        _written(tmp_path, written, datasets_frame(sessions).rename({"did": "id"}))


@pytest.mark.parametrize("dtype", [pl.Int64, pl.Float64, pl.UInt32, pl.Decimal(12, 2)])
def test_numbers_are_not_taken_for_days_since_1970(tmp_path: Path, dtype: pl.DataType) -> None:
    sessions = sessions_frame(3)
    written = sessions.with_columns(date=pl.lit(20200105).cast(dtype)).rename({"eid": "id"})
    with pytest.raises(TablesDamaged, match="numbers instead of dates"):
        _written(tmp_path, written, datasets_frame(sessions).rename({"did": "id"}))


@pytest.mark.parametrize("empty", [None, float("nan")])
def test_a_column_of_missing_numbers_has_no_dates(tmp_path: Path, empty: float | None) -> None:
    sessions = sessions_frame(3)
    written = sessions.with_columns(date=pl.lit(empty, pl.Float64)).rename({"eid": "id"})
    found = _written(tmp_path, written, datasets_frame(sessions).rename({"did": "id"}))
    assert found.session_frame["date"].to_list() == [None] * 3
    assert sorted(search(found)) == sorted(sessions["eid"])
