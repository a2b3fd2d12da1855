"""A watcher that is killed 50 times while 300 sessions appear misses no session and repeats none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2]))

from tests.client import watch_kills


@pytest.mark.parametrize("kind", ["file", "own"])
def test_a_watcher_that_is_killed_50_times_misses_no_session(tmp_path: Path, kind: str) -> None:
    work, expected = watch_kills.run(tmp_path, kind, kills=50, sessions=300, seed=1)
    assert len(expected) >= 300
    assert set(work) == expected
    twice = sum(work.values()) - len(work)
    print(f"{kind}: {len(expected)} sessions, {twice} worked on again")
    assert twice <= (50 if kind == "file" else 0)
