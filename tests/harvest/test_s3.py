"""Harvest into a bucket of a real S3 server (moto's) and read it with Polars and DuckDB."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import churn
import polars as pl
import pytest
import worlds

from one_async import AsyncONE
from one_async.alyx.client import AsyncAlyxClient
from one_async.emulator import Emulator
from one_async.errors import ConfigurationError, HarvestUnderWay, TransferError
from one_async.harvest import HarvestReport, harvest, lease
from one_async.harvest.storage import s3_options, storage_of

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("default")]  # moto's own warnings


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Run an S3 server with one bucket and yield its address."""
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
            report = await harvest(alyx, ["sessions", "notes"], to, part_rows=500, storage_options=options)
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
    folder, _, name = url.rpartition("/")
    place = storage_of(folder, options)
    assert place.names(".harvest/sessions") == []
    return io.BytesIO(place.get(name) or b"").getvalue()


async def test_a_delta_table_is_written_to_a_bucket(options: dict[str, str], anyio_backend: str) -> None:
    pytest.importorskip("deltalake")
    to = f"s3://harvests/{anyio_backend}/delta"
    with Emulator(worlds.world(notes=1500)) as emulator:
        async with AsyncAlyxClient(emulator.url, token=emulator.token("demo")) as alyx:
            report = await harvest(alyx, ["notes"], to, format="delta", storage_options=options)
        assert report.complete
        table = await anyio.to_thread.run_sync(lambda: pl.read_delta(f"{to}/notes", storage_options=options))
        assert set(table["id"]) == worlds.ids_of(emulator, "notes")


async def test_concurrent_harvests_of_a_bucket_wait_for_the_lease(
    options: dict[str, str], anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = f"s3://harvests/{anyio_backend}/claims"
    with Emulator(worlds.world(notes=3000)) as emulator:
        reports = []

        async def one() -> None:
            async with AsyncAlyxClient(emulator.url, token=emulator.token("demo")) as alyx:
                reports.append(await harvest(alyx, "notes", to, part_rows=700, storage_options=options))

        async with anyio.create_task_group() as group:
            group.start_soon(one)
            group.start_soon(one)
        assert [report.complete for report in reports] == [True, True]
        lazy = pl.scan_parquet(f"{to}/notes/*.parquet", storage_options=options)
        frame = await anyio.to_thread.run_sync(lazy.collect)
        assert sorted(frame["id"]) == sorted(worlds.ids_of(emulator, "notes"))
        place = await anyio.to_thread.run_sync(storage_of, to, options)
        monkeypatch.setattr(lease, "TIMEOUT", 0.1)
        async with lease.hold_lease(place, "notes") as held:
            assert await anyio.to_thread.run_sync(held.renew)
            with pytest.raises(HarvestUnderWay):
                await one()
        # A lease of a dead owner, or one that has expired, does not block.
        code = "from one_async.files.claim import owner_of; print(owner_of('x'), end='')"
        dead = await anyio.run_process([sys.executable, "-c", code])
        for owner, patience, term in ((dead.stdout, 0.1, 60.0), (b"x elsewhere 1 1", 30.0, 0.0)):
            monkeypatch.setattr(lease, "TIMEOUT", patience)
            monkeypatch.setattr(lease, "LEASE", term)
            await anyio.to_thread.run_sync(place.put, ".harvest/notes.lease", owner)
            await one()
        assert await anyio.to_thread.run_sync(place.names, ".harvest") == []


async def test_a_missing_bucket_raises_transfer_error(
    options: dict[str, str], recorded_emulator: Any
) -> None:
    async with AsyncAlyxClient(recorded_emulator.url, token=recorded_emulator.token("demo")) as alyx:
        with pytest.raises(TransferError, match="nowhere"):
            await harvest(alyx, ["labs"], "s3://nowhere/alyx", storage_options=options)


async def test_the_endpoint_of_the_settings_is_used(
    server: str, recorded_emulator: Any, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONE_S3_ENDPOINT sets the address of S3, also without encryption; options and credentials take precedence."""
    monkeypatch.setenv("ONE_S3_ENDPOINT", server)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    to = f"s3://harvests/{anyio_backend}/settings"
    token = recorded_emulator.token("demo")
    async with AsyncONE(base_url=recorded_emulator.url, token=token) as one:
        report = await one.harvest(["labs"], to, tidy=True)
        assert report.complete
        with pytest.raises(ConfigurationError, match="AWS_ALLOW_HTTP"):
            await one.harvest(["labs"], to, storage_options={"aws_endpoint_url": "http://127.0.0.1:9"})
    options = s3_options(to, None, server)
    place = await anyio.to_thread.run_sync(storage_of, to, options)
    script = await anyio.to_thread.run_sync(place.get, "views.sql")
    assert script is not None
    assert f"'{to}'" in script.decode()
    for name in ("schema.md", "metadata.duckdb"):
        assert await anyio.to_thread.run_sync(place.get, name) is not None


@pytest.mark.parametrize("format", ["parquet", "delta"])
async def test_duckdb_opens_a_harvest_in_a_bucket(
    options: dict[str, str], recorded_emulator: Any, anyio_backend: str, tmp_path: Path, format: Any
) -> None:
    """The database and the script are in the bucket and have the addresses of its tables.

    Patterns of addresses need DuckDB's extension httpfs, so Parquet files are read from a copy.
    """
    duckdb = pytest.importorskip("duckdb")
    obstore = pytest.importorskip("obstore.fsspec")
    pytest.importorskip("deltalake")
    to = f"s3://harvests/{anyio_backend}/lake-{format}"
    names = ["sessions", "datasets", "labs"]
    async with AsyncAlyxClient(recorded_emulator.url, token=recorded_emulator.token("demo")) as alyx:
        for _ in range(2):  # the second replaces the first
            report = await harvest(alyx, names, to, tidy=True, format=format, storage_options=options)
            assert report.complete
    config = {name: value for name, value in options.items() if name != "aws_allow_http"}
    files = obstore.FsspecStore("s3", config=config, client_options={"allow_http": True})

    def ask(opened: str) -> list[tuple[Any, ...]]:
        place = storage_of(to, options)
        there = place.get(opened) or b""
        for part in (part for name in names for part in place.names(name)):
            (tmp_path / part).parent.mkdir(exist_ok=True)
            (tmp_path / part).write_bytes(place.get(part) or b"")
        (tmp_path / opened).write_bytes(there)
        path = str(tmp_path / opened) if opened == "metadata.duckdb" else ":memory:"
        with duckdb.connect(path, read_only=path != ":memory:") as database:
            database.register_filesystem(files)
            if format == "parquet":
                database.execute("SET VARIABLE harvest = ?", [str(tmp_path)])
            if path == ":memory:":
                database.execute(there.decode())
            [(view,)] = database.execute("SELECT sql FROM duckdb_views() WHERE view_name = 'labs'").fetchall()
            assert f"'{to}'" in view
            for name in names:
                found = database.execute(f"SELECT count(*) FROM {name}").fetchall()
                assert found == [(report[name].distinct,)]
            return list(
                database.execute(
                    "SELECT CAST(eid AS VARCHAR), count(*) FROM sessions JOIN datasets USING (eid) GROUP BY eid ORDER BY 1"
                ).fetchall()
            )

    truth = recorded_emulator.store.select(
        "SELECT s.id, count(*) FROM sessions s JOIN datasets d ON d.session = s.id GROUP BY s.id ORDER BY 1"
    )
    for opened in ("metadata.duckdb", "views.sql"):
        assert await anyio.to_thread.run_sync(ask, opened) == [tuple(row) for row in truth] != []


@pytest.mark.parametrize("name", ["aws_endpoint_url", "AWS_ENDPOINT", "endpoint"])
def test_an_endpoint_in_the_options_takes_precedence(name: str) -> None:
    assert s3_options("s3://b/p", {name: "http://there"}, "http://here") == {name: "http://there"}
    assert s3_options("gs://b/p", None, "http://here") is None
    assert s3_options("folder", None, "http://here") is None
    assert s3_options(None, {}, "http://here") is None
    assert s3_options("s3://b/p", {"aws_region": "x"}, "https://here") == {
        "aws_endpoint_url": "https://here",
        "aws_region": "x",
    }
