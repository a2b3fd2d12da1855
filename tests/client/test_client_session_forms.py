"""Sessions in every form that a program has at hand: one, and several in order and with repetitions."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import polars as pl
import pytest

from one_async.errors import InputError

from .conftest import Face
from .worlds import World

#: One session, made of its row of `search(details=True)`.
SINGLE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "text": lambda row: row["eid"],
    "upper case": lambda row: row["eid"].upper(),
    "UUID": lambda row: UUID(row["eid"]),
    "numpy text": lambda row: np.str_(row["eid"]),
    "numpy array without dimensions": lambda row: np.array(row["eid"]),
    "row": lambda row: row,
    "row of pandas": pd.Series,
    "row of pandas with the id as its label": lambda row: (
        pd.DataFrame([row]).set_index("eid").loc[row["eid"]]
    ),
    "row without id": lambda row: {name: value for name, value in row.items() if name != "eid"},
}
#: Several sessions, made of their ids.
SEVERAL: dict[str, Callable[[list[str]], Any]] = {
    "list": list,
    "tuple": tuple,
    "generator": iter,
    "deque": deque,
    "numpy": np.array,
    "numpy objects": lambda eids: np.array([UUID(eid) for eid in eids], object),
    "pandas series": pd.Series,
    "pandas index": pd.Index,
    "pandas categories": lambda eids: pd.Series(eids, dtype="category"),
    "Polars series": pl.Series,
    "Polars frame": lambda eids: pl.DataFrame({"eid": eids, "lab": "x"}),
    "Polars frame of ids": lambda eids: pl.DataFrame({"eid": eids}),
    "pandas frame": lambda eids: pd.DataFrame({"lab": "x", "eid": eids, "subject": "y"}),
    "pandas frame with an index of ids": lambda eids: pd.DataFrame(
        {"subject": "y"}, index=pd.Index([UUID(eid) for eid in eids], name="id")
    ),
    "rows of pandas": lambda eids: [pd.Series({"eid": eid, "subject": "y"}) for eid in eids],
}
METHODS: dict[str, tuple[Any, ...]] = {
    "to_eid": (), "eid2path": (), "eid2ref": (), "list_datasets": (), "list_collections": (), "eid2pid": (),
    "type2datasets": ("trials.table",),
}  # fmt: skip


@pytest.fixture(scope="module")
def rows(one: Face, recorded: World) -> list[dict[str, Any]]:
    _, frame = one.ask("search", details=True, query_type="remote")
    return list(frame.select("eid", "subject", "date", "number").head(3).iter_rows(named=True))


@pytest.mark.parametrize("form", SINGLE)
def test_one_session(one: Face, rows: list[dict[str, Any]], form: str) -> None:
    for method, others in METHODS.items():
        assert one.ask(method, SINGLE[form](rows[0]), *others) == one.ask(method, rows[0]["eid"], *others)


@pytest.mark.parametrize("form", SEVERAL)
def test_several_sessions_in_their_order(one: Face, rows: list[dict[str, Any]], form: str) -> None:
    eids = [rows[at]["eid"] for at in (2, 0, 1, 0)]
    for method, others in METHODS.items():
        expected = [one.ask(method, eid, *others) for eid in eids]
        assert one.ask(method, SEVERAL[form](eids), *others) == expected
        assert one.ask(method, SEVERAL[form]([]), *others) == []


def test_the_result_of_a_search_is_given_back(one: Face, rows: list[dict[str, Any]]) -> None:
    eids, frame = one.ask("search", details=True, query_type="remote")
    assert one.ask("to_eid", frame) == eids
    assert one.ask("eid2path", frame.to_pandas()) == one.ask("eid2path", eids)


@pytest.mark.parametrize(
    "form", ["records", "rows", "Polars frame", "pandas frame", "pandas frame with an index of ids"]
)
def test_the_insertions_of_a_search_are_given_back(one: Face, form: str) -> None:
    pids, records = one.ask("search_insertions", details=True, query_type="remote")
    rows = [{"pid": row["id"], "eid": row["session"], "name": row["name"]} for row in records]
    forms = {
        "records": records,
        "rows": rows,
        "Polars frame": pl.DataFrame(rows),
        "pandas frame": pd.DataFrame(rows),
        "pandas frame with an index of ids": pd.DataFrame(rows).set_index("pid").rename_axis("id"),
    }
    expected = [(UUID(row["session"]), row["name"]) for row in records]
    assert len(pids) > 1
    assert one.ask("pid2eid", forms[form]) == expected
    assert one.ask("pid2eid", pids) == expected
    assert one.ask("pid2eid", records[0]) == one.ask("pid2eid", rows[0]) == expected[0]


def test_a_record_of_a_session_is_no_insertion(one: Face, rows: list[dict[str, Any]]) -> None:
    for wrong in (rows[0], {"id": rows[0]["eid"], "subject": "x"}, {}):
        with pytest.raises(InputError, match="a record of an insertion"):
            one.ask("pid2eid", wrong)
