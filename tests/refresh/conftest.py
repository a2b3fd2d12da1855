from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from one_async.alyx.client import AsyncAlyxClient
from one_async.emulator import Emulator
from one_async.refresh import TablesKeeper
from shared_worlds import recorded_world


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def shared() -> Iterator[Emulator]:
    with Emulator(recorded_world()) as emulator:
        yield emulator


@pytest.fixture
def alyx(shared: Emulator) -> Iterator[Emulator]:
    """Yield an emulator without requests, faults or changes of earlier tests."""
    shared.start()
    shared.requests.reset()
    yield shared
    shared.faults.clear()
    shared.app._zip = shared.app._date_created = None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "tables"
    made.mkdir()
    return made


def client_of(emulator: Emulator | str) -> AsyncAlyxClient:
    url = emulator if isinstance(emulator, str) else emulator.url
    return AsyncAlyxClient(url, username="alice", password="alice", cache_dir=None)


@asynccontextmanager
async def open_keeper(emulator: Emulator | str, folder: Path, **options: Any) -> AsyncIterator[TablesKeeper]:
    """Yield a keeper of an emulator's tables; its client is closed at the end."""
    async with client_of(emulator) as client:
        yield TablesKeeper(folder, lambda: client, **options)


def files_ending_in(folder: Path, *suffixes: str) -> list[str]:
    """Return the names of the files below a folder that have one of the suffixes."""
    return [path.name for path in folder.rglob("*") if path.name.endswith(suffixes)]


async def wait_until(condition: Callable[[], object]) -> None:
    """Wait for a condition that another task or process fulfils."""
    with anyio.fail_after(30):
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await anyio.sleep(0.02)


def rezipped(data: bytes, **changes: bytes | None) -> bytes:
    """Return an archive with other, more or fewer (None) members."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name not in changes:
                new.writestr(name, old.read(name))
        for name, content in changes.items():
            if content is not None:
                new.writestr(name, content)
    return out.getvalue()
