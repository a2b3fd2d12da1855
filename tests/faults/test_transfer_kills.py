"""Send 200 random SIGKILLs during downloads, and download to one folder with eight processes; run by ``nox -s faults``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2]))

from tests.transfer.kills import kill_until, listing, start, wrong_files
from tests.transfer.servers import Files, serve


@pytest.mark.slow
@pytest.mark.parametrize("run", range(10))
def test_downloads_of_fifty_files_survive_twenty_kills(run: int, tmp_path: Path) -> None:
    with serve(Files(pace=0.025, piece=8_192)) as files:
        file, hashes = listing(files, tmp_path, count=50, size=600_000, seed=run)
        hits = kill_until(files, file, tmp_path / "cache", hashes, kills=20, seed=run)
        assert hits > 15
        sent, whole = sum(files.sent.values()), sum(map(len, files.content.values()))
        print(f"{hits} kills, {sent / whole:.2f} times the set")
        assert sent < 1.5 * whole


@pytest.mark.slow
@pytest.mark.parametrize("run", range(5))
def test_eight_processes_fetch_each_file_once(run: int, tmp_path: Path) -> None:
    with serve(Files(latency=0.01)) as files:
        file, hashes = listing(files, tmp_path, count=100, size=300_000, seed=run)
        workers = [start(file, tmp_path / "cache") for _ in range(8)]
        for one in workers:
            one.ready()
        statuses = [status for one in workers for status in one.statuses()]
        assert wrong_files(tmp_path / "cache", hashes) == []
        assert [files.count(path) for path in hashes] == [1] * 100
        assert sorted(statuses) == ["fetched"] * 100 + ["present"] * 700
