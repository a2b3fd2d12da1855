"""How many requests at once, how many a minute: learnt from the answers. Pure; the clock is handed in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

#: The window of Alyx's throttle, in seconds (550 requests in 60 s are its default).
WINDOW = 60.0
#: What is taken of the throttle; the rest is for whoever else asks as this user.
SHARE = 0.97
#: Seconds by which a place in the window is taken later than it becomes free, since requests travel unevenly.
SLACK = 0.25
#: A 429 after fewer requests in a minute is taken for a passing mood, not for a throttle.
FEWEST = 20
#: An answer that takes so many times the shortest says that the server is busy, or overloaded.
BUSY, OVERLOADED = 2.5, 5.0
#: So many requests at once are no burden, however long they take.
MODEST = 4


class Concurrency:
    """How many requests may be under way: few at first, quickly more while latency holds, fewer when the server struggles."""

    def __init__(self, start: int = 8, most: int = 32) -> None:
        self.most = max(1, most)
        self.limit = float(min(start, self.most))
        self._opening = True  # four more for each answer, until the first sign of a busy server
        self._shortest: dict[str, float] = {}
        self._round: list[float] = []

    @property
    def allowed(self) -> int:
        """How many requests may be under way now."""
        return max(1, int(self.limit))

    def shortest(self, what: str) -> float:
        """Give the seconds of the quickest answer to this kind of question."""
        return self._shortest.get(what, 0.0)

    def good(self, what: str, seconds: float) -> None:
        """Count an answer to this kind of question; the middle one of each round is compared with the shortest."""
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
        """Count a 503, a broken connection or a time-out: half as many from now on."""
        self._opening = False
        self._round.clear()
        self.limit = max(1.0, self.limit / 2)


class Pace:
    """Keep just under a throttle that is unknown until the server says 429.

    Alyx counts the requests of the last minute and refuses those beyond its limit without counting them: what it had
    counted when it refused is its limit. From then on a request is sent once the one so many before it has left the
    window. Where others ask as the same user the limit found is too low, so it grows while nothing is refused.
    """

    def __init__(self, clock: Callable[[], float], window: float = WINDOW) -> None:
        self._clock, self._window = clock, window
        self._sent: deque[float] = deque()
        self._resume = self._grown = 0.0
        self._since = float("-inf")  # when the first refusal of the present pause came
        self._estimate = 0
        self._alone = True
        self.limit: int | None = None
        self.refused = 0

    def delay(self) -> float:
        """Give the seconds until a request may be sent."""
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
        """Note that a request is sent now; gives its mark."""
        now = self._clock()
        self._sent.append(now)
        return now

    def was_refused(self, mark: float, wait: float | None) -> None:
        """Note a 429, with the server's Retry-After, for the request with this mark: it was not counted."""
        now = self._clock()
        self.refused += 1
        if mark in self._sent:
            self._sent.remove(mark)
        self._forget(now)
        pause = 1.0 if wait is None else max(wait, 0.05)
        if mark <= self._since:  # sent before the refusal that is known already
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
