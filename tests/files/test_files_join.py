"""Frames of objects: the types of arrays of objects, and concatenated frames of many sessions."""

from __future__ import annotations

import io
import pickle
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from one_async import ALFObject
from one_async.errors import ALFError
from one_async.files.frames import columns_of, to_polars
from one_async.files.join import joined, owned

BERLIN = datetime(2020, 1, 1, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([None, None], pl.Null),
        ([[1, 2], None, [3]], pl.List(pl.Int64)),
        (["left", None], pl.String),
        ([True, None], pl.Boolean),
        ([BERLIN, None], pl.Datetime("us", "Europe/Berlin")),
        ([2**64, 1], pl.Int128),
    ],
    ids=str,
)
def test_columns_keep_their_type_on_the_way_through_an_object(values: list[Any], dtype: Any) -> None:
    frame = pl.DataFrame({"x": pl.Series(values, dtype=dtype)})
    arrays = columns_of(frame)
    assert isinstance(arrays["x"], np.ndarray)
    again = to_polars(arrays)
    assert again.schema == {"x": dtype}
    assert again["x"].to_list() == values


def test_what_pandas_calls_missing_among_texts_is_missing() -> None:
    assert to_polars({"x": np.array(["a", float("nan")], dtype=object)})["x"].to_list() == ["a", None]


def test_objects_of_no_type_stay_objects() -> None:
    assert to_polars({"x": np.array([object(), object()], dtype=object)}).schema == {"x": pl.Object}


def frame(eid: str, **columns: Any) -> pl.DataFrame:
    return pl.DataFrame({"eid": [eid] * len(next(iter(columns.values()))), **columns})


def together(*columns: Any) -> tuple[pl.Series, dict[int, ALFError]]:
    whole, refused = joined([frame(f"e{n}", x=values) for n, values in enumerate(columns)])
    pickle.loads(pickle.dumps(whole))
    whole.write_parquet(io.BytesIO())
    return whole["x"], refused


NAN = float("nan")
TIME = datetime(2020, 1, 1)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (([None, None], ["left"]), [None, None, "left"]),
        (([NAN], ["left"]), [None, "left"]),
        (([NAN], [TIME]), [None, TIME]),
        (([NAN], [1]), [NAN, 1.0]),
        (([1], [2.5], [True]), [1.0, 2.5, 1.0]),
        (([1.5, NAN], ["a"], [True]), ["1.5", None, "a", "true"]),
        (([[1, 2], [3]], [None], [[]], [[0.5]]), [[1.0, 2.0], [3.0], None, [], [0.5]]),
        ((np.zeros((1, 2, 3)), np.ones((1, 1, 4))), [[[0.0] * 3] * 2, [[1.0] * 4]]),
    ],
    ids=str,
)
def test_columns_that_go_together(columns: Any, expected: list[Any]) -> None:
    found, refused = together(*columns)
    assert refused == {}
    assert repr(found.to_list()) == repr(expected)


@pytest.mark.parametrize(
    "columns",
    [([TIME], [1.5]), ([1.5], [TIME]), ([[1]], [1]), (["a"], [TIME]), ([TIME], [TIME.replace(tzinfo=UTC)])],
    ids=str,
)
def test_columns_that_do_not(columns: Any) -> None:
    found, refused = together(*columns, columns[0])
    assert found.to_list() == [*columns[0], *columns[0]]
    assert list(refused) == [1]
    for word in ("'x'", "e0", "e1"):
        assert word in str(refused[1])


def test_nothing_to_join_has_the_owners_columns() -> None:
    assert joined([], ("pid", "eid"))[0].columns == ["pid", "eid"]


def test_data_that_cannot_become_a_frame_are_reported_with_their_owner() -> None:
    uneven = ALFObject(a=np.zeros(3), b=np.zeros(4))
    with pytest.raises(ALFError, match="trials of eid e1: The data cannot be converted"):
        owned(uneven, "trials", eid="e1")
    with pytest.raises(ALFError, match="trials of eid e1 has a column 'eid'"):
        owned(ALFObject(eid=np.zeros(3)), "trials", eid="e1")
