"""Where answers are kept: one SQLite file for each user of each server. No HTTP here."""

from __future__ import annotations

import json
import logging
import math
import os
import sqlite3
import stat
import sys
import threading
import time
import zlib
from collections import deque
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
#: Bytes that SQLite's log may keep when it is empty.
_JOURNAL = 4 * 1024**2
#: Seconds by which clocks may differ: an answer from later than that was not stored by this program.
CLOCKS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A stored answer: the head is JSON (what the request and the response said), the body bytes."""

    id: bytes
    endpoint: str
    stored: float
    head: bytes
    body: bytes

    def crc(self) -> int:
        return zlib.crc32(self.body, zlib.crc32(self.head))


class _Waiting:
    """An operation that a task asked for; ``forgets`` marks those that must not be lost when the file is busy."""

    __slots__ = ("done", "forgets", "operation", "result")

    def __init__(self, operation: Operation[Any], result: Any, forgets: bool) -> None:
        self.operation, self.result, self.forgets, self.done = operation, result, forgets, False


class ResponseStore:
    """Answers in one SQLite file (or in memory), for one event loop; its failures are never the caller's.

    Whatever tasks ask for while a batch is being worked on goes into the next one: one thread hop and one
    transaction for many answers. A damaged row is no answer; a damaged file, or one of another version, is set
    aside under another name. Answers older than ``keep`` says (in seconds), and the oldest ones of a file that
    has grown too large, are removed when the file is opened and as it grows.
    """

    def __init__(self, path: Path | None, keep: Callable[[], float] = lambda: math.inf) -> None:
        self.path = path
        self._keep = keep
        self._limit = MEMORY_LIMIT if path is None else FILE_LIMIT
        self._connection: sqlite3.Connection | None = None
        # The thread takes the batch itself: a task that is cancelled on its way to a thread has taken nothing.
        self._queue: deque[_Waiting] = deque()
        self._lock = anyio.Lock()
        # Native cancellation of asyncio frees the task's lock while its thread is still at work.
        self._working = threading.Lock()
        self._grown = math.inf  # bytes put since room was last made
        self._owing = False  # something was to be forgotten while the file was busy
        self._closed = False

    # -- what the cache asks for

    async def get(self, id: bytes) -> StoredResponse | None:
        """Return the answer with this key, or None."""

        def read(connection: sqlite3.Connection) -> StoredResponse | None:
            row = connection.execute(
                "SELECT id, endpoint, stored, head, body, crc FROM answers WHERE id = ? AND length(body) <= ?",
                (id, self._largest),
            ).fetchone()
            if row is None:
                return None
            kept = StoredResponse(*row[:5])
            if not _is_whole(kept, row[5]):
                connection.execute("DELETE FROM answers WHERE id = ?", (id,))
                return None
            return kept

        return await self._do(read, None)

    async def put(self, kept: StoredResponse) -> None:
        """Keep an answer in the place of the one with the same key, unless it is too large."""
        row = (kept.id, kept.endpoint, kept.stored, kept.head, kept.body, kept.crc())
        size = len(kept.head) + len(kept.body)
        if size > self._largest:
            await self.remove(kept.id)
            return

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO answers VALUES (?,?,?,?,?,?)", row)
            self._grown += size

        await self._do(write, None)

    async def set_head(self, id: bytes, stored: float, change: Callable[[bytes], bytes]) -> None:
        """Change the head of an answer that the server confirmed."""
        kept = await self.get(id)
        if kept is not None:
            await self.put(StoredResponse(id, kept.endpoint, stored, change(kept.head), kept.body))

    async def remove(self, id: bytes) -> None:
        """Forget one answer."""
        await self._forget("DELETE FROM answers WHERE id = ?", [(id,)])

    async def expire(self, endpoints: frozenset[str]) -> None:
        """Forget the answers of endpoints that were written to."""
        await self._forget("DELETE FROM answers WHERE endpoint = ?", [(endpoint,) for endpoint in endpoints])

    async def clear(self) -> None:
        """Forget all answers, and free their space."""
        await self._forget("DELETE FROM answers", [()])
        await self._do(_shrink, None)

    async def close(self) -> None:
        """Do what cancelled tasks left to be done, and close the file; later questions find and keep nothing."""
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._end)

    # -- how it is done

    @property
    def _largest(self) -> int:
        return self._limit // 8

    async def _forget(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        def write(connection: sqlite3.Connection) -> None:
            connection.executemany(statement, rows)

        await self._do(write, None, forgets=True)

    async def _do(self, operation: Operation[T], default: T, *, forgets: bool = False) -> T:
        waiting = _Waiting(operation, default, forgets)
        self._queue.append(waiting)
        async with self._lock:
            if not waiting.done:
                await anyio.to_thread.run_sync(self._work)
        return waiting.result  # type: ignore[no-any-return]

    def _work(self) -> None:
        """Run what waits in one transaction; in a thread."""
        with self._working:
            batch: list[_Waiting] = []
            while self._queue:
                batch.append(self._queue.popleft())
            try:
                if batch and not self._closed:
                    self._try(batch)
            finally:
                for item in batch:
                    item.done = True

    def _try(self, batch: list[_Waiting]) -> None:
        try:
            self._run(batch)
        except sqlite3.OperationalError as error:  # locked, full, read-only: not now
            log.info("REST cache: %s: %s", self.path, error)
            self._roll_back()
            self._owing |= any(item.forgets for item in batch)
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:
            log.info("REST cache: %s is damaged (%s) and is set aside", self.path, error)
            self._set_aside()
        except OSError as error:
            log.info("REST cache: %s cannot be used (%s): answers are kept in memory", self.path, error)
            self.path, self._limit = None, MEMORY_LIMIT

    def _run(self, batch: list[_Waiting]) -> None:
        if self._connection is None:
            self._connection = self._open()
            self._grown = math.inf
        connection = self._connection
        connection.execute("BEGIN")
        if self._owing:  # what it was is no longer known
            connection.execute("DELETE FROM answers")
        for item in batch:
            if item.operation is not _shrink:
                item.result = item.operation(connection)
        room = self._grown > self._limit / 16 and self._make_room(connection)
        connection.execute("COMMIT")
        self._owing = False
        if room or any(item.operation is _shrink for item in batch):
            _shrink(connection, whole=not room)

    def _end(self) -> None:
        self._work()
        with self._working:
            self._closed = True
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

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

    def _make_room(self, connection: sqlite3.Connection) -> bool:
        """Remove what has expired, and the oldest answers while there is more than the limit; tell whether any went."""
        self._grown = 0
        now = time.time()
        oldest, newest = max(now - self._keep(), 0.0), now + CLOCKS
        gone = connection.execute(
            "DELETE FROM answers WHERE stored < ? OR stored > ?", (oldest, newest)
        ).rowcount
        while _used(connection) > self._limit:
            half = connection.execute(
                "DELETE FROM answers WHERE stored <= (SELECT stored FROM answers ORDER BY stored"
                " LIMIT 1 OFFSET (SELECT count(*) / 2 FROM answers))"
            ).rowcount
            gone += half
            if half <= 0:
                break
        return gone > 0


def _used(connection: sqlite3.Connection) -> int:
    """Return how many bytes of the file are in use."""
    (size,) = connection.execute(
        "SELECT (page_count - freelist_count) * page_size"
        " FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()"
    ).fetchone()
    return int(size)


def _shrink(connection: sqlite3.Connection, whole: bool = True) -> None:
    """Return freed space back to the disk; outside of a transaction. ``whole`` writes the file anew."""
    with suppress(sqlite3.OperationalError):  # another process is reading: later
        if whole:
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # of files that were made without it
            connection.execute("VACUUM")
        else:
            connection.executescript("PRAGMA incremental_vacuum")  # `execute` would stop after one page
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _is_whole(kept: StoredResponse, crc: object) -> bool:
    """Return whether a row is what was stored; another program may have written anything."""
    kinds = isinstance(kept.head, bytes) and isinstance(kept.body, bytes) and isinstance(kept.endpoint, str)
    return kinds and isinstance(kept.stored, float) and kept.crc() == crc


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
    connection.text_factory = lambda text: text.decode(errors="replace")
    try:
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # counts for a new file, before anything else
        with suppress(sqlite3.OperationalError):  # another process is switching it, or the disk cannot
            connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA journal_size_limit={_JOURNAL}")
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
        connection.execute("CREATE INDEX IF NOT EXISTS by_stored ON answers (stored)")
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
