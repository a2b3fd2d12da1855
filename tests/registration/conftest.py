"""A fresh server for each test, and clients of every kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from client.faces import KINDS, Face, opened
from one_async.alyx import retrying
from one_async.emulator import Emulator
from shared_worlds import recorded_world


@pytest.fixture(autouse=True)
def short_retry_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry requests after milliseconds."""
    monkeypatch.setattr(retrying, "FIRST_WAIT", 0.02)


@pytest.fixture
def server() -> Iterator[Emulator]:
    """Yield an emulator of the recorded world, which a test may change."""
    with Emulator(recorded_world()) as emulator:
        yield emulator


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


Make = Callable[..., Face]


@pytest.fixture
def make(kind: str, server: Emulator, tmp_path: Path) -> Iterator[Make]:
    """Return a function that makes clients of the server: ``make("alice")``; they are closed at the end."""
    with ExitStack() as stack:

        def one(user: str = "alice", **options: Any) -> Face:
            given = {"base_url": server.url, "username": user, "password": user, "mode": "remote"}
            given["cache_dir"] = tmp_path / "cache"
            return stack.enter_context(opened(kind, **{**given, **options}))

        yield one


@pytest.fixture
def one(make: Make) -> Face:
    return make()
