"""Clients of every kind, for a module or for one test, and the two worlds that they query."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from one_async.emulator import Emulator

from .faces import KINDS, Face, opened
from .worlds import World, recorded_world, seeded_world


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


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of client, and the backend of its coroutines."""
    return str(request.param)


@pytest.fixture(scope="session")
def recorded() -> World:
    return recorded_world()


@pytest.fixture(scope="session")
def seeded() -> World:
    return seeded_world()


@pytest.fixture
def recorded_server(recorded_emulator: Emulator) -> Iterator[Emulator]:
    """Yield the recorded world, and undo afterwards what a test broke."""
    yield from _whole(recorded_emulator)


@pytest.fixture
def seeded_server(seeded_emulator: Emulator) -> Iterator[Emulator]:
    yield from _whole(seeded_emulator)


def _whole(emulator: Emulator) -> Iterator[Emulator]:
    emulator.faults.clear()
    emulator.requests.reset()
    yield emulator
    emulator.faults.clear()
    emulator.start()


def login(emulator: Emulator, user: str = "demo") -> dict[str, str]:
    return {"base_url": emulator.url, "username": user, "password": user}


@pytest.fixture(scope="module")
def one(kind: str, recorded_emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    """Yield a client of the recorded world, shared by a module's tests."""
    with opened(kind, cache_dir=tmp_path_factory.mktemp("recorded"), **login(recorded_emulator)) as face:
        yield face


@pytest.fixture(scope="module")
def data_one(
    kind: str, seeded_emulator: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Face]:
    """Yield a client of the seeded world, whose files can be loaded, shared by a module's tests."""
    with opened(kind, cache_dir=tmp_path_factory.mktemp("seeded"), **login(seeded_emulator)) as face:
        yield face


Make = Callable[..., Face]


@pytest.fixture
def make(kind: str, tmp_path: Path) -> Iterator[Make]:
    """Return a function that makes clients: ``make(emulator, user, **options)``; they are closed after the test."""
    with ExitStack() as stack:

        def one(emulator: Emulator, user: str = "demo", **options: Any) -> Face:
            options = {**login(emulator, user), "cache_dir": tmp_path / "cache", **options}
            return stack.enter_context(opened(kind, **options))

        yield one
