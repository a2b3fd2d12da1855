from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from one_async.emulator import Emulator
from one_async.errors import TablesNotFound
from one_async.refresh import TablesKeeper
from shared_worlds import checks, downloads, unzip

from .conftest import files_ending_in, open_keeper, wait_until

pytestmark = pytest.mark.anyio

LATER = "2025-02-01 00:00"


async def test_the_task_checks_again_after_each_expiry(alyx: Emulator, folder: Path) -> None:
    async with open_keeper(alyx, folder, cache_expiry=0.1) as keeper, anyio.create_task_group() as group:
        await group.start(keeper.run)
        await wait_until(lambda: checks(alyx) >= 4)
        assert downloads(alyx) == 1
        alyx.touch_tables(LATER)
        old = keeper.loaded
        await wait_until(lambda: keeper.loaded is not old)
        group.cancel_scope.cancel()
    assert downloads(alyx) == 2


async def test_a_shorter_expiry_takes_effect_at_once(alyx: Emulator, folder: Path) -> None:
    async with open_keeper(alyx, folder) as keeper, anyio.create_task_group() as group:
        await group.start(keeper.run)
        await wait_until(lambda: keeper.loaded.meta.loaded_time)
        await wait_until(lambda: not keeper.info.expired)
        assert checks(alyx) == 1
        keeper.cache_expiry = 0.05
        await wait_until(lambda: checks(alyx) >= 2)
        group.cancel_scope.cancel()


async def test_recently_checked_tables_are_not_checked_again(alyx: Emulator, folder: Path) -> None:
    async with open_keeper(alyx, folder) as keeper:
        await keeper.refresh("auto")
        asked = checks(alyx)
        again = TablesKeeper(folder, keeper._alyx)
        async with anyio.create_task_group() as group:
            await group.start(again.run)
            await wait_until(lambda: again.loaded.meta.loaded_time)
            await anyio.sleep(0.3)
            group.cancel_scope.cancel()
        assert checks(alyx) == asked


async def test_readers_do_not_wait_for_a_download(alyx: Emulator, folder: Path) -> None:
    unzip(alyx, folder)
    alyx.touch_tables(LATER)
    rule = alyx.faults.add("/cache.zip", hang=60, times=None)
    async with open_keeper(alyx, folder) as keeper, anyio.create_task_group() as group:
        await group.start(keeper.run)
        await wait_until(lambda: rule.hits)
        with anyio.fail_after(10):
            for _ in range(10):
                await keeper.refresh("auto")
                assert len((await keeper.current()).session_frame) == 36
        group.cancel_scope.cancel()


async def test_readers_without_tables_wait_for_the_running_download(alyx: Emulator, folder: Path) -> None:
    async with open_keeper(alyx, folder) as keeper, anyio.create_task_group() as group:
        await group.start(keeper.run)
        for _ in range(5):
            group.start_soon(keeper.refresh, "auto")
        await keeper.refresh("auto")
        assert len((await keeper.current()).session_frame) == 36
        group.cancel_scope.cancel()
    assert (downloads(alyx), checks(alyx)) == (1, 1)


async def test_the_task_continues_when_the_server_returns(alyx: Emulator, folder: Path) -> None:
    alyx.faults.add("/cache/info", status=500, times=2)
    alyx.faults.add("/cache/info", html=True)
    alyx.faults.add("/cache/info", body=json.dumps({"nothing": "known"}))
    alyx.faults.add("/cache/info", body=json.dumps({"date_created": LATER, "location": "file:///etc/passwd"}))
    alyx.faults.add("/cache.zip", shorten=1000)
    async with open_keeper(alyx, folder, cache_expiry=0.05) as keeper, anyio.create_task_group() as group:
        with pytest.raises(TablesNotFound, match="provided none"):
            await keeper.refresh("auto")
        await group.start(keeper.run)
        await wait_until(lambda: keeper.loaded.meta.loaded_time)
        assert checks(alyx) >= 6
        alyx.stop()  # warnings are errors here, and such an error must not end the task
        await anyio.sleep(0.5)
        asked = checks(alyx)
        alyx.start()
        await wait_until(lambda: checks(alyx) > asked)
        group.cancel_scope.cancel()


async def test_tables_of_another_process_are_loaded(alyx: Emulator, folder: Path) -> None:
    async with open_keeper(alyx, folder, cache_expiry=0.1) as reader, open_keeper(alyx, folder) as other:
        await other.refresh("auto")
        async with anyio.create_task_group() as group:
            await group.start(reader.run)
            await wait_until(lambda: reader.loaded.meta.loaded_time)
            alyx.touch_tables(LATER)
            before = reader.loaded
            await other.refresh("refresh")
            await wait_until(lambda: reader.loaded is not before)
            group.cancel_scope.cancel()
    assert downloads(alyx) == 2


async def test_the_task_ends_when_it_is_cancelled_during_a_download(alyx: Emulator, folder: Path) -> None:
    rule = alyx.faults.add("/cache.zip", hang=60)
    with anyio.fail_after(20):
        async with open_keeper(alyx, folder) as keeper, anyio.create_task_group() as group:
            await group.start(keeper.run)
            await wait_until(lambda: rule.hits)
            group.cancel_scope.cancel()
    assert files_ending_in(folder, ".claim", ".tmp", ".pqt") == []
