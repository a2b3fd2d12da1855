"""Where hishel keeps answers: in a file of one user."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import cast
from uuid import UUID

from one_async.alyx import caching
from one_async.alyx.http import STORED, hishel
from one_async.alyx.response_store import CLOCKS, ResponseStore, StoredResponse, head_of


class ShelfStorage(hishel.AsyncBaseStorage):
    """A hishel storage on a Shelf: one answer for each key, the newest.

    Of the request only what ``Vary`` names is kept, so no credentials even if a layer is moved.
    """

    def __init__(self, shelf: ResponseStore) -> None:
        super().__init__()
        self.shelf = shelf

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
        varying = {name.strip().lower() for name in response.headers.get("vary", "").split(",")} - {
            "authorization"
        }
        asked = {name: values for name, values in lists(request.headers).items() if name.lower() in varying}
        head = head_of(request.url, request.method, asked, response.status_code, lists(response.headers))
        id = bytes.fromhex(key[:32])
        kept = StoredResponse(
            id, caching.endpoint_of(request.url), float(response.headers.get(STORED, time.time())), head, body
        )
        await self.shelf.put(kept)
        return hishel.Entry(
            id=UUID(bytes=id), request=request, response=replace(response, stream=one_chunk(body))
        )

    async def get_entries(self, key: str) -> list[hishel.Entry]:
        id = bytes.fromhex(key[:32])
        kept = await self.shelf.get(id)
        if kept is None:
            return []
        try:
            url, method, asked, status, said = read_head(kept.head)
            if key_of(url) != id:
                raise ValueError("an answer to another question")
        except (ValueError, TypeError, RecursionError):
            await self.shelf.remove(id)
            return []
        request = hishel.Request(method=method, url=url, headers=hishel.Headers(asked))
        response = hishel.Response(status, hishel.Headers(said), one_chunk(kept.body))
        return [hishel.Entry(id=UUID(bytes=kept.id), request=request, response=response)]

    async def update_headers(self, id: UUID, headers: hishel.Headers) -> None:
        def change(head: bytes) -> bytes:
            url, method, asked, status, _ = read_head(head)
            return head_of(url, method, asked, status, lists(headers))

        try:
            await self.shelf.set_head(id.bytes, float(headers.get(STORED, time.time())), change)
        except (ValueError, TypeError, RecursionError):
            await self.shelf.remove(id.bytes)

    async def remove_entry(self, id: UUID) -> None:
        await self.shelf.remove(id.bytes)

    async def expire(self, endpoints: frozenset[str]) -> None:
        """Forget the answers of endpoints that were written to."""
        await self.shelf.expire(endpoints)

    async def clear(self) -> None:
        """Forget all answers."""
        await self.shelf.clear()

    async def close(self) -> None:
        await self.shelf.close()


def key_of(url: str) -> bytes:
    """Return the key of a question's answer, as hishel makes it of the address."""
    return hashlib.sha256(f"RFC {url}".encode()).digest()[:16]


def read_head(head: bytes) -> tuple[str, str, dict[str, list[str]], int, dict[str, list[str]]]:
    """Read what `head_of` wrote; raise ValueError or TypeError for anything else."""
    url, method, asked, status, said = json.loads(head)
    if not isinstance(url, str) or method != "GET" or status != 200:
        raise ValueError("no stored answer")
    for fields in (asked, said):
        for name, values in fields.items() if isinstance(fields, dict) else [(None, None)]:
            if not isinstance(name, str) or not isinstance(values, list):
                raise TypeError("no header fields")
            if not all(isinstance(value, str) and value.isprintable() for value in (name, *values)):
                raise ValueError("no header fields")
    when = float(said[STORED][0]) if said.get(STORED) else math.nan
    if not 0 <= when <= time.time() + CLOCKS:
        raise ValueError("stored at no time")
    return url, method, asked, status, said


def lists(headers: hishel.Headers) -> dict[str, list[str]]:
    return {name: headers.get_list(name) or [] for name in headers}


async def one_chunk(body: bytes) -> AsyncIterator[bytes]:
    yield body
