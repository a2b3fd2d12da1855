"""S3 against a real moto server on a loopback port."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from one_async.errors import HashMismatch, LoginError, NotFound, ServerUnreachable
from one_async.transfer.fetch import Policy, fetch
from one_async.transfer.items import FileSource, Item, S3Keys, S3Location
from one_async.transfer.s3 import over_s3
from one_async.types import StreamOpener

from .servers import Files

pytestmark = pytest.mark.anyio
moto_server = pytest.importorskip("moto.server")

DATA = os.urandom(3_000_017)
MD5 = hashlib.md5(DATA, usedforsecurity=False).hexdigest()
KEY = "data/lab/Subjects/m/2024-05-06/001/alf/#2024-06-01#/a b.times.npy"
TARGET = "lab/Subjects/m/2024-05-06/001/alf/a.times.npy"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    import boto3

    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
    )
    for bucket, access in (("a-public-bucket", "public-read"), ("private", "private")):
        client.create_bucket(Bucket=bucket)
        client.put_object(Bucket=bucket, Key=KEY, Body=DATA, ACL=access)
    client.close()
    yield url
    server.stop()


def item(endpoint: str, bucket: str = "a-public-bucket", key: str = KEY, **change: Any) -> Item:
    keys = S3Keys("k", "s") if bucket == "private" else None
    place = S3Location(bucket, key, "us-east-1", endpoint, keys)
    made = {"size": len(DATA), "hash": MD5, "sources": (FileSource(place.url, None, place),)}
    return Item("d1", TARGET, **(made | change))


def _unsigned(endpoint: str) -> tuple[FileSource]:
    place = S3Location("private", KEY, "us-east-1", endpoint)
    return (FileSource(place.url, None, place),)


@pytest.mark.parametrize("bucket", ["a-public-bucket", "private"])
async def test_a_file_comes_from_s3(
    endpoint: str, streams: StreamOpener, tmp_path: Path, bucket: str
) -> None:
    (outcome,) = await fetch([item(endpoint, bucket)], root=tmp_path, streams=streams)
    assert outcome.url == f"s3://{bucket}/{KEY}"
    assert (tmp_path / TARGET).read_bytes() == DATA


async def test_a_part_is_resumed(endpoint: str, streams: StreamOpener, tmp_path: Path) -> None:
    one = item(endpoint)
    folder = (tmp_path / TARGET).parent
    folder.mkdir(parents=True)
    part = folder / f".a.times.npy.{one.key}.part"
    part.write_bytes(DATA[:1_000_000])
    inode = part.stat().st_ino
    await fetch([one], root=tmp_path, streams=streams)
    assert (tmp_path / TARGET).read_bytes() == DATA
    assert (tmp_path / TARGET).stat().st_ino == inode
    assert [p.name for p in folder.iterdir()] == ["a.times.npy"]


async def test_ranges(endpoint: str) -> None:
    place = item(endpoint).sources[0].s3
    assert place is not None
    open_at = over_s3(place)
    async with open_at(len(DATA) - 5) as stream:
        assert stream.status == 206
        assert stream.headers["content-range"] == f"bytes {len(DATA) - 5}-{len(DATA) - 1}/{len(DATA)}"
        assert b"".join([chunk async for chunk in stream.chunks()]) == DATA[-5:]
    async with open_at(len(DATA)) as stream:
        assert stream.status == 416


async def test_errors_do_not_contain_keys(endpoint: str, streams: StreamOpener, tmp_path: Path) -> None:
    quick = Policy(retries=1, pause=0.01)
    cases = [
        (item(endpoint, key="none.npy"), NotFound, "none.npy"),
        (item(endpoint, "private", hash="0" * 32), HashMismatch, MD5),
        (item(endpoint, "private", sources=_unsigned(endpoint)), LoginError, "private"),
        (item("http://127.0.0.1:9", "private"), ServerUnreachable, "s3://private/"),
    ]
    for one, error, text in cases:
        with pytest.raises(error, match=text) as caught:
            await fetch([one], root=tmp_path, streams=streams, policy=quick)
        assert "AWSAccessKeyId" not in str(caught.value)
        assert not (tmp_path / TARGET).exists()


async def test_http_and_s3_stand_in_for_each_other(
    endpoint: str, files: Files, streams: StreamOpener, tmp_path: Path
) -> None:
    files.put("x.npy", DATA)
    web, stored = FileSource(f"{files.base}/x.npy"), item(endpoint).sources[0]
    files.faults["x.npy"] = ["404"]
    (outcome,) = await fetch([item(endpoint, sources=(web, stored))], root=tmp_path / "a", streams=streams)
    assert outcome.url == stored.url
    gone = item(endpoint, key="gone").sources[0]
    (outcome,) = await fetch([item(endpoint, sources=(gone, web))], root=tmp_path / "b", streams=streams)
    assert outcome.url == web.url


def test_without_the_extra() -> None:
    code = """
import sys
sys.modules["obstore"] = None
from one_async.transfer.items import S3Location
from one_async.transfer.s3 import over_s3
from one_async.errors import ConfigurationError
try:
    over_s3(S3Location("b", "k"))
except ConfigurationError as error:
    assert "one-async[s3]" in str(error)
    print("told")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "told\n", done.stderr


def test_obstore_is_imported_only_for_s3() -> None:
    code = "import one_async.transfer.fetch, one_async.transfer.plan, sys; print('obstore' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "False\n"
    )
