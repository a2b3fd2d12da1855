"""Load on the client, and servers that fail or hang meanwhile; run by ``nox -s faults``."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

sys.path.append(str(Path(__file__).parents[2]))

from tests.client.processes import check_files, run_at_once
from tests.client.worlds import World, recorded_world, seeded_world

from one_async import AsyncONE
from one_async.emulator import Emulator
from one_async.errors import OneError, ServerUnreachable

pytestmark = pytest.mark.slow

READS = 3000


@pytest.fixture(scope="module")
def seeded() -> World:
    return seeded_world()


@pytest.fixture
def server() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


def options(server: Emulator, folder: Path) -> dict[str, Any]:
    return {"base_url": server.url, "username": "demo", "password": "demo", "cache_dir": folder}


async def read_all(one: AsyncONE, dids: list[str], answers: dict[str, Any]) -> None:
    async def read(did: str) -> None:
        answers[did] = await one.alyx.rest("datasets", "read", id=did)

    async with anyio.create_task_group() as tasks:
        for did in dids:
            tasks.start_soon(read, did)


def names_by_id(seeded: World) -> dict[str, str]:
    """Return the names of datasets by id."""
    return {row["url"][-36:]: row["name"] for row in seeded.rows("datasets")[:READS]}


@pytest.mark.anyio
async def test_thousands_of_concurrent_reads_get_their_own_answers(
    server: Emulator, seeded: World, tmp_path: Path
) -> None:
    names, answers = names_by_id(seeded), dict[str, Any]()
    async with AsyncONE(**options(server, tmp_path)) as one:
        await read_all(one, list(names), answers)
        assert {did: answer["name"] for did, answer in answers.items()} == names
        assert server.connections_peak <= 32
        assert server.requests.count("/datasets/") == READS
        answers.clear()
        await read_all(one, list(names), answers)
    assert {did: answer["name"] for did, answer in answers.items()} == names
    assert server.requests.count("/datasets/") == READS


@pytest.mark.anyio
async def test_reads_complete_when_the_server_restarts_and_fails(
    server: Emulator, seeded: World, tmp_path: Path
) -> None:
    names, answers = names_by_id(seeded), dict[str, Any]()
    for skip, fault in (
        (100, {"cut": True}),
        (400, {"drop": True}),
        (800, {"status": 503}),
        (1200, {"truncate": 9}),
    ):
        server.faults.add("/datasets/", skip=skip, times=20, **fault)
    server.faults.add("/datasets/", skip=1600, times=30, status=429, headers={"Retry-After": "1"})

    def restart() -> None:
        server.stop()
        server.start()

    timers = [threading.Timer(seconds, restart) for seconds in (1.0, 3.0)]
    async with AsyncONE(**options(server, tmp_path)) as one:
        await one.search_terms()
        for timer in timers:
            timer.start()
        await read_all(one, list(names), answers)
    for timer in timers:
        timer.join()
    assert {did: answer["name"] for did, answer in answers.items()} == names


@pytest.mark.anyio
async def test_a_read_times_out_if_the_server_never_answers(
    server: Emulator, seeded: World, tmp_path: Path
) -> None:
    """The read ends after the client's own limits: two attempts of a minute each."""
    eid = seeded.sessions[0]["id"]
    async with AsyncONE(**options(server, tmp_path)) as one:
        await one.search_terms()
        rule = server.faults.add("/sessions/", hang=float("inf"), times=None)
        with anyio.fail_after(300):
            with pytest.raises(ServerUnreachable, match="time"):
                await one.get_details(eid, full=True)
        assert rule.hits == 2
        server.faults.clear()
        assert (await one.get_details(eid, full=True))["id"] == eid


@pytest.mark.anyio
async def test_reads_return_rows_or_server_unreachable_when_the_server_stops(
    server: Emulator, seeded: World, tmp_path: Path
) -> None:
    names = names_by_id(seeded)
    for round_, delay in enumerate((0.05, 0.3, 0.8, 1.5)):
        answers: dict[str, Any] = {}
        async with AsyncONE(**{**options(server, tmp_path / str(round_)), "cache_rest": None}) as one:
            await one.search_terms()
            killer = threading.Timer(delay, server.stop)
            killer.start()
            errors: list[BaseException] = []
            try:
                await read_all(one, list(names)[:1000], answers)
            except* OneError as group:
                errors += group.exceptions
            killer.join()
        assert {type(error) for error in errors} <= {ServerUnreachable}
        assert {did: answer["name"] for did, answer in answers.items()}.items() <= names.items()
        server.start()


def test_fifty_processes_can_log_in_at_once(tmp_path: Path) -> None:
    recorded = recorded_world()
    expected = [str(eid) for eid in recorded.eids(lambda s: s["lab"] == "cortexlab")]
    users = [("alice", "bruno", "chiara")[number % 3] for number in range(50)]
    with Emulator(records=Path(__file__).parents[1] / "data" / "alyx") as server:
        assert run_at_once(server.url, users, tmp_path, seconds=300) == [expected] * 50
        check_files(tmp_path, {user: server.token(user) for user in set(users)})
