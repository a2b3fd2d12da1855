"""Send 100 random SIGKILLs during a harvest of 20,000 rows; run by ``nox -s faults``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent.parent / "harvest"))

import kills
import worlds


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], Path]]:
    """Return a server, and the rows of an undisturbed harvest of it."""
    folder = tmp_path_factory.mktemp("calm")
    with worlds.served(sessions=20_000, notes=5_000, latency=0.02) as server:
        kills.kill_and_resume(server["url"], server["token"], folder, kills=0, seed=0)
        yield server, folder


@pytest.mark.slow
@pytest.mark.parametrize("run", range(10))
def test_a_harvest_of_twenty_thousand_rows_survives_ten_kills(
    run: int, calm: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    server, undisturbed = calm
    hits = kills.kill_and_resume(server["url"], server["token"], tmp_path, kills=10, seed=run)
    assert hits >= 5
    for endpoint in kills.ENDPOINTS:
        assert kills.sorted_bytes(tmp_path, endpoint) == kills.sorted_bytes(undisturbed, endpoint)
    assert not (tmp_path / ".harvest").exists()
