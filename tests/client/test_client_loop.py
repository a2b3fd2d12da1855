"""Loading many sessions does not block the event loop; the strict form is in tests/faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from .heartbeat import measured


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_loading_leaves_the_loop_to_others(tmp_path: Path, backend: str) -> None:
    found = measured(tmp_path, backend, 30)
    assert found["rows"] > 30
    assert len(found["busy"]) > 10
    # CPU time of the loop's own thread, so that other load of the machine matters little.
    long = [gap for gap in found["busy"] if gap > 0.05]
    assert len(long) <= max(2, len(found["busy"]) // 50), sorted(found["busy"])[-5:]
