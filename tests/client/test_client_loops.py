"""One async client in several event loops: one after the other, as in scripts with several ``asyncio.run``, and at once."""

from __future__ import annotations

import gc
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from one_async import AsyncONE
from one_async.emulator import Emulator
from one_async.errors import ConfigurationError

from .conftest import login

# A client that is left open leaves its connections to the garbage collector, as in httpx.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
Work = Callable[[AsyncONE], Awaitable[Any]]


async def _search(one: AsyncONE) -> Any:
    return len(await one.search(subject="SU_101"))


async def _list(one: AsyncONE) -> Any:
    return len(await one.alyx.rest("labs", "list", no_cache=True))


async def _load(one: AsyncONE) -> Any:
    eids = await one.search(datasets="_ibl_trials.table.pqt")
    return len(await one.load_object(eids[0], "trials"))


async def _ask_tables(one: AsyncONE) -> Any:
    return len(await one.search(subject="SU_101", query_type="auto")), await one.refresh_cache(
        "refresh"
    ) is None


async def _harvest(one: AsyncONE) -> Any:
    return len(await one.alyx.frame("labs")), (await one.harvest("labs")).complete


async def _close(one: AsyncONE) -> Any:
    await one.aclose()


async def _be_cancelled(one: AsyncONE) -> Any:
    with anyio.move_on_after(0.01):
        await one.load_many(await one.search(), "trials")


WORK: tuple[Work, ...] = (_search, _list, _load, _ask_tables, _harvest)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_each_loop_gets_the_same_answers(seeded_server: Emulator, tmp_path: Path, backend: str) -> None:
    one = AsyncONE(cache_dir=tmp_path, **login(seeded_server))
    first = [anyio.run(work, one, backend=backend) for work in WORK]
    assert first[0] == 25
    for before in (_search, _be_cancelled, _close):
        anyio.run(before, one, backend=backend)
        assert [anyio.run(work, one, backend=backend) for work in reversed(WORK)] == first[::-1]
    anyio.run(_close, one, backend=backend)
    del one
    gc.collect()


@pytest.mark.skipif(sys.platform != "linux", reason="reads the open files of the process from /proc")
def test_cache_files_of_ended_loops_are_closed(seeded_server: Emulator, tmp_path: Path) -> None:
    def open_files() -> int:
        found = [one for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
        return sum(one.readlink().is_relative_to(tmp_path) for one in found if one.is_symlink())

    one = AsyncONE(cache_dir=tmp_path, **login(seeded_server))
    gc.collect()
    gc.disable()  # its runs would close files, too
    try:
        counts = []
        for name in ("asyncio", "trio", "asyncio", "trio"):
            anyio.run(_search, one, backend=name)
            counts.append(open_files())
        assert counts[0] > 0
        assert set(counts) == {counts[0]}
        anyio.run(_close, one)
        assert open_files() == 0
    finally:
        gc.enable()
    del one
    gc.collect()


def test_a_client_changes_the_library(seeded_server: Emulator, tmp_path: Path) -> None:
    one = AsyncONE(cache_dir=tmp_path, **login(seeded_server))
    assert [anyio.run(_search, one, backend=name) for name in ("asyncio", "trio", "asyncio")] == [25] * 3
    anyio.run(_close, one)
    del one
    gc.collect()


def test_a_loop_that_is_running_keeps_its_client(seeded_server: Emulator, tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncONE(cache_dir=tmp_path, **login(seeded_server)) as one:
            assert await _search(one) == 25
            with pytest.raises(ConfigurationError, match="another event loop"):
                await anyio.to_thread.run_sync(lambda: anyio.run(_list, one))
            assert await _list(one) > 0

    anyio.run(main)
