"""The seeded world has what the loaders of IBL's analysis software read, and their formats are right."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from one_async.emulator.content import World

Read = Callable[[str, str], Any]


def places_of(world: World, eid: str) -> dict[str, dict[str, Any]]:
    """Return the datasets of a session by their place, ``alf/x.y.npy``."""
    rows = (world.records["datasets"]["detail"][d["id"]] for d in related(world, eid))
    return {f"{row['collection']}/{row['name']}": row for row in rows if not row["revision"]}


def related(world: World, eid: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.records["sessions"]["detail"][eid]["data_dataset_session_related"]
    return found


@pytest.fixture(scope="module")
def read(world: World) -> Read:
    """Read a dataset of a session that a server has."""

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
