"""Every recorded scenario with writes, played against the emulator step by step."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable

import pytest
from recorded_scenarios import play, scenarios

from one_async.emulator import World
from one_async.emulator.app import App

pytestmark = pytest.mark.anyio


def ordered_ids() -> Callable[[], str]:
    """Make ids in the order of creation, since Alyx takes the lower id of two equal sessions."""
    numbers = itertools.count(1)
    return lambda: str(uuid.UUID(int=next(numbers) << 96 | 0x4000 << 64 | 0x8000 << 48, version=4))


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("name", scenarios())
async def test_writes_as_recorded(world: World, name: str) -> None:
    app = App(world, data_url="https://data.test", now=lambda: world.now, new_id=ordered_ids())
    found = await play(app, scenarios()[name])
    app.store.close()
    assert not found, "\n".join(found)


def test_all_scenarios_are_here() -> None:
    steps = {name: len(found) for name, found in scenarios().items()}
    assert sum(n for name, n in steps.items() if name.startswith("registration/")) == 274
    assert sum(n for name, n in steps.items() if name.startswith("scenarios/")) == 344
    assert len(steps) == 51
