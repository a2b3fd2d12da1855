"""Loading arrays and frames by session and name: each file is downloaded once and verified."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import polars as pl
import pytest

from one_async import ALFObject, ALFPath
from one_async.emulator import Emulator
from one_async.errors import (
    ALFMultipleCollectionsFound,
    ALFMultipleObjectsFound,
    ALFObjectNotFound,
    ALFWarning,
    HashMismatch,
    InputError,
    ServerUnreachable,
)

from .conftest import Make, login
from .faces import Face, opened
from .worlds import World, path_of

EPHYS = "CX_001", "2023-06-09"  # two probes, each with spike sorting, and files of every kind
SORTING = "alf/probe00/pykilosort"
WHEEL = "_ibl_wheel.position.npy"


@pytest.fixture(scope="module")
def eid(seeded: World) -> str:
    return str(seeded.session(*EPHYS)["id"])


@pytest.fixture(scope="module")
def plain(seeded: World) -> str:
    """Return a session whose files have only one address, so that no other is tried after a failure."""
    return str(seeded.session("CX_003", "2023-09-22")["id"])


@pytest.fixture(scope="module")
def trained(seeded: World) -> list[str]:
    """Return sessions with a trials table, one with revisions of it."""
    have = [
        s["id"] for s in seeded.sessions if "_ibl_trials.table.pqt" in str(s["data_dataset_session_related"])
    ]
    return have[:5]


def table(seeded: World, eid: str, path: str) -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(seeded.content(seeded.dataset(eid, path))))


# ---- one dataset


@pytest.mark.parametrize(
    "named",
    [
        {"dataset": "spikes.times.npy", "collection": SORTING},
        {"dataset": "spikes.times", "collection": SORTING},
        {"dataset": "spikes.ti*", "collection": "alf/probe00*"},
        {"dataset": f"{SORTING}/spikes.times.npy"},
        {"dataset": {"object": "spikes", "attribute": "times"}, "collection": SORTING},
        {"dataset": {"object": "spikes", "attribute": "times", "collection": SORTING}},
    ],
    ids=str,
)
def test_every_way_to_name_a_dataset(data_one: Face, seeded: World, eid: str, named: dict[str, Any]) -> None:
    found = data_one.ask("load_dataset", eid, **named)
    np.testing.assert_array_equal(found, seeded.array(eid, f"{SORTING}/spikes.times.npy"))


def test_every_format(data_one: Face, seeded: World, eid: str) -> None:
    def content(path: str) -> bytes:
        return seeded.content(seeded.dataset(eid, path))

    trials = data_one.ask("load_dataset", eid, "_ibl_trials.table.pqt")
    assert trials.equals(table(seeded, eid, "alf/_ibl_trials.table.pqt"))
    passive = data_one.ask("load_dataset", eid, "_ibl_passiveStims.table.csv")
    assert passive.equals(pl.read_csv(content("alf/_ibl_passiveStims.table.csv")))
    labels = data_one.ask("load_dataset", eid, "_ibl_kilosortLabels.group.tsv", collection=SORTING)
    assert labels.equals(pl.read_csv(content(f"{SORTING}/_ibl_kilosortLabels.group.tsv"), separator="\t"))
    probes = data_one.ask("load_dataset", eid, "probes.description.json")
    assert probes == json.loads(content("alf/probes.description.json"))
    lines = data_one.ask("load_dataset", eid, "_iblrig_taskData.raw.jsonable")
    assert [*lines] == [
        json.loads(line) for line in content("raw_behavior_data/_iblrig_taskData.raw.jsonable").splitlines()
    ]
    video = data_one.ask("load_dataset", eid, "_iblrig_leftCamera.raw.mp4")
    assert isinstance(video, ALFPath)
    assert video.read_bytes() == content("raw_video_data/_iblrig_leftCamera.raw.mp4")


def test_sessions_of_a_list_come_in_its_order(data_one: Face, seeded: World, trained: list[str]) -> None:
    given = [trained[1], [trained[0]]]
    first, (second,) = data_one.ask("load_dataset", given, "_ibl_trials.goCueTrigger_times.npy")
    np.testing.assert_array_equal(first, seeded.array(trained[1], "alf/_ibl_trials.goCueTrigger_times.npy"))
    np.testing.assert_array_equal(second, seeded.array(trained[0], "alf/_ibl_trials.goCueTrigger_times.npy"))
    assert data_one.ask("load_dataset", [], "x.y") == []


def test_a_file_that_is_right_is_not_fetched_again(
    make: Make, seeded: World, seeded_server: Emulator, eid: str, tmp_path: Path
) -> None:
    one = make(seeded_server)
    path = one.ask("load_dataset", eid, "spikes.times.npy", SORTING, download_only=True)
    assert (
        path == tmp_path / "cache" / "cortexlab/Subjects/CX_001/2023-06-09/001" / SORTING / "spikes.times.npy"
    )
    right = path.read_bytes()
    assert right == seeded.content(seeded.dataset(eid, f"{SORTING}/spikes.times.npy"))
    assert seeded_server.requests.count("/data/") == 1
    assert one.ask("load_dataset", eid, "spikes.times.npy", SORTING, download_only=True) == path
    assert seeded_server.requests.count("/data/") == 1
    flipped = bytes([right[0], right[1] ^ 1]) + right[2:]
    for wrong, checked, requests in [
        (flipped, False, 1),  # of the right size, so that no more bytes are requested
        (flipped, True, 2),
        (right[:-1], False, 3),
        (b"", True, 4),
    ]:
        path.write_bytes(wrong)
        one.ask("load_dataset", eid, "spikes.times.npy", SORTING, download_only=True, check_hash=checked)
        assert seeded_server.requests.count("/data/") == requests
        assert path.read_bytes() == (wrong if requests == 1 else right)
    path.unlink()
    one.ask("load_dataset", eid, "spikes.times.npy", SORTING, download_only=True)
    assert path.read_bytes() == right


def files_below(folder: Path) -> list[str]:
    return sorted(
        p.name
        for p in folder.rglob("*")
        if p.is_file() and ".rest" not in p.parts and ".claims" not in p.parts
    )


@pytest.mark.parametrize("fault", [{"corrupt": 200}, {"shorten": 8}, {"html": True}], ids=str)
def test_wrong_bytes_are_one_error_and_nothing_is_kept(
    make: Make, seeded_server: Emulator, plain: str, tmp_path: Path, fault: dict[str, Any]
) -> None:
    one = make(seeded_server)
    seeded_server.faults.add("/data/", times=None, **fault)
    with pytest.raises(HashMismatch) as caught:
        one.ask("load_dataset", plain, WHEEL)
    assert (caught.value.expected, caught.value.found) != ("", "")
    assert files_below(tmp_path / "cache") == []
    seeded_server.faults.clear()
    assert len(one.ask("load_dataset", plain, WHEEL))
    assert files_below(tmp_path / "cache") == [WHEEL]


@pytest.mark.parametrize("kind", ["trio"], indirect=True)
@pytest.mark.parametrize("fault", [{"cut": True}, {"drop": True}, {"status": 503}], ids=str)
def test_a_broken_transfer_is_resumed(
    make: Make, seeded: World, seeded_server: Emulator, plain: str, fault: dict[str, Any]
) -> None:
    one = make(seeded_server)
    rule = seeded_server.faults.add("/data/", times=2, **fault)
    found = one.ask("load_dataset", plain, WHEEL)
    np.testing.assert_array_equal(found, seeded.array(plain, f"alf/{WHEEL}"))
    assert rule.hits == 2


def test_a_file_that_differs_from_its_record(make: Make, recorded: World, recorded_server: Emulator) -> None:
    """One dataset of the recorded world has another hash than its bytes."""
    one = make(recorded_server)
    eid = recorded.session("RV_2240", "2022-06-16")["id"]
    with pytest.raises(HashMismatch):
        one.ask("load_dataset", eid, "_ibl_trials.table.pqt")


def test_names_that_match_nothing_or_too_much(data_one: Face, eid: str, seeded_server: Emulator) -> None:
    with pytest.raises(ALFMultipleCollectionsFound):
        data_one.ask("load_dataset", eid, "spikes.times.npy")
    with pytest.raises(ALFMultipleObjectsFound):
        data_one.ask("load_dataset", eid, "spikes.*", collection=SORTING)
    for name in ("nothing.here.npy", f"{SORTING}/nothing.here.npy"):
        with pytest.raises(ALFObjectNotFound):
            data_one.ask("load_dataset", eid, name)
    with pytest.raises(ALFObjectNotFound):
        data_one.ask("load_dataset", UUID(int=3), "spikes.times.npy")
    with pytest.raises(InputError):
        data_one.ask("load_dataset", eid, f"{SORTING}/spikes.times.npy", collection="alf")
    with pytest.raises(InputError):
        data_one.ask("load_dataset", "CX_001", "spikes.times.npy")
    for wrong in (5, None, ["spikes.times.npy", 5], {"objekt": "spikes"}):
        with pytest.raises(InputError):
            data_one.ask("load_dataset", eid, wrong)
    assert seeded_server.requests.count("/data/") == 0


def test_revisions(
    make: Make, seeded: World, seeded_server: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make(seeded_server)
    eid = seeded.session("VA_09", "2025-03-14")["id"]
    name = "_ibl_trials.table.pqt"
    paths = {path_of(d, seeded.revisions): d["default_revision"] for d in seeded.of(eid) if d["name"] == name}
    assert paths["alf/#2025-03-03#/" + name] == "True"

    def loaded(**options: Any) -> str:
        path = str(one.ask("load_dataset", eid, name, download_only=True, **options))
        return path[path.index("alf/") :]

    assert loaded() == f"alf/#2025-03-03#/{name}"
    assert loaded(revision="2024-02-15") == f"alf/#2024-02-15#/{name}"
    assert loaded(revision="2024-12-31") == f"alf/#2024-02-15#/{name}"
    assert loaded(revision="2024-02-15", revision_policy="exact") == f"alf/#2024-02-15#/{name}"
    with pytest.raises(ALFObjectNotFound):
        loaded(revision="2024-12-31", revision_policy="exact")
    if f"alf/{name}" in paths:
        assert loaded(revision="2001-01-01") == f"alf/{name}"
    else:
        with pytest.raises(ALFObjectNotFound):
            loaded(revision="2001-01-01")
    monkeypatch.setenv("ONE_REVISION_LAST_BEFORE", "2024-06-01")
    assert loaded() == f"alf/#2024-02-15#/{name}"


# ---- objects and collections


def test_objects(data_one: Face, seeded: World, eid: str) -> None:
    spikes = data_one.ask("load_object", eid, "spikes", collection=SORTING)
    assert isinstance(spikes, ALFObject)
    assert sorted(spikes) == ["amps", "clusters", "depths", "samples", "times"]
    assert spikes.check_dimensions == 0
    for attribute in spikes:
        np.testing.assert_array_equal(
            spikes[attribute], seeded.array(eid, f"{SORTING}/spikes.{attribute}.npy")
        )
    some = data_one.ask("load_object", eid, "spikes", SORTING, attribute=["times", "amps"])
    assert sorted(some) == ["amps", "times"]
    paths = data_one.ask("load_object", eid, "spikes", SORTING, download_only=True)
    assert sorted(p.name for p in paths) == [
        f"spikes.{name}.npy" for name in ("amps", "clusters", "depths", "samples", "times")
    ]
    trials = data_one.ask("load_object", eid, "trials")
    assert {"choice", "goCueTrigger_times", "stimOff_times"} <= set(trials)
    assert len(trials.choice) == table(seeded, eid, "alf/_ibl_trials.table.pqt").height
    first, second = data_one.ask("load_object", [eid, eid], "spikes", collection=SORTING)
    assert len(first.times) == len(second.times)


def test_objects_that_are_not_there_or_in_several_places(data_one: Face, eid: str) -> None:
    with pytest.raises(ALFMultipleCollectionsFound, match="probe01"):
        data_one.ask("load_object", eid, "spikes")
    with pytest.raises(ALFObjectNotFound, match="nothing"):
        data_one.ask("load_object", eid, "nothing")
    with pytest.raises(ALFMultipleObjectsFound):
        data_one.ask("load_object", eid, "*", collection=SORTING)
    with pytest.raises(ALFObjectNotFound):
        data_one.ask("load_object", eid, "spikes", SORTING, attribute="nothing")
    with pytest.raises(InputError):
        data_one.ask("load_object", eid, "spikes", SORTING, attribut="times")


def test_collections(data_one: Face, eid: str) -> None:
    whole = data_one.ask("load_collection", eid, SORTING)
    kinds = {"spikes", "passingSpikes", "clusters", "channels", "waveforms", "kilosortLabels"}
    assert set(whole) == kinds
    assert set(data_one.ask("load_collection", eid, SORTING, object=["spikes", "channels"])) == {
        "spikes",
        "channels",
    }
    paths = data_one.ask("load_collection", eid, SORTING, "spikes", download_only=True, attribute="times")
    assert [p.name for p in paths] == ["spikes.times.npy"]
    for collection, options in (("nowhere", {}), (SORTING, {"object": "trials"})):
        with pytest.raises(ALFObjectNotFound):
            data_one.ask("load_collection", eid, collection, **options)


def test_several_datasets(data_one: Face, seeded: World, eid: str) -> None:
    names = ["spikes.times.npy", "_ibl_wheel.position.npy"]
    data, records = data_one.ask("load_datasets", eid, names, collections=[SORTING, "alf"])
    np.testing.assert_array_equal(data[0], seeded.array(eid, f"{SORTING}/spikes.times.npy"))
    assert [r["rel_path"] for r in records] == [f"{SORTING}/spikes.times.npy", "alf/_ibl_wheel.position.npy"]
    listed = data_one.ask("list_datasets", eid, collection="alf", filename="*camera*times*")
    data, records = data_one.ask("load_datasets", eid, listed)
    assert [r["rel_path"] for r in records] == listed
    _, again = data_one.ask("load_datasets", eid, iter(listed), download_only=True)
    assert again == records
    frame = data_one.ask("list_datasets", eid, collection="alf", filename="*wheel*", details=True)
    paths, records = data_one.ask("load_datasets", eid, frame, download_only=True)
    assert [r["did"] for r in records] == frame["did"].to_list()
    assert all(path.exists() for path in paths)
    with pytest.raises(ALFObjectNotFound, match=r"nothing\.here"):
        data_one.ask("load_datasets", eid, [*names, "nothing.here.npy"], collections=[SORTING, "alf", None])
    with pytest.warns(ALFWarning, match=r"nothing\.here"):
        data, records = data_one.ask(
            "load_datasets", eid, ["_ibl_wheel.position.npy", "nothing.here.npy"], assert_present=False
        )
    assert (data[1], records[1]) == (None, None)
    np.testing.assert_array_equal(data[0], seeded.array(eid, "alf/_ibl_wheel.position.npy"))
    for wrong in ("spikes.times.npy", [5], ["x.y", {"object": "spikes"}], 5):
        with pytest.raises(InputError):
            data_one.ask("load_datasets", eid, wrong)
    with pytest.raises(InputError):
        data_one.ask("load_datasets", eid, names, collections=["alf"])


def test_datasets_by_id(data_one: Face, seeded: World, eid: str) -> None:
    dataset = seeded.dataset(eid, f"{SORTING}/spikes.times.npy")
    expected = seeded.array(eid, f"{SORTING}/spikes.times.npy")
    np.testing.assert_array_equal(data_one.ask("load_dataset_from_id", dataset["id"]), expected)
    _, record = data_one.ask("load_dataset_from_id", UUID(dataset["id"]), details=True)
    assert (record["did"], record["rel_path"], record["hash"]) == (
        dataset["id"],
        path_of(dataset),
        dataset["hash"],
    )
    (path,) = data_one.ask("load_dataset_from_id", [dataset["id"]], download_only=True)
    assert path == data_one.ask("load_dataset", eid, "spikes.times.npy", SORTING, download_only=True)
    with pytest.raises(ALFObjectNotFound):
        data_one.ask("load_dataset_from_id", UUID(int=7))
    with pytest.raises(InputError):
        data_one.ask("load_dataset_from_id", "spikes.times.npy")


def test_records_paths_and_addresses(
    data_one: Face, seeded: World, eid: str, seeded_emulator: Emulator
) -> None:
    dataset = seeded.dataset(eid, f"{SORTING}/spikes.times.npy")
    path = data_one.ask("load_dataset", eid, "spikes.times.npy", SORTING, download_only=True)
    record = data_one.ask("path2record", path)
    assert (record["did"], record["eid"]) == (dataset["id"], eid)
    assert data_one.ask("record2path", record) == path
    url = dataset["data_url"].replace("https://data.test", f"{seeded_emulator.url}/data")
    assert data_one.ask("path2url", path) == url == data_one.ask("record2url", record)
    assert data_one.ask("path2record", [url, path.parent])[0]["did"] == dataset["id"]
    assert data_one.ask("path2record", "/no/session/here.npy") is None


# ---- many sessions


def test_one_frame_of_many_sessions(data_one: Face, seeded: World, trained: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ALFWarning)  # warnings of revisions
        frame = data_one.ask("load_many", trained, "trials", attribute="table")
        single = [data_one.ask("load_object", eid, "trials", attribute="table") for eid in trained]
    assert frame["eid"].unique(maintain_order=True).to_list() == trained
    assert frame.height == sum(len(trials.choice) for trials in single)
    np.testing.assert_array_equal(frame["choice"], np.concatenate([trials.choice for trials in single]))


def test_errors_of_single_sessions_are_collected(data_one: Face, trained: list[str], eid: str) -> None:
    with pytest.raises(ALFObjectNotFound):
        data_one.ask("load_many", [eid, trained[0]], "spikes", SORTING)
    frame, errors = data_one.ask("load_many", [eid, trained[0]], "spikes", SORTING, on_error="collect")
    assert frame["eid"].unique().to_list() == [eid]
    assert errors["eid"].to_list() == [trained[0]]
    assert "ALFObjectNotFound" in errors["error"][0]
    assert data_one.ask("load_many", [], "spikes").height == 0
    with pytest.raises(InputError):
        data_one.ask("load_many", [eid], "spikes", on_error="ignore")


def test_objects_as_they_arrive(data_one: Face, seeded: World, trained: list[str]) -> None:
    pairs = data_one.items("iter_objects", trained, "trials", attribute="goCueTrigger_times")
    assert {str(eid) for eid, _ in pairs} == set(trained)
    for eid, trials in pairs:
        expected = seeded.array(str(eid), "alf/_ibl_trials.goCueTrigger_times.npy")
        np.testing.assert_array_equal(trials.goCueTrigger_times, expected)


def test_leaving_the_iterator_early_cleans_up(
    make: Make, seeded: World, seeded_server: Emulator, trained: list[str]
) -> None:
    """There is no warning and no task, and the client works on; a task would show when the client closes."""
    one = make(seeded_server)
    seeded_server.faults.add("/data/", hang=0.05, times=None)
    for at_once in (1, 2, 6, 12):
        (pair,) = one.items(
            "iter_objects", trained * 4, "trials", at_most=1, at_once=at_once, attribute="goCueTrigger_times"
        )
        assert str(pair[0]) in trained
        expected = seeded.eids(lambda s: s["subject"] == "CX_001")
        assert one.ask("search", subject="CX_001") == expected


def test_an_error_ends_the_iterator_and_not_the_client(data_one: Face, trained: list[str], eid: str) -> None:
    with pytest.raises(ALFObjectNotFound):
        data_one.items("iter_objects", [eid, trained[0]], "spikes", collection=SORTING)
    assert len(data_one.ask("search", subject="CX_001"))


def test_spike_sorting(data_one: Face, seeded: World, eid: str) -> None:
    rows = {row["name"]: row["id"] for row in seeded.rows("insertions") if row["session"] == eid}
    pids = [rows["probe01"], rows["probe00"]]
    spikes, clusters, errors = data_one.ask("load_spike_sorting", pids)
    assert errors.is_empty()
    assert spikes["pid"].unique(maintain_order=True).to_list() == pids
    times = np.concatenate([seeded.array(eid, f"alf/probe0{n}/pykilosort/spikes.times.npy") for n in (1, 0)])
    np.testing.assert_array_equal(spikes["times"], times)
    channels = seeded.array(eid, f"{SORTING}/clusters.channels.npy")
    regions = seeded.array(eid, f"{SORTING}/channels.brainLocationIds_ccf_2017.npy")
    places = seeded.array(eid, f"{SORTING}/channels.mlapdv.npy")
    mine = clusters.filter(pl.col("pid") == rows["probe00"])
    np.testing.assert_array_equal(mine["channels"], channels)
    np.testing.assert_array_equal(mine["atlas_id"], regions[channels])
    np.testing.assert_allclose(mine.select("x", "y", "z").to_numpy(), places[channels] / 1e6)
    acronyms = {row["id"]: row["acronym"] for row in seeded.rows("brain-regions")}
    assert mine["acronym"].to_list() == [acronyms.get(int(region)) for region in regions[channels]]
    assert any(mine["acronym"])
    alone = data_one.ask("load_spike_sorting", UUID(pids[0]), spikes=False)
    assert alone.spikes.is_empty()
    assert alone.clusters.height == clusters.height - mine.height
    with pytest.raises(ALFObjectNotFound):
        data_one.ask("load_spike_sorting", UUID(int=4))
    found = data_one.ask("load_spike_sorting", [pids[0], UUID(int=4)], on_error="collect")
    assert found.errors.height == 1
    assert found.clusters.height == alone.clusters.height


def test_downloads(make: Make, seeded: World, seeded_server: Emulator, plain: str) -> None:
    one = make(seeded_server)
    expected = [d for d in seeded.of(plain) if d["collection"] == "alf" and "wheel" in d["name"]]
    dry = one.ask("download", plain, "*wheel*", "alf", dry_run=True)
    assert set(dry["did"]) == {d["id"] for d in expected}
    assert set(dry["status"]) == {"absent"}
    assert dry["bytes"].sum() == sum(d["file_size"] for d in expected)
    assert seeded_server.requests.count("/data/") == 0
    seeded_server.faults.add("/data/", corrupt=100, times=None)
    failed = one.ask("download", [plain], "*wheel*", "alf", on_error="collect")
    assert set(failed["status"]) == {"failed"}
    assert all("HashMismatch" in error for error in failed["error"])
    with pytest.raises(HashMismatch):
        one.ask("download", [plain], "*wheel*", "alf")
    seeded_server.faults.clear()
    again = one.ask("retry", failed)
    assert again["did"].to_list() == failed["did"].to_list()
    assert set(again["status"]) == {"fetched"}
    assert set(one.ask("download", plain, "*wheel*", "alf")["status"]) == {"present"}
    assert set(one.ask("download", plain, "*wheel*", "alf", dry_run=True)["status"]) == {"present"}
    for wrong in (None, [1, 2]):
        with pytest.raises(InputError):
            one.ask("retry", wrong)
    with pytest.raises(ALFObjectNotFound):
        one.ask("download", UUID(int=3))


def test_frozen_sets_stay_the_same(
    make: Make, kind: str, seeded: World, seeded_server: Emulator, plain: str, tmp_path: Path
) -> None:
    one = make(seeded_server)
    file = one.ask("freeze", [plain], tmp_path / "set" / "frozen.json", ["*wheel*", "licks*"], "alf")
    assert file == tmp_path / "set" / "frozen.json"
    account = {name: value for name, value in login(seeded_server).items() if name != "base_url"}
    frozen = opened(
        kind, lambda face: lambda **o: face.from_frozen(file, **o), cache_dir=tmp_path / "other", **account
    )
    with frozen as again:
        assert again.ask("search") == [UUID(plain)]
        assert again.ask("list_datasets", plain) == seeded.paths(
            plain, lambda d: d["collection"] == "alf" and d["name"].startswith(("_ibl_wheel", "licks"))
        )
        seeded_server.requests.reset()
        np.testing.assert_array_equal(
            again.ask("load_dataset", plain, "licks.times.npy"),
            seeded.array(plain, "alf/licks.times.npy"),
        )
        assert seeded_server.requests.count("/sessions") == 0
        seeded_server.faults.add("/data/", corrupt=300, times=None)
        with pytest.raises(HashMismatch):
            again.ask("load_dataset", plain, WHEEL)
        with pytest.raises(ALFObjectNotFound):
            again.ask("load_object", plain, "trials")
    (tmp_path / "no.json").write_text("{}")
    with pytest.raises(InputError):
        with opened(kind, lambda face: face.from_frozen, file=tmp_path / "no.json"):
            pass


def test_aggregates(one: Face, data_one: Face, recorded: World) -> None:
    with pytest.warns(ALFWarning, match="Multiple revisions"):
        frame = one.ask("list_aggregates", "subjects")
    expected = {
        row["url"][-36:] for row in recorded.rows("datasets")
        if not row["session"] and row["collection"].startswith("Subjects") and row["default_dataset"]
    }  # fmt: skip
    assert set(frame["did"]) == expected
    assert set(one.ask("list_aggregates", "subjects", "KS023")["identifier"]) == {"cortexlab/KS023"}
    assert one.ask("list_aggregates", "tags")["identifier"].to_list() == ["2022_Q2_IBL_et_al_RepeatedSite"]
    assert one.ask("list_aggregates", "projects").is_empty()
    assert one.ask("list_aggregates", "subjects", "KS014", dataset="*Training*").height == 1
    training = data_one.ask("load_aggregate", "subjects", "cortexlab/CX_001", "_ibl_subjectTraining.table")
    assert isinstance(training, pl.DataFrame)
    assert training.height
    path = data_one.ask("load_aggregate", "subjects", "CX_002", "*Training*", download_only=True)
    assert str(path).endswith("Subjects/cortexlab/CX_002/_ibl_subjectTraining.table.pqt")
    with pytest.raises(ALFObjectNotFound):
        data_one.ask("load_aggregate", "subjects", "nobody")


@pytest.mark.parametrize("revision", [None, "2023-01-01", "2024-02-14", "2024-02-15", "2030-01-01"])
def test_an_aggregate_is_loaded_in_the_revision_that_is_listed(one: Face, revision: str | None) -> None:
    name, where = "_ibl_subjectTrials.table.pqt", ("subjects", "cortexlab/KS014")
    (listed,) = one.ask("list_aggregates", *where, dataset=name, revision=revision)["rel_path"]
    is_old = (
        revision is not None and revision < "2024-02-15"
    )  # the revision of the only other file of this name
    assert listed.endswith(f"KS014/{name}" if is_old else f"KS014/#2024-02-15#/{name}")
    for dataset in (name, name.removesuffix(".pqt")):
        path = one.ask("load_aggregate", *where, dataset, revision=revision, download_only=True)
        assert path.as_posix().endswith(listed)
    assert one.ask("load_aggregate", *where, listed, download_only=True) == path


def test_a_stopped_server_is_one_error(seeded_server: Emulator, plain: str, tmp_path: Path) -> None:
    with opened("blocking", cache_dir=tmp_path, **login(seeded_server)) as one:
        one.ask("list_datasets", plain)
        seeded_server.stop()
        with pytest.raises(ServerUnreachable):
            one.ask("load_dataset", plain, WHEEL)
        seeded_server.start()
        assert len(one.ask("load_dataset", plain, WHEEL))
