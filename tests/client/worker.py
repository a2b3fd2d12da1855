"""Construct a client, log in, search, and print the result: ``worker.py URL CACHE_DIR USER START``."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from one_async import ONE, AsyncONE


def found_blocking(options: dict[str, str]) -> list[str]:
    with ONE(**options) as one:  # type: ignore[arg-type]
        one.alyx.authenticate()
        return [str(eid) for eid in one.search(lab="cortexlab")]


async def found_awaiting(options: dict[str, str]) -> list[str]:
    async with AsyncONE(**options) as one:  # type: ignore[arg-type]
        await one.alyx.authenticate()
        return [str(eid) for eid in await one.search(lab="cortexlab")]


def main(url: str, cache_dir: str, user: str, start: str) -> None:
    options = {"base_url": url, "username": user, "password": user, "cache_dir": cache_dir}
    Path(f"{start}.{user}.{time.monotonic_ns()}").touch()
    while not Path(start).exists():  # all processes at once
        time.sleep(0.002)
    blocking = time.monotonic_ns() % 2
    print(json.dumps(found_blocking(options) if blocking else asyncio.run(found_awaiting(options))))


if __name__ == "__main__":
    main(*sys.argv[1:])
