"""Uncompressed recordings over HTTP, and recordings in buckets of a real S3 server (moto's)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import numpy as np
import pytest

from one_async import ONE
from one_async.alyx.client import AsyncAlyxClient
from one_async.emulator import Emulator
from one_async.errors import FileDamaged, NotFound, OneError
from one_async.recordings.chunks import ChunkReader, Layout
from one_async.recordings.ephys import AsyncRawEphys
from one_async.recordings.header import Header
from one_async.recordings.meta import parse_meta
from one_async.transfer.items import FileSource, S3Keys, S3Location
from one_async.transfer.ranges import RangeReader

from . import made

ROWS, CHANNELS, RATE = 60_000, 9, 1000.0
WHOLE = made.noise(ROWS, CHANNELS)
META = made.meta(CHANNELS, RATE)
DATA, HEADER = made.compress(WHOLE, RATE, 1000)


@pytest.fixture(scope="module")
def plain() -> Iterator[tuple[Emulator, str, str]]:
    """Yield an emulator with a probe whose recording is a ``.bin`` file, the probe's id, and the path of the file."""
    with Emulator() as emulator:
        headers = {"authorization": f"Token {emulator.token('demo')}"}
        with httpx.Client(base_url=emulator.url, headers=headers) as alyx:
            eid = min(one["session"] for one in emulator.app.world.records["insertions"]["list"])
            session = alyx.get(f"/sessions/{eid}").json()
            probe = alyx.post("/insertions", json={"session": eid, "name": "probe07", "model": "3B2"}).json()
            kind = {"name": "ephysData.raw.apPlain", "filename_pattern": "*ephysData*.ap.bin"}
            alyx.post("/dataset-types", json=kind).raise_for_status()
            contents = {"ap.bin": WHOLE.tobytes() + b"x", "ap.meta": META.encode()}
            names = {end: f"_spikeglx_ephysData_g0_t0.imec7.{end}" for end in contents}
            given = {
                "path": f"{session['subject']}/{session['start_time'][:10]}/{session['number']:03}",
                "name": f"flatiron_{session['lab']}",
                "filenames": [f"raw_ephys_data/probe07/{name}" for name in names.values()],
                "hashes": [hashlib.md5(data).hexdigest() for data in contents.values()],
                "filesizes": [len(data) for data in contents.values()],
                "created_by": "demo",
            }
            rows = alyx.post("/register-file", json=given).raise_for_status().json()
            for row, data in zip(rows, contents.values(), strict=True):
                records = alyx.get(f"/datasets/{row['id']}").json()["file_records"]
                (url,) = (one["data_url"] for one in records if one["data_url"])
                emulator.app.files[url.partition("/data/")[2]] = data
            urls = [name for name in emulator.app.files if name.endswith(".bin")]
            yield emulator, probe["id"], f"/data/{urls[0]}"


def test_an_uncompressed_recording_is_read(plain: tuple[Emulator, str, str], tmp_path: Path) -> None:
    emulator, pid, path = plain
    login = {"username": "demo", "password": "demo", "cache_dir": tmp_path, "mode": "remote"}
    with ONE(base_url=emulator.url, **login) as one:  # type: ignore[arg-type]
        raw = one.raw_ephys(pid)
        assert raw.shape == WHOLE.shape  # trailing bytes that are not a whole sample are ignored
        assert np.array_equal(raw[20.0:20.5], WHOLE[20_000:20_500])
        assert raw._raw._reader.origin.bytes_received < WHOLE.nbytes / 3
        windows = raw.snippets([59_990, 20_010, 9], 9, 10, [8, 0])
        assert np.array_equal(
            windows, np.stack([WHOLE[a - 9 : a + 10][:, [8, 0]] for a in (59_990, 20_010, 9)])
        )
        assert np.array_equal(raw[:], WHOLE)
        rule = emulator.faults.add(path, times=1, cut=True)
        raw._raw._reader._kept.clear()
        assert np.array_equal(raw[-1], WHOLE[-1])
        assert rule.hits == 1


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    boto3, moto = pytest.importorskip("boto3"), pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"aws_access_key_id": "k", "aws_secret_access_key": "s", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", **keys)
    for bucket, access in (("open", "public-read"), ("private", "private")):
        client.create_bucket(Bucket=bucket)
        for name, data in (("x.cbin", DATA), ("x.bin", WHOLE.tobytes()), ("short.cbin", DATA[:-9])):
            client.put_object(Bucket=bucket, Key=name, Body=data, ACL=access)
    client.close()
    yield f"http://{host}:{port}"
    server.stop()


def read(endpoint: str, layout: Layout, name: str, key: Any, bucket: str = "open") -> tuple[Any, int]:
    """Read from a bucket; return the samples and the number of bytes received."""
    keys = S3Keys("k", "s") if bucket == "private" else None
    place = S3Location(bucket, name, "us-east-1", endpoint, keys)

    async def get() -> tuple[Any, int]:
        async with AsyncAlyxClient(base_url="http://127.0.0.1:9") as alyx:
            origin = RangeReader(alyx.wire, [FileSource(place.url, None, place)])
            reader = ChunkReader(layout, origin)
            raw = AsyncRawEphys(reader, parse_meta(META), pid=None, eid=None, probe="probe00", band="ap")
            return await raw[key], origin.bytes_received

    return anyio.run(get)


COMPRESSED = Layout.of_header("a probe", Header.model_validate_json(json.dumps(HEADER)))
PLAIN = Layout.of_samples("a probe", WHOLE.nbytes, CHANNELS)


@pytest.mark.filterwarnings("default")  # moto's own warnings
@pytest.mark.parametrize("bucket", ["open", "private"])
@pytest.mark.parametrize(("name", "layout"), [("x.cbin", COMPRESSED), ("x.bin", PLAIN)], ids=["cbin", "bin"])
def test_recordings_in_buckets_are_read(endpoint: str, bucket: str, name: str, layout: Layout) -> None:
    samples, received = read(endpoint, layout, name, slice(20_000, 22_500), bucket)
    assert np.array_equal(samples, WHOLE[20_000:22_500])
    first, last = np.searchsorted(layout.bounds, (20_000, 22_499), side="right")
    assert received == layout.offsets[last] - layout.offsets[first - 1]


@pytest.mark.filterwarnings("default")
def test_missing_and_short_files_in_a_bucket_raise(endpoint: str) -> None:
    with pytest.raises(NotFound, match="a probe, chunk 0"):
        read(endpoint, COMPRESSED, "y.cbin", 0)
    with pytest.raises(FileDamaged, match="its header describes"):
        read(endpoint, COMPRESSED, "short.cbin", 0)
    with pytest.raises(OneError, match="a probe, chunk 59"):
        read(endpoint, COMPRESSED, "short.cbin", -1)
