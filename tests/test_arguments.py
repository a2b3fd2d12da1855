"""Arguments may be written in many ways."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from one_async._arguments import date_range


@pytest.mark.parametrize(
    ("given_range", "expected"),
    [
        ("2020-01-02", (date(2020, 1, 2), date(2020, 1, 2))),
        (date(2020, 1, 2), (date(2020, 1, 2), date(2020, 1, 2))),
        (datetime(2020, 1, 2), (date(2020, 1, 2), date(2020, 1, 2))),
        (datetime(2020, 1, 2, 12), (date(2020, 1, 3), date(2020, 1, 3))),
        (np.datetime64("2020-01-02"), (date(2020, 1, 2), date(2020, 1, 2))),
        (["2020-01-02"], (date(2020, 1, 2), date.max)),
        (["2020-01-02", None], (date(2020, 1, 2), date.max)),
        ((None, "2020-01-02"), (date.min, date(2020, 1, 2))),
        (np.array(["2020-01-01", "2020-01-05"], "datetime64[D]"), (date(2020, 1, 1), date(2020, 1, 5))),
        (pl.Series([date(2020, 1, 1), date(2020, 1, 5)]), (date(2020, 1, 1), date(2020, 1, 5))),
        (["2020/01/02", "20200105"], (date(2020, 1, 2), date(2020, 1, 5))),
        ("2020-1-5", (date(2020, 1, 5), date(2020, 1, 5))),
        (["2020-1", "2021/5/7 10:00"], (date(2020, 1, 1), date(2021, 5, 7))),
        (["2020", "2021-05"], (date(2020, 1, 1), date(2021, 5, 31))),
        ("2020-02", (date(2020, 2, 1), date(2020, 2, 29))),
        ("2021", (date(2021, 1, 1), date(2021, 12, 31))),
        ("9999-12-31", (date.max, date.max)),
        (datetime.max, (date.max, date.max)),
        (["9999-12-31T12:00"], (date.max, date.max)),
        ("9999-12-30 12:00", (date.max, date.max)),
        (date.min, (date.min, date.min)),
        (["2020-01-02", float("nan")], (date(2020, 1, 2), date.max)),
        (pd.Series(["2020-01-02", None], dtype="string"), (date(2020, 1, 2), date.max)),
        (pd.Series([None, "2020-01-02"]), (date.min, date(2020, 1, 2))),
    ],
)
def test_a_range_of_dates_may_be_written_in_many_ways(given_range: Any, expected: tuple[date, date]) -> None:
    assert date_range(given_range) == expected
