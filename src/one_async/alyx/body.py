"""Bodies of answers, read and decoded in pieces, with a bound: a server may send more than anybody can hold."""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from typing import Any, TypeAlias

import anyio
import anyio.to_thread

__all__ = ["ENCODINGS", "TooLarge", "beginning", "encoding_of", "inflated", "leave", "whole"]

#: What is decoded though nobody asks for it: some servers and proxies compress all the same.
ENCODINGS = frozenset({"gzip", "x-gzip", "deflate"})
#: An answer of httpx, which one module alone knows.
Response: TypeAlias = Any
#: The most bytes that are decoded at a time.
_PIECE = 1024**2


class TooLarge(Exception):
    """A body has more bytes than are allowed."""


def encoding_of(response: Response) -> str:
    """Return how a body is encoded, empty if it is not."""
    encoding = str(response.headers.get("content-encoding", "")).strip().lower()
    return "" if encoding == "identity" else encoding


async def inflated(raw: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Decode gzip or deflate, by its header, in threads; what follows the end of the data is skipped.

    Raises zlib.error for data that are damaged or end too early.
    """
    inflate, seen = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32), False
    async for chunk in raw:
        seen = seen or bool(chunk)
        rest, piece = chunk, b""
        while not inflate.eof and (rest or len(piece) == _PIECE):
            piece = await anyio.to_thread.run_sync(inflate.decompress, rest, _PIECE)
            rest = inflate.unconsumed_tail
            if piece:
                yield piece
    if seen and not inflate.eof:
        raise zlib.error("no end")


async def whole(response: Response, most: int) -> bytes:
    """Return a body of at most ``most`` bytes, decoded, and close it.

    Raises TooLarge, zlib.error for a body that cannot be decoded, and what its connection raises.
    """
    encoding = encoding_of(response)
    raw, body, ended = response.aiter_raw(), bytearray(), False
    try:
        if encoding and encoding not in ENCODINGS:
            raise zlib.error(f"they are encoded as {encoding[:50]!r}")
        async with aclosing(inflated(raw) if encoding else _same(raw)) as pieces:
            async for piece in pieces:
                if len(body) + len(piece) > most:
                    raise TooLarge
                body += piece
        ended = True
    finally:
        if not ended:
            await leave(response, raw)
        await _close(response)
    return bytes(body)


async def beginning(response: Response, most: int) -> bytes:
    """Read the first bytes of a body as they were sent, and close it: of a refusal no more is wanted."""
    raw, body = response.aiter_raw(), bytearray()
    try:
        async for chunk in raw:
            body += chunk
            if len(body) >= most:
                break
    finally:
        await leave(response, raw)
        await _close(response)
    return bytes(body[:most])


async def leave(response: Response, raw: AsyncIterator[bytes]) -> None:
    """End a body whose rest nobody wants: with the connection's end all generators below come to theirs."""
    stream: Any = response.extensions.get("network_stream")
    if end := getattr(stream, "end", None):
        end()
        with suppress(Exception):
            async for _ in raw:
                pass


async def _same(raw: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    async for chunk in raw:
        yield chunk


async def _close(response: Response) -> None:
    with anyio.CancelScope(shield=True), suppress(Exception):
        await response.aclose()
