from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from one_async.emulator import seeded
from one_async.emulator.content import World

RECORDS = Path(__file__).parents[1] / "data" / "alyx" / "records"


@pytest.fixture(scope="session")
def world() -> World:
    return seeded.world()


@pytest.fixture(scope="session")
def recorded() -> dict[str, Any]:
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(RECORDS.glob("*.json"))}
