"""The REST cache: which answers are stored, whether a stored one is young enough, and how a caller bypasses the cache.

hishel implements the HTTP cache (RFC 9111). This package adds what it or Alyx lacks:

- Alyx sends no Cache-Control, so the transport `CacheControl` marks good JSON answers as cacheable.
- hishel 2.0.0 ignores ``max-age`` and ``max-stale`` of requests (section 5.2.1), so `Freshness` compares the age of
  a stored answer with the `AgeLimit` of each request.
- A write changes the answers of more addresses than its own. ``writes.ALSO_CHANGED`` lists their endpoints, whose answers
  are then deleted.
- Answers are private: each user of each server has a file of its own, readable by its owner alone (0600).
- A damaged file must not make requests fail. `ResponseStore` checks a CRC of every row, renames a damaged file to
  ``.damaged``, and limits the size of the file.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from one_async._concurrency import SingleFlight
from one_async._observer import LOGS, Observer
from one_async._warnings import warn
from one_async.errors import InputError, ServerUnreachable, StaleAnswerWarning, StatusError
from one_async.types import Expiry

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

DEFAULT_EXPIRY = timedelta(hours=24)
#: Header of stored responses: when they were requested, in seconds since 1970.
REQUESTED_AT = "one-stored-at"
#: Cache-Control of answers for which the server sets no policy; `Freshness` then compares their age.
CACHEABLE = "private, max-age=315360000"
NO_STORE = "no-store"
#: Endpoints whose GET has side effects or whose answers are valid for a moment only.
NEVER_STORED = frozenset({"auth-token", "check-protected", "sync-file-status"})
#: Attempts to revalidate a stored response, which is the fallback if the server is unreachable.
REVALIDATION_ATTEMPTS = 3
#: Minimum time for which answers are stored: old ones are the fallback while the server is unreachable.
MIN_RETENTION = timedelta(days=30)


def max_age(expires: Expiry, default: Expiry = None) -> float:
    """Return the maximum age of an answer in seconds; infinity for any age.

    None means ``default``, whose None means any age. True means any age, False or 0 none, a datetime "stored since
    then". Raises InputError for anything else.
    """
    if expires is None:
        return math.inf if default is None else max_age(default)
    if isinstance(expires, bool):
        return math.inf if expires else 0.0
    if isinstance(expires, timedelta):
        seconds = expires.total_seconds()
    elif isinstance(expires, datetime):
        seconds = time.time() - expires.timestamp()
    elif isinstance(expires, int | float):
        seconds = float(expires)
    else:
        raise InputError.of("expires", expires, "a timedelta, seconds, a datetime, True, False or None")
    if math.isnan(seconds):
        raise InputError.of("expires", expires, "a timedelta, seconds, a datetime, True, False or None")
    return max(seconds, 0.0)


def retention(default: Expiry) -> float:
    """Return how many seconds answers are stored if ``default`` is the usual maximum age."""
    return max(max_age(default), MIN_RETENTION.total_seconds())


def endpoint_of(url: str) -> str:
    """Return the first part of an address's path: ``sessions`` for ``/sessions/<id>?x=y``."""
    return urlsplit(url).path.strip("/").split("/", 1)[0]


def cache_control(url: str, status: int, has_policy: bool) -> str | None:
    """Return the Cache-Control to set on an answer; None to keep the policy that the server or a proxy sent."""
    if status not in (200, 304) or endpoint_of(url) in NEVER_STORED:
        return NO_STORE
    return None if has_policy else CACHEABLE


@dataclass(frozen=True, slots=True)
class AgeLimit:
    """The maximum age of an answer in seconds, and the earliest time of its request (seconds since 1970)."""

    max_age: float
    since: float = 0.0


# ---- the age of stored answers --------------------------------------------------------------------------


def requested_at(response: httpx.Response) -> float:
    """Return when a response was requested, in seconds since 1970; 0 for one that was not stored."""
    return float(response.headers.get(REQUESTED_AT, 0.0))


class Freshness:
    """Return stored responses that are young enough, revalidate others, and fall back on them without a server.

    Concurrent requests of the same address share one request. Requests without an `AgeLimit` bypass the cache.
    """

    def __init__(
        self, cache: httpx.AsyncBaseTransport, uncached: httpx.AsyncBaseTransport, observer: Observer
    ) -> None:
        self._cache, self._uncached, self._observer = cache, uncached, observer
        self._flights: SingleFlight[httpx.Response] = SingleFlight()
        self._written: dict[str, float] = {}  # when each endpoint was last written to

    async def send(self, request: httpx.Request, limit: AgeLimit | None) -> httpx.Response:
        """Return the response to a request, from the cache if it is a GET with an age limit."""
        if limit is None or request.method != "GET":
            return await self._uncached.handle_async_request(request)
        if limit.max_age != math.inf:
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
                (url, self._last_write(url)),
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
            response = await self._ask_cache(request)
            if response.extensions["caching"]["from_cache"] and not self._is_fresh(response, limit):
                request.headers["Cache-Control"] = "no-cache"
                request.extensions["attempts"] = REVALIDATION_ATTEMPTS
                response = await self._ask_cache(request)
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

    async def _ask_cache(self, request: httpx.Request) -> httpx.Response:
        response = await self._cache.handle_async_request(request)
        await response.aread()
        response.extensions["url"] = request.url
        return response

    async def _stored_response(self, request: httpx.Request) -> httpx.Response | None:
        """Return the stored response of any age, without a request to the server."""
        import hishel  # not at the top: importing both takes a while, and the session has imported them
        import httpx

        request.headers.pop("Cache-Control", None)
        any_age = {"rfc": hishel.CacheOptions(shared=False, allow_stale=True)}
        extensions = {**request.extensions, "only-if-cached": True, "caching": any_age}
        response = await self._ask_cache(
            httpx.Request("GET", request.url, headers=request.headers, extensions=extensions)
        )
        return None if response.status_code == 504 else response

    def _is_fresh(self, response: httpx.Response, limit: AgeLimit) -> bool:
        since = max(limit.since, self._last_write(str(response.extensions["url"])))
        return _age(response) <= limit.max_age and requested_at(response) >= since

    def _last_write(self, url: str) -> float:
        return self._written.get(endpoint_of(url), 0.0)

    def invalidate(self, endpoints: frozenset[str]) -> None:
        """Reject stored responses of these endpoints from before now."""
        for endpoint in endpoints:
            self._written[endpoint] = time.time()


def _is_stored(response: httpx.Response) -> bool:
    """Return whether a response came from the cache without a request."""
    status = response.extensions["caching"]
    return bool(status["from_cache"]) and not status["revalidated"]


def _age(response: httpx.Response) -> float:
    return time.time() - requested_at(response)


# ---- bypassing the cache --------------------------------------------------------------------------------

_bypassed: ContextVar[frozenset[str]] = ContextVar("one_async_no_cache", default=frozenset())
_ALL_CLIENTS = "*"


@contextmanager
def no_cache(ac: T = None) -> Iterator[T]:  # type: ignore[assignment]
    """Bypass the REST cache of a client in this task or thread: answers are neither read from it nor stored.

    ``ac`` is a client (async or blocking), or a ONE, whose ``alyx`` is then used; None means every client.
    Other tasks keep using the cache; tasks started inside bypass it too.

    Examples:
        >>> from one_async import no_cache
        >>> with no_cache(one.alyx):
        ...     eids = await one.search(lab="summitlab", query_type="remote")
    """
    scope: Any = _ALL_CLIENTS
    if ac is not None:
        scope = getattr(getattr(ac, "alyx", ac), "cache_scope", None)
        if not isinstance(scope, str):
            raise InputError.of("ac", ac, "an AlyxClient, a ONE, or None for all clients")
    token = _bypassed.set(_bypassed.get() | {scope})
    try:
        yield ac
    finally:
        _bypassed.reset(token)


def is_bypassed(scope: str) -> bool:
    """Return whether the caller is inside ``no_cache`` for the client with this scope."""
    scopes = _bypassed.get()
    return bool(scopes) and (scope in scopes or _ALL_CLIENTS in scopes)


# ---- warnings about stale answers --------------------------------------------------------------------

_stale: ContextVar[list[str] | None] = ContextVar("one_async_stale_answers", default=None)


def note_stale(text: str) -> None:
    """Warn StaleAnswerWarning at the end of the enclosing ``one_warning``, or now without one."""
    notes = _stale.get()
    if notes is None:
        warn(text, StaleAnswerWarning)
    else:
        notes.append(text)


@contextmanager
def one_warning() -> Iterator[None]:
    """Collect the warnings about stale answers inside, and warn StaleAnswerWarning once at the end."""
    if _stale.get() is not None:
        yield
        return
    notes: list[str] = []
    token = _stale.set(notes)
    try:
        yield
    finally:
        _stale.reset(token)
        if notes:
            more = f" (and {len(notes) - 1} more)" if len(notes) > 1 else ""
            warn(f"{notes[0]}{more}", StaleAnswerWarning)
