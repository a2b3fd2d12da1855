"""Sessions and files are registered as in the recorded exchanges, with one request for each kind of row."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from uuid import UUID

import pytest

from client.faces import Face
from one_async import ONE
from one_async.emulator import Emulator
from one_async.errors import InputError, NotFound, OfflineError, RegistrationError

from . import folders
from .conftest import Make
from .folders import DATE, LAB, NAMES, SUBJECT, md5, session, written


def datasets(server: Emulator, eid: str) -> dict[str, tuple[object, ...]]:
    found = {}
    for row in folders.rows(server, "datasets"):
        if row["session"] == eid:
            parts = (row["collection"], row["revision"] and f"#{row['revision']}#", row["name"])
            found["/".join(filter(None, parts))] = (row["hash"], row["file_size"], row["created_by"])
    return found


def test_a_session_is_registered_with_its_files(one: Face, server: Emulator, tmp_path: Path) -> None:
    folder = session(tmp_path, names=[*NAMES, "alf/some.thing.npy", "log.txt", ".hidden.a.npy"])
    record, records = one.ask("register_session", folder)
    assert written(server) == ["POST /sessions", "POST /register-file"]
    (row,) = [row for row in folders.rows(server, "sessions") if row["start_time"][:10] == DATE]
    assert (row["subject"], row["lab"], row["number"], row["type"]) == (SUBJECT, LAB, 1, "Experiment")
    assert record["url"].endswith(row["id"])
    assert record["users"] == ["alice"]
    expected = {name: (md5(folder / name), (folder / name).stat().st_size, "alice") for name in NAMES}
    assert datasets(server, row["id"]) == expected
    assert [r["name"] for r in records] == [Path(name).name for name in sorted(NAMES)]
    assert {r["session"] for r in records} == {row["id"]}
    assert [one.name for one in folder.iterdir() if "one_async" in one.name] == []


def test_a_second_registration_writes_nothing(one: Face, server: Emulator, tmp_path: Path) -> None:
    folder = session(tmp_path)
    first = one.ask("register_session", folder)
    before = folders.state(server)
    server.requests.reset()
    again = one.ask("register_session", folder)
    assert written(server) == []
    assert folders.state(server) == before
    assert again[0]["id"] == first[0]["id"]
    for old, new in zip(first[1], again[1], strict=True):
        assert {**new, "file_records": 0} == {**old, "file_records": 0}
        key = "data_repository"
        assert sorted(old["file_records"], key=lambda r: r[key]) == sorted(
            new["file_records"], key=lambda r: r[key]
        )


def test_many_sessions_are_registered_together(one: Face, server: Emulator, tmp_path: Path) -> None:
    paths = [session(tmp_path, number=f"{number:03d}") for number in range(1, 8)]
    results = one.ask("register_session", paths)
    assert [record["number"] for record, _ in results] == list(range(1, 8))
    for path, (record, records) in zip(paths, results, strict=True):
        assert len(records) == len(NAMES)
        assert datasets(server, record["id"]).keys() == {
            str(f.relative_to(path)) for f in path.rglob("*.*.*")
        }
    assert sorted(written(server)) == ["POST /register-file"] * 7 + ["POST /sessions"] * 7


def test_fields_of_a_session_are_registered(one: Face, server: Emulator, tmp_path: Path) -> None:
    folder = session(tmp_path, lab=None)
    fields = {
        "users": ["alice", "bruno"], "projects": "practice", "procedures": ["Behavior training/tasks"], "n_trials": 10,
        "n_correct_trials": 4, "task_protocol": "p", "json": '{"a": 1}', "location": "_iblrig_cortexlab_behavior_0",
        "start_time": datetime(2025, 1, 14, 9, 30), "end_time": "2025-01-14T10:00", "lab": "riverlab",
    }  # fmt: skip
    record, records = one.ask("register_session", str(folder), file_list=False, **fields)
    assert records is None
    expected = {**fields, "projects": ["practice"], "json": {"a": 1}, "start_time": "2025-01-14T09:30:00",
                "end_time": "2025-01-14T10:00:00"}  # fmt: skip
    assert {name: record[name] for name in fields} == expected


def test_fields_that_are_not_given_are_kept(one: Face, server: Emulator, tmp_path: Path) -> None:
    # ONE-api sends PUT with midnight, its own user and type: a session that began at 23:50 would begin at 0:00.
    folder = session(tmp_path, date="2024-12-31", names=())
    before = [row for row in folders.rows(server, "sessions") if row["start_time"] == "2024-12-31T23:50:00"]
    record, _ = one.ask("register_session", folder, users="bruno", n_trials=13)
    assert (record["start_time"], record["n_trials"], record["users"]) == (
        "2024-12-31T23:50:00",
        13,
        ["bruno"],
    )
    after = [row for row in folders.rows(server, "sessions") if row["id"] == before[0]["id"]]
    assert after == [{**before[0], "n_trials": 13, "auto_datetime": after[0]["auto_datetime"]}]
    assert written(server) == [f"PATCH /sessions/{before[0]['id']}"]


def test_records_are_returned_in_the_order_of_the_files(one: Face, server: Emulator, tmp_path: Path) -> None:
    one.ask("register_session", [session(tmp_path, number=n, names=()) for n in ("001", "002")])
    paths = [
        session(tmp_path, number="002") / NAMES[0],
        session(tmp_path) / NAMES[1],
        session(tmp_path) / NAMES[0],
    ]
    records = one.ask("register_files", [str(path) for path in paths])
    assert [(r["session_number"], r["name"]) for r in records] == [
        (2, "_ibl_trials.table.pqt"), (1, "_ibl_wheel.position.npy"), (1, "_ibl_trials.table.pqt")
    ]  # fmt: skip
    single = one.ask("register_files", paths[1])
    assert single["id"] == records[1]["id"]


def test_a_changed_file_replaces_the_hash(one: Face, server: Emulator, tmp_path: Path) -> None:
    folder = session(tmp_path)
    record, records = one.ask("register_session", folder)
    folders.write(folder / NAMES[0], "changed")
    server.requests.reset()
    _, again = one.ask("register_session", folder)
    assert written(server) == ["POST /register-file"]
    assert [r["id"] for r in again] == [r["id"] for r in records]
    assert datasets(server, record["id"])[NAMES[0]] == (md5(folder / NAMES[0]), 7, "alice")


@pytest.mark.parametrize("default", [True, False])
def test_the_latest_revision_becomes_the_default(
    one: Face, server: Emulator, tmp_path: Path, default: bool
) -> None:
    folder = session(tmp_path, names=["alf/_ibl_trials.table.pqt", "alf/#2025-01-10#/_ibl_trials.table.pqt"])
    record, records = one.ask("register_session", folder, default=default)
    assert [r["revision"] for r in records] == ["2025-01-10", ""]
    flags = {row["revision"]: row["default_dataset"] for row in folders.rows(server, "datasets")
             if row["session"] == record["id"]}  # fmt: skip
    assert flags == {"2025-01-10": 0, None: int(default)}  # of the last one sent
    before = folders.state(server)
    server.requests.reset()
    one.ask("register_session", folder, default=default)
    assert (written(server), folders.state(server)) == ([], before)


def test_a_changed_revision_does_not_become_the_default(one: Face, server: Emulator, tmp_path: Path) -> None:
    """The server makes the last dataset sent the default, so that the default is sent last."""
    revision = "alf/#2025-01-10#/_ibl_trials.table.pqt"
    folder = session(tmp_path, names=["alf/_ibl_trials.table.pqt", revision])
    record, _ = one.ask("register_session", folder)
    folders.write(folder / revision, "changed")
    one.ask("register_session", folder)
    flags = {row["revision"]: (row["default_dataset"], row["hash"]) for row in folders.rows(server, "datasets")
             if row["session"] == record["id"]}  # fmt: skip
    assert flags["2025-01-10"] == (0, md5(folder / revision))
    assert flags[None][0] == 1


def test_create_new_session_makes_folder_and_row(one: Face, server: Emulator, tmp_path: Path) -> None:
    root = tmp_path / LAB / "Subjects"
    path, eid = one.ask("registration.create_new_session", SUBJECT, root, date=DATE, users="bruno")
    assert path == root / SUBJECT / DATE / "001"
    assert path.is_dir()
    assert isinstance(eid, UUID)
    other, nothing = one.ask("registration.create_new_session", SUBJECT, root, date=DATE, register=False)
    assert (other.name, nothing) == ("002", None)
    # The day's folder on another machine: numbers in the database are not used again.
    third, _ = one.ask("registration.create_new_session", SUBJECT, tmp_path / "other" / SUBJECT, date=DATE)
    assert third.name == "002"
    assert len([row for row in folders.rows(server, "sessions") if row["start_time"][:10] == DATE]) == 2
    with pytest.raises(InputError, match="n_trials"):
        one.ask("registration.create_new_session", SUBJECT, root, date=DATE, n_trials=-1)
    assert not (root / SUBJECT / DATE / "003").exists()


def test_create_sessions_registers_flagged_folders(one: Face, server: Emulator, tmp_path: Path) -> None:
    paths = [session(tmp_path, number=f"00{n}") for n in (1, 2)]
    flags = [folders.write(path / "create_me.flag") for path in paths]
    session(tmp_path, number="003")
    assert one.ask("registration.create_sessions", tmp_path, dry=True) == (paths, [None, None])
    assert written(server) == []
    found, records = one.ask("registration.create_sessions", tmp_path, register_files=True)
    assert found == paths
    assert [record["number"] for record in records] == [1, 2]
    assert not any(flag.exists() for flag in flags)
    assert sorted(written(server)) == ["POST /register-file"] * 2 + ["POST /sessions"] * 2
    assert one.ask("registration.create_sessions", tmp_path) == ([], [])


def test_find_files_and_prepare_files(one: Face, tmp_path: Path) -> None:
    folder = session(tmp_path, names=[*NAMES, "alf/some.thing.npy", "log.txt"])
    expected = sorted(folder / name for name in NAMES)
    assert one.ask("registration.find_files", folder) == expected
    paths = [*expected[:2], folder / "log.txt", tmp_path / "elsewhere.a.npy"]
    groups, versions, files, single = one.ask("registration.prepare_files", paths, "1.2")
    assert {key: [str(path) for path in found] for key, found in groups.items()} == {
        folder: sorted(NAMES)[:2]
    }
    assert dict(versions) == {folder: ["1.2", "1.2"]}
    assert (files, single) == (paths, False)


def test_a_dry_run_returns_the_requests(one: Face, server: Emulator, tmp_path: Path) -> None:
    one.ask("register_session", session(tmp_path, names=()))
    folder = session(tmp_path)
    server.requests.reset()
    (body,) = one.ask("registration.register_files", [folder / NAMES[0]], dry=True, versions="3", qc="pass")
    assert written(server) == []
    assert body == {
        "created_by": "alice", "path": f"{SUBJECT}/{DATE}/001", "filenames": [NAMES[0]],
        "hashes": [md5(folder / NAMES[0])], "filesizes": [(folder / NAMES[0]).stat().st_size], "name": None,
        "exists": True, "server_only": False, "default": True, "versions": ["3"], "check_protected": True,
        "qc": "pass", "labs": LAB,
    }  # fmt: skip


def test_assert_exists_returns_records(one: Face) -> None:
    assert one.ask("registration.assert_exists", SUBJECT, "subjects")["lab"] == LAB
    found = one.ask("registration.assert_exists", ["alice", "bruno"], "users")
    assert [row["username"] for row in found] == ["alice", "bruno"]
    with pytest.raises(NotFound, match="'nobody'"):
        one.ask("registration.assert_exists", ["alice", "nobody"], "users")


def test_caches_and_tables_are_updated_at_once(make: Make, server: Emulator, tmp_path: Path) -> None:
    one = make()
    terms = {"subject": SUBJECT, "date_range": [DATE, DATE]}
    one.ask("refresh_cache")
    assert one.ask("search", **terms) == []
    folder = session(tmp_path)
    record, _ = one.ask("register_session", folder, repository="flatiron_cortexlab")
    eid = UUID(record["id"])
    assert one.ask("search", **terms) == [eid]
    assert one.ask("search", **terms, query_type="local") == [eid]
    for mode in ("remote", "local"):
        assert one.ask("list_datasets", eid, query_type=mode) == sorted(NAMES), mode
    one.ask("register_files", folders.write(folder / "alf/#2025-01-15#/_ibl_trials.table.pqt"),
            repository="flatiron_cortexlab")  # fmt: skip
    for mode in ("remote", "local"):
        frame = one.ask("list_datasets", eid, "*trials.table*", details=True, query_type=mode)
        flags = dict(zip(frame["rel_path"], frame["default_revision"], strict=True))
        assert flags == {
            "alf/_ibl_trials.table.pqt": False,
            "alf/#2025-01-15#/_ibl_trials.table.pqt": True,
        }, mode


class Counts:
    """A progress bar that records its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int, int]] = []

    def start(self, files: int, nbytes: int) -> None:
        self.calls.append(("start", files, nbytes))

    def advance(self, files: int, nbytes: int) -> None:
        self.calls.append(("advance", files, nbytes))

    def stop(self) -> None:
        self.calls.append(("stop", 0, 0))


def test_progress_counts_files_and_bytes(make: Make, tmp_path: Path) -> None:
    counts = Counts()
    one = make(progress=counts)
    paths = [session(tmp_path, number=f"00{n}") for n in (1, 2)]
    sizes = [file.stat().st_size for path in paths for file in path.rglob("*.*.*")]
    one.ask("register_session", paths)
    assert counts.calls[0] == ("start", 8, sum(sizes))
    assert counts.calls[-1][0] == "stop"
    assert sorted(call[2] for call in counts.calls[1:-1]) == sorted(sizes)


def test_empty_lists_register_nothing(one: Face, server: Emulator) -> None:
    assert one.ask("register_session", []) == []
    assert one.ask("register_files", [], repository="cortexlab_SR") == []
    assert one.ask("register_files", [], dry_run=True).height == 0
    assert written(server) == []


def test_registration_without_a_database_raises(tmp_path: Path) -> None:
    with ONE(cache_dir=tmp_path, mode="local") as one:
        for call in (lambda: one.registration, lambda: one.register_session(session(tmp_path))):
            with pytest.raises(OfflineError):
                call()


def test_files_are_hashed_once(one: Face, tmp_path: Path) -> None:
    """Files that have not changed since a dry run are not read again."""
    folder = session(tmp_path)
    for name in NAMES:
        os.utime(folder / name, (1_000_000, 1_000_000))
    frame = one.ask("register_session", folder, dry_run=True)
    changed = folder / NAMES[0]
    folders.write(changed, "x" * changed.stat().st_size)
    record, _ = one.ask("register_session", folder)
    assert frame["hash"].to_list() != [md5(folder / name) for name in sorted(NAMES)]
    assert record["number"] == 1
    again = one.ask("register_session", folder, dry_run=True)
    assert again["hash"].to_list() == [md5(folder / name) for name in sorted(NAMES)]
    assert again["status"].unique().to_list() == ["exists"]


def test_files_of_a_missing_session_are_refused(one: Face, server: Emulator, tmp_path: Path) -> None:
    with pytest.raises(RegistrationError, match="no such session"):
        one.ask("register_files", session(tmp_path) / NAMES[0])
    assert written(server) == []
