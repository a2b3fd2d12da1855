"""A REST cache that machines share, in a Redis server: hishel's storage, which is gone without while Redis is away."""

from __future__ import annotations

import functools
import logging
import time
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

from one_async._values import without_password
from one_async.alyx import caching
from one_async.alyx.http import hishel
from one_async.alyx.storage import ShelfStorage, one_chunk
from one_async.errors import CacheWarning, ConfigurationError

T = TypeVar("T")
#: Seconds that Redis may take to connect and to answer, and that it is left alone after it did not.
PATIENCE, PAUSE = 1.5, 30.0

# Without a handler of its own, what hishel logs of a damaged entry would be printed to stderr, with a traceback.
logging.getLogger("hishel").addHandler(logging.NullHandler())


class RedisStorage(hishel.AsyncRedisStorage):
    """hishel's Redis storage, for one user of one server, with one answer for each key: asyncio only, Redis 7.

    Everything that asks Redis happens inside these methods, bodies included; what goes wrong there is a miss.
    """

    def __init__(self, url: str, user: str) -> None:
        self._where = without_password(url)
        self.redis: Any = _client(caching.with_password(url))
        super().__init__(self.redis, default_ttl=None, max_stream_size=None, key_prefix=f"one_async:{user}")
        self._until = 0.0  # Redis is left alone until then
        self._warned = False
        self._cleared = self._forgotten = (
            0  # how often answers were to be forgotten, and which of these is done
        )

    async def _ask(self, what: Callable[[], Awaitable[T]], otherwise: T) -> T:
        if time.monotonic() < self._until:
            return otherwise
        try:
            if self._forgotten < self._cleared:
                await self._forget()
            answer = await what()
        except _Refused:
            return otherwise
        except _Away as error:
            self._until = time.monotonic() + PAUSE
            if not self._warned:
                self._warned = True
                text = f"{self._where} does not serve as REST cache ({error}); answers come without it, and it is tried again"
                warnings.warn(text, CacheWarning, stacklevel=2)
            return otherwise
        self._warned = False
        return answer

    async def create_entry(
        self,
        request: hishel.Request,
        response: hishel.Response,
        key: str,
        *,
        ttl: float | None = None,
        tti: float | None = None,
    ) -> hishel.Entry:
        body = await _whole(response)

        async def store() -> hishel.Entry | None:
            for older in await super(RedisStorage, self).get_entries(key):
                await super(RedisStorage, self).remove_entry(older.id)
            again = replace(response, stream=one_chunk(body))
            entry = await super(RedisStorage, self).create_entry(request, again, key, ttl=ttl, tti=tti)
            await _whole(entry.response)  # it is stored while it is read
            return entry

        entry = await self._ask(store, None) or hishel.Entry(
            id=UUID(int=0), request=request, response=response
        )
        return replace(entry, response=replace(response, stream=one_chunk(body)))

    async def get_entries(self, key: str) -> list[hishel.Entry]:
        async def get() -> list[hishel.Entry]:
            found = await super(RedisStorage, self).get_entries(key)
            bodies = [await _whole(entry.response) for entry in found]
            return [
                replace(entry, response=replace(entry.response, stream=one_chunk(body)))
                for entry, body in zip(found, bodies, strict=True)
            ]

        return await self._ask(get, [])

    async def update_headers(self, id: UUID, headers: hishel.Headers) -> None:
        await self._ask(lambda: super(RedisStorage, self).update_headers(id, headers), None)

    async def remove_entry(self, id: UUID) -> None:
        await self._ask(lambda: super(RedisStorage, self).remove_entry(id), None)

    async def expire(self, endpoints: frozenset[str]) -> None:
        """Forget all answers of this user: Redis knows them by a digest of their address, not by endpoint."""
        await self.clear()

    async def clear(self) -> None:
        """Forget all answers of this user, before any is given again if Redis is away now."""
        self._cleared += 1
        await self._ask(_nothing, None)

    async def _forget(self) -> None:
        cleared = self._cleared  # what is asked for while this goes on may concern answers that it has passed
        async for name in self.redis.scan_iter(match=f"{self._key_prefix}:*", count=1000):
            await self.redis.unlink(name)
        self._forgotten = max(self._forgotten, cleared)

    async def close(self) -> None:
        await self.redis.aclose()


Storage: TypeAlias = ShelfStorage | RedisStorage


class _Away(Exception):
    """Redis did not answer, or does not take us. No RedisError, so that it passes through hishel, which would log it."""


class _Refused(Exception):
    """Redis answered, but did not take what was to be stored: it is full, or another was faster."""


def _client(url: str) -> Any:
    """Make a client whose errors are these two."""
    try:
        from redis.asyncio import Redis
        from redis.asyncio.client import Pipeline
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import OutOfMemoryError, RedisError, WatchError
    except ImportError as error:
        text = "cache_storage needs the redis package: pip install 'one-async[redis]'"
        raise ConfigurationError(text) from error

    def said(method: Callable[..., Awaitable[Any]]) -> Any:
        @functools.wraps(method)
        async def call(*arguments: Any, **options: Any) -> Any:
            try:
                return await method(*arguments, **options)
            except (OutOfMemoryError, WatchError) as error:
                raise _Refused from error
            except (RedisError, OSError) as error:
                raise _Away(str(error) or type(error).__name__) from error

        return call

    class Line(Pipeline):  # type: ignore[type-arg,misc,unused-ignore]
        execute = said(Pipeline.execute)
        immediate_execute_command = said(Pipeline.immediate_execute_command)

    class Client(Redis):  # type: ignore[type-arg,misc,unused-ignore]
        execute_command = said(Redis.execute_command)

        def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Any:
            return Line(self.connection_pool, self.response_callbacks, transaction, shard_hint)

    once = Retry(NoBackoff(), 0)
    return Client.from_url(url, socket_connect_timeout=PATIENCE, socket_timeout=PATIENCE, retry=once)


async def _whole(response: hishel.Response) -> bytes:
    stream: Any = response.stream
    return b"" if stream is None else b"".join([chunk async for chunk in stream])


async def _nothing() -> None:
    return None
