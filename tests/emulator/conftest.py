from __future__ import annotations

from collections.abc import Iterator

import pytest

from one_async.emulator import Emulator, World
from shared_worlds import recorded_world


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def world() -> World:
    return recorded_world()


@pytest.fixture
def alyx(world: World) -> Iterator[Emulator]:
    """Yield an emulator of the recorded world on a real port."""
    with Emulator(world) as emulator:
        yield emulator
