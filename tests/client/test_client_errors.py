"""Errors raised within ``async with AsyncONE`` reach the caller unchanged."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import anyio
import pytest

from one_async import AsyncONE
from one_async.emulator import Emulator
from one_async.errors import ALFObjectNotFound, OneError

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("mode", ["remote", "auto"])
async def test_an_error_in_the_body_is_not_wrapped(
    recorded_server: Emulator, tmp_path: Path, mode: str
) -> None:
    options = {
        "base_url": recorded_server.url,
        "token": recorded_server.token("alice"),
        "cache_dir": tmp_path,
    }
    with pytest.raises(KeyError, match="mine"):
        async with AsyncONE(**options, mode=mode):
            raise KeyError("mine")
    with pytest.raises(OneError) as caught:
        async with AsyncONE(**options, mode=mode) as one:
            await one.list_datasets(UUID(int=1))
    assert isinstance(caught.value, ALFObjectNotFound)


async def test_a_cancelled_body_ends_its_scope(recorded_server: Emulator, tmp_path: Path) -> None:
    with anyio.move_on_after(0.05) as scope:
        async with AsyncONE(
            base_url=recorded_server.url, token=recorded_server.token("alice"), cache_dir=tmp_path
        ):
            await anyio.sleep_forever()
    assert scope.cancelled_caught
