"""Download the files of a list in a separate process that can be killed."""

from __future__ import annotations

import json
from multiprocessing.connection import Connection
from pathlib import Path

import anyio

from one_async.alyx.client import AsyncAlyxClient
from one_async.transfer.fetch import Policy, fetch
from one_async.transfer.items import FileSource, Item


async def run(listing: str, root: Path, said: Connection) -> None:
    items = [
        Item(row["did"], row["target"], (FileSource(row["url"]),), row["size"], row["hash"])
        for row in json.loads(listing)
    ]
    async with AsyncAlyxClient(
        "http://alyx.invalid"
    ) as alyx:  # another host, so that files are requested without the login
        said.send("ready")
        outcomes = await fetch(items, root=root, streams=alyx.wire, policy=Policy(pause=0.05))
    said.send([outcome.status for outcome in outcomes])


def work(listing: str, root: Path, said: Connection) -> None:
    anyio.run(run, listing, root, said)
