from __future__ import annotations

import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from one_async.errors import InputError
from one_async.refresh.schedule import DAY, SPREAD, Schedule, seconds_of

NOW = 1_700_000_000.0


def test_the_first_check_is_due_at_once() -> None:
    schedule = Schedule()
    assert schedule.due_in(NOW) == 0
    assert schedule.is_expired(NOW)


def test_the_next_check_is_due_after_the_expiry_plus_jitter() -> None:
    waits = []
    for seed in range(1000):
        schedule = Schedule(rng=random.Random(seed))
        schedule.succeeded(NOW)
        waits.append(schedule.due_in(NOW))
    assert min(waits) >= DAY
    assert max(waits) <= DAY * (1 + SPREAD)
    busiest = max(
        sum(int(wait) // 60 == minute for wait in waits) for minute in {int(wait) // 60 for wait in waits}
    )
    assert busiest < 30, "a thousand clients would check in the same minutes"


def test_a_changed_expiry_applies_to_the_last_answer() -> None:
    schedule = Schedule()
    schedule.succeeded(NOW)
    assert not schedule.is_expired(NOW + 7200)
    schedule.expiry = 3600
    assert schedule.is_expired(NOW + 7200)
    assert schedule.due_in(NOW + 7200) == 0


def test_pauses_after_failures_grow_from_a_second_to_the_expiry() -> None:
    schedule = Schedule(rng=random.Random(1))
    pauses = []
    for _ in range(30):
        schedule.failed(NOW)
        pauses.append(schedule.due_in(NOW))
    assert 1 <= pauses[0] <= 2
    assert all(0.5 * 2**n <= pause <= 2**n for n, pause in enumerate(pauses[:10], 1))
    assert all(DAY / 2 <= pause <= DAY for pause in pauses[20:])
    schedule.succeeded(NOW)
    assert schedule.due_in(NOW) >= DAY


def test_after_failures_a_shorter_expiry_shortens_the_pause() -> None:
    schedule = Schedule()
    for _ in range(12):
        schedule.failed(NOW)
    schedule.expiry = 3
    assert schedule.due_in(NOW) <= 3


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_checks_continue_after_the_clock_was_set_back(shift: float, expiry: float) -> None:
    schedule = Schedule(expiry)
    schedule.succeeded(NOW)
    assert 0 <= schedule.due_in(NOW + shift) <= expiry * (1 + SPREAD)
    assert schedule.due_in(NOW - 1) == 0


@pytest.mark.parametrize(("given_", "seconds"), [(None, DAY), (timedelta(hours=1), 3600), (0, 0), (2.5, 2.5)])
def test_an_expiry_may_be_text_number_or_timedelta(given_: timedelta | float | None, seconds: float) -> None:
    assert seconds_of(given_) == seconds


@pytest.mark.parametrize("bad", [-1, True, "1 h", float("nan"), float("inf"), timedelta(seconds=-1)])
def test_an_invalid_expiry_is_refused(bad: object) -> None:
    with pytest.raises(InputError, match="cache_expiry"):
        seconds_of(bad)  # type: ignore[arg-type]
