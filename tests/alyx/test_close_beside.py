"""Closing a client during calls: they end with a OneError, and a later call is answered."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from one_async import AsyncAlyxClient, OneError
from one_async.emulator import Emulator

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("method", ["rest", "pages", "authenticate"])
async def test_calls_beside_aclose(recorded_emulator: Emulator, tmp_path: Path, method: str) -> None:
    answered = 0
    for turn in range(20):
        client = AsyncAlyxClient(
            base_url=recorded_emulator.url,
            username="demo",
            password="demo",
            cache_dir=tmp_path,
            cache_rest=None,
        )

        async def call(client: AsyncAlyxClient = client) -> None:
            nonlocal answered
            try:
                if method == "rest":
                    await client.rest("labs", "list")
                elif method == "pages":
                    _ = [page async for page in client.pages("datasets")]
                else:
                    await client.authenticate()
            except OneError:
                return
            answered += 1

        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                for _ in range(6):
                    tasks.start_soon(call)
                await anyio.sleep(
                    turn * 0.002 if turn < 19 else 1
                )  # the timeout ends, and the call is answered
                await client.aclose()
                await client.aclose()
        answered = 0
        await call()
        assert answered
        await client.aclose()
