"""Connections idle for longer than Alyx's keep-alive are closed by the client."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest

from one_async.alyx.client import AsyncAlyxClient
from one_async.emulator import Emulator
from shared_worlds import recorded_world

pytestmark = pytest.mark.anyio

#: The number of seconds after which a real Alyx closes an idle connection, from a recording.
KEEP_ALIVE = 5.0
MANY = 6


@pytest.fixture(scope="module")
def patient_server() -> Iterator[Emulator]:
    """Yield an emulator that never closes an idle connection, and is slow enough for requests to overlap."""
    with Emulator(recorded_world(), keep_alive=1e6, latency=0.1) as emulator:
        yield emulator


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Advance the monotonic clock of the client; the server, in its own thread, keeps its own."""
    ahead, real, mine = 0.0, time.monotonic, threading.get_ident()

    def move(seconds: float) -> None:
        nonlocal ahead
        ahead += seconds

    monkeypatch.setattr(time, "monotonic", lambda: real() + (ahead if threading.get_ident() == mine else 0.0))
    return move


async def records(alyx: AsyncAlyxClient, number: int) -> None:
    """Request many records concurrently, each over its own connection."""
    async with anyio.create_task_group() as tasks:
        for _ in range(number):
            tasks.start_soon(lambda: alyx.rest("labs", "list", no_cache=True))


async def bodies(alyx: AsyncAlyxClient, number: int) -> None:
    """Download many files concurrently."""

    async def one() -> None:
        async with alyx.wire.open(f"{alyx.base_url}/cache/info/") as stream:
            async for _ in stream.chunks():
                pass

    async with anyio.create_task_group() as tasks:
        for _ in range(number):
            tasks.start_soon(one)


async def open_connections(server: Emulator, wanted: int) -> int:
    """Return the number of the server's connections once it has noticed the closed ones."""
    with anyio.move_on_after(10):
        while server.connections != wanted:  # noqa: ASYNC110 (the server has no event of this loop)
            await anyio.sleep(0.01)
    return server.connections


@pytest.mark.parametrize("ask", [records, bodies])
@pytest.mark.parametrize("steps", [[KEEP_ALIVE], [3600.0], [3.0, 3.0], [2.0, 2.0, 2.0, 2.0]], ids=str)
async def test_those_idle_for_longer_than_alyx_keeps_them_are_closed(
    patient_server: Emulator,
    make: Any,
    later: Callable[[float], None],
    ask: Callable[..., Any],
    steps: list[float],
) -> None:
    async with make(patient_server) as alyx:
        await alyx.rest("labs", "list", no_cache=True)
        await ask(alyx, MANY)
        before = patient_server.connections
        assert before >= MANY
        for seconds in steps:  # one of them may be in use all the time; the others are idle
            later(seconds)
            await ask(alyx, 1)
        # Files have their own connections, so the connection of the first query may be left.
        wanted = 1 if ask is records else 1 + before - MANY
        assert await open_connections(patient_server, wanted) == wanted
    assert await open_connections(patient_server, 0) == 0


@pytest.mark.parametrize("ask", [records, bodies])
async def test_those_used_a_moment_ago_are_used_again(
    patient_server: Emulator, make: Any, later: Callable[[float], None], ask: Callable[..., Any]
) -> None:
    async with make(patient_server) as alyx:
        await alyx.rest("labs", "list", no_cache=True)
        await ask(alyx, MANY)
        before = patient_server.connections
        later(1.0)
        await ask(alyx, MANY)
        assert patient_server.connections == before
    assert await open_connections(patient_server, 0) == 0
