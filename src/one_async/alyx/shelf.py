"""Where answers are kept: one SQLite file for each user of each server. No HTTP here."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import stat
import sys
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]

log = logging.getLogger(__name__)

VERSION = 1
MEMORY_LIMIT = 64 * 1024**2
FILE_LIMIT = 1024**3


@dataclass(frozen=True, slots=True)
class Kept:
    """A stored answer: the head is JSON (what the request and the response said), the body bytes."""

    id: bytes
    endpoint: str
    stored: float
    head: bytes
    body: bytes

    def crc(self) -> int:
        return zlib.crc32(self.body, zlib.crc32(self.head))


class _Waiting:
    __slots__ = ("done", "operation", "result")

    def __init__(self, operation: Operation[Any], result: Any) -> None:
        self.operation, self.result, self.done = operation, result, False


class Shelf:
    """Answers in one SQLite file (or in memory), for one event loop; its failures are never the caller's.

    Whatever tasks ask for while a batch is being worked on goes into the next one: one thread hop and one
    transaction for many answers. A damaged file, or one of another version, is set aside under another name.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._limit = MEMORY_LIMIT if path is None else FILE_LIMIT
        self._connection: sqlite3.Connection | None = None
        self._queue: list[_Waiting] = []
        self._lock = anyio.Lock()
        self._puts = 0
        self._closed = False

    # -- what the cache asks for

    async def get(self, id: bytes) -> Kept | None:
        """Give the answer with this key, or None."""

        def read(connection: sqlite3.Connection) -> Kept | None:
            row = connection.execute(
                "SELECT id, endpoint, stored, head, body, crc FROM answers WHERE id = ?", (id,)
            ).fetchone()
            if row is None:
                return None
            kept = Kept(*row[:5])
            if kept.crc() != row[5]:
                raise sqlite3.DatabaseError("a stored answer is not what was stored")
            return kept

        return await self._do(read, None)

    async def put(self, kept: Kept) -> None:
        """Keep an answer in the place of the one with the same key."""
        row = (kept.id, kept.endpoint, kept.stored, kept.head, kept.body, kept.crc())
        await self._write("INSERT OR REPLACE INTO answers VALUES (?,?,?,?,?,?)", [row])
        self._puts += 1
        if self._puts % 500 == 0:
            await self._do(self._make_room, None)

    async def set_head(self, id: bytes, stored: float, change: Callable[[bytes], bytes]) -> None:
        """Change the head of an answer that the server confirmed."""
        kept = await self.get(id)
        if kept is not None:
            await self.put(Kept(id, kept.endpoint, stored, change(kept.head), kept.body))

    async def remove(self, id: bytes) -> None:
        """Forget one answer."""
        await self._write("DELETE FROM answers WHERE id = ?", [(id,)])

    async def expire(self, endpoints: frozenset[str]) -> None:
        """Forget the answers of endpoints that were written to."""
        await self._write("DELETE FROM answers WHERE endpoint = ?", [(endpoint,) for endpoint in endpoints])

    async def clear(self) -> None:
        """Forget all answers."""
        await self._write("DELETE FROM answers", [()])

    async def close(self) -> None:
        """Close the file; later questions find nothing and keep nothing."""
        with anyio.CancelScope(shield=True):
            async with self._lock:
                self._closed = True
                connection, self._connection = self._connection, None
                if connection is not None:
                    await anyio.to_thread.run_sync(connection.close)

    # -- how it is done

    async def _write(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        def write(connection: sqlite3.Connection) -> None:
            connection.executemany(statement, rows)

        await self._do(write, None)

    async def _do(self, operation: Operation[T], default: T) -> T:
        waiting = _Waiting(operation, default)
        self._queue.append(waiting)
        async with self._lock:
            if not waiting.done:
                batch, self._queue = self._queue, []
                if not self._closed:
                    await anyio.to_thread.run_sync(self._work, batch)
                for item in batch:
                    item.done = True
        return waiting.result  # type: ignore[no-any-return]

    def _work(self, batch: list[_Waiting]) -> None:
        """Run a batch in one transaction; in a thread."""
        try:
            self._run(batch)
        except sqlite3.OperationalError as error:  # locked, full, read-only: not now
            log.info("REST cache: %s: %s", self.path, error)
            self._roll_back()
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:
            log.info("REST cache: %s is damaged (%s) and is set aside", self.path, error)
            self._set_aside()
        except OSError as error:
            log.info("REST cache: %s cannot be used (%s): answers are kept in memory", self.path, error)
            self.path, self._limit = None, MEMORY_LIMIT

    def _run(self, batch: list[_Waiting]) -> None:
        if self._connection is None:
            self._connection = self._open()
        connection = self._connection
        connection.execute("BEGIN")
        for item in batch:
            item.result = item.operation(connection)
        connection.execute("COMMIT")

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):
            if self._connection is not None and self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _open(self) -> sqlite3.Connection:
        if self.path is None:
            return _prepare(sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False))
        _claim(self.path)
        try:
            return _prepare(_connect(self.path))
        except sqlite3.OperationalError as error:
            if not _for_good(error):
                raise
            raise OSError(str(error)) from error
        except sqlite3.DatabaseError as error:
            log.info(
                "REST cache: %s is damaged or of another version (%s) and is set aside", self.path, error
            )
            self._set_aside()
            _claim(self.path)
            return _prepare(_connect(self.path))

    def _set_aside(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()
        if self.path is None:
            return
        with suppress(OSError):
            self.path.replace(self.path.with_suffix(".damaged"))
        for end in ("-wal", "-shm"):
            Path(f"{self.path}{end}").unlink(missing_ok=True)

    def _make_room(self, connection: sqlite3.Connection) -> None:
        (size,) = connection.execute(
            "SELECT (page_count - freelist_count) * page_size"
            " FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()"
        ).fetchone()
        if size > self._limit:
            connection.execute(
                "DELETE FROM answers WHERE stored <= (SELECT stored FROM answers ORDER BY stored"
                " LIMIT 1 OFFSET (SELECT count(*) / 2 FROM answers))"
            )


def _for_good(error: sqlite3.OperationalError) -> bool:
    return any(word in str(error) for word in ("unable to open", "readonly", "read-only", "disk I/O"))


def _claim(path: Path) -> None:
    """Make the file, readable by its owner alone, or raise OSError where it cannot be trusted or written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"{path} is not a file")
        if sys.platform != "win32":
            if found.st_uid != os.geteuid():
                raise PermissionError(f"{path} belongs to another user")
            os.fchmod(handle, 0o600)
    finally:
        os.close(handle)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)


def _prepare(connection: sqlite3.Connection) -> sqlite3.Connection:
    try:
        with suppress(sqlite3.OperationalError):  # another process is switching it, or the disk cannot
            connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if version != VERSION and (version or tables):
            raise sqlite3.DatabaseError(f"version {version}, not {VERSION}")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS answers (id BLOB PRIMARY KEY, endpoint TEXT NOT NULL, stored REAL NOT NULL,"
            " head BLOB NOT NULL, body BLOB NOT NULL, crc INTEGER NOT NULL)"
        )
        connection.execute("CREATE INDEX IF NOT EXISTS by_endpoint ON answers (endpoint)")
        connection.execute(f"PRAGMA user_version={VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def head_of(
    url: str, method: str, asked: Mapping[str, list[str]], status: int, said: Mapping[str, list[str]]
) -> bytes:
    """Write down what a request and its response said, beside the body."""
    return json.dumps([url, method, asked, status, said], separators=(",", ":")).encode()
