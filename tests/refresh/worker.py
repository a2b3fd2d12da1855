"""Refresh or save tables in a separate process: ``python worker.py <url> <folder> refresh|save|serve``.

Prints ``ready`` when it is about to begin, and at the end the generations of the rows that it sees.
"""

from __future__ import annotations

import sys
import warnings
from contextlib import suppress
from pathlib import Path

import anyio

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from tests.refresh.tables_server import generations_of

from one_async.alyx.client import AsyncAlyxClient
from one_async.errors import TablesNotFound
from one_async.refresh import TablesKeeper


async def run(url: str, folder: Path, action: str) -> None:
    async with AsyncAlyxClient(url, username="alice", password="alice") as client:
        keeper = TablesKeeper(folder, lambda: client)
        with suppress(TablesNotFound):
            await keeper.refresh("local")
        print("ready", flush=True)
        if action == "save":
            frame = keeper.loaded.session_frame
            keeper.learn(sessions=frame.head(1), datasets=keeper.loaded.datasets().head(1).collect())
            await keeper.save()
        else:
            await keeper.refresh(action)  # type: ignore[arg-type]
        print(",".join(sorted(generations_of(await keeper.current()))), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("error")
    anyio.run(run, sys.argv[1], Path(sys.argv[2]), sys.argv[3])
