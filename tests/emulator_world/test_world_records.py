"""The seeded world's records have the documented number, the shapes of the recorded world, and are the same on every run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import digests
import pytest

from one_async.emulator.content import World

PINNED = {"ids": "a5640e1855adce38", "md5s": "c45e78b771fb9e0d"}


def test_the_world_is_the_same_in_two_processes_and_as_pinned(world: World) -> None:
    found = digests.digests(world)
    script = Path(digests.__file__)
    again = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert json.loads(again.stdout) == found
    assert {name: found[name] for name in PINNED} == PINNED


def test_the_world_has_the_documented_number_of_records(world: World) -> None:
    def count(endpoint: str) -> int:
        return len(world.records[endpoint]["list"])

    assert count("labs") >= 3
    assert count("subjects") >= 12
    assert count("sessions") >= 150
    assert count("datasets") >= 6000
    assert count("files") >= count("datasets")
    assert count("insertions") >= 12
    assert count("channels") > 0 < count("trajectories")
    sorted_by = {
        d["session"] + d["collection"]
        for d in world.records["datasets"]["list"]
        if d["name"] == "spikes.times.npy"
    }
    assert len(sorted_by) == 6
    starts = [row["start_time"] for row in world.records["sessions"]["list"]]
    assert starts == sorted(starts, reverse=True)
    assert int(starts[0][:4]) - int(starts[-1][:4]) == 2
    assert starts[0] < world.now.isoformat()


def test_every_recorded_endpoint_has_seeded_records(world: World, recorded: dict[str, Any]) -> None:
    assert set(world.records) == {name for name in recorded if name != "_unserved"}
    assert list(world.unserved) == list(recorded["_unserved"])
    for name, part in recorded["_unserved"].items():
        mine = world.unserved[name]
        assert type(mine) is type(part)
        if part and isinstance(part, list) and mine:
            assert {tuple(row) for row in mine} == {tuple(row) for row in part}, name


def shapes(value: Any, where: str = "") -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the keys, in order, of every object inside a record, except of free JSON fields."""
    if isinstance(value, dict):
        yield where, tuple(value)
        for key, inner in value.items():
            if key not in ("json", "extended_qc"):
                yield from shapes(inner, f"{where}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from shapes(inner, f"{where}[]")


def test_records_have_the_keys_of_the_recorded_world(world: World, recorded: dict[str, Any]) -> None:
    compared = 0
    for endpoint, held in world.records.items():
        real = recorded[endpoint]
        for mine, theirs in (
            (held["list"], real["list"]),
            (list(held["detail"].values()), list(real["detail"].values())),
        ):
            known = dict(pair for row in theirs for pair in shapes(row))
            for row in mine:
                for where, keys in shapes(row):
                    assert keys == known[where], f"{endpoint}{where}"
                    compared += 1
    assert compared > 30_000


def test_values_have_the_types_of_the_recorded_world(world: World, recorded: dict[str, Any]) -> None:
    for endpoint, held in world.records.items():
        for part in ("list", "detail"):
            theirs, mine = recorded[endpoint][part], held[part]
            theirs = theirs if part == "list" else list(theirs.values())
            kinds: dict[str, set[type]] = {}
            for row in theirs:
                for key, value in row.items():
                    kinds.setdefault(key, set()).add(type(value))
            for row in mine if part == "list" else list(mine.values()):
                for key, value in row.items():
                    if key not in ("json", "death_date"):
                        assert type(value) in kinds[key], f"{endpoint} {part} {key} {value!r}"


@pytest.mark.parametrize(
    ("endpoint", "key"),
    [
        ("sessions", "id"),
        ("datasets", "url"),
        ("files", "url"),
        ("insertions", "id"),
        ("subjects", "nickname"),
    ],
)
def test_details_agree_with_the_list(world: World, endpoint: str, key: str) -> None:
    held = world.records[endpoint]
    assert len(held["detail"]) == len(held["list"])
    for row in held["list"]:
        body = held["detail"][row[key].rsplit("/", 1)[-1]]
        shared = (row.keys() & body.keys()) - {"datasets"}
        assert len(shared) > 5
        assert {name: row[name] for name in shared} == {name: body[name] for name in shared}


def test_lists_are_in_the_order_of_the_server(world: World) -> None:
    records = world.records
    for endpoint, key in (
        ("subjects", "nickname"),
        ("users", "username"),
        ("data-repository", "name"),
        ("data-formats", "name"),
        ("dataset-types", "name"),
        ("revisions", "name"),
        ("tags", "name"),
    ):
        names = [row[key] for row in records[endpoint]["list"]]
        assert names == sorted(names), endpoint
    starts = [(row["session_info"]["start_time"], row["name"]) for row in records["insertions"]["list"]]
    assert starts == sorted(sorted(starts, key=lambda s: s[1]), key=lambda s: s[0], reverse=True)


def test_ids_are_unique_and_references_resolve(world: World) -> None:
    records = world.records
    sessions = records["sessions"]["detail"]
    datasets = records["datasets"]["detail"]
    types = {row["name"] for row in records["dataset-types"]["list"]}
    formats = {row["name"] for row in records["data-formats"]["list"]}
    repositories = records["data-repository"]["detail"]
    tags = {row["name"] for row in records["tags"]["list"]}
    assert len(sessions) == len(
        {(s["subject"], s["start_time"][:10], s["number"]) for s in sessions.values()}
    )
    for row in datasets.values():
        assert row["dataset_type"] in types
        assert row["data_format"] in formats
        assert set(row["tags"]) <= tags
        assert row["session"] is None or row["session"].rsplit("/", 1)[1] in sessions
        assert {f["data_repository"] for f in row["file_records"]} <= set(repositories)
    for row in records["files"]["list"]:
        assert row["dataset"].rsplit("/", 1)[1] in datasets
    tracks = records["trajectories"]["detail"]
    regions = records["brain-regions"]["detail"]
    for row in records["channels"]["list"]:
        assert tracks[row["trajectory_estimate"]]["provenance"] == "Ephys aligned histology track"
        assert str(row["brain_region"]) in regions
    for row in records["insertions"]["list"]:
        assert row["session"] in sessions
        assert set(row["datasets"]) <= set(datasets)


def test_records_vary_plausibly(world: World) -> None:
    sessions = world.records["sessions"]["detail"].values()
    levels = {"NOT_SET", "PASS", "WARNING", "FAIL", "CRITICAL"}
    assert {s["qc"] for s in sessions} == levels
    assert {d["qc"] for d in world.records["datasets"]["list"]} == levels
    protocols = Counter(s["task_protocol"].split("_")[3][:6] for s in sessions if s["task_protocol"])
    assert set(protocols) == {"habitu", "traini", "biased", "ephysC"}
    trained = [s for s in sessions if s["n_trials"]]
    assert all(0 < s["n_correct_trials"] <= s["n_trials"] for s in trained)
    assert any(s["procedures"] == ["Histology"] for s in sessions)
    assert any(len(s["projects"]) == 2 for s in sessions)
    assert any(s["extended_qc"] for s in sessions)
    datasets = world.records["datasets"]["list"]
    assert any(d["hash"] == "" for d in datasets)
    assert any(d["file_size"] is None for d in datasets)
    assert any(not f["exists"] for d in datasets for f in d["file_records"])
    assert {d["revision"] for d in datasets} == {"", "2024-02-15", "2025-03-03"}
    assert any(d["revision"] and not d["default_dataset"] for d in datasets)
    assert any("Brainwidemap" in d["tags"] for d in datasets)


def test_the_region_tree_is_a_nested_set(world: World) -> None:
    tree = {row["id"]: row for row in world.unserved["brain_region_tree"]}
    regions = world.records["brain-regions"]["list"]
    bounds = sorted(n for row in tree.values() for n in (row["lft"], row["rght"]))
    assert bounds == list(range(1, 2 * len(regions) + 1))
    for row in regions:
        if row["parent"] is not None:
            mine, above = tree[row["id"]], tree[row["parent"]]
            assert above["lft"] < mine["lft"] < mine["rght"] < above["rght"]
            assert mine["level"] == above["level"] + 1


def test_logins_are_those_of_the_users(world: World) -> None:
    flags = {user["username"]: user for user in world.unserved["users"]}
    assert world.passwords["demo"] == "demo"
    assert not flags["demo"]["is_public_user"]
    assert world.passwords["reader"] == "reader"
    assert flags["reader"]["is_public_user"]
    assert {row["username"] for row in world.records["users"]["list"]} == set(world.passwords)


def test_each_name_matches_the_pattern_of_its_type_alone(world: World) -> None:
    patterns = {
        row["name"]: row["filename_pattern"].lower() for row in world.records["dataset-types"]["list"]
    }
    named = {(row["name"], row["dataset_type"]) for row in world.records["datasets"]["list"]}
    for name, kind in named:
        assert [t for t, pattern in patterns.items() if fnmatch(name.lower(), pattern)] == [kind], name
    assert {kind for _, kind in named} == set(patterns)
