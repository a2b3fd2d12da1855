"""Search: every term, what is refused before any request, the frame, the order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any
from uuid import UUID

import numpy as np
import polars as pl
import pytest

from one_async.emulator import Emulator
from one_async.errors import InputError

from .faces import Face
from .worlds import QC, Row, World, day

#: Some of the searches find nothing on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::one_async.errors.EmptySearchWarning")


def percent(session: Row) -> int | None:
    """Return the percentage as Alyx truncates it."""
    return session["n_trials"] and int(100 * session["n_correct_trials"] / session["n_trials"])


def has(*names: str, worst: str = "FAIL") -> Callable[[Row], bool]:
    levels = QC[: QC.index(worst) + 1]
    return lambda s: set(names) <= {d["name"] for d in s["data_dataset_session_related"] if d["qc"] in levels}


CASES: list[tuple[dict[str, Any], Callable[[Row], Any]]] = [
    ({}, lambda s: True),
    ({"subject": "KS014"}, lambda s: s["subject"] == "KS014"),
    ({"subject": "ks014"}, lambda s: s["subject"] == "KS014"),
    ({"subject": ["KS014", "RV_1085"]}, lambda s: s["subject"] in ("KS014", "RV_1085")),
    ({"subject": np.array(["KS014", "KS023"])}, lambda s: s["subject"] in ("KS014", "KS023")),
    ({"subject": "nobody"}, lambda s: False),
    ({"lab": "cortexlab"}, lambda s: s["lab"] == "cortexlab"),
    ({"laboratory": "riverlab"}, lambda s: s["lab"] == "riverlab"),
    ({"labora": ("riverlab", "summitlab")}, lambda s: s["lab"] in ("riverlab", "summitlab")),
    ({"LAB": "summitlab"}, lambda s: s["lab"] == "summitlab"),
    ({"number": 2}, lambda s: s["number"] == 2),
    ({"num": [2, 3]}, lambda s: s["number"] in (2, 3)),
    ({"number": "002"}, lambda s: s["number"] == 2),
    ({"date": "2020-01-09"}, lambda s: day(s) == date(2020, 1, 9)),
    ({"date_range": date(2020, 1, 9)}, lambda s: day(s) == date(2020, 1, 9)),
    ({"date_range": ["2020-01-09", "2020-07-22"]}, lambda s: date(2020, 1, 9) <= day(s) <= date(2020, 7, 22)),
    ({"date_range": ["2022-01-01", None]}, lambda s: day(s) >= date(2022, 1, 1)),
    ({"date_range": [None, datetime(2019, 12, 3)]}, lambda s: day(s) <= date(2019, 12, 3)),
    ({"date_range": np.datetime64("2024-02-29")}, lambda s: day(s) == date(2024, 2, 29)),
    ({"task_protocol": "ephysChoiceWorld"}, lambda s: "ephysChoiceWorld" in s["task_protocol"]),
    ({"task": "EPHYSchoice"}, lambda s: "ephysChoiceWorld" in s["task_protocol"]),
    ({"task_protocol": ["biased", "passive"]}, lambda s: {"biased", "passive"} & words(s)),
    ({"projects": "brainwide"}, lambda s: "ibl_neuropixel_brainwide_01" in s["projects"]),
    ({"project": ["practice", "summit"]}, lambda s: {"practice", "summit_learning_dop"} & set(s["projects"])),
    ({"datasets": "spikes.times.npy"}, has("spikes.times.npy")),
    ({"datasets": ["spikes.times.npy", "_ibl_trials.table.pqt"]}, has("spikes.times.npy", "_ibl_trials.table.pqt")),
    ({"datasets": "spikes.times.npy", "dataset_qc_lte": "PASS"}, has("spikes.times.npy", worst="PASS")),
    ({"datasets": "spikes.times.npy", "dataset_qc": 50}, has("spikes.times.npy", worst="CRITICAL")),
    ({"dataset_qc_lte": "CRITICAL", "subject": "KS023"}, lambda s: s["subject"] == "KS023" and has_any(s)),
    ({"users": "alice"}, lambda s: "alice" in s["users"]),
    ({"users": ["admin", "bruno"]}, lambda s: {"admin", "bruno"} & set(s["users"])),
    ({"location": "ephys_0"}, lambda s: "ephys_0" in (s["location"] or "")),
    ({"procedures": "Imaging"}, lambda s: "Imaging" in s["procedures"]),
    ({"performance_gte": 80}, lambda s: percent(s) is not None and percent(s) >= 80),
    ({"performance_lte": 50.5}, lambda s: percent(s) is not None and percent(s) <= 50),
    ({"performance_gte": 40, "performance_lte": 60}, lambda s: percent(s) is not None and 40 <= percent(s) <= 60),
    ({"qc": "FAIL"}, lambda s: s["qc"] == "FAIL"),
    ({"qc": ["pass", "CRITICAL"]}, lambda s: s["qc"] in ("PASS", "CRITICAL")),
    ({"qc": 30}, lambda s: s["qc"] == "WARNING"),
    ({"narrative": "Good session."}, lambda s: s["narrative"] == "Good session."),
    ({"django": "n_trials__gte,700"}, lambda s: (s["n_trials"] or 0) >= 700),
    ({"django": ["n_trials__gte", 700, "lab__name", "riverlab"]},
     lambda s: (s["n_trials"] or 0) >= 700 and s["lab"] == "riverlab"),
    ({"django": "subject__nickname__in,['KS014','KS023']", "number": 2},
     lambda s: s["subject"] in ("KS014", "KS023") and s["number"] == 2),
    ({"subject": ["KS014", "KS023"], "number": [2, 3], "lab": "cortexlab"},
     lambda s: s["subject"] in ("KS014", "KS023") and s["number"] in (2, 3)),
    ({"subject": "KS014", "lab": None, "number": None}, lambda s: s["subject"] == "KS014"),
    ({"n_trials": 402}, lambda s: s["n_trials"] == 402),
]  # fmt: skip


def words(session: Row) -> set[str]:
    return {word for word in ("biased", "passive") if word in session["task_protocol"]}


def has_any(session: Row) -> bool:
    return bool(session["data_dataset_session_related"])


@pytest.mark.parametrize(("terms", "chosen"), CASES, ids=[str(terms) for terms, _ in CASES])
def test_each_term_selects_by_its_column(
    one: Face, recorded: World, terms: dict[str, Any], chosen: Callable[[Row], Any]
) -> None:
    assert one.ask("search", **terms) == recorded.eids(chosen)


def test_the_cases_choose_some_sessions_and_not_all(recorded: World) -> None:
    sizes = [
        len(recorded.eids(chosen))
        for terms, chosen in CASES
        if terms and str(terms) != "{'subject': 'nobody'}"
    ]
    assert all(0 < size < 36 for size in sizes)


def test_dataset_types_must_all_be_there(one: Face, recorded: World) -> None:
    types: dict[str, set[str]] = {}
    for row in recorded.rows("datasets"):
        if row["session"]:
            types.setdefault(row["session"][-36:], set()).add(row["dataset_type"])
    wanted = ["spikes.times", "wheel.position"]
    expected = recorded.eids(lambda s: set(wanted) <= types.get(s["id"], set()))
    assert one.ask("search", dataset_types=wanted) == expected
    assert 0 < len(expected) < len(one.ask("search", dataset_types="wheel.position"))


def test_tags_and_histology(one: Face, recorded: World) -> None:
    tagged = {
        row["session"][-36:]
        for row in recorded.rows("datasets")
        if "Brainwidemap" in row["tags"] and row["session"]
    }
    assert one.ask("search", tag="Brainwidemap") == recorded.eids(lambda s: s["id"] in tagged)
    assert one.ask("search", histology=True) == recorded.eids(lambda s: s["subject"] == "KS023")


def test_regions_are_found_with_those_below_them(one: Face) -> None:
    whole = one.ask("search", atlas_acronym="grey")
    regions = [row for row in one.ask("alyx.rest", "brain-regions", "list") if row["acronym"] != "root"]
    some = {row["acronym"]: one.ask("search", atlas_id=row["id"]) for row in regions[:12]}
    for acronym, eids in some.items():
        assert one.ask("search", atlas_acronym=acronym) == eids
        assert set(eids) <= set(one.ask("search", atlas_acronym="root"))
    assert whole
    assert whole == one.ask("search", atlas_name="Basic cell groups and regions")


def test_a_thousand_ids_are_searched_in_pieces(one: Face, recorded: World, recorded_server: Emulator) -> None:
    eids = recorded.eids()
    wanted = [*eids[3:20], *(UUID(int=number) for number in range(1000))]
    assert one.ask("search", id=wanted) == eids[3:20]
    assert recorded_server.requests.count("/sessions") == -(-1017 // 75)


def test_details_give_a_frame_of_the_same_sessions(one: Face, recorded: World) -> None:
    eids, frame = one.ask("search", details=True, lab="cortexlab", date_range=["2019-12-01", "2020-12-31"])
    assert isinstance(frame, pl.DataFrame)
    assert frame.columns[:7] == ["eid", "lab", "subject", "date", "number", "task_protocol", "projects"]
    assert [UUID(eid) for eid in frame["eid"]] == eids
    for row, eid in zip(frame.iter_rows(named=True), eids, strict=True):
        session = recorded.records["sessions"]["detail"][str(eid)]
        for name in ("lab", "subject", "number", "task_protocol"):
            assert row[name] == session[name]
        assert row["date"] == day(session)
        assert set(row["projects"].split(",")) == set(session["projects"])


def test_details_of_nothing_are_an_empty_frame(one: Face) -> None:
    eids, frame = one.ask("search", details=True, subject="nobody")
    assert eids == []
    assert frame.is_empty()
    assert frame.columns[:4] == ["eid", "lab", "subject", "date"]
    assert frame.schema["date"] == pl.Date


def test_a_large_list_is_whole_and_in_order(data_one: Face, seeded: World, seeded_server: Emulator) -> None:
    assert data_one.ask("search") == seeded.eids()
    assert len(seeded.sessions) > 250


@pytest.mark.parametrize(
    "terms",
    [
        {"sbuject": "KS014"},
        {"p": "x"},
        {"date_range": "yesterday"},
        {"date_range": ["2020-01-01", "2020-02-01", "2020-03-01"]},
        {"date_range": ["2020-13-01", None]},
        {"number": "two"},
        {"number": True},
        {"number": []},
        {"id": "not-an-id"},
        {"qc": "GOOD"},
        {"dataset_qc_lte": "GOOD"},
        {"dataset_qc_lte": ["PASS", "FAIL"]},
        {"performance_gte": "high"},
        {"histology": "maybe"},
        {"django": "n_trials__gte"},
        {"django": "n_trials__gte,5,lab__name"},
        {"atlas_id": "grey"},
        {"subject": b"KS014"},
        {"subject": {"name": "KS014"}},
        {"lab": "cortexlab", "laboratory": "riverlab"},
        {"subject": "KS014", "query_type": "remotely"},
        {"subject": [f"S{n}" for n in range(100)], "number": list(range(10))},
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused_before_any_request(
    one: Face, recorded_server: Emulator, terms: dict[str, Any]
) -> None:
    one.ask("search_terms")
    recorded_server.requests.reset()
    with pytest.raises(InputError, match=r"accepted|another spelling"):
        one.ask("search", **terms)
    assert len(recorded_server.requests) == 0


def test_the_refusal_names_what_is_near(one: Face) -> None:
    with pytest.raises(InputError, match="subject"):
        one.ask("search", sbuject="KS014")
    with pytest.raises(InputError, match="performance_gte, performance_lte"):
        one.ask("search", perf=5)


def test_search_terms(one: Face, recorded: World) -> None:
    terms = one.ask("search_terms")
    assert {
        "subject",
        "laboratory",
        "date_range",
        "datasets",
        "dataset_qc_lte",
        "atlas_acronym",
        "django",
    } <= set(terms)
    assert "limit" not in terms
    assert one.ask("search_terms", query_type="local") == (
        "datasets", "date_range", "laboratory", "number", "projects", "subject", "task_protocol", "dataset_qc_lte",
    )  # fmt: skip
    assert "dataset" in one.ask("search_terms", endpoint="insertions")
    assert "nickname" in one.ask("search_terms", endpoint="subjects")


INSERTIONS: list[tuple[dict[str, Any], Callable[[Row], Any]]] = [
    ({}, lambda i: True),
    ({"name": "probe01"}, lambda i: i["name"] == "probe01"),
    ({"name": ["probe00", "probe01"]}, lambda i: True),
    ({"subject": "KS014"}, lambda i: i["session_info"]["subject"] == "KS014"),
    ({"lab": ["riverlab", "summitlab"]}, lambda i: i["session_info"]["lab"] != "cortexlab"),
    ({"projects": "summit"}, lambda i: "summit_learning_dop" in i["session_info"]["projects"]),
    ({"task": "passive"}, lambda i: "passive" in i["session_info"]["task_protocol"]),
    ({"date": ["2021-01-01", None]}, lambda i: i["session_info"]["start_time"] >= "2021"),
    ({"date_range": "2021-03-11"}, lambda i: i["session_info"]["start_time"].startswith("2021-03-11")),
    ({"date_range": [None, "2020-12-31"], "django": "name,probe00"},
     lambda i: i["session_info"]["start_time"] < "2021" and i["name"] == "probe00"),
    ({"number": 1, "name": "probe01"}, lambda i: i["name"] == "probe01"),
]  # fmt: skip


@pytest.mark.parametrize(("terms", "chosen"), INSERTIONS, ids=[str(terms) for terms, _ in INSERTIONS])
def test_insertions(one: Face, recorded: World, terms: dict[str, Any], chosen: Callable[[Row], Any]) -> None:
    rows = sorted(recorded.rows("insertions"), key=lambda row: row["name"])
    rows.sort(key=lambda row: row["session_info"]["start_time"], reverse=True)
    expected = [row for row in rows if chosen(row)]
    pids, details = one.ask("search_insertions", details=True, **terms)
    assert pids == [UUID(row["id"]) for row in expected]
    assert pids == one.ask("search_insertions", **terms)
    assert [row["name"] for row in details] == [row["name"] for row in expected]


def test_insertions_by_a_part_of_a_dataset_name(one: Face, recorded: World) -> None:
    names = {row["url"][-36:]: row["name"] for row in recorded.rows("datasets")}
    expected = {
        UUID(row["id"]) for row in recorded.rows("insertions")
        if any("spikes.times" in names[did].lower() for did in row["datasets"])
    }  # fmt: skip
    assert set(one.ask("search_insertions", dataset="Spikes.Times")) == expected
    assert expected


def test_subjects(one: Face, recorded: World) -> None:
    assert one.ask("list_subjects") == sorted(row["nickname"] for row in recorded.rows("subjects"))
