"""The summary of an ALFObject never raises, has at most 20 lines of 80 columns, and shows correct numbers."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from html_pages import Page, texts
from one_async import ALFObject
from one_async.files import summary

DTYPES = st.one_of(
    arrays.scalar_dtypes(), st.just(np.dtype(object)), st.just(np.dtype([("a", "f8"), ("b", "U3")]))
)
ARRAYS = DTYPES.flatmap(
    lambda dtype: arrays.arrays(
        dtype,
        arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
        elements=st.none() | st.text() if dtype.kind == "O" else None,
    )
)


class Broken(dict[str, Any]):
    def __len__(self) -> int:
        raise ValueError("no length")

    __repr__ = __str__ = None  # type: ignore[assignment]


def odd() -> dict[str, Any]:
    frame = pl.DataFrame({"x": [1, 2], "<script>": ["a", None]})
    nested = ALFObject(inner=ALFObject(a=np.zeros(2)))
    nested["itself"] = [nested]
    return {
        "zero-dimensional": np.array(3.5), "scalar": np.float32(2), "empty": np.array([]), "no columns": np.empty((3, 0)),
        "object": np.array([None, {"k": 1}, float("nan")], object), "nan": np.full(4, np.nan),
        "texts": np.array(["<script>", "\x1b[31m"]), "bytes": np.array([b"\xff", b"a"]), "nat": np.array(["NaT"], "M8[ns]"),
        "frame": frame, "pandas": frame.to_pandas(), "series": frame["x"], "pandas series": pd.Series([1, 2]),
        "lazy": frame.lazy(), "nested": nested, "broken": Broken(), "dict": {"k": 1}, "list": [1, "x"], "none": None,
        "text": "a\nb", "path": Path("a/b"), "masked": np.ma.masked_array([1, 2], [True, False]), "complex": np.array([1j]),
        "void": np.zeros(2, "V3"), "half": np.array([6e4, -6e4], "f2"), "long": np.array([1, 2], np.longdouble),
        "largest": np.array([1.7e308, -1.7e308, np.inf]), "smallest": np.array([0, 5e-324]),
        "uint64": np.array([2**64 - 1], "u8"), "integer": 10**5000, "lone \ud800": np.zeros(1), "": np.zeros(1),
    }  # fmt: skip


def check(data: ALFObject) -> str:
    text = repr(data)
    assert str(data) == text
    lines = text.split("\n")
    assert len(lines) <= 20
    assert max(map(len, lines)) <= 80
    text.encode()
    Page(data._repr_html_())
    return text


@pytest.mark.parametrize("key", odd())
def test_odd_values(key: str) -> None:
    check(ALFObject({key: odd()[key]}))


def test_many_odd_values_together() -> None:
    data = ALFObject(odd())
    assert f"and {len(data) - 15} more:" in check(data)
    assert "&lt;script&gt;" in data._repr_html_()


@given(st.dictionaries(texts, ARRAYS, max_size=20))
def test_any_arrays(data: dict[str, Any]) -> None:
    check(ALFObject(data))


@given(
    arrays.arrays(
        st.sampled_from([np.dtype("f8"), np.dtype("f4"), np.dtype("i2"), np.dtype("u8")]),
        arrays.array_shapes(min_dims=1, max_dims=2, min_side=1, max_side=9),
    )
)
def test_numbers_are_those_of_the_array(array: Any) -> None:
    """pandas computes the range and the missing values."""
    found, column = summary.describe(array), pd.Series(array.reshape(-1))
    present = column.dropna()
    assert found.shape == repr(array.shape).replace("np.", "")
    if present.empty:
        assert (found.range, found.missing) == ("", "100 %")
        return
    for shown, value in zip(found.range.split(" .. "), (present.min(), present.max()), strict=True):
        assert (
            float(shown) == pytest.approx(float(value), rel=1e-4) or abs(float(value)) > 1.79e308
        )  # rounds to infinity
    assert found.missing == (f"{100 * column.isna().mean():.1f} %" if column.isna().any() else "")
    assert sum(found.counts) == np.isfinite(present.to_numpy(float)).sum()


def test_a_histogram_is_numpys() -> None:
    array = np.random.default_rng(1).normal(size=5000)
    assert summary.describe(array).counts == tuple(np.histogram(array, summary.BINS)[0])


def test_shares_are_not_rounded_to_none_or_all() -> None:
    values = np.zeros(100_000)
    values[:3] = np.nan
    assert summary.describe(values).missing == "<0.1 %"
    assert summary.describe(np.where(np.isnan(values), 0, np.nan)).missing == ">99.9 %"


@pytest.mark.parametrize("order", ["C", "F"])
def test_large_arrays_are_sampled(order: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "SAMPLE", 1000)
    array = np.asarray(np.linspace(0, 1, 90_000).reshape(-1, 3), order=order)
    array[::2] = np.nan  # consistent with even spacing
    found = summary.describe(array)
    assert found.range.startswith("~")
    assert 900 <= len(summary._sample(array)[0]) <= 1000
    assert float(found.missing.removeprefix("~").removesuffix(" %")) == pytest.approx(50, abs=10)
    assert summary.describe(np.zeros(5000)).missing == "~0 %"
    assert summary.describe(np.zeros(5000, "i8")).missing == ""


def test_an_array_in_a_file_is_not_read_whole(tmp_path: Path) -> None:
    """The file is a sparse file of a terabyte."""
    with (tmp_path / "large.bin").open("wb") as file:
        file.truncate(2**40)
    array = np.memmap(tmp_path / "large.bin", "f8", "r")
    assert re.match(r"~0 \.\. 0", summary.describe(array[: 2**24]).range)


def test_it_stays_a_dict() -> None:
    data = ALFObject(a=[1.0], b="text")
    assert data == {"a": [1.0], "b": "text"}
    assert json.loads(json.dumps(data)) == data
    assert type(pickle.loads(pickle.dumps(data))) is ALFObject
    assert str(dict(data)) == "{'a': [1.0], 'b': 'text'}"
