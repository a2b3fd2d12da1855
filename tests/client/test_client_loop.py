"""Loading many sessions leaves the event loop to others; the strict form is in tests/faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from .heartbeat import load_sessions, serving

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore::one_async.errors.ALFWarning")]


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_loading_leaves_the_loop_to_others(tmp_path: Path) -> None:
    with serving() as world:
        gaps, rows = await load_sessions(world, tmp_path, 30)
    assert rows > 30
    assert len(gaps.busy) > 10
    # Processor time of the loop's own thread, so that a machine with much else to do does not matter much.
    long = [gap for gap in gaps.busy if gap > 0.05]
    assert len(long) <= max(2, len(gaps.busy) // 50), sorted(gaps.busy)[-5:]
