"""Harvest 50 seeded databases that page unstably and change meanwhile; run by ``nox -s faults``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent / "harvest"))

import churn


@pytest.mark.anyio
@pytest.mark.slow
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("seed", range(50))
async def test_a_harvest_of_a_changing_database_is_complete_and_right(seed: int, anyio_backend: str) -> None:
    for outcome in (await churn.run(seed)).values():
        assert outcome.right, outcome.report
        assert outcome.report.complete
