"""If the first address of a file fails, it is downloaded from a bucket in the database's file records."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from one_async.emulator import Emulator
from one_async.errors import ConfigurationError, OneError

from .conftest import Make, login
from .faces import opened
from .worlds import Row, World, path_of

moto_server = pytest.importorskip("moto.server")
BUCKET = "example-bucket"


@pytest.fixture(scope="module")
def stored(seeded: World) -> Row:
    """Return a dataset of the seeded world that is also in a bucket."""
    on_s3 = (
        row for row in seeded.rows("datasets")
        if row["qc"] == "NOT_SET" and row["default_dataset"]
        and any(one["data_repository"] == "aws_cortexlab" for one in row["file_records"])
        and any(one["data_repository"].startswith("flatiron") and one["exists"] for one in row["file_records"])
    )  # fmt: skip
    return next(on_s3)


@pytest.fixture(scope="module")
def endpoint(seeded: World, stored: Row) -> Iterator[str]:
    """Run an S3 server that has only this dataset."""
    import boto3

    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
    )
    client.create_bucket(Bucket=BUCKET)
    (one,) = (one for one in stored["file_records"] if one["data_repository"] == "aws_cortexlab")
    plain = f"{one['data_repository_path'].strip('/')}/{one['relative_path']}"
    stem, _, suffix = plain.rpartition(".")
    key = f"{stem}.{stored['url'][-36:]}.{suffix}"
    client.put_object(Bucket=BUCKET, Key=key, Body=seeded.content(_address(stored)), ACL="public-read")
    client.close()
    yield url
    server.stop()


def _address(row: Row) -> Row:
    (one,) = (one for one in row["file_records"] if one["data_url"])
    return one  # type: ignore[no-any-return]


@pytest.mark.parametrize("status", [404, 401])
def test_s3_has_what_the_data_server_refuses(
    make: Make, seeded_server: Emulator, seeded: World, stored: Row, endpoint: str, status: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    eid, path = stored["session"][-36:], path_of(stored, seeded.revisions)
    rule = seeded_server.faults.add("/data/", status=status, times=None)
    monkeypatch.setenv("ONE_S3_ENDPOINT", endpoint)
    file = make(seeded_server).ask("load_dataset", eid, path, download_only=True)
    assert file.read_bytes() == seeded.content(_address(stored))
    assert rule.hits >= 1


def test_s3_is_away_too(
    seeded_server: Emulator, seeded: World, stored: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the endpoint an error is raised. This runs in one face, since obstore retries for five seconds."""
    eid, path = stored["session"][-36:], path_of(stored, seeded.revisions)
    rule = seeded_server.faults.add("/data/", status=404, times=None)
    monkeypatch.setenv("ONE_S3_ENDPOINT", "http://127.0.0.1:9")
    with (
        opened("asyncio", cache_dir=tmp_path / "cache", **login(seeded_server)) as one,
        pytest.raises(OneError),
    ):
        one.ask("load_dataset", eid, path, download_only=True)
    assert rule.hits >= 1


def test_an_endpoint_is_an_address(
    make: Make, seeded_server: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONE_S3_ENDPOINT", "s3.example.org")
    with pytest.raises(ConfigurationError, match="ONE_S3_ENDPOINT"):
        make(seeded_server)
