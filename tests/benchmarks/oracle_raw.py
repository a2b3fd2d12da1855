"""Read slices and snippets with ibllib's Streamer; `bench_raw.py` runs it in an environment that has ibllib.

Reads its task as JSON from standard input, prints the seconds as JSON, and saves the slices for comparison.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from brainbox.io.spikeglx import Streamer
from one.api import ONE


def main() -> None:
    """Run from the command line."""
    world = json.loads(sys.stdin.read())
    logging.disable(logging.WARNING)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        one = ONE(
            base_url=world["url"],
            username="demo",
            password="demo",
            silent=True,
            cache_dir=folder,
            mode="remote",
        )
        one.alyx._par = one.alyx._par.set("HTTP_DATA_SERVER", world["url"] + "/data")
        streamer = Streamer(world["pid"], one, cache_folder=Path(folder) / "chunks")
        half = world["rate"] // 2
        begun = time.perf_counter()
        slices = [streamer.read(slice(at, at + half), volts=False) for at in world["places"]]
        found["slices"] = time.perf_counter() - begun
        np.save(world["out"], np.stack(slices))
        begun = time.perf_counter()
        for at in world["times"]:
            streamer.read(slice(at - 45, at + 45), volts=False)
        found["snippets"] = time.perf_counter() - begun
    print(json.dumps(found))


if __name__ == "__main__":
    main()
