"""One download in pieces: request the missing bytes, classify the answer, stream the body to disk.

RFC 9110, sections 14 and 15.3.7, defines the answers to a range request.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from dataclasses import dataclass, field
from typing import Literal

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from one_async._concurrency import task_group
from one_async._parse_retry_after import retry_after
from one_async.errors import (
    AnswerError,
    LoginError,
    NotFound,
    ServerError,
    ServerUnreachable,
    StatusError,
    Throttled,
    TransferError,
)
from one_async.transfer.items import FileSource
from one_async.transfer.part_file import PartFile
from one_async.types import ByteStream, StreamOpener

__all__ = [
    "CONTENT_RANGE",
    "Credentials",
    "Opener",
    "closing",
    "judge",
    "lower_names",
    "over_http",
    "receive",
    "whole_number",
]

#: Starts a request for a file from an offset on.
Opener = Callable[[int], AbstractAsyncContextManager[ByteStream]]

#: The size of a write, and the most bytes that are buffered during a write.
_BATCH = 2 * 1024 * 1024
_MAX_BUFFERED = 2 * _BATCH
#: Bytes written between two flushes to the disk, which run while more are received.
_SYNC_INTERVAL = 64 * 1024 * 1024
#: Seconds that received bytes may stay in memory, where a crash would lose them.
_MAX_BUFFERED_TIME = 0.02
#: A number that fits 64 bits; the fields of HTTP have only ASCII digits.
_WHOLE = re.compile(r"[0-9]{1,18}")
CONTENT_RANGE = re.compile(r"bytes\s+(?:([0-9]{1,18})-([0-9]{1,18})|\*)/([0-9]{1,18}|\*)\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Credentials:
    """The data server's login and password. They are never shown and never pickled."""

    data: tuple[str, str] | None = field(default=None, repr=False)

    def __reduce__(self) -> tuple[object, ...]:
        return (Credentials, ())


def over_http(streams: StreamOpener, source: FileSource, credentials: Credentials) -> Opener:
    """Return the opener for an HTTP source, which sends the data server's credentials to that server only."""

    def open_at(offset: int) -> AbstractAsyncContextManager[ByteStream]:
        # Ranges and lengths count encoded bytes, so the body must not be encoded.
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        return streams.open(
            source.url, headers=headers, auth=credentials.data if source.auth == "data" else None
        )

    return open_at


async def receive(open_at: Opener, part: PartFile, *, stall: float, advance: Callable[[int], None]) -> None:
    """Request the bytes that a part lacks, and add them to it.

    Returns at the end of the body; the bytes are not verified, and the last of them may still be in
    ``part.pending``. Raises ServerUnreachable if the body ends early or no byte arrives for ``stall`` seconds,
    and NotFound, LoginError, Throttled or StatusError, with a ``retry_after`` attribute if the server sent one.
    """
    with anyio.CancelScope(deadline=anyio.current_time() + stall) as scope:
        try:
            if not await _request(open_at, part, scope, stall, advance):
                advance(-part.size)
                await anyio.to_thread.run_sync(part.start_over)
                await _request(open_at, part, scope, stall, advance)
        except BaseException:
            if part.pending:
                # The next attempt continues from these bytes. If they cannot be written, it raises the error.
                with contextlib.suppress(TransferError, OSError):
                    await flush(part)
            raise
    if scope.cancelled_caught:
        raise ServerUnreachable(f"no bytes arrived for {stall:g} s, after {part.size} bytes")


async def _request(
    open_at: Opener, part: PartFile, scope: anyio.CancelScope, stall: float, advance: Callable[[int], None]
) -> bool:
    """Make one request; return False if the server cannot continue where the part ends."""
    async with open_at(part.size) as stream:
        verdict = judge(stream, part.size)
        if verdict == "restart":
            return False
        if verdict == "whole" and part.size:
            advance(-part.size)
            await anyio.to_thread.run_sync(part.start_over)
        if verdict != "complete":
            start = part.size
            part.check_size(stream.url, start + (_content_length(stream) or 0))
            await _write_body(stream, part, scope, stall, advance)
            _check_length(stream, part.total - start, part.total)
    return True


def judge(stream: ByteStream, offset: int) -> Literal["whole", "rest", "complete", "restart"]:
    """Return what an answer means for a file of which ``offset`` bytes are on disk.

    ``whole``: the body is the whole file. ``rest``: the body continues at the offset. ``complete``: nothing
    follows the offset. ``restart``: the file must be requested from the start. Raises for every other status.
    """
    status, fields = stream.status, lower_names(stream.headers)
    content_range = CONTENT_RANGE.match(fields.get("content-range", ""))
    if status == 200:
        return "whole"
    if status == 206:
        start = content_range[1] if content_range else None
        if start and int(start) == offset and "content-encoding" not in fields:
            return "rest"
        if offset:
            return "restart"
    if status == 416 and offset:
        return "complete" if content_range and content_range[3] in ("*", str(offset)) else "restart"
    raise _status_error(stream.url, status, fields)


def _status_error(url: str, status: int, fields: Mapping[str, str]) -> ServerError:
    wait = retry_after(fields.get("retry-after"))
    if status in (401, 403):
        return LoginError(
            f"{url} answered {status}: the data server refuses these credentials", url=url, status=status
        )
    if status == 404:
        return NotFound(f"{url} answered 404: there is no such file", url=url, status=status)
    if status < 400:
        return AnswerError(f"{url} answered {status}, which does not answer this request", url=url)
    kind = Throttled if status == 429 else StatusError
    return kind(f"{url} answered {status}", url=url, status=status, retry_after=wait)


async def _write_body(
    stream: ByteStream, part: PartFile, scope: anyio.CancelScope, stall: float, advance: Callable[[int], None]
) -> None:
    """Add a body to a part: while a thread writes one batch, the next one is received.

    The last bytes stay in ``part.pending``, so that a small file needs only one trip to a thread.
    """
    async with task_group() as tasks, closing(stream.chunks()) as chunks:
        writer = _Writer(part, tasks)
        async for chunk in chunks:
            now = anyio.current_time()
            if scope.deadline - now < stall * 0.9:  # each change costs the event loop a timer
                scope.deadline = now + stall
            part.add(chunk)
            advance(len(chunk))
            if part.total > part.max_size:
                part.check_size(stream.url, part.total)
            if part.buffered >= _MAX_BUFFERED and writer.busy:
                await writer.idle.wait()
                scope.deadline = anyio.current_time() + stall
            if not writer.busy and (part.buffered >= _BATCH or now - writer.last > _MAX_BUFFERED_TIME):
                writer.start(now)


class _Writer:
    """Writes a part's batches to the disk, one after the other. A failed write cancels the task group."""

    def __init__(self, part: PartFile, tasks: TaskGroup) -> None:
        self._part, self._tasks = part, tasks
        self.busy = self._syncing = False
        self.last = anyio.current_time()
        self.idle = anyio.Event()

    def start(self, now: float) -> None:
        self.busy, self.last, self.idle = True, now, anyio.Event()
        self._tasks.start_soon(self._write)
        if self._part.size - self._part.synced >= _SYNC_INTERVAL and not self._syncing:
            self._syncing = True
            self._tasks.start_soon(self._sync)

    async def _write(self) -> None:
        try:
            await flush(self._part)
        finally:
            self.busy = False
            self.idle.set()

    async def _sync(self) -> None:
        try:
            await anyio.to_thread.run_sync(self._part.sync)
        finally:
            self._syncing = False


async def flush(part: PartFile) -> None:
    """Write and hash the buffered bytes at the same time, since each takes about as long as the other."""
    failure: Exception | None = None
    with anyio.CancelScope(shield=True):
        chunks = part.take()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, part.digest, chunks)
            try:
                await anyio.to_thread.run_sync(part.write, chunks)
            except Exception as error:  # raised after the task group, so that the hash is not cancelled
                failure = error
    if failure:
        raise failure


def closing(chunks: AsyncIterator[bytes]) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
    """Return a context that closes a generator at its end, not whenever it is garbage-collected."""
    return aclosing(chunks) if isinstance(chunks, AsyncGenerator) else nullcontext(chunks)


def whole_number(text: str | None) -> int | None:
    """Parse the number in a field such as Content-Length; return None for anything else."""
    return int(text) if text is not None and _WHOLE.fullmatch(text.strip()) else None


def _content_length(stream: ByteStream) -> int | None:
    """Return the length of a body; None if it is not given or is that of an encoded body."""
    fields = lower_names(stream.headers)
    return None if "content-encoding" in fields else whole_number(fields.get("content-length"))


def _check_length(stream: ByteStream, received: int, total: int) -> None:
    """Raise ServerUnreachable for a body that ended early although the connection did not break."""
    fields = lower_names(stream.headers)
    content_range = CONTENT_RANGE.match(fields.get("content-range", "")) if stream.status == 206 else None
    expected = _content_length(stream)
    if content_range and content_range[3] != "*" and total < int(content_range[3]):
        raise ServerUnreachable(f"{stream.url} sent {total} of {content_range[3]} bytes", url=stream.url)
    if expected is not None and received < expected:
        raise ServerUnreachable(f"{stream.url} sent {received} of {expected} bytes", url=stream.url)


def lower_names(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
