"""What a client has open on its event loop: connections, wire, and the stack of its present user."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import anyio

from one_async._concurrency import SingleFlight
from one_async.alyx import caching
from one_async.alyx.freshness import Stack
from one_async.alyx.http import Login, Network, Retry, Transport
from one_async.alyx.login import Credentials
from one_async.alyx.redis_storage import RedisStorage, Storage
from one_async.alyx.response_store import ResponseStore
from one_async.alyx.retrying import Timeouts
from one_async.alyx.schema import Schema
from one_async.alyx.storage import ShelfStorage
from one_async.alyx.streams import HttpStreamOpener
from one_async.errors import ConfigurationError


class Connections:
    """Everything a client has open: connections, wire, and the stack of its present user."""

    def __init__(
        self,
        base_url: str,
        credentials: Credentials,
        timeouts: Timeouts,
        max_connections: int,
        cache_dir: Path | None,
        cache_storage: str | None,
        transport: Transport | None,
        keep: Callable[[], float],
        most: int,
    ) -> None:
        self._base_url, self._credentials, self._timeouts = base_url, credentials, timeouts
        self._cache_dir, self._cache_storage, self._keep = cache_dir, cache_storage, keep
        self.schemas: SingleFlight[Schema] = SingleFlight()
        self._opening = anyio.Lock()
        self.slots = anyio.CapacityLimiter(max_connections)
        self.retry = Retry(Network(base_url, timeouts.total, most, transport), self.slots)
        self._stack: Stack | None = None
        self.streams = HttpStreamOpener(self._login, base_url, timeouts, max_connections, transport)
        credentials.rebind()

    async def stack(self) -> Stack:
        """Return the stack of the present user; the first time finds out who that is, without a request."""
        if self._stack is not None:
            return self._stack
        async with self._opening:
            if self._stack is None:
                user = await self._credentials.identify()
                self._stack = Stack(
                    self._base_url, self.retry, self._credentials, self._storage(user), self._timeouts
                )
            return self._stack

    async def _login(self) -> Login:
        return (await self.stack()).login

    def _storage(self, user: str) -> Storage:
        if self._cache_storage is not None:
            try:
                asyncio.get_running_loop()
            except RuntimeError as error:
                raise ConfigurationError(
                    "a Redis cache works on asyncio alone; leave cache_storage out"
                ) from error
            return RedisStorage(self._cache_storage, caching.user_key(self._base_url, user))
        folder = self._cache_dir
        file = None if folder is None else caching.cache_file(folder, self._base_url, user)
        return ShelfStorage(ResponseStore(file, self._keep))

    async def switch(self, credentials: Credentials) -> None:
        """Serve another user from now on; requests under way end as the one they began as."""
        async with self._opening:
            stack, self._stack, self._credentials = self._stack, None, credentials
            if stack is not None:
                await stack.storage.close()

    async def aclose(self) -> None:
        """Close all of it."""
        await self.streams.aclose()
        await self.retry.aclose()
        if self._stack is not None:
            await self._stack.storage.close()
