"""The outermost transport: decide whether a stored response is young enough, and fall back on it without a server."""

from __future__ import annotations

import time

import hishel
import httpx

from one_async._concurrency import SingleFlight
from one_async._observer import LOGS, Observer
from one_async.alyx import caching
from one_async.alyx.caching import AgeLimit
from one_async.errors import ServerUnreachable, StatusError

#: Attempts to revalidate a stored response, which is the fallback if the server is unreachable.
REVALIDATION_ATTEMPTS = 3


def requested_at(response: httpx.Response) -> float:
    """Return when a response was requested, in seconds since 1970; 0 for one that was not stored."""
    return float(response.headers.get(caching.REQUESTED_AT, 0.0))


class Freshness(httpx.AsyncBaseTransport):
    """Return stored responses that are young enough, revalidate others, and fall back on them without a server.

    Concurrent requests of the same address share one request. Requests without an `AgeLimit` bypass the cache.
    """

    def __init__(
        self, cache: httpx.AsyncBaseTransport, uncached: httpx.AsyncBaseTransport, observer: Observer
    ) -> None:
        self.cache, self.uncached, self._observer = cache, uncached, observer
        self._flights: SingleFlight[httpx.Response] = SingleFlight()
        self._written: dict[str, float] = {}  # when each endpoint was last written to

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        limit = request.extensions.get("age_limit")
        if not isinstance(limit, AgeLimit) or request.method != "GET":
            return await self.uncached.handle_async_request(request)
        if limit.max_age != float("inf"):
            request.headers["Cache-Control"] = f"max-age={int(limit.max_age)}"
        url = str(request.url)
        if limit.max_age <= 0:
            response, is_stored = await self._refresh(request, limit), False
        else:
            asked = False

            async def ask() -> httpx.Response:
                nonlocal asked
                asked = True
                return await self._refresh(request, limit)

            # With the time of the last write in the key, later requests do not join one that began before the write.
            response = await self._flights.share(
                (url, self._last_write(request.url)),
                ask,
                lambda response: self._is_fresh(response, limit) or "stale" in response.extensions,
            )
            is_stored = not asked or _is_stored(response)
        self._observer.cache_answer(
            url, _age(response) if is_stored or "stale" in response.extensions else None
        )
        return response

    async def _refresh(self, request: httpx.Request, limit: AgeLimit) -> httpx.Response:
        """Return a fresh response from the cache or the server, or a stale one if the server is unreachable."""
        try:
            response = await self._send(request)
            if response.extensions["caching"]["from_cache"] and not self._is_fresh(response, limit):
                request.headers["Cache-Control"] = "no-cache"
                request.extensions["attempts"] = REVALIDATION_ATTEMPTS
                response = await self._send(request)
            return response
        except (ServerUnreachable, StatusError) as error:
            if isinstance(error, StatusError) and error.status not in (502, 503, 504):
                raise
            stale = await self._stored_response(request)
            if stale is None:
                raise
            stale.extensions["stale"] = (
                f"{error}; the stored answer returned is {_age(stale) / 3600:.1f} hours old"
            )
            LOGS["cache"].warning(
                "%s: a stored answer is returned: %s", request.url.path, type(error).__name__
            )
            return stale

    async def _send(self, request: httpx.Request) -> httpx.Response:
        response = await self.cache.handle_async_request(request)
        await response.aread()
        response.extensions["url"] = request.url
        return response

    async def _stored_response(self, request: httpx.Request) -> httpx.Response | None:
        """Return the stored response of any age, without a request to the server."""
        request.headers.pop("Cache-Control", None)
        any_age = {"rfc": hishel.CacheOptions(shared=False, allow_stale=True)}
        extensions = {**request.extensions, "only-if-cached": True, "caching": any_age}
        response = await self._send(
            httpx.Request("GET", request.url, headers=request.headers, extensions=extensions)
        )
        return None if response.status_code == 504 else response

    def _is_fresh(self, response: httpx.Response, limit: AgeLimit) -> bool:
        since = max(limit.since, self._last_write(response.extensions["url"]))
        return _age(response) <= limit.max_age and requested_at(response) >= since

    def _last_write(self, url: object) -> float:
        return self._written.get(caching.endpoint_of(str(url)), 0.0)

    def invalidate(self, endpoints: frozenset[str]) -> None:
        """Reject stored responses of these endpoints from before now."""
        for endpoint in endpoints:
            self._written[endpoint] = time.time()

    async def aclose(self) -> None:
        await self.cache.aclose()


def _is_stored(response: httpx.Response) -> bool:
    """Return whether a response came from the cache without a request."""
    status = response.extensions["caching"]
    return bool(status["from_cache"]) and not status["revalidated"]


def _age(response: httpx.Response) -> float:
    return time.time() - requested_at(response)
