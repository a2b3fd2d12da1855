"""The emulator's writes: one store for all answers, persistent state, faults before and after a write, permissions."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recorded_exchanges import DATA
from recorded_scenarios import in_any_order, sort

from one_async import ONE
from one_async.emulator import Emulator, World
from one_async.emulator.models import table_name
from one_async.emulator.rows import Rows
from one_async.emulator.shapes import SHAPES
from one_async.emulator.store import Store

SESSION = "e5bd39ee-79e9-4ac3-9c80-486cd7272ac1"
FILE = {
    "path": "KS046/2024-12-31/001",
    "name": "flatiron_cortexlab",
    "filenames": ["alf/_ibl_trials.table.pqt"],
}


@contextmanager
def client_of(alyx: Emulator, user: str = "alice") -> Iterator[httpx.Client]:
    headers = {"authorization": f"Token {alyx.token(user)}"}
    with httpx.Client(base_url=alyx.url, headers=headers, timeout=60) as client:
        yield client


@pytest.fixture
def client(alyx: Emulator) -> Iterator[httpx.Client]:
    with client_of(alyx) as client:
        yield client


# ---- one store for all answers ----


@pytest.mark.parametrize(("endpoint", "field"), SHAPES, ids=lambda value: str(value))
def test_computed_fields_are_those_of_a_real_alyx(world: World, endpoint: str, field: str) -> None:
    store = Store(world)
    rows = Rows(store, lambda: world.now)
    numbers = store.select(f"SELECT row FROM {table_name(endpoint)}")
    assert numbers
    for (number,) in numbers:
        [record] = rows.load(endpoint, [number])
        shown = record.get(field, record.get(field.removesuffix(".detail")))
        assert sort(in_any_order(SHAPES[endpoint, field](rows, record))) == sort(in_any_order(shown))
    store.close()


STEP = st.one_of(
    st.tuples(st.just("create"), st.integers(1, 4), st.integers(1, 3)),
    st.tuples(st.just("number"), st.integers(0, 9), st.integers(1, 3)),
    st.tuples(st.just("subject"), st.integers(0, 9), st.sampled_from(["KS099", "RV_2240"])),
    st.tuples(st.just("file"), st.integers(0, 9), st.integers(1, 2)),
    st.tuples(st.just("delete"), st.integers(0, 9), st.none()),
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, max_size=12))
def test_lists_filters_details_and_counts_agree(world: World, steps: list[tuple[str, int, Any]]) -> None:
    sessions: dict[str, dict[str, Any]] = {}
    with Emulator(world) as alyx, client_of(alyx) as client:
        for step, which, value in steps:
            key = list(sessions)[which % len(sessions)] if sessions else None
            if step == "create":
                body = {"subject": "KS099", "number": value, "start_time": f"2025-02-0{which}"}
                made = client.post("/sessions", json=body).json()
                sessions[made["id"]] = {
                    "subject": "KS099",
                    "number": value,
                    "date": f"2025-02-0{which}",
                    "files": 0,
                }
            elif key is not None and step in ("number", "subject"):
                client.patch(f"/sessions/{key}", json={step: value}).raise_for_status()
                sessions[key][step] = value
            elif key is not None and step == "file":
                add_file(client, key, sessions[key])
            elif key is not None:
                assert client.delete(f"/sessions/{key}").status_code == 204
                del sessions[key]
        compare(client, sessions)


def add_file(client: httpx.Client, key: str, session: dict[str, Any]) -> None:
    """Add a dataset with a file to a session, using the two general endpoints."""
    session["files"] += 1
    name = "_ibl_trials.table.pqt"
    body = {"name": name, "dataset_type": "trials.table", "data_format": "parquet", "collection": "alf"}
    dataset = client.post("/datasets", json={**body, "session": f"{client.base_url}/sessions/{key}"}).json()
    path = f"{key}/{session['files']}/{name}"
    record = {"dataset": dataset["url"], "data_repository": "flatiron_cortexlab", "relative_path": path}
    assert client.post("/files", json={**record, "exists": True}).status_code == 201


def compare(client: httpx.Client, sessions: dict[str, dict[str, Any]]) -> None:
    """Query all sessions and datasets in several ways and compare the answers."""
    for subject, number in itertools.product(("KS099", "RV_2240"), (1, 2, 3)):
        query = {"subject": subject, "number": number, "date_range": "2025-02-01,2025-02-28"}
        page = client.get("/sessions", params=query).json()
        wanted = {k for k, s in sessions.items() if (s["subject"], s["number"]) == (subject, number)}
        assert {row["id"] for row in page["results"]} == wanted
        assert page["count"] == len(wanted)
    for key, session in sessions.items():
        shown = client.get(f"/sessions/{key}").json()
        assert (shown["subject"], shown["number"]) == (session["subject"], session["number"])
        datasets = client.get("/datasets", params={"session": key}).json()
        assert datasets["count"] == len(shown["data_dataset_session_related"]) == session["files"]
        assert {row["experiment_number"] for row in datasets["results"]} <= {session["number"]}
        defaults = [row["default_dataset"] for row in datasets["results"]]
        assert defaults.count(True) == min(session["files"], 1)


def test_references_follow_a_new_name(client: httpx.Client) -> None:
    before = {name: client.get(f"/{name}", params={"subject": "KS046"}).json()["count"] for name in LISTS}
    assert client.patch("/subjects/KS046", json={"nickname": "KS146"}).status_code == 200
    after = {name: client.get(f"/{name}", params={"subject": "KS146"}).json()["count"] for name in LISTS}
    assert after == before
    assert all(before.values())
    assert client.get(f"/sessions/{SESSION}").json()["subject"] == "KS146"
    assert client.get("/subjects/KS046").status_code == 404


@pytest.mark.parametrize(
    "endpoint", ["projects", "labs", "tags", "revisions", "locations", "data-repository", "dataset-types"]
)
def test_every_record_can_be_renamed(alyx: Emulator, client: httpx.Client, endpoint: str) -> None:
    """References follow, those in fields that no endpoint shows included, such as the projects of downloads."""
    names = [name for (name,) in alyx.store.select(f"SELECT name FROM {table_name(endpoint)}")]
    assert names
    for number, name in enumerate(names):
        if "/" not in name:  # which an address cannot contain
            answer = client.patch(f"/{endpoint}/{name}", json={"name": f"renamed{number}"})
            assert (answer.status_code, answer.json()["name"]) == (200, f"renamed{number}")


def test_projects_of_downloads_follow_a_new_name(alyx: Emulator, client: httpx.Client) -> None:
    links = 'SELECT value FROM "downloads.projects"'
    assert alyx.store.select(links) == [("practice",)]
    client.patch("/projects/practice", json={"name": "exercise"}).raise_for_status()
    assert alyx.store.select(links) == [("exercise",)]
    [(download,)] = alyx.store.select("SELECT id FROM downloads LIMIT 1")
    client.patch(f"/downloads/{download}", json={"count": 5}).raise_for_status()
    assert alyx.store.select(links) == [("exercise",)]


LISTS = ("sessions", "datasets", "weighings", "water-administrations", "surgeries", "water-restriction")


def test_emulators_of_one_world_do_not_share_writes(world: World) -> None:
    with Emulator(world) as first, Emulator(world) as second, client_of(first) as a, client_of(second) as b:
        assert a.delete(f"/sessions/{SESSION}").status_code == 204
        assert a.get(f"/sessions/{SESSION}").status_code == 404
        assert b.get(f"/sessions/{SESSION}").status_code == 200


@pytest.mark.parametrize("bad", [{"axial": 20.0}, {"axial": 20}, {"brain_region": -1}, {"x": "left"}])
def test_a_list_of_channels_is_written_whole_or_not_at_all(client: httpx.Client, bad: dict[str, Any]) -> None:
    track = client.get("/trajectories", params={"limit": 1}).json()["results"][0]["id"]
    channel = {"trajectory_estimate": track, "lateral": 9999, "x": 1, "y": 1, "z": 1, "axial": 20}
    before = client.get("/channels").json()["count"]
    answer = client.post("/channels", json=[channel, {**channel, "axial": 21, **bad}])
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, "text/html")
    assert client.get("/channels").json()["count"] == before
    assert client.post("/channels", json=[channel, {**channel, "axial": 21}]).status_code == 201
    assert client.get("/channels").json()["count"] == before + 2


# ---- validation errors that the recordings lack, in the words of Django REST framework ----


@pytest.mark.parametrize(
    ("endpoint", "body", "field", "words"),
    [
        ("tags", {"protected": "perhaps"}, "protected", "Must be a valid boolean."),
        ("tags", {"name": ["a"]}, "name", "Not a valid string."),
        ("sessions", {"subject": None}, "subject", "This field may not be null."),
        (
            "sessions",
            {"subject": ["KS014"]},
            "subject",
            "Object with nickname=['KS014'] does not exist.",
        ),
        ("sessions", {"subject": "KS014", "users": "alice"}, "users", 'Expected a list of items but got type "str".'),
        ("sessions", {"subject": "KS014", "parent_session": SESSION}, "parent_session", "Invalid hyperlink - No URL match."),
        ("weighings", {"subject": "KS014", "weight": "heavy"}, "weight", "A valid number is required."),
        ("notes", {"user": "alice", "content_type": "session", "object_id": "x"}, "object_id", "Must be a valid UUID."),
        ("fields-of-view", {"session": "x"}, "session", "“x” is not a valid UUID."),
        ("fields-of-view", {"session": SESSION[:-1] + "0"}, "session", "Invalid pk"),
        ("fov-location", {"x": 1}, "x", 'Expected a list of items but got type "int".'),
    ],
)  # fmt: skip
def test_validation_errors_are_those_of_alyx(
    client: httpx.Client, endpoint: str, body: dict[str, Any], field: str, words: str
) -> None:
    before = client.get(f"/{endpoint}").json()["count"]
    answer = client.post(f"/{endpoint}", json=body)
    assert answer.status_code == 400
    assert answer.json()[field][0].startswith(words)
    assert client.get(f"/{endpoint}").json()["count"] == before


# ---- permissions ----


def test_demo_can_write_and_reader_cannot(world: World) -> None:
    with Emulator() as alyx:
        [(subject,)] = alyx.store.select("SELECT nickname FROM subjects LIMIT 1")
        with client_of(alyx, "demo") as demo, client_of(alyx, "reader") as reader:
            assert demo.post("/sessions", json={"subject": subject, "number": 9}).json()["users"] == ["demo"]
            count = demo.get("/sessions").json()["count"]
            for refused in (
                reader.post("/sessions", json={"subject": subject}),
                reader.post("/weighings", json={"subject": subject, "weight": 20}),
                reader.delete(f"/subjects/{subject}"),
                reader.patch(f"/subjects/{subject}", json={"description": "x"}),
            ):
                assert refused.status_code == 403
                assert refused.json()["detail"] == "You do not have permission to perform this action."
            assert reader.get("/sessions").json()["count"] == count


# ---- concurrent writes ----


def test_concurrent_registrations_make_one_dataset(alyx: Emulator, client: httpx.Client) -> None:
    barrier = threading.Barrier(8)

    def register(number: int) -> str:
        with client_of(alyx) as mine:
            barrier.wait()
            answer = mine.post("/register-file", json={**FILE, "hashes": [f"{number}" * 32]})
            assert answer.status_code == 201
            return str(answer.json()[0]["id"])

    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(register, range(8)))
    rows = client.get("/datasets", params={"session": SESSION}).json()["results"]
    assert [row["url"].rsplit("/", 1)[-1] for row in rows] == list(ids)
    places = [record["data_repository"] for record in rows[0]["file_records"]]
    assert len(places) == len(set(places))


# ---- faults ----


@pytest.mark.parametrize("fault", [{"drop": True}, {"cut": True}, {"truncate": 3}, {"html": True}])
def test_a_fault_after_the_row_was_written(
    alyx: Emulator, client: httpx.Client, fault: dict[str, Any]
) -> None:
    alyx.faults.add("/weighings", method="POST", **fault)
    assert written(client) == 1


@pytest.mark.parametrize(
    "fault", [{"drop": True, "before": True}, {"cut": True, "before": True}, {"status": 503}, {"status": 429}]
)
def test_a_fault_before_the_row_was_written(
    alyx: Emulator, client: httpx.Client, fault: dict[str, Any]
) -> None:
    alyx.faults.add("/weighings", method="POST", **fault)
    assert written(client) == 0


def test_an_error_after_the_row_was_written(alyx: Emulator, client: httpx.Client) -> None:
    alyx.faults.add("/weighings", method="POST", status=503, before=False)
    assert written(client) == 1


def test_a_slow_write_is_completed(alyx: Emulator, client: httpx.Client) -> None:
    alyx.faults.add("/weighings", method="POST", hang=0.05)
    assert written(client) == 1


@pytest.mark.parametrize(("fault", "expected"), [({}, 1), ({"status": 503}, 0), ({"drop": True}, 1)])
def test_a_write_that_is_delayed_is_made_later(
    alyx: Emulator, client: httpx.Client, fault: dict[str, Any], expected: int
) -> None:
    """A delayed request reads and overwrites what others wrote meanwhile."""
    alyx.faults.add("/weighings", method="POST", delay=0.05, **fault)
    assert written(client) == expected
    path = f"/sessions/{SESSION}"
    rule = alyx.faults.add(path, method="PATCH", delay=1.0)
    with client_of(alyx) as late, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(late.patch, path, json={"narrative": "late"})
        while not rule.hits:
            time.sleep(0.01)
        assert client.patch(path, json={"narrative": "early"}).json()["narrative"] == "early"
        assert slow.result().json()["narrative"] == "late"
    assert client.get(path).json()["narrative"] == "late"


def written(client: httpx.Client) -> int:
    """Post a weight, whatever the answer is; return the number of new weighings."""
    before = client.get("/weighings").json()["count"]
    with suppress(httpx.TransportError):
        client.post("/weighings", json={"subject": "KS046", "weight": 20})
    return int(client.get("/weighings").json()["count"]) - int(before)


# ---- state ----


COMMANDS = {
    "module": ["-m", "one_async.emulator"],
    "command": ["-c", "from one_async.cli import main; main()", "emulator"],
}


def started(state: Path, how: str) -> tuple[subprocess.Popen[str], str]:
    arguments = ["--json", "--records", str(DATA), "--state", str(state)]
    process = subprocess.Popen(
        [sys.executable, *COMMANDS[how], *arguments], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, str(json.loads(process.stdout.readline())["url"])


@pytest.mark.parametrize("how", COMMANDS)
def test_answered_writes_survive_a_kill(tmp_path: Path, how: str) -> None:
    state, made, token = tmp_path / "alyx.sqlite", [], ""
    for _ in range(3):
        process, url = started(state, how)
        try:
            with httpx.Client(base_url=url, timeout=60) as client:
                again = client.post("/auth-token", json={"username": "alice", "password": "alice"}).json()[
                    "token"
                ]
                assert token in ("", again)
                token = again
                client.headers["authorization"] = f"Token {token}"
                shown = client.get("/sessions", params={"date_range": "2025-03-01,2025-03-31"}).json()
                assert {row["id"] for row in shown["results"]} == set(made)
                for number in range(1, 6):
                    body = {"subject": "KS046", "number": number, "start_time": f"2025-03-{number:02}"}
                    made.append(client.post("/sessions", json=body).json()["id"])
                client.patch(f"/sessions/{made[-1]}", json={"json": {"kept": len(made)}}).raise_for_status()
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
    with Emulator(records=DATA, state=state) as alyx, client_of(alyx) as client:
        assert alyx.token("alice") == token
        assert client.get(f"/sessions/{made[-1]}").json()["json"] == {"kept": 15}
        assert client.get("/sessions", params={"date_range": "2025-03-01,2025-03-31"}).json()["count"] == 15


def test_a_login_outside_the_world_can_write_like_its_users(tmp_path: Path) -> None:
    """Registration records its user, so `demo` must be one of the users after its first write."""
    with (
        Emulator(records=DATA) as server,
        ONE(base_url=server.url, username="demo", password="demo", cache_dir=tmp_path) as one,
    ):
        subject = one.alyx.rest("subjects", "list")[0]
        before = {row["username"] for row in one.alyx.rest("users", "list", no_cache=True)}
        assert "demo" not in before
        folder = tmp_path / subject["lab"] / "Subjects" / subject["nickname"] / "2026-01-14" / "001"
        (folder / "alf").mkdir(parents=True)
        (folder / "alf" / "spikes.times.npy").write_bytes(b"x")
        session, records = one.register_session(folder)
        assert session["users"] == ["demo"]
        assert [row["created_by"] for row in records] == ["demo"]
        after = {row["username"] for row in one.alyx.rest("users", "list", no_cache=True)}
        assert after == before | {"demo"}
