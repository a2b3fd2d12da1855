"""Timeouts, and the repetition of requests: attempts, backoff, Retry-After, and the pause that a throttle demands."""

from __future__ import annotations

import random
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from one_async._observer import Observer, resending
from one_async._parse_retry_after import retry_after
from one_async.errors import InputError, ServerUnreachable

if TYPE_CHECKING:
    import httpx

#: Attempts after broken connections and 502, 503, 504; attempts after timeouts.
ATTEMPTS, SLOW_ATTEMPTS = 5, 2
#: Total seconds that one request waits because of Retry-After or 429.
PATIENCE = 300.0
#: Seconds before the second attempt, doubled for each later one, and their maximum.
FIRST_WAIT, LONGEST_WAIT = 0.2, 5.0
#: Methods that may be repeated after the server may have received the request.
SAFE = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Timeouts in seconds: to connect, to read the next bytes of a record, list or login, and for a whole response."""

    connect: float = 10.0
    record: float = 60.0
    list: float = 120.0
    login: float = 30.0
    total: float = 600.0

    @classmethod
    def of(cls, timeout: Timeouts | float | None) -> Timeouts:
        """Return timeouts for the ``timeout`` argument; a number limits reads of both records and lists."""
        if timeout is None:
            return cls()
        if isinstance(timeout, Timeouts):
            return timeout
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
            raise InputError.of("timeout", timeout, "seconds above 0")
        wait = float(timeout)
        return cls(connect=min(10.0, wait), record=wait, list=wait, login=min(30.0, wait), total=5 * wait)

    def for_read(self, read: float) -> dict[str, float | None]:
        """Return the timeout extension of an httpx request. No pool timeout: the capacity limiter queues requests."""
        return {"connect": self.connect, "read": read, "write": read, "pool": None}


def attempts(method: str, error: ServerUnreachable) -> int:
    """Return the maximum number of attempts after this error; 1 for a sent request that may have changed data."""
    if getattr(error, "sent", True) and method not in SAFE:
        return 1
    return SLOW_ATTEMPTS if getattr(error, "slow", False) else ATTEMPTS


def backoff(attempt: int) -> float:
    """Return the seconds before the next attempt, with up to 50 % of jitter."""
    return min(FIRST_WAIT * 2.0 ** (attempt - 1), LONGEST_WAIT) * random.uniform(0.5, 1.0)


class Retry:
    """Repeat requests after temporary failures, with at most ``slots`` requests at once.

    Repeated are: GET, HEAD and logins (which always return the same token) after a broken connection or 502, 503, 504;
    all methods after 429 or if the request was not sent. A 429 delays all requests, not only the refused one; the delay
    counts towards PATIENCE, not as an attempt. 500 is not repeated: Alyx responds with it to invalid queries.
    """

    def __init__(
        self, inner: httpx.AsyncBaseTransport, slots: anyio.CapacityLimiter, observer: Observer
    ) -> None:
        self.inner, self.slots, self._observer = inner, slots, observer
        self.requests, self.retries = 0, 0
        self._resume = 0.0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        attempt, waited, resends = 1, 0.0, 0
        max_attempts = request.extensions.get("attempts", ATTEMPTS)
        method = "GET" if request.extensions.get("repeatable") else request.method
        while True:
            try:
                async with self.slots:
                    await self._wait_for_throttle()
                    self.requests += 1
                    with resending(resends) if resends else nullcontext():
                        response = await self.inner.handle_async_request(request)
            except ServerUnreachable as error:
                if attempt >= min(max_attempts, attempts(method, error)):
                    raise
                delay, attempt, reason = backoff(attempt), attempt + 1, type(error).__name__
            else:
                reason = str(response.status_code)
                requested_delay = retry_after(response.headers.get("retry-after"))
                if response.status_code == 429:
                    delay = max(requested_delay or backoff(attempt), 0.05)
                    waited, attempt = waited + delay, min(attempt + 1, 6)
                    if waited <= PATIENCE:
                        self._resume = max(self._resume, anyio.current_time() + delay)
                elif response.status_code in (502, 503, 504) and method in SAFE and attempt < max_attempts:
                    delay = max(requested_delay or 0.0, backoff(attempt))
                    waited, attempt = waited + delay, attempt + 1
                else:
                    return response
                if waited > PATIENCE:
                    return response
            self.retries, resends = self.retries + 1, resends + 1
            with resending(resends - 1):
                await self._observer.retry(
                    "http", request.method, str(request.url), reason, delay, throttled=reason == "429"
                )

    async def _wait_for_throttle(self) -> None:
        while (left := self._resume - anyio.current_time()) > 0:
            await self._observer.sleep(left)

    async def aclose(self) -> None:
        await self.inner.aclose()
