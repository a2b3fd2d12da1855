"""The file store of responses."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from one_async.alyx.sqlite_storage import ResponseStore, StoredResponse

pytestmark = pytest.mark.anyio


def kept(n: int, size: int = 10) -> StoredResponse:
    return StoredResponse(
        n.to_bytes(16, "big"), "labs" if n % 2 else "tags", float(n), b"[]", bytes([n % 256]) * size
    )


@pytest.mark.parametrize("in_memory", [True, False])
async def test_answers_come_back_as_they_were_put(tmp_path: Path, in_memory: bool) -> None:
    shelf = ResponseStore(None if in_memory else tmp_path / "new" / "answers.sqlite")
    async with anyio.create_task_group() as tasks:
        for n in range(50):
            tasks.start_soon(shelf.put, kept(n))
    assert [await shelf.get(kept(n).id) for n in range(50)] == [kept(n) for n in range(50)]
    await shelf.put(kept(1, size=99))
    assert await shelf.get(kept(1).id) == kept(1, size=99)
    await shelf.set_head(kept(1).id, 7.0, lambda head: head + b" ")
    changed = await shelf.get(kept(1).id)
    assert changed is not None
    assert (changed.head, changed.stored) == (b"[] ", 7.0)
    await shelf.remove(kept(2).id)
    await shelf.expire(frozenset({"labs"}))
    assert [await shelf.get(kept(n).id) for n in range(4)] == [kept(0), None, None, None]
    await shelf.clear()
    assert await shelf.get(kept(0).id) is None
    await shelf.close()
    await shelf.put(kept(0))
    assert await shelf.get(kept(0).id) is None


def on_disk(path: Path) -> int:
    return sum(file.stat().st_size for file in path.parent.iterdir() if file.name.startswith(path.name))


def rows(path: Path) -> list[int]:
    with contextlib.closing(sqlite3.connect(path)) as file:
        return [int(stored) for (stored,) in file.execute("SELECT stored FROM answers ORDER BY stored")]


@pytest.mark.parametrize("puts_of_one", [3, 400])
async def test_the_oldest_make_room_however_short_processes_are(tmp_path: Path, puts_of_one: int) -> None:
    path, most = tmp_path / "answers.sqlite", 0
    for start in range(0, 400, puts_of_one):
        shelf = ResponseStore(path)  # as in each new process
        shelf._limit = 200_000
        for n in range(start, min(start + puts_of_one, 400)):
            await shelf.put(kept(n, size=2000))
        await shelf.close()
        most = max(most, on_disk(path))
    assert most < 300_000  # 1,000,000 were stored
    found = rows(path)
    assert found == list(range(400 - len(found), 400))
    assert len(found) > 20


async def test_clearing_gives_the_space_back(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    for old in (True, False):
        if old:  # a file of an earlier version, which does not shrink by itself
            with contextlib.closing(sqlite3.connect(path)) as file:
                file.execute(
                    "CREATE TABLE answers (id BLOB PRIMARY KEY, endpoint TEXT NOT NULL, stored REAL NOT NULL,"
                    " head BLOB NOT NULL, body BLOB NOT NULL, crc INTEGER NOT NULL)"
                )
                file.execute("PRAGMA user_version=1")
        shelf = ResponseStore(path)
        for n in range(300):
            await shelf.put(kept(n, size=5000))
        assert on_disk(path) > 1_000_000
        other = ResponseStore(path)
        assert await other.get(kept(1).id) == kept(1, size=5000)
        await shelf.clear()
        assert await other.get(kept(1).id) is None
        await other.close()
        await shelf.close()
        assert on_disk(path) < 100_000


async def test_what_is_older_than_anybody_wants_is_removed(tmp_path: Path) -> None:
    path, day = tmp_path / "answers.sqlite", 24 * 3600.0
    now = time.time()
    ages = [0, 1, 29, 31, 400, -2]
    shelf = ResponseStore(path)
    for n, age in enumerate(ages):
        await shelf.put(replace(kept(n), stored=now - age * day))
    await shelf.close()
    for limit, left in ((500 * day, [0, 1, 2, 3, 4]), (30 * day, [0, 1, 2])):
        shelf = ResponseStore(path, retention=lambda limit=limit: limit)
        assert [n for n in range(len(ages)) if await shelf.get(kept(n).id)] == left
        await shelf.close()
        assert len(rows(path)) == len(left)


async def test_an_answer_too_large_for_the_store_evicts_no_others(tmp_path: Path) -> None:
    shelf = ResponseStore(tmp_path / "answers.sqlite")
    shelf._limit = 200_000
    await shelf.put(kept(1))
    await shelf.put(kept(2))
    await shelf.put(kept(2, size=100_000))  # the previous content is no longer valid
    assert (await shelf.get(kept(1).id), await shelf.get(kept(2).id)) == (kept(1), None)
    await shelf.close()


async def impatient_store(path: Path) -> ResponseStore:
    """Return a store of one answer that waits only 10 ms for a lock."""
    shelf = ResponseStore(path)
    await shelf.put(kept(1))
    assert shelf._connection is not None
    shelf._connection.execute("PRAGMA busy_timeout=10")
    return shelf


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock a SQLite file as another process would."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


async def test_a_file_that_is_locked_is_not_waited_for_and_not_lost(tmp_path: Path) -> None:
    shelf = await impatient_store(tmp_path / "answers.sqlite")
    with locked(tmp_path / "answers.sqlite"):
        await shelf.put(kept(2))
    assert await shelf.get(kept(2).id) is None
    await shelf.put(kept(2))
    assert await shelf.get(kept(2).id) == kept(2)
    assert await shelf.get(kept(1).id) == kept(1)
    await shelf.close()


FORGED = {
    "crc": "crc = crc + 1",
    "body cut": "body = substr(body, 2)",
    "body text": "body = 'text'",
    "body null bytes": "body = zeroblob(10)",
    "body gigantic": "body = zeroblob(20000000)",
    "head text": "head = 'text'",
    "endpoint no text": "endpoint = x'ff00'",
    "endpoint other bytes": "endpoint = cast(x'ff00' as text)",
    "stored text": "stored = 'yesterday'",
    "stored infinite": "stored = 9e999",
}


@pytest.mark.parametrize("change", FORGED.values(), ids=FORGED)
async def test_a_damaged_row_is_a_miss_and_costs_no_other(tmp_path: Path, change: str) -> None:
    path = tmp_path / "answers.sqlite"
    shelf = ResponseStore(path)
    shelf._limit = 10_000_000
    for n in range(3):
        await shelf.put(kept(n))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute(f"UPDATE answers SET {change} WHERE id = ?", (kept(1).id,))
    found = await shelf.get(kept(1).id)
    assert found is None or (found.body, found.head) == (kept(1).body, kept(1).head)
    await shelf.put(kept(1))
    assert [await shelf.get(kept(n).id) for n in range(3)] == [kept(n) for n in range(3)]
    await shelf.close()
    assert not path.with_suffix(".damaged").exists()


@pytest.mark.parametrize("seed", range(150))
async def test_a_cancelled_task_does_not_cancel_operations_of_others(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    shelf = ResponseStore(None if seed % 2 else tmp_path / "answers.sqlite")
    for n in range(6):
        await shelf.put(kept(n))
    readers: list[anyio.CancelScope] = []

    async def read() -> None:
        with anyio.CancelScope() as scope:
            readers.append(scope)
            for _ in range(3):
                await shelf.get(kept(chance.randrange(6)).id)

    async def forget() -> None:
        for _ in range(chance.randrange(4)):
            await anyio.lowlevel.checkpoint()
        await (shelf.clear() if chance.random() < 0.5 else shelf.expire(frozenset({"labs", "tags"})))

    async with anyio.create_task_group() as tasks:
        for task in chance.sample([read, read, read, forget], 4):
            tasks.start_soon(task)
        for _ in range(chance.randrange(12)):
            await anyio.lowlevel.checkpoint()
        if chance.random() < 0.2:
            await anyio.sleep(0.001)
        for scope in readers:
            scope.cancel()
    assert [await shelf.get(kept(n).id) for n in range(6)] == [None] * 6
    await shelf.close()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("seed", range(40))
async def test_native_cancellation_of_asyncio_cleans_up(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    shelf = ResponseStore(tmp_path / "answers.sqlite")
    for n in range(6):
        await shelf.put(kept(n))
    readers = [asyncio.create_task(shelf.get(kept(n).id)) for n in range(4)]
    clearing = asyncio.create_task(shelf.clear())
    for _ in range(chance.randrange(8)):
        await asyncio.sleep(0 if chance.random() < 0.7 else 0.001)
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    await clearing
    assert [await shelf.get(kept(n).id) for n in range(6)] == [None] * 6
    await shelf.close()


async def test_what_was_to_be_forgotten_while_the_file_was_locked_is_forgotten_later(tmp_path: Path) -> None:
    shelf = await impatient_store(tmp_path / "answers.sqlite")
    with locked(tmp_path / "answers.sqlite"):
        await shelf.expire(frozenset({"labs"}))
    assert await shelf.get(kept(1).id) is None
    await shelf.close()


async def test_closing_completes_the_cleanup_of_a_cancelled_task(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    shelf = ResponseStore(path)
    await shelf.put(kept(1))
    is_held = anyio.Event()

    async def hold() -> None:
        async with shelf._lock:
            is_held.set()
            await anyio.sleep(0.05)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hold)
        await is_held.wait()
        with anyio.move_on_after(0.01):
            await shelf.clear()
    await shelf.close()
    assert rows(path) == []
