from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from one_async.alyx.client import AsyncAlyxClient
from one_async.types import StreamOpener

from .servers import Files, serve


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server() -> Iterator[Files]:
    with serve(Files()) as running:
        yield running


@pytest.fixture
def files(server: Files) -> Files:
    """Reset and return the file server."""
    for name, value in vars(Files(base=server.base)).items():
        setattr(server, name, value)
    return server


@pytest.fixture
async def streams(anyio_backend: str) -> AsyncIterator[StreamOpener]:
    """Return the wire of a client whose database is another server."""
    async with AsyncAlyxClient("http://alyx.invalid") as alyx:
        yield alyx.wire
