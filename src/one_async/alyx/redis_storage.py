"""A REST cache in a Redis server, shared by machines. Requests work without it while Redis is unavailable."""

from __future__ import annotations

import functools
import logging
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

import hishel

from one_async._values import without_password
from one_async._warnings import warn
from one_async.alyx.sqlite_storage import SQLiteStorage, one_chunk
from one_async.errors import CacheWarning, ConfigurationError

T = TypeVar("T")
#: Timeout of Redis, and the seconds for which it is not used after a failure.
TIMEOUT, PAUSE = 1.5, 30.0

# Without a handler, hishel's log of a damaged entry would be printed to stderr with a traceback.
logging.getLogger("hishel").addHandler(logging.NullHandler())


class RedisStorage(hishel.AsyncRedisStorage):
    """hishel's Redis storage for one user of one server, with one response for each key. asyncio only, Redis 7.

    These methods also read the bodies, so that no Redis error is raised later; a failure counts as a miss.
    """

    def __init__(self, url: str, user: str) -> None:
        self._address = without_password(url)
        self.redis: Any = _client(with_password(url))
        super().__init__(self.redis, default_ttl=None, max_stream_size=None, key_prefix=f"one_async:{user}")
        self._paused_until = 0.0
        self._warned = False
        self._clear_requests = 0  # number of calls of `clear`
        self._clears_done = 0  # those of them that are done

    async def _try(self, operation: Callable[[], Awaitable[T]], default: T) -> T:
        """Run an operation after pending deletions; return ``default`` if Redis is unavailable or refuses it."""
        if time.monotonic() < self._paused_until:
            return default
        try:
            if self._clears_done < self._clear_requests:
                await self._delete_all()
            result = await operation()
        except _Refused:
            return default
        except _Unavailable as error:
            self._paused_until = time.monotonic() + PAUSE
            if not self._warned:
                self._warned = True
                text = f"{self._address} cannot be used as REST cache ({error}); requests bypass it until it is available"
                warn(text, CacheWarning)
            return default
        self._warned = False
        return result

    async def create_entry(
        self,
        request: hishel.Request,
        response: hishel.Response,
        key: str,
        *,
        ttl: float | None = None,
        tti: float | None = None,
    ) -> hishel.Entry:
        body = await _read_body(response)

        async def store() -> hishel.Entry | None:
            for previous in await super(RedisStorage, self).get_entries(key):
                await super(RedisStorage, self).remove_entry(previous.id)
            copy = replace(response, stream=one_chunk(body))
            entry = await super(RedisStorage, self).create_entry(request, copy, key, ttl=ttl, tti=tti)
            await _read_body(entry.response)  # reading the stream stores it
            return entry

        entry = await self._try(store, None) or hishel.Entry(
            id=UUID(int=0), request=request, response=response
        )
        return replace(entry, response=replace(response, stream=one_chunk(body)))

    async def get_entries(self, key: str) -> list[hishel.Entry]:
        async def get() -> list[hishel.Entry]:
            entries = await super(RedisStorage, self).get_entries(key)
            bodies = [await _read_body(entry.response) for entry in entries]
            return [
                replace(entry, response=replace(entry.response, stream=one_chunk(body)))
                for entry, body in zip(entries, bodies, strict=True)
            ]

        return await self._try(get, [])

    async def update_headers(self, id: UUID, headers: hishel.Headers) -> None:
        await self._try(lambda: super(RedisStorage, self).update_headers(id, headers), None)

    async def remove_entry(self, id: UUID) -> None:
        await self._try(lambda: super(RedisStorage, self).remove_entry(id), None)

    async def expire(self, endpoints: frozenset[str]) -> None:
        """Delete all responses of this user: their keys are digests of addresses, without the endpoint."""
        await self.clear()

    async def clear(self) -> None:
        """Delete all responses of this user; if Redis is unavailable, before the next operation."""
        self._clear_requests += 1
        await self._try(_no_operation, None)

    async def _delete_all(self) -> None:
        requested = self._clear_requests  # later requests may concern keys that this scan has passed
        async for name in self.redis.scan_iter(match=f"{self._key_prefix}:*", count=1000):
            await self.redis.unlink(name)
        self._clears_done = max(self._clears_done, requested)

    async def close(self) -> None:
        await self.redis.aclose()


Storage: TypeAlias = SQLiteStorage | RedisStorage


class _Unavailable(Exception):
    """Redis did not respond or rejected the connection. Not a RedisError, which hishel would catch and log."""


class _Refused(Exception):
    """Redis did not store a response: it is out of memory, or another client changed the key."""


def with_password(url: str) -> str:
    """Return a Redis address with the password that ``ONE_CACHE_STORAGE`` has for it, unless it has one itself."""
    own = os.environ.get("ONE_CACHE_STORAGE", "")
    return own if own and url == without_password(url) == without_password(own) else url


def _client(url: str) -> Any:
    """Create a client that raises _Unavailable and _Refused only."""
    try:
        from redis.asyncio import Redis
        from redis.asyncio.client import Pipeline
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import OutOfMemoryError, RedisError, WatchError
    except ImportError as error:
        text = "cache_storage needs the redis package: pip install 'one-async[redis]'"
        raise ConfigurationError(text) from error

    def converts_errors(method: Callable[..., Awaitable[Any]]) -> Any:
        @functools.wraps(method)
        async def call(*arguments: Any, **options: Any) -> Any:
            try:
                return await method(*arguments, **options)
            except (OutOfMemoryError, WatchError) as error:
                raise _Refused from error
            except (RedisError, OSError) as error:
                raise _Unavailable(str(error) or type(error).__name__) from error

        return call

    class OwnPipeline(Pipeline):  # type: ignore[type-arg,misc,unused-ignore]
        execute = converts_errors(Pipeline.execute)
        immediate_execute_command = converts_errors(Pipeline.immediate_execute_command)

    class Client(Redis):  # type: ignore[type-arg,misc,unused-ignore]
        execute_command = converts_errors(Redis.execute_command)

        def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Any:
            return OwnPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)

    no_retry = Retry(NoBackoff(), 0)
    return Client.from_url(url, socket_connect_timeout=TIMEOUT, socket_timeout=TIMEOUT, retry=no_retry)


async def _read_body(response: hishel.Response) -> bytes:
    stream: Any = response.stream
    return b"" if stream is None else b"".join([chunk async for chunk in stream])


async def _no_operation() -> None:
    return None
