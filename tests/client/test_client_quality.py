"""`quality`, compared with the records of the world and with the query of the brain-wide map's code."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any

import polars as pl
import pytest

from one_async import ONE
from one_async.client.quality import _column
from one_async.emulator import Emulator
from one_async.errors import InputError, OfflineError

from .conftest import Make
from .faces import Face
from .worlds import QC, World

PROJECT = "ibl_neuropixel_brainwide_01"
BRAIN_WIDE_MAP = {
    "project": PROJECT, "mock": False, "session_qc_lte": "FAIL", "insertion_qc_lte": "FAIL",
    "behavior": True, "tracing": True, "alignment_resolved": True, "min_task_checks": 0.9,
}  # fmt: skip
#: The filters of the published query, in its order.
BASE = (
    f"session__project__name__icontains,{PROJECT},session__json__IS_MOCK,False,session__qc__lt,50,~json__qc,CRITICAL,"
    "session__extended_qc__behavior,1,json__extended_qc__tracing_exists,True,json__extended_qc__alignment_resolved,True,"
).replace("session__project__", "session__projects__")
CHECKS = [
    "stimOn_goCue_delays",
    "response_feedback_delays",
    "wheel_move_before_feedback",
    "wheel_freeze_during_quiescence",
    "error_trial_event_sequence",
    "correct_trial_event_sequence",
    "reward_volumes",
    "reward_volume_set",
    "stimulus_move_before_goCue",
    "audio_pre_trial",
]
Row = Mapping[str, Any]


def insertions(seeded: World) -> list[tuple[Row, Row, Row, Row, Row]]:
    """Return each insertion with its extended QC, its session, and the session's json and extended QC."""
    sessions = {session["id"]: session for session in seeded.sessions}
    rows = []
    for row in seeded.rows("insertions"):
        session = sessions[row["session"]]
        rows.append(
            (row, row["json"]["extended_qc"], session, session["json"] or {}, session["extended_qc"] or {})
        )
    return rows


def level(qc: str) -> int:
    return QC.index(qc)


def task_passes(checks: Row) -> bool:
    passed = all(checks.get(f"_task_{name}", 0) >= 0.9 for name in CHECKS)
    return passed or checks.get("_experimenter_task") == "PASS"


CASES: list[tuple[dict[str, Any], Callable[[Row, Row, Row, Row, Row], Any]]] = [
    ({}, lambda *_: True),
    ({"alignment_resolved": True}, lambda i, e, s, j, x: e.get("alignment_resolved") is True),
    ({"alignment_resolved": False}, lambda i, e, s, j, x: e.get("alignment_resolved") is False),
    ({"min_alignments": 1}, lambda i, e, s, j, x: (e.get("alignment_count") or 0) >= 1),
    ({"tracing": True}, lambda i, e, s, j, x: e.get("tracing_exists") is True),
    ({"tracing": False}, lambda i, e, s, j, x: e.get("tracing_exists") is False),
    ({"behavior": True}, lambda i, e, s, j, x: x.get("behavior") == 1),
    ({"behavior": False}, lambda i, e, s, j, x: x.get("behavior", 1) != 1),
    ({"mock": False}, lambda i, e, s, j, x: j.get("IS_MOCK") is False),
    ({"session_qc_lte": "WARNING"}, lambda i, e, s, j, x: level(s["qc"]) <= level("WARNING")),
    ({"session_qc_lte": 10}, lambda i, e, s, j, x: level(s["qc"]) <= level("PASS")),
    ({"insertion_qc_lte": "WARNING"}, lambda i, e, s, j, x: i["json"]["qc"] not in ("FAIL", "CRITICAL")),
    ({"insertion_qc_lte": "pass"}, lambda i, e, s, j, x: i["json"]["qc"] == "PASS"),
    ({"min_task_checks": 0.9}, lambda i, e, s, j, x: task_passes(x)),
    ({"lab": "cortexlab", "tracing": True}, lambda i, e, s, j, x: s["lab"] == "cortexlab" and e["tracing_exists"]),
    ({"insertion_qc_lte": "CRITICAL"}, lambda i, e, s, j, x: "qc" in i["json"]),
    (
        {"django": "json__n_units__gte,25", "insertion_qc_lte": "WARNING"},
        lambda i, e, s, j, x: i["json"]["n_units"] >= 25 and i["json"]["qc"] in ("PASS", "WARNING"),
    ),
    ({"name": "probe01", "subject": ["CX_001", "VA_07"]},
     lambda i, e, s, j, x: i["name"] == "probe01" and s["subject"] in ("CX_001", "VA_07")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("terms", "meets"), CASES, ids=lambda value: str(value) if isinstance(value, dict) else ""
)
def test_each_term(data_one: Face, seeded: World, terms: dict[str, Any], meets: Callable[..., Any]) -> None:
    found = data_one.ask("quality", extended=False, **terms)
    expected = {row["id"] for row, *rest in insertions(seeded) if meets(row, *rest)}
    assert set(found["pid"]) == expected
    assert found["pid"].is_unique().all()
    order = [str(pid) for pid in data_one.ask("search_insertions") if str(pid) in expected]
    assert found["pid"].to_list() == order


@pytest.fixture(scope="module")
def checked() -> Iterator[Emulator]:
    """Yield a world whose sessions in turn passed their checks, failed one, lack one, or are marked."""
    with Emulator() as emulator, ONE(base_url=emulator.url, username="admin", password="admin") as one:
        rows = one.alyx.rest("insertions", "list")
        rows.sort(key=lambda row: not row["json"]["extended_qc"].get("alignment_resolved"))  # those are first
        eids = list(dict.fromkeys(row["session"] for row in rows))
        for number, eid in enumerate(eids):
            checks = {f"_task_{name}": 0.9 + number / 1000 for name in CHECKS}
            if number % 4 in (1, 3):
                checks[f"_task_{CHECKS[number % 10]}"] = 0.5
            if number % 4 == 2:
                del checks[f"_task_{CHECKS[number % 10]}"]
            marks = {"_experimenter_task": ("PASS", "FAIL")[number // 4 % 2]} if number % 4 == 3 else {}
            one.alyx.json_field_update("sessions", eid, "extended_qc", {"behavior": 1, **checks, **marks})
        yield emulator


def test_the_query_of_the_brain_wide_map(make: Make, checked: Emulator) -> None:
    one = make(checked)
    checks = ",".join(f"~session__extended_qc___task_{name}__lt,0.9" for name in CHECKS)
    queries = [BASE + checks, f"{BASE}session__extended_qc___experimenter_task,PASS"]
    rows = [row for django in queries for row in one.ask("alyx.rest", "insertions", "list", django=django)]
    assert {len(one.ask("alyx.rest", "insertions", "list", django=django)) > 0 for django in queries} == {
        True
    }
    found = one.ask("quality", **BRAIN_WIDE_MAP)
    assert set(found["pid"]) == {row["id"] for row in rows}
    loose = one.ask("quality", min_task_checks=0.9)
    assert set(found["pid"]) < set(loose["pid"])
    for row in one.ask("quality").iter_rows(named=True):
        extended = {name.removeprefix("session."): row[name] for name in row if row[name] is not None}
        assert (row["pid"] in set(loose["pid"])) == task_passes(extended)


def test_what_the_frame_holds(data_one: Face, seeded: World) -> None:
    frame = data_one.ask("quality")
    expected = {row["id"]: (row, *rest) for row, *rest in insertions(seeded)}
    assert frame.height == len(expected)
    assert frame.columns[:9] == [
        "pid",
        "eid",
        "name",
        "subject",
        "lab",
        "date",
        "number",
        "projects",
        "task_protocol",
    ]
    for row in frame.iter_rows(named=True):
        insertion, checks, session, _, extended = expected[row["pid"]]
        assert row["eid"] == session["id"]
        for name in ("subject", "lab", "number", "task_protocol"):
            assert row[name] == session[name]
        assert row["date"] == date.fromisoformat(session["start_time"][:10])
        assert row["projects"] == ",".join(session["projects"])
        assert (row["insertion_qc"], row["session_qc"]) == (insertion["json"]["qc"], session["qc"])
        assert row["name"] == insertion["name"]
        for name in ("tracing_exists", "alignment_count", "alignment_resolved"):
            assert row[name] == checks.get(name)
        assert row["behavior"] == (extended["behavior"] == 1 if "behavior" in extended else None)
        rest = {name.removeprefix("session."): row[name] for name in row if name.startswith("session.")}
        assert {k: v for k, v in rest.items() if v is not None} == {
            k: v for k, v in extended.items() if k != "behavior"
        }
    assert frame.schema["alignment_resolved"] == frame.schema["behavior"] == pl.Boolean
    assert frame.schema["session._task_stimOn_delays"] == pl.Float64
    brief = data_one.ask("quality", extended=False)
    assert brief.equals(frame.select(brief.columns))


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([None, True], pl.Boolean), ([1, None], pl.Int64), ([1, 0.5], pl.Float64), (["a", None], pl.String),
        ([1, "PASS"], pl.String), ([True, 1], pl.String), ([{"a": 1}, None], pl.String), ([[0.5, 1]], pl.String),
        ([1 << 70], pl.Float64), ([], pl.Boolean), ([None], pl.Boolean),
    ],
    ids=str,
)  # fmt: skip
def test_values_of_any_type_are_kept(values: list[Any], dtype: Any) -> None:
    column = _column("x", values, pl.Boolean)
    assert column.dtype == dtype
    if {type(value) for value in values} - {type(None)} in ({bool}, {int}, {int, float}, {str}, set()):
        assert column.to_list() == values
    else:
        assert [None if text is None else json.loads(text) for text in column] == values


@pytest.mark.parametrize("kind", ["blocking", "asyncio"], indirect=True)
def test_nothing_is_found_and_pandas(make: Make, seeded_server: Emulator) -> None:
    one = make(seeded_server, tables="pandas")
    assert type(one.ask("quality", alignment_resolved=True)).__module__.startswith("pandas")
    empty = one.ask("quality", subject="nobody_at_all", extended=False)
    assert len(empty) == 0
    assert list(empty.columns) == list(one.ask("quality", extended=False).columns)[: len(empty.columns)]


@pytest.mark.parametrize("kind", ["blocking", "asyncio"], indirect=True)
def test_tables_cannot_answer(make: Make, seeded_server: Emulator) -> None:
    one = make(seeded_server, mode="local")
    with pytest.raises(OfflineError, match="extended_qc"):
        one.ask("quality")
    with pytest.raises(OfflineError, match="extended_qc"):
        make(seeded_server, mode="remote").ask("quality", "local")
    assert seeded_server.requests.count("/") == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"alignment_resolved": "yes"}, {"behavior": 1}, {"mock": []}, {"tracing": 0}, {"session_qc_lte": "good"},
        {"insertion_qc_lte": 12}, {"min_alignments": "many"}, {"min_alignments": 1.5}, {"min_task_checks": 90},
        {"min_task_checks": True}, {"min_task_checks": "0.9"}, {"min_task_checks": float("nan")}, {"django": "a"},
    ],
    ids=str,
)  # fmt: skip
def test_wrong_terms_are_refused_before_any_request(
    make: Make, seeded_server: Emulator, wrong: dict[str, Any]
) -> None:
    one = make(seeded_server)
    with pytest.raises(InputError, match=next(iter(wrong))):
        one.ask("quality", **wrong)
    assert seeded_server.requests.count("/") == 0
