"""The timeouts that follow from the ``timeout`` argument."""

from __future__ import annotations

import pytest

from one_async.alyx.retrying import Timeouts
from one_async.errors import InputError


@pytest.mark.parametrize("seconds", [0.5, 10.0, 29.9, 30.0, 30.5, 31, 600])
def test_a_number_limits_reads_and_bounds_the_others(seconds: float) -> None:
    found, default = Timeouts.of(seconds), Timeouts()
    assert (found.record, found.list, found.total) == (seconds, seconds, 5 * seconds)
    assert (found.connect, found.login) == (min(default.connect, seconds), min(default.login, seconds))


def test_defaults_and_given_timeouts_are_used_as_they_are() -> None:
    own = Timeouts(record=0.2)
    assert (Timeouts.of(None), Timeouts.of(own)) == (Timeouts(), own)


@pytest.mark.parametrize("timeout", [0, -1, True, float("nan"), "5"])
def test_anything_else_is_refused(timeout: object) -> None:
    with pytest.raises(InputError, match="timeout"):
        Timeouts.of(timeout)  # type: ignore[arg-type]
