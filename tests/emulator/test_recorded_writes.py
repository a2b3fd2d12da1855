"""Every recorded scenario with writes, answered by the emulator step by step."""

from __future__ import annotations

import pytest
from recorded_scenarios import play, scenarios

from one_async.emulator import World
from one_async.emulator.app import App

pytestmark = pytest.mark.anyio

KEPT_DIFFERENCES: dict[str, str] = {}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("name", scenarios())
async def test_writes_as_recorded(world: World, name: str) -> None:
    app = App(world, data_url="https://data.test")
    found = await play(app, scenarios()[name])
    app.store.close()
    if name in KEPT_DIFFERENCES:
        assert found, f"{name} is as recorded now: take it out of KEPT_DIFFERENCES"
    else:
        assert not found, "\n".join(found)
