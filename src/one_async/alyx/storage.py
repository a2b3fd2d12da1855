"""Where hishel keeps answers: in a file of one user."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import cast
from uuid import UUID

from one_async.alyx import caching
from one_async.alyx.http import STORED, hishel
from one_async.alyx.shelf import Kept, Shelf, head_of


class ShelfStorage(hishel.AsyncBaseStorage):
    """A hishel storage on a Shelf: one answer for each key, the newest.

    Of the request only what ``Vary`` names is kept, so no credentials even if a layer is moved.
    """

    def __init__(self, shelf: Shelf) -> None:
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
        kept = Kept(
            id, caching.endpoint_of(request.url), float(response.headers.get(STORED, time.time())), head, body
        )
        await self.shelf.put(kept)
        return hishel.Entry(
            id=UUID(bytes=id), request=request, response=replace(response, stream=one_chunk(body))
        )

    async def get_entries(self, key: str) -> list[hishel.Entry]:
        kept = await self.shelf.get(bytes.fromhex(key[:32]))
        if kept is None:
            return []
        url, method, asked, status, said = json.loads(kept.head)
        request = hishel.Request(method=method, url=url, headers=hishel.Headers(asked))
        response = hishel.Response(status, hishel.Headers(said), one_chunk(kept.body))
        return [hishel.Entry(id=UUID(bytes=kept.id), request=request, response=response)]

    async def update_headers(self, id: UUID, headers: hishel.Headers) -> None:
        def change(head: bytes) -> bytes:
            url, method, asked, status, _ = json.loads(head)
            return head_of(url, method, asked, status, lists(headers))

        await self.shelf.set_head(id.bytes, float(headers.get(STORED, time.time())), change)

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


def lists(headers: hishel.Headers) -> dict[str, list[str]]:
    return {name: headers.get_list(name) or [] for name in headers}


async def one_chunk(body: bytes) -> AsyncIterator[bytes]:
    yield body
