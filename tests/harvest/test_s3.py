"""A harvest into a real S3 server (moto's), scanned by Polars."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import anyio
import churn
import polars as pl
import pytest
import worlds

from one_async.alyx.rest import AsyncAlyxClient
from one_async.emulator import Emulator
from one_async.errors import TransferError
from one_async.harvest import HarvestReport, harvest

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("default")]  # moto's own warnings


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an S3 server with one bucket."""
    moto = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="harvests")
    yield url
    running.stop()


@pytest.fixture
def options(server: str) -> dict[str, str]:
    return {
        "aws_endpoint_url": server,
        "aws_allow_http": "true",
        "aws_region": "us-east-1",
        "aws_access_key_id": "key",
        "aws_secret_access_key": "secret",
    }


async def test_polars_scans_a_harvest_in_a_bucket(options: dict[str, str], anyio_backend: str) -> None:
    to = f"s3://harvests/{anyio_backend}/alyx"
    with Emulator(worlds.world(sessions=3100, notes=1500)) as emulator:
        async with AsyncAlyxClient(emulator.url, token=emulator.token("demo")) as alyx:
            with anyio.CancelScope() as scope:

                def enough(endpoint: str, rows: int, total: int | None) -> None:
                    if endpoint == "sessions" and rows >= 2000:
                        scope.cancel()

                await harvest(
                    alyx,
                    ["sessions", "notes"],
                    to,
                    part_rows=500,
                    storage_options=options,
                    progress=enough,
                )
            assert scope.cancelled_caught
            report = await harvest(
                alyx, ["sessions", "notes"], to, part_rows=500, storage_options=options, resume=True
            )
            assert report.complete
            assert report["sessions"].resumed
            changed = min(worlds.ids_of(emulator, "sessions"))
            emulator.store.delete("sessions", changed)
            later = await harvest(alyx, ["sessions"], to, storage_options=options, since="2030-01-01")
            assert later["sessions"].vanished == 1
        for endpoint in ("sessions", "notes"):
            lazy = pl.scan_parquet(f"{to}/{endpoint}/*.parquet", storage_options=options)
            frame = await anyio.to_thread.run_sync(lazy.collect)
            assert sorted(map(churn.key_of, frame.to_dicts())) == sorted(worlds.ids_of(emulator, endpoint))
    stored = await anyio.to_thread.run_sync(read, f"{to}/report.json", options)
    assert HarvestReport.model_validate_json(stored).complete


def read(url: str, options: dict[str, Any]) -> bytes:
    from one_async.harvest.places import place_of

    folder, _, name = url.rpartition("/")
    place = place_of(folder, options)
    assert place.names(".harvest/sessions") == []
    return io.BytesIO(place.get(name) or b"").getvalue()


async def test_a_delta_table_in_a_bucket(options: dict[str, str], anyio_backend: str) -> None:
    pytest.importorskip("deltalake")
    to = f"s3://harvests/{anyio_backend}/delta"
    with Emulator(worlds.world(notes=1500)) as emulator:
        async with AsyncAlyxClient(emulator.url, token=emulator.token("demo")) as alyx:
            report = await harvest(alyx, ["notes"], to, format="delta", storage_options=options)
        assert report.complete
        table = await anyio.to_thread.run_sync(lambda: pl.read_delta(f"{to}/notes", storage_options=options))
        assert set(table["id"]) == worlds.ids_of(emulator, "notes")


async def test_a_bucket_that_is_not_there(options: dict[str, str], recorded_emulator: Any) -> None:
    async with AsyncAlyxClient(recorded_emulator.url, token=recorded_emulator.token("demo")) as alyx:
        with pytest.raises(TransferError, match="nowhere"):
            await harvest(alyx, ["labs"], "s3://nowhere/alyx", storage_options=options)
