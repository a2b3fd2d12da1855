"""Fetches the files of a list: ``python worker.py <list.json> <cache folder>``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import anyio

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from tests.transfer.servers import HttpWire

from one_async.transfer.fetch import Policy, fetch
from one_async.transfer.plan import Item, Source


async def run(listing: str, root: Path) -> None:
    items = [
        Item(row["did"], row["target"], (Source(row["url"]),), row["size"], row["hash"])
        for row in json.loads(listing)
    ]
    wire = HttpWire()
    print("ready", flush=True)
    outcomes = await fetch(items, root=root, wire=wire, policy=Policy(pause=0.05))
    await wire.close()
    print(json.dumps([outcome.status for outcome in outcomes]), flush=True)


if __name__ == "__main__":
    anyio.run(run, Path(sys.argv[1]).read_text(), Path(sys.argv[2]))
