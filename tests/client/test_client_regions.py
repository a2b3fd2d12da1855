"""Spike sorting by label, by sorter, and with regions of a mapping, compared with iblatlas's recorded answers and pandas."""

from __future__ import annotations

import csv
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from one_async.client.regions import acronyms_of
from one_async.client.spikes import _regions
from one_async.emulator import Emulator
from one_async.errors import ALFObjectNotFound, ALFWarning, InputError

from .conftest import Make
from .faces import Face
from .worlds import World

RECORDED = Path(__file__).parents[1] / "data" / "iblatlas_regions.csv"
SORTING = "alf/probe00/pykilosort"
MAPPINGS = ("Allen", "Beryl", "Cosmos")


def recorded_answers() -> dict[int, dict[str, str]]:
    """Return iblatlas's answers for each id of both hemispheres, by mapping; see make_regions.py."""
    with RECORDED.open(encoding="utf-8") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        return {int(row.pop("id")): row for row in rows}


ANSWERS = recorded_answers()


@pytest.fixture(scope="module")
def pids(seeded: World) -> list[str]:
    """Return the two probes of one session, probe00 first."""
    eid = seeded.session("CX_001", "2023-06-09")["id"]
    return [
        row["id"]
        for row in sorted(seeded.rows("insertions"), key=lambda r: r["name"])
        if row["session"] == eid
    ]


@pytest.fixture(scope="module")
def eid(seeded: World) -> str:
    return str(seeded.session("CX_001", "2023-06-09")["id"])


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_each_region_of_both_hemispheres_is_called_as_in_iblatlas(mapping: Any) -> None:
    assert len(ANSWERS) == 2655
    ids = np.array(list(ANSWERS))
    frame = _regions({"brainLocationIds_ccf_2017": ids}, "a probe", acronyms_of(mapping), "void")
    assert frame["atlas_id"].to_list() == ids.tolist()
    assert frame["acronym"].to_list() == [answer[mapping] for answer in ANSWERS.values()]


@given(st.lists(st.one_of(st.sampled_from(list(ANSWERS)), st.integers(-(2**31), 2**31)), max_size=8))
def test_any_ids_have_a_name_and_only_those_that_the_ontology_lacks_are_warned_of(ids: list[int]) -> None:
    odd = [one for one in ids if one not in ANSWERS]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        frame = _regions({"brainLocationIds_ccf_2017": ids}, "a probe", acronyms_of("Beryl"), "void")
    assert frame["acronym"].to_list() == [ANSWERS.get(one, {"Beryl": "void"})["Beryl"] for one in ids]
    assert [warning.category for warning in caught] == ([ALFWarning] if odd else [])


def test_a_channel_without_an_id_has_no_region() -> None:
    frame = _regions(
        {"brainLocationIds_ccf_2017": np.array([997.0, np.nan])}, "", acronyms_of("Allen"), "void"
    )
    assert frame["acronym"].to_list() == ["root", None]


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_regions_of_a_mapping(
    data_one: Face, seeded_server: Emulator, seeded: World, pids: list[str], eid: str, mapping: str
) -> None:
    plain = data_one.ask("load_spike_sorting", pids[0], spikes=False).clusters
    seeded_server.requests.reset()
    named = data_one.ask("load_spike_sorting", pids[0], spikes=False, regions=mapping).clusters
    assert seeded_server.requests.count("/brain-regions") == 0
    channels = seeded.array(eid, f"{SORTING}/clusters.channels.npy")
    ids = seeded.array(eid, f"{SORTING}/channels.brainLocationIds_ccf_2017.npy")[channels]
    assert named["acronym"].to_list() == [ANSWERS[int(one)][mapping] for one in ids]
    assert named.drop("acronym").equals(plain.drop("acronym"))


@pytest.mark.parametrize("min_label", [0.5, 1, 2])
def test_only_clusters_of_a_label_and_their_spikes(
    data_one: Face, seeded: World, pids: list[str], eid: str, min_label: float
) -> None:
    spikes, clusters, errors = data_one.ask("load_spike_sorting", pids, min_label=min_label)
    assert errors.is_empty()
    for number, pid in enumerate(pids):
        folder = f"alf/probe0{number}/pykilosort"
        metrics = pd.read_parquet(
            io.BytesIO(seeded.content(seeded.dataset(eid, f"{folder}/clusters.metrics.pqt")))
        )
        good = metrics.loc[metrics["label"] >= min_label, "cluster_id"]
        mine = clusters.filter(pl.col("pid") == pid)
        assert mine["cluster_id"].to_list() == good.to_list()
        kept = np.isin(seeded.array(eid, f"{folder}/spikes.clusters.npy"), good)
        for name in ("clusters", "times", "depths"):
            values = seeded.array(eid, f"{folder}/spikes.{name}.npy")
            np.testing.assert_array_equal(spikes.filter(pl.col("pid") == pid)[name], values[kept])
        if min_label <= 1:
            assert 0 < len(good) < len(metrics)
    alone = data_one.ask("load_spike_sorting", pids, min_label=min_label, spikes=False)
    assert alone.clusters.equals(clusters)


def test_a_sorter_that_is_named(data_one: Face, pids: list[str]) -> None:
    best = data_one.ask("load_spike_sorting", pids, spikes=False).clusters
    assert data_one.ask("load_spike_sorting", pids, spikes=False, sorter="pykilosort").clusters.equals(best)
    for missing in ("ks2_matlab", ""):
        with pytest.raises(ALFObjectNotFound, match="pykilosort"):
            data_one.ask("load_spike_sorting", pids[0], sorter=missing)
    found = data_one.ask("load_spike_sorting", pids, sorter="iblsorter", on_error="collect")
    assert found.errors["pid"].to_list() == pids
    assert found.clusters.is_empty()


def test_one_bad_probe_does_not_cost_the_others(
    make: Make, seeded: World, seeded_server: Emulator, pids: list[str], eid: str
) -> None:
    one = make(seeded_server)
    url = seeded.dataset(eid, f"{SORTING}/clusters.metrics.pqt")["data_url"].removeprefix(
        "https://data.test/"
    )
    seeded_server.faults.add(f"/data/{url}", corrupt=10, times=None)
    wanted = {"min_label": 1.0, "regions": "Cosmos"}
    found = one.ask("load_spike_sorting", pids, on_error="collect", **wanted)
    assert set(found.errors["pid"]) == {pids[0]}
    assert set(found.clusters["pid"]) == set(found.spikes["pid"]) == {pids[1]}
    assert set(found.clusters["acronym"]) <= {answer["Cosmos"] for answer in ANSWERS.values()}
    seeded_server.faults.clear()
    assert found.clusters.equals(one.ask("load_spike_sorting", pids[1], **wanted).clusters)
    assert one.ask("load_spike_sorting", pids, on_error="collect", **wanted).errors.is_empty()


@pytest.mark.parametrize("kind", ["blocking"], indirect=True)
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("channels.mlapdv.npy", lambda a: a.ravel()),
        ("channels.brainLocationIds_ccf_2017.npy", lambda a: np.full(len(a), b"VISp4", "S8")),
        ("clusters.channels.npy", lambda a: np.full(len(a), b"zero", f"S{a.itemsize}")),
        ("clusters.channels.npy", lambda a: a.reshape(-1, 1).repeat(1, axis=1)),
    ],
    ids=["flat places", "texts as ids", "texts as channels", "a column of channels"],
)
def test_files_of_another_shape_cost_their_probe_alone(
    make: Make, seeded_server: Emulator, pids: list[str], name: str, change: Any
) -> None:
    one = make(seeded_server)
    whole = one.ask("load_spike_sorting", pids, spikes=False, regions="Beryl").clusters
    (file,) = one.look("cache_dir").rglob(f"probe00/pykilosort/**/{name}")
    np.save(file, change(np.load(file)))
    wanted: dict[str, Any] = {"spikes": False, "regions": "Beryl", "on_error": "collect", "check_hash": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ALFWarning)  # a warning of the file that differs from the record
        found = one.ask("load_spike_sorting", pids, **wanted)
    assert found.clusters.filter(pl.col("pid") == pids[1]).equals(whole.filter(pl.col("pid") == pids[1]))
    refused = set(found.errors["pid"])
    assert refused <= {pids[0]}
    assert refused or found.clusters["acronym"].equals(whole["acronym"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_label": "good"}, {"min_label": True}, {"min_label": float("nan")},
        {"regions": "Swanson"}, {"regions": "beryl"}, {"regions": ["Beryl"]}, {"regions": True},
        {"sorter": 5}, {"sorter": "../elsewhere"}, {"sorter": ["pykilosort"]},
    ],
    ids=str,
)  # fmt: skip
def test_wrong_values_are_refused_before_any_request(
    data_one: Face, seeded_server: Emulator, pids: list[str], wrong: dict[str, Any]
) -> None:
    seeded_server.requests.reset()
    with pytest.raises(InputError, match=next(iter(wrong))):
        data_one.ask("load_spike_sorting", pids, **wrong)
    assert seeded_server.requests.count("/") == 0
