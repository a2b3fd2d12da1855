"""The long form of `tests/modes/test_refresh_under_load_short.py`: tables of IBL's size are replaced while they are searched.

It takes minutes, and its figures mean something only on a machine that does nothing else.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SESSIONS, DATASETS = 100_000, 3_400_000
ATTEMPTS = 3


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder in which the tables are made once."""
    return tmp_path_factory.mktemp("load")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_searches_go_on_while_large_tables_are_replaced(
    scratch: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import bench_refresh

    for attempt in range(1, ATTEMPTS + 1):
        found = bench_refresh.run(scratch, sessions=SESSIONS, datasets=DATASETS, backend=backend)
        print(backend, found, file=sys.stderr)
        # No answer is of neither tables (bench_refresh raises), none fails, and the old are never seen after the new.
        assert found["changes"] == ["new"]
        assert found["old_answers"] > 100
        assert found["new_answers"] > 100
        quick = found["p99_ratio"] <= 3 and found["refresh"]["loop_longest"] <= 50
        if quick or attempt == ATTEMPTS:
            assert found["p99_ratio"] <= 3
            assert found["refresh"]["loop_longest"] <= 50  # ms, by the clock
            return
