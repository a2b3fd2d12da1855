"""200 random SIGKILLs during downloads of 50 files; run by ``nox -s faults``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent))

from transfer.kills import kill_until, listing
from transfer.servers import Files, serve


@pytest.mark.slow
@pytest.mark.parametrize("run", range(10))
def test_twenty_kills_during_fifty_files(run: int, tmp_path: Path) -> None:
    with serve(Files(pace=0.05, piece=16_384)) as files:
        file, hashes = listing(files, tmp_path, count=50, size=600_000, seed=run)
        hits = kill_until(file, tmp_path / "cache", hashes, kills=20, longest=0.5, seed=run)
        assert hits > 10
        assert sum(files.sent.values()) < 1.5 * sum(map(len, files.content.values()))
