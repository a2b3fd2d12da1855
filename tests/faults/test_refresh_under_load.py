"""The long form of `tests/modes/test_refresh_under_load_short.py`: tables of IBL's size are replaced while they are searched.

It takes minutes, and its figures mean something only on a machine that does nothing else.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "bench_refresh.py"


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder in which the tables are made once."""
    return tmp_path_factory.mktemp("load")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_searches_go_on_while_large_tables_are_replaced(scratch: Path, backend: str) -> None:
    result = scratch / f"{backend}.json"
    # In a process of its own: Python's garbage collector would look through all that pytest and other tests hold, too.
    command = [sys.executable, BENCHMARK, "--folder", scratch, "--backend", backend, "--json", result]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found = json.loads(result.read_text())
    print(backend, found, file=sys.stderr)
    assert (found["sessions"], found["datasets"], found["rate"]) == (100_000, 3_400_000, 50)
    # No answer is of neither tables (bench_refresh raises), none fails, and the old are never seen after the new.
    assert found["changes"] == ["new"]
    assert found["old_answers"] > 100
    assert found["new_answers"] > 100
    assert found["p99_ratio"] <= 3
    assert found["refresh"]["loop_longest"] <= 50  # ms, by the clock
