"""The event loop is never blocked for more than 50 ms while 100 sessions load; run by ``nox -s faults``."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
import pytest

sys.path.append(str(Path(__file__).parents[2]))

from tests.client.heartbeat import beat_during, load_sessions, serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore::one_async.errors.ALFWarning"),
]
LONGEST = 0.05


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_hundred_sessions_leave_the_loop_to_others(tmp_path: Path) -> None:
    """Beats that come late only because the machine is busy come as late where nothing loads."""
    with serving() as world:
        idle = await beat_during(lambda: anyio.sleep(3))
        gaps, rows = await load_sessions(world, tmp_path, 100)
    assert rows > 100
    print(
        f"longest gaps: {max(gaps.late):.3f} s, {max(gaps.busy):.3f} s of work; idle: {max(idle.late):.3f} s"
    )
    assert max(gaps.busy) < LONGEST
    if max(idle.late) < LONGEST / 5:
        assert max(gaps.late) < LONGEST
