"""Conversions between all kinds of names of sessions and insertions."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

import pytest

from one_async import ALFPath, ids
from one_async.emulator import Emulator
from one_async.errors import ALFObjectNotFound, InputError

from .faces import Face
from .worlds import Row, World, day


@pytest.fixture(scope="module")
def session(recorded: World) -> Row:
    return recorded.session("KS014", "2019-12-03", 2)


@pytest.fixture(scope="module")
def eid(session: Row) -> UUID:
    return UUID(session["id"])


PATH = "cortexlab/Subjects/KS014/2019-12-03/002"
NAMES: list[Any] = [
    PATH,
    f"/data/{PATH}",
    f"/data/{PATH}/alf/_ibl_trials.table.pqt",
    f"https://data.test/{PATH}/alf/x.npy",
    "C:\\data\\" + PATH.replace("/", "\\"),
    Path("/data") / PATH,
    PurePosixPath(PATH),
    ALFPath(PATH),
    "KS014/2019-12-03/002",
    "KS014/2019-12-03/2",
    "2019-12-03_2_KS014",
    "2019-12-03_002_KS014",
    {"subject": "KS014", "date": date(2019, 12, 3), "sequence": 2},
    {"subject": "KS014", "date": "2019-12-03", "number": "002"},
    {"subject": "KS014", "start_time": "2019-12-03T11:02:41", "number": 2, "lab": "cortexlab"},
]


@pytest.mark.parametrize("name", NAMES, ids=str)
def test_every_name_of_a_session_gives_its_eid(one: Face, eid: UUID, name: Any) -> None:
    assert one.ask("to_eid", name) == eid


def test_names_that_hold_the_eid_need_no_request(
    one: Face, session: Row, eid: UUID, recorded_server: Emulator
) -> None:
    url = f"https://alyx.test/sessions/{eid}"
    names = [eid, str(eid), str(eid).upper(), f" {eid} ", url, f"{url}/", f"{url}?format=json", session]
    names += [{"eid": eid}, {"url": url}]
    assert one.ask("to_eid", names) == [eid] * 10
    assert len(recorded_server.requests) == 0


def test_shapes_are_kept_and_names_looked_up_together(
    one: Face, recorded: World, recorded_server: Emulator
) -> None:
    one.ask("alyx.clear_rest_cache")
    one.ask("search_terms")
    recorded_server.requests.reset()
    sessions = recorded.sessions
    refs = [f"{day(s)}_{s['number']}_{s['subject']}" for s in sessions]
    eids = [UUID(s["id"]) for s in sessions]
    nested = [refs[:4], [[refs[4]], None, "2001-01-01_1_KS014"], [], eids[5], *refs[6:]]
    assert one.ask("to_eid", nested) == [eids[:4], [[eids[4]], None, None], [], eids[5], *eids[6:]]
    assert recorded_server.requests.count("/sessions") == 1
    assert one.ask("to_eid", []) == []
    assert one.ask("to_eid", None) is None
    assert one.ask("to_eid", id=refs[0], cache_dir="/anywhere") == eids[0]


@pytest.mark.parametrize(
    "name",
    [
        5,
        1.5,
        b"KS014/2019-12-03/002",
        "KS014",
        "",
        "2019-12-03",
        {"subject": "KS014"},
        ["x"],
        "KS014/2019-13-41/001",
    ],
    ids=str,
)
def test_what_names_no_session_is_refused(one: Face, recorded_server: Emulator, name: Any) -> None:
    with pytest.raises(InputError, match="accepted"):
        one.ask("to_eid", name)
    assert len(recorded_server.requests) == 0


def test_paths(one: Face, session: Row, eid: UUID) -> None:
    path = one.ask("eid2path", eid)
    assert isinstance(path, ALFPath)
    assert path == ALFPath(one.look("cache_dir")) / PATH
    assert one.ask("eid2path", [str(eid), UUID(int=1)]) == [path, None]
    assert one.ask("path2eid", path) == eid
    assert one.ask("path2eid", [str(path), path / "alf" / "x.y.npy", "/no/session"]) == [eid, eid, None]
    for wrong in (5, None):
        with pytest.raises(InputError):
            one.ask("path2eid", wrong)
    for wrong in ("KS014", 5, b"x"):
        with pytest.raises(InputError):
            one.ask("eid2path", wrong)
    assert one.ask("eid2path", ["2019-12-03_2_KS014", [path], None]) == [path, [path], None]


def test_references(one: Face, eid: UUID) -> None:
    ref = {"subject": "KS014", "date": date(2019, 12, 3), "sequence": 2}
    assert one.ask("eid2ref", eid) == ref
    assert one.ask("eid2ref", eid, parse=False) == {
        "subject": "KS014",
        "date": "2019-12-03",
        "sequence": "002",
    }
    assert one.ask("eid2ref", [eid, PATH], as_dict=False) == ["2019-12-03_2_KS014"] * 2
    assert one.ask("ref2eid", ref) == eid
    assert one.ask("ref2eid", ["2019-12-03_2_KS014", "2019-12-03_002_KS014"]) == [eid, eid]
    assert one.ask("ref2path", "2019-12-03_2_KS014") == one.ask("eid2path", eid)
    eids = one.ask("search", lab="cortexlab")[::-1]
    assert one.ask("ref2path", one.ask("eid2ref", eids, as_dict=False)) == one.ask("eid2path", eids)
    for unknown in ("2001-01-01_1_KS014", ["2019-12-03_2_KS014", "2019-12-03_9_KS014"]):
        with pytest.raises(ALFObjectNotFound):
            one.ask("ref2eid", unknown)
    for wrong in ("KS014", {"subject": "KS014"}, {"subject": "KS014", "date": "someday", "number": 1}):
        with pytest.raises(InputError):
            one.ask("ref2eid", wrong)


def test_pure_helpers(one: Face) -> None:
    assert one.look("is_exp_ref")(["2019-12-03_2_KS014", "x"]) == [True, False]
    parts = {"subject": "KS014", "date": date(2019, 12, 3), "sequence": 2}
    assert one.look("ref2dict")("2019-12-03_2_KS014") == parts
    assert one.look("dict2ref")(parts) == "2019-12-03_2_KS014"
    assert one.look("path2ref")(PATH, as_dict=False) == "2019-12-03_002_KS014"


def test_insertions_of_sessions(one: Face, recorded: World) -> None:
    rows = recorded.rows("insertions")
    two = recorded.session("KS014", "2020-02-18")["id"]
    none = recorded.session("KS046", "2024-12-31")["id"]
    mine = sorted((row["name"], UUID(row["id"])) for row in rows if row["session"] == two)
    pids, names = one.ask("eid2pid", two)
    assert [*zip(names, pids, strict=True)] == mine
    assert one.ask("eid2pid", none) == (None, None)
    assert one.ask("eid2pid", none, details=True) == (None, None, None)
    assert one.ask("eid2pid", [two, [none]]) == [(pids, names), [(None, None)]]
    assert one.ask("eid2pid", "KS014/2020-02-18/001") == (pids, names)
    assert [row["name"] for row in one.ask("eid2pid", two, details=True)[2]] == names
    assert one.ask("eid2pid", two, name="probe01") == ([pids[1]], ["probe01"])
    assert one.ask("eid2pid", [two, none], name="probe01") == [([pids[1]], ["probe01"]), (None, None)]


def test_sessions_of_insertions(one: Face, recorded: World) -> None:
    rows = recorded.rows("insertions")
    pairs = [(UUID(row["session"]), row["name"]) for row in rows]
    assert one.ask("pid2eid", [row["id"] for row in rows]) == pairs
    assert one.ask("pid2eid", UUID(rows[0]["id"])) == pairs[0]
    assert one.ask("pid2eid", [[rows[0]["id"]], UUID(int=9)]) == [[pairs[0]], (None, None)]
    for wrong in ("probe00", 5, None):
        with pytest.raises(InputError):
            one.ask("pid2eid", wrong)
    for wrong in ("KS014", 5):
        with pytest.raises(InputError):
            one.ask("eid2pid", wrong)


def test_all_eids_in_one_request_each(one: Face, recorded: World, recorded_server: Emulator) -> None:
    eids = recorded.eids()
    one.ask("alyx.clear_rest_cache")
    one.ask("search_terms")
    recorded_server.requests.reset()
    one.ask("eid2path", eids)
    one.ask("eid2pid", eids)
    one.ask("get_details", eids)
    assert recorded_server.requests.count("/sessions") == 1
    assert recorded_server.requests.count("/insertions") == 1


MANY_REFS = [
    f"20{i % 20:02d}-0{i % 9 + 1}-{i % 28 + 1:02d}_{i % 4 + 1:0{i % 3 + 1}d}_SUB-{i}.x_{i % 7}"
    for i in range(400)
]


@pytest.mark.parametrize("last", ["2020-02-29_3_ä_b", {"subject": "a", "date": "2020-01-01", "sequence": 1}])
def test_many_references_are_read_as_one_by_one(last: Any) -> None:
    assert ids.ref_keys([*MANY_REFS, last]).rows() == [ids.ref_key(ref) for ref in (*MANY_REFS, last)]


@pytest.mark.parametrize(
    "wrong", ["2021-02-29_1_a", "2020-01-01_1", "2020-01-01_1_", "2020-01-01_1_a/b", "x", "", None, 5]
)
def test_one_wrong_among_many_references_is_named(wrong: Any) -> None:
    with pytest.raises(InputError, match=f"ref={re.escape(repr(wrong))}"):
        ids.ref_keys([*MANY_REFS, wrong])


def test_probes_of_many_sessions_are_each_session_s_own(one: Face, recorded: World) -> None:
    eids = recorded.eids()[:12]
    alone = [one.ask("eid2pid", eid) for eid in eids]
    assert one.ask("eid2pid", eids) == alone
    first, second = one.ask("eid2pid", [eids[0]] * 2)
    assert first == second == alone[0]
    assert first[1] is None or first[1] is not second[1]
    assert [found[:2] for found in one.ask("eid2pid", eids, details=True)] == alone
    assert any(pids for pids, _ in alone)


MANY_EIDS: list[Any] = [str(UUID(int=number << 64 | number)) for number in range(1, 400)]


@pytest.mark.parametrize(
    "last",
    [MANY_EIDS[0], MANY_EIDS[9].upper(), MANY_EIDS[0] + "\n", "é" + MANY_EIDS[0][1:], UUID(int=3), None, ""],
)
def test_many_ids_are_read_as_one_by_one(last: Any) -> None:
    assert ids.eid_texts([*MANY_EIDS, last]) == [ids.eid_text(eid) for eid in (*MANY_EIDS, last)]
