"""The REST cache in both faces: numbers of requests, and separation of users."""

from __future__ import annotations

import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from one_async import ONE, AsyncONE, no_cache
from one_async.emulator import Emulator
from one_async.errors import InputError, LoginError, StaleAnswerWarning, StatusError

from .conftest import Make, login
from .worlds import World

SEARCH = {"lab": "cortexlab", "number": 1}


def test_two_equal_queries_make_one_request_and_after_the_expiry_two(
    make: Make, recorded: World, recorded_server: Emulator
) -> None:
    one = make(recorded_server)
    expected = recorded.eids(lambda s: s["lab"] == "cortexlab" and s["number"] == 1)
    asked = lambda: recorded_server.requests.count("/sessions")  # noqa: E731
    assert one.ask("search", **SEARCH) == one.ask("search", **SEARCH) == expected
    assert asked() == 1
    assert one.look("alyx.default_expiry") == timedelta(hours=24)
    one.put("alyx.default_expiry", timedelta(microseconds=1))
    assert one.ask("search", **SEARCH) == expected
    assert asked() == 2
    one.put("alyx.default_expiry", timedelta(days=20))
    assert one.ask("search", **SEARCH) == expected
    assert asked() == 2
    rows = one.ask("alyx.rest", "sessions", "list", lab="cortexlab", number=1)
    assert asked() == 2
    assert one.ask("alyx.rest", "sessions", "list", lab="cortexlab", number=1, no_cache=True) == rows
    assert one.ask("alyx.rest", "sessions", "list", lab="cortexlab", number=1, expires=timedelta(0)) == rows
    assert asked() == 4
    with pytest.raises(InputError):
        one.put("alyx.default_expiry", "soon")


def test_what_was_stored_serves_the_next_client(make: Make, recorded_server: Emulator) -> None:
    first = make(recorded_server).ask("search", **SEARCH)
    recorded_server.requests.reset()
    assert make(recorded_server).ask("search", **SEARCH) == first
    assert len(recorded_server.requests) == 0


def test_without_a_cache_each_query_is_sent(make: Make, recorded_server: Emulator, tmp_path: Path) -> None:
    one = make(recorded_server, cache_rest=None)
    assert one.ask("search", **SEARCH) == one.ask("search", **SEARCH)
    assert recorded_server.requests.count("/sessions") == 2
    assert not [p for p in tmp_path.rglob("*.sqlite") if b"cortexlab" in p.read_bytes()]


def test_no_cache_reaches_its_own_thread_alone(recorded_server: Emulator, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    asked = lambda: recorded_server.requests.count("/sessions")  # noqa: E731
    with ONE(cache_dir=tmp_path, **login(recorded_server)) as one, ThreadPoolExecutor(1) as other:
        eids = one.search(**SEARCH)
        with no_cache(one.alyx):
            assert one.search(**SEARCH) == eids
            assert one.search(**SEARCH) == eids
            assert asked() == 3
            assert other.submit(lambda: one.search(**SEARCH)).result() == eids
            assert asked() == 3
        one.search(**SEARCH)
        assert asked() == 3


@pytest.mark.anyio
async def test_no_cache_reaches_its_own_task_alone(recorded_server: Emulator, tmp_path: Path) -> None:
    asked = lambda: recorded_server.requests.count("/sessions")  # noqa: E731
    async with AsyncONE(cache_dir=tmp_path, **login(recorded_server)) as one:
        eids = await one.search(**SEARCH)
        inside, outside = anyio.Event(), anyio.Event()

        async def around() -> None:
            with no_cache(one.alyx):
                inside.set()
                await outside.wait()
                assert await one.search(**SEARCH) == eids
                assert await one.search(**SEARCH) == eids

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(around)
            await inside.wait()
            assert await one.search(**SEARCH) == eids
            assert asked() == 1
            outside.set()
        assert asked() == 3


def test_twenty_cold_questions_at_once_make_one_request(
    make: Make, recorded: World, recorded_server: Emulator
) -> None:
    one = make(recorded_server)
    answers = one.together(*[("search", SEARCH)] * 20)
    assert all(answer == answers[0] for answer in answers)
    assert answers[0] == recorded.eids(lambda s: s["lab"] == "cortexlab" and s["number"] == 1)
    assert [recorded_server.requests.count(path) for path in ("/sessions", "/auth-token", "/api/schema")] == [
        1,
        1,
        1,
    ]


def test_users_of_one_folder_never_see_each_others_answers(make: Make, recorded_server: Emulator) -> None:
    """The server answers each user alike, so the requests show that each user has its own cache, also after a change of user."""
    for user in ("alice", "bruno"):
        make(recorded_server, user).ask("search", **SEARCH)
    chiara = make(recorded_server, username=None, password=None, token=recorded_server.token("chiara"))
    chiara.ask("search", **SEARCH)
    chiara.ask("alyx.authenticate", "admin", "admin")
    chiara.ask("search", **SEARCH)
    asked = [r.user for r in recorded_server.requests if r.path == "/sessions"]
    assert asked == ["alice", "bruno", "chiara", "admin"]


@pytest.mark.parametrize("kind", ["trio"], indirect=True)
def test_an_answer_of_one_user_is_not_another_ones_when_the_server_is_away(
    make: Make, recorded: World, recorded_server: Emulator
) -> None:
    alice, bruno = make(recorded_server, "alice"), make(recorded_server, "bruno")
    alice.ask("search", subject="KS014")
    bruno.ask("search", subject="RV_1085")
    recorded_server.faults.add("/sessions", status=503, times=None)
    alice.put("alyx.default_expiry", timedelta(0))
    bruno.put("alyx.default_expiry", timedelta(0))
    with pytest.warns(StaleAnswerWarning):
        assert alice.ask("search", subject="KS014") == recorded.eids(lambda s: s["subject"] == "KS014")
    with pytest.raises(StatusError):
        bruno.ask("search", subject="KS014")


def holding(folder: Path, *secrets: str) -> list[Path]:
    """Return the files that have one of these texts in their bytes or their path."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and any(s.encode() in path.read_bytes() or s in str(path) for s in secrets)
    ]


def test_the_token_is_in_its_own_file_and_nowhere_else(
    make: Make, seeded: World, seeded_server: Emulator, tmp_path: Path, empty_home: Path
) -> None:
    one = make(seeded_server)
    eid = seeded.session("CX_003", "2023-09-22")["id"]
    one.ask("alyx.authenticate")
    one.ask("search", details=True, lab="cortexlab")
    one.ask("load_object", eid, "wheel")
    one.ask("freeze", [eid], tmp_path / "frozen.json")
    token = seeded_server.token("demo")
    (own,) = holding(empty_home, token)
    assert stat.S_IMODE(own.stat().st_mode) == 0o600
    assert own.is_relative_to(empty_home / "config")
    assert holding(tmp_path, token) == []
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) > 3
    assert token not in one.look("__repr__")() + repr(one.look("settings")) + repr(one.look("alyx"))
    recorded: list[Any] = [
        r for r in seeded_server.requests if token in r.path or token in str(getattr(r, "query", ""))
    ]
    assert recorded == []


def test_a_given_token_is_not_stored(
    make: Make, recorded_server: Emulator, tmp_path: Path, empty_home: Path
) -> None:
    token = recorded_server.token("chiara")
    one = make(recorded_server, username=None, password=None, token=token)
    assert one.ask("search", **SEARCH)
    assert holding(tmp_path, token) == []
    assert holding(empty_home, token) == []


def test_a_login_serves_the_next_client_and_logout_ends_it(
    make: Make, recorded_server: Emulator, empty_home: Path
) -> None:
    one = make(recorded_server, "alice")
    one.ask("alyx.authenticate")
    assert (one.look("alyx.is_logged_in"), one.look("alyx.user")) == (True, "alice")
    again = make(recorded_server, "alice", password=None)
    assert again.ask("search", **SEARCH)
    assert recorded_server.requests.count("/auth-token") == 1
    again.ask("alyx.logout")
    assert again.look("alyx.is_logged_in") is False
    assert holding(empty_home, recorded_server.token("alice")) == []
    nobody = make(recorded_server, username=None, password=None)
    recorded_server.requests.reset()
    with pytest.raises(LoginError, match="ONE_USERNAME"):
        nobody.ask("search", **SEARCH)
    assert len(recorded_server.requests) == 0
