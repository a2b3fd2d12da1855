"""Lists as frames: the columns are those of the OpenAPI document whatever the rows are, and no value is lost."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import polars as pl
import pytest
import worlds

from one_async.alyx.client import AsyncAlyxClient
from one_async.alyx.frame import Columns, Notes, columns_of, frame_of, page_frame
from one_async.alyx.schema import Schema
from one_async.errors import AnswerError, InputError

SCHEMA = Schema(json.loads((worlds.RECORDS / "openapi.json").read_text("utf-8")))
RECORDS = worlds.recorded_world().records
ENDPOINTS = sorted(name for name, held in RECORDS.items() if held["list"])


def same(column: Any, given: Any) -> bool:
    """Return whether a value of a frame equals that of the record; dates are parsed, and other values may be JSON text."""
    if column is None or given is None:
        return column is None and given is None
    if isinstance(column, str):
        return column == given or (not isinstance(given, str) and json.loads(column) == given)
    if isinstance(column, dict):
        return all(same(column[key], value) for key, value in given.items())
    if isinstance(column, list):
        return len(column) == len(given) and all(map(same, column, given))
    return bool((column.isoformat() if isinstance(column, date) else column) == given)


def same_free(column: str | None, given: Any) -> bool:
    """Return whether the JSON text of a free field equals the value of the record."""
    return column is None if given is None else column is not None and json.loads(column) == given


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_every_recorded_row_is_in_its_frame(endpoint: str) -> None:
    rows, columns, notes = RECORDS[endpoint]["list"], columns_of(SCHEMA, endpoint), Notes()
    frame = frame_of(rows, columns, notes)
    assert dict(frame.schema) == columns.schema
    assert not notes.unfit
    assert not notes.unknown
    for got, row in zip(frame.iter_rows(named=True), rows, strict=True):
        for name in row:
            compare = same_free if name in columns.free else same
            assert compare(got[name], row[name]), (name, got[name], row[name])


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("check", [False, True])
def test_a_page_gives_the_same_frame_as_its_rows(endpoint: str, check: bool) -> None:
    rows, columns = RECORDS[endpoint]["list"], columns_of(SCHEMA, endpoint)
    content = json.dumps({"count": 5000, "next": "there", "previous": None, "results": rows}).encode()
    count, last, frame = page_frame(content, columns, Notes(), check=check)
    assert (count, last) == (5000, False)
    assert frame.equals(frame_of(rows, columns))


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_columns_do_not_depend_on_rows(endpoint: str) -> None:
    columns = columns_of(SCHEMA, endpoint)
    row = dict.fromkeys(columns.read)
    assert dict(frame_of([row], columns).schema) == dict(frame_of([], columns).schema) == columns.schema


def test_values_that_do_not_fit_become_null_with_a_note() -> None:
    rows = [dict(row) for row in RECORDS["subjects"]["list"]]
    rows[0]["age_weeks"] = "eighty"
    rows[1]["birth_date"] = "last week"
    rows[2]["surprise"] = 1
    rows[3]["description"] = {"not": "a text"}
    rows[4]["age_weeks"] = 80.5
    notes = Notes()
    frame = frame_of(rows, columns_of(SCHEMA, "subjects"), notes)
    assert notes.unfit == {"age_weeks": 2, "birth_date": 1}
    assert notes.unknown == {"surprise"}
    assert frame["description"][3] == '{"not":"a text"}'
    assert frame["age_weeks"].null_count() == 2 + sum(row["age_weeks"] is None for row in rows)


def test_json_text_remains_json() -> None:
    columns = columns_of(SCHEMA, "notes")
    values = [None, "text", "", 5, 2.5, True, [1, "a"], {"ä": {"b": None}}]
    rows = [{"id": str(number), "json": value} for number, value in enumerate(values)]
    texts = frame_of(rows, columns)["json"].to_list()
    assert texts[0] is None
    assert [json.loads(text) for text in texts[1:]] == values[1:]


@pytest.mark.parametrize("content", [b"{", b"<html>", b'{"detail": "no"}', b'"text"'])
def test_an_answer_that_is_not_a_page_raises_answer_error(content: bytes) -> None:
    for endpoint in ("sessions", "notes"):
        with pytest.raises(AnswerError):
            page_frame(content, columns_of(SCHEMA, endpoint), Notes())


def test_endpoints_without_rows_are_refused() -> None:
    with pytest.raises(InputError, match="endpoint="):
        columns_of(SCHEMA, "nonsense")
    with pytest.raises(AnswerError, match="does not document the fields"):
        columns_of(SCHEMA, "sync-file-status")


@pytest.mark.anyio
async def test_a_client_returns_frames(recorded_emulator: Any) -> None:
    async with AsyncAlyxClient(recorded_emulator.url, username="demo", password="demo") as alyx:
        sessions = await alyx.frame("sessions", lab="cortexlab")
        rows = await alyx.rest("sessions", "list", lab="cortexlab")
        empty = await alyx.frame("sessions", lab="nowhere")
    assert sessions["id"].to_list() == [row["id"] for row in rows]
    assert sessions.schema["start_time"] == pl.Datetime("us")
    assert empty.schema == sessions.schema
    assert empty.height == 0


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("n", 1.5, None),
        ("n", 2**70, None),
        ("n", -(2**63) - 1, None),
        ("n", 2**53 + 1, 2**53 + 1),
        ("n", 2**63 - 1, 2**63 - 1),
        ("n", 3.0, 3),
        ("of", {"a": 1.5}, {"a": None}),
        ("of", {"a": 7}, {"a": 7}),
        ("list", [1, 1.5, None], [1, None, None]),
        ("list", [], []),
    ],
)
def test_large_integers_are_not_truncated(check: bool, name: str, given: Any, expected: Any) -> None:
    columns = Columns(
        "x",
        {"id": pl.String(), "n": pl.Int64(), "of": pl.Struct({"a": pl.Int64()}), "list": pl.List(pl.Int64())},
    )
    row = {"id": "1", "n": 1, "of": {"a": 1}, "list": [1]}
    rows = [row, {**row, name: given}, dict.fromkeys(row, None)]
    content = json.dumps({"count": 3, "next": None, "previous": None, "results": rows}).encode()
    notes = Notes()
    _, _, frame = page_frame(content, columns, notes, check=check)
    assert frame.schema == columns.schema
    assert frame[name].to_list() == [row[name], expected, None]
    assert notes.unfit == ({} if expected == given else {name: 1})
