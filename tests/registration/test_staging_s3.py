"""Copy files to a bucket of a real S3 server (moto's) before registration."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from client.faces import Face
from one_async.emulator import Emulator
from one_async.errors import RegistrationError

from .folders import DATE, NAMES, SUBJECT, md5, session, write, written

pytestmark = pytest.mark.filterwarnings("default")  # moto's own warnings


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """Yield a client of an S3 server with one bucket."""
    moto = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", **keys)
    client.create_bucket(Bucket="data")
    yield client
    running.stop()


@pytest.fixture(autouse=True)
def environment(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"AWS_ENDPOINT_URL": s3.meta.endpoint_url, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
             "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}  # fmt: skip
    for name, value in names.items():
        monkeypatch.setenv(name, value)


def test_files_are_copied_to_a_bucket(
    one: Face, s3: Any, server: Emulator, tmp_path: Path, kind: str
) -> None:
    folder, large = session(tmp_path), "alf/probe01/spikes.times.npy"
    write(folder / large, b"0123456789" * 1_200_000)  # more than one part of an upload
    _, records = one.ask("register_session", folder, to=f"s3://data/{kind}", repository="aws_cortexlab")
    assert len(records) == len(NAMES) + 1
    found = {}
    for entry in s3.list_objects_v2(Bucket="data", Prefix=kind)["Contents"]:
        body = s3.get_object(Bucket="data", Key=entry["Key"])["Body"].read()
        found[entry["Key"]] = hashlib.md5(body).hexdigest()
    names = [*NAMES, large]
    assert found == {f"{kind}/{SUBJECT}/{DATE}/001/{name}": md5(folder / name) for name in names}


def test_a_missing_bucket_is_refused(one: Face, server: Emulator, tmp_path: Path) -> None:
    folder = session(tmp_path)
    with pytest.raises(RegistrationError) as caught:
        one.ask("register_session", folder, to="s3://absent/x")
    assert set(caught.value.refused) == {str(folder / name) for name in NAMES}
    assert all("s3://absent/x" in reason for reason in caught.value.refused.values())
    assert written(server) == ["POST /sessions"]
    assert len(caught.value.sessions) == 1
