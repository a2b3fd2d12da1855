"""Concurrency and pace, against simulated servers and a simulated clock."""

from __future__ import annotations

import heapq
import math
import random
from collections import deque

import pytest

from one_async.harvest.rate_control import WINDOW, Concurrency, Pace


class Throttle:
    """Alyx's throttle: a number of requests in any 60 s, refused ones not counted (throttle.json)."""

    def __init__(self, rate: int, others: int = 0) -> None:
        self.rate, self.refused = rate, 0
        self.window: deque[float] = deque()
        self.passed: list[float] = []
        self.refusals: list[float] = []
        self.window.extend(-1.0 - 50 * n / max(1, others) for n in reversed(range(others)))

    def asks(self, now: float) -> float | None:
        while self.window and self.window[0] <= now - 60:
            self.window.popleft()
        if len(self.window) >= self.rate:
            self.refused += 1
            self.refusals.append(now)
            return float(math.ceil(self.window[0] + 60 - now))
        self.window.append(now)
        self.passed.append(now)
        return None


def simulate(
    throttle: Throttle,
    minutes: float,
    at_once: int = 16,
    seconds: float = 0.3,
    unevenly: float = 0.0,
    strangers: float = 0.0,
) -> Pace:
    """Send as many requests as a pace allows; each arrives half its duration after it was sent.

    ``unevenly`` is the largest extra duration in seconds; ``strangers`` is the number of requests a minute that another client
    sends from the third minute on.
    """
    chance = random.Random(7)
    now = 0.0
    pace = Pace(lambda: now)
    events: list[tuple[float, int, str, float]] = []
    under_way, number = 0, 0
    if strangers:
        for n in range(int((minutes - 2) * strangers)):
            number += 1
            heapq.heappush(events, (120 + n * 60 / strangers, number, "stranger", 0.0))
    while now < minutes * 60:
        while under_way < at_once and pace.delay() == 0:
            mark = pace.record_request()
            under_way, number = under_way + 1, number + 1
            travel = seconds / 2 + chance.uniform(0, unevenly)
            heapq.heappush(events, (now + travel, number, "arrives", mark))
            now += 1e-6
        resume = now + pace.delay() if under_way < at_once else math.inf
        if events and events[0][0] <= resume:
            now, _, what, mark = heapq.heappop(events)
            if what == "stranger":
                throttle.asks(now)
            elif what == "arrives":
                wait = throttle.asks(now)
                number += 1
                heapq.heappush(events, (now + seconds / 2, number, "ok" if wait is None else f"{wait}", mark))
            else:
                under_way -= 1
                if what != "ok":
                    pace.record_refusal(mark, float(what))
        else:
            now = resume
    return pace


@pytest.mark.parametrize("rate", [550, 120, 2000])
@pytest.mark.parametrize("seconds", [0.05, 0.3, 2.0])
def test_a_throttle_is_learned_and_then_respected(rate: int, seconds: float) -> None:
    throttle = Throttle(rate)
    pace = simulate(throttle, minutes=10, at_once=16, seconds=seconds)
    assert pace.limit is None or 0.9 * rate <= pace.limit < rate
    allowed = min(rate * 10, 16 / seconds * 600)
    assert len(throttle.passed) >= 0.9 * allowed
    assert throttle.refused <= 0.02 * len(throttle.passed)


def test_a_throttle_shared_with_others_is_not_overrun_for_long() -> None:
    throttle = Throttle(550, others=300)
    simulate(throttle, minutes=20)
    late = [moment for moment in throttle.passed if moment > 600]
    assert len(late) >= 0.85 * 550 * 10
    assert throttle.refused <= 0.02 * len(throttle.passed)


@pytest.mark.parametrize("rate", [30, 60, 120, 550])
@pytest.mark.parametrize("unevenly", [0.05, 0.2])
def test_uneven_latency_does_not_exceed_a_known_throttle(rate: int, unevenly: float) -> None:
    """A free place in the window is not used so early that a quick request arrives before the place is free."""
    throttle = Throttle(rate)
    simulate(throttle, minutes=12, seconds=0.02, unevenly=unevenly)
    assert throttle.refusals
    assert [moment for moment in throttle.refusals if moment > 180] == []
    assert len([moment for moment in throttle.passed if moment > 180]) >= 0.9 * rate * 9


@pytest.mark.parametrize("rate", [100, 120, 550, 2000])
def test_a_harvest_leaves_room_for_requests_of_others(rate: int) -> None:
    """Alyx counts all requests of a user, so two percent of the throttle is left to other programs of the same user."""
    throttle = Throttle(rate)
    simulate(throttle, minutes=12, seconds=0.02, strangers=0.02 * rate)
    assert [moment for moment in throttle.refusals if moment > 180] == []


def test_a_single_429_is_not_taken_for_a_throttle() -> None:
    now = 0.0
    pace = Pace(lambda: now)
    marks = [pace.record_request() for _ in range(5)]
    pace.record_refusal(marks[-1], 2.0)
    assert pace.limit is None
    assert 2.0 <= pace.delay() < 3.0
    now = 3.0
    assert pace.delay() == 0


def test_old_requests_leave_the_window() -> None:
    now = 0.0
    pace = Pace(lambda: now)
    for _ in range(100):
        now += 0.01
        pace.record_request()
    now += 0.01
    pace.record_refusal(pace.record_request(), 59.0)
    assert pace.limit == 97
    now += WINDOW + 1
    assert pace.delay() == 0


def served(concurrency: Concurrency, workers: int, seconds: float, answers: int) -> None:
    """Simulate a server with ``workers`` workers: requests beyond that number wait in a queue."""
    for _ in range(answers):
        waiting = max(1.0, concurrency.allowed / workers)
        concurrency.record_latency("sessions", seconds * waiting)


@pytest.mark.parametrize("workers", [1, 2, 4, 8, 64])
def test_concurrency_approaches_the_number_of_workers(workers: int) -> None:
    concurrency = Concurrency(start=2, most=32)
    concurrency.record_latency("sessions", 0.1)  # the first page is requested alone
    served(concurrency, workers, 0.1, 2000)
    assert min(workers, 32) <= concurrency.allowed <= max(4, 5 * workers)


def test_concurrency_starts_low_and_falls_back() -> None:
    concurrency = Concurrency()
    assert concurrency.allowed <= 8
    served(concurrency, 64, 0.1, 200)
    assert concurrency.allowed == 32
    concurrency.record_failure()
    concurrency.record_failure()
    assert concurrency.allowed == 8
    for _ in range(20):
        concurrency.record_failure()
    assert concurrency.allowed == 1


def test_latencies_of_different_requests_are_not_compared() -> None:
    concurrency = Concurrency(most=32)
    for _ in range(200):
        concurrency.record_latency("labs", 0.01)
        concurrency.record_latency("insertions", 2.0)
    assert concurrency.allowed == 32


def test_latency_alone_does_not_reduce_concurrency_below_a_minimum() -> None:
    concurrency = Concurrency(most=32)
    served(concurrency, 64, 0.1, 200)
    for _ in range(1000):
        concurrency.record_latency("sessions", 10.0)
    assert concurrency.allowed == 4
