"""Download the archive of tables over HTTP or S3; resume it if the server supports that."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio

from one_async._observer import Observer, resending
from one_async._threads import run_sync
from one_async.errors import ServerUnreachable, StatusError, TablesDamaged
from one_async.refresh.unpack import LARGEST
from one_async.transfer.items import FileSource, S3Location
from one_async.transfer.one import Policy, is_transient, pause_before_retry
from one_async.transfer.part_file import PartFile
from one_async.transfer.s3 import over_s3
from one_async.transfer.web import Credentials, Opener, flush, over_http, receive

if TYPE_CHECKING:
    from one_async.types import StreamOpener

__all__ = ["download", "part_name"]

_POLICY = Policy(retries=3, pause=1.0, stall=60.0)


def part_name(url: str, version: str) -> str:
    """Return the file name of a download, from which a later download of the same version resumes."""
    return f"{hashlib.sha256(f'{url} {version}'.encode()).hexdigest()[:24]}.zip.part"


class _Archive(PartFile):
    """The partial download of an archive. It is verified by the archive's checksums, so no hash is computed."""

    def __init__(
        self, path: Path, url: str, progress: Callable[[int, int | None], None] | None = None
    ) -> None:
        super().__init__(path, LARGEST)
        self.url, self._progress, self._size = url, progress, 0
        with suppress(FileNotFoundError):
            self.adopt()

    def check_size(self, url: str, size: int) -> None:
        """Raise TablesDamaged for an archive larger than LARGEST."""
        self._size = max(size, self.size)
        if size > self.max_size:
            raise TablesDamaged(f"{url} is too large for an archive of tables: {size:,} bytes", url=url)

    def report(self, _: int) -> None:
        """Report the number of bytes received, and the total."""
        if self._progress is not None:
            self._progress(self.total, self._size or None)

    def digest(self, chunks: Iterable[bytes]) -> None:
        """Skip hashing."""


async def download(
    streams: StreamOpener,
    url: str,
    part: Path,
    observer: Observer | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> bool:
    """Download an archive to a file, after the bytes that the file already has; return whether it had any.

    The database's token is sent only to the database's own server. Raises ServerUnreachable after several attempts,
    StatusError and its subclasses for refusals, TablesDamaged for an archive that is too large, OSError for disk errors.
    """
    open_at = _over_s3(url) if url.startswith("s3://") else over_http(streams, FileSource(url), Credentials())
    archive = await run_sync(_Archive, part, url, progress)
    try:
        return await _receive_all(open_at, archive, observer or Observer())
    finally:
        with anyio.CancelScope(shield=True):
            await run_sync(archive.close)


async def _receive_all(open_at: Opener, archive: _Archive, observer: Observer) -> bool:
    """Receive an archive, with retries; return whether an attempt resumed it."""
    resumed = False
    for attempt in itertools.count(1):
        resumed = resumed or archive.size > 0
        try:
            with resending(attempt - 1):
                await receive(open_at, archive, stall=_POLICY.stall, advance=archive.report)
        except (ServerUnreachable, StatusError) as error:
            if attempt > _POLICY.retries or not is_transient(error):
                raise
            pause = pause_before_retry(error, attempt, _POLICY)
            with resending(attempt - 1):
                reason = str(getattr(error, "status", "") or type(error).__name__)
                await observer.retry("tables", "GET", archive.url, reason, pause)
        else:
            break
    await flush(archive)
    return resumed


def _over_s3(url: str) -> Opener:
    parts = urlsplit(url)
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return over_s3(S3Location(parts.netloc, parts.path.lstrip("/"), endpoint=endpoint), stall=_POLICY.stall)
