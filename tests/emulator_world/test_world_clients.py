"""The seeded world has the files that the loaders of IBL's analysis software read, in their formats."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from one_async import ONE, AlyxClient
from one_async.emulator import Emulator
from one_async.emulator.content import World
from one_async.emulator.seeded_lazy import listed
from one_async.emulator.seeded_parquet import plain_bytes
from one_async.emulator.seeded_raw import _compressed
from one_async.emulator.seeded_video import BITS, HEIGHT, WIDTH, mp4_bytes

Read = Callable[[str, str], Any]


def places_of(world: World, eid: str) -> dict[str, dict[str, Any]]:
    """Return the datasets of a session by their path, ``alf/x.y.npy``."""
    rows = (world.records["datasets"]["detail"][d["id"]] for d in related(world, eid))
    return {f"{row['collection']}/{row['name']}": row for row in rows if not row["revision"]}


def related(world: World, eid: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.records["sessions"]["detail"][eid]["data_dataset_session_related"]
    return found


@pytest.fixture(scope="module")
def read(world: World) -> Read:
    """Return a function that reads a dataset of a session from a server."""

    def load(eid: str, place: str) -> Any:
        [url] = [r["data_url"] for r in places_of(world, eid)[place]["file_records"] if r["data_url"]]
        data = world.read_file(url.removeprefix("https://data.test/"))
        assert data is not None
        if place.endswith(".npy"):
            return np.load(io.BytesIO(data), allow_pickle=False)
        return pl.read_parquet(data) if place.endswith(".pqt") else data

    return load


def insertions(world: World, *, units: bool = False) -> list[dict[str, Any]]:
    rows = world.records["insertions"]["list"]
    return [row for row in rows if not units or row["json"]["n_units"]]


def test_every_sorted_probe_has_what_load_spike_sorting_needs(world: World, read: Read) -> None:
    probes = insertions(world, units=True)
    assert len(probes) == 6
    for probe in probes:
        eid, home = probe["session"], f"alf/{probe['name']}"
        mine = {place: row for place, row in places_of(world, eid).items() if place.startswith(f"{home}/")}
        assert all(row["qc"] != "CRITICAL" and row["default_dataset"] for row in mine.values())
        for kind in ("localCoordinates", "brainLocationIds_ccf_2017", "mlapdv"):
            sites = read(eid, f"{home}/electrodeSites.{kind}.npy")
            assert (sites == read(eid, f"{home}/pykilosort/channels.{kind}.npy")).all()
        counts = {
            len(read(eid, f"{home}/pykilosort/clusters.{kind}"))
            for kind in ("channels.npy", "depths.npy", "amps.npy", "peakToTrough.npy", "metrics.pqt")
        }
        uuids = pl.read_csv(read(eid, f"{home}/pykilosort/clusters.uuids.csv"))["uuids"]
        assert counts == {uuids.n_unique()} == {probe["json"]["n_units"]}


@pytest.mark.parametrize("number", [0, 3, 5])
def test_a_sorting_agrees_with_its_recording(world: World, read: Read, number: int) -> None:
    probe = insertions(world, units=True)[number]
    eid, name = probe["session"], probe["name"]
    home, raw = f"alf/{name}/pykilosort", f"raw_ephys_data/{name}/_spikeglx_ephysData_g0_t0.imec{name[-1]}"
    spikes = {
        kind: read(eid, f"{home}/spikes.{kind}.npy") for kind in ("times", "samples", "clusters", "amps")
    }
    stamps = read(eid, f"{raw}.timestamps.npy")
    held = spikes["samples"] <= stamps[-1, 0]
    on_time = np.interp(spikes["samples"], *stamps.T)
    assert np.abs(on_time - np.maximum(spikes["times"], stamps[0, 1]))[held].max() < 2e-5
    metrics = read(eid, f"{home}/clusters.metrics.pqt")
    passing = read(eid, f"{home}/passingSpikes.table.pqt")
    good = metrics.filter(label=1.0)["cluster_id"].to_numpy()
    kept = np.isin(spikes["clusters"], good)
    assert 0 < len(passing) < len(kept)
    for kind, values in spikes.items():
        assert (passing[kind].to_numpy() == values[kept]).all()
    waveforms = read(eid, f"{home}/clusters.waveforms.npy")
    channels = read(eid, f"{home}/clusters.waveformsChannels.npy")
    assert waveforms.shape == (len(metrics), 82, channels.shape[1])
    largest = np.abs(waveforms).max(axis=1).argmax(axis=1)
    assert (channels[np.arange(len(metrics)), largest] == read(eid, f"{home}/clusters.channels.npy")).all()
    assert read(eid, f"{home}/waveforms.templates.npy").shape == (len(metrics), 40, 128)


def test_the_meta_file_of_every_band_names_its_recording(world: World, read: Read) -> None:
    checked = 0
    for probe in insertions(world):
        for place in places_of(world, probe["session"]):
            if place.startswith(f"raw_ephys_data/{probe['name']}/") and place.endswith(".meta"):
                lines = read(probe["session"], place).decode().splitlines()
                name = dict(line.split("=", 1) for line in lines)["fileName"].rpartition("/")[2]
                assert name == place.rpartition("/")[2].replace(".meta", ".bin")
                checked += 1
    assert checked >= 2


@pytest.mark.parametrize("view", ["left", "right", "body"])
def test_motion_energy_regions_are_within_the_picture(world: World, read: Read, view: str) -> None:
    for probe in insertions(world)[::4]:
        width, height, left, top = read(probe["session"], f"alf/{view}ROIMotionEnergy.position.npy")
        assert 0 <= left < left + width <= WIDTH
        assert 0 <= top < top + height <= HEIGHT


def test_no_dataset_of_a_session_with_probes_is_left_out_for_its_quality(world: World) -> None:
    eids = {probe["session"] for probe in insertions(world)}
    assert len(eids) == 11
    for eid in eids:
        assert {row["qc"] for row in related(world, eid)} <= {"NOT_SET", "PASS", "WARNING", "FAIL"}


def test_aligned_probes_have_electrode_sites(world: World) -> None:
    tracks = world.records["trajectories"]["list"]
    aligned = {t["probe_insertion"] for t in tracks if t["provenance"] == "Ephys aligned histology track"}
    have = {
        probe["id"]
        for probe in insertions(world)
        if f"alf/{probe['name']}/electrodeSites.mlapdv.npy" in places_of(world, probe["session"])
    }
    assert have == aligned
    assert len(have) > 6


def test_a_protected_tag_has_its_own_tables(world: World) -> None:
    tag = "2024_Q1_Behaviour"
    tables, info, quality = opened(world.read_file(f"caches/{tag}/cache.zip"))
    tagged = {did for did, row in world.records["datasets"]["detail"].items() if tag in row["tags"]}
    every, _, all_quality = opened(world.cache_zip())
    assert set(tables["datasets"]["id"]) == tagged & set(every["datasets"]["id"])
    assert set(tables["sessions"]["id"]) == set(tables["datasets"]["eid"]) == set(quality)
    assert 0 < tables["sessions"].height < every["sessions"].height
    assert info["database_tags"] == [tag]
    details = world.records["sessions"]["detail"]
    assert all_quality == {eid: row["extended_qc"] for eid, row in details.items()}
    assert any(checks and "behavior" in checks for checks in quality.values())
    assert world.read_file("caches/Brainwidemap/cache.zip") is None


def opened(data: bytes | None) -> tuple[dict[str, pl.DataFrame], dict[str, Any], dict[str, Any]]:
    assert data is not None
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        tables = {name: pl.read_parquet(archive.read(f"{name}.pqt")) for name in ("sessions", "datasets")}
        quality = {row["eid"]: row["extended_qc"] for row in json.loads(archive.read("QC.json"))}
        return tables, json.loads(archive.read("cache_info.json")), quality


def test_tables_of_a_tag_are_downloaded_with_their_json_files(world: World, tmp_path: Path) -> None:
    with Emulator(world) as emulator:
        login = {"base_url": emulator.url, "username": "demo", "password": "demo"}
        with ONE(**login, cache_dir=tmp_path) as one:
            one.load_cache(tag="2024_Q1_Behaviour")
            eids = {str(eid) for eid in one.search(query_type="local")}
        assert emulator.requests.count("/data/caches/2024_Q1_Behaviour/cache.zip", "GET") == 1
        assert emulator.requests.count("/cache.zip") == 0
    [found] = tmp_path.rglob("QC.json")
    assert {row["eid"] for row in json.loads(found.read_bytes())} == eids


def test_raw_recordings_can_be_read_in_chunks(world: World, read: Read) -> None:
    probes = insertions(world)
    assert {probe["model"] for probe in probes[:4]} == {"3A", "3B2", "NP2.1"}
    for probe in (insertions(world, units=True)[0], *probes[:3:2]):
        eid, number = probe["session"], int(probe["name"][-1])
        home = f"raw_ephys_data/{probe['name']}/_spikeglx_ephysData_g0_t0.imec{number}"
        for band, rate in (("ap", 30_000), ("lf", 2_500))[not probe["json"]["n_units"] :]:
            data, header = read(eid, f"{home}.{band}.cbin"), json.loads(read(eid, f"{home}.{band}.ch"))
            samples = decompressed(data, header)
            assert samples.shape == (3.2 * rate, 385)
            assert hashlib.sha1(samples.tobytes()).hexdigest() == header["sha1_uncompressed"]
            assert hashlib.sha1(data).hexdigest() == header["sha1_compressed"]
            meta = dict(line.split("=", 1) for line in read(eid, f"{home}.{band}.meta").decode().splitlines())
            assert float(meta["fileTimeSecs"]) * float(meta["imSampRate"]) == len(samples)
            assert int(meta["fileSizeBytes"]) == samples.nbytes
            assert meta["fileSHA1"].lower() == header["sha1_uncompressed"]


def decompressed(data: bytes, header: dict[str, Any]) -> np.ndarray:
    """Return the samples of an mtscomp file, decoded independently of the library."""
    bounds, offsets = header["chunk_bounds"], header["chunk_offsets"]
    assert offsets[-1] == len(data)
    chunks = []
    for n, (start, end) in enumerate(pairwise(bounds)):
        steps = np.frombuffer(zlib.decompress(data[offsets[n] : offsets[n + 1]]), header["dtype"])
        chunks.append(steps.reshape(header["n_channels"], end - start).T.cumsum(axis=0, dtype=np.int16))
    return np.ascontiguousarray(np.concatenate(chunks))


def test_spikes_are_in_the_raw_recording_at_their_times(world: World, read: Read) -> None:
    probe = insertions(world, units=True)[0]
    eid, home = probe["session"], f"raw_ephys_data/{probe['name']}/_spikeglx_ephysData_g0_t0.imec0"
    samples = decompressed(read(eid, f"{home}.ap.cbin"), json.loads(read(eid, f"{home}.ap.ch")))
    clock = read(eid, f"{home}.timestamps.npy")
    sorted_ = f"alf/{probe['name']}/pykilosort"
    times, owner = (read(eid, f"{sorted_}/spikes.{name}.npy") for name in ("times", "clusters"))
    at = np.round(np.interp(times, clock[:, 1], clock[:, 0], left=-1)).astype(int)
    held = (at >= 100) & (at < len(samples) - 100)
    peaks = read(eid, f"{sorted_}/clusters.channels.npy")[owner[held]]
    assert held.sum() > 20
    troughs = [samples[t - 5 : t + 6, c].argmin() - 5 for t, c in zip(at[held], peaks, strict=True)]
    assert np.mean(np.abs(troughs) <= 1) > 0.9


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(130, 4000), st.floats(0, 0.2))
def test_compression_is_lossless(seed: int, size: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    data = np.resize(rng.integers(0, 256, 64, dtype=np.uint8), size)
    changed = rng.random(size) < share
    data[changed] = rng.integers(0, 256, changed.sum(), dtype=np.uint8)
    assert zlib.decompress(_compressed(data)) == data.tobytes()


@settings(deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), min_size=1, max_size=9),
        st.integers(0, 2),
        min_size=1,
        max_size=40,
    ),
    st.integers(1, 60),
)
def test_plain_parquet_reads_back_the_same_values(kinds: dict[str, int], rows: int) -> None:
    made = (np.arange(rows) / 3, np.arange(rows), [f"ä{n}" for n in range(rows)])
    frame = pl.read_parquet(plain_bytes({name: made[kind] for name, kind in kinds.items()}))
    assert frame.equals(pl.DataFrame({name: made[kind] for name, kind in kinds.items()}))


def test_videos_have_a_frame_for_each_time(world: World, read: Read) -> None:
    eid = insertions(world)[0]["session"]
    for view in ("left", "right", "body"):
        video = read(eid, f"raw_video_data/_iblrig_{view}Camera.raw.mp4")
        times = read(eid, f"alf/_ibl_{view}Camera.times.npy")
        assert int.from_bytes(box(video, "stsz")[8:12], "big") == len(times)
        sizes = np.frombuffer(box(video, "stsz")[12:], ">u4").astype(int)
        places = np.frombuffer(box(video, "stco")[8:], ">u4")
        keys = np.frombuffer(box(video, "stss")[8:], ">u4") - 1
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        assert (places == starts[keys] + video.index(b"mdat") + 4).all()
        kinds = [video[place + 4] & 31 for place in starts + video.index(b"mdat") + 4]
        assert [n for n, kind in enumerate(kinds) if kind == 5] == keys.tolist()
        for tracker in ("dlc", "lightningPose"):
            assert read(eid, f"alf/_ibl_{view}Camera.{tracker}.pqt").height == len(times)
        assert len(read(eid, f"alf/{view}Camera.ROIMotionEnergy.npy")) == len(times)


def box(video: bytes, name: str) -> bytes:
    """Return the body of the first box with that name in an MP4 file, after its version and flags."""
    at = video.index(name.encode())
    return video[at + 4 : at - 4 + int.from_bytes(video[at - 4 : at], "big")]


@pytest.mark.parametrize(("n_frames", "rate"), [(1, 25), (64, 60), (65, 3), (1500, 10)])
def test_video_frames_show_their_numbers(n_frames: int, rate: int) -> None:
    av = pytest.importorskip("av")
    with av.open(io.BytesIO(mp4_bytes(n_frames, rate))) as opened_video:
        stream = opened_video.streams.video[0]
        frames = [frame.to_ndarray(format="gray") for frame in opened_video.decode(stream)]
        assert (stream.frames, stream.average_rate) == (n_frames, rate)
    corners = [(16 * (place // 9) + 8, 16 * (place % 9) + 8) for place in BITS]
    shown = [sum(int(f[corner] > 128) << bit for bit, corner in enumerate(corners)) for f in frames]
    assert shown == list(range(n_frames))


def test_the_passive_protocol_follows_the_task(world: World, read: Read) -> None:
    for eid in {probe["session"] for probe in insertions(world)}:
        periods = pl.read_csv(read(eid, "alf/_ibl_passivePeriods.intervalsTable.csv"))
        whole, silence, mapping, replay = (
            periods[name].to_list()
            for name in ("passiveProtocol", "spontaneousActivity", "RFM", "taskReplay")
        )
        end = read(eid, "alf/_ibl_trials.table.pqt")["intervals_1"].max()
        assert (
            end
            < whole[0]
            == silence[0]
            < silence[1]
            < mapping[0]
            < mapping[1]
            < replay[0]
            < replay[1]
            == whole[1]
        )
        times = read(eid, "alf/_ibl_passiveRFM.times.npy")
        images = np.frombuffer(read(eid, "raw_passive_data/_iblrig_RFMapStim.raw.bin"), np.uint8)
        assert images.reshape(-1, 15, 15).shape[0] == len(times)
        for name, first in (("passiveGabor", "start"), ("passiveStims", "valveOn")):
            table = pl.read_csv(read(eid, f"alf/_ibl_{name}.table.csv"))
            assert table[first].is_between(*replay).all()


def test_a_subject_has_all_its_trials_in_one_table(world: World, read: Read) -> None:
    rows = [d for d in world.records["datasets"]["list"] if d["name"] == "_ibl_subjectTrials.table.pqt"]
    assert len(rows) == 6
    for row in rows[:2]:
        [url] = [record["data_url"] for record in row["file_records"]]
        table = pl.read_parquet(world.read_file(url.removeprefix("https://data.test/")) or b"")
        subject = row["collection"].rsplit("/", 1)[1]
        sessions = world.records["sessions"]["detail"].values()
        counts = {s["id"]: s["n_trials"] for s in sessions if s["subject"] == subject and s["n_trials"]}
        assert dict(table.group_by("session").len().iter_rows()) == counts
        eid = table["session"][-1]
        mine = table.filter(session=eid).drop(
            "session", "session_start_time", "session_number", "task_protocol"
        )
        assert mine.equals(read(eid, "alf/_ibl_trials.table.pqt"), null_equal=True)


def test_listed_lazy_files_are_datasets_or_aggregates(world: World) -> None:
    paths = {
        row["file_records"][0]["relative_path"]
        for row in world.records["datasets"]["list"]
        if row["session"] is not None
    }
    subjects = {f"aggregates/{row['nickname']}" for row in world.records["subjects"]["list"]}
    assert set(listed()) - subjects <= paths
    assert len(set(listed()) & subjects) == 6


def test_insertions_can_be_changed_over_rest(world: World) -> None:
    probe = insertions(world)[0]
    with Emulator(world) as emulator:
        login = {"base_url": emulator.url, "username": "demo", "password": "demo"}
        with AlyxClient(**login) as alyx:
            answer = alyx.rest("insertions", "partial_update", id=probe["id"], data={"json": {"qc": "FAIL"}})
            assert answer["json"] == {"qc": "FAIL"}
            again = alyx.rest("insertions", "read", id=probe["id"], no_cache=True)
        assert (again["json"], again["serial"]) == ({"qc": "FAIL"}, probe["serial"])
