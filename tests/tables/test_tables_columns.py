"""An encoded column has the values of its series."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from one_async.tables.columns import decode, decode_list, encode

LEVELS = pl.Enum(["NOT_SET", "PASS", "FAIL"])
#: Of each kind of column: its type, its values, and whether some may be missing.
KINDS: dict[str, tuple[Any, st.SearchStrategy[Any], bool]] = {
    "whole numbers": (pl.Int64, st.integers(-(2**63), 2**63 - 1), True),
    "small numbers": (pl.UInt8, st.integers(0, 255), True),
    "numbers": (pl.Float64, st.floats(allow_nan=False), True),
    "short numbers": (pl.Float32, st.floats(width=32, allow_nan=False), True),
    "truths": (pl.Boolean, st.booleans(), True),
    "levels": (LEVELS, st.sampled_from(LEVELS.categories.to_list()), True),
    "dates": (pl.Date, st.dates(date(1, 1, 1)), True),
    "times": (pl.Datetime("us"), st.datetimes(datetime(1900, 1, 1)), True),
    "decimals": (pl.Decimal(10, 2), st.integers(-999, 999).map(lambda cents: Decimal(cents) / 100), True),
    "lists": (pl.List(pl.Int64), st.lists(st.integers(-9, 9), max_size=3), True),
    "ids": (pl.String, st.uuids().map(str), False),
    "hashes": (pl.String, st.just("") | st.binary(min_size=16, max_size=16).map(bytes.hex), True),
    "repeated texts": (pl.String, st.sampled_from(["a", "", "Ä"]), True),
    "texts": (pl.String, st.text(st.characters(exclude_categories=["Cs"])), True),
}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_rows_of_a_column_are_those_of_the_series(kind: str, data: st.DataObject) -> None:
    dtype, values, may_miss = KINDS[kind]
    expected = data.draw(st.lists(values | st.none() if may_miss else values, max_size=12))
    column = encode(pl.Series(expected, dtype=dtype))
    places = data.draw(st.lists(st.integers(0, len(expected) - 1), max_size=20)) if expected else []
    begin, end = sorted(data.draw(st.tuples(*[st.integers(0, len(expected))] * 2)))
    for rows, wanted in (
        (slice(None), expected),
        (slice(begin, end), expected[begin:end]),
        (np.array(places, np.int64), [expected[place] for place in places]),
    ):
        assert decode(column, rows).to_list() == wanted
        assert decode_list(column, rows) == wanted


def test_many_texts_and_ids_are_the_same() -> None:
    texts = [f"text {number % 1500}" for number in range(4000)]
    ids = [str(UUID(int=number)) for number in range(4000)]
    for values in (texts, ids, [None, *texts]):
        column = encode(pl.Series(values, dtype=pl.String))
        assert decode_list(column) == decode(column).to_list() == values
