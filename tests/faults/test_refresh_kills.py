"""Send 200 random SIGKILLs during download, unpacking, conversion, swap and save; run by ``nox -s faults``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2]))

from tests.refresh.kills import kill_until
from tests.refresh.tables_server import TablesServer, generation

KILLS = 20


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return {name: generation(tmp_path_factory.mktemp("made"), name, 4000, 60) for name in ("first", "second")}


@pytest.mark.slow
@pytest.mark.parametrize("run", range(7))
def test_tables_are_whole_after_kills_during_a_refresh(
    run: int, archives: dict[str, bytes], tmp_path: Path
) -> None:
    with TablesServer() as server:
        server.pace = 0.002 * (run % 3)
        hits, new = kill_until(server, tmp_path / "tables", archives, KILLS, seed=run)
    assert hits >= KILLS // 2
    assert new < KILLS


@pytest.mark.slow
@pytest.mark.parametrize("run", range(3))
def test_tables_are_whole_after_kills_during_a_save(
    run: int, archives: dict[str, bytes], tmp_path: Path
) -> None:
    with TablesServer() as server:
        hits, _ = kill_until(server, tmp_path / "tables", archives, KILLS, seed=100 + run, action="save")
    assert hits >= KILLS // 2
