"""A server with every fault: the result is the correct file or one clear error."""

from __future__ import annotations

import gzip
import hashlib
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from one_async.errors import (
    AnswerError,
    HashMismatch,
    InputError,
    LoginError,
    NotFound,
    OneError,
    ServerError,
    ServerUnreachable,
    StatusError,
    Throttled,
    TransferError,
    UnsafePath,
)
from one_async.transfer.fetch import Policy, fetch, survey
from one_async.transfer.items import FileSource, Item
from one_async.transfer.web import Credentials
from one_async.types import StreamOpener

from .servers import Files, serve

pytestmark = pytest.mark.anyio

PATH = "lab/Subjects/mouse/2024-05-06/001/alf/spikes.times.npy"
DATA = os.urandom(700_001)
QUICK = Policy(retries=3, pause=0.01, stall=20)
SOON = Policy(retries=3, pause=0.01, stall=0.3)


def item(files: Files, *, data: bytes = DATA, path: str = PATH, **change: object) -> Item:
    digest = files.put(path, data)
    made: dict[str, object] = {
        "size": len(data),
        "hash": digest,
        "sources": (FileSource(f"{files.base}/{path}"),),
    }
    return Item("d1", path, **(made | change))  # type: ignore[arg-type]


def leftovers(root: Path) -> list[str]:
    return [p.name for p in root.rglob("*") if p.is_file() or p.name.endswith(".claim")]


async def cancelled_halfway(files: Files, one: Item, root: Path, streams: StreamOpener) -> Path:
    """Leave a part file, as a cancelled download does."""
    files.always[PATH] = "stall"
    with anyio.move_on_after(30) as scope:

        class Half:
            def start(self, files: int, nbytes: int) -> None: ...
            def stop(self) -> None: ...
            def advance(self, files: int, nbytes: int) -> None:
                self.seen = getattr(self, "seen", 0) + nbytes
                if self.seen >= len(DATA) // 2:
                    scope.cancel()

        await fetch([one], root=root, streams=streams, policy=Policy(), progress=Half())
    assert scope.cancelled_caught
    del files.always[PATH]
    return (root / PATH).with_name(leftovers(root)[0])


@pytest.mark.parametrize(
    "faults",
    [
        [],
        ["truncate"],
        ["truncate", "truncate", "truncate", "truncate", "truncate", "truncate"],
        ["stall"],
        ["corrupt"],
        ["truncate", "corrupt"],
        ["lie-long"],
        ["lie-short"],
        ["truncate", "ignore-range"],
        ["truncate", "wrong-range"],
        ["truncate", "416"],
        ["503", "503"],
        ["429", "500"],
        ["502", "truncate", "504"],
        ["chunked"],
    ],
    ids="-".join,
)
async def test_faults_that_pass(
    files: Files, streams: StreamOpener, tmp_path: Path, faults: list[str]
) -> None:
    one = item(files)
    files.faults[PATH] = list(faults)
    (outcome,) = await fetch(
        [one], root=tmp_path, streams=streams, policy=SOON if "stall" in faults else QUICK
    )
    assert outcome.status == "fetched"
    assert (tmp_path / PATH).read_bytes() == DATA
    assert leftovers(tmp_path) == ["spikes.times.npy"]
    assert files.faults[PATH] == []


@pytest.mark.parametrize(
    ("fault", "error", "requests"),
    [
        ("corrupt", HashMismatch, 2),
        ("lie-short", HashMismatch, 2),
        ("404", NotFound, 1),
        ("401", LoginError, 1),
        ("403", LoginError, 1),
        ("410", StatusError, 1),
        ("206", AnswerError, 1),
        ("503", StatusError, 4),
        ("429", Throttled, 4),
        ("stall", ServerUnreachable, None),
        ("truncate-ignore", ServerUnreachable, None),
    ],
)
async def test_faults_that_stay(
    files: Files,
    streams: StreamOpener,
    tmp_path: Path,
    fault: str,
    error: type[OneError],
    requests: int | None,
) -> None:
    one = item(files, data=DATA[:300])
    files.always[PATH] = fault
    with pytest.raises(error) as caught:
        await fetch([one], root=tmp_path, streams=streams, policy=SOON if fault == "stall" else QUICK)
    assert files.base in str(caught.value)
    assert PATH in str(caught.value)
    assert isinstance(caught.value, ServerError)
    assert caught.value.url == f"{files.base}/{PATH}"
    assert requests is None or len(files.requests) == requests
    assert not (tmp_path / PATH).exists()
    assert not any(name.endswith(".claim") for name in leftovers(tmp_path))
    if error is HashMismatch:
        assert caught.value.__dict__["expected"] in str(caught.value)
        assert caught.value.__dict__["found"] in str(caught.value)
        assert leftovers(tmp_path) == []


async def test_an_unreachable_server_fails_every_item(streams: StreamOpener, tmp_path: Path) -> None:
    ones = [
        Item(str(n), f"a/{n}.npy", (FileSource(f"http://127.0.0.1:9/{n}.npy"),), 1, "0" * 32)
        for n in range(40)
    ]
    outcomes = await fetch(ones, root=tmp_path, streams=streams, policy=QUICK, on_error="collect")
    assert {type(o.error) for o in outcomes} == {ServerUnreachable}
    assert [o.did for o in outcomes] == [str(n) for n in range(40)]
    assert "127.0.0.1:9/3.npy" in str(outcomes[3].error)


async def test_a_cancelled_fetch_leaves_a_part_that_is_resumed(
    files: Files, streams: StreamOpener, tmp_path: Path
) -> None:
    one = item(files)
    part = await cancelled_halfway(files, one, tmp_path, streams)
    assert part.name.endswith(".part")
    assert part.stat().st_size == len(DATA) // 2
    files.requests.clear()
    (outcome,) = await fetch([one], root=tmp_path, streams=streams, policy=QUICK)
    assert outcome.bytes == len(DATA)
    assert files.requests[0][1]["range"] == f"bytes={len(DATA) // 2}-"
    assert (tmp_path / PATH).read_bytes() == DATA
    assert leftovers(tmp_path) == ["spikes.times.npy"]


async def test_a_damaged_part_costs_one_more_download(
    files: Files, streams: StreamOpener, tmp_path: Path
) -> None:
    one = item(files)
    part = await cancelled_halfway(files, one, tmp_path, streams)
    part.write_bytes(bytes(len(DATA) // 2))
    await fetch([one], root=tmp_path, streams=streams, policy=QUICK)
    assert (tmp_path / PATH).read_bytes() == DATA


async def test_wrong_bytes_of_one_source_do_not_count_against_the_next(
    files: Files, streams: StreamOpener, tmp_path: Path
) -> None:
    """The first source breaks off after wrong bytes; the second may send wrong bytes once, too."""
    with serve(Files()) as other:
        other.put(PATH, bytes(len(DATA)))
        other.faults[PATH], other.always[PATH] = ["truncate"], "503"
        digest = files.put(PATH, DATA)
        files.faults[PATH] = ["", "corrupt"]
        both = (FileSource(f"{other.base}/{PATH}"), FileSource(f"{files.base}/{PATH}"))
        one = Item("d1", PATH, both, size=len(DATA), hash=digest)
        await fetch([one], root=tmp_path, streams=streams, policy=Policy(retries=1, pause=0.01, stall=20))
    assert files.requests[0][1]["range"] == f"bytes={len(DATA) // 2}-"
    assert files.count(PATH) == 3
    assert (tmp_path / PATH).read_bytes() == DATA


async def test_a_part_that_is_whole_or_longer(files: Files, streams: StreamOpener, tmp_path: Path) -> None:
    one = item(files)
    part = await cancelled_halfway(files, one, tmp_path, streams)
    part.write_bytes(DATA)
    files.requests.clear()
    await fetch([one], root=tmp_path, streams=streams, policy=QUICK)
    assert files.requests == []
    assert (tmp_path / PATH).read_bytes() == DATA
    (tmp_path / PATH).replace(part)
    part.write_bytes(DATA + b"more")
    await fetch([one], root=tmp_path, streams=streams, policy=QUICK)
    assert (tmp_path / PATH).read_bytes() == DATA


@pytest.mark.parametrize("restart", [[], ["ignore-range"], ["wrong-range"]], ids="-".join)
async def test_after_a_stale_part_each_byte_is_progress(
    files: Files, streams: StreamOpener, tmp_path: Path, restart: list[str]
) -> None:
    """The part is longer than what any single answer sends before it breaks off."""
    one = item(files)
    part = await cancelled_halfway(files, one, tmp_path, streams)
    part.write_bytes(os.urandom(len(DATA) - 1000))
    files.faults[PATH] = [*restart, *["truncate"] * 8]
    (outcome,) = await fetch([one], root=tmp_path, streams=streams, policy=Policy(retries=2, pause=0.01))
    assert outcome.status == "fetched"
    assert (tmp_path / PATH).read_bytes() == DATA


async def test_bodies_that_are_compressed_unasked(
    files: Files, streams: StreamOpener, tmp_path: Path
) -> None:
    for check in ({}, {"hash": None, "size": None}):
        one = item(files, **check)
        files.always[PATH] = "gzip"
        (outcome,) = await fetch([one], root=tmp_path / str(len(check)), streams=streams, policy=QUICK)
        assert outcome.status == "fetched"
        assert (tmp_path / str(len(check)) / PATH).read_bytes() == DATA
    files.faults[PATH] = ["truncate"]  # continues with an encoded body, which a range cannot
    await fetch([item(files)], root=tmp_path / "resumed", streams=streams, policy=QUICK)
    for fault, said in (("brotli", "encoding 'br'"), ("no-gzip", "cannot be decoded")):
        files.always[PATH] = fault
        with pytest.raises(AnswerError, match=said) as caught:
            await fetch(
                [item(files, hash=None, size=None)], root=tmp_path / fault, streams=streams, policy=QUICK
            )
        assert PATH in str(caught.value)
        assert leftovers(tmp_path / fault) == []
    zipped = item(files, path="a/b.c.gz", data=gzip.compress(DATA))
    files.always["a/b.c.gz"] = "says-gzip"
    (outcome,) = await fetch([zipped], root=tmp_path, streams=streams, policy=QUICK)
    assert outcome.status == "fetched"


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/x", f"http://{'a' * 70}.invalid/x", "ftp://h/x"])
async def test_an_address_that_cannot_be_is_one_items_error(
    files: Files, streams: StreamOpener, tmp_path: Path, url: str
) -> None:
    odd = item(files, path="a/odd.npy", sources=(FileSource(url),))
    good = item(files, path="a/good.npy")
    outcomes = await fetch([odd, good], root=tmp_path, streams=streams, policy=QUICK, on_error="collect")
    assert [outcome.status for outcome in outcomes] == ["failed", "fetched"]
    assert isinstance(outcomes[0].error, ServerError)
    assert url in str(outcomes[0].error)
    with pytest.raises(OneError) as caught:
        async with streams.open(url):
            pass
    error: BaseException | None = caught.value
    while error is not None:
        assert not isinstance(error, BaseExceptionGroup)  # with one, IPython shows all frames
        error = error.__context__
    both = item(files, path="a/both.npy", sources=(FileSource(url), FileSource(f"{files.base}/a/both.npy")))
    assert (await fetch([both], root=tmp_path, streams=streams, policy=QUICK))[0].status == "fetched"


async def test_a_part_of_another_version_is_not_resumed(
    files: Files, streams: StreamOpener, tmp_path: Path
) -> None:
    await cancelled_halfway(files, item(files), tmp_path, streams)
    files.requests.clear()
    newer = item(files, data=DATA[::-1])
    await fetch([newer], root=tmp_path, streams=streams, policy=QUICK)
    assert "range" not in files.requests[0][1]
    assert (tmp_path / PATH).read_bytes() == DATA[::-1]
    assert leftovers(tmp_path) == ["spikes.times.npy"]


async def test_without_a_hash_the_size_decides_and_nothing_is_resumed(
    files: Files, streams: StreamOpener, tmp_path: Path
) -> None:
    files.faults[PATH] = ["truncate"]
    await fetch([item(files, hash=None)], root=tmp_path, streams=streams, policy=QUICK)
    assert (tmp_path / PATH).read_bytes() == DATA
    assert not any("range" in headers for _, headers in files.requests)
    with pytest.raises(HashMismatch, match=r"expected 5 bytes, found 700001 bytes"):
        await fetch([item(files, hash=None, size=5)], root=tmp_path / "b", streams=streams, policy=QUICK)
    (outcome,) = await fetch(
        [item(files, hash=None, size=None)], root=tmp_path / "c", streams=streams, policy=QUICK
    )
    assert outcome.bytes == len(DATA)


async def test_the_recorded_size_is_only_a_hint(files: Files, streams: StreamOpener, tmp_path: Path) -> None:
    one = item(files, size=17)
    await fetch([one], root=tmp_path, streams=streams)
    (again,) = await fetch([one], root=tmp_path, streams=streams, check_hash=False)
    assert again.status == "present"
    assert len(files.requests) == 1


async def test_sha1_and_empty_files(files: Files, streams: StreamOpener, tmp_path: Path) -> None:
    digest = hashlib.sha1(DATA, usedforsecurity=False).hexdigest()
    await fetch([item(files, hash=digest)], root=tmp_path, streams=streams)
    with pytest.raises(HashMismatch, match="0" * 40):
        await fetch([item(files, hash="0" * 40)], root=tmp_path / "b", streams=streams, policy=QUICK)
    await fetch([item(files, data=b"")], root=tmp_path / "c", streams=streams)
    assert (tmp_path / "c" / PATH).read_bytes() == b""


async def test_another_source_is_asked(files: Files, streams: StreamOpener, tmp_path: Path) -> None:
    other = FileSource(f"{files.base}/mirror.npy")
    files.put("mirror.npy", DATA)
    for fault in ("404", "503", "corrupt", "truncate-ignore", "401"):
        root = tmp_path / fault
        one = item(files)
        files.always[PATH] = fault
        one = Item("d1", PATH, (*one.sources, other), one.size, one.hash)
        (outcome,) = await fetch([one], root=root, streams=streams, policy=QUICK)
        assert outcome.url == other.url
        assert (root / PATH).read_bytes() == DATA


async def test_the_error_names_what_went_wrong_at_each_source(
    files: Files, streams: StreamOpener, tmp_path: Path
) -> None:
    one = item(files)
    files.always[PATH] = "corrupt"
    one = Item("d1", PATH, (FileSource(f"{files.base}/gone.npy"), *one.sources), one.size, one.hash)
    with pytest.raises(HashMismatch) as caught:
        await fetch([one], root=tmp_path, streams=streams, policy=QUICK)
    assert "gone.npy answered 404" in caught.value.__notes__[0]


async def test_credentials_stay_with_their_server(
    files: Files, streams: StreamOpener, tmp_path: Path
) -> None:
    path = "secret/x.npy"
    with serve(Files()) as stranger:
        stranger.put(path, DATA)
        files.redirect_to = stranger.base.replace("127.0.0.1", "localhost")
        files.faults[path] = ["redirect"]
        source = FileSource(f"{files.base}/{path}", auth="data")
        one = item(files, path=path, sources=(source,))
        secrets = Credentials(data=("user", "pass"))
        with pytest.raises(LoginError):
            await fetch([one], root=tmp_path, streams=streams, credentials=secrets)
        assert "authorization" not in stranger.requests[0][1]
        assert files.requests[0][1]["authorization"].startswith("Basic")
        await fetch([one], root=tmp_path, streams=streams, credentials=secrets)
        assert (tmp_path / path).read_bytes() == DATA
        with pytest.raises(LoginError):
            await fetch([item(files, path=path)], root=tmp_path / "b", streams=streams, credentials=secrets)
        assert "authorization" not in files.requests[-1][1]
        server = FileSource(f"{files.base}/open.npy", auth="server")
        await fetch([item(files, path="a/open.npy", sources=(server,), data=b"")], root=tmp_path, streams=streams,
                    credentials=secrets, on_error="collect")  # fmt: skip
        assert "authorization" not in files.requests[-1][1]
    assert "pass" not in repr(secrets)


async def test_what_is_there_is_judged(files: Files, streams: StreamOpener, tmp_path: Path) -> None:
    one = item(files)
    target = tmp_path / PATH
    target.parent.mkdir(parents=True)
    target.write_bytes(bytes(len(DATA)))
    assert [o.status for o in await survey([one], root=tmp_path)] == ["present"]
    assert [o.status for o in await survey([one], root=tmp_path, check_hash=True)] == ["absent"]
    (outcome,) = await fetch([one], root=tmp_path, streams=streams, check_hash=False)
    assert outcome.status == "present"
    (outcome,) = await fetch([one], root=tmp_path, streams=streams)
    assert outcome.status == "fetched"
    target.write_bytes(DATA[:-1])
    (outcome,) = await fetch([one], root=tmp_path, streams=streams, check_hash=False)
    assert outcome.status == "fetched"
    assert target.read_bytes() == DATA
    (outcome,) = await survey([one], root=tmp_path / "other")
    assert (outcome.status, outcome.bytes, outcome.path) == ("absent", len(DATA), None)


async def test_order_duplicates_and_collected_errors(
    files: Files, streams: StreamOpener, tmp_path: Path
) -> None:
    ones = [item(files, path=f"a/{n}.npy", data=bytes([n]) * 1000) for n in range(30)]
    del files.content["a/7.npy"]
    outcomes = await fetch([*ones, ones[3]], root=tmp_path, streams=streams, limit=5, on_error="collect")
    assert [o.dataset for o in outcomes] == [f"a/{n}.npy" for n in range(30)] + ["a/3.npy"]
    assert [o.status for o in outcomes].index("failed") == 7
    assert files.count("a/3.npy") == 1
    row = outcomes[7].row()
    assert row["status"] == "failed"
    assert row["error"].startswith("NotFound: ")
    with pytest.raises(NotFound):
        await fetch(ones, root=tmp_path / "b", streams=streams, limit=5)


@pytest.mark.parametrize("gone", range(4, 8))
async def test_running_downloads_are_abandoned_after_a_failure(
    files: Files, streams: StreamOpener, tmp_path: Path, gone: int
) -> None:
    ones = [item(files, path=f"a/{n}.npy") for n in range(12)]
    del files.content[f"a/{gone}.npy"]
    rests = [tmp_path / "a" / f".{n}.npy.{one.key}.part" for n, one in enumerate(ones)]
    rests[0].parent.mkdir()
    for rest in rests:
        rest.write_bytes(DATA[:1000])
    with pytest.raises(NotFound):
        await fetch(ones, root=tmp_path, streams=streams, policy=QUICK, limit=5)
    fetched = [name for name in leftovers(tmp_path) if name.endswith(".npy")]
    assert len(fetched) < 12
    # the unfinished part is kept under the name by which the next download finds it
    assert sorted(leftovers(tmp_path)) == sorted(
        [*fetched, *(rest.name for n, rest in enumerate(rests) if f"{n}.npy" not in fetched)]
    )


async def test_progress_adds_up(files: Files, streams: StreamOpener, tmp_path: Path) -> None:
    class Sum:
        started: tuple[int, int] = (0, 0)
        files = nbytes = stopped = 0

        def start(self, files: int, nbytes: int) -> None:
            self.started = (files, nbytes)

        def advance(self, files: int, nbytes: int) -> None:
            self.files += files
            self.nbytes += nbytes

        def stop(self) -> None:
            self.stopped += 1

    ones = [item(files, path=f"a/{n}.npy") for n in range(6)]
    files.faults |= {"a/1.npy": ["truncate", "ignore-range"], "a/2.npy": ["corrupt"], "a/3.npy": ["truncate"]}
    for status in ("fetched", "present"):
        told = Sum()
        outcomes = await fetch(ones, root=tmp_path, streams=streams, policy=QUICK, progress=told)
        assert {o.status for o in outcomes} == {status}
        assert told.started == (told.files, told.nbytes) == (6, 6 * len(DATA))
        assert told.stopped == 1


async def test_an_error_of_the_progress_bar_is_not_wrapped(
    files: Files, streams: StreamOpener, tmp_path: Path
) -> None:
    class Broken:
        def start(self, files: int, nbytes: int) -> None: ...

        def advance(self, files: int, nbytes: int) -> None:
            raise KeyError("mine")

        def stop(self) -> None: ...

    with pytest.raises(KeyError, match="mine"):
        await fetch([item(files)], root=tmp_path, streams=streams, policy=QUICK, progress=Broken())
    assert not [name for name in leftovers(tmp_path) if name.endswith(".claim")]


async def test_disk_errors_are_reported(files: Files, streams: StreamOpener, tmp_path: Path) -> None:
    (tmp_path / "lab").write_text("a file where a folder should be")
    with pytest.raises(TransferError, match="cannot be written") as caught:
        await fetch([item(files)], root=tmp_path, streams=streams)
    assert str(tmp_path) in str(caught.value)
    assert files.requests == []
    (tmp_path / "b" / PATH).mkdir(parents=True)
    with pytest.raises(TransferError, match="not a file"):
        await fetch([item(files)], root=tmp_path / "b", streams=streams)


def strangers_folder(tmp_path: Path) -> Path:
    """Return a folder that belongs to another user."""
    if not hasattr(os, "getuid"):
        pytest.skip("no owners here")
    if os.getuid() != 0:
        return Path("/")
    (tmp_path / "out").mkdir()
    os.chown(tmp_path / "out", 12345, 12345)
    return tmp_path / "out"


async def test_nothing_is_written_through_a_link_to_what_belongs_to_another_user(
    files: Files, streams: StreamOpener, tmp_path: Path
) -> None:
    out = strangers_folder(tmp_path)
    before = sorted(out.iterdir())
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "lab").symlink_to(out, target_is_directory=True)
    with pytest.raises(UnsafePath, match="leads out"):
        await fetch([item(files)], root=tmp_path / "cache", streams=streams)
    assert sorted(out.iterdir()) == before
    assert files.requests == []


@pytest.mark.parametrize("depth", range(1, len(PATH.split("/"))))
async def test_the_user_may_have_any_folder_elsewhere_by_a_link(
    files: Files, streams: StreamOpener, tmp_path: Path, depth: int
) -> None:
    parts = PATH.split("/")
    out, link = tmp_path / "out", tmp_path.joinpath("cache", *parts[:depth])
    out.mkdir()
    link.parent.mkdir(parents=True)
    link.symlink_to(out, target_is_directory=True)
    for status in ("fetched", "present"):
        (done,) = await fetch([item(files)], root=tmp_path / "cache", streams=streams)
        assert done.status == status
    assert out.joinpath(*parts[depth:]).read_bytes() == (tmp_path / "cache" / PATH).read_bytes()


async def test_a_file_of_another_user_is_read_through_a_link(
    files: Files, streams: StreamOpener, tmp_path: Path
) -> None:
    if not hasattr(os, "getuid") or os.getuid() != 0:
        pytest.skip("only an administrator can give files away")
    parts = PATH.split("/")
    await fetch([item(files)], root=tmp_path / "disk", streams=streams)
    os.chown(tmp_path / "disk" / parts[0], 12345, 12345)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / parts[0]).symlink_to(tmp_path / "disk" / parts[0], target_is_directory=True)
    (done,) = await fetch([item(files)], root=tmp_path / "cache", streams=streams)
    assert done.status == "present"


async def test_no_source(files: Files, streams: StreamOpener, tmp_path: Path) -> None:
    with pytest.raises(TransferError, match="no reachable server") as caught:
        await fetch([item(files, sources=())], root=tmp_path, streams=streams)
    assert caught.value.path == PATH
    for wrong in ({"limit": 0}, {"on_error": "ignore"}):
        with pytest.raises(InputError):
            await fetch([], root=tmp_path, streams=streams, **wrong)  # type: ignore[arg-type]
    assert await fetch([], root=tmp_path, streams=streams) == []


async def test_the_loop_is_not_blocked(
    files: Files, streams: StreamOpener, tmp_path: Path, anyio_backend: str
) -> None:
    ones = [item(files, path=f"a/{n}.npy", data=os.urandom(100_000)) for n in range(40)]
    gaps: list[float] = []

    async def tick(done: Callable[[], bool]) -> None:
        last = time.thread_time()
        while not done():
            await anyio.sleep(0.001)
            now = time.thread_time()
            gaps.append(now - last)
            last = now

    finished = False
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tick, lambda: finished)
        await fetch(ones, root=tmp_path, streams=streams)
        finished = True
    # CPU time of the loop's own thread, independent of other load; hashing 4 MB would show.
    assert max(gaps) < 0.5


MiB = 1 << 20


@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize("fault", ["endless", "gzip-bomb", "", "chunked"])
async def test_a_file_with_far_more_bytes_than_recorded_is_not_kept_until_its_end(
    files: Files, streams: StreamOpener, tmp_path: Path, fault: str, hashed: bool
) -> None:
    data = b" " * (100 * MiB)
    change: dict[str, object] = {"size": 110, "hash": "0" * 32 if hashed else None}
    files.piece = MiB
    files.always[PATH] = fault
    largest = 0

    async def watch() -> None:
        nonlocal largest
        while True:
            with suppress(OSError):
                parts = (tmp_path / PATH).parent.glob(".*.part")
                largest = max(largest, *(path.stat().st_size for path in [tmp_path, *parts]))
            await anyio.sleep(0.005)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        with pytest.raises(HashMismatch, match=r"110 bytes"):
            await fetch([item(files, data=data, **change)], root=tmp_path, streams=streams, policy=QUICK)
        tasks.cancel_scope.cancel()
    assert leftovers(tmp_path) == []
    assert largest < 80 * MiB
    if fault == "":
        assert largest < MiB  # the server declares its size


async def test_a_part_that_a_server_made_too_long_is_no_obstacle(
    files: Files, streams: StreamOpener, tmp_path: Path
) -> None:
    """A hostile server left a resumable part of a file that another server has correctly."""
    with serve(Files()) as other:
        digest = other.put(PATH, DATA)
        files.put(PATH, DATA)
        files.always[PATH] = "endless"
        both = (FileSource(f"{files.base}/{PATH}"), FileSource(f"{other.base}/{PATH}"))
        one = Item("d1", PATH, both, size=110, hash=digest)
        (done,) = await fetch([one], root=tmp_path, streams=streams, policy=QUICK)
    assert done.path is not None
    assert done.path.read_bytes() == DATA


@pytest.mark.parametrize("recorded", [None, 0, 1, len(DATA) // 10, len(DATA) * 10])
async def test_recorded_sizes_that_are_out_of_date_are_no_obstacle_where_there_is_a_hash(
    files: Files, streams: StreamOpener, tmp_path: Path, recorded: int | None
) -> None:
    for fault in ("", "chunked", "gzip"):
        files.always[PATH] = fault
        root = tmp_path / (fault or "plain")
        (done,) = await fetch([item(files, size=recorded)], root=root, streams=streams, policy=QUICK)
        assert done.path is not None
        assert done.path.read_bytes() == DATA
