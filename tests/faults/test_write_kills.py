"""Send 200 SIGKILLs at random points of the atomic writes of each kind of file; run by ``nox -s faults``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2]))

from tests.files.write_kills import WRITERS, kill_and_write_again

KILLS = 200 // len(WRITERS)


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_files_are_whole_after_kills_during_a_write(name: str, tmp_path: Path) -> None:
    hits, left = kill_and_write_again(name, tmp_path, KILLS, seed=7)
    assert hits >= KILLS // 2
    assert left >= 1  # otherwise all kills came too early or too late
