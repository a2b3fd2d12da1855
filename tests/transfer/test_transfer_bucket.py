"""Files and folders of buckets by their keys, against a real moto server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from one_async import AlyxClient
from one_async.emulator import Emulator
from one_async.errors import ConfigurationError, InputError, NotFound, UnsafePath
from one_async.remote import aws
from one_async.transfer.bucket import Bucket, below
from one_async.transfer.items import S3Keys

moto_server = pytest.importorskip("moto.server")
OBJECTS = {"atlas/a.nrrd": b"a" * 10, "atlas/sub/b.npy": b"b" * 2_000_000, "other/c.npy": b"c"}


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
    for bucket, access in ((aws.S3_BUCKET_IBL, "public-read"), ("private", "private")):
        client.create_bucket(Bucket=bucket, ACL=access)
        for key, body in OBJECTS.items():
            client.put_object(Bucket=bucket, Key=key, Body=body, ACL=access)
    client.close()
    yield url
    server.stop()


@pytest.fixture(autouse=True)
def configured(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE_S3_ENDPOINT", endpoint)


def test_a_file(tmp_path: Path) -> None:
    target = tmp_path / "new" / "x.nrrd"
    assert aws.s3_download_file("atlas/a.nrrd", target) == target
    assert target.read_bytes() == OBJECTS["atlas/a.nrrd"]
    target.write_bytes(b"z" * 10)
    aws.s3_download_file(Path("atlas/a.nrrd"), target)  # of the right size: not downloaded
    assert target.read_bytes() == b"z" * 10
    aws.s3_download_file("atlas/a.nrrd", str(target), overwrite=True)
    assert target.read_bytes() == OBJECTS["atlas/a.nrrd"]
    assert [path.name for path in target.parent.iterdir()] == ["x.nrrd"]


def test_a_folder(tmp_path: Path, endpoint: str) -> None:
    s3 = Bucket(keys=S3Keys("k", "s"), endpoint=endpoint)
    found = aws.s3_download_folder("atlas", tmp_path, s3=s3, bucket_name="private")
    assert {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in found} == {
        "a.nrrd": OBJECTS["atlas/a.nrrd"], "sub/b.npy": OBJECTS["atlas/sub/b.npy"],
    }  # fmt: skip


def test_what_is_not_there(tmp_path: Path) -> None:
    for method in (aws.s3_download_file, aws.s3_download_folder):
        with pytest.raises(NotFound, match="nothing"):
            method("nothing/here", tmp_path / "x")
        with pytest.raises(InputError, match="source"):
            method("", tmp_path / "x")
    with pytest.raises(InputError, match="folder"):
        aws.s3_download_file("atlas", tmp_path / "x")
    with pytest.raises(UnsafePath):
        below(tmp_path, "atlas", "atlas/../../x")


def test_names() -> None:
    assert (
        aws.get_s3_virtual_host("s3://bucket/x/y.npy", "us-east-1")
        == "https://bucket.s3.us-east-1.amazonaws.com/x/y.npy"
    )
    assert aws.get_s3_virtual_host("bucket", "eu-west-1") == "https://bucket.s3.eu-west-1.amazonaws.com"
    url = "https://bucket.s3.eu-west-1.amazonaws.com/x/y.npy"
    assert aws.url2uri(url) == "s3://bucket/x/y.npy"
    assert aws.url2uri(url, return_location=True) == ("s3://bucket/x/y.npy", "eu-west-1")
    for wrong in ("https://example.org/x", "x"):
        with pytest.raises(InputError):
            aws.url2uri(wrong)


def test_repositories_of_the_database(recorded_emulator: Emulator) -> None:
    recorded_emulator.start()
    with AlyxClient(recorded_emulator.url, "alice", "alice") as alyx:
        names = {row["name"]: row.get("json") or {} for row in alyx.rest("data-repository", "list")}
        for name, said in names.items():
            if said.get("bucket_name"):
                bucket, of = aws.get_s3_from_alyx(alyx, name)
                assert of == said["bucket_name"]
                assert "S3Keys" not in repr(bucket)
            else:
                with pytest.raises(ConfigurationError, match=name):
                    aws.get_s3_from_alyx(alyx, name)
        with pytest.raises(NotFound):
            aws.get_s3_from_alyx(alyx, "nowhere")
