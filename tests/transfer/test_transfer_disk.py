"""Failed disk writes: the hash is computed again, and the downloaded file is correct."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import anyio
import pytest

from one_async.errors import ServerUnreachable, TransferError
from one_async.transfer.fetch import Policy, fetch
from one_async.transfer.items import FileSource, Item

resource = pytest.importorskip("resource")
pytestmark = pytest.mark.anyio

PATH = "lab/Subjects/mouse/2024-05-06/001/alf/spikes.times.npy"
DATA = os.urandom(900_000)
#: The bytes before the disk is full, those received at that moment, and the end of the accepted bytes.
FIRST, REFUSED = 300_000, 600_000
QUICK = Policy(retries=3, pause=0.01, stall=20)


@contextmanager
def disk_quota() -> Iterator[None]:
    """Restore the limit of file sizes that a test sets."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def limit_files(nbytes: int) -> None:
    """Make the kernel refuse bytes beyond this position of any file: EFBIG stands in for ENOSPC."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def unlimited() -> None:
    limit_files(resource.getrlimit(resource.RLIMIT_FSIZE)[1])


class Body:
    """An answer with the file from an offset on."""

    def __init__(self, streams: BreakingWire, url: str, offset: int) -> None:
        self.url, self._wire, self._offset = url, streams, offset
        self.status = 206 if offset else 200
        self.headers: Mapping[str, str] = {"content-length": str(len(DATA) - offset)}
        if offset:
            self.headers = {
                **self.headers,
                "content-range": f"bytes {offset}-{len(DATA) - 1}/{len(DATA)}",
            }

    async def chunks(self) -> AsyncIterator[bytes]:
        attempt = len(self._wire.opened)
        if attempt == 1:
            yield DATA[:FIRST]
            raise ServerUnreachable("the connection broke")
        if attempt == 2:
            yield DATA[FIRST:REFUSED]  # stays in memory for a moment
            limit_files(FIRST + self._wire.room)
            if self._wire.breaks:
                raise ServerUnreachable("the connection broke again")
            await anyio.sleep(0.05)
            yield DATA[REFUSED:]
            return
        unlimited()
        yield DATA[self._offset :]


class BreakingWire:
    """A Wire whose bodies break off twice; of the last bytes received, the disk accepts only ``room``."""

    def __init__(self, room: int, *, breaks: bool = True) -> None:
        self.room, self.breaks = room, breaks
        self.opened: list[int] = []

    @asynccontextmanager
    async def open(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
    ) -> AsyncIterator[Body]:
        offset = int((headers or {}).get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.opened.append(offset)
        yield Body(self, url, offset)


def item() -> Item:
    digest = hashlib.md5(DATA, usedforsecurity=False).hexdigest()
    return Item("d1", PATH, size=len(DATA), hash=digest, sources=(FileSource(f"http://data.test/{PATH}"),))


@pytest.mark.parametrize("room", [0, 1, 100_000])
async def test_only_refused_bytes_are_requested_again(tmp_path: Path, room: int) -> None:
    """After a write refused in whole or in part, the rest follows the written bytes, and the hash is that of the disk."""
    for attempt in range(10):
        streams, root = BreakingWire(room), tmp_path / str(attempt)
        with disk_quota(), suppress(TransferError):  # on a busy machine it may have been written already
            (outcome,) = await fetch([item()], root=root, streams=streams, policy=QUICK)
            break
    assert outcome.status == "fetched"
    assert (root / PATH).read_bytes() == DATA
    assert streams.opened == [0, FIRST, FIRST]


@pytest.mark.parametrize("room", [0, 1, 100_000])
async def test_a_full_disk_is_an_error_and_a_later_fetch_resumes(tmp_path: Path, room: int) -> None:
    streams = BreakingWire(room, breaks=False)
    with disk_quota():
        with pytest.raises(TransferError, match="cannot be written"):
            await fetch([item()], root=tmp_path, streams=streams, policy=QUICK)
        (outcome,) = await fetch([item()], root=tmp_path, streams=streams, policy=QUICK)
    assert outcome.status == "fetched"
    assert (tmp_path / PATH).read_bytes() == DATA
    assert streams.opened[:2] == [0, FIRST]
    assert len(streams.opened) == 3
    assert FIRST <= streams.opened[2] <= FIRST + room
