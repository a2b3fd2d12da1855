from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from one_async.alyx import retrying
from one_async.alyx.client import AsyncAlyxClient
from one_async.emulator import Emulator
from shared_worlds import recorded_world


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "FIRST_WAIT", 0.02)


@pytest.fixture(scope="module")
def running() -> Iterator[Emulator]:
    with Emulator(recorded_world()) as emulator:
        yield emulator


@pytest.fixture
def server(running: Emulator) -> Iterator[Emulator]:
    """Yield an emulator that the tests of a module share; changes of a test are undone, except those of records."""
    running.faults.clear()
    running.requests.reset()
    yield running
    running.faults.clear()
    running.app.throttle = None


@pytest.fixture
def own_server() -> Iterator[Emulator]:
    """Yield an emulator that a test may write to or kill."""
    with Emulator(recorded_world()) as emulator:
        yield emulator


Make = Callable[..., AsyncAlyxClient]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make(server: Emulator | str, user: str = "alice", **options: Any) -> AsyncAlyxClient:
        url = server if isinstance(server, str) else server.url
        options = {"username": user, "password": user, "cache_dir": tmp_path / "cache", **options}
        return AsyncAlyxClient(url, **options)

    return make
