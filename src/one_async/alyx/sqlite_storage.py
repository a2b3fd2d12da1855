"""hishel's storage in SQLite: the stored responses of one user of one server, and the limits of their number and age."""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
import threading
import time
import zlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit
from uuid import UUID

import anyio
import anyio.to_thread
import hishel

from one_async._observer import LOGS
from one_async.alyx.caching import REQUESTED_AT, endpoint_of
from one_async.alyx.sqlite_connection import open_file, open_in_memory, set_aside, used_bytes, vacuum

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]

log = LOGS["cache"]

#: Maximum number of bytes in memory, and in a file.
MEMORY_LIMIT = 64 * 1024**2
FILE_LIMIT = 1024**3
#: Seconds by which clocks may differ. Responses from further in the future are invalid.
MAX_CLOCK_SKEW = 24 * 3600.0


def cache_file(folder: Path, base_url: str, user_key: str) -> Path:
    """Return the file for the answers of one server to one user; its name reveals neither token nor user."""
    host = urlsplit(base_url).netloc
    safe = "".join(c if c.isalnum() or c in ".-" else "_" for c in host)
    return folder / ".rest" / f"{safe}-{user_key}.sqlite"


class SQLiteStorage(hishel.AsyncBaseStorage):
    """Store the newest response of each key.

    Of a request only the headers that ``Vary`` names are stored, never credentials.
    """

    def __init__(self, store: ResponseStore) -> None:
        super().__init__()
        self.store = store

    async def create_entry(
        self,
        request: hishel.Request,
        response: hishel.Response,
        key: str,
        *,
        ttl: float | None = None,
        tti: float | None = None,
    ) -> hishel.Entry:
        stream = cast("AsyncIterator[bytes]", response.stream)
        body = b"".join([chunk async for chunk in stream])
        vary = {name.strip().lower() for name in response.headers.get("vary", "").split(",")} - {
            "authorization"
        }
        request_headers = {
            name: values for name, values in header_lists(request.headers).items() if name.lower() in vary
        }
        head = head_of(
            request.url, request.method, request_headers, response.status_code, header_lists(response.headers)
        )
        id = bytes.fromhex(key[:32])
        stored = StoredResponse(
            id,
            endpoint_of(request.url),
            float(response.headers.get(REQUESTED_AT, time.time())),
            head,
            body,
        )
        await self.store.put(stored)
        return hishel.Entry(
            id=UUID(bytes=id), request=request, response=replace(response, stream=one_chunk(body))
        )

    async def get_entries(self, key: str) -> list[hishel.Entry]:
        id = bytes.fromhex(key[:32])
        stored = await self.store.get(id)
        if stored is None:
            return []
        try:
            url, method, request_headers, status, response_headers = read_head(stored.head)
            if key_of(url) != id:
                raise ValueError("the response of another address")
        except (ValueError, TypeError, RecursionError):
            await self.store.remove(id)
            return []
        request = hishel.Request(method=method, url=url, headers=hishel.Headers(request_headers))
        response = hishel.Response(status, hishel.Headers(response_headers), one_chunk(stored.body))
        return [hishel.Entry(id=UUID(bytes=stored.id), request=request, response=response)]

    async def update_headers(self, id: UUID, headers: hishel.Headers) -> None:
        def change(head: bytes) -> bytes:
            url, method, request_headers, status, _ = read_head(head)
            return head_of(url, method, request_headers, status, header_lists(headers))

        try:
            await self.store.set_head(id.bytes, float(headers.get(REQUESTED_AT, time.time())), change)
        except (ValueError, TypeError, RecursionError):
            await self.store.remove(id.bytes)

    async def remove_entry(self, id: UUID) -> None:
        await self.store.remove(id.bytes)

    async def expire(self, endpoints: frozenset[str]) -> None:
        """Delete the responses of endpoints that were written to."""
        await self.store.expire(endpoints)

    async def clear(self) -> None:
        """Delete all responses."""
        await self.store.clear()

    async def close(self) -> None:
        await self.store.close()


def key_of(url: str) -> bytes:
    """Return hishel's key for the response of an address."""
    return hashlib.sha256(f"RFC {url}".encode()).digest()[:16]


def read_head(head: bytes) -> tuple[str, str, dict[str, list[str]], int, dict[str, list[str]]]:
    """Parse the result of `head_of`. Raises ValueError or TypeError for anything else."""
    url, method, request_headers, status, response_headers = json.loads(head)
    if not isinstance(url, str) or method != "GET" or status != 200:
        raise ValueError("not a stored response")
    for fields in (request_headers, response_headers):
        for name, values in fields.items() if isinstance(fields, dict) else [(None, None)]:
            if not isinstance(name, str) or not isinstance(values, list):
                raise TypeError("invalid header fields")
            if not all(isinstance(value, str) and value.isprintable() for value in (name, *values)):
                raise ValueError("invalid header fields")
    requested = float(response_headers[REQUESTED_AT][0]) if response_headers.get(REQUESTED_AT) else math.nan
    if not 0 <= requested <= time.time() + MAX_CLOCK_SKEW:
        raise ValueError("invalid time of storage")
    return url, method, request_headers, status, response_headers


def header_lists(headers: hishel.Headers) -> dict[str, list[str]]:
    """Return all values of each header."""
    return {name: headers.get_list(name) or [] for name in headers}


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


async def one_chunk(body: bytes) -> AsyncIterator[bytes]:
    """Yield a body in one piece."""
    yield body


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
        await self._submit(vacuum, None)

    async def close(self) -> None:
        """Finish the operations of cancelled tasks and close the file. Later operations find and store nothing."""
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.close_blocking)

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
            self._connection.text_factory = lambda text: text.decode(errors="replace")
            self._grown = math.inf
        connection = self._connection
        connection.execute("BEGIN")
        if self._missed_delete:  # what to delete is no longer known
            connection.execute("DELETE FROM answers")
        for job in batch:
            if job.operation is not vacuum:
                job.result = job.operation(connection)
        deleted = self._grown > self._limit / 16 and self._delete_old(connection)
        connection.execute("COMMIT")
        self._missed_delete = False
        if deleted or any(job.operation is vacuum for job in batch):
            vacuum(connection, full=not deleted)

    def close_blocking(self) -> None:
        """Close the file without an event loop."""
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
            return open_in_memory()
        try:
            return open_file(self.path)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            log.warning("%s is damaged or of another version (%s) and is renamed", self.path, error)
            self._quarantine()
            return open_file(self.path)

    def _quarantine(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()
        if self.path is not None:
            set_aside(self.path)

    def _delete_old(self, connection: sqlite3.Connection) -> bool:
        """Delete expired responses, and the oldest while the file exceeds its limit. Return whether any were deleted."""
        self._grown = 0
        now = time.time()
        oldest, newest = max(now - self._retention(), 0.0), now + MAX_CLOCK_SKEW
        deleted = connection.execute(
            "DELETE FROM answers WHERE stored < ? OR stored > ?", (oldest, newest)
        ).rowcount
        while used_bytes(connection) > self._limit:
            older_half = connection.execute(
                "DELETE FROM answers WHERE stored <= (SELECT stored FROM answers ORDER BY stored"
                " LIMIT 1 OFFSET (SELECT count(*) / 2 FROM answers))"
            ).rowcount
            deleted += older_half
            if older_half <= 0:
                break
        return deleted > 0


def _is_whole(stored: StoredResponse, crc: object) -> bool:
    """Return whether a row is intact: another program may have changed it."""
    valid_types = (
        isinstance(stored.head, bytes) and isinstance(stored.body, bytes) and isinstance(stored.endpoint, str)
    )
    return valid_types and isinstance(stored.stored, float) and stored.crc() == crc
