"""One file over HTTP: ask for what is missing, judge the answer, let the bytes run to disk.

What the answers to a range request mean is RFC 9110, sections 14 and 15.3.7.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from dataclasses import dataclass, field
from typing import Literal

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from one_async._headers import retry_after, whole_number
from one_async.errors import (
    AnswerError,
    HashMismatch,
    LoginError,
    NotFound,
    ServerError,
    ServerUnreachable,
    StatusError,
    Throttled,
    TransferError,
)
from one_async.types import ByteStream, Wire

from .parts import Part
from .plan import Source

__all__ = ["Credentials", "Opener", "judge", "over_http", "receive"]

#: Starts a request for a file from an offset on.
Opener = Callable[[int], AbstractAsyncContextManager[ByteStream]]

_BATCH = 2 * 1024 * 1024
_MOST = 2 * _BATCH
#: After so many bytes the disk is asked to take them, while more come.
_SYNC = 64 * 1024 * 1024
#: Seconds that what came may stay in memory, and be lost by a crash.
_PATIENCE = 0.02
_RANGE = re.compile(r"bytes\s+(?:([0-9]{1,18})-([0-9]{1,18})|\*)/([0-9]{1,18}|\*)\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Credentials:
    """Who may see what: the data server's name and password, the database server's headers; never shown."""

    data: tuple[str, str] | None = field(default=None, repr=False)
    server: Mapping[str, str] | None = field(default=None, repr=False)

    def __reduce__(self) -> tuple[object, ...]:
        return (Credentials, ())  # and never pickled


def over_http(wire: Wire, source: Source, credentials: Credentials) -> Opener:
    """Give the opener for an HTTP source, with the credentials that belong to its server and no others."""

    def open_at(offset: int) -> AbstractAsyncContextManager[ByteStream]:
        # Ranges and lengths count the bytes as sent, so they must be sent as they are stored.
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        if source.auth == "server" and credentials.server:
            headers.update(credentials.server)
        return wire.open(
            source.url, headers=headers, auth=credentials.data if source.auth == "data" else None
        )

    return open_at


async def receive(open_at: Opener, part: Part, *, stall: float, advance: Callable[[int], None]) -> None:
    """Make one request for what a part lacks, and add what comes.

    Returns when the server says that nothing more is to come; whether the bytes are right is not known then.
    The last of them may still be in ``part.pending``. Raises ServerUnreachable when the body ends early or no
    byte comes for ``stall`` seconds, NotFound, LoginError, Throttled and StatusError; with a ``retry_after``
    attribute where the server said so.
    """
    with anyio.CancelScope(deadline=anyio.current_time() + stall) as scope:
        try:
            if not await _request(open_at, part, scope, stall, advance):
                advance(-part.size)
                await anyio.to_thread.run_sync(part.start_over)
                await _request(open_at, part, scope, stall, advance)
        except BaseException:
            if part.pending:
                # What came is kept for the next attempt; if the disk refuses it, that attempt will say so.
                with contextlib.suppress(TransferError):
                    await _flush(part)
            raise
    if scope.cancelled_caught:
        raise ServerUnreachable(f"no bytes came for {stall:g} s, after {part.size} bytes")


async def _request(
    open_at: Opener, part: Part, scope: anyio.CancelScope, stall: float, advance: Callable[[int], None]
) -> bool:
    """Make one request; False if the server cannot go on where the part ends."""
    async with open_at(part.size) as stream:
        verdict = judge(stream, part.size)
        if verdict == "restart":
            return False
        if verdict == "whole" and part.size:
            advance(-part.size)
            await anyio.to_thread.run_sync(part.start_over)
        if verdict != "complete":
            start = part.size
            _check_bound(stream.url, part, start + (_announced(stream) or 0))
            await _pour(stream, part, scope, stall, advance)
            _check_length(stream, part.total - start, part.total)
    return True


def judge(stream: ByteStream, offset: int) -> Literal["whole", "rest", "complete", "restart"]:
    """Say what an answer means for a file of which ``offset`` bytes are here.

    ``whole``: its body is the file from the start. ``rest``: its body goes on from the offset. ``complete``:
    there is nothing after the offset. ``restart``: the file must be asked for from the start. Raises for
    every other status.
    """
    status, fields = stream.status, _lower(stream.headers)
    said = _RANGE.match(fields.get("content-range", ""))
    if status == 200:
        return "whole"
    if status == 206:
        if said and said[1] and int(said[1]) == offset and "content-encoding" not in fields:
            return "rest"
        if offset:
            return "restart"
    if status == 416 and offset:
        return "complete" if said and said[3] in ("*", str(offset)) else "restart"
    raise _refusal(stream.url, status, fields)


def _refusal(url: str, status: int, fields: Mapping[str, str]) -> ServerError:
    wait = retry_after(fields.get("retry-after"))
    if status in (401, 403):
        return LoginError(
            f"{url} answered {status}: the data server refuses these credentials", url=url, status=status
        )
    if status == 404:
        return NotFound(f"{url} answered 404: there is no such file", url=url, status=status)
    if status < 400:
        return AnswerError(f"{url} answered {status}, which is no answer to this request", url=url)
    kind = Throttled if status == 429 else StatusError
    return kind(f"{url} answered {status}", url=url, status=status, retry_after=wait)


async def _pour(
    stream: ByteStream, part: Part, scope: anyio.CancelScope, stall: float, advance: Callable[[int], None]
) -> None:
    """Let the body run into the part: while a thread writes one batch, the next one comes in.

    What is left at the end stays in ``part.pending``, so that a small file needs one trip to a thread only.
    """
    failure: Exception | None = None
    most = part.most
    async with anyio.create_task_group() as tasks:
        writer = _Writer(part, tasks)
        try:
            async with AsyncExitStack() as stack:
                chunks = await _closing(stack, stream.chunks())
                async for chunk in chunks:
                    now = anyio.current_time()
                    if scope.deadline - now < stall * 0.9:  # each change costs the event loop a timer
                        scope.deadline = now + stall
                    part.add(chunk)
                    advance(len(chunk))
                    if part.total > most:
                        _check_bound(stream.url, part, part.total)
                    if part.buffered >= _MOST and writer.busy:
                        await writer.idle.wait()
                        scope.deadline = anyio.current_time() + stall
                    if not writer.busy and (part.buffered >= _BATCH or now - writer.last > _PATIENCE):
                        writer.start(now)
                    if writer.failure:
                        break
        except Exception as error:  # a task group would wrap it
            failure = error
    if failure := writer.failure or failure:
        raise failure


class _Writer:
    """Brings a part's batches to disk, one after the other."""

    def __init__(self, part: Part, tasks: TaskGroup) -> None:
        self._part, self._tasks = part, tasks
        self.busy = self._syncing = False
        self.last = anyio.current_time()
        self.idle = anyio.Event()
        self.failure: Exception | None = None

    def start(self, now: float) -> None:
        self.busy, self.last, self.idle = True, now, anyio.Event()
        self._tasks.start_soon(self._write)
        if self._part.size - self._part.synced >= _SYNC and not self._syncing:
            self._syncing = True
            self._tasks.start_soon(self._sync)

    async def _write(self) -> None:
        try:
            await _flush(self._part)
        except Exception as error:
            self.failure = error
        finally:
            self.busy = False
            self.idle.set()

    async def _sync(self) -> None:
        try:
            await anyio.to_thread.run_sync(self._part.sync)
        except Exception as error:
            self.failure = error
        finally:
            self._syncing = False


async def _flush(part: Part) -> None:
    """Write and hash what came, at once: each takes about as long as the other."""
    failure: Exception | None = None
    with anyio.CancelScope(shield=True):
        chunks = part.take()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, part.digest, chunks)
            try:
                await anyio.to_thread.run_sync(part.write, chunks)
            except Exception as error:  # a task group would wrap it
                failure = error
    if failure:
        raise failure


async def _closing(stack: AsyncExitStack, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    # A generator that is left before its end must be closed here, not whenever it is collected.
    if isinstance(chunks, AsyncGenerator):
        await stack.enter_async_context(aclosing(chunks))
    return chunks


def _check_bound(url: str, part: Part, size: int) -> None:
    """Raise HashMismatch for more bytes than the record's file can have: no need to wait for its end."""
    item = part.item
    if size > part.most:
        is_exact = part.most == item.size
        expected = f"{item.size} bytes" if is_exact else f"at most {part.most} bytes"
        hint = "" if is_exact else f"; recorded are {item.size or 'no'} bytes"
        accept = "; check_hash=False accepts the file as it is" if is_exact else ""
        raise HashMismatch(
            f"{url} is not the file of the record: expected {expected}, found {size} bytes or more{hint}; "
            f"nothing was kept{accept}",
            url=url, path=str(part.target), expected=expected, found=f"{size} bytes or more",
        )  # fmt: skip


def _announced(stream: ByteStream) -> int | None:
    """Return how many bytes a body is said to have, None where that is not said of the file's own bytes."""
    fields = _lower(stream.headers)
    return None if "content-encoding" in fields else whole_number(fields.get("content-length"))


def _check_length(stream: ByteStream, came: int, total: int) -> None:
    """Find out a body that ended early although the connection did not break."""
    fields = _lower(stream.headers)
    said = _RANGE.match(fields.get("content-range", "")) if stream.status == 206 else None
    promised = _announced(stream)
    if said and said[3] != "*" and total < int(said[3]):
        raise ServerUnreachable(f"{stream.url} sent {total} of {said[3]} bytes", url=stream.url)
    if promised is not None and came < promised:
        raise ServerUnreachable(f"{stream.url} sent {came} of {promised} bytes", url=stream.url)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
