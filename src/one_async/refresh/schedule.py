"""When to ask the server again: arithmetic on seconds since 1970, without a clock of its own."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import timedelta

from one_async.errors import InputError

__all__ = ["DAY", "Schedule", "seconds_of"]

DAY = 86_400.0
#: Of the time between two checks, the part by which chance may delay the next.
SPREAD = 0.1
#: However short the expiry is, the background task asks no more often than this, in seconds.
SHORTEST = 0.25


def seconds_of(expiry: timedelta | float | None) -> float:
    """Return an expiry in seconds, 24 h for None; raises InputError for what is no time span."""
    if expiry is None:
        return DAY
    accepted = "a timedelta or a number of seconds, 0 or more"
    if isinstance(expiry, bool) or not isinstance(expiry, timedelta | int | float):
        raise InputError.of("cache_expiry", expiry, accepted)
    seconds = expiry.total_seconds() if isinstance(expiry, timedelta) else float(expiry)
    if not 0 <= seconds < float("inf"):
        raise InputError.of("cache_expiry", expiry, accepted)
    return seconds


@dataclass
class Schedule:
    """When the server was asked, how often that failed since, and so when it is to be asked again.

    ``chance`` gives numbers from 0 to 1, so that a thousand clients do not ask at the same second.
    """

    expiry: float = DAY
    checked: float | None = None
    failures: int = 0
    chance: random.Random = field(default_factory=random.Random, repr=False)
    _retry_at: float = 0.0
    _late: float = 0.0

    def is_expired(self, now: float) -> bool:
        """Return whether the last answer is older than the expiry; a moment to come counts as a wrong clock."""
        return self.checked is None or not 0 <= now - self.checked < self.expiry

    def due_in(self, now: float) -> float:
        """Return the seconds until the next check; 0 if it is due."""
        if self.failures:
            return min(max(self._retry_at - now, 0.0), self.expiry)
        if self.checked is None or self.checked > now:
            return 0.0
        # In this order, since beside seconds since 1970 a short expiry would be rounded.
        return max(self.expiry * (1 + self._late) - (now - self.checked), 0.0)

    def succeeded(self, at: float) -> None:
        """Note that the server was asked."""
        self.checked, self.failures = at, 0
        self._late = SPREAD * self.chance.random()

    def failed(self, now: float) -> None:
        """Note that it could not be asked: the next attempts come after some 1, 2, 4… seconds, up to the expiry."""
        self.failures += 1
        pause = min(2.0 ** min(self.failures, 40), self.expiry)
        self._retry_at = now + pause * (0.5 + 0.5 * self.chance.random())
