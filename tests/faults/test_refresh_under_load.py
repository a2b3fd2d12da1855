"""The long form of `tests/modes/test_refresh_under_load_short.py`: tables of IBL's size are replaced during searches.

It takes minutes, and its figures are meaningful only on an otherwise idle machine.
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
    """Return the folder of the tables, which are made once."""
    return tmp_path_factory.mktemp("load")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_searches_continue_while_large_tables_are_replaced(scratch: Path, backend: str) -> None:
    result = scratch / f"{backend}.json"
    # A separate process, since Python's garbage collector would also traverse all objects of pytest and other tests.
    command = [sys.executable, BENCHMARK, "--folder", scratch, "--backend", backend, "--json", result]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    found = json.loads(result.read_text())
    print(backend, found, file=sys.stderr)
    assert (found["sessions"], found["datasets"], found["rate"]) == (100_000, 3_400_000, 50)
    # bench_refresh raises if a search fails or its answer is of neither tables; old tables never answer after the new ones.
    assert found["changes"] == ["new"]
    assert found["old_answers"] > 100
    assert found["new_answers"] > 100
    assert found["p99_ratio"] <= 3
    assert found["refresh"]["loop_longest"] <= 50  # ms of wall time
