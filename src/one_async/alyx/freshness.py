"""The top of the stack: judge how old an answer may be, and put the transports together."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin

from one_async._concurrency import SingleFlight
from one_async.alyx import caching
from one_async.alyx.answers import Answer
from one_async.alyx.caching import Terms
from one_async.alyx.http import STORED, Login, Retry, Stamp, Transport, hishel, httpx, json_of, origin
from one_async.alyx.login import Credentials
from one_async.alyx.redis_storage import Storage
from one_async.alyx.retrying import Timeouts
from one_async.errors import AnswerError, InputError, ServerUnreachable, StatusError, shown

#: Attempts where an old answer is at hand if nobody answers.
HASTY = 3


def _asked(response: httpx.Response) -> float:
    return float(response.headers.get(STORED, 0.0))


class Freshness(Transport):
    """Judge whether what the cache gives is young enough, ask again if not, and fall back on it if nobody answers.

    hishel 2.0.0 ignores ``max-age`` and ``max-stale`` of requests (RFC 9111 section 5.2.1), so this does it. Tasks that
    ask the same at the same time make one request. Requests without Terms go round the cache.
    """

    def __init__(self, cache: Transport, around: Transport) -> None:
        self.cache, self.around = cache, around
        self._flights: SingleFlight[httpx.Response] = SingleFlight()
        self._written: dict[str, float] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        terms = request.extensions.get("terms")
        if not isinstance(terms, Terms) or request.method != "GET":
            return await self.around.handle_async_request(request)
        if terms.max_age != float("inf"):
            request.headers["Cache-Control"] = f"max-age={int(terms.max_age)}"
        if terms.max_age <= 0:
            return await self._answer(request, terms)
        # A write begins a new generation: who asks after it does not join an answer from before.
        key = (str(request.url), self._written.get(caching.endpoint_of(str(request.url)), 0.0))
        return await self._flights.share(
            key,
            lambda: self._answer(request, terms),
            lambda answer: self._young(answer, terms) or "stale" in answer.extensions,
        )

    async def _answer(self, request: httpx.Request, terms: Terms) -> httpx.Response:
        try:
            response = await self._ask(request)
            if response.extensions["caching"]["from_cache"] and not self._young(response, terms):
                request.headers["Cache-Control"] = "no-cache"
                request.extensions["attempts"] = HASTY
                response = await self._ask(request)
            return response
        except (ServerUnreachable, StatusError) as error:
            if isinstance(error, StatusError) and error.status not in (502, 503, 504):
                raise
            stale = await self._stored(request)
            if stale is None:
                raise
            stale.extensions["stale"] = (
                f"{error}; the answer given is {self._age(stale) / 3600:.1f} hours old"
            )
            return stale

    async def _ask(self, request: httpx.Request) -> httpx.Response:
        response = await self.cache.handle_async_request(request)
        await response.aread()
        response.extensions["url"] = request.url
        return response

    async def _stored(self, request: httpx.Request) -> httpx.Response | None:
        request.headers.pop("Cache-Control", None)
        any_age = {"rfc": hishel.CacheOptions(shared=False, allow_stale=True)}
        extensions = {**request.extensions, "only-if-cached": True, "caching": any_age}
        response = await self._ask(
            httpx.Request("GET", request.url, headers=request.headers, extensions=extensions)
        )
        return None if response.status_code == 504 else response

    def _age(self, response: httpx.Response) -> float:
        return time.time() - _asked(response)

    def _young(self, response: httpx.Response, terms: Terms) -> bool:
        since = max(terms.since, self._written.get(caching.endpoint_of(str(response.extensions["url"])), 0.0))
        return self._age(response) <= terms.max_age and _asked(response) >= since

    def written(self, endpoints: frozenset[str]) -> None:
        """Begin a new generation of answers of these endpoints."""
        for endpoint in endpoints:
            self._written[endpoint] = time.time()

    async def aclose(self) -> None:
        await self.cache.aclose()


class Stack:
    """The transports of one user of one server, on one event loop."""

    def __init__(
        self,
        base_url: str,
        retry: Retry,
        credentials: Credentials,
        storage: Storage,
        timeouts: Timeouts,
    ) -> None:
        self.base_url, self.storage, self.timeouts = base_url, storage, timeouts
        self.login = Login(retry, base_url, credentials, timeouts)
        stamp = Stamp(self.login)
        cache = hishel.httpx.AsyncCacheTransport(stamp, storage, rfc=hishel.CacheOptions(shared=False))
        self.top = Freshness(cache, stamp)

    async def ask(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        terms: Terms | None = None,
        slow: bool = False,
        **body: Any,
    ) -> Answer:
        """Send a request and give its answer; ``slow`` for lists, which take Alyx seconds."""
        wait = self.timeouts.for_read(self.timeouts.list if slow else self.timeouts.record)
        extensions: dict[str, Any] = {"timeout": wait} if terms is None else {"timeout": wait, "terms": terms}
        sent = {"Accept": "application/json", **(headers or {})}
        for _ in range(4):
            try:
                request = httpx.Request(
                    method, url, params=params, headers=sent, extensions=extensions, **body
                )
            except httpx.InvalidURL as error:
                raise InputError.of("url", url[:200], f"an address ({error})") from None
            response = await self.top.handle_async_request(request)
            if not 300 <= response.status_code < 400:
                known = response.extensions.pop("json", None)
                try:
                    answer = json_of(request, response) if known is None else known
                except AnswerError:
                    # Only good JSON is stored: another program wrote this, so that it is no answer.
                    if terms is None or terms.max_age <= 0 or "stale" in response.extensions:
                        raise
                    terms = Terms(0.0)
                    extensions["terms"] = terms
                    continue
                return Answer(answer, _asked(response), response.extensions.get("stale"))
            url, params = self._redirect(method, url, response.headers.get("location", "")), None
        raise AnswerError(f"{url} redirects without end", url=url)

    def _redirect(self, method: str, url: str, location: str) -> str:
        try:
            target = urljoin(url, location)
            elsewhere = origin(target) != origin(self.base_url)
        except (ValueError, httpx.InvalidURL):  # a host in brackets that is none, a port that is no number
            target, elsewhere = "", True
        if method != "GET" or not location or elsewhere:
            raise AnswerError(
                f"{url} redirects to {shown(location)}; if the server moved, change base_url", url=url
            )
        return target

    async def wrote(self, url: str) -> None:
        """Make stored answers stale that a write to this address changed."""
        endpoints = caching.changed_by(caching.endpoint_of(url))
        self.top.written(endpoints)
        await self.storage.expire(endpoints)

    async def clear(self) -> None:
        """Forget all stored answers of this user."""
        await self.storage.clear()
