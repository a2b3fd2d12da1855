"""Where hishel keeps answers: in a file of one user, or in a Redis server that machines share."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeAlias, cast
from uuid import UUID

from one_async.alyx import caching
from one_async.alyx.http import STORED, hishel
from one_async.alyx.shelf import Kept, Shelf, head_of
from one_async.errors import ConfigurationError


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


class RedisStorage(hishel.AsyncRedisStorage):
    """hishel's Redis storage, for one user of one server, with one answer for each key: asyncio only, Redis 7."""

    def __init__(self, url: str, user: str) -> None:
        try:
            from redis.asyncio import Redis
        except ImportError as error:
            text = "cache_storage needs the redis package: pip install 'one-async[redis]'"
            raise ConfigurationError(text) from error
        self.redis: Any = Redis.from_url(url, socket_connect_timeout=5, socket_timeout=10)
        super().__init__(self.redis, default_ttl=None, max_stream_size=None, key_prefix=f"one_async:{user}")

    async def create_entry(
        self,
        request: hishel.Request,
        response: hishel.Response,
        key: str,
        *,
        ttl: float | None = None,
        tti: float | None = None,
    ) -> hishel.Entry:
        for older in await self.get_entries(key):
            await self.remove_entry(older.id)
        return await super().create_entry(request, response, key, ttl=ttl, tti=tti)

    async def expire(self, endpoints: frozenset[str]) -> None:
        """Forget all answers of this user: Redis knows them by a digest of their address, not by endpoint."""
        await self.clear()

    async def clear(self) -> None:
        """Forget all answers of this user."""
        from redis import RedisError

        with suppress(RedisError):
            async for name in self.redis.scan_iter(match=f"{self._key_prefix}:*", count=1000):
                await self.redis.unlink(name)

    async def close(self) -> None:
        await self.redis.aclose()


def lists(headers: hishel.Headers) -> dict[str, list[str]]:
    return {name: headers.get_list(name) or [] for name in headers}


async def one_chunk(body: bytes) -> AsyncIterator[bytes]:
    yield body


Storage: TypeAlias = ShelfStorage | RedisStorage
