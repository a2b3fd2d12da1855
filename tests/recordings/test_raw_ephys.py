"""Read raw recordings from a server with both faces: the samples, the chunks downloaded, and faults."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest

from one_async import ONE, AsyncONE
from one_async.emulator import Emulator
from one_async.errors import ALFObjectNotFound, FileDamaged, InputError, OneError, ServerUnreachable

from . import made

ROWS, CHANNELS, RATE = 5000, 9, 1000.0
WHOLE = made.noise(ROWS, CHANNELS)
DATA, HEADER = made.compress(WHOLE, RATE, 500)


class Served:
    """An emulator with a recording of a probe; everything else is from the seeded world."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        rows = emulator.app.world.records["datasets"]["list"]
        names = {
            "ap.cbin": DATA,
            "ap.ch": json.dumps(HEADER).encode(),
            "ap.meta": made.meta(CHANNELS, RATE).encode(),
        }
        found = [
            row
            for row in rows
            if row["name"].endswith(".imec0.ap.cbin") and row["collection"].endswith("/probe00")
        ]
        session = found[0]["session"]
        self.path = ""
        for row in rows:
            end = ".".join(row["name"].split(".")[-2:])
            if row["session"] != session or end not in names or row["collection"] != found[0]["collection"]:
                continue
            for one in row["file_records"]:
                if one["data_url"]:
                    path = one["data_url"].partition("//")[2].partition("/")[2].removeprefix("data/")
                    emulator.app.files[path] = names[end]
                    self.path = f"/data/{path}" if end == "ap.cbin" else self.path
        insertions = emulator.app.world.records["insertions"]["list"]
        (self.pid,) = (
            one["id"] for one in insertions if one["session"] in session and one["name"] == "probe00"
        )


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Emulator() as emulator:
        yield Served(emulator)


@pytest.fixture
def options(served: Served, tmp_path: Path) -> Iterator[dict[str, Any]]:
    served.emulator.requests.reset()
    yield {
        "base_url": served.emulator.url,
        "username": "demo",
        "password": "demo",
        "cache_dir": tmp_path,
        "mode": "remote",
    }
    served.emulator.faults.clear()


def fetched(served: Served) -> int:
    return served.emulator.requests.count(served.path)


def test_a_blocking_recording_reads_samples_and_downloads_only_their_chunks(
    served: Served, options: dict[str, Any]
) -> None:
    with ONE(**options) as one:
        raw = one.raw_ephys(served.pid, check_hash=False)
        assert raw.shape == (ROWS, CHANNELS)
        assert "probe00 ap" in repr(raw)
        assert fetched(served) == 0
        assert np.array_equal(raw[1.2:1.4], WHOLE[1200:1400])
        assert fetched(served) == 1
        assert np.array_equal(raw[1.1:1.6, raw.channels], WHOLE[1100:1600, :-1])
        assert fetched(served) == 2
        windows = np.stack([WHOLE[3195:3210], WHOLE[695:710]])
        assert np.array_equal(raw.snippets([3200, 700], 5, 10), windows)
        with pytest.raises(
            InputError, match=r"recording of 5 s; 2 of 3 do not, the first of them at position 1$"
        ):
            raw.snippets([1.0, 4.9, -1.0], before=0.1, after=0.2)
        assert raw.sample2volts[-1] == 1
        with pytest.raises(TypeError):
            iter(raw)
    assert np.array_equal(raw[5], WHOLE[5])  # the client opens again


@pytest.mark.anyio
async def test_concurrent_reads_share_downloaded_chunks(served: Served, options: dict[str, Any]) -> None:
    async with AsyncONE(**options) as one:
        raw = await one.raw_ephys(served.pid, check_hash=False)
        found: list[Any] = [None, None]

        async def get(at: int) -> None:
            found[at] = await raw[2.0:3.0]

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(get, 0)
            tasks.start_soon(get, 1)
        assert all(np.array_equal(one, WHOLE[2000:3000]) for one in found)
        assert fetched(served) == 2  # both reads share the chunks
        with pytest.raises(InputError, match="band"):
            await one.raw_ephys(served.pid, "x")  # type: ignore[arg-type]
        with pytest.raises(ALFObjectNotFound):
            await one.raw_ephys("00000000-0000-0000-0000-000000000001")


@pytest.mark.parametrize(
    "fault",
    [{"cut": True}, {"drop": True}, {"corrupt": 700}, {"status": 503}, {"truncate": 9}, {"shorten": 9}],
)
def test_a_fault_is_retried(served: Served, options: dict[str, Any], fault: dict[str, Any]) -> None:
    with ONE(**options) as one:
        raw = one.raw_ephys(served.pid, check_hash=False)
        rule = served.emulator.faults.add(served.path, times=1, **fault)
        assert np.array_equal(raw[:100], WHOLE[:100])
        assert rule.hits == 1


def test_a_chunk_that_is_damaged_twice_raises(served: Served, options: dict[str, Any]) -> None:
    with ONE(**options) as one:
        raw = one.raw_ephys(served.pid, check_hash=False)
        served.emulator.faults.add(served.path, times=None, corrupt=700)
        with pytest.raises(FileDamaged, match=r"probe00 ap, chunk 3 \(samples 1500 to 2000\)") as caught:
            raw[1600]
        assert caught.value.chunk == 3
        served.emulator.faults.clear()
        assert np.array_equal(raw[1600], WHOLE[1600])


def test_a_read_from_a_stopped_server_raises(served: Served, options: dict[str, Any]) -> None:
    async def read() -> None:
        async with AsyncONE(**options) as one:
            raw = await one.raw_ephys(served.pid, check_hash=False)
            raw._reader.origin.policy = type(raw._reader.origin.policy)(retries=1, pause=0.01)  # type: ignore[union-attr]
            served.emulator.faults.add(served.path, times=None, drop=True)
            with pytest.raises(ServerUnreachable, match="probe00 ap, chunk 0"):
                await raw[:10]

    anyio.run(read)


def test_a_server_without_ranges_raises(served: Served, options: dict[str, Any]) -> None:
    with ONE(**options) as one:
        raw = one.raw_ephys(served.pid, check_hash=False)
        served.emulator.faults.add(served.path, times=None, ignore_range=True)
        with pytest.raises(OneError, match="whole files only"):
            raw[:10]
