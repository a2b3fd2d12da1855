"""The file of stored answers."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import anyio
import pytest

from one_async.alyx.shelf import Kept, Shelf

pytestmark = pytest.mark.anyio


def kept(n: int, size: int = 10) -> Kept:
    return Kept(n.to_bytes(16, "big"), "labs" if n % 2 else "tags", float(n), b"[]", bytes([n % 256]) * size)


@pytest.mark.parametrize("in_memory", [True, False])
async def test_answers_come_back_as_they_were_put(tmp_path: Path, in_memory: bool) -> None:
    shelf = Shelf(None if in_memory else tmp_path / "new" / "answers.sqlite")
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


async def test_the_oldest_half_makes_room(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    shelf = Shelf(path)
    shelf._limit = 100_000
    for n in range(500):
        await shelf.put(kept(n, size=1000))
    await shelf.close()
    with sqlite3.connect(path) as file:
        assert file.execute("SELECT min(stored), max(stored), count(*) FROM answers").fetchone() == (
            251,
            499,
            249,
        )
    file.close()


async def test_a_file_that_is_locked_is_not_waited_for_and_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    shelf = Shelf(path)
    await shelf.put(kept(1))
    assert shelf._connection is not None
    shelf._connection.execute("PRAGMA busy_timeout=10")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    await shelf.put(kept(2))
    other.execute("ROLLBACK")
    other.close()
    assert await shelf.get(kept(2).id) is None
    await shelf.put(kept(2))
    assert await shelf.get(kept(2).id) == kept(2)
    assert await shelf.get(kept(1).id) == kept(1)
    await shelf.close()


async def test_damage_found_while_reading_begins_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    shelf = Shelf(path)
    await shelf.put(kept(1))
    assert shelf._connection is not None
    shelf._connection.execute("UPDATE answers SET crc = crc + 1")
    assert await shelf.get(kept(1).id) is None
    await shelf.put(kept(1))
    assert await shelf.get(kept(1).id) == kept(1)
    await shelf.close()
    assert path.with_suffix(".damaged").exists()
