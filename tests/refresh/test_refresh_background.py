from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from one_async.emulator import Emulator
from one_async.errors import TablesNotFound
from one_async.refresh import TablesKeeper

from .conftest import downloads, keeping, left, questions, until, unzip

pytestmark = pytest.mark.anyio

LATER = "2025-02-01 00:00"


async def test_it_checks_again_after_each_expiry(alyx: Emulator, folder: Path) -> None:
    async with keeping(alyx, folder, cache_expiry=0.1) as keeper, anyio.create_task_group() as group:
        await group.start(keeper.run)
        await until(lambda: questions(alyx) >= 4)
        assert downloads(alyx) == 1
        alyx.touch_tables(LATER)
        old = keeper.loaded
        await until(lambda: keeper.loaded is not old)
        group.cancel_scope.cancel()
    assert downloads(alyx) == 2


async def test_a_shorter_expiry_counts_at_once(alyx: Emulator, folder: Path) -> None:
    async with keeping(alyx, folder) as keeper, anyio.create_task_group() as group:
        await group.start(keeper.run)
        await until(lambda: keeper.loaded.meta.loaded_time)
        await until(lambda: not keeper.info.expired)
        assert questions(alyx) == 1
        keeper.cache_expiry = 0.05
        await until(lambda: questions(alyx) >= 2)
        group.cancel_scope.cancel()


async def test_recently_checked_tables_are_not_checked_again(alyx: Emulator, folder: Path) -> None:
    async with keeping(alyx, folder) as keeper:
        await keeper.refresh("auto")
        asked = questions(alyx)
        again = TablesKeeper(folder, keeper._alyx)
        async with anyio.create_task_group() as group:
            await group.start(again.run)
            await until(lambda: again.loaded.meta.loaded_time)
            await anyio.sleep(0.3)
            group.cancel_scope.cancel()
        assert questions(alyx) == asked


async def test_readers_do_not_wait_for_a_download(alyx: Emulator, folder: Path) -> None:
    unzip(alyx, folder)
    alyx.touch_tables(LATER)
    rule = alyx.faults.add("/cache.zip", hang=60, times=None)
    async with keeping(alyx, folder) as keeper, anyio.create_task_group() as group:
        await group.start(keeper.run)
        await until(lambda: rule.hits)
        with anyio.fail_after(10):
            for _ in range(10):
                await keeper.refresh("auto")
                assert len((await keeper.current()).session_frame) == 36
        group.cancel_scope.cancel()


async def test_without_tables_readers_wait_for_the_download_that_is_under_way(
    alyx: Emulator, folder: Path
) -> None:
    async with keeping(alyx, folder) as keeper, anyio.create_task_group() as group:
        await group.start(keeper.run)
        for _ in range(5):
            group.start_soon(keeper.refresh, "auto")
        await keeper.refresh("auto")
        assert len((await keeper.current()).session_frame) == 36
        group.cancel_scope.cancel()
    assert (downloads(alyx), questions(alyx)) == (1, 1)


async def test_it_outlives_trouble_and_picks_the_server_up_when_it_returns(
    alyx: Emulator, folder: Path
) -> None:
    alyx.faults.add("/cache/info", status=500, times=2)
    alyx.faults.add("/cache/info", html=True)
    alyx.faults.add("/cache/info", body=json.dumps({"nothing": "known"}))
    alyx.faults.add("/cache/info", body=json.dumps({"date_created": LATER, "location": "file:///etc/passwd"}))
    alyx.faults.add("/cache.zip", shorten=1000)
    async with keeping(alyx, folder, cache_expiry=0.05) as keeper, anyio.create_task_group() as group:
        with pytest.raises(TablesNotFound, match="provided none"):
            await keeper.refresh("auto")
        await group.start(keeper.run)
        await until(lambda: keeper.loaded.meta.loaded_time)
        assert questions(alyx) >= 6
        alyx.stop()  # warnings are errors here, and a failure then is one: it must not end the task
        await anyio.sleep(0.5)
        asked = questions(alyx)
        alyx.start()
        await until(lambda: questions(alyx) > asked)
        group.cancel_scope.cancel()


async def test_what_another_process_brought_is_seen(alyx: Emulator, folder: Path) -> None:
    async with keeping(alyx, folder, cache_expiry=0.1) as reader, keeping(alyx, folder) as other:
        await other.refresh("auto")
        async with anyio.create_task_group() as group:
            await group.start(reader.run)
            await until(lambda: reader.loaded.meta.loaded_time)
            alyx.touch_tables(LATER)
            before = reader.loaded
            await other.refresh("refresh")
            await until(lambda: reader.loaded is not before)
            group.cancel_scope.cancel()
    assert downloads(alyx) == 2


async def test_it_ends_when_it_is_cancelled_in_a_download(alyx: Emulator, folder: Path) -> None:
    rule = alyx.faults.add("/cache.zip", hang=60)
    with anyio.fail_after(20):
        async with keeping(alyx, folder) as keeper, anyio.create_task_group() as group:
            await group.start(keeper.run)
            await until(lambda: rule.hits)
            group.cancel_scope.cancel()
    assert left(folder, ".claim", ".tmp", ".pqt") == []
