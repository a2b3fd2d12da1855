"""Merging by id: the metadata of tables, tables with other ids, and columns, compared with dictionaries."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from one_async.tables.catalogue import Catalogue
from one_async.tables.merge import merge, merge_catalogues, merge_raw
from one_async.tables.schema import SCHEMAS
from tables_data import make_catalogue

DATES = ["2024-12-31 06:00", "2025-01-15 06:00"]
metadata = st.fixed_dictionaries(
    {},
    optional={
        "date_created": st.sampled_from(DATES),
        "origin": st.sampled_from(["a", "b"]) | st.lists(st.sampled_from(["a", "b", "c"]), max_size=3),
        "partial": st.just(True),
        "min_api_version": st.sampled_from(["1.0", "2.0"]),
    },
)


def origins(raw: dict[str, Any]) -> set[str]:
    found = raw.get("origin", [])
    return {found} if isinstance(found, str) else set(found)


@settings(max_examples=150)
@given(metadata, metadata)
def test_metadata_have_all_origins_the_earlier_date_and_the_newer_values(
    base: dict[str, Any], new: dict[str, Any]
) -> None:
    found = merge_raw(base, new)
    assert origins(found) == origins(base) | origins(new)
    dates = {raw["date_created"] for raw in (base, new) if "date_created" in raw}
    assert found.get("date_created") == min(dates, default=None)
    versions = [raw["min_api_version"] for raw in (base, new) if "min_api_version" in raw]
    assert found.get("min_api_version") == (versions[-1] if versions else None)
    tables = [raw for raw in (base, new) if raw]
    assert ("partial" in found) == (bool(tables) and all("partial" in raw for raw in tables))


@pytest.mark.parametrize("key", ["eid", "id", "other"])
def test_tables_of_other_names_merge_by_their_first_known_id(key: str) -> None:
    old = [{"note": "x", key: "1", "text": "old"}, {"note": "y", key: "2", "text": "old"}]
    new = [{"note": "z", key: "2", "text": "new"}, {"note": "w", key: "3", "text": "new"}]
    if key == "other":  # without a column of ids, the first column identifies rows
        old, new = ([{key: row[key], **row} for row in rows] for rows in (old, new))
    tables = merge(merge(make_catalogue(3), {"notes": old}), {"notes": pl.DataFrame(new)})
    expected = {row[key]: row for row in [*old, *new]}
    assert {row[key]: row for row in tables.others["notes"].to_dicts()} == expected
    assert len(tables.others["notes"]) == len(expected)
    assert {row[key] for row in tables.pending["notes"].to_dicts()} == expected.keys()


def test_two_catalogues_merge_to_the_rows_and_origins_of_both() -> None:
    first, second = make_catalogue(20, seed=1), make_catalogue(20, seed=2)
    second = second.with_meta(
        raw={name: {"origin": "there", "date_created": DATES[0]} for name in ("sessions", "datasets")}
    )
    found = merge_catalogues(first, second)
    for rows_of, key in (
        (lambda c: c.session_frame, ["eid"]),
        (lambda c: c.dataset_table.frame(), ["eid", "did"]),
    ):
        expected = {
            tuple(row[name] for name in key): row
            for one in (first, second)
            for row in rows_of(one).to_dicts()
        }
        assert {tuple(row[name] for name in key): row for row in rows_of(found).to_dicts()} == expected
    assert found.meta.origin == {"here", "there"}
    assert found.meta.created_time == datetime(2024, 12, 31, 6)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 14), min_size=1, max_size=4, unique=True), st.booleans())
def test_merged_datasets_replace_those_with_their_ids(positions: list[int], add: bool) -> None:
    """Datasets of one session or several, at the beginning, in the middle and at the end of the table."""
    catalogue = make_catalogue(15, seed=3)
    eids = {catalogue.session_frame["eid"][at] for at in positions}
    before = catalogue.dataset_table.frame().to_dicts()
    changed = [{**row, "file_size": 7} for row in before if row["eid"] in eids]
    added = [{**row, "did": str(UUID(int=n)), "file_size": 8} for n, row in enumerate(changed)] if add else []
    tables = merge(catalogue, {"datasets": [*added, *changed]})
    expected = {(row["eid"], row["did"]): row for row in [*before, *changed, *added]}
    found = tables.dataset_table.frame().to_dicts()
    assert {(row["eid"], row["did"]): row for row in found} == expected
    assert len(found) == len(expected)


def test_tables_of_queries_alone_are_partial_with_a_date_like_alyx() -> None:
    before = datetime.now().replace(second=0, microsecond=0)
    rows = make_catalogue(3).session_frame
    for tables in (Catalogue.empty(), Catalogue.empty().replace(sessions=rows.head(0))):
        raw = merge(tables, {"sessions": rows}, origin="https://alyx.test").meta.raw["sessions"]
        assert (raw["partial"], raw["origin"]) == (True, ["https://alyx.test"])
        made = datetime.strptime(raw["date_created"], "%Y-%m-%d %H:%M")
        assert before <= made <= before + timedelta(minutes=5)


FIRST = [
    {"id": str(UUID(int=3)), "eid": str(UUID(int=9)), "name": "probe00", "rel_path": "alf/a.b.npy"},
    {"id": UUID(int=4), "eid": UUID(int=9), "colour": "red", "name": "probe01", "rel_path": "alf/c.d.npy"},
    {"id": str(UUID(int=4)), "eid": str(UUID(int=9)), "name": "repeated", "rel_path": "alf/repeated.npy"},
]


@pytest.mark.parametrize("rows", [FIRST, pl.DataFrame([{**row, "id": str(row["id"])} for row in FIRST[::2]])])
@pytest.mark.parametrize(("table", "key"), [("sessions", "eid"), ("datasets", "did"), ("insertions", "pid")])
def test_the_first_rows_of_a_table_have_all_its_columns(
    table: str, key: str, rows: list[dict[str, Any]] | pl.DataFrame
) -> None:
    if table == "sessions":
        session = {"subject": "S1", "date": "2020-01-31", "number": 2}
        given: Any = [{**session, "id": row["id"], "colour": "red"} for row in FIRST]
        rows = pl.DataFrame([{**row, "id": str(row["id"])} for row in given]) if rows is not FIRST else given
    tables = merge(Catalogue.empty(), {table: rows})
    frame = {
        "sessions": tables.session_frame,
        "datasets": tables.dataset_table.frame(),
        "insertions": tables.others.get("insertions", pl.DataFrame()),
    }[table]
    assert dict(frame.schema) == dict(SCHEMAS[table])
    assert frame[key].to_list() == [str(UUID(int=3)), str(UUID(int=4))]
    for name in set(frame.columns) & {"name", "rel_path"}:
        known = rows[name].to_list() if isinstance(rows, pl.DataFrame) else [row[name] for row in rows]
        assert frame[name].to_list() == known[:2]
