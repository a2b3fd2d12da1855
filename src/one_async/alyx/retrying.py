"""Timeouts, numbers of attempts and backoff. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass

from one_async.errors import InputError, ServerUnreachable

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
