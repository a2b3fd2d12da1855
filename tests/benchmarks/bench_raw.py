"""Compare slices and snippets of a raw recording of 60 s and 385 channels with ibllib's Streamer, at 20 ms latency.

ONE_IBL_PYTHON names a Python that has ibllib. A loop that requests and decodes one chunk after the other without a cache, as
hand-written readers do, is measured as well. All chunks have the same content, so that the recording is made quickly.
``python bench_raw.py [--json FILE]`` prints JSON: seconds, and how many times faster we are.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import numpy as np

from one_async import ONE, AsyncONE
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
        seeded = (emulator.app.world.read_file(meta) or b"").decode()
        for name, value in (("fileTimeSecs", SECONDS), ("fileSizeBytes", SECONDS * second.nbytes)):
            seeded = re.sub(f"(?m)^{name}=.*$", f"{name}={value}", seeded)
        files[meta] = seeded.encode()
        emulator.app.latency = 0.02
        print(
            json.dumps({"url": emulator.url, "pid": served.pid, "path": served.path, "chunk": len(chunk)}),
            flush=True,
        )
        sys.stdin.read()


def looped(world: dict[str, Any], start: int, stop: int) -> Any:
    """Read a range of samples with one request per chunk."""
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


@contextmanager
def serving() -> Iterator[dict[str, Any]]:
    """Serve the recording from another process; yield its address, the probe's id, and the bytes of a chunk."""
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield json.loads(server.stdout.readline())
        finally:
            server.stdin.close()


def main() -> None:
    """Measure and print."""
    with serving() as world, tempfile.TemporaryDirectory() as folder:
        login = {"base_url": world["url"], "username": "demo", "password": "demo"}
        with ONE(**login, cache_dir=folder, mode="remote") as one:
            found = measured(one, world)
    print(json.dumps(found))
    if "--json" in sys.argv:
        write(Path(sys.argv[sys.argv.index("--json") + 1]), found)


def write(path: Path, found: dict[str, float]) -> None:
    """Add the rows to a file of results."""
    from results import Row, save

    whats = {"slices": "20 slices of half a second", "1,000 snippets": "1,000 snippets of 3 ms"}
    rows = [Row(whats["slices"], found["slices"], found["slices, loop"], "a loop that requests each chunk")]
    streamed = {name: found.get(f"{name}, Streamer") for name in whats}
    if streamed["slices"] is not None:
        rows.append(Row(whats["slices"], found["slices"], streamed["slices"], "ibllib's Streamer"))
    rows.append(
        Row(whats["1,000 snippets"], found["1,000 snippets"], streamed["1,000 snippets"], "ibllib's Streamer")
    )
    at_once = f"{whats['slices']}, awaited together"
    rows.append(Row(at_once, found["slices at once"], streamed["slices"], "ibllib's Streamer"))
    save(path, __file__, rows)


def measured(one: ONE, world: dict[str, Any]) -> dict[str, float]:
    """Return the seconds of each reader, and the ratio of the bytes received to those of the chunks needed."""
    rng = np.random.default_rng(1)
    places = (rng.permutation(SECONDS - 1)[:20] * RATE + rng.integers(0, RATE, 20)).tolist()
    times = np.sort(rng.integers(RATE, (SECONDS - 1) * RATE, 1000)).tolist()
    raw = one.raw_ephys(world["pid"], check_hash=False)
    found = {}
    begun = time.perf_counter()
    ours = [raw[at : at + RATE // 2] for at in places]
    found["slices"] = time.perf_counter() - begun
    needed = len({chunk for at in places for chunk in (at // RATE, (at + RATE // 2 - 1) // RATE)})
    at_once = anyio.run(_at_once, world, places)
    found["slices at once"] = at_once
    found["bytes of those needed"] = raw._raw._reader.origin.bytes_received / (needed * world["chunk"])
    fresh = one.raw_ephys(world["pid"], check_hash=False)
    begun = time.perf_counter()
    windows = fresh.snippets(times, 45, 45)
    found["1,000 snippets"] = time.perf_counter() - begun
    begun = time.perf_counter()
    theirs = [looped(world, at, at + RATE // 2) for at in places]
    found["slices, loop"] = time.perf_counter() - begun
    assert all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))
    assert all(np.array_equal(looped(world, at - 45, at + 45), windows[n]) for n, at in enumerate(times[:5]))
    if python := os.environ.get("ONE_IBL_PYTHON"):
        found |= _streamed(python, world, places, times, np.stack(ours))
        for what in ("slices", "slices at once", "1,000 snippets"):
            theirs_took = found[f"{what.removesuffix(' at once')}, Streamer"]
            found[f"{what}, times faster"] = theirs_took / found[what]
    return {what: round(value, 2) for what, value in found.items()}


async def _at_once(world: dict[str, Any], places: list[int]) -> float:
    """Return the seconds of slices that are read concurrently."""
    with tempfile.TemporaryDirectory() as folder:
        login = {"base_url": world["url"], "username": "demo", "password": "demo"}
        async with AsyncONE(**login, cache_dir=folder, mode="remote") as one:
            raw = await one.raw_ephys(world["pid"], check_hash=False)
            begun = time.perf_counter()
            async with anyio.create_task_group() as tasks:
                for at in places:
                    tasks.start_soon(raw.read, slice(at, at + RATE // 2))
            return time.perf_counter() - begun


def _streamed(
    python: str, world: dict[str, Any], places: list[int], times: list[int], ours: Any
) -> dict[str, float]:
    """Return the seconds of ibllib's Streamer; those of 1,000 snippets are extrapolated from every 20th."""
    few = times[::20]
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/slices.npy"
        given = json.dumps({**world, "rate": RATE, "places": places, "times": few, "out": out})
        command = [python, str(Path(__file__).with_name("oracle_raw.py"))]
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(command, input=given, capture_output=True, text=True, env=clean, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr)
        assert np.array_equal(np.load(out), ours)
    seconds = json.loads(done.stdout.splitlines()[-1])
    return {
        "slices, Streamer": seconds["slices"],
        "1,000 snippets, Streamer": seconds["snippets"] * len(times) / len(few),
    }


if __name__ == "__main__":
    serve() if "--serve" in sys.argv else main()
