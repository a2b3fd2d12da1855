"""A write whose answer is lost, or that fails for a while, creates its rows exactly once."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client.faces import Face
from one_async import ONE, AsyncAlyxClient, AsyncONE
from one_async.emulator import Emulator
from one_async.errors import OneError, RegistrationError, ServerUnreachable
from shared_worlds import recorded_world

from . import folders
from .folders import DATE, NAMES, SUBJECT, session, written

#: Faults of a write, before or after the server wrote.
FAULTS: dict[str, dict[str, Any]] = {
    "cut after": {"drop": True},
    "cut before": {"drop": True, "before": True},
    "half an answer": {"cut": True},
    "broken answer": {"broken": True},
    "an error page": {"html": True},
    "503 before": {"status": 503},
    "503 after": {"status": 503, "before": False},
    "502 after": {"status": 502, "before": False},
    "500 after": {"status": 500, "before": False},
    "429": {"status": 429, "headers": {"retry-after": "0"}},
}
#: With these the row does not exist, and the server's answer is final.
FINAL = {"status": 500, "before": True}


def undisturbed(tmp_path: Path) -> dict[str, Any]:
    """Return the state after the same calls on a server without faults."""
    with Emulator(recorded_world()) as server, client(server, tmp_path / "undisturbed") as one:
        one.register_session(session(tmp_path / "undisturbed"))
        one.registration.register_water_administration(SUBJECT, 1.0, date_time=f"{DATE}T10:00:00")
        one.registration.register_weight(SUBJECT, 20.0, f"{DATE}T10:00:00")
        return folders.state(server)


def client(server: Emulator, home: Path) -> ONE:
    return ONE(base_url=server.url, username="alice", password="alice", cache_dir=home / "cache")


@pytest.mark.parametrize(
    ("fault", "times"), [*((name, 1) for name in FAULTS), ("cut after", 3), ("503 before", 3)]
)
def test_each_row_is_written_once(
    one: Face, server: Emulator, tmp_path: Path, fault: str, times: int
) -> None:
    for path in ("/sessions", "/register-file", "/water-administrations", "/weighings"):
        server.faults.add(path, method="POST", times=times, **FAULTS[fault])
    folder = session(tmp_path)
    _, records = one.ask("register_session", folder)
    assert len(records) == len(NAMES)
    one.ask("registration.register_water_administration", SUBJECT, 1.0, date_time=f"{DATE}T10:00:00")
    one.ask("registration.register_weight", SUBJECT, 20.0, f"{DATE}T10:00:00")
    assert folders.state(server) == undisturbed(tmp_path)


@pytest.mark.parametrize("path", ["/sessions", "/register-file", "/water-administrations", "/weighings"])
def test_500_is_raised_if_nothing_was_written(one: Face, server: Emulator, tmp_path: Path, path: str) -> None:
    calls = {
        "/sessions": ("register_session", session(tmp_path)),
        "/register-file": ("register_session", session(tmp_path)),
        "/water-administrations": ("registration.register_water_administration", SUBJECT, 1.0),
        "/weighings": ("registration.register_weight", SUBJECT, 20.0),
    }
    rule = server.faults.add(path, method="POST", times=None, **FINAL)
    with pytest.raises(OneError):
        one.ask(*calls[path])
    assert rule.hits <= 1 + 2 * len(NAMES)
    server.faults.clear()
    one.ask(*calls[path])


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/sessions", "/register-file"])
async def test_a_write_that_timed_out_is_queried_and_not_repeated(
    server: Emulator, tmp_path: Path, path: str
) -> None:
    """The server may still be handling a request that timed out."""
    folder, login = session(tmp_path), {"base_url": server.url, "username": "alice", "password": "alice"}
    async with AsyncONE(**login, cache_dir=tmp_path / "c") as one:
        one._context._alyx = AsyncAlyxClient(**login, cache_dir=tmp_path / "c", timeout=1.0)
        rule = server.faults.add(path, method="POST", hang=2.0, before=True)
        with pytest.raises(ServerUnreachable if path == "/sessions" else RegistrationError):
            await one.register_session(folder)
        assert rule.hits == 1
        server.faults.clear()
        _, records = await one.register_session(folder)
    assert len(records) == len(NAMES)


def test_indistinguishable_sessions_are_refused(one: Face, server: Emulator, tmp_path: Path) -> None:
    folder = session(tmp_path)
    body = {"subject": SUBJECT, "users": ["alice"], "start_time": f"{DATE}T10:00:00", "number": 1}
    made = [one.ask("alyx.post", "/sessions", body)["url"][-36:] for _ in range(2)]
    before = folders.state(server)
    for call in ("register_session", "register_files"):
        with pytest.raises(RegistrationError) as caught:
            one.ask(call, folder if call == "register_session" else folder / NAMES[0])
        assert all(eid in caught.value.refused[str(folder)] for eid in made)
    assert folders.state(server) == before


def test_indistinguishable_datasets_are_refused(one: Face, server: Emulator, tmp_path: Path) -> None:
    folder = session(tmp_path)
    record, _ = one.ask("register_session", folder, file_list=[NAMES[0]])
    dataset = {"name": Path(NAMES[0]).name, "collection": "alf", "session": record["url"],
               "dataset_type": "trials.table", "data_format": "parquet", "created_by": "alice"}  # fmt: skip
    other = one.ask("alyx.post", "/datasets", dataset)["url"][-36:]
    with pytest.raises(RegistrationError) as caught:
        one.ask("register_session", folder)
    assert other in caught.value.refused[str(folder / NAMES[0])]
    assert len(caught.value.registered) == len(NAMES) - 1  # the others are registered


def test_indistinguishable_water_administrations_are_refused(one: Face, server: Emulator) -> None:
    body = {"subject": SUBJECT, "date_time": f"{DATE}T10:00:00", "water_administered": 1.0, "water_type": "Water",
            "user": "alice", "adlib": False}  # fmt: skip
    urls = [one.ask("alyx.post", "/water-administrations", body)["url"] for _ in range(2)]
    with pytest.raises(RegistrationError) as caught:
        one.ask("registration.register_water_administration", SUBJECT, 1.0, date_time=f"{DATE}T10:00:00")
    assert all(url in caught.value.refused[SUBJECT] for url in urls)


def test_the_same_water_again_is_the_same_row(one: Face, server: Emulator) -> None:
    given = {"date_time": datetime(2025, 1, 14, 10, 0, 0, 5), "adlib": True}
    rows = [
        one.ask("registration.register_water_administration", SUBJECT, 1.00001, **given) for _ in range(2)
    ]
    assert rows[0]["url"] == rows[1]["url"]
    for other in ({"volume": 1.1}, {"user": "bruno"}, {"water_type": "Hydrogel"}, {"date_time": f"{DATE}T10:00:01"},
                  {"session": "e5bd39ee-79e9-4ac3-9c80-486cd7272ac1"}, {"adlib": False}):  # fmt: skip
        row = one.ask(
            "registration.register_water_administration",
            **{"subject": SUBJECT, "volume": 1.0, **given, **other},
        )
        assert row["url"] != rows[0]["url"], other
    weights = [
        one.ask("registration.register_weight", SUBJECT, 20.123456, f"{DATE}T10:00:00") for _ in range(2)
    ]
    assert weights[0]["url"] == weights[1]["url"]
    assert weights[0]["weight"] == 20.12  # ONE-api rounds the same way


def test_concurrent_registrations_of_a_session_write_once(
    one: Face, server: Emulator, tmp_path: Path
) -> None:
    folder = session(tmp_path)
    results = one.together(*[("register_session", folder)] * 6)
    assert len({record["id"] for record, _ in results}) == 1
    assert sorted(written(server)) == ["POST /register-file", "POST /sessions"]


def test_two_concurrent_clients_write_once(server: Emulator, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    folder = session(tmp_path)
    with (
        client(server, tmp_path / "a") as one,
        client(server, tmp_path / "b") as other,
        ThreadPoolExecutor(8) as threads,
    ):
        found = [threads.submit(face.register_session, folder) for face in (one, other) * 4]
        assert len({call.result()[0]["id"] for call in found}) == 1
    assert sorted(written(server)) == ["POST /register-file", "POST /sessions"]


@pytest.mark.parametrize("fault", ["cut after", "503 before", "500 after", "half an answer"])
def test_files_beyond_one_request_are_registered_once(server: Emulator, tmp_path: Path, fault: str) -> None:
    names = [f"raw/part{at:03}/_ibl_wheel.position.npy" for at in range(120)]
    folder = session(tmp_path, names=names)
    server.faults.add("/register-file", method="POST", skip=1, **FAULTS[fault])
    with client(server, tmp_path) as one:
        _, records = one.register_session(folder)
    assert [f"{r['collection']}/{r['name']}" for r in records] == names
    made = [row["id"] for row in folders.rows(server, "datasets") if row["created_datetime"] > "2025-06"]
    assert sorted(made) == sorted(r["id"] for r in records)
    if fault != "500 after":  # then the missing files of the second request are sent one by one
        assert written(server).count("POST /register-file") <= 4


RULES = st.lists(
    st.tuples(
        st.sampled_from(["/sessions", "/register-file", "/datasets"]),
        st.sampled_from([name for name in FAULTS if "500" not in name]),
        st.integers(0, 3),
    ),
    max_size=6,
)


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(RULES)
def test_registration_with_any_faults_equals_an_undisturbed_one(rules: list[tuple[str, str, int]]) -> None:
    """A registration with any faults, repeated until it succeeds, has the result of an undisturbed one."""
    with tempfile.TemporaryDirectory() as name, Emulator(recorded_world()) as server:
        root = Path(name)
        paths = [
            session(root),
            session(root, date="2025-01-13", names=["alf/#a#/_ibl_trials.table.pqt", NAMES[0]]),
        ]
        with client(server, root) as one:
            for path, fault, skip in rules:
                server.faults.add(
                    path, method=None if path == "/datasets" else "POST", skip=skip, **FAULTS[fault]
                )
            for _ in range(8):
                try:
                    one.register_session(paths)
                    break
                except OneError:
                    continue
            else:
                raise AssertionError("the registration never ended")
        found = folders.state(server)
    with tempfile.TemporaryDirectory() as name, Emulator(recorded_world()) as server:
        with client(server, Path(name)) as one:
            one.register_session(paths := [session(Path(name)), session(
                Path(name), date="2025-01-13", names=["alf/#a#/_ibl_trials.table.pqt", NAMES[0]])])  # fmt: skip
        assert found == folders.state(server)
