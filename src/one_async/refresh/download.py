"""The archive of tables over HTTP or S3, in pieces to disk, gone on with where the server allows it."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio

from one_async._headers import whole_number
from one_async._threads import run_sync
from one_async.errors import ServerUnreachable, StatusError, TablesDamaged
from one_async.refresh.unpack import LARGEST
from one_async.transfer.plan import S3Location
from one_async.transfer.s3 import over_s3
from one_async.transfer.web import Opener, judge

if TYPE_CHECKING:
    from one_async.types import ByteStream, StreamOpener

__all__ = ["download", "part_name"]

_BATCH = 1 << 20
_ATTEMPTS = 4
_STALL = 60.0
_AGAIN = frozenset((408, 425, 429, 502, 503, 504))


def part_name(url: str, version: str) -> str:
    """Name the file that a download goes to; what was left of it is gone on with if it is the same version."""
    return f"{hashlib.sha256(f'{url} {version}'.encode()).hexdigest()[:24]}.zip.part"


async def download(streams: StreamOpener, url: str, part: Path) -> bool:
    """Fetch an archive into a file, after what is there of it; tell whether there was something.

    The wire gives the database's token to the database's own server alone. Raises ServerUnreachable after some attempts,
    StatusError and its kinds for refusals, TablesDamaged for more bytes than tables can have, and OSError for the disk.
    """
    opener = _over_s3(url) if url.startswith("s3://") else _over_http(streams, url)
    resumed = False
    for attempt in range(1, _ATTEMPTS + 1):
        size = await run_sync(_size, part)
        resumed = resumed or size > 0
        try:
            if await _request(opener, part, size):
                return resumed
        except ServerUnreachable:
            if attempt == _ATTEMPTS:
                raise
        except StatusError as error:
            if attempt == _ATTEMPTS or error.status not in _AGAIN:
                raise
        await anyio.sleep(0.5 * 2**attempt * random.uniform(0.5, 1))
    raise ServerUnreachable(f"{url} does not say how its file goes on", url=url)


def _over_http(streams: StreamOpener, url: str) -> Opener:
    def open_at(offset: int) -> AbstractAsyncContextManager[ByteStream]:
        return streams.open(url, headers={"Range": f"bytes={offset}-"} if offset else None)

    return open_at


def _over_s3(url: str) -> Opener:
    parts = urlsplit(url)
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return over_s3(S3Location(parts.netloc, parts.path.lstrip("/"), endpoint=endpoint), stall=_STALL)


async def _request(opener: Opener, part: Path, offset: int) -> bool:
    """Make one request; False if it must be made again from the start."""
    async with opener(offset) as stream:
        verdict = judge(stream, offset)
        if verdict == "complete":
            return True
        if verdict != "rest":
            offset = 0
            await run_sync(partial(part.unlink, missing_ok=True))
        if verdict == "restart":
            return False
        promised = whole_number(stream.headers.get("content-length"))
        expected = None if promised is None else offset + promised
        if (expected or 0) > LARGEST:
            raise TablesDamaged(f"{stream.url} has more bytes than tables can have", url=stream.url)
        total = offset + await _pour(stream, part, LARGEST - offset)
        if expected is not None and total != expected:
            raise ServerUnreachable(f"{stream.url} sent {total} of {expected} bytes", url=stream.url)
    return True


async def _pour(stream: ByteStream, part: Path, most: int) -> int:
    """Write a body to the end of a file, a batch at a time in a thread; give how many bytes it had."""
    count, waiting = 0, bytearray()
    async with AsyncExitStack() as stack:
        chunks = stream.chunks()
        if isinstance(chunks, AsyncGenerator):
            await stack.enter_async_context(aclosing(chunks))
        try:
            while (chunk := await _next(chunks, stream.url)) is not None:
                count += len(chunk)
                if count > most:
                    raise TablesDamaged(f"{stream.url} sends more bytes than tables can have", url=stream.url)
                waiting += chunk
                if len(waiting) >= _BATCH:
                    batch, waiting = waiting, bytearray()
                    await run_sync(_append, part, batch)
        finally:
            with anyio.CancelScope(shield=True):  # what came is kept for the next attempt
                await run_sync(_append, part, waiting)
    return count


async def _next(chunks: AsyncIterator[bytes], url: str) -> bytes | None:
    """Return the next piece of a body, None at its end; raises ServerUnreachable if it does not come."""
    try:
        with anyio.fail_after(_STALL):
            return await anext(chunks, None)
    except TimeoutError:
        raise ServerUnreachable(f"{url}: no bytes came for {_STALL:g} s", url=url) from None


def _append(part: Path, data: bytearray) -> None:
    if data:
        with part.open("ab") as file:
            file.write(data)


def _size(part: Path) -> int:
    try:
        return part.stat().st_size
    except FileNotFoundError:
        return 0
