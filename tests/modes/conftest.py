"""Fresh emulators, and clients of every kind for one test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from client.faces import KINDS, Face, opened
from one_async.emulator import Emulator

Make = Callable[..., Face]
LATER = "2025-02-01 00:00"


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of client, and the backend of its coroutines."""
    return str(request.param)


@pytest.fixture(scope="package", autouse=True)
def home_of_the_package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Set the home folder of clients that a whole module shares, which are made before a test has one."""
    home = tmp_path_factory.mktemp("shared-home")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HOME", "USERPROFILE"):
            patch.setenv(name, str(home))
        patch.setenv("ONE_CONFIG_DIR", str(home / "config"))
        for name in [name for name in os.environ if name.startswith("ONE_") and name != "ONE_CONFIG_DIR"]:
            patch.delenv(name)
        yield


@pytest.fixture
def alyx(recorded_emulator: Emulator) -> Iterator[Emulator]:
    """Yield the recorded world, and undo afterwards what a test broke or published."""
    recorded_emulator.start()
    recorded_emulator.requests.reset()
    yield recorded_emulator
    recorded_emulator.faults.clear()
    recorded_emulator.app._zip = recorded_emulator.app._date_created = None
    recorded_emulator.start()


def login(emulator: Emulator, user: str = "demo") -> dict[str, str]:
    return {"base_url": emulator.url, "username": user, "password": user}


@pytest.fixture
def make(kind: str, tmp_path: Path) -> Iterator[Make]:
    """Return a function that makes clients: ``make(emulator, **options)``; they are closed after the test."""
    with ExitStack() as stack:

        def one(emulator: Emulator | None, user: str = "demo", **options: Any) -> Face:
            server = {} if emulator is None else login(emulator, user)
            options = {**server, "cache_dir": tmp_path / "cache", **options}
            return stack.enter_context(opened(kind, **options))

        yield one
