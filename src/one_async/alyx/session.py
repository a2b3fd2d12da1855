"""The state of a client on one event loop: connections, and the login and cache of its current user.

A request passes ``AsyncAlyxClient`` -> `UserStack.request` -> Freshness -> hishel's cache -> CacheControl -> Login ->
Retry -> Network -> ConnectionPool.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import anyio
import hishel
import hishel.httpx
import httpx

from one_async._concurrency import SingleFlight
from one_async._observer import Observer
from one_async.alyx import caching
from one_async.alyx.answers import Answer, json_of
from one_async.alyx.caching import AgeLimit
from one_async.alyx.freshness import Freshness, requested_at
from one_async.alyx.login import Credentials
from one_async.alyx.redis_storage import RedisStorage, Storage
from one_async.alyx.response_store import ResponseStore
from one_async.alyx.retrying import Timeouts
from one_async.alyx.schema import Schema
from one_async.alyx.storage import SQLiteStorage
from one_async.alyx.streams import HttpStreamOpener
from one_async.alyx.transports import CacheControl, Login, Network, Retry, Transport, origin
from one_async.errors import AnswerError, ConfigurationError, InputError, shown


class UserStack:
    """The transports and cache of one user of one server."""

    def __init__(
        self,
        base_url: str,
        retry: Retry,
        credentials: Credentials,
        storage: Storage,
        timeouts: Timeouts,
        observer: Observer,
    ) -> None:
        self.base_url, self.storage = base_url, storage
        self._timeout_of_list, self._timeout_of_record = map(
            timeouts.for_read, (timeouts.list, timeouts.record)
        )
        self.login = Login(retry, base_url, credentials, timeouts)
        checked = CacheControl(self.login)
        cache = hishel.httpx.AsyncCacheTransport(checked, storage, rfc=hishel.CacheOptions(shared=False))
        self._freshness = Freshness(cache, checked, observer)

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        age_limit: AgeLimit | None = None,
        slow: bool = False,
        **body: Any,
    ) -> Answer:
        """Send a request and return its answer. ``slow`` requests are lists, for which Alyx needs seconds."""
        extensions: dict[str, Any] = {"timeout": self._timeout_of_list if slow else self._timeout_of_record}
        if age_limit is not None:
            extensions["age_limit"] = age_limit
        headers = {"Accept": "application/json", **(headers or {})}
        for _ in range(4):
            try:
                request = httpx.Request(
                    method, url, params=params, headers=headers, extensions=extensions, **body
                )
            except httpx.InvalidURL as error:
                raise InputError.of("url", url[:200], f"an address ({error})") from None
            response = await self._freshness.handle_async_request(request)
            if not 300 <= response.status_code < 400:
                parsed = response.extensions.pop("json", None)
                try:
                    answer = json_of(request, response) if parsed is None else parsed
                except AnswerError:
                    # Only valid JSON is stored, so another program changed the cache: request it again.
                    if age_limit is None or age_limit.max_age <= 0 or "stale" in response.extensions:
                        raise
                    age_limit = extensions["age_limit"] = AgeLimit(0.0)
                    continue
                return Answer(answer, requested_at(response), response.extensions.get("stale"))
            url, params = self._redirect(method, url, response.headers.get("location", "")), None
        raise AnswerError(f"{url} redirects without end", url=url)

    def _redirect(self, method: str, url: str, location: str) -> str:
        """Return the target of a redirect. Raises AnswerError unless it is a GET to the same server."""
        try:
            target = urljoin(url, location)
            external = origin(target) != origin(self.base_url)
        except (ValueError, httpx.InvalidURL):  # an invalid host in brackets, or an invalid port
            target, external = "", True
        if method != "GET" or not location or external:
            raise AnswerError(
                f"{url} redirects to {shown(location)}; if the server moved, change base_url", url=url
            )
        return target

    async def invalidate(self, url: str) -> None:
        """Invalidate the stored answers that a write to this address changes."""
        endpoints = caching.changed_by(caching.endpoint_of(url))
        self._freshness.invalidate(endpoints)
        await self.storage.expire(endpoints)


class Session:
    """Connections of a client on one event loop, and the stack of its current user."""

    def __init__(
        self,
        base_url: str,
        credentials: Credentials,
        timeouts: Timeouts,
        max_connections: int,
        cache_dir: Path | None,
        cache_storage: str | None,
        transport: Transport | None,
        retention: Callable[[], float],
        max_size: int,
        observer: Observer,
    ) -> None:
        self._observer = observer
        self._base_url, self._credentials, self._timeouts = base_url, credentials, timeouts
        self._cache_dir, self._cache_storage, self._retention = cache_dir, cache_storage, retention
        self.schemas: SingleFlight[Schema] = SingleFlight()
        self._lock = anyio.Lock()
        self.slots = anyio.CapacityLimiter(max_connections)
        self.retry = Retry(
            Network(base_url, timeouts.total, max_size, transport, observer), self.slots, observer
        )
        self._stack: UserStack | None = None
        self.streams = HttpStreamOpener(self._login, base_url, timeouts, max_connections, transport, observer)
        credentials.rebind()

    async def stack(self) -> UserStack:
        """Return the stack of the current user. The first call identifies the user, without a request."""
        if self._stack is not None:
            return self._stack
        async with self._lock:
            if self._stack is None:
                user = await self._credentials.identify()
                self._stack = UserStack(
                    self._base_url,
                    self.retry,
                    self._credentials,
                    self._storage(user),
                    self._timeouts,
                    self._observer,
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
                    "a Redis cache works with asyncio only; omit cache_storage"
                ) from error
            return RedisStorage(self._cache_storage, caching.user_key(self._base_url, user))
        folder = self._cache_dir
        file = None if folder is None else caching.cache_file(folder, self._base_url, user)
        return SQLiteStorage(ResponseStore(file, self._retention))

    async def switch(self, credentials: Credentials) -> None:
        """Use another user's credentials and cache for new requests; requests under way keep theirs."""
        async with self._lock:
            stack, self._stack, self._credentials = self._stack, None, credentials
            if stack is not None:
                await stack.storage.close()

    async def aclose(self) -> None:
        """Close all connections and the cache."""
        await self.streams.aclose()
        await self.retry.aclose()
        if self._stack is not None:
            await self._stack.storage.close()
