"""Parts of remote files: bounded ranges by HTTP or from S3, with retries and fallback to other sources."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, cast

import anyio
import anyio.to_thread

from one_async._observer import Observer, resending
from one_async.errors import (
    AnswerError,
    LoginError,
    NotFound,
    OneError,
    ServerError,
    ServerUnreachable,
    StatusError,
    TransferError,
)
from one_async.transfer.items import FileSource
from one_async.transfer.one import Policy, is_transient, pause_before_retry, report_retry
from one_async.transfer.s3 import open_store
from one_async.transfer.web import Credentials, judge
from one_async.types import StreamOpener

__all__ = ["Range", "RangeReader"]

_SIZE = re.compile(r"bytes\s+[0-9]+-[0-9]+/([0-9]{1,18})\s*$", re.IGNORECASE)


class Range(NamedTuple):
    """The bytes of a range, in pieces, and the size of the whole file, where the server tells it."""

    pieces: list[bytes]
    size: int | None


@dataclass
class RangeReader:
    """Read ranges of one remote file. ``more`` returns further sources, and is called once, when all others failed."""

    streams: StreamOpener
    sources: Sequence[FileSource]
    credentials: Credentials = field(default_factory=Credentials)
    more: Callable[[], Awaitable[Sequence[FileSource]]] | None = None
    policy: Policy = field(default_factory=Policy)
    observer: Observer = field(default_factory=Observer)
    bytes_received: int = 0
    """The bytes of all bodies, those of failed attempts included."""
    _stores: dict[FileSource, Any] = field(default_factory=dict)

    async def read(self, start: int, stop: int) -> Range:
        """Return the bytes from ``start`` to before ``stop``.

        Raises the first source's error if none serves the range, after the policy's retries of each.
        """
        errors: list[OneError] = []
        for source in self.sources:
            try:
                found = await self._read_from(source, start, stop)
            except ServerError as error:
                errors.append(error)
            else:
                self._prefer(source)
                return found
        if self.more is not None:
            more, self.more = self.more, None
            self.sources = list(dict.fromkeys([*self.sources, *await more()]))
            if len(self.sources) > len(errors):
                return await self.read(start, stop)
        if not errors:
            raise TransferError("no reachable server has the file")
        raise errors[0]

    def _prefer(self, source: FileSource) -> None:
        """Ask a source first from now on, since those before it failed."""
        if source is not self.sources[0]:
            self.sources = [source, *(other for other in self.sources if other is not source)]

    async def _read_from(self, source: FileSource, start: int, stop: int) -> Range:
        failed = 0
        while True:
            try:
                if source.s3 is None:
                    with resending(failed) if failed else nullcontext():
                        return await self._over_http(source, start, stop)
                return await self._over_s3(source, start, stop)
            except (ServerUnreachable, StatusError) as error:
                failed += 1
                if not is_transient(error) or failed > self.policy.retries:
                    raise
                pause = pause_before_retry(error, failed, self.policy)
                await report_retry(self.observer, source, error, failed - 1, pause)

    async def _over_http(self, source: FileSource, start: int, stop: int) -> Range:
        headers = {"Accept-Encoding": "identity", "Range": f"bytes={start}-{stop - 1}"}
        auth = self.credentials.data if source.auth == "data" else None
        stall, pieces, received = self.policy.stall, list[bytes](), 0
        with anyio.CancelScope(deadline=anyio.current_time() + stall) as scope:
            async with self.streams.open(source.url, headers=headers, auth=auth) as stream:
                if (verdict := judge(stream, start)) != "rest":
                    raise _unserved(source.url, verdict, start)
                fields = {name.lower(): value for name, value in stream.headers.items()}
                chunks = stream.chunks()
                async with aclosing(cast("Any", chunks)):
                    async for chunk in chunks:
                        scope.deadline = anyio.current_time() + stall
                        pieces.append(chunk)
                        received += len(chunk)
                        self.bytes_received += len(chunk)
                        if received > stop - start:
                            raise AnswerError(f"{source.url} sent more bytes than asked for", url=source.url)
        if scope.cancelled_caught:
            raise ServerUnreachable(f"{source.url}: no bytes arrived for {stall:g} s", url=source.url)
        if received < stop - start:
            raise ServerUnreachable(f"{source.url} sent {received} of {stop - start} bytes", url=source.url)
        size = _SIZE.match(fields.get("content-range", ""))
        return Range(pieces, int(size[1]) if size else None)

    async def _over_s3(self, source: FileSource, start: int, stop: int) -> Range:
        assert source.s3 is not None
        if source not in self._stores:
            self._stores[source] = await anyio.to_thread.run_sync(open_store, source.s3, self.policy.stall)
        read = partial(_get_range, self._stores[source], source, start, stop)
        found = await anyio.to_thread.run_sync(read, abandon_on_cancel=True)
        self.bytes_received += stop - start
        self.observer.counts.received += stop - start
        return found


def _unserved(url: str, verdict: str, start: int) -> ServerError:
    if verdict == "whole":
        return AnswerError(
            f"{url} sends whole files only; fetch the file with load_dataset(..., download_only=True)",
            url=url,
        )
    return TransferError(f"{url} has no bytes from {start} on, so it is not the file described", url=url)


def _get_range(store: Any, source: FileSource, start: int, stop: int) -> Range:
    import obstore
    from obstore import exceptions

    assert source.s3 is not None
    url = source.url
    try:
        answer = obstore.get(store, source.s3.key, options={"range": (start, stop)})
        data, size = bytes(answer.bytes()), answer.meta["size"]
    except FileNotFoundError:
        raise NotFound(f"{url} does not exist", url=url, status=404) from None
    except (exceptions.UnauthenticatedError, exceptions.PermissionDeniedError):
        raise LoginError(f"{url} may not be read with these keys", url=url) from None
    except Exception as error:  # its text may quote the request and thus an access key
        raise ServerUnreachable(f"{url} could not be read ({type(error).__name__})", url=url) from None
    if len(data) != stop - start:
        raise TransferError(f"{url} has {size} bytes, so it is not the file described", url=url)
    return Range([data], size)
