"""A claim on a session folder: one registration at a time among tasks, processes and machines that share it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio

from one_async._threads import run_sync
from one_async.errors import OneError
from one_async.files.claim import Claim, start_heartbeat, try_claim
from one_async.registration.journal import NAME

__all__ = ["claimed_folder"]

_LONGEST_PAUSE = 1.0


@asynccontextmanager
async def claimed_folder(folder: Path, *, wait: float = 600.0) -> AsyncIterator[None]:
    """Hold the claim on a session folder; no claim is taken on a folder that is not writable.

    Raises OneError if another registration of it does not end within ``wait`` seconds.
    """
    claim = await _acquire(folder, wait)
    if claim is None:
        yield
        return
    stop = start_heartbeat(claim.renew)
    try:
        yield
    finally:
        with anyio.CancelScope(shield=True):
            await run_sync(stop)
            await run_sync(claim.release)


async def _acquire(folder: Path, wait: float) -> Claim | None:
    pause, end = 0.02, anyio.current_time() + wait
    while True:
        try:
            claim = await run_sync(partial(try_claim, folder / NAME))
        except OSError:
            return None
        if claim is not None:
            return claim
        if anyio.current_time() >= end:
            raise OneError(f"another registration of {folder} has been running for more than {wait:.0f} s")
        await anyio.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)
