"""Bad input and files that cannot be registered: all causes are in one error, before anything is sent."""

from __future__ import annotations

import pickle
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from client.faces import Face
from one_async.emulator import Emulator
from one_async.errors import InputError, LoginError, NotFound, OneError, RegistrationError

from . import folders
from .conftest import Make
from .folders import DATE, NAMES, SUBJECT, session, write, written

FIELDS: list[tuple[str, Any]] = [
    ("n_trials", -1), ("n_trials", "many"), ("n_trials", 1.5), ("n_trials", True), ("n_correct_trials", -1),
    ("task_protocol", 5), ("type", ["Experiment"]), ("json", "[1]"), ("json", "{"), ("json", 5), ("users", [""]),
    ("users", 5), ("projects", [5]), ("start_time", "2025-01-13T10:00:00"), ("start_time", "garbage"), ("start_time", 5),
    ("start_time", "2025-01-14T10:00:00+02:00"), ("end_time", "2025-01-13"), ("lab", "riverlab"), ("unknown_key", 1),
    ("revision", "a b"), ("max_md5_size", -1), ("default", "yes"), ("repository", ""), ("created_by", 5),
    ("server_only", 1), ("exists", None), ("to", ""),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), FIELDS, ids=str)
def test_wrong_values_are_refused_before_any_request(
    server: Emulator, tmp_path: Path, name: str, value: Any
) -> None:
    from one_async import ONE

    folder = session(tmp_path)
    with ONE(base_url=server.url, username="alice", password="alice", cache_dir=tmp_path / "c") as one:
        server.requests.reset()
        with pytest.raises(InputError) as caught:
            one.register_session(folder, **{name: value})
    assert caught.value.argument == name  # type: ignore[attr-defined]
    assert list(server.requests) == []


@pytest.mark.parametrize("path", [
    "KS046/2025-02-30/001", "KS046/2025-01-14", "KS046/2025-01-14/001/alf", "KS 046/2025-01-14/001",
    "KS046/2025-01-14/000", "KS046/2025-01-14/1000", "a(b)/2025-01-14/001", "",
])  # fmt: skip
def test_paths_of_no_session_are_refused(server: Emulator, tmp_path: Path, path: str) -> None:
    from one_async import ONE

    with (
        ONE(base_url=server.url, username="alice", password="alice", cache_dir=tmp_path / "c") as one,
        pytest.raises(InputError),
    ):
        one.register_session(tmp_path / path)
    assert written(server) == []


def test_all_unknown_names_of_all_sessions_are_named(one: Face, server: Emulator, tmp_path: Path) -> None:
    paths = [
        session(tmp_path), session(tmp_path, subject="nobody"), session(tmp_path, number="002", lab="nolab"),
        session(tmp_path, subject="ks046"),
    ]  # fmt: skip
    options = {"repository": "norepo", "created_by": "nocreator"}
    with pytest.raises(RegistrationError) as caught:
        one.ask(
            "register_session",
            paths,
            users=["alice", "me"],
            procedures="magic",
            location="nowhere",
            **options,
        )
    refused = caught.value.refused
    assert set(refused) == {str(path) for path in paths}
    for path, extra in zip(paths, ([], ["'nobody'"], ["'nolab'"], ["'ks046'"]), strict=True):
        for name in ("'me'", "'magic'", "'nowhere'", "'norepo'", "'nocreator'", *extra):
            assert name in refused[str(path)]
    assert written(server) == []
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.refused, str(again)) == (refused, str(caught.value))


def add(server: Emulator, endpoint: str, **values: Any) -> None:
    """Insert a copy of an endpoint's first record with other fields."""
    record = server.store.records(endpoint, [1])[0][1]
    server.store.insert(endpoint, {**record, "id": str(uuid4()), **values})


def add_type(server: Emulator) -> None:
    """Insert a dataset type that makes that of ``wheel.position`` ambiguous, as in a recorded scenario."""
    add(server, "dataset-types", name="wheel.any", filename_pattern="*wheel.*.npy")


BAD: list[tuple[str, str, str]] = [
    ("alf/some.thing.npy", "no type", "no dataset type"),
    ("alf/_ibl_trials.table.xyz", "no type", ".xyz"),
    ("alf/_ibl_trials.table.two", "ambiguous type", "second, two"),
    ("alf/a b/_ibl_trials.table.pqt", "invalid path", "collections"),
    ("alf/#2025 01#/_ibl_trials.table.pqt", "invalid path", "revision"),
    ("alf/#2025-01-01#/more/_ibl_trials.table.pqt", "invalid path", "revision"),
    ("alf/#a#/#b#/_ibl_trials.table.pqt", "invalid path", "revision"),
    ("alf/log.txt", "invalid path", "object.attribute"),
    ("alf/trials.table.5b3e92c1-33dc-4b5d-9c0c-2f1f6a0f6d6e.pqt", "invalid path", "dataset's id"),
]


def test_every_refused_file_is_named(one: Face, server: Emulator, tmp_path: Path) -> None:
    one.ask("register_session", session(tmp_path, names=()))
    folder = session(tmp_path)
    paths = [write(folder / name) for name, _, _ in BAD] + [folder / NAMES[0]]
    outside, missing = write(tmp_path / "elsewhere.a.npy"), folder / "alf/_ibl_wheel.velocity.npy"
    paths += [outside, missing]
    for name in ("two", "second"):
        add(server, "data-formats", name=name, file_extension=".two")
    server.requests.reset()
    with pytest.raises(RegistrationError) as caught:
        one.ask("register_files", paths)
    frame = one.ask("register_files", paths, dry_run=True)
    refused = caught.value.refused
    assert set(refused) == {str(path) for path in paths} - {str(folder / NAMES[0])}
    for name, _, reason in BAD:
        assert reason in refused[str(folder / name)], name
    assert written(server) == []
    statuses = dict(zip(frame["file"], frame["status"], strict=True))
    expected = {name: status for name, status, _ in BAD} | {NAMES[0]: "new", str(outside): "outside session"}
    assert statuses == {**expected, "alf/_ibl_wheel.velocity.npy": "missing"}


def test_users_without_permission_cannot_register(make: Make, server: Emulator, tmp_path: Path) -> None:
    one = make("intbrainlab")
    folder = session(tmp_path)
    before = folders.state(server)
    with pytest.raises(LoginError, match="permission"):
        one.ask("register_session", folder)
    with pytest.raises(LoginError, match="permission"):
        one.ask("register_session", [folder, session(tmp_path, number="002")])
    with pytest.raises(LoginError):
        one.ask("registration.register_weight", SUBJECT, 20.0, date(2025, 1, 14))
    with pytest.raises(LoginError):
        one.ask("registration.register_water_administration", SUBJECT, 1.0)
    assert folders.state(server) == before


WATER: list[tuple[dict[str, Any], type[OneError]]] = [
    ({"volume": -1}, InputError), ({"volume": 0}, InputError),
    ({"volume": "much"}, InputError), ({"volume": float("nan")}, InputError),
    ({"subject": "nobody"}, InputError), ({"user": "nobody"}, InputError), ({"water_type": "Beer"}, InputError),
    ({"date_time": "garbage"}, InputError), ({"date_time": "2025-01-15T11:00:00+01:00"}, InputError),
    ({"session": "xx"}, InputError), ({"session": 5}, InputError), ({"adlib": "no"}, InputError),
    ({"session": "00000000-0000-4000-8000-000000000000"}, NotFound),
    ({"subject": "RV_2240", "session": "e5bd39ee-79e9-4ac3-9c80-486cd7272ac1"}, InputError),
    ({"session": f"{SUBJECT}/{DATE}/007"}, InputError),
]  # fmt: skip


@pytest.mark.parametrize(("given", "error"), WATER, ids=str)
def test_invalid_water_administrations_are_refused(
    server: Emulator, tmp_path: Path, given: dict[str, Any], error: type[OneError]
) -> None:
    from one_async import ONE

    before = folders.state(server)
    with ONE(base_url=server.url, username="alice", password="alice", cache_dir=tmp_path / "c") as one:
        with pytest.raises(error):
            one.registration.register_water_administration(**{"subject": SUBJECT, "volume": 1.0, **given})
    assert folders.state(server) == before


@pytest.mark.parametrize("weight", [0, -1, "a", None, float("inf"), True])
def test_invalid_weights_are_refused(server: Emulator, tmp_path: Path, weight: Any) -> None:
    from one_async import ONE

    with ONE(base_url=server.url, username="alice", password="alice", cache_dir=tmp_path / "c") as one:
        with pytest.raises(InputError, match="weight"):
            one.registration.register_weight(SUBJECT, weight)
    assert written(server) == []


def test_weights_after_death_are_refused(server: Emulator, tmp_path: Path) -> None:
    # Alyx refuses water after a death with 500, but accepts a weight.
    from one_async import ONE

    [(subject, died)] = server.store.select(
        "SELECT nickname, death_date FROM subjects WHERE death_date IS NOT NULL LIMIT 1"
    )
    later = f"{int(died[:4]) + 1}-01-01"
    with ONE(base_url=server.url, username="alice", password="alice", cache_dir=tmp_path / "c") as one:
        for method in (one.registration.register_weight, one.registration.register_water_administration):
            with pytest.raises(InputError, match="death"):
                method(subject, 1.0, date_time=later)
        assert one.registration.register_weight(subject, 20.0, died)["weight"] == 20.0


@pytest.mark.parametrize("given", [5, [5], None, {"a": 1}, b"x", [""]], ids=repr)
def test_files_of_a_wrong_type_are_refused(one: Face, given: Any) -> None:
    with pytest.raises(InputError):
        one.ask("register_files", given)
    with pytest.raises(InputError):
        one.ask("register_session", given)


def test_an_ambiguous_file_in_a_folder_is_refused(one: Face, server: Emulator, tmp_path: Path) -> None:
    # Files of a folder without a type are left out; a file with two types is an error.
    add_type(server)
    folder = session(tmp_path, names=[*NAMES, "alf/some.thing.npy"])
    with pytest.raises(RegistrationError) as caught:
        one.ask("register_session", folder)
    assert list(caught.value.refused) == [str(folder / "alf/_ibl_wheel.position.npy")]
    assert "wheel.any, wheel.position" in str(caught.value)
    assert written(server) == []


def test_a_file_that_the_server_refuses_is_named(one: Face, server: Emulator, tmp_path: Path) -> None:
    """Another client adds a type meanwhile: the server ends the request at that file, and earlier files stay registered."""
    folder = session(tmp_path)
    server.faults.add("/register-file", method="POST", call=lambda: add_type(server))
    with pytest.raises(RegistrationError) as caught:
        one.ask("register_session", [folder, session(tmp_path, number="002", names=NAMES[:1])])
    refused, registered = caught.value.refused, caught.value.registered
    assert list(refused) == [str(folder / "alf/_ibl_wheel.position.npy")]
    assert "wheel.any" in refused[str(folder / "alf/_ibl_wheel.position.npy")]
    assert len(registered) == len(NAMES)
    assert len(caught.value.sessions) == 2
    rows = [row for row in folders.rows(server, "datasets") if row["created_datetime"] > "2025-06"]
    assert {row["id"] for row in rows} == {row["id"] for row in registered}
