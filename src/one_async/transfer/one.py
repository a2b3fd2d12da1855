"""The download of one file: retries, and fallback to its other sources."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from one_async._observer import Observer, resending
from one_async.errors import (
    ConfigurationError,
    HashMismatch,
    InputError,
    OneError,
    ServerError,
    ServerUnreachable,
    StatusError,
    Throttled,
    TransferError,
)
from one_async.transfer.items import FileSource
from one_async.transfer.part_file import Part
from one_async.transfer.plan import no_source
from one_async.transfer.web import Credentials, Opener, over_http, receive
from one_async.transfer.window import WindowOpener
from one_async.types import StreamOpener

__all__ = ["Done", "Policy", "Sources", "fetch_one", "is_transient", "pause_before_retry"]

#: Statuses after which the same request may succeed.
_TRANSIENT = frozenset((408, 425, 429, 500, 502, 503, 504))


@dataclass(frozen=True)
class Policy:
    """Retries and timeouts of a transfer; times in seconds."""

    retries: int = 4
    pause: float = 0.5
    longest_pause: float = 60.0
    stall: float = 30.0
    lease: float = 60.0


@dataclass(frozen=True)
class Done:
    """A fetched file: its size and the address that served it."""

    size: int
    url: str


@dataclass
class Sources:
    """The shared state of a fetch: the HTTP client, the credentials and the servers known to be down."""

    streams: StreamOpener
    credentials: Credentials
    policy: Policy
    limiter: anyio.CapacityLimiter
    observer: Observer = field(default_factory=Observer)
    down: set[str] = field(default_factory=set)

    def opener(self, source: FileSource) -> Opener:
        """Return the opener for a source. Raises ConfigurationError for S3 if its extra is not installed."""
        if source.window is not None:
            auth = self.credentials.data if source.auth == "data" else None
            return WindowOpener(self.streams, source.url, source.window, auth)
        if source.s3 is None:
            return over_http(self.streams, source, self.credentials)
        from one_async.transfer.s3 import over_s3

        return over_s3(source.s3, stall=self.policy.stall)


async def fetch_one(
    part: Part, sources: Sources, advance: Callable[[int], None], then: Callable[[], None]
) -> Done:
    """Fetch the rest of a part from the first source that serves the right bytes, and move it to its final name.

    The thread that moves it then calls ``then``, which must not raise. If no source works, raises the most informative
    error: a HashMismatch before others, a refusal before an absence.
    """
    errors: list[OneError] = []
    for source in part.item.sources:
        try:
            return await _fetch_from(source, part, sources, advance, then)
        except InputError as error:  # an invalid address, which comes from a record and not from the caller
            errors.append(TransferError(str(error), url=source.url, path=str(part.target)))
        except (ServerError, ConfigurationError) as error:
            if getattr(error, "local", False):
                raise
            error.__dict__.setdefault("path", str(part.target))
            errors.append(error)
    if not errors:
        raise no_source(part.item.did, part.item.target)
    errors.sort(key=_rank)
    first = _with_file(errors[0], part)
    for other in errors[1:]:
        first.add_note(f"also tried: {other}")
    raise first


def _with_file(error: OneError, part: Part) -> OneError:
    """Return the error with the file in its text, for an error whose text has only an address or a server."""
    if part.target.name in str(error):
        return error
    named = type(error)(f"{part.item.target} must be fetched: {error}", **error.__dict__)
    named.__cause__, named.__suppress_context__ = error.__cause__, True
    return named.with_traceback(error.__traceback__)


def _rank(error: OneError) -> int:
    """Return the rank of an error by how informative it is."""
    if isinstance(error, HashMismatch):
        return 0
    return 2 if isinstance(error, (ConfigurationError, LookupError)) else 1


@dataclass
class _Attempts:
    """The number of failed attempts at one source: since the part last grew, and in total."""

    largest: int
    inherited: int
    failed: int = 0
    total: int = 0

    def reset(self) -> None:
        """Begin anew with an empty part."""
        self.largest = self.inherited = self.failed = 0

    def add(self, size: int) -> int:
        """Count a failed attempt that left a part of this size; return the number since the part last grew."""
        if size < self.inherited:  # the inherited part was discarded: growth is measured from zero
            self.largest = self.inherited = 0
        if size > self.largest:
            self.largest, self.failed = size, 0
        self.failed += 1
        self.total += 1
        return self.failed


async def _fetch_from(
    source: FileSource, part: Part, sources: Sources, advance: Callable[[int], None], then: Callable[[], None]
) -> Done:
    """Fetch a part from one source; raise its error after the last retry."""
    policy, server = sources.policy, urlsplit(source.url).netloc
    open_at = await anyio.to_thread.run_sync(sources.opener, source) if source.s3 else sources.opener(source)
    # A mismatch may be due to the inherited part and not to this source, so one more is allowed.
    mismatches = 2 if part.adopted or part.size else 1
    attempts = _Attempts(part.size, part.size)
    while True:
        try:
            if part.size and not part.resumable and source.window is None:
                await start_over(part, advance)
            if not part.is_complete():
                with resending(attempts.total) if attempts.total else nullcontext():
                    await receive(open_at, part, stall=policy.stall, advance=advance)
            size = await anyio.to_thread.run_sync(_finish, part, source.url, then, limiter=sources.limiter)
        except HashMismatch:
            await start_over(part, advance)
            if mismatches == 0:
                raise
            mismatches -= 1
            attempts.reset()
        except (ServerUnreachable, StatusError) as error:
            if not is_transient(error):
                raise
            failed = attempts.add(part.size)
            if failed > (0 if server in sources.down else policy.retries):
                if isinstance(error, ServerUnreachable):
                    sources.down.add(server)
                raise _with_url(error, source) from error.__cause__
            pause = pause_before_retry(error, failed, policy)
            await report_retry(sources.observer, source, error, attempts.total - 1, pause)
        else:
            sources.down.discard(server)
            return Done(size, source.url)


def _finish(part: Part, url: str, then: Callable[[], None]) -> int:
    size = part.finish(part.take(), url)
    then()
    return size


async def start_over(part: Part, advance: Callable[[int], None]) -> None:
    """Discard what was received of a file."""
    advance(-part.total)
    await anyio.to_thread.run_sync(part.start_over)


def is_transient(error: OneError) -> bool:
    return isinstance(error, ServerUnreachable) or getattr(error, "status", 0) in _TRANSIENT


def pause_before_retry(error: OneError, failed: int, policy: Policy) -> float:
    """Return the seconds before the next attempt: those that the server asked for, else a growing random pause."""
    retry_after: float | None = getattr(error, "retry_after", None)
    if retry_after is not None:
        return min(retry_after, policy.longest_pause) + random.uniform(0, policy.pause)
    pause: float = min(policy.pause * 2.0 ** (failed - 1), policy.longest_pause)
    return pause * random.uniform(0.5, 1.0)


async def report_retry(
    observer: Observer, source: FileSource, error: OneError, resends: int, pause: float
) -> None:
    """Report that a file is requested again, and wait before it."""
    reason = str(getattr(error, "status", "") or type(error).__name__)
    with resending(resends):
        await observer.retry("transfer", "GET", source.url, reason, pause)


def _with_url(error: ServerError, source: FileSource) -> ServerError:
    """Return the error with the source's address in its text."""
    if source.url in str(error) or isinstance(error, Throttled):
        return error
    return type(error)(f"{source.url}: {error}", **{**error.__dict__, "url": source.url})
