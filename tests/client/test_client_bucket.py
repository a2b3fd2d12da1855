"""Tables and files in a bucket, opened in local mode from a real S3 server (moto's)."""

from __future__ import annotations

import pickle
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from one_async import ONE, AsyncONE
from one_async.errors import (
    ConfigurationError,
    InputError,
    LoginError,
    NotFound,
    OfflineError,
    OneError,
    ServerUnreachable,
    TablesDamaged,
    TablesNotFound,
    TablesWarning,
)
from one_async.settings import resolve, setup
from one_async.tables.build import make_parquet_db
from one_async.tables.disk import write_table

from .faces import KINDS, opened

pytestmark = pytest.mark.filterwarnings("default:.*:DeprecationWarning")  # moto's own warnings
SESSIONS = ("lab/Subjects/A/2020-01-01/001", "lab/Subjects/B b+1%2Cé~/2020-01-02/002", "C/2020-01-03/1")
SECRET = "a-very-secret-key"
ADDRESS = "s3://recordings/lab data"


def fill(root: Path, sessions: tuple[str, ...] = SESSIONS, first: float = 0.0) -> None:
    for number, session in enumerate(sessions):
        folder = root / session / "alf"
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "spikes.times.npy", np.arange(number + 3.0) + first)
        np.save(folder / "spikes.clusters.npy", np.full(number + 3, number))
        if number == 1:  # a revision, whose folder must be quoted in addresses, as must the subject
            revised = folder / "#2024-01-01#" / "wheel.position.npy"
            revised.parent.mkdir(exist_ok=True)
            np.save(revised, np.arange(number + 3.0) + 0.5)
    make_parquet_db(root, hash_files=True)


class Bucket:
    """An S3 server and the requests that a test sends to it."""

    def __init__(self, url: str) -> None:
        import boto3

        self.url = url
        self.client = boto3.client(
            "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
        )

    def upload(
        self, root: Path, folder: str, access: str = "public-read", bucket: str = "recordings"
    ) -> None:
        for path in root.rglob("*"):
            if path.is_file() and not path.relative_to(root).as_posix().startswith("."):
                key = f"{folder}/{path.relative_to(root).as_posix()}"
                self.client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes(), ACL=access)


@pytest.fixture(scope="module")
def server() -> Iterator[Bucket]:
    pytest.importorskip("obstore")
    moto = pytest.importorskip("moto.server")
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    bucket = Bucket(f"http://{host}:{port}")
    bucket.client.create_bucket(Bucket="recordings")
    yield bucket
    bucket.client.close()
    running.stop()


@pytest.fixture(scope="module")
def lab(server: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder whose copy is in the bucket."""
    root = tmp_path_factory.mktemp("lab")
    fill(root)
    server.upload(root, "lab data")
    return root


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, empty_home: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(empty_home / "caches"))


@pytest.fixture
def at_server(server: Bucket, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    monkeypatch.setenv("ONE_S3_ENDPOINT", server.url)
    return server


def files_below(root: Path) -> set[str]:
    found = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return {name for name in found if not name.startswith(".")}


@pytest.mark.parametrize("kind", KINDS)
def test_a_bucket_returns_the_same_as_its_folder(
    lab: Path, at_server: Bucket, kind: str, empty_home: Path
) -> None:
    with (
        opened(kind, cache_dir=lab, mode="local") as here,
        opened(kind, cache_dir=ADDRESS, mode="local") as one,
    ):
        root = one.look("cache_dir")
        assert empty_home in root.parents
        assert not root.exists()  # nothing is read or written before the first call
        eids = here.ask("search")
        assert one.ask("search") == eids
        assert files_below(root) == {"sessions.pqt", "datasets.pqt"}
        for eid in eids:
            expected, found = (each.ask("load_object", eid, "spikes") for each in (here, one))
            assert np.array_equal(expected["times"], found["times"])
            assert np.array_equal(expected["clusters"], found["clusters"])
            assert here.ask("list_datasets", eid) == one.ask("list_datasets", eid)
        (eid,) = one.ask("search", date_range="2020-01-02")
        assert one.ask("load_dataset", eid, "wheel.position.npy").tolist() == [0.5, 1.5, 2.5, 3.5]
        assert files_below(root) == files_below(lab)
        table = one.ask("download", eids, filename="spikes.*")
        assert set(table["status"]) == {"present"}
        assert one.look("mode") == "local"
        assert one.look("offline")


def test_only_requested_files_are_downloaded(lab: Path, at_server: Bucket) -> None:
    with ONE(cache_dir=ADDRESS) as one:
        assert repr(one) == f"One (offline, {ADDRESS})"
        eid = one.search(subject="A")[0]
        plan = one.download(eid, dry_run=True)
        assert plan["status"].to_list() == ["absent", "absent"]
        path = one.load_dataset(eid, "spikes.times.npy", download_only=True)
        assert path == one.cache_dir / SESSIONS[0] / "alf/spikes.times.npy"
        assert files_below(one.cache_dir) == {
            "sessions.pqt", "datasets.pqt", f"{SESSIONS[0]}/alf/spikes.times.npy",
        }  # fmt: skip
        path.write_bytes(b"damaged")
        assert np.array_equal(one.load_dataset(eid, "spikes.times.npy"), np.arange(3.0))
        assert one.stats.files == 2
        assert one.save_cache() == one.cache_dir
        again = pickle.loads(pickle.dumps(one))
        assert again.cache_dir == one.cache_dir
        assert np.array_equal(again.load_dataset(eid, "spikes.clusters.npy"), np.zeros(3))


@pytest.mark.anyio
async def test_tables_are_fetched_when_they_changed(
    server: Bucket, at_server: Bucket, tmp_path: Path
) -> None:
    root = tmp_path / "growing"
    fill(root, SESSIONS[:1])
    folder = f"growing-{tmp_path.name}"
    server.upload(root, folder)
    address = f"s3://recordings/{folder}"

    def stamps(cache: Path) -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in cache.glob("*.pqt")}

    async with AsyncONE(cache_dir=address, mode="local") as one:
        assert len(await one.search()) == 1
        before = stamps(one.cache_dir)
    async with AsyncONE(cache_dir=address, mode="local") as one:
        assert len(await one.search()) == 1
        assert stamps(one.cache_dir) == before
        eid = (await one.search())[0]
        old = await one.load_dataset(eid, "spikes.times.npy")
        fill(root, SESSIONS, first=1.0)
        server.upload(root, folder)
        assert len(await one.search()) == 1  # a client keeps its tables until they are requested again
        await one.refresh_cache("refresh")
        assert len(await one.search()) == 3
        assert stamps(one.cache_dir) != before
        # By the hash in the new tables, the local file is outdated.
        assert np.array_equal(await one.load_dataset(eid, "spikes.times.npy"), old + 1)
    (one.cache_dir / "datasets.pqt").write_bytes(b"damaged")
    async with AsyncONE(cache_dir=address, mode="local") as one:
        assert len(await one.search()) == 3


def test_insertions_come_and_go(server: Bucket, at_server: Bucket, tmp_path: Path) -> None:
    root = tmp_path / "probes"
    fill(root, SESSIONS[:1])
    frame = pl.DataFrame({"pid": ["00000000-0000-4000-8000-000000000001"], "eid": ["x"], "name": ["probe00"]})
    write_table(root / "insertions.pqt", "insertions", frame, {"date_created": "2026-01-01 00:00"})
    server.upload(root, "probes")
    with ONE(cache_dir="s3://recordings/probes") as one:
        one.search()
        assert (one.cache_dir / "insertions.pqt").read_bytes() == (root / "insertions.pqt").read_bytes()
        server.client.delete_object(Bucket="recordings", Key="probes/insertions.pqt")
        one.refresh_cache("refresh")
        assert not (one.cache_dir / "insertions.pqt").exists()


def test_damaged_tables_are_named(server: Bucket, at_server: Bucket, lab: Path) -> None:
    address = "s3://recordings/damaged"
    server.client.put_object(Bucket="recordings", Key="damaged/sessions.pqt", Body=b"PAR1", ACL="public-read")
    content = (lab / "datasets.pqt").read_bytes()
    server.client.put_object(Bucket="recordings", Key="damaged/datasets.pqt", Body=content, ACL="public-read")
    with ONE(cache_dir=address) as one:
        for _ in range(2):
            with pytest.raises(TablesDamaged, match=f"{address}/sessions.pqt") as raised:
                one.search()
        assert len(str(raised.value)) < 500
        assert files_below(one.cache_dir) == set()


def test_ranges_are_read_without_the_file(lab: Path, at_server: Bucket) -> None:
    pytest.importorskip("fsspec")
    from one_async.filesystem import OneFileSystem

    system = OneFileSystem(cache_dir=ADDRESS, mode="local", skip_instance_cache=True)
    with ONE(cache_dir=ADDRESS) as one:
        eid = one.search(subject="A")[0]
        expected = (lab / SESSIONS[0] / "alf/spikes.times.npy").read_bytes()
        path = f"{eid}/alf/spikes.times.npy"
        assert system.cat_file(path, start=-16) == expected[-16:]
        assert system.cat_file(path) == expected
        assert files_below(one.cache_dir) == {"sessions.pqt", "datasets.pqt"}


def test_keys_open_a_private_bucket(server: Bucket, at_server: Bucket, lab: Path, monkeypatch: Any) -> None:
    server.upload(lab, "private", access="private")
    address = "s3://recordings/private"
    with ONE(cache_dir=address) as one, pytest.raises(LoginError, match="AWS_ACCESS_KEY_ID") as refused:
        one.search()
    assert address in str(refused.value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "some-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with ONE(cache_dir=address) as one:
        assert len(one.search()) == 3
        assert len(one.load_dataset(one.search()[0], "spikes.times.npy"))
        kept = b"".join(path.read_bytes() for path in one.cache_dir.rglob("*") if path.is_file())
        assert SECRET.encode() not in kept + pickle.dumps(one) + repr(one.settings).encode()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("address", "error"),
    [
        ("s3://no-such-bucket/x", TablesNotFound),
        ("s3://recordings/no/such/folder", TablesNotFound),
        ("s3://recordings/lab data/lab", TablesNotFound),
        ("s3://recordings", TablesNotFound),
    ],
    ids=["bucket", "folder", "tables", "root"],
)
def test_what_is_not_there(
    lab: Path, at_server: Bucket, kind: str, address: str, error: type[OneError], monkeypatch: Any
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "some-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with opened(kind, cache_dir=address, mode="local") as one, pytest.raises(error) as raised:
        one.ask("search")
    text = str(raised.value)
    assert address in text
    assert len(text) < 500
    assert SECRET not in text
    assert "some-key" not in text


def test_a_file_that_is_not_there(server: Bucket, at_server: Bucket, tmp_path: Path) -> None:
    fill(tmp_path / "lab", SESSIONS[:1])
    server.upload(tmp_path / "lab", "gaps")
    server.client.delete_object(Bucket="recordings", Key=f"gaps/{SESSIONS[0]}/alf/spikes.times.npy")
    with ONE(cache_dir="s3://recordings/gaps") as one:
        eid = one.search()[0]
        with pytest.raises(NotFound, match=r"spikes\.times\.npy"):
            one.load_dataset(eid, "spikes.times.npy")
        table = one.download(eid, on_error="collect")
        assert sorted(table["status"]) == ["failed", "fetched"]
        server.upload(tmp_path / "lab", "gaps")
        assert sorted(one.retry(table)["status"]) == ["fetched", "fetched"]


def test_a_bucket_that_is_away(lab: Path, at_server: Bucket, monkeypatch: Any) -> None:
    """The copies of the tables stay in use; without copies an error is raised."""
    with ONE(cache_dir=ADDRESS) as one:
        eids, copies = one.search(), one.cache_dir
    monkeypatch.setenv("ONE_S3_ENDPOINT", "http://127.0.0.1:9")
    with ONE(cache_dir=ADDRESS) as away, pytest.raises(ServerUnreachable) as raised:
        away.search()
    assert len(str(raised.value)) < 500
    shutil.copytree(copies, away.cache_dir, dirs_exist_ok=True)
    with (
        ONE(cache_dir=ADDRESS) as away,
        pytest.warns(TablesWarning, match="using the tables that were downloaded"),
    ):
        assert away.search() == eids


@pytest.mark.parametrize("client", [ONE, AsyncONE])
def test_local_mode_alone(client: Callable[..., Any]) -> None:
    for mode in ("remote", "auto", "refresh"):
        with pytest.raises(InputError, match="mode"):
            client(cache_dir=ADDRESS, mode=mode)
        one = client(cache_dir=ADDRESS)
        with pytest.raises(InputError, match="mode"):
            one.mode = mode
    with pytest.raises(InputError, match="cache_dir"):
        client(cache_dir=ADDRESS, base_url="https://alyx.example.org")
    with pytest.raises(InputError, match="cache_dir"):
        setup("https://alyx.example.org", cache_dir=ADDRESS)


def test_what_would_write_is_refused(lab: Path, at_server: Bucket) -> None:
    with ONE(cache_dir=ADDRESS) as one:
        with pytest.raises(ConfigurationError, match="only read"):
            next(iter(one.watch_folder()))
        with pytest.raises(OfflineError, match="s3://recordings"):
            one.search(query_type="remote")
        with pytest.raises(OfflineError):
            one.register_session(SESSIONS[0])


@pytest.mark.parametrize(
    "address",
    ["s3://", "s3://x", "s3://bucket/../x", "s3://bucket/a//b", "s3://bucket/./a", "s3://k:hidden@bucket/x"],
)
def test_addresses(address: str, monkeypatch: Any) -> None:
    with pytest.raises(InputError, match="cache_dir") as raised:
        resolve(cache_dir=address)
    assert "hidden" not in str(raised.value)
    monkeypatch.setenv("ONE_CACHE_DIR", address)
    with pytest.raises(ConfigurationError, match="ONE_CACHE_DIR") as failed:
        resolve()
    assert "hidden" not in str(failed.value)


def test_settings_that_name_a_bucket(monkeypatch: Any, tmp_path: Path) -> None:
    given = resolve(cache_dir=ADDRESS)
    assert (given.cache_bucket, given.base_url, given.mode) == (ADDRESS, None, "local")
    assert resolve(cache_dir=f"{ADDRESS}/") == given == resolve(cache_dir=Path(ADDRESS))
    assert resolve(cache_dir=f"{ADDRESS} 2").cache_dir != given.cache_dir
    assert resolve(cache_dir=ADDRESS, tables_dir=tmp_path).tables_dir == tmp_path
    with pytest.raises(InputError, match="tables_dir"):
        resolve(cache_dir=ADDRESS, tables_dir=ADDRESS)
    monkeypatch.setenv("ONE_CACHE_DIR", ADDRESS)
    assert resolve() == resolve(mode="local") == given
    assert resolve(cache_dir=tmp_path).cache_bucket is None
    assert resolve(cache_dir=tmp_path).cache_dir == tmp_path
    assert resolve(cache_dir="s3://other/x").cache_bucket == "s3://other/x"
    with pytest.raises(InputError, match="mode"):
        resolve(mode="remote")
    monkeypatch.setenv("ONE_CACHE_DIR", str(tmp_path / "folder"))
    monkeypatch.setenv("ONE_TABLES_DIR", str(tmp_path / "tables"))
    monkeypatch.setenv("ONE_BASE_URL", "https://alyx.example.org")
    assert (
        resolve(cache_dir=ADDRESS) == given
    )  # the folders and the database of the environment belong to another one
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    away = resolve(cache_dir=ADDRESS)
    assert away.s3_endpoint == "http://127.0.0.1:9"
    assert away.cache_dir != given.cache_dir  # a bucket of the same name elsewhere is another bucket


def test_the_extra_is_named(monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with (
        ONE(cache_dir=ADDRESS) as one,
        pytest.raises(ConfigurationError, match=r"pip install 'one-async\[s3\]'"),
    ):
        one.search()
