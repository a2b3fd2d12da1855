"""Cancellation, concurrent processes, odd answers, and hashes in upper case."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client.faces import Face
from one_async import ONE, AsyncONE
from one_async.emulator import Emulator
from one_async.errors import InputError, OneError
from one_async.registration import RegistrationClient
from shared_worlds import recorded_world

from . import cuts, folders
from .folders import NAMES, session, written


@pytest.mark.anyio
@pytest.mark.filterwarnings(
    "ignore:.*ByteStream:pytest.PytestUnraisableExceptionWarning"
)  # httpx warns about a truncated body
@pytest.mark.parametrize("path", ["/sessions", "/register-file"])
async def test_a_registration_cancelled_during_a_write_can_be_repeated(
    server: Emulator, tmp_path: Path, path: str
) -> None:
    paths = [session(tmp_path, date=f"2025-01-{day}") for day in (10, 11)]
    login = {"base_url": server.url, "username": "alice", "password": "alice"}
    async with AsyncONE(**login, cache_dir=tmp_path / "c") as one:
        with anyio.CancelScope() as scope:
            server.faults.add(path, method="POST", call=scope_cancel(scope), hang=0.5)
            await one.register_session(paths)
        assert scope.cancelled_caught
        assert leftovers(tmp_path) == []
        with anyio.fail_after(30):  # no claim is left behind
            results = await one.register_session(paths)
    assert [len(records) for _, records in results] == [len(NAMES)] * 2
    made = [
        row
        for row in folders.rows(server, "sessions")
        if row["start_time"][:10] in ("2025-01-10", "2025-01-11")
    ]
    assert len(made) == 2
    assert len(
        [row for row in folders.rows(server, "datasets") if row["created_datetime"] > "2025-06"]
    ) == 2 * len(NAMES)


def leftovers(folder: Path) -> list[str]:
    """Return the names of temporary files and claims."""
    return [
        p.name
        for p in folder.rglob(".*")
        if p.suffix in (".part", ".tmp") or (p.is_dir() and "one_async" in p.name)
    ]


def scope_cancel(scope: anyio.CancelScope) -> Any:
    """Return a function that cancels the scope from the server's thread."""
    from anyio.lowlevel import current_token

    try:
        import trio

        token = trio.lowlevel.current_trio_token()
        return lambda: token.run_sync_soon(scope.cancel)
    except RuntimeError:
        assert current_token()
        import asyncio

        loop = asyncio.get_running_loop()
        return lambda: loop.call_soon_threadsafe(scope.cancel)


def test_concurrent_processes_write_once(server: Emulator, tmp_path: Path) -> None:
    paths = [str(session(tmp_path, date=f"2025-01-{day}")) for day in (10, 11, 12)]
    command = [sys.executable, cuts.__file__, server.url]
    running = [
        subprocess.Popen([*command, str(tmp_path / f"c{at}"), *paths], stderr=subprocess.PIPE)
        for at in range(4)
    ]
    for process in running:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
    assert Counter(written(server)) == {"POST /sessions": 3, "POST /register-file": 3}


def test_hashes_are_compared_without_case(one: Face, server: Emulator, tmp_path: Path) -> None:
    """Alyx compares hashes as text, and would mark all other copies of the file as missing."""
    folder = session(tmp_path)
    _, records = one.ask("register_session", folder)
    for record in records:
        upper = folders.md5(folder / record["collection"] / record["name"]).upper()
        one.ask("alyx.patch", f"/datasets/{record['id']}", {"hash": upper})
    server.requests.reset()
    one.ask("register_session", folder)
    assert written(server) == []


def test_registration_client_refuses_a_blocking_client(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"one\.registration"):
        RegistrationClient(ONE(cache_dir=tmp_path, mode="local"))  # type: ignore[arg-type]


KEYS = ["results", "count", "id", "url", "name", "nickname", "subject", "hash"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "x", "KS046"]),
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@pytest.fixture(scope="module")
def other_server() -> Any:
    with Emulator(recorded_world()) as server:
        yield server


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(
        ["/sessions", "/register-file", "/datasets", "/subjects", "/labs", "/dataset-types", "/data-formats"]
    ),
    JSON,
)
def test_odd_answers_raise_one_errors(
    other_server: Emulator, tmp_path_factory: pytest.TempPathFactory, path: str, answer: Any
) -> None:
    import json

    root = tmp_path_factory.mktemp("odd")
    folder = session(root, date="2024-12-31")
    folders.write(folder / NAMES[0], str(root))  # new files each time
    server = other_server
    server.faults.clear()
    rule = server.faults.add(path, times=None, status=200, body=json.dumps(answer))
    with ONE(
        base_url=server.url, username="alice", password="alice", cache_dir=root / "c", cache_rest=None
    ) as one:
        kind: type[Exception] | None = None
        try:
            one.register_session(folder)
        except OneError as error:
            kind = type(error)
    assert kind is not InputError  # the caller's arguments are right
    assert rule.hits
