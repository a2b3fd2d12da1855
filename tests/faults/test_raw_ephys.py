"""With chunks as large as those of real recordings, the event loop is not blocked, and memory is that of the chunks in flight."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import psutil
import pytest

sys.path.append(str(Path(__file__).parents[2]))

from tests.benchmarks.bench_raw import CHANNELS, RATE, SECONDS, serving
from tests.client.heartbeat import beat

from one_async import AsyncONE
from one_async.recordings.chunks import CACHE_SIZE, CHUNKS_AT_ONCE

#: CPU time of the loop's thread between two beats, which other programs of the machine do not lengthen.
LONGEST = 0.05
CHUNK = RATE * CHANNELS * 2


async def load(folder: Path, peak: list[int]) -> tuple[list[float], list[float]]:
    """Read windows of all chunks while a heartbeat task runs, and record the memory."""
    late: list[float] = []
    busy: list[float] = []
    process = psutil.Process()

    async def watch() -> None:
        while True:
            peak.append(process.memory_info().rss)
            await anyio.sleep(0.01)

    with serving() as world:
        login: dict[str, Any] = {"base_url": world["url"], "username": "demo", "password": "demo"}
        async with AsyncONE(**login, cache_dir=folder, mode="remote") as one:
            raw = await one.raw_ephys(world["pid"], check_hash=False)
            times = np.sort(np.random.default_rng(0).integers(RATE, (SECONDS - 1) * RATE, 1000))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(beat, late, busy)
                tasks.start_soon(watch)
                found = await raw.snippets(times, 45, 45)
                tasks.cancel_scope.cancel()
            assert found.shape == (1000, 90, CHANNELS)
    return late, busy


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_thousand_snippets_need_little_memory_and_do_not_block_the_loop(
    tmp_path: Path, backend: str
) -> None:
    peak: list[int] = []
    late, busy = anyio.run(load, tmp_path, peak, backend=backend)
    used = max(peak) - peak[0]
    print(f"{max(busy):.3f} s of work, beats {max(late):.3f} s late, {used / 1e6:.0f} MB")
    assert max(busy) < LONGEST
    # The bytes of a chunk, the differences twice (before and after they are joined), the samples, and the result.
    assert used < CACHE_SIZE + CHUNKS_AT_ONCE * 4 * CHUNK + 1000 * 90 * CHANNELS * 2
    assert used < 0.8 * SECONDS * CHUNK
