"""Fixtures of all tests: both async libraries, one emulator of each world, and an empty home folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def empty_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set an empty home folder, so that no test reads or writes the settings of the user who runs it."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("ONE_CONFIG_DIR", str(home / "config"))
    for name in ("ONE_BASE_URL", "ONE_USERNAME", "ONE_PASSWORD", "ONE_TOKEN", "ONE_CACHE_DIR", "ONE_MODE"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture(scope="session")
def recorded_emulator() -> Iterator[object]:
    """Run an emulator of the recorded world on a real port."""
    from one_async.emulator import Emulator
    from shared_worlds import recorded_world

    with Emulator(recorded_world()) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def seeded_emulator() -> Iterator[object]:
    """Run an emulator of the generated world, with real data files, on a real port."""
    from one_async.emulator import Emulator

    with Emulator() as emulator:
        yield emulator
