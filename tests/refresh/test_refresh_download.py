from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from one_async._observer import Observer
from one_async.emulator import Emulator
from one_async.errors import ServerUnreachable, TablesWarning
from one_async.events import RetryEvent
from one_async.refresh import TablesKeeper
from one_async.refresh import download as module
from one_async.refresh.download import download, part_name
from one_async.refresh.swap import WORK
from one_async.tables import mmap_cache
from one_async.transfer.one import Policy

from .conftest import client_of, files_ending_in, open_keeper
from .tables_server import TOKEN, TablesServer, generation, generations_of

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    return [generation(tmp_path_factory.mktemp("made"), name, 400, 40) for name in ("first", "second")]


@pytest.fixture
def server(archives: list[bytes]) -> Iterator[TablesServer]:
    with TablesServer(archives[0]) as running:
        yield running


def zips(server: TablesServer) -> list[tuple[str | None, str | None]]:
    """Return the token and the range of each request for the archive."""
    return [(token, part) for path, token, part in server.log if path.endswith(".zip")]


async def test_the_token_is_sent_only_to_the_server_of_the_database(
    server: TablesServer, archives: list[bytes], folder: Path
) -> None:
    with TablesServer(archives[1]) as elsewhere:
        server.info["location"] = f"{elsewhere.url}/tables"
        async with open_keeper(server.url, folder) as keeper:
            await keeper.refresh("auto")
            assert generations_of(keeper.loaded) == {"second"}
            server.info.update(location=f"{server.url}/here/tables.zip", date_created="2025-03-01 00:00")
            await keeper.refresh("refresh")
            assert generations_of(keeper.loaded) == {"first"}
    assert elsewhere.log == [("/tables/cache.zip", None, None)]
    assert [entry for entry in server.log if "zip" in entry[0]] == [
        ("/here/tables.zip", f"Token {TOKEN}", None)
    ]


async def test_a_folder_s_address_may_have_a_query(
    server: TablesServer, archives: list[bytes], folder: Path
) -> None:
    server.info["location"] = f"{server.url}/sub/?sig=1"
    async with open_keeper(server.url, folder) as keeper:
        await keeper.refresh("auto")
        assert generations_of(keeper.loaded) == {"first"}
    assert [path for path, _, _ in server.log if "zip" in path] == ["/sub/cache.zip?sig=1"]


@pytest.mark.parametrize("location", ["http://[bad/cache.zip", "s3://", "file:///etc", "nowhere"])
async def test_an_invalid_address_is_reported(
    server: TablesServer, archives: list[bytes], folder: Path, location: str
) -> None:
    async with open_keeper(server.url, folder) as keeper:
        await keeper.refresh("auto")
        server.info.update(location=location, date_created="2025-02-01 00:00")
        with pytest.warns(TablesWarning, match="not an http or s3 address"):
            await keeper.refresh("refresh")
        assert generations_of(keeper.loaded) == {"first"}


async def test_a_broken_download_is_resumed_if_the_server_supports_ranges(
    server: TablesServer, archives: list[bytes], folder: Path
) -> None:
    server.ranges, server.cut = True, 100_000
    async with open_keeper(server.url, folder) as keeper:
        await keeper.refresh("auto")
        assert generations_of(keeper.loaded) == {"first"}
    first, second = zips(server)
    assert first[1] is None
    assert second[1] is not None
    assert 0 < int(second[1].removeprefix("bytes=").rstrip("-")) <= 100_000


async def test_a_broken_download_starts_over_if_the_server_ignores_ranges(
    server: TablesServer, folder: Path
) -> None:
    server.cut = 100_000
    async with open_keeper(server.url, folder) as keeper:
        await keeper.refresh("auto")
        assert generations_of(keeper.loaded) == {"first"}


async def test_partial_files_of_earlier_processes_are_resumed(
    server: TablesServer, archives: list[bytes], folder: Path
) -> None:
    server.ranges = True
    part = folder / WORK / part_name(f"{server.url}/cache.zip", "2025-01-01 00:00")
    part.parent.mkdir()
    part.write_bytes(archives[0][:70_000])
    (part.parent / f"{'0' * 24}.zip.part").write_bytes(b"of another version")
    async with open_keeper(server.url, folder) as keeper:
        await keeper.refresh("auto")
        assert generations_of(keeper.loaded) == {"first"}
    assert [part for _, part in zips(server)] == ["bytes=70000-"]
    assert files_ending_in(folder / WORK, "") == ["state.json"]


@pytest.mark.parametrize("size", [70_000, 10_000_000])
async def test_a_partial_file_of_another_version_is_discarded(
    server: TablesServer, folder: Path, size: int
) -> None:
    server.ranges = True
    part = folder / WORK / part_name(f"{server.url}/cache.zip", "2025-01-01 00:00")
    part.parent.mkdir()
    part.write_bytes(bytes(size))
    async with open_keeper(server.url, folder) as keeper:
        await keeper.refresh("auto")
        assert generations_of(keeper.loaded) == {"first"}
    assert zips(server)[-1][1] is None


async def test_a_download_fails_after_repeated_broken_connections(
    server: TablesServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_POLICY", Policy(retries=1, pause=0.1))
    server.ranges = True

    async with client_of(server.url) as client:
        for _ in range(2):
            with pytest.raises(ServerUnreachable):
                await download(_CutWire(server, client.wire), f"{server.url}/cache.zip", folder / "x.part")
    assert (folder / "x.part").stat().st_size > 100_000, "the received part is kept"


async def test_a_repeated_download_waits_as_long_as_the_server_demands(alyx: Emulator, folder: Path) -> None:
    alyx.faults.add("/cache.zip", status=503, headers={"Retry-After": "0.3"}, times=2)
    retries: list[RetryEvent] = []
    async with client_of(alyx.url) as client:
        observer = Observer({"retry": [retries.append]})
        await download(client.wire, f"{alyx.url}/cache.zip", folder / "x.part", observer)
    assert [event.reason for event in retries] == ["503", "503"]
    assert all(0.3 <= event.wait <= 0.3 + module._POLICY.pause for event in retries)


class _CutWire:
    """A wire that cuts off every answer."""

    def __init__(self, server: TablesServer, streams: object) -> None:
        self._server, self._wire = server, streams

    def open(self, url: str, **options: object) -> object:
        self._server.cut = 40_000
        return self._wire.open(url, **options)  # type: ignore[attr-defined]


async def test_the_memory_mapped_form_is_installed_with_the_tables(
    server: TablesServer, folder: Path, tmp_path: Path
) -> None:
    server.publish(generation(tmp_path, "first", 2000, 30), "2025-01-01 00:00")
    async with open_keeper(server.url, folder) as keeper:
        await keeper.refresh("auto")
        (former,) = forms(folder)
        server.publish(generation(tmp_path, "second", 2000, 30), "2025-02-01 00:00")
        await keeper.refresh("refresh")
        (present,) = forms(folder)
        assert present != former
        assert generations_of(await TablesKeeper(folder, None).current()) == {"second"}
        assert forms(folder) == [present], "it was valid, or there would be another"


def forms(folder: Path) -> list[str]:
    return [path.name for path in (folder / mmap_cache.FOLDER).iterdir() if len(path.name) == 32]


async def test_tables_on_s3_are_downloaded(
    server: TablesServer, archives: list[bytes], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boto3, moto = pytest.importorskip("boto3"), pytest.importorskip("moto.server")
    s3 = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    s3.start()
    url = "http://{}:{}".format(*s3.get_host_and_port())
    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
    )
    client.create_bucket(Bucket="public")
    client.put_object(Bucket="public", Key="caches/cache.zip", Body=archives[1], ACL="public-read")
    client.close()
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    server.info["location"] = "s3://public/caches"
    try:
        async with open_keeper(server.url, folder) as keeper:
            await keeper.refresh("auto")
            assert generations_of(keeper.loaded) == {"second"}
    finally:
        s3.stop()
    assert zips(server) == []


async def test_a_full_disk_keeps_the_old_tables(
    server: TablesServer, archives: list[bytes], folder: Path
) -> None:
    async with open_keeper(server.url, folder) as keeper:
        await keeper.refresh("auto")
        server.publish(archives[1], "2025-02-01 00:00")
        with _file_size_limit(100_000), pytest.warns(TablesWarning, match="could not be updated"):
            await keeper.refresh("refresh")
        assert generations_of(keeper.loaded) == {"first"}
        assert generations_of(await TablesKeeper(folder, None).current()) == {"first"}
        assert files_ending_in(folder, ".part") == []
        await keeper.refresh("refresh")
        assert generations_of(keeper.loaded) == {"second"}


class _file_size_limit:  # noqa: N801
    """Limit the size of files; a write beyond it fails as on a full disk."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __enter__(self) -> None:
        import resource
        import signal

        self._old = resource.getrlimit(resource.RLIMIT_FSIZE)
        self._handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self._size, self._old[1]))

    def __exit__(self, *details: object) -> None:
        import resource
        import signal

        resource.setrlimit(resource.RLIMIT_FSIZE, self._old)
        signal.signal(signal.SIGXFSZ, self._handler)
