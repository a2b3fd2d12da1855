"""Harvests that are killed and started again end with the same rows; nox -s faults does it a hundred times."""

from __future__ import annotations

from pathlib import Path

import kills
import worlds


def test_a_few_kills(tmp_path: Path) -> None:
    with worlds.served(sessions=6000, notes=1500, latency=0.01) as server:
        kills.kill_and_resume(server["url"], server["token"], tmp_path / "calm", kills=0, seed=0)
        kills.kill_and_resume(server["url"], server["token"], tmp_path / "killed", kills=3, seed=5)
    for endpoint in kills.ENDPOINTS:
        assert kills.sorted_bytes(tmp_path / "killed", endpoint) == kills.sorted_bytes(
            tmp_path / "calm", endpoint
        )
    assert not (tmp_path / "killed" / ".harvest").exists()
