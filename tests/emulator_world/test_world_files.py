"""The seeded world's files agree with their records and are plausible data."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import polars as pl
import pytest

from one_async.emulator.content import World

Read = Callable[[str, str], Any]


def served_path(dataset: dict[str, Any]) -> str | None:
    urls = [record["data_url"] for record in dataset["file_records"] if record["data_url"]]
    return urls[0].removeprefix("https://data.test/") if urls else None


@pytest.fixture(scope="session")
def read(world: World) -> Read:
    """Return a function that reads a dataset of a session by its path, ``alf/x.y.npy``."""
    paths = {
        (d["session"].rsplit("/", 1)[1], f"{d['collection']}/{d['name']}"): served_path(d)
        for d in world.records["datasets"]["list"]
        if d["session"] and not d["revision"]
    }

    def load(eid: str, place: str) -> Any:
        path = paths[eid, place]
        data = world.read_file(path) if path else None
        assert data is not None
        if place.endswith(".npy"):
            return np.load(io.BytesIO(data), allow_pickle=False)
        return pl.read_parquet(data) if place.endswith(".pqt") else data

    return load


def with_name(world: World, name: str) -> list[str]:
    """Return the sessions that have a dataset of that name on a server."""
    return sorted(
        {
            d["session"].rsplit("/", 1)[1]
            for d in world.records["datasets"]["list"]
            if d["name"] == name and not d["revision"] and served_path(d)
        }
    )


def test_every_record_agrees_with_the_bytes(world: World) -> None:
    checked = missing = 0
    # in the order of sessions, so that each session's files are generated once
    rows = sorted(world.records["datasets"]["list"], key=lambda d: str(d["file_records"][0]["relative_path"]))
    # only every fourth session's raw recordings, which take long to generate
    recorded = sorted({d["session"] for d in rows if d["name"].endswith(".cbin")})[::4]
    for dataset in rows:
        if ".imec" in dataset["name"] and dataset["session"] not in recorded:
            continue
        path = served_path(dataset)
        if path is None:
            missing += 1
            continue
        data = world.read_file(path)
        assert data is not None
        if dataset["file_size"] is not None:
            assert len(data) == dataset["file_size"]
        if dataset["hash"]:
            assert hashlib.md5(data, usedforsecurity=False).hexdigest() == dataset["hash"]
            checked += 1
    assert checked > 6000
    assert 50 < missing < 300


def test_paths_have_the_form_of_the_data_server(world: World) -> None:
    detail = world.records["datasets"]["detail"]
    labs = {s["id"]: s["lab"] for s in world.records["sessions"]["list"]}
    compared = 0
    for did, dataset in detail.items():
        path = served_path(dataset)
        if path is None or dataset["session"] is None:
            continue
        record = next(r for r in dataset["file_records"] if r["data_url"])
        stem, extension = record["relative_path"].rsplit(".", 1)
        assert path == f"{labs[dataset['session'][-36:]]}/Subjects/{stem}.{did}.{extension}"
        folders = [dataset["collection"]] * bool(dataset["collection"])
        folders += [f"#{dataset['revision']}#"] * bool(dataset["revision"])
        assert record["relative_path"].split("/", 3)[3] == "/".join([*folders, dataset["name"]])
        compared += 1
    assert compared > 5000


@pytest.mark.parametrize(
    "path", ["", "nothing.npy", "cortexlab/Subjects/../../etc/passwd", "cortexlab/Subjects"]
)
def test_no_other_path_is_served(world: World, path: str) -> None:
    assert world.read_file(path) is None


def test_files_that_do_not_exist_are_not_served(world: World) -> None:
    missing = 0
    for dataset in world.records["datasets"]["list"]:
        for record in dataset["file_records"]:
            if record["data_repository"].startswith("flatiron") and not record["exists"]:
                assert record["data_url"] is None
                missing += 1
                stem, extension = record["relative_path"].rsplit(".", 1)
                did = dataset["url"][-36:]
                assert (
                    world.read_file(f"{record['data_repository_path']}{stem}.{did}.{extension}".lstrip("/"))
                    is None
                )
    assert missing > 0


def test_nearly_every_session_has_a_trials_table(world: World, read: Read) -> None:
    details = world.records["sessions"]["detail"]
    eids = with_name(world, "_ibl_trials.table.pqt")
    assert len(eids) > 280
    for eid in eids[::12]:
        table = read(eid, "alf/_ibl_trials.table.pqt")
        assert table.height == details[eid]["n_trials"]
        assert int((table["feedbackType"] == 1).sum()) == details[eid]["n_correct_trials"]
        times = table.select(
            "intervals_0", "stimOn_times", "goCue_times", "response_times", "feedback_times", "intervals_1"
        )
        assert (np.diff(times.to_numpy(), axis=1) > 0).all()
        assert (table["intervals_0"].to_numpy()[1:] >= table["intervals_1"].to_numpy()[:-1] - 1e-5).all()
        assert (table["contrastLeft"].is_nan() != table["contrastRight"].is_nan()).all()
        assert set(table["choice"].unique()) <= {-1.0, 0.0, 1.0}
        assert set(table["probabilityLeft"].unique()) <= {0.2, 0.5, 0.8}


def all_trials(world: World, read: Read, kind: str) -> pl.DataFrame:
    details = world.records["sessions"]["detail"]
    eids = [e for e in with_name(world, "_ibl_trials.table.pqt") if kind in details[e]["task_protocol"]]
    table: pl.DataFrame = pl.concat([read(eid, "alf/_ibl_trials.table.pqt") for eid in eids])
    return table.with_columns(
        signed=pl.col("contrastRight").fill_nan(0) - pl.col("contrastLeft").fill_nan(0),
        right=pl.col("choice") == -1,
    )


def test_the_psychometric_curve_is_sigmoid(world: World, read: Read) -> None:
    biased = all_trials(world, read, "biased")
    curve = biased.group_by("signed").agg(pl.col("right").mean(), pl.len()).sort("signed")
    right = curve["right"].to_numpy()
    assert curve.height == 9
    assert (np.diff(right) > 0).all()
    assert right[0] < 0.15 < 0.85 < right[-1]
    slope = np.diff(right) / np.diff(curve["signed"].to_numpy())
    assert slope[3:5].min() > 3 * max(slope[0], slope[-1])  # steep in the middle, flat at the ends


def test_blocks_shift_the_curve_and_training_helps(world: World, read: Read) -> None:
    biased = all_trials(world, read, "biased").filter(pl.col("signed") == 0)
    side = biased["probabilityLeft"].to_numpy()
    right = biased["right"].to_numpy()
    assert right[side == 0.2].mean() - right[side == 0.8].mean() > 0.2
    training, ephys = (
        float((all_trials(world, read, kind)["feedbackType"].to_numpy() == 1).mean())
        for kind in ("training", "ephys")
    )
    assert 0.5 < training < ephys < 0.95


def test_reaction_times_are_plausible(world: World, read: Read) -> None:
    table = all_trials(world, read, "ephys").filter(pl.col("choice") != 0)
    reaction = (table["firstMovement_times"] - table["stimOn_times"]).to_numpy()
    assert reaction.min() > 0.08
    assert 0.15 < np.median(reaction) < 0.5
    easy, hard = (reaction[(table["signed"].abs() == c).to_numpy()] for c in (1.0, 0.0))
    assert np.median(easy) < np.median(hard)


def test_the_wheel_turns_in_the_direction_of_the_choice(world: World, read: Read) -> None:
    eids = set(with_name(world, "_ibl_wheel.position.npy")) & set(
        with_name(world, "_ibl_wheel.timestamps.npy")
    )
    assert len(eids) > 250
    eid = with_name(world, "spikes.times.npy")[0]
    position, stamps = (read(eid, f"alf/_ibl_wheel.{name}.npy") for name in ("position", "timestamps"))
    intervals, size = (
        read(eid, f"alf/_ibl_wheelMoves.{name}.npy") for name in ("intervals", "peakAmplitude")
    )
    choice = read(eid, "alf/_ibl_trials.table.pqt")["choice"].to_numpy()
    assert position.shape == stamps.shape
    assert (np.diff(stamps) > 0).all()
    assert intervals.shape == (len(size), 2)
    assert (np.sign(size) == choice[choice != 0]).all()


def test_two_dozen_sessions_have_a_camera(world: World, read: Read) -> None:
    eids = with_name(world, "_ibl_leftCamera.features.pqt")
    assert len(eids) >= 20
    for eid in eids[:3]:
        times = read(eid, "alf/_ibl_leftCamera.times.npy")
        features = read(eid, "alf/_ibl_leftCamera.features.pqt")
        assert (np.diff(times) > 0).all()
        assert features.height == len(times) == len(read(eid, "alf/leftCamera.ROIMotionEnergy.npy"))
        assert 5 < features["pupilDiameter_raw"].mean() < 40


def test_firing_rates_differ_between_clusters(world: World, read: Read) -> None:
    insertions = [i for i in world.records["insertions"]["list"] if (i["json"] or {}).get("n_units")]
    assert len(insertions) == 6
    for insertion in insertions:
        home = f"alf/{insertion['name']}/pykilosort"
        times, owner, depths = (
            read(insertion["session"], f"{home}/spikes.{n}.npy") for n in ("times", "clusters", "depths")
        )
        metrics = read(insertion["session"], f"{home}/clusters.metrics.pqt")
        assert len(times) == len(owner) == len(depths) > 5000
        assert (np.diff(times) >= 0).all()
        counts = np.bincount(owner, minlength=metrics.height)
        assert (counts == metrics["spike_count"].to_numpy()).all()
        rates = metrics["firing_rate"].to_numpy()
        assert rates.min() > 0.02
        assert rates.max() > 10 * rates.min()
        assert insertion["json"]["n_units"] == metrics.height


def test_some_clusters_follow_the_task(world: World, read: Read) -> None:
    eid = with_name(world, "spikes.times.npy")[0]
    home = "alf/probe00/pykilosort"
    times, owner = (read(eid, f"{home}/spikes.{name}.npy") for name in ("times", "clusters"))
    shown = read(eid, "alf/_ibl_trials.table.pqt")["stimOn_times"].to_numpy()

    def spikes_in(cluster: int, start: float, end: float) -> int:
        mine = times[owner == cluster]
        return int((np.searchsorted(mine, shown + end) - np.searchsorted(mine, shown + start)).sum())

    driven = range(0, int(owner.max()) + 1, 4)
    after, before = (sum(spikes_in(c, *span) for c in driven) for span in ((0.05, 0.25), (-0.25, -0.05)))
    assert after > 1.5 * before


def test_channels_agree_between_files_and_records(world: World, read: Read) -> None:
    tracks = {t["id"]: t["probe_insertion"] for t in world.records["trajectories"]["list"]}
    insertion = next(i for i in world.records["insertions"]["list"] if (i["json"] or {}).get("n_units"))
    mine = [
        c for c in world.records["channels"]["list"] if tracks[c["trajectory_estimate"]] == insertion["id"]
    ]
    home = f"alf/{insertion['name']}/pykilosort"
    local, regions, places = (
        read(insertion["session"], f"{home}/channels.{name}.npy")
        for name in ("localCoordinates", "brainLocationIds_ccf_2017", "mlapdv")
    )
    assert [[c["lateral"], c["axial"]] for c in mine] == local.tolist()
    assert [c["brain_region"] for c in mine] == regions.tolist()
    assert [[c["x"], c["y"], c["z"]] for c in mine] == places.tolist()
    assert len(set(regions.tolist())) > 3


def test_text_files_have_the_format_of_their_extension(world: World, read: Read) -> None:
    eid = with_name(world, "spikes.times.npy")[0]
    table = read(eid, "alf/_ibl_trials.table.pqt")
    assert (
        json.loads(read(eid, "raw_behavior_data/_iblrig_taskSettings.raw.json"))["N_TRIALS"] == table.height
    )
    lines = read(eid, "raw_behavior_data/_iblrig_taskData.raw.jsonable").splitlines()
    assert [json.loads(line)["trial_correct"] for line in lines] == (table["feedbackType"] == 1).to_list()
    groups = read(eid, "alf/probe00/pykilosort/_ibl_kilosortLabels.group.tsv").decode().splitlines()
    assert groups[0] == "cluster_id\tgroup"
    assert len(read(eid, "alf/probe00/pykilosort/clusters.uuids.csv").splitlines()) == len(groups)
    assert len(json.loads(read(eid, "alf/probes.description.json"))) >= 1


def test_cache_tables_agree_with_the_records(world: World) -> None:
    with zipfile.ZipFile(io.BytesIO(world.cache_zip())) as archive:
        info = json.loads(archive.read("cache_info.json"))
        files = {name: archive.read(f"{name}.pqt") for name in ("sessions", "datasets")}
    tables = {name: pl.read_parquet(data) for name, data in files.items()}
    assert info["origin"] == world.name
    for name, table in tables.items():
        footer = int.from_bytes(files[name][-8:-4], "little")
        assert info["tables"][name] == {"nrecs": table.height, "size": footer}
        about = json.loads(pl.read_parquet_metadata(io.BytesIO(files[name]))["one_metadata"])
        assert about == {key: info[key] for key in ("date_created", "origin", "min_api_version")}
    assert tables["sessions"]["id"].to_list() == [row["id"] for row in world.records["sessions"]["list"]]
    datasets = tables["datasets"]
    assert datasets.rows() == sorted(datasets.rows(), key=lambda row: row[-2:])
    shown = {
        d["id"]
        for s in world.records["sessions"]["detail"].values()
        for d in s["data_dataset_session_related"]
    }
    assert set(datasets["id"]) == shown
    assert datasets["qc"].dtype == pl.Enum(["NOT_SET", "PASS", "WARNING", "FAIL", "CRITICAL"])
    assert datasets.filter(pl.col("rel_path") == "alf/#2024-02-15#/_ibl_trials.table.pqt").height > 5


def test_threads_read_the_same_bytes(world: World) -> None:
    rows = [
        d for d in world.records["datasets"]["list"] if d["name"] == "_ibl_wheel.position.npy" and d["hash"]
    ]
    paths = [path for d in rows[:40] if (path := served_path(d))]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(world.read_file, paths * 3))
    assert together == [world.read_file(path) for path in paths] * 3
