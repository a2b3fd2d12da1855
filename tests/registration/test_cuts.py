"""A short form of the long run in ``tests/faults``: after interrupted registrations, each row exists exactly once."""

from __future__ import annotations

import pytest

from . import cuts

SESSIONS, FILES = 4, 8


@pytest.fixture(scope="module")
def expected() -> dict[str, object]:
    return cuts.undisturbed(SESSIONS, FILES)


@pytest.mark.parametrize("seed", range(4))
def test_interrupted_registrations_write_every_row_once(expected: dict[str, object], seed: int) -> None:
    state, hits, _ = cuts.disturbed(seed, 5, SESSIONS, FILES)
    assert state == expected
    assert sum(hits.values()) >= 2
