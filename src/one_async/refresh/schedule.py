"""The schedule of checks for newer tables. The caller supplies the time, in seconds since 1970."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import timedelta

from one_async.errors import InputError

__all__ = ["DAY", "Schedule", "seconds_of"]

DAY = 86_400.0
#: The largest random delay of a check, as a fraction of the time between two checks.
SPREAD = 0.1
#: The shortest time between two checks of the background task, in seconds.
SHORTEST = 0.25


def seconds_of(expiry: timedelta | float | None) -> float:
    """Return an expiry in seconds; 24 h for None. Raises InputError for a value that is not a time span."""
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
    """The time of the last check and the failures since, which determine the time of the next check.

    ``rng`` spreads the checks of many clients over time.
    """

    expiry: float = DAY
    checked: float | None = None
    failures: int = 0
    rng: random.Random = field(default_factory=random.Random, repr=False)
    _retry_at: float = 0.0
    _jitter: float = 0.0

    def is_expired(self, now: float) -> bool:
        """Return whether the last check is older than the expiry, or in the future because of a wrong clock."""
        return self.checked is None or not 0 <= now - self.checked < self.expiry

    def due_in(self, now: float) -> float:
        """Return the seconds until the next check; 0 if it is due."""
        if self.failures:
            return min(max(self._retry_at - now, 0.0), self.expiry)
        if self.checked is None or self.checked > now:
            return 0.0
        # The order matters: a short expiry that is added to seconds since 1970 would be rounded.
        return max(self.expiry * (1 + self._jitter) - (now - self.checked), 0.0)

    def succeeded(self, at: float) -> None:
        """Record a successful check."""
        self.checked, self.failures = at, 0
        self._jitter = SPREAD * self.rng.random()

    def failed(self, now: float) -> None:
        """Record a failed check; the next attempts follow after about 1, 2, 4… seconds, at most the expiry."""
        self.failures += 1
        pause = min(2.0 ** min(self.failures, 40), self.expiry)
        self._retry_at = now + pause * (0.5 + 0.5 * self.rng.random())
