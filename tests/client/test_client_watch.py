"""Watching for sessions: which are reported and when, the cursor, and faults meanwhile."""

from __future__ import annotations

import itertools
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from one_async import AsyncONE
from one_async.alyx import retrying
from one_async.client.watching import pause_after
from one_async.emulator import Emulator
from one_async.errors import (
    ALFObjectNotFound,
    InputError,
    LoginError,
    OfflineError,
    ServerUnreachable,
    StatusError,
    StorageError,
)

from . import watch_kills
from .conftest import Make, login
from .faces import opened

TRIALS = "_ibl_trials.table.pqt"


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "FIRST_WAIT", 0.01)


@pytest.fixture(scope="module")
def running() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def server(running: Emulator) -> Iterator[Emulator]:
    """Yield a server that tests may write to; additions are kept, so each test compares with the state at its start."""
    running.faults.clear()
    running.requests.reset()
    yield running
    running.faults.clear()
    running.start()


@pytest.fixture
def lab(server: Emulator) -> Iterator[httpx.Client]:
    """Return a rig, which writes to the server with another HTTP client."""
    headers = {"authorization": f"Token {server.token('demo')}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=60) as client:
        yield client


NUMBERS = itertools.count(100)


def add_session(client: httpx.Client, subject: str) -> str:
    number = next(NUMBERS)
    body = {"subject": subject, "number": number, "start_time": f"2026-01-{1 + number % 28:02}T10:00:00"}
    answer = client.post("/sessions", json=body)
    answer.raise_for_status()
    return str(answer.json()["id"])


def add_dataset(client: httpx.Client, eid: str, name: str = TRIALS) -> None:
    session = client.get(f"/sessions/{eid}").json()
    path = f"{session['subject']}/{session['start_time'][:10]}/{session['number']:03}"
    [repository] = [one["name"] for one in client.get("/data-repository").json()["results"]][:1]
    given = {"path": path, "name": repository, "filenames": [f"alf/{name}"], "created_by": "demo"}
    client.post("/register-file", json=given).raise_for_status()


def subject_of(server: Emulator) -> str:
    [(subject,)] = server.store.select("SELECT nickname FROM subjects WHERE death_date IS NULL LIMIT 1")
    return str(subject)


def listed(client: httpx.Client, **filters: str) -> set[str]:
    """Return the sessions that the server lists, read by another HTTP client."""
    page = client.get("/sessions", params={"limit": 1000, **filters}).json()
    assert page["next"] is None
    return {row["id"] for row in page["results"]}


def ids(sessions: list[dict[str, Any]]) -> list[str]:
    return [one["id"] for one in sessions]


# ---- reported sessions ----


def test_existing_sessions_come_first(server: Emulator, lab: httpx.Client, make: Make) -> None:
    one = make(server)
    found = one.items("watch", every=None)
    assert len(found) == len(set(ids(found)))
    assert set(ids(found)) == listed(lab)
    assert [session["start_time"] for session in found] == sorted(session["start_time"] for session in found)


def test_terms_are_those_of_search(server: Emulator, make: Make) -> None:
    one = make(server)
    for terms in (
        {"lab": "cortexlab"},
        {"datasets": TRIALS},
        {"subject": [subject_of(server)]},
        {"number": 1, "datasets": [TRIALS]},
    ):
        found = one.items("watch", every=None, **terms)
        assert {uuid.UUID(eid) for eid in ids(found)} == set(one.ask("search", query_type="remote", **terms))


def test_a_session_that_appears_comes_within_rounds(server: Emulator, lab: httpx.Client, make: Make) -> None:
    one, subject = make(server), subject_of(server)
    there = one.ask("search", query_type="remote")  # stored in the REST cache from now on
    made: list[str] = []
    server.faults.add(
        "/sessions",
        method="GET",
        skip=2,
        call=lambda: beside(lambda: made.append(add_session(lab, subject))),
    )
    [session] = one.items("watch", at_most=1, every=0.05, cursor=there)
    assert [session["id"]] == made
    assert session["subject"] == subject
    assert uuid.UUID(session["id"]) in one.ask(
        "search", query_type="remote"
    )  # earlier answers are not used any more


def beside(work: Callable[[], object]) -> None:
    """Return a function that runs another one while the server handles a request."""
    threading.Thread(target=work).start()


def test_a_session_comes_when_it_has_all_datasets(server: Emulator, lab: httpx.Client, make: Make) -> None:
    one, subject = make(server), subject_of(server)
    eid = add_session(lab, subject)
    names = [TRIALS, "_ibl_wheel.position.npy"]
    known = one.ask("search", query_type="remote")

    def look() -> list[str]:
        return ids(one.items("watch", every=None, datasets=names, cursor=known))

    assert uuid.UUID(eid) in known
    known = [other for other in known if str(other) != eid]
    assert look() == []
    add_dataset(lab, eid, names[0])
    assert look() == []
    add_dataset(lab, eid, names[1])
    assert look() == [eid]


@pytest.mark.parametrize("mode", ["remote", "auto"])
def test_datasets_that_a_known_session_gained_are_found(
    server: Emulator, lab: httpx.Client, make: Make, mode: str
) -> None:
    """Neither the REST cache nor the tables in memory return an earlier state."""
    one, subject = make(server, mode=mode), subject_of(server)
    eid = add_session(lab, subject)
    add_dataset(lab, eid, "_ibl_wheel.position.npy")
    assert one.ask("list_datasets", eid) == ["alf/_ibl_wheel.position.npy"]
    add_dataset(lab, eid)
    known = [other for other in one.ask("search", query_type="remote") if str(other) != eid]
    [session] = one.items("watch", every=None, datasets=TRIALS, cursor=known)
    assert session["id"] == eid
    assert f"alf/{TRIALS}" in one.ask("list_datasets", session)


def test_each_comes_once_however_many_rounds(server: Emulator, lab: httpx.Client, make: Make) -> None:
    one, subject = make(server), subject_of(server)
    expected = listed(lab, subject=subject)

    def appear() -> None:
        if rule.hits == 6:
            beside(lambda: add_session(lab, subject))

    rule = server.faults.add("/sessions", method="GET", times=None, call=appear)
    found = one.items("watch", at_most=len(expected) + 1, every=0.02, subject=subject)
    assert len(set(ids(found))) == len(expected) + 1
    assert listed(lab, subject=subject) == set(ids(found))


def test_nothing_remains_after_closing(server: Emulator, make: Make) -> None:
    one = make(server)
    before = threading.active_count()
    for _ in range(5):
        assert len(one.items("watch", at_most=1, every=60)) == 1
    assert threading.active_count() <= before + 2


# ---- cursors ----


@pytest.mark.parametrize("as_text", [True, False])
def test_a_file_keeps_what_is_done(
    server: Emulator, lab: httpx.Client, make: Make, tmp_path: Path, as_text: bool
) -> None:
    one, file = make(server), tmp_path / "new folder" / "done.txt"
    cursor = str(file) if as_text else file
    first = ids(one.items("watch", at_most=3, every=None, cursor=cursor))
    second = ids(one.items("watch", every=None, cursor=cursor))
    assert first[:2] == [
        eid for eid in first if eid not in second
    ]  # the third one was being processed when the loop was left
    assert second[0] == first[2]
    assert set(first) | set(second) == listed(lab)
    assert one.items("watch", every=None, cursor=cursor) == []
    eid = add_session(lab, subject_of(server))
    assert ids(one.items("watch", every=None, cursor=cursor)) == [eid]
    assert set(file.read_text().split("\n")[1:-1]) == listed(lab)


@pytest.mark.parametrize("cut", [1, 5, 36])
def test_a_truncated_line_does_not_count_as_done(
    server: Emulator, lab: httpx.Client, make: Make, tmp_path: Path, cut: int
) -> None:
    one, file = make(server), tmp_path / "done.txt"
    found = ids(one.items("watch", every=None, cursor=file))
    data = file.read_bytes()
    file.write_bytes(data[:-cut])
    assert ids(one.items("watch", every=None, cursor=file)) == [found[-1]]
    assert file.read_bytes() == data


def test_a_truncated_first_line_is_written_again(
    server: Emulator, lab: httpx.Client, make: Make, tmp_path: Path
) -> None:
    one, file = make(server), tmp_path / "done.txt"
    one.items("watch", every=None, cursor=file, lab="nobody's")
    header = file.read_bytes()
    for length in (0, 1, 10, len(header) - 1):
        file.write_bytes(header[:length])
        assert set(ids(one.items("watch", every=None, cursor=file))) == listed(lab)


@pytest.mark.parametrize("held", [list, set, tuple, iter, lambda eids: [str(eid) for eid in eids]])
def test_ids_that_are_done_do_not_come(server: Emulator, lab: httpx.Client, make: Make, held: Any) -> None:
    one = make(server)
    done = one.ask("search", query_type="remote")[3:]
    found = set(ids(one.items("watch", every=None, cursor=held(done))))
    assert found == listed(lab) - {str(eid) for eid in done}
    assert len(found) == 3


def test_a_cursor_of_another_watch_is_refused(server: Emulator, make: Make, tmp_path: Path) -> None:
    one, file = make(server), tmp_path / "done.txt"
    one.items("watch", every=None, cursor=file, datasets=TRIALS, lab="cortexlab")
    one.items(
        "watch", every=None, cursor=file, datasets=[TRIALS], number=1
    )  # other sessions, the same datasets
    before = file.read_bytes()
    for terms in ({}, {"datasets": [TRIALS, "a.b.npy"]}, {"dataset_types": "trials.table"}):
        with pytest.raises(InputError, match="another file"):
            one.items("watch", every=None, cursor=file, **terms)
    with Emulator() as other, pytest.raises(InputError, match="another file"):
        make(other).items("watch", every=None, cursor=file, datasets=TRIALS)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [b"a list of things to do\n", b"no end", b"{}\n", b'{"format": "other"}\n', b"\x00\xff\n"],
    ids=str,
)
def test_a_file_of_something_else_is_left_alone(
    server: Emulator, make: Make, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "notes.txt"
    file.write_bytes(content)
    server.requests.reset()
    with pytest.raises(InputError):
        make(server).items("watch", every=None, cursor=file)
    assert file.read_bytes() == content
    assert server.requests.count("/sessions") == 0


def test_a_folder_for_a_cursor_is_a_storage_error(server: Emulator, make: Make, tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        make(server).items("watch", every=None, cursor=tmp_path)


# ---- bad input ----


@pytest.mark.parametrize(
    ("given", "argument"),
    [
        ({"every": 0}, "every"), ({"every": -1.5}, "every"), ({"every": "60"}, "every"), ({"every": True}, "every"),
        ({"every": float("nan")}, "every"), ({"every": float("inf")}, "every"), ({"every": 10**400}, "every"),
        ({"every": timedelta(0)}, "every"),
        ({"cursor": ""}, "cursor"), ({"cursor": 5}, "cursor"), ({"cursor": ["x"]}, "cursor"), ({"cursor": b"x"}, "cursor"),
        ({"cursor": {"a": 1}}, "cursor"), ({"cursor": [None]}, "cursor"),
        ({"datasets": []}, "datasets"), ({"datasets": [5]}, "datasets"), ({"lab": ""}, "lab"), ({"number": "x"}, "number"),
        ({"date_range": "yesterday"}, "date_range"), ({"dataset_qc_lte": "SUPERB"}, "dataset_qc_lte"),
    ], ids=str,
)  # fmt: skip
def test_bad_input_is_refused_before_a_request(
    server: Emulator, make: Make, given: dict[str, Any], argument: str
) -> None:
    server.requests.reset()
    with pytest.raises(InputError) as caught:
        make(server).items("watch", **{"every": None, **given})
    assert caught.value.argument == argument
    assert server.requests == []


def test_an_unknown_term_is_refused(server: Emulator, make: Make) -> None:
    with pytest.raises(InputError, match="laab"):
        make(server).items("watch", every=None, laab="x")
    assert server.requests.count("/sessions") == 0


def test_without_a_database(kind: str, tmp_path: Path) -> None:
    with opened(kind, cache_dir=tmp_path, mode="local") as one, pytest.raises(OfflineError, match="watch"):
        one.items("watch", every=None)


# ---- an unreachable server ----


def test_pauses_grow_and_have_an_end() -> None:
    assert [pause_after(60, failures) for failures in (0, 1, 2, 3, 4, 100)] == [60, 120, 240, 480, 900, 900]
    assert [pause_after(3600, failures) for failures in (0, 1, 5)] == [3600] * 3
    assert pause_after(0.05, 10**6) == 900


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503},
        {"status": 502},
        {"status": 429, "headers": {"Retry-After": "0"}},
        {"drop": True},
        {"html": True},
        {"broken": True},
    ],
    ids=str,
)
def test_what_appeared_meanwhile_comes_when_the_server_is_back(
    server: Emulator, lab: httpx.Client, make: Make, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any]
) -> None:
    monkeypatch.setattr(retrying, "PATIENCE", 0.0)
    one, subject = make(server), subject_of(server)
    known = one.ask("search", query_type="remote")
    rule = server.faults.add("/sessions", method="GET", times=5, **fault)
    eid = add_session(lab, subject)
    [session] = one.items("watch", at_most=1, every=0.01, cursor=known)
    assert session["id"] == eid
    assert rule.hits == 5


def test_a_server_that_restarts(server: Emulator, lab: httpx.Client, make: Make) -> None:
    one, subject = make(server), subject_of(server)
    known = one.ask("search", query_type="remote")
    eid = add_session(lab, subject)
    server.stop()
    threading.Timer(0.5, server.start).start()
    [session] = one.items("watch", at_most=1, every=0.05, cursor=known)
    assert session["id"] == eid


def test_one_round_reports_an_unreachable_server(server: Emulator, make: Make) -> None:
    one = make(server)
    one.ask("search", query_type="remote")
    server.stop()
    with pytest.raises(ServerUnreachable):
        one.items("watch", every=None)


def test_other_errors_end_it(server: Emulator, make: Make) -> None:
    one = make(server)
    server.faults.add("/sessions", status=500, times=None)
    with pytest.raises(StatusError):
        one.items("watch", every=0.01)
    server.faults.clear()
    server.faults.add("/sessions", status=403, body=json.dumps({"detail": "no"}), times=None)
    with pytest.raises((LoginError, StatusError)):
        one.items("watch", every=0.01)


# ---- many sessions during a watch ----


def test_none_is_lost_and_none_comes_twice(
    server: Emulator, lab: httpx.Client, make: Make, tmp_path: Path
) -> None:
    one, subject = make(server), subject_of(server)
    known, made = one.ask("search", query_type="remote"), []

    def write() -> None:
        for _ in range(30):
            made.append(add_session(lab, subject))
            add_dataset(lab, made[-1])

    writer = threading.Thread(target=write)
    writer.start()
    found = ids(one.items("watch", at_most=30, every=0.03, datasets=TRIALS, subject=subject, cursor=known))
    writer.join()
    assert sorted(found) == sorted(made)


@pytest.mark.anyio
async def test_a_cancelled_watch_does_not_record_the_session(server: Emulator, tmp_path: Path) -> None:
    file = tmp_path / "done.txt"
    async with AsyncONE(cache_dir=tmp_path, mode="remote", **login(server)) as one:
        seen = []
        with anyio.CancelScope() as scope:
            async with aclosing(one.watch(every=60, cursor=file)) as sessions:
                async for session in sessions:
                    seen.append(session["id"])
                    if len(seen) == 3:
                        scope.cancel()
                        await anyio.sleep(10)
        assert file.read_text().split("\n")[1:-1] == seen[:2]


@pytest.mark.anyio
async def test_other_work_continues_concurrently(server: Emulator, lab: httpx.Client, tmp_path: Path) -> None:
    """Two watches and a search share one client; the pauses of one do not delay the others."""
    async with AsyncONE(cache_dir=tmp_path, mode="remote", **login(server)) as one:
        total = len(listed(lab))
        seen = {name: anyio.Event() for name in "ab"}

        async def count(name: str) -> None:
            number = 0
            async with aclosing(one.watch(every=30)) as sessions:
                async for _ in sessions:
                    number += 1
                    if number == total:
                        seen[name].set()

        async with anyio.create_task_group() as group:
            for name in seen:
                group.start_soon(count, name)
            with anyio.fail_after(60):
                for event in seen.values():
                    await event.wait()
                assert len(await one.search()) == total
            group.cancel_scope.cancel()


def test_a_watched_session_is_accepted_by_other_methods(data_one: Any) -> None:
    [session] = data_one.items("watch", at_most=1, every=None, datasets=TRIALS)
    assert len(data_one.ask("load_object", session, "trials").to_frame()) > 0
    assert str(data_one.ask("to_eid", session)) == session["id"]
    with pytest.raises(ALFObjectNotFound):
        data_one.ask("load_object", session, "nothing")


@pytest.mark.parametrize("where", ["file", "own"])
def test_a_killed_watcher_misses_no_session(tmp_path: Path, where: str) -> None:
    """The long form is `tests/faults/test_watch_kills.py`."""
    work, expected = watch_kills.run(tmp_path, where, kills=2, sessions=12, seed=5)
    assert set(work) == expected
    assert sum(work.values()) - len(work) <= (5 if where == "file" else 0)
