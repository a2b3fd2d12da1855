"""Load until Ctrl-C: ``python interrupting.py URL FOLDER FACE``; print how it ended, and the number of open connections."""

from __future__ import annotations

import asyncio
import json
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from one_async import ONE, AsyncONE


def options(url: str, folder: Path) -> dict[str, Any]:
    return {"base_url": url, "username": "demo", "password": "demo", "cache_dir": folder, "mode": "auto"}


def sockets() -> int:
    """Return the number of open connections of this process."""
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    established = {f"socket:[{row.split()[9]}]" for row in rows if row.split()[3] == "01"}
    count = 0
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the descriptor of the listing itself is closed
            count += str(link.readlink()) in established
    return count


def main() -> None:
    """Run from the command line."""
    url, folder, face = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    warnings.simplefilter("ignore")
    eid = json.loads((folder / "facts.json").read_text())["eid"]

    async def work() -> None:
        async with AsyncONE(**options(url, folder / "cache")) as one:
            print("ready", flush=True)
            while True:
                await one.search(datasets="trials")
                await one.load_many([eid] * 3, "trials")
                await one.list_datasets(eid, details=True)

    try:
        if face == "async":
            asyncio.run(work())
        with ONE(**options(url, folder / "cache")) as one:
            print("ready", flush=True)
            while True:
                one.search(datasets="trials")
                one.load_many([eid] * 3, "trials")
                one.list_datasets(eid, details=True)
    except KeyboardInterrupt:
        print(f"interrupted, {sockets()} open", flush=True)


if __name__ == "__main__":
    main()
