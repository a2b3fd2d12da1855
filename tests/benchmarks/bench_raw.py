"""Slices and snippets of a raw recording of 60 s and 385 channels, at 20 ms latency, against a loop of ranged requests.

The loop requests and decodes one chunk after the other, as hand-written readers do, without a cache. The chunks have
the same content, so that the recording is made quickly. ``python bench_raw.py`` prints JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from one_async import ONE
from one_async.emulator import Emulator

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.recordings import made

RATE, CHANNELS, SECONDS = 30_000, 385, 60


def serve() -> None:
    """Serve the recording until the input ends."""
    second = np.random.default_rng(0).normal(0, 8, (RATE, CHANNELS)).astype(np.int16)
    chunk, header = made.compress(second, RATE, RATE)
    header["chunk_bounds"] = [at * RATE for at in range(SECONDS + 1)]
    header["chunk_offsets"] = [at * len(chunk) for at in range(SECONDS + 1)]
    with Emulator() as emulator:
        from tests.recordings.test_raw_ephys import Served

        served = Served(emulator)
        files = emulator.app.files
        (ch,) = (name for name in files if name.endswith(".ch"))
        (cbin,) = (name for name in files if name.endswith(".cbin"))
        (meta,) = (name for name in files if name.endswith(".meta"))
        files[ch], files[cbin] = made.header_text(header).encode(), chunk * SECONDS
        files[meta] = made.meta(CHANNELS, RATE).encode()
        emulator.app.latency = 0.02
        print(
            json.dumps({"url": emulator.url, "pid": served.pid, "path": served.path, "chunk": len(chunk)}),
            flush=True,
        )
        sys.stdin.read()


def looped(world: dict[str, Any], start: int, stop: int) -> Any:
    """Read a range of samples with one request a chunk."""
    parts = []
    for chunk in range(start // RATE, (stop - 1) // RATE + 1):
        first = chunk * world["chunk"]
        request = urllib.request.Request(
            world["url"] + world["path"], headers={"Range": f"bytes={first}-{first + world['chunk'] - 1}"}
        )
        with urllib.request.urlopen(request) as answer:
            data = zlib.decompress(answer.read())
        samples = np.cumsum(
            np.frombuffer(data, np.int16).reshape((RATE, CHANNELS), order="F"), axis=0, dtype=np.int16
        )
        parts.append(samples[max(0, start - chunk * RATE) : stop - chunk * RATE])
    return np.concatenate(parts)


def main() -> None:
    """Measure and print."""
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        world = json.loads(server.stdout.readline())
        with (
            tempfile.TemporaryDirectory() as folder,
            ONE(
                base_url=world["url"], username="demo", password="demo", cache_dir=folder, mode="remote"
            ) as one,
        ):
            print(json.dumps(measured(one, world)))
        server.stdin.close()


def measured(one: ONE, world: dict[str, Any]) -> dict[str, float]:
    """Return the seconds of each, and the bytes received by those of the chunks needed."""
    rng = np.random.default_rng(1)
    places = (rng.permutation(SECONDS - 1)[:20] * RATE + rng.integers(0, RATE, 20)).tolist()
    times = np.sort(rng.integers(RATE, (SECONDS - 1) * RATE, 1000))
    raw = one.raw_ephys(world["pid"], check_hash=False)
    found = {}
    begun = time.perf_counter()
    ours = [raw[at : at + RATE // 2] for at in places]
    found["slices"] = time.perf_counter() - begun
    needed = len({chunk for at in places for chunk in (at // RATE, (at + RATE // 2 - 1) // RATE)})
    found["bytes of those needed"] = raw._raw._reader.origin.bytes_received / (needed * world["chunk"])
    begun = time.perf_counter()
    theirs = [looped(world, at, at + RATE // 2) for at in places]
    found["slices, loop"] = time.perf_counter() - begun
    assert all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))
    begun = time.perf_counter()
    windows = raw.snippets(times, 45, 45)
    found["1,000 snippets"] = time.perf_counter() - begun
    few = times[::100]
    begun = time.perf_counter()
    assert all(
        np.array_equal(looped(world, at - 45, at + 45), windows[n * 100]) for n, at in enumerate(few.tolist())
    )
    found["1,000 snippets, loop (from 10)"] = (time.perf_counter() - begun) * 100
    return found


if __name__ == "__main__":
    serve() if "--serve" in sys.argv else main()
