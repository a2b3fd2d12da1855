"""One odd record affects nothing else: the others are returned unchanged, the odd one with nulls."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from one_async.alyx.frame import Columns, Notes, page_frame
from one_async.emulator import Emulator
from one_async.errors import ALFInvalid, ALFWarning

from .conftest import login
from .faces import KINDS, Face, opened
from .worlds import World, day

SUBJECT, DAY = "CX_003", "2023-09-22"
FIELDS = ["lab", "start_time", "projects", "number", "task_protocol", "json"]
#: The folder is unknown without one of these.
PLACES = {"lab", "start_time", "number"}


@pytest.fixture
def odd(request: pytest.FixtureRequest, seeded: World, seeded_server: Emulator) -> Iterator[tuple[str, str]]:
    """Return the name of a field, and the id of the session where it is null."""
    session = dict(seeded.session(SUBJECT, DAY))
    field, eid = request.param, str(session["id"])
    seeded_server.store.update("sessions", eid, **{field: None})
    yield field, eid
    seeded_server.store.update("sessions", eid, **{field: session[field]})


@pytest.fixture
def one(kind: str, odd: tuple[str, str], seeded_server: Emulator, tmp_path: Path) -> Iterator[Face]:
    with opened(kind, cache_dir=tmp_path, mode="remote", **login(seeded_server)) as face:
        yield face


pytestmark = pytest.mark.parametrize("kind", KINDS, indirect=True)


@pytest.mark.parametrize("odd", FIELDS, indirect=True)
def test_searches_give_all_sessions(one: Face, odd: tuple[str, str], seeded: World) -> None:
    field, eid = odd
    eids, frame = one.ask("search", True)
    assert {str(found) for found in eids} == {str(s["id"]) for s in seeded.sessions}
    row = frame.row(by_predicate=pl.col("eid") == eid, named=True)
    nulled = {"start_time": "date"}.get(field, field)
    assert row.get(nulled) in (None, "")
    assert row["subject"] == SUBJECT
    others = frame.filter(pl.col("eid") != eid)
    by_id = {str(s["id"]): s for s in seeded.sessions}
    for row in others.iter_rows(named=True):
        session = by_id[row["eid"]]
        assert (row["lab"], row["subject"], row["date"], row["number"]) == (
            session["lab"], session["subject"], day(session), session["number"]
        )  # fmt: skip


@pytest.mark.parametrize("odd", FIELDS, indirect=True)
def test_the_odd_session_is_described_and_its_datasets_listed(
    one: Face, odd: tuple[str, str], seeded: World
) -> None:
    field, eid = odd
    details = one.ask("get_details", eid)
    assert details["subject"] == SUBJECT
    assert (details["local_path"] is None) == (field in PLACES)
    assert one.ask("list_datasets", eid) == seeded.paths(eid)
    reference = one.ask("eid2ref", eid)
    assert (reference["date"] is None) == (field == "start_time")
    assert (reference["sequence"] is None) == (field == "number")


@pytest.mark.parametrize("odd", FIELDS, indirect=True)
def test_paths_of_the_others_are_as_before(one: Face, odd: tuple[str, str], seeded: World) -> None:
    field, eid = odd
    other = seeded.session("CX_001", "2023-06-09")
    tail = f"{other['lab']}/Subjects/CX_001/2023-06-09/001"
    if field in PLACES:
        with pytest.warns(ALFWarning, match=eid):
            unknown, known = one.ask("eid2path", [eid, other["id"]])
        assert unknown is None
    else:
        own, known = one.ask("eid2path", [eid, other["id"]])
        assert own.as_posix().endswith(f"/Subjects/{SUBJECT}/{DAY}/001")
    assert known.as_posix().endswith(tail)
    assert str(one.ask("path2eid", known)) == str(other["id"])


@pytest.mark.parametrize("odd", sorted(PLACES), indirect=True)
def test_no_file_of_a_session_without_folder_is_put_anywhere(
    one: Face, odd: tuple[str, str], seeded: World, tmp_path: Path
) -> None:
    _, eid = odd
    other = str(seeded.session("CX_001", "2023-06-09")["id"])
    with pytest.raises(ALFInvalid, match=eid):
        one.ask("load_object", eid, "wheel")
    frame, errors = one.ask("load_many", [other, eid], "wheel", on_error="collect")
    assert set(frame["eid"]) == {other}
    assert errors["eid"].to_list() == [eid]
    assert eid in errors["error"][0]
    table = one.ask("download", [eid], "_ibl_wheel.*", on_error="collect")
    assert set(table["status"]) == {"failed"}
    assert all(eid in error for error in table["error"])
    row = one.ask("list_datasets", eid, details=True, keep_eid_index=True).to_dicts()[0]
    with pytest.raises(ALFInvalid, match=eid):
        one.ask("record2path", row)
    assert not list(tmp_path.rglob(f"*{SUBJECT}*"))


@pytest.mark.parametrize("odd", ["number"], indirect=True)
def test_a_reference_needs_a_number(one: Face, odd: tuple[str, str], seeded: World) -> None:
    other = seeded.session("CX_001", "2023-06-09")["id"]
    with pytest.warns(ALFWarning, match=odd[1]):
        assert one.ask("eid2ref", [odd[1], other], as_dict=False) == [None, "2023-06-09_1_CX_001"]


@pytest.mark.parametrize("odd", ["json"], indirect=True)
def test_insertions_without_name_or_session(
    one: Face, odd: tuple[str, str], seeded: World, seeded_server: Emulator
) -> None:
    first, second = seeded.rows("insertions")[:2]
    before = {pid: (row["session"], row["name"]) for row in seeded.rows("insertions") for pid in [row["id"]]}
    try:
        seeded_server.store.update("insertions", first["id"], name=None, model=None, serial=None)
        seeded_server.store.update("insertions", second["id"], session=None, session_info=None)
        pids = one.ask("search_insertions")
        assert {str(pid) for pid in pids} == set(before)
        found = dict(zip(map(str, pids), one.ask("pid2eid", pids), strict=True))
        for pid, (eid, name) in found.items():
            if pid == second["id"]:
                assert (eid, name) == (None, None)
            else:
                assert str(eid) == before[pid][0]
                assert name == (None if pid == first["id"] else before[pid][1])
    finally:
        for row in (first, second):
            seeded_server.store.update("insertions", row["id"], **row)


@pytest.mark.parametrize("free", [True, False])
@pytest.mark.parametrize("number", [-1, 10**30])
def test_pages_with_lone_surrogates_and_any_number_become_frames(kind: str, free: bool, number: int) -> None:
    del kind
    rows: list[dict[str, Any]] = [{"name": "a", "number": 1}, {"name": "x\ud800y", "number": number}]
    content = json.dumps({"count": 2, "next": None, "results": rows}).encode()
    schema: dict[str, Any] = {"name": pl.String(), "number": pl.Int64()}
    if free:  # a column of any JSON is read by Python, others by Polars
        schema["json"] = pl.String()
    columns = Columns("labs", schema, free=frozenset(["json"] if free else []))
    count, is_last, frame = page_frame(content, columns, Notes())
    assert (count, is_last) == (2, True)
    assert frame["name"].to_list() == ["a", "x\ufffdy"]
    assert frame["number"].to_list() == [1, number if number < 2**63 else None]
