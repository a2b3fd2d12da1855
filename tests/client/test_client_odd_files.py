"""Files that differ from their records, and objects whose attributes have different numbers of rows."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from one_async import ONE
from one_async.emulator import Emulator
from one_async.errors import ALFError, ALFObjectNotFound, ALFWarning, HashMismatch
from one_async.tables.build import make_parquet_db

from .conftest import login
from .faces import KINDS, opened
from .worlds import World

SESSIONS = [f"lab/Subjects/s{number}/2024-01-0{number}/001" for number in (1, 2, 3)]
NO_DEFAULT = "No default revision"
LENGTHS = {"choice": 4, "contrastLeft": 7, "intervals": 4}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write three sessions with trials; the second one's attributes differ in their number of rows."""
    for index, session in enumerate(SESSIONS):
        alf = tmp_path / "db" / session / "alf"
        alf.mkdir(parents=True)
        for name, rows in LENGTHS.items():
            rows = rows if index == 1 else 4
            np.save(alf / f"_ibl_trials.{name}.npy", np.arange(rows) + 10 * index)
    make_parquet_db(tmp_path / "db")
    return tmp_path / "db"


@pytest.mark.parametrize("kind", KINDS, indirect=True)
def test_attributes_of_unequal_length_cost_their_own_session(kind: str, folder: Path) -> None:
    with opened(kind, cache_dir=folder, mode="local") as one, warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", NO_DEFAULT)  # tables of a folder do not record it
        eids = one.ask("path2eid", [folder / session for session in SESSIONS])
        frame, errors = one.ask("load_many", eids, "trials", on_error="collect")
        assert sorted(set(frame["eid"])) == sorted([str(eids[0]), str(eids[2])])
        assert frame.filter(frame["eid"] == str(eids[2]))["choice"].to_list() == [20, 21, 22, 23]
        assert errors["eid"].to_list() == [str(eids[1])]
        for name, rows in LENGTHS.items():
            assert f"{name} {rows}" in errors["error"][0]
        with pytest.raises(ALFError, match=f"{eids[1]}.*contrastLeft 7"):
            one.ask("load_many", eids, "trials")


@pytest.mark.filterwarnings(f"ignore:{NO_DEFAULT}")
def test_an_object_of_unequal_length_is_given_with_a_warning(folder: Path) -> None:
    with ONE(cache_dir=folder, mode="local") as one:
        eid = one.path2eid(folder / SESSIONS[1])
        with pytest.warns(ALFWarning, match=r"contrastLeft \(7,\).*; session s2 2024-01-02 #1 \("):
            trials = one.load_object(eid, "trials")
        with pytest.warns(ALFWarning, match=r"datasets: 'no.such.npy'.*; session s2 2024-01-02 #1 \("):
            one.load_datasets(eid, ["no.such.npy"], assert_present=False)
        assert {name: len(data) for name, data in trials.items()} == LENGTHS
        with pytest.warns(ALFWarning, match=r"contrastLeft \(7,\)"):
            items = dict(one.iter_objects([folder / s for s in SESSIONS], "trials", on_error="collect"))
        assert len(items) == 3


# ---- a recorded hash that is wrong

WRONG = "0" * 32


@pytest.fixture
def world(seeded: World, seeded_server: Emulator) -> Iterator[tuple[Emulator, str, list[dict[str, Any]]]]:
    """Yield a world with a session whose wheel files have other hashes in the database than their bytes."""
    session = seeded.session("CX_003", "2023-09-22")
    eid = str(session["id"])
    wheel = [dict(d) for d in seeded.of(eid) if d["name"].startswith("_ibl_wheel.")]
    ids = {d["id"] for d in wheel}
    changed = [{**d, "hash": WRONG} if d["id"] in ids else d for d in session["data_dataset_session_related"]]
    seeded_server.store.update("sessions", eid, data_dataset_session_related=changed)
    for one in wheel:
        seeded_server.store.update("datasets", one["id"], hash=WRONG)
    yield seeded_server, eid, wheel
    seeded_server.store.update(
        "sessions", eid, data_dataset_session_related=session["data_dataset_session_related"]
    )
    for one in wheel:
        seeded_server.store.update("datasets", one["id"], hash=one["hash"])


def calls(eid: str, wheel: list[dict[str, Any]]) -> list[tuple[str, tuple[Any, ...]]]:
    name = wheel[0]["name"]
    return [
        ("load_dataset", (eid, name)),
        ("load_datasets", (eid, [name])),
        ("load_object", (eid, "wheel")),
        ("load_collection", (eid, "alf", "wheel")),
        ("load_dataset_from_id", (wheel[0]["id"],)),
        ("load_many", ([eid], "wheel")),
        ("download", (eid, name)),
    ]


@pytest.mark.parametrize("which", range(7))
@pytest.mark.parametrize("kind", KINDS, indirect=True)
def test_a_wrong_hash_is_accepted_when_hashes_are_not_checked(
    kind: str, world: tuple[Emulator, str, list[dict[str, Any]]], which: int, tmp_path: Path
) -> None:
    server, eid, wheel = world
    method, args = calls(eid, wheel)[which]
    with opened(kind, cache_dir=tmp_path, mode="remote", **login(server)) as one:
        with pytest.raises(HashMismatch, match="check_hash=False"):
            one.ask(method, *args)
        assert not list(tmp_path.rglob("_ibl_wheel*.npy"))
        one.ask(method, *args, check_hash=False)
        fetched = list(tmp_path.rglob("_ibl_wheel*.npy"))
        right = {d["name"]: d["hash"] for d in wheel}
        assert fetched
        for file in fetched:
            assert hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest() == right[file.name]
        with pytest.raises(HashMismatch):  # a file that was accepted once is not considered right
            one.ask(method, *args)


def test_iter_objects_and_retry_accept_a_wrong_hash(
    world: tuple[Emulator, str, list[dict[str, Any]]], seeded: World, tmp_path: Path
) -> None:
    server, eid, wheel = world
    with opened("asyncio", cache_dir=tmp_path, mode="remote", **login(server)) as one:
        table = one.ask("download", eid, "_ibl_wheel.*", on_error="collect")
        assert set(table["status"]) == {"failed"}
        assert all("check_hash=False" in error for error in table["error"])
        assert set(one.ask("retry", table)["status"]) == {"failed"}
        assert set(one.ask("retry", table, check_hash=False)["status"]) == {"fetched"}
    with opened("asyncio", cache_dir=tmp_path / "b", mode="remote", **login(server)) as one:
        with pytest.raises(HashMismatch):
            one.items("iter_objects", [eid], "wheel")
        ((_, data),) = one.items("iter_objects", [eid], "wheel", check_hash=False)
        for part in wheel:
            expected = np.load(io.BytesIO(seeded.content(part)))
            np.testing.assert_array_equal(data[part["name"].split(".")[1]], expected)


def test_a_bound_stays_where_hashes_are_not_checked(
    world: tuple[Emulator, str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    """A file much larger than recorded is always refused."""
    server, eid, wheel = world
    server.faults.add("/data/", body=bytes(80 * 2**20), times=None)
    with opened("asyncio", cache_dir=tmp_path, mode="remote", **login(server)) as one:
        with pytest.raises(HashMismatch, match="at most"):
            one.ask("load_dataset", eid, wheel[0]["name"], check_hash=False)
    assert not list(tmp_path.rglob("_ibl_wheel*"))


@pytest.mark.parametrize("is_list", [False, True])
@pytest.mark.parametrize("absent", [("times",), ("clusters",), ("times", "clusters")])
def test_attributes_that_are_not_on_disk_are_named(
    tmp_path: Path, absent: tuple[str, ...], is_list: bool
) -> None:
    """An object without one of its listed files is given with a warning, by each method that loads objects."""
    for attribute in ("times", "clusters", "depths"):
        file = tmp_path / f"S/2020-01-01/001/alf/spikes.{attribute}.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, np.arange(3))
    make_parquet_db(tmp_path)
    for attribute in absent:
        (tmp_path / f"S/2020-01-01/001/alf/spikes.{attribute}.npy").unlink()
    kept = {"times", "clusters", "depths"} - set(absent)
    with ONE(cache_dir=tmp_path, mode="local") as one:
        eid = one.search()[0]
        eids = [eid] if is_list else eid
        calls = {
            "load_object": (lambda: one.load_object(eids, "spikes"), kept),
            "paths": (lambda: one.load_object(eids, "spikes", download_only=True), len(kept)),
            "load_collection": (lambda: one.load_collection(eids, "alf"), {"spikes"}),
            "load_many": (lambda: one.load_many(eid, "spikes").columns, {"eid", *kept}),
        }
        for name, (call, expected) in calls.items():
            with pytest.warns(ALFWarning, match="not on disk: .*" + absent[0]):
                found = call()
            found = found[0] if is_list and name != "load_many" else found
            assert (len(found) if name == "paths" else set(found)) == expected
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert set(one.load_object(eid, "spikes", attribute=sorted(kept))) == kept


FOLDERS = st.sampled_from(
    ["alf/##", "alf/old stuff", "alf/#v1#/x", "a@b", "#v1#/#v2#", "~", "alf/a#", "alf/a (1)"]
)


@given(st.sets(FOLDERS | st.text(st.sampled_from("ab#/ @("), min_size=1, max_size=6), min_size=1, max_size=3))
@settings(max_examples=15, deadline=None)
def test_a_file_in_an_odd_folder_affects_no_other_dataset(folders: set[str]) -> None:
    """What the session has is loaded; what it lacks is an error that names what is there, and not the odd file."""
    with TemporaryDirectory() as root:
        session = Path(root, "S/2020-01-01/001")
        for folder in ("alf", *folders):
            (session / folder.strip("/ ")).mkdir(parents=True, exist_ok=True)
            np.save(session / folder.strip("/ ") / "wheel.position.npy", np.arange(4))
        np.save(session / "alf/spikes.times.npy", np.arange(3))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of folders that are no collections
            make_parquet_db(root)
        with ONE(cache_dir=root, mode="local") as one:
            eid = one.search()[0]
            assert len(one.load_object(eid, "spikes", "alf").times) == 3
            assert "spikes" in one.load_collection(eid, "alf", object="sp*")
            with pytest.raises(ALFObjectNotFound, match="spikes"):
                one.load_object(eid, "spike")
            with pytest.raises(ALFObjectNotFound, match="no object 'clusters'"):
                one.load_object(eid, "clusters", "alf")
            with pytest.raises(ALFObjectNotFound, match=r"no collection 'alf2'.*'alf'"):
                one.load_collection(eid, "alf2")
            with pytest.raises(ALFObjectNotFound):
                one.load_dataset(eid, "spikes.depths.npy")
