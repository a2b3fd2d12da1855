"""download_file: names and results as in ONE-api, ranges, interrupted downloads, and which credentials are sent where."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from one_async import AlyxClient, AsyncAlyxClient
from one_async.errors import (
    ConfigurationError,
    InputError,
    LoginError,
    NotFound,
    OneError,
    ServerUnreachable,
    StatusError,
    TransferError,
    UnsafePath,
)
from one_async.settings import resolve
from one_async.transfer import one as transfer_one

from .servers import serving

pytestmark = pytest.mark.anyio
DATA = bytes(range(256)) * 800
MD5 = hashlib.md5(DATA).hexdigest()


@dataclass
class FileServer:
    """A file server with ranges and versions that can cut off answers."""

    content: dict[str, bytes] = field(default_factory=lambda: {"lab/a.npy": DATA, "lab/b.npy": DATA[::-1]})
    cut: list[int] = field(default_factory=list)  # the numbers of bytes after which the next answers end
    version: str | None = '"1"'
    ranges: bool = True
    login: str | None = None
    location: str | None = None
    requests: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    base: str = ""

    async def answer(self, request: Request) -> Response:
        fields = dict(request.headers)
        self.requests.append(fields)
        self.paths.append(request.url.path)
        if self.location:
            return Response(status_code=302, headers={"location": self.location})
        if self.login and fields.get("authorization") != self.login:
            return Response("who?", 401)
        data = self.content.get(request.url.path.lstrip("/"))
        if data is None:
            return Response("no", 404)
        headers = {"etag": self.version} if self.version else {}
        asked, status, body = fields.get("range"), 200, data
        if self.ranges and asked and fields.get("if-range", self.version) == self.version:
            first, last = asked.removeprefix("bytes=").split("-")
            start, end = int(first), min(int(last or len(data)) + 1, len(data))
            if start >= len(data):
                return Response(status_code=416, headers={"content-range": f"bytes */{len(data)}"})
            status, body = 206, data[start:end]
            headers["content-range"] = f"bytes {start}-{end - 1}/{len(data)}"
        headers["content-length"] = str(len(body))
        sent = body[: self.cut.pop(0)] if self.cut else body
        return StreamingResponse(
            iter([sent[at : at + 5000] for at in range(0, len(sent), 5000)]), status, headers
        )


@contextmanager
def running(**options: Any) -> Iterator[FileServer]:
    files = FileServer(**options)
    with serving(Starlette(routes=[Route("/{path:path}", files.answer)])) as files.base:
        yield files


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[FileServer, FileServer]]:
    """Return a data server and another server."""
    with running() as files, running() as other:
        yield files, other


@pytest.fixture
def files(shared: tuple[FileServer, FileServer], monkeypatch: pytest.MonkeyPatch) -> FileServer:
    monkeypatch.setattr(transfer_one, "pause_before_retry", lambda *_: 0.01)
    for server in shared:
        vars(server).update(vars(FileServer(base=server.base)))
    return shared[0]


@pytest.fixture
def other(files: FileServer, shared: tuple[FileServer, FileServer]) -> FileServer:
    return shared[1]


def client(files: FileServer, folder: Path, **login: str) -> AsyncAlyxClient:
    """Yield a client whose database is another server."""
    settings = resolve(
        base_url="http://alyx.invalid",
        token="secret",
        cache_dir=folder / "cache",
        data_server=files.base,
        **login,
    )
    return AsyncAlyxClient(settings=settings)


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


@pytest.fixture
def alyx(files: FileServer, tmp_path: Path) -> AsyncAlyxClient:
    return client(files, tmp_path)


async def test_one_address_and_several(alyx: AsyncAlyxClient, files: FileServer, tmp_path: Path) -> None:
    async with alyx:
        path = await alyx.download_file(f"{files.base}/lab/a.npy")
        assert path == alyx.cache_dir / "a.npy"
        assert path.read_bytes() == DATA
        relative = await alyx.download_file("/lab/a.npy", target_dir=tmp_path / "new", return_md5=True)
        assert relative == (tmp_path / "new" / "a.npy", MD5)
        urls = [f"{files.base}/lab/b.npy", "lab/a.npy"]
        both = await alyx.download_file(urls, target_dir=str(tmp_path / "both"))
        assert both == [tmp_path / "both" / "b.npy", tmp_path / "both" / "a.npy"]
        folders = [tmp_path / "x", tmp_path / "y"]
        names, hashes = await alyx.download_file(urls, target_dir=folders, return_md5=True)
        assert names == (folders[0] / "b.npy", folders[1] / "a.npy")
        assert hashes == (hashlib.md5(DATA[::-1]).hexdigest(), MD5)
        assert await alyx.download_file([]) == await alyx.download_file([], return_md5=True) == []
        assert (
            await alyx.download_file([urls[0], urls[0]], target_dir=tmp_path / "twice")
            == [tmp_path / "twice" / "b.npy"] * 2
        )
    assert sorted(p.name for p in (tmp_path / "both").iterdir()) == ["a.npy", "b.npy"]
    assert not any("authorization" in fields for fields in files.requests)


async def test_an_existing_file_is_replaced_only_on_request(
    alyx: AsyncAlyxClient, files: FileServer, tmp_path: Path
) -> None:
    (tmp_path / "a.npy").write_bytes(b"mine")
    async with alyx:
        kept = await alyx.download_file("lab/a.npy", target_dir=tmp_path, return_md5=True)
        assert kept == (tmp_path / "a.npy", hashlib.md5(b"mine").hexdigest())
        assert files.paths == []
        files.content = {}
        with pytest.raises(NotFound):
            await alyx.download_file("lab/a.npy", target_dir=tmp_path, clobber=True)
        assert (tmp_path / "a.npy").read_bytes() == b"mine"
        files.content = {"lab/a.npy": DATA}
        for _ in range(2):
            assert (
                await alyx.download_file("lab/a.npy", target_dir=tmp_path, clobber=True)
            ).read_bytes() == DATA
    assert files.paths == ["/lab/a.npy"] * 3


SIZE = len(DATA)
CHUNKS = [(0, 1), (0, 128), (1000, 9), (SIZE - 1, 1), (SIZE - 5, 500), (0, 10 * SIZE), (7, SIZE - 7)]


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no ranges"])
async def test_chunks(alyx: AsyncAlyxClient, files: FileServer, tmp_path: Path, ranges: bool) -> None:
    files.ranges = ranges
    async with alyx:
        for number, (first, count) in enumerate(CHUNKS):
            path = await alyx.download_file(
                "lab/a.npy", chunks=(first, count), target_dir=tmp_path / str(number)
            )
            assert path.read_bytes() == DATA[first : first + count]
        for first in (SIZE, SIZE + 3):
            with pytest.raises(StatusError) as caught:
                await alyx.download_file("lab/a.npy", chunks=(first, 4), target_dir=tmp_path / "beyond")
            assert caught.value.status == 416
    assert not list((tmp_path / "beyond").glob("*.npy"))


@pytest.mark.parametrize("chunks", [None, (1000, 150_000), (90_000, SIZE)], ids=str)
@pytest.mark.parametrize("version", ['"1"', None, 'W/"1"'])
async def test_an_interrupted_download_is_resumed(
    alyx: AsyncAlyxClient, files: FileServer, tmp_path: Path, chunks: Any, version: str | None
) -> None:
    files.cut, files.version = [70_000, 30_000], version
    first, count = chunks or (0, SIZE)
    async with alyx:
        path = await alyx.download_file("lab/a.npy", chunks=chunks, target_dir=tmp_path)
    assert path.read_bytes() == DATA[first : first + count]
    assert files_in(tmp_path) == ["a.npy"]
    continued = [fields for fields in files.requests if "if-range" in fields]
    assert len(continued) == (2 if version == '"1"' else 0)
    if continued:  # each byte is sent once
        assert continued[-1]["range"].startswith(f"bytes={first + 100_000}-")


async def test_a_file_that_changes_meanwhile_is_never_mixed(
    alyx: AsyncAlyxClient, files: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(*_: Any) -> float:
        files.content, files.version = {"lab/a.npy": DATA[::-1]}, '"2"'
        return 0.01

    monkeypatch.setattr(transfer_one, "pause_before_retry", change)
    for number, (chunks, part) in enumerate({None: slice(None), (100, SIZE): slice(100, None)}.items()):
        files.content, files.version, files.cut = {"lab/a.npy": DATA}, '"1"', [70_000]
        async with client(files, tmp_path) as alyx:
            path = await alyx.download_file("lab/a.npy", chunks=chunks, target_dir=tmp_path / str(number))
        assert path.read_bytes() == DATA[::-1][part]


async def test_whole_or_not_at_all(alyx: AsyncAlyxClient, files: FileServer, tmp_path: Path) -> None:
    files.cut, files.version = [10] * 40, None
    async with alyx:
        with pytest.raises(ServerUnreachable):
            await alyx.download_file(["lab/a.npy", "lab/b.npy"], target_dir=tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


async def test_who_gets_which_credentials(files: FileServer, other: FileServer, tmp_path: Path) -> None:
    files.login = "Basic dXNlcjpwYXNz"
    login = {"data_server_login": "user", "data_server_password": "pass"}
    async with client(files, tmp_path, **login) as alyx:
        assert (await alyx.download_file("lab/a.npy", target_dir=tmp_path)).read_bytes() == DATA
        await alyx.download_file(f"{other.base}/lab/b.npy", target_dir=tmp_path)
        files.location = f"{other.base}/lab/a.npy"
        await alyx.download_file("lab/a.npy", target_dir=tmp_path / "moved")
        files.location, files.login = None, None
        with pytest.raises(OneError):
            await alyx.download_file(f"{files.base}.invalid/lab/a.npy", target_dir=tmp_path / "near")
        assert b"pass" not in pickle.dumps(alyx)
        assert "'pass'" not in repr(alyx) + repr(vars(alyx))
    assert [fields.get("authorization") for fields in other.requests] == [None, None]
    files.login = "Basic dXNlcjpwYXNz"
    async with client(files, tmp_path) as alyx:
        with pytest.raises(LoginError):
            await alyx.download_file("lab/b.npy", target_dir=tmp_path / "refused")
        headers = {"Authorization": files.login}
        path = await alyx.download_file("lab/b.npy", target_dir=tmp_path / "own", headers=headers)
        assert path.read_bytes() == DATA[::-1]


async def test_the_token_goes_to_the_database_alone(
    files: FileServer, other: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONE_DATA_SERVER", files.base)
    async with AsyncAlyxClient(other.base, token="secret", cache_dir=tmp_path / "cache") as alyx:
        await alyx.download_file([f"{other.base}/lab/a.npy", "lab/b.npy"], target_dir=tmp_path)
    assert [fields.get("authorization") for fields in other.requests] == ["Token secret"]
    assert [fields.get("authorization") for fields in files.requests] == [None]


@pytest.mark.parametrize(
    "url", ["lab/..", "lab/.", "lab/.hidden", "lab/a\\b", "lab/c:d", "lab/a\x01b", "lab/ ", "lab/~"]
)
async def test_no_name_leads_out_of_the_folder(
    alyx: AsyncAlyxClient, files: FileServer, tmp_path: Path, url: str
) -> None:
    files.content[url] = DATA
    async with alyx:
        with pytest.raises((UnsafePath, InputError)):
            await alyx.download_file(url, target_dir=tmp_path / "inner")
    assert files.paths == []


async def test_a_folder_that_is_in_the_way(alyx: AsyncAlyxClient, tmp_path: Path) -> None:
    (tmp_path / "a.npy").mkdir()
    async with alyx:
        for clobber in (False, True):
            with pytest.raises(TransferError):
                await alyx.download_file("lab/a.npy", target_dir=tmp_path, clobber=clobber)
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(TransferError):
            await alyx.download_file("lab/a.npy", target_dir=tmp_path / "file")


@pytest.mark.parametrize(
    ("argument", "wrong"),
    [
        ("url", ""), ("url", "/"), ("url", None), ("url", 5), ("url", [None]), ("url", "ftp://host/a.npy"), ("url", "file:///a/b"),
        ("url", "http:///a.npy"), ("url", "http://[/a.npy"), ("url", "a/../b.npy"), ("url", ["lab/a.npy", "lub/a.npy"]),
        ("chunks", (0,)), ("chunks", (0, 0)), ("chunks", (-1, 5)), ("chunks", (0, 1.5)), ("chunks", "01"), ("chunks", 5),
        ("chunks", (True, 5)), ("target_dir", 5), ("target_dir", ["a", "b"]), ("headers", {"a": 1}), ("headers", "a"),
    ],
    ids=str,
)  # fmt: skip
async def test_wrong_arguments_are_refused_before_any_request(
    alyx: AsyncAlyxClient, files: FileServer, argument: str, wrong: object
) -> None:
    async with alyx:
        with pytest.raises(InputError, match=argument):
            await alyx.download_file(**{"url": "lab/a.npy", argument: wrong})  # type: ignore[call-overload]
    assert files.paths == []


async def test_a_path_needs_a_data_server(tmp_path: Path) -> None:
    async with AsyncAlyxClient("http://alyx.invalid", cache_dir=tmp_path) as alyx:
        with pytest.raises(ConfigurationError, match="data server"):
            await alyx.download_file("lab/a.npy")


def test_the_blocking_face(files: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE_DATA_SERVER", files.base)
    with ExitStack() as stack:
        alyx = stack.enter_context(AlyxClient("http://alyx.invalid", cache_dir=tmp_path))
        assert alyx.download_file("lab/a.npy", chunks=(5, 5)).read_bytes() == DATA[5:10]
        assert alyx.download_file(["lab/b.npy"], return_md5=True)[0] == (tmp_path / "b.npy",)
