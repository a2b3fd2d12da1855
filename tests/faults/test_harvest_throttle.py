"""Harvest 1,500 pages under a throttle of 550 requests a minute; takes about two and a half minutes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent / "harvest"))

import worlds

from one_async.alyx.client import AsyncAlyxClient
from one_async.emulator import Emulator
from one_async.harvest import harvest


@pytest.mark.anyio
@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_harvest_keeps_to_the_throttle_and_uses_it_fully(tmp_path: Path, anyio_backend: str) -> None:
    with Emulator(worlds.world(sessions=1_500_000), throttle=550) as emulator:
        async with AsyncAlyxClient(emulator.url, token=emulator.token("demo")) as alyx:
            report = await harvest(alyx, "sessions", tmp_path)
        answered = [request.time for request in emulator.requests if request.status == 200]
        refused = [request for request in emulator.requests if request.status == 429]
    assert report.complete
    assert len(refused) <= 0.02 * len(answered)
    first = answered[0]
    for minute in range(2):  # only whole minutes
        within = sum(minute * 60 <= moment - first < (minute + 1) * 60 for moment in answered)
        assert within >= 0.9 * 550
