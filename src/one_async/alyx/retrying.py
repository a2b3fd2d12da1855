"""How long to wait, and how often to try. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass

from one_async.errors import InputError, ServerUnreachable

#: For broken connections and 502, 503, 504; for a server that does not answer in time.
ATTEMPTS, SLOW_ATTEMPTS = 5, 2
#: Seconds that one request waits, all in all, because the server says so.
PATIENCE = 300.0
#: Seconds before the second attempt and, doubled each time, at most before a later one.
FIRST_WAIT, LONGEST_WAIT = 0.2, 5.0
#: What may be repeated though the server may have seen it.
SAFE = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait: for a connection, the next bytes of a record, list or login, and a whole answer."""

    connect: float = 10.0
    record: float = 60.0
    list: float = 120.0
    login: float = 30.0
    total: float = 600.0

    @classmethod
    def of(cls, given: Timeouts | float | None) -> Timeouts:
        """Take a number as the limit for records and lists alike."""
        if given is None:
            return cls()
        if isinstance(given, Timeouts):
            return given
        if isinstance(given, bool) or not isinstance(given, int | float) or not given > 0:
            raise InputError.of("timeout", given, "seconds above 0")
        wait = float(given)
        return cls(connect=min(10.0, wait), record=wait, list=wait, login=min(30.0, wait), total=5 * wait)

    def on(self, read: float) -> dict[str, float | None]:
        """Return them as httpx wants them of a request; the pool never makes anybody wait, the limiter does."""
        return {"connect": self.connect, "read": read, "write": read, "pool": None}


def attempts(method: str, error: ServerUnreachable) -> int:
    """Return how often a request may be tried that ended like this; what was sent and may change things, once."""
    if getattr(error, "sent", True) and method not in SAFE:
        return 1
    return SLOW_ATTEMPTS if getattr(error, "slow", False) else ATTEMPTS


def backoff(attempt: int) -> float:
    """Return the seconds before the next attempt, half of them by chance."""
    return min(FIRST_WAIT * 2.0 ** (attempt - 1), LONGEST_WAIT) * random.uniform(0.5, 1.0)
