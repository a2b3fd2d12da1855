"""Store responses in SQLite: one file for each user of each server. No HTTP here."""

from __future__ import annotations

import json
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

from one_async._observer import LOGS

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]

log = LOGS["cache"]

VERSION = 1
MEMORY_LIMIT = 64 * 1024**2
FILE_LIMIT = 1024**3
#: Maximum size of SQLite's empty write-ahead log.
_JOURNAL = 4 * 1024**2
#: Seconds by which clocks may differ. Responses from further in the future are invalid.
MAX_CLOCK_SKEW = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A stored response: the head is JSON (address, status, headers), the body bytes."""

    id: bytes
    endpoint: str
    stored: float
    head: bytes
    body: bytes

    def crc(self) -> int:
        """Return the checksum of head and body."""
        return zlib.crc32(self.body, zlib.crc32(self.head))


class _Job:
    """A queued operation. ``deletes`` marks those that must not be lost when the file is busy."""

    __slots__ = ("deletes", "done", "operation", "result")

    def __init__(self, operation: Operation[Any], result: Any, deletes: bool) -> None:
        self.operation, self.result, self.deletes, self.done = operation, result, deletes, False


class ResponseStore:
    """Responses in one SQLite file (or in memory), for one event loop. Its failures never reach the caller.

    Operations that are requested while a batch runs form the next batch: one thread hop and one transaction for many
    responses. A damaged row counts as missing. A damaged file, or one of another version, is renamed. Responses older
    than ``retention`` (in seconds), and the oldest ones of a file that is too large, are deleted when the file is opened
    and as it grows.
    """

    def __init__(self, path: Path | None, retention: Callable[[], float] = lambda: math.inf) -> None:
        self.path = path
        self._retention = retention
        self._limit = MEMORY_LIMIT if path is None else FILE_LIMIT
        self._connection: sqlite3.Connection | None = None
        # The thread takes the batch itself, so that a task cancelled before its thread starts has taken nothing.
        self._queue: deque[_Job] = deque()
        self._lock = anyio.Lock()
        # Native cancellation of asyncio releases the task's lock while its thread is still running.
        self._thread_lock = threading.Lock()
        self._grown = math.inf  # bytes written since the size was last checked
        self._missed_delete = False  # a deletion failed because the file was busy
        self._closed = False

    # -- operations

    async def get(self, id: bytes) -> StoredResponse | None:
        """Return the response with this key, or None."""

        def read(connection: sqlite3.Connection) -> StoredResponse | None:
            row = connection.execute(
                "SELECT id, endpoint, stored, head, body, crc FROM answers WHERE id = ? AND length(body) <= ?",
                (id, self._largest),
            ).fetchone()
            if row is None:
                return None
            stored = StoredResponse(*row[:5])
            if not _is_whole(stored, row[5]):
                connection.execute("DELETE FROM answers WHERE id = ?", (id,))
                return None
            return stored

        return await self._submit(read, None)

    async def put(self, stored: StoredResponse) -> None:
        """Store a response and replace the one with the same key. One that is too large is not stored."""
        row = (stored.id, stored.endpoint, stored.stored, stored.head, stored.body, stored.crc())
        size = len(stored.head) + len(stored.body)
        if size > self._largest:
            await self.remove(stored.id)
            return

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO answers VALUES (?,?,?,?,?,?)", row)
            self._grown += size

        await self._submit(write, None)

    async def set_head(self, id: bytes, stored: float, change: Callable[[bytes], bytes]) -> None:
        """Change the head of a response that the server confirmed as current."""
        previous = await self.get(id)
        if previous is not None:
            await self.put(
                StoredResponse(id, previous.endpoint, stored, change(previous.head), previous.body)
            )

    async def remove(self, id: bytes) -> None:
        """Delete one response."""
        await self._delete("DELETE FROM answers WHERE id = ?", [(id,)])

    async def expire(self, endpoints: frozenset[str]) -> None:
        """Delete the responses of endpoints that were written to."""
        await self._delete("DELETE FROM answers WHERE endpoint = ?", [(endpoint,) for endpoint in endpoints])

    async def clear(self) -> None:
        """Delete all responses and free their space."""
        await self._delete("DELETE FROM answers", [()])
        await self._submit(_vacuum, None)

    async def close(self) -> None:
        """Finish the operations of cancelled tasks and close the file. Later operations find and store nothing."""
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._close)

    # -- batches

    @property
    def _largest(self) -> int:
        return self._limit // 8

    async def _delete(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        def write(connection: sqlite3.Connection) -> None:
            connection.executemany(statement, rows)

        await self._submit(write, None, deletes=True)

    async def _submit(self, operation: Operation[T], default: T, *, deletes: bool = False) -> T:
        job = _Job(operation, default, deletes)
        self._queue.append(job)
        async with self._lock:
            if not job.done:
                await anyio.to_thread.run_sync(self._run_queue)
        return job.result  # type: ignore[no-any-return]

    def _run_queue(self) -> None:
        """Run all queued operations in one transaction; in a thread."""
        with self._thread_lock:
            batch: list[_Job] = []
            while self._queue:
                batch.append(self._queue.popleft())
            try:
                if batch and not self._closed:
                    self._run_safely(batch)
            finally:
                for job in batch:
                    job.done = True

    def _run_safely(self, batch: list[_Job]) -> None:
        try:
            self._run(batch)
        except sqlite3.OperationalError as error:  # locked, full or read-only
            log.warning("%s is not used for now: %s", self.path, error)
            self._roll_back()
            self._missed_delete |= any(job.deletes for job in batch)
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:
            log.warning("%s is damaged (%s) and is renamed", self.path, error)
            self._quarantine()
        except OSError as error:
            log.warning("%s cannot be used (%s): answers are stored in memory", self.path, error)
            self.path, self._limit = None, MEMORY_LIMIT

    def _run(self, batch: list[_Job]) -> None:
        if self._connection is None:
            self._connection = self._open()
            self._grown = math.inf
        connection = self._connection
        connection.execute("BEGIN")
        if self._missed_delete:  # what to delete is no longer known
            connection.execute("DELETE FROM answers")
        for job in batch:
            if job.operation is not _vacuum:
                job.result = job.operation(connection)
        deleted = self._grown > self._limit / 16 and self._delete_old(connection)
        connection.execute("COMMIT")
        self._missed_delete = False
        if deleted or any(job.operation is _vacuum for job in batch):
            _vacuum(connection, full=not deleted)

    def _close(self) -> None:
        self._run_queue()
        with self._thread_lock:
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
        _create_private(self.path)
        try:
            return _prepare(_connect(self.path))
        except sqlite3.OperationalError as error:
            if not _is_permanent(error):
                raise
            raise OSError(str(error)) from error
        except sqlite3.DatabaseError as error:
            log.warning("%s is damaged or of another version (%s) and is renamed", self.path, error)
            self._quarantine()
            _create_private(self.path)
            return _prepare(_connect(self.path))

    def _quarantine(self) -> None:
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

    def _delete_old(self, connection: sqlite3.Connection) -> bool:
        """Delete expired responses, and the oldest while the file exceeds its limit. Return whether any were deleted."""
        self._grown = 0
        now = time.time()
        oldest, newest = max(now - self._retention(), 0.0), now + MAX_CLOCK_SKEW
        deleted = connection.execute(
            "DELETE FROM answers WHERE stored < ? OR stored > ?", (oldest, newest)
        ).rowcount
        while _used_bytes(connection) > self._limit:
            older_half = connection.execute(
                "DELETE FROM answers WHERE stored <= (SELECT stored FROM answers ORDER BY stored"
                " LIMIT 1 OFFSET (SELECT count(*) / 2 FROM answers))"
            ).rowcount
            deleted += older_half
            if older_half <= 0:
                break
        return deleted > 0


def _used_bytes(connection: sqlite3.Connection) -> int:
    """Return the number of bytes of the file that are in use."""
    (size,) = connection.execute(
        "SELECT (page_count - freelist_count) * page_size"
        " FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()"
    ).fetchone()
    return int(size)


def _vacuum(connection: sqlite3.Connection, full: bool = True) -> None:
    """Return free space to the disk, outside of a transaction. ``full`` rewrites the whole file."""
    with suppress(sqlite3.OperationalError):  # another process is reading
        if full:
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # for files that were created without it
            connection.execute("VACUUM")
        else:
            connection.executescript("PRAGMA incremental_vacuum")  # `execute` would stop after one page
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _is_whole(stored: StoredResponse, crc: object) -> bool:
    """Return whether a row is intact: another program may have changed it."""
    valid_types = (
        isinstance(stored.head, bytes) and isinstance(stored.body, bytes) and isinstance(stored.endpoint, str)
    )
    return valid_types and isinstance(stored.stored, float) and stored.crc() == crc


def _is_permanent(error: sqlite3.OperationalError) -> bool:
    return any(word in str(error) for word in ("unable to open", "readonly", "read-only", "disk I/O"))


def _create_private(path: Path) -> None:
    """Create the file with mode 0600. Raises OSError if it is not writable, not a file, or another user's."""
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
        connection.execute(
            "PRAGMA auto_vacuum=INCREMENTAL"
        )  # only effective in a new file, as the first statement
        with suppress(sqlite3.OperationalError):  # another process changes it, or the file system cannot
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
    url: str,
    method: str,
    request_headers: Mapping[str, list[str]],
    status: int,
    response_headers: Mapping[str, list[str]],
) -> bytes:
    """Return the head of a stored response as JSON."""
    return json.dumps(
        [url, method, request_headers, status, response_headers], separators=(",", ":")
    ).encode()
