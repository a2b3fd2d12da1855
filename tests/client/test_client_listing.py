"""Datasets, collections and details of sessions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import polars as pl
import pytest

from one_async.emulator import Emulator
from one_async.errors import ALFObjectNotFound, ALFWarning, InputError, OfflineError

from .faces import Face
from .worlds import QC, Row, World, day, path_of

KS014 = "KS014", "2020-02-18"  # full spike sorting on two probes, several revisions


@pytest.fixture(scope="module")
def eid(recorded: World) -> str:
    return str(recorded.session(*KS014)["id"])


def good(dataset: Row) -> bool:
    return dataset["qc"] in QC[:4]


FILTERS: list[tuple[dict[str, Any], Callable[[Row], Any]]] = [
    ({}, good),
    ({"filename": "spikes.*"}, lambda d: d["name"].startswith("spikes.")),
    ({"filename": ["spikes.times.npy", "*wheel*"]}, lambda d: d["name"] == "spikes.times.npy" or "wheel" in d["name"]),
    ({"filename": {"object": "spikes", "attribute": ["times", "amps"]}},
     lambda d: d["name"] in ("spikes.times.npy", "spikes.amps.npy")),
    ({"collection": "alf"}, lambda d: d["collection"] == "alf"),
    ({"collection": "alf/probe0[01]*"}, lambda d: d["collection"].startswith("alf/probe0")),
    ({"collection": ""}, lambda d: d["collection"] == ""),
    ({"collection": ["alf", "raw_behavior_data"]}, lambda d: d["collection"] in ("alf", "raw_behavior_data")),
    ({"revision": ""}, lambda d: d["revision"] == ""),
    ({"revision": "2022-10-31"}, lambda d: d["revision"] == "9886e8cd-16c3-466e-bc78-88b5b9b92e8d"),
    ({"qc": "PASS"}, lambda d: d["qc"] in QC[:2]),
    ({"qc": "CRITICAL"}, lambda d: True),
    ({"qc": 30, "ignore_qc_not_set": True}, lambda d: d["qc"] in QC[1:3]),
    ({"default_revisions_only": True}, lambda d: d["default_revision"] == "True"),
    ({"filename": "nothing.like.this"}, lambda d: False),
]  # fmt: skip


@pytest.mark.parametrize(("filters", "chosen"), FILTERS, ids=[str(filters) for filters, _ in FILTERS])
def test_datasets(one: Face, recorded: World, filters: dict[str, Any], chosen: Callable[[Row], Any]) -> None:
    """The sessions have revisions, QC of all levels, no QC, and datasets without an address."""
    bounded = "qc" in filters
    for subject, when in (
        KS014,
        ("ibl_summit_29", "2023-03-28"),
        ("KS046", "2024-12-31"),
        ("KS014", "2019-12-03"),
    ):
        eid = recorded.session(subject, when)["id"]
        expected = recorded.paths(eid, lambda d: chosen(d) and (bounded or good(d)))
        assert one.ask("list_datasets", eid, **filters) == expected


def test_details_of_datasets(one: Face, recorded: World, eid: str) -> None:
    frame = one.ask("list_datasets", eid, collection="alf", details=True)
    assert isinstance(frame, pl.DataFrame)
    assert "eid" not in frame.columns
    by_id = {d["id"]: d for d in recorded.of(eid)}
    assert set(frame["rel_path"]) == set(one.ask("list_datasets", eid, collection="alf"))
    for row in frame.iter_rows(named=True):
        dataset = by_id[row["did"]]
        assert row["rel_path"] == path_of(dataset, recorded.revisions)
        assert (row["file_size"], row["hash"], row["qc"]) == (
            dataset["file_size"],
            dataset["hash"] or None,
            dataset["qc"],
        )
        assert row["default_revision"] == (dataset["default_revision"] == "True")
    assert set(one.ask("list_datasets", eid, details=True, keep_eid_index=True)["eid"]) == {eid}


def test_a_list_of_sessions_gives_a_list(one: Face, recorded: World) -> None:
    eids = [s["id"] for s in recorded.sessions[:6]]
    listed = one.ask("list_datasets", eids)
    assert listed == [recorded.paths(eid, good) for eid in eids]
    assert one.ask("list_datasets", []) == []


def test_revision_policies(one: Face, recorded: World, eid: str) -> None:
    with pytest.warns(ALFWarning, match="Multiple revisions"):
        old = one.ask("list_datasets", eid, revision="2022-12-31", revision_policy="last_before")
    assert any("#2022-10-31#" in path or "#2021-07-05#" in path for path in old)
    assert not any("#2024" in path for path in old)
    default = one.ask("list_datasets", eid, revision_policy="default")
    assert default == recorded.paths(eid, lambda d: good(d) and d["default_revision"] == "True")


def test_collections_and_revisions(one: Face, recorded: World, eid: str) -> None:
    collections = one.ask("list_collections", eid)
    assert sorted(collections) == sorted({d["collection"] for d in recorded.of(eid)})
    spikes = one.ask("list_collections", eid, filename="spikes.times*")
    assert sorted(spikes) == sorted(
        {d["collection"] for d in recorded.of(eid) if d["name"].startswith("spikes.times")}
    )
    names = {recorded.revisions.get(d["revision"], "") for d in recorded.of(eid)}
    assert sorted(one.ask("list_revisions", eid)) == sorted(names)
    assert len(names) > 1
    grouped = one.ask("list_collections", eid, details=True)
    assert sorted(grouped) == sorted(collections)
    assert sum(frame.height for frame in grouped.values()) == len(recorded.paths(eid, good))
    revised = one.ask("list_revisions", eid, details=True)
    assert {name: frame.height for name, frame in revised.items()} == {
        name: sum(recorded.revisions.get(d["revision"], "") == name for d in recorded.of(eid) if good(d))
        for name in names
    }


@pytest.mark.parametrize("method", ["list_datasets", "list_collections", "list_revisions"])
def test_all_datasets_are_no_remote_question(one: Face, recorded_server: Emulator, method: str) -> None:
    with pytest.raises(InputError, match="query_type='auto'"):
        one.ask(method)
    assert len(recorded_server.requests) == 0


@pytest.mark.parametrize(
    "filters",
    [
        {"qc": "GOOD"},
        {"filename": {"objekt": "spikes"}},
        {"collection": 5},
        {"filename": 5},
        {"revision_policy": "newest"},
    ],
    ids=str,
)
def test_bad_filters_are_refused_before_any_request(
    one: Face, eid: str, recorded_server: Emulator, filters: dict[str, Any]
) -> None:
    one.ask("alyx.clear_rest_cache")
    with pytest.raises(InputError):
        one.ask("list_datasets", eid, **filters)
    assert len(recorded_server.requests) == 0


def test_unknown_sessions(one: Face) -> None:
    unknown = UUID(int=5)
    for method in ("list_datasets", "list_collections", "list_revisions", "get_details", "eid2ref"):
        with pytest.raises(ALFObjectNotFound, match=str(unknown)):
            one.ask(method, unknown)
    with pytest.raises(ALFObjectNotFound, match=str(unknown)):
        one.ask("get_details", unknown, full=True)
    with pytest.raises(ALFObjectNotFound, match="2001-01-01_1_nobody"):
        one.ask("list_datasets", "2001-01-01_1_nobody")


def test_details(one: Face, recorded: World, eid: str) -> None:
    session = recorded.records["sessions"]["detail"][eid]
    details = one.ask("get_details", eid)
    assert {name: details[name] for name in ("subject", "number", "lab", "start_time", "task_protocol")} == {
        name: session[name] for name in ("subject", "number", "lab", "start_time", "task_protocol")
    }
    assert details["date"] == day(session)
    assert details["projects"] == ",".join(session["projects"])
    assert str(details["local_path"]).endswith("cortexlab/Subjects/KS014/2020-02-18/001")
    full = one.ask("get_details", eid, full=True)
    assert full["n_trials"] == session["n_trials"]
    assert full["data_dataset_session_related"][0].keys() == session["data_dataset_session_related"][0].keys()
    both = [recorded.sessions[3]["id"], eid, eid]
    assert [row["url"][-36:] for row in one.ask("get_details", both)] == both
    assert [row["id"] for row in one.ask("get_details", both, full=True)] == both


def test_descriptions(one: Face, recorded: World) -> None:
    types = {row["name"]: row for row in recorded.rows("dataset-types")}
    assert one.ask("describe_dataset", "spikes.times") == types["spikes.times"]
    assert one.ask("describe_dataset", "spikes.times.npy") == types["spikes.times"]
    assert {row["name"] for row in one.ask("describe_dataset")} == set(types)
    (did,) = [d["id"] for d in recorded.of(recorded.session(*KS014)["id"])][:1]
    assert one.ask("describe_dataset", did)["name"] == one.ask("dataset2type", UUID(did))
    assert one.ask("dataset2type", ["spikes.times.npy", [did]]) == [
        "spikes.times",
        [one.ask("dataset2type", did)],
    ]
    with pytest.raises(ALFObjectNotFound):
        one.ask("dataset2type", "nothing.atAll.npy")
    revision = recorded.rows("revisions")[0]
    assert one.ask("describe_revision", revision["name"]) == revision["description"]
    assert one.ask("describe_revision", f"#{revision['name']}#", full=True) == revision
    with pytest.raises(ALFObjectNotFound):
        one.ask("describe_revision", "1999-01-01")
    with pytest.raises(InputError):
        one.ask("describe_revision", "")


def test_type2datasets(one: Face, recorded: World, eid: str) -> None:
    types = {row["url"][-36:]: row["dataset_type"] for row in recorded.rows("datasets")}
    expected = sorted(
        path_of(d, recorded.revisions) for d in recorded.of(eid)
        if types[d["id"]] in ("spikes.times", "spikes.amps") and d["data_url"]
    )  # fmt: skip
    assert one.ask("type2datasets", eid, ["spikes.times", "spikes.amps"]) == expected
    frame = one.ask("type2datasets", eid, "spikes.times", details=True)
    assert set(frame["did"]) == {
        d["id"] for d in recorded.of(eid) if types[d["id"]] == "spikes.times" and d["data_url"]
    }
    with pytest.raises(InputError):
        one.ask("type2datasets", eid, [])


def test_describing_is_no_local_question(one: Face) -> None:
    one.put("mode", "local")
    try:
        with pytest.raises(OfflineError, match="remote"):
            one.ask("describe_dataset", "spikes.times")
    finally:
        one.put("mode", "remote")


def test_brain_regions_and_trajectories(one: Face, recorded: World) -> None:
    regions = one.ask("brain_regions")
    assert set(regions["acronym"]) == {row["acronym"] for row in recorded.rows("brain-regions")}
    some = recorded.rows("trajectories")[0]["probe_insertion"]
    frame = one.ask("trajectories", probe_insertion=some)
    assert set(frame["id"]) == {
        r["id"] for r in recorded.rows("trajectories") if r["probe_insertion"] == some
    }
    with pytest.raises(InputError):
        one.ask("trajectories", probe_insertoin=some)
