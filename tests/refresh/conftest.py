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
    """Give an emulator on which nothing has happened yet."""
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
async def keeping(emulator: Emulator | str, folder: Path, **options: Any) -> AsyncIterator[TablesKeeper]:
    """Give a keeper of an emulator's tables; its client is closed at the end."""
    async with client_of(emulator) as client:
        yield TablesKeeper(folder, lambda: client, **options)


def unzip(emulator: Emulator, folder: Path) -> Path:
    """Put the server's tables into a folder as ONE-api would."""
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(emulator.app.cache_zip())) as archive:
        archive.extractall(folder)
    return folder


def downloads(emulator: Emulator) -> int:
    return emulator.requests.count("/cache.zip")


def questions(emulator: Emulator) -> int:
    return emulator.requests.count("/cache/info")


def left(folder: Path, *suffixes: str) -> list[str]:
    """Name the files that are below a folder and end so."""
    return [path.name for path in folder.rglob("*") if path.name.endswith(suffixes)]


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that another task or process does."""
    with anyio.fail_after(30):
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await anyio.sleep(0.02)


def rezipped(data: bytes, **changes: bytes | None) -> bytes:
    """Give an archive with other, more or fewer (None) members."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name not in changes:
                new.writestr(name, old.read(name))
        for name, content in changes.items():
            if content is not None:
                new.writestr(name, content)
    return out.getvalue()
