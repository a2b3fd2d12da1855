"""Closing a client during calls: they end with a OneError, and leave no file, connection or thread behind."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from one_async import ONE, AsyncONE, OneError
from one_async.emulator import Emulator

from .conftest import login

HANG = {"hang": math.inf, "times": None}
BUSY = {"status": 429, "headers": {"Retry-After": "200"}, "times": None}
#: Seconds within which closing must end. Otherwise the calls below would wait for minutes or forever.
SOON = 20


@dataclass(frozen=True)
class Job:
    """A call, and the fault at an address while it runs."""

    method: str
    path: str
    fault: dict[str, Any]
    args: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    mode: str = "remote"


JOBS = {
    "download": Job("download", "/data", HANG),
    "download again and again": Job("download", "/data", {"drop": True, "times": None}),
    "download within a body": Job("download", "/data", {"cut": True, "times": None}),
    "load": Job("load_many", "/data", HANG, ("spikes",), {"on_error": "collect"}),
    "iterate": Job("iter_objects", "/data", HANG, ("spikes",), {"on_error": "collect"}),
    "harvest": Job("harvest", "/datasets", HANG, (["datasets"], "harvested")),
    "throttled harvest": Job("harvest", "/datasets", BUSY, (["datasets"], "harvested")),
    "harvest into memory": Job("harvest", "/datasets", HANG, (["datasets"],)),
    "refresh": Job("refresh_cache", "/cache.zip", HANG, ("refresh",), mode="auto"),
    "question about tables": Job("refresh_cache", "/cache/info", HANG, ("refresh",), mode="auto"),
    "search": Job("search", "/sessions", HANG, options={"query_type": "remote"}),
    "throttled search": Job("search", "/sessions", BUSY, options={"query_type": "remote"}),
    "rest": Job("alyx.rest", "/subjects", HANG, ("subjects", "list")),
    "pages": Job("alyx.pages", "/subjects", HANG, ("subjects",)),
}


@pytest.fixture(scope="module")
def sessions(seeded_emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    with ONE(cache_dir=tmp_path_factory.mktemp("first"), mode="remote", **login(seeded_emulator)) as one:
        return [str(eid) for eid in one.search(datasets="spikes.times.npy")][:3]


def arguments(job: Job, sessions: list[str], folder: Path) -> tuple[Any, ...]:
    args = tuple(str(folder / one) if one == "harvested" else one for one in job.args)
    if job.method in ("download", "load_many", "iter_objects"):
        return (sessions, *args)
    return args


def connections(port: int) -> int:
    """Return the number of the client's open connections to a port."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[2].endswith(f":{port:04X}") and line.split()[3] == "01" for line in lines)


def left(folder: Path) -> list[str]:
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
    return [name for name in names if name.endswith((".tmp", ".claim")) or "/new-" in name]


def check_traces(folder: Path, port: int) -> None:
    assert left(folder) == []
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("one-async-")] == []
    if os.path.exists("/proc/net/tcp"):  # noqa: PTH110
        assert connections(port) == 0


async def run(one: AsyncONE, job: Job, args: tuple[Any, ...]) -> None:
    owner = one.alyx if job.method.startswith("alyx.") else one
    called = getattr(owner, job.method.removeprefix("alyx."))(*args, **job.options)
    if hasattr(called, "__aiter__"):
        async for _ in called:
            pass
    else:
        await called


async def until(is_so: Callable[[], object]) -> None:
    while not is_so():  # noqa: ASYNC110 - there is no event for it
        await anyio.sleep(0.01)


@pytest.fixture
def port(seeded_server: Emulator) -> Iterator[int]:
    yield int(seeded_server.url.rpartition(":")[2])
    seeded_server.faults.clear()


@pytest.mark.anyio
@pytest.mark.parametrize("opened", [False, True], ids=["made", "opened"])
@pytest.mark.parametrize("name", JOBS)
async def test_closing_ends_a_call_with_an_error(
    seeded_server: Emulator, port: int, sessions: list[str], tmp_path: Path, name: str, opened: bool
) -> None:
    job = JOBS[name]
    rule = seeded_server.faults.add(job.path, **job.fault)
    one = AsyncONE(cache_dir=tmp_path / "cache", mode=job.mode, **login(seeded_server))
    errors: list[BaseException] = []

    async def call() -> None:
        try:
            await run(one, job, arguments(job, sessions, tmp_path))
        except Exception as error:
            errors.append(error)

    with anyio.fail_after(SOON):
        async with anyio.create_task_group() as group:
            async with AsyncExitStack() as stack:
                if opened:
                    await stack.enter_async_context(one)
                group.start_soon(call)
                await until(lambda: rule.hits)
                if not opened:
                    await one.aclose()
            await anyio.to_thread.run_sync(check_traces, tmp_path, port)
    (error,) = errors
    assert isinstance(error, OneError)
    assert "closed" in str(error)
    seeded_server.faults.clear()
    await run(one, job, arguments(job, sessions, tmp_path))  # a later call opens it again
    await one.aclose()
    check_traces(tmp_path, port)


@pytest.mark.parametrize("name", JOBS)
def test_closing_the_blocking_client_ends_a_call_of_another_thread(
    seeded_server: Emulator, port: int, sessions: list[str], tmp_path: Path, name: str
) -> None:
    job = JOBS[name]
    rule = seeded_server.faults.add(job.path, **job.fault)
    one = ONE(cache_dir=tmp_path / "cache", mode=job.mode, **login(seeded_server))
    errors: list[BaseException] = []

    def call() -> None:
        try:
            owner = one.alyx if job.method.startswith("alyx.") else one
            called = getattr(owner, job.method.removeprefix("alyx."))(
                *arguments(job, sessions, tmp_path), **job.options
            )
            if job.method in ("iter_objects", "alyx.pages"):
                list(called)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    while not rule.hits:
        thread.join(0.01)
    closing = threading.Thread(target=one.close)
    closing.start()
    for each in (closing, thread):
        each.join(SOON)
        assert not each.is_alive()
    check_traces(tmp_path, port)
    (error,) = errors
    assert isinstance(error, OneError)
    assert "closed" in str(error)


@pytest.mark.anyio
async def test_leaving_the_block_ends_the_refresh_in_the_background(
    seeded_server: Emulator, port: int, tmp_path: Path
) -> None:
    rule = seeded_server.faults.add("/cache.zip", **HANG)
    with anyio.fail_after(SOON):
        async with AsyncONE(cache_dir=tmp_path, mode="auto", **login(seeded_server)):
            await until(lambda: rule.hits)
        await anyio.to_thread.run_sync(check_traces, tmp_path, port)


@pytest.mark.anyio
async def test_an_iterator_does_not_end_early_when_its_client_is_closed(
    seeded_server: Emulator, port: int, sessions: list[str], tmp_path: Path
) -> None:
    """If it is closed between two steps with sessions left, the next step must not look like the end."""
    async with AsyncONE(cache_dir=tmp_path, mode="remote", **login(seeded_server)) as one:
        found = one.iter_objects(sessions, "spikes", at_once=1, on_error="collect")
        await anext(found)
    with anyio.fail_after(SOON), pytest.raises(OneError, match="closed"):
        async for _ in found:
            pass


@pytest.mark.anyio
async def test_two_who_close_at_once(seeded_server: Emulator, port: int, tmp_path: Path) -> None:
    rule = seeded_server.faults.add("/subjects", **HANG)
    one = AsyncONE(cache_dir=tmp_path, mode="remote", **login(seeded_server))

    async def call() -> None:
        with pytest.raises(OneError, match="closed"):
            await one.alyx.rest("subjects", "list")

    with anyio.fail_after(SOON):
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(call)
            await until(lambda: rule.hits)
            for _ in range(3):
                group.start_soon(one.aclose)
    check_traces(tmp_path, port)
