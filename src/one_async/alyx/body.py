"""Read and decode response bodies in pieces and up to a limit, since a server may send more than fits in memory."""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from typing import Any

import anyio
import anyio.to_thread
import httpx

#: Encodings that are decoded although requests do not accept any: some servers and proxies compress regardless.
ENCODINGS = frozenset({"gzip", "x-gzip", "deflate"})
#: Maximum number of bytes that are decoded at a time.
_PIECE = 1024**2


class TooLarge(Exception):
    """The body is larger than allowed."""


def encoding_of(response: httpx.Response) -> str:
    """Return the content encoding of a body, or an empty string."""
    encoding = str(response.headers.get("content-encoding", "")).strip().lower()
    return "" if encoding == "identity" else encoding


async def inflate(raw: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Decode gzip or deflate, detected by its header, in worker threads. Bytes after the end of the data are skipped.

    Raises zlib.error for damaged or truncated data.
    """
    decoder, seen = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32), False
    async for chunk in raw:
        seen = seen or bool(chunk)
        rest, piece = chunk, b""
        while not decoder.eof and (rest or len(piece) == _PIECE):
            piece = await anyio.to_thread.run_sync(decoder.decompress, rest, _PIECE)
            rest = decoder.unconsumed_tail
            if piece:
                yield piece
    if seen and not decoder.eof:
        raise zlib.error("truncated data")


async def read_all(response: httpx.Response, limit: int) -> bytes:
    """Return the decoded body and close the response.

    Raises TooLarge for more than ``limit`` bytes, zlib.error for a body that cannot be decoded, and the errors of the
    connection.
    """
    encoding = encoding_of(response)
    raw, body, complete = response.aiter_raw(), bytearray(), False
    try:
        if encoding and encoding not in ENCODINGS:
            raise zlib.error(f"unsupported content encoding {encoding[:50]!r}")
        async with aclosing(inflate(raw) if encoding else _identity(raw)) as pieces:
            async for piece in pieces:
                if len(body) + len(piece) > limit:
                    raise TooLarge
                body += piece
        complete = True
    finally:
        if not complete:
            await discard(response, raw)
        await _close(response)
    return bytes(body)


async def read_start(response: httpx.Response, limit: int) -> bytes:
    """Return the first bytes of a body, undecoded, and close the response without reading the rest."""
    raw, body = response.aiter_raw(), bytearray()
    try:
        async for chunk in raw:
            body += chunk
            if len(body) >= limit:
                break
    finally:
        await discard(response, raw)
        await _close(response)
    return bytes(body[:limit])


async def discard(response: httpx.Response, raw: AsyncIterator[bytes]) -> None:
    """End a body whose rest is not needed. The connection reports its end, so that all generators below finish."""
    stream: Any = response.extensions.get("network_stream")
    if end := getattr(stream, "mark_eof", None):
        end()
        with suppress(Exception):
            async for _ in raw:
                pass


async def _identity(raw: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield the pieces unchanged; closing this generator leaves ``raw`` open for `discard`."""
    async for chunk in raw:
        yield chunk


async def _close(response: httpx.Response) -> None:
    with anyio.CancelScope(shield=True), suppress(Exception):
        await response.aclose()
