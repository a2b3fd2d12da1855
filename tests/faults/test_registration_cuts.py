"""Interrupt registrations of 20 sessions with 600 files at 200 random points: the server then has every row exactly once."""

from __future__ import annotations

from collections import Counter

from registration import cuts

SESSIONS, FILES, CUTS = 20, 30, 200


def test_interrupted_registrations_write_every_row_exactly_once() -> None:
    expected = cuts.undisturbed(SESSIONS, FILES)
    assert len(expected["datasets"]) > SESSIONS * FILES
    total: Counter[str] = Counter()
    for seed in range(100):
        state, hits, _ = cuts.disturbed(seed, 10, SESSIONS, FILES)
        assert state == expected, (seed, hits)
        total += hits
        if total.total() >= CUTS:
            break
    assert total.total() >= CUTS
    assert total.keys() == cuts.CUTS.keys()
