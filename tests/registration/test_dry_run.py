"""A dry run writes nothing and predicts the registration."""

from __future__ import annotations

import tempfile
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client.faces import Face
from one_async import ONE
from one_async.emulator import Emulator
from one_async.errors import InputError
from shared_worlds import recorded_world

from . import folders
from .folders import DATE, NAMES, SUBJECT, md5, session, write, written

COLUMNS = [
    "session",
    "eid",
    "file",
    "dataset_type",
    "collection",
    "revision",
    "hash",
    "size",
    "status",
    "reason",
]


def test_a_dry_run_of_a_new_session_writes_nothing(one: Face, server: Emulator, tmp_path: Path) -> None:
    folder = session(tmp_path, names=[*NAMES, "alf/some.thing.npy"])
    before = folders.state(server)
    frame = one.ask("register_session", folder, dry_run=True)
    assert frame.columns == COLUMNS
    assert (written(server), folders.state(server)) == ([], before)
    assert sorted(path.name for path in folder.iterdir()) == ["alf", "raw_behavior_data"]
    rows = {row["file"]: row for row in frame.iter_rows(named=True)}
    assert list(rows) == sorted([*NAMES, "alf/some.thing.npy"])
    assert rows["alf/some.thing.npy"]["status"] == "no type"
    types = ("trials.table", "wheel.position", "spikes.times", "_iblrig_taskData.raw")
    for name, kind in zip(NAMES, types, strict=True):
        file = folder / name
        expected = {"session": f"{SUBJECT}/{DATE}/001", "eid": None, "dataset_type": kind, "revision": "",
                    "collection": str(Path(name).parent), "hash": md5(file), "size": file.stat().st_size,
                    "status": "new", "reason": ""}  # fmt: skip
        assert rows[name] == {"file": name, **expected}


def test_a_dry_run_checks_where_files_are_copied_to_and_creates_no_folder(
    one: Face, server: Emulator, tmp_path: Path
) -> None:
    folder = session(tmp_path)
    file = folder / NAMES[0]
    for bad in (file, file / "below", "nothing://bucket", "a\0b", ""):
        for method, paths in (("register_session", folder), ("register_files", file)):
            with pytest.raises(InputError, match=r"^to=.*a folder that can be written to"):
                one.ask(method, paths, to=bad, dry_run=True)
    good = tmp_path / "new/repository"
    assert one.ask("register_session", folder, to=good, dry_run=True)["status"].to_list() == ["new"] * 4
    assert not good.parent.exists()
    assert written(server) == []


def test_a_dry_run_returns_every_status(one: Face, server: Emulator, tmp_path: Path) -> None:
    given = {"subject": "KS014", "date": "2019-12-04"}
    changed, same = "raw_behavior_data/_iblrig_taskData.raw.jsonable", "alf/probe00/spikes.times.npy"
    folder = session(tmp_path, **given, names=[changed, same])
    one.ask("register_files", [folder / changed, folder / same])
    write(folder / changed, "changed")
    names = [
        "alf/_ibl_wheel.position.npy", "alf/#2025-01-01#/spikes.times.npy", "alf/probe00/#2025-01-01#/spikes.times.npy"
    ]  # fmt: skip
    for name in names:
        write(folder / name)
    before = date.today()
    frame = one.ask("register_files", [folder / name for name in (changed, same, *names)], dry_run=True)
    assert frame["status"].to_list() == ["changed", "exists", "protected", "new", "new revision"]
    assert frame["eid"].n_unique() == 1
    days = {f"the file becomes revision {day.isoformat()}" for day in (before, date.today())}
    assert frame["reason"][2].rpartition("; ")[2] in days  # two if midnight passed meanwhile
    assert all(frame["reason"].to_list()[index] for index in (0, 1, 2, 4))


def test_a_dry_run_without_files_or_hashes(one: Face, tmp_path: Path) -> None:
    folder = session(tmp_path)
    assert one.ask("register_session", folder, file_list=False, dry_run=True).shape == (0, len(COLUMNS))
    frame = one.ask("register_session", folder, max_md5_size=40, dry_run=True)
    sizes = dict(zip(frame["size"], frame["hash"], strict=True))
    assert {size: md5 is None for size, md5 in sizes.items()} == {size: size > 40 for size in sizes}


FILES = st.dictionaries(
    st.sampled_from([*NAMES, "alf/#2025-01-02#/_ibl_trials.table.pqt", "alf/some.thing.npy", "alf/#b#/spikes.times.npy"]),
    st.sampled_from(["one", "two"]),
    max_size=5,
)  # fmt: skip


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(FILES, FILES)
def test_a_dry_run_predicts_the_registration(first: dict[str, str], second: dict[str, str]) -> None:
    """Rows before and after the registration differ as the dry run predicts, for any existing files."""
    with tempfile.TemporaryDirectory() as name, Emulator(recorded_world()) as server:
        folder = session(Path(name), names=())
        with ONE(base_url=server.url, username="alice", password="alice", cache_dir=Path(name) / "c") as one:
            for files in (first, second):
                for path, content in files.items():
                    write(folder / path, content)
                before = datasets(server)
                frame = one.register_session(folder, dry_run=True)
                one.register_session(folder)
                after = datasets(server)
                for row in frame.iter_rows(named=True):
                    key = (row["collection"], row["revision"] or None, Path(row["file"]).name)
                    expected = {
                        "new": (False, True), "new revision": (False, True), "exists": (True, False),
                        "changed": (True, True), "no type": (False, False),
                    }[row["status"]]  # fmt: skip
                    assert (key in before, before.get(key) != after.get(key)) == expected, row
                    assert row["status"] == "no type" or after[key] == row["hash"]


def datasets(server: Emulator) -> dict[tuple[object, ...], str]:
    sessions = {row["id"] for row in folders.rows(server, "sessions") if row["start_time"][:10] == DATE}
    return {
        (row["collection"], row["revision"], row["name"]): row["hash"]
        for row in folders.rows(server, "datasets")
        if row["session"] in sessions
    }
