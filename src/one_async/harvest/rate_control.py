"""Adapt concurrency and request rate to a server's answers. No I/O; the clock is an argument."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

#: The window of Alyx's throttle, in seconds (550 requests in 60 s are its default).
WINDOW = 60.0
#: The share of the throttle's limit that is used; the rest is left to other clients of this user.
SHARE = 0.97
#: Seconds to wait after a slot in the window becomes free, since network delays vary between requests.
SLACK = 0.25
#: The fewest requests in a window at which a 429 is taken for the throttle's limit.
FEWEST = 20
#: Multiples of the shortest latency that indicate a busy and an overloaded server.
BUSY, OVERLOADED = 2.5, 5.0
#: The concurrency below which latency reduces it no further.
LATENCY_FLOOR = 4


class Concurrency:
    """The number of concurrent requests: grows while latency is stable, shrinks when the server is overloaded."""

    def __init__(self, start: int = 8, most: int = 32) -> None:
        self.most = max(1, most)
        self.limit = float(min(start, self.most))
        self._slow_start = True  # grow by four for each answer, until the server is busy for the first time
        self._shortest: dict[str, float] = {}
        self._round: list[float] = []

    @property
    def allowed(self) -> int:
        """The number of requests that may be under way now."""
        return max(1, int(self.limit))

    def record_latency(self, endpoint: str, seconds: float) -> None:
        """Record the latency of an answer, and adapt to the median of each round, relative to the endpoint's shortest."""
        shortest = self._shortest[endpoint] = min(self._shortest.get(endpoint, seconds), seconds)
        ratio = seconds / max(shortest, 1e-6)
        self._round.append(ratio)
        if self._slow_start and ratio <= BUSY:
            self.limit = min(self.most, self.limit + 4)
        if len(self._round) < self.allowed:
            return
        median = sorted(self._round)[len(self._round) // 2]
        self._round.clear()
        if median > BUSY:
            self._slow_start = False
            if median > OVERLOADED:
                self.limit = min(self.limit, max(LATENCY_FLOOR, self.limit * 0.8))
        elif not self._slow_start:
            self.limit = min(self.most, self.limit + 1)

    def record_failure(self) -> None:
        """Halve the concurrency after a 503, a broken connection or a timeout."""
        self._slow_start = False
        self._round.clear()
        self.limit = max(1.0, self.limit / 2)


class Pace:
    """Keeps the request rate just under a throttle whose limit is unknown until the server answers 429.

    Alyx counts the requests of the last minute and refuses those beyond its limit without counting them, so the number
    counted at a refusal is the limit. From then on, a request waits until the request `limit` places before it has left
    the window. The limit found is too low if other clients of the same user were active, so it grows while nothing is
    refused.
    """

    def __init__(self, clock: Callable[[], float], window: float = WINDOW) -> None:
        self._clock, self._window = clock, window
        self._sent: deque[float] = deque()
        self._resume = self._grown_at = 0.0
        self._refused_since = float("-inf")  # time of the first refusal of the current pause
        self._estimate = 0
        self._is_only_client = True
        self.limit: int | None = None
        self.refused = 0

    def delay(self) -> float:
        """Return the seconds until a request may be sent."""
        now = self._clock()
        self._forget(now)
        wait = self._resume - now
        if self.limit is not None:
            if not self._is_only_client and now - self._grown_at > self._window:
                self.limit, self._grown_at = self.limit + self.limit // 20 + 1, now
            if len(self._sent) >= self.limit:
                wait = max(wait, self._sent[len(self._sent) - self.limit] + self._window + SLACK - now)
        return max(0.0, wait)

    def record_request(self) -> float:
        """Record that a request is sent now; return the time, which identifies the request."""
        now = self._clock()
        self._sent.append(now)
        return now

    def record_refusal(self, mark: float, wait: float | None) -> None:
        """Record a 429 and its Retry-After for the request sent at `mark`, which the server did not count."""
        now = self._clock()
        self.refused += 1
        if mark in self._sent:
            self._sent.remove(mark)
        self._forget(now)
        pause = 1.0 if wait is None else max(wait, 0.05)
        if mark <= self._refused_since:  # sent before a refusal that is already known
            self._estimate -= 1
        else:
            self._refused_since, self._estimate, self._grown_at = now, len(self._sent), now
            freed = self._sent[0] + self._window if self._sent else now
            self._is_only_client = abs(freed - now - pause) < 3.0
            self._resume = now + pause + SLACK
        if self._estimate >= FEWEST:
            self.limit = max(FEWEST, int(self._estimate * SHARE))

    def _forget(self, now: float) -> None:
        while self._sent and self._sent[0] <= now - self._window - SLACK:
            self._sent.popleft()
