"""Adapt concurrency and request rate to a server's answers. No I/O; the clock is an argument."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

#: The window of Alyx's throttle, in seconds (550 requests in 60 s are its default).
WINDOW = 60.0
#: The share of the throttle that is used; the rest is left to other clients of this user.
SHARE = 0.97
#: Seconds to wait after a place in the window becomes free, since network delays vary between requests.
SLACK = 0.25
#: A 429 after fewer requests in a minute is not taken for the throttle's limit.
FEWEST = 20
#: Multiples of the shortest answer time that mean a busy and an overloaded server.
BUSY, OVERLOADED = 2.5, 5.0
#: Concurrency that is not reduced further because of latency.
MODEST = 4


class Concurrency:
    """The number of concurrent requests, which grows while latency is stable and shrinks when the server is overloaded."""

    def __init__(self, start: int = 8, most: int = 32) -> None:
        self.most = max(1, most)
        self.limit = float(min(start, self.most))
        self._opening = True  # grow by four for each answer, until the first sign of a busy server
        self._shortest: dict[str, float] = {}
        self._round: list[float] = []

    @property
    def allowed(self) -> int:
        """The number of requests that may be under way now."""
        return max(1, int(self.limit))

    def good(self, what: str, seconds: float) -> None:
        """Record the latency of an answer; the median of each round is compared with the shortest of its kind."""
        shortest = self._shortest[what] = min(self._shortest.get(what, seconds), seconds)
        ratio = seconds / max(shortest, 1e-6)
        self._round.append(ratio)
        if self._opening and ratio <= BUSY:
            self.limit = min(self.most, self.limit + 4)
        if len(self._round) < self.allowed:
            return
        middle = sorted(self._round)[len(self._round) // 2]
        self._round.clear()
        if middle > BUSY:
            self._opening = False
            if middle > OVERLOADED:
                self.limit = min(self.limit, max(MODEST, self.limit * 0.8))
        elif not self._opening:
            self.limit = min(self.most, self.limit + 1)

    def bad(self) -> None:
        """Halve the concurrency after a 503, a broken connection or a time-out."""
        self._opening = False
        self._round.clear()
        self.limit = max(1.0, self.limit / 2)


class Pace:
    """Keep the request rate just under a throttle whose limit is unknown until the server answers 429.

    Alyx counts the requests of the last minute and refuses those beyond its limit without counting them, so the number
    counted at a refusal is the limit. From then on a request waits until the one `limit` before it has left the window.
    The limit found is too low if other clients of the same user were active, so it grows while nothing is refused.
    """

    def __init__(self, clock: Callable[[], float], window: float = WINDOW) -> None:
        self._clock, self._window = clock, window
        self._sent: deque[float] = deque()
        self._resume = self._grown = 0.0
        self._since = float("-inf")  # time of the first refusal of the current pause
        self._estimate = 0
        self._alone = True
        self.limit: int | None = None
        self.refused = 0

    def delay(self) -> float:
        """Return the seconds until a request may be sent."""
        now = self._clock()
        self._forget(now)
        wait = self._resume - now
        if self.limit is not None:
            if not self._alone and now - self._grown > self._window:
                self.limit, self._grown = self.limit + self.limit // 20 + 1, now
            if len(self._sent) >= self.limit:
                wait = max(wait, self._sent[len(self._sent) - self.limit] + self._window + SLACK - now)
        return max(0.0, wait)

    def sending(self) -> float:
        """Record that a request is sent now; return the time, which identifies it."""
        now = self._clock()
        self._sent.append(now)
        return now

    def was_refused(self, mark: float, wait: float | None) -> None:
        """Record a 429 for the request sent at `mark`, which the server did not count, with its Retry-After."""
        now = self._clock()
        self.refused += 1
        if mark in self._sent:
            self._sent.remove(mark)
        self._forget(now)
        pause = 1.0 if wait is None else max(wait, 0.05)
        if mark <= self._since:  # sent before a refusal that is already known
            self._estimate -= 1
        else:
            self._since, self._estimate, self._grown = now, len(self._sent), now
            freed = self._sent[0] + self._window if self._sent else now
            self._alone = abs(freed - now - pause) < 3.0
            self._resume = now + pause + SLACK
        if self._estimate >= FEWEST:
            self.limit = max(FEWEST, int(self._estimate * SHARE))

    def _forget(self, now: float) -> None:
        while self._sent and self._sent[0] <= now - self._window - SLACK:
            self._sent.popleft()
