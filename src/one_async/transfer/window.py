"""Files without a hash, and ranges of files: a part of a file is received as if it were a file of its own.

A download that was cut goes on where it ended if the server names the version of the file (a strong ``ETag``, or
``Last-Modified``) and still has that version: RFC 9110, sections 13.1.5 and 14.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from one_async.errors import StatusError
from one_async.transfer.items import Window
from one_async.transfer.web import CONTENT_RANGE, closing, lower_names, whole_number
from one_async.types import ByteStream, StreamOpener

__all__ = ["WindowOpener"]


@dataclass
class WindowOpener:
    """Open a window of an address from an offset on. The version of the first answer is the one that is continued."""

    streams: StreamOpener
    url: str
    window: Window
    auth: tuple[str, str] | None = field(default=None, repr=False)
    version: str | None = None

    @asynccontextmanager
    async def __call__(self, offset: int) -> AsyncIterator[ByteStream]:
        """Request the bytes of the window from an offset on."""
        window = self.window
        if offset and window.length is not None and offset >= window.length:
            yield _Told(self.url, 416, {"content-range": f"bytes */{offset}"})  # it is complete
            return
        if offset and self.version is None:
            yield _Told(self.url, 206, {})  # it must be requested from the start
            return
        headers = {**window.headers, "Accept-Encoding": "identity"}
        if window.first + offset or window.length is not None:
            end = "" if window.length is None else window.first + window.length - 1
            headers["Range"] = f"bytes={window.first + offset}-{end}"
        if offset and self.version:
            headers["If-Range"] = self.version
        async with self.streams.open(self.url, headers=headers, auth=self.auth) as stream:
            fields = lower_names(stream.headers)
            version = _version(fields)
            if offset and stream.status == 206 and version not in (None, self.version):
                fields.pop("content-range", None)  # of another version: the download starts over
            if stream.status == 200 or (stream.status == 206 and not offset):
                self.version = version
            yield _Shifted(stream, fields, window, offset)


def _version(fields: Mapping[str, str]) -> str | None:
    """Return what names a version of a file."""
    tag = fields.get("etag", "")
    return tag if tag.startswith('"') else fields.get("last-modified")


@dataclass
class _Told:
    """An answer that needs no request."""

    url: str
    status: int
    headers: Mapping[str, str]

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield nothing."""
        return
        yield b""


class _Shifted:
    """An answer about a file, as one about a window of it."""

    def __init__(self, stream: ByteStream, fields: dict[str, str], window: Window, offset: int) -> None:
        self._stream, self._first = stream, window.first
        self.url, self.status, self.headers = stream.url, stream.status, fields
        self._skip = window.first if stream.status == 200 else 0
        self._left = window.length
        if stream.status == 200:
            self._shift_length(fields, window)
            return
        if self._left is not None:
            self._left -= offset
        found = CONTENT_RANGE.match(fields.get("content-range", ""))
        total = whole_number(found[3]) if found else None
        size = None if total is None else window.size_in(total)
        if found and found[1]:
            low, high = int(found[1]) - window.first, int(found[2]) - window.first
            fields["content-range"] = f"bytes {low}-{high}/{'*' if size is None else size}"
        elif size:
            fields["content-range"] = f"bytes */{size}"

    def _shift_length(self, fields: dict[str, str], window: Window) -> None:
        length = whole_number(fields.get("content-length"))
        if length is not None and "content-encoding" not in fields:
            if 0 < window.first >= length:
                raise self._beyond()
            fields["content-length"] = str(window.size_in(length))

    def _beyond(self) -> StatusError:
        text = f"{self.url} is a file that ends before byte {self._first}"
        return StatusError(text, url=self.url, status=416)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes of the window. Empty chunks show that bytes before it arrive."""
        skip, left = self._skip, self._left
        seen = 0
        async with closing(self._stream.chunks()) as chunks:
            async for chunk in chunks:
                seen += len(chunk)
                mine = chunk[skip:]
                skip = max(skip - len(chunk), 0)
                if left is not None and len(mine) > left:
                    yield mine[:left]
                    return
                left = None if left is None else left - len(mine)
                yield mine
        if 0 < self._skip >= seen:
            raise self._beyond()
