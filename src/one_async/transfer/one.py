"""One file from whichever of its sources gives it: what is tried again, and when to go elsewhere."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

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
from one_async.transfer.parts import Part
from one_async.transfer.plan import Source, nowhere
from one_async.transfer.web import Credentials, Opener, over_http, receive
from one_async.types import StreamOpener

__all__ = ["Done", "Policy", "Sources", "fetch_one"]

_AGAIN = frozenset((408, 425, 429, 500, 502, 503, 504))


@dataclass(frozen=True)
class Policy:
    """How patient a transfer is; times in seconds."""

    retries: int = 4
    pause: float = 0.5
    longest_pause: float = 60.0
    stall: float = 30.0
    lease: float = 60.0


@dataclass(frozen=True)
class Done:
    """A file that came: its size, and where from."""

    size: int
    url: str


@dataclass
class Sources:
    """Opens sources, and remembers which servers are down."""

    streams: StreamOpener
    credentials: Credentials
    policy: Policy
    limiter: anyio.CapacityLimiter
    down: set[str] = field(default_factory=set)

    def opener(self, source: Source) -> Opener:
        """Return what starts requests for a source; ConfigurationError without the extra that S3 needs."""
        if source.s3 is None:
            return over_http(self.streams, source, self.credentials)
        from one_async.transfer.s3 import over_s3

        return over_s3(source.s3, stall=self.policy.stall)


async def fetch_one(
    part: Part, sources: Sources, advance: Callable[[int], None], then: Callable[[], None]
) -> Done:
    """Fetch the rest of a part from the first source that has it right, and give it its final name.

    The thread that did so goes on with ``then``, which must not raise.
    Raises the error that tells most when none has: a HashMismatch before others, a refusal before an absence.
    """
    errors: list[OneError] = []
    for source in part.item.sources:
        try:
            return await _from(source, part, sources, advance, then)
        except InputError as error:  # an address that cannot be, which is no argument of the caller's
            errors.append(TransferError(str(error), url=source.url, path=str(part.target)))
        except (ServerError, ConfigurationError) as error:
            if getattr(error, "local", False):
                raise
            error.__dict__.setdefault("path", str(part.target))
            errors.append(error)
    if not errors:
        raise nowhere(part.item.did, part.item.target)
    errors.sort(key=_worth)
    for other in errors[1:]:
        errors[0].add_note(f"also tried: {other}")
    raise errors[0]


def _worth(error: OneError) -> int:
    if isinstance(error, HashMismatch):
        return 0
    return 2 if isinstance(error, (ConfigurationError, LookupError)) else 1


async def _from(
    source: Source, part: Part, sources: Sources, advance: Callable[[int], None], then: Callable[[], None]
) -> Done:
    """Try one source until it gives the file or has failed for good."""
    policy, server = sources.policy, urlsplit(source.url).netloc
    open_at = await anyio.to_thread.run_sync(sources.opener, source) if source.s3 else sources.opener(source)
    # A part that another source or run began may be of other bytes; that is not this source's fault.
    mismatches = 2 if part.adopted or part.size else 1
    tries, best = 0, part.size
    stale = part.size  # what the first request found; once it is thrown away, less than it is progress
    while True:
        try:
            if part.size and not part.resumable:
                await start_over(part, advance)
            if not part.is_complete():
                await receive(open_at, part, stall=policy.stall, advance=advance)
            size = await anyio.to_thread.run_sync(_finish, part, source.url, then, limiter=sources.limiter)
        except HashMismatch:
            await start_over(part, advance)
            if mismatches == 0:
                raise
            mismatches -= 1
            tries, best, stale = 0, 0, 0
        except (ServerUnreachable, StatusError) as error:
            if not _may_pass(error):
                raise
            if part.size < stale:
                best, stale = 0, 0
            tries, best = (1, part.size) if part.size > best else (tries + 1, best)
            if tries > (0 if server in sources.down else policy.retries):
                if isinstance(error, ServerUnreachable):
                    sources.down.add(server)
                raise _told(error, source) from error.__cause__
            await anyio.sleep(_pause(error, tries, policy))
        else:
            sources.down.discard(server)
            return Done(size, source.url)


def _finish(part: Part, url: str, then: Callable[[], None]) -> int:
    size = part.finish(part.take(), url)
    then()
    return size


async def start_over(part: Part, advance: Callable[[int], None]) -> None:
    """Throw away what came of a file."""
    advance(-part.total)
    await anyio.to_thread.run_sync(part.start_over)


def _may_pass(error: OneError) -> bool:
    return isinstance(error, ServerUnreachable) or getattr(error, "status", 0) in _AGAIN


def _pause(error: OneError, tries: int, policy: Policy) -> float:
    asked: float | None = getattr(error, "retry_after", None)
    if asked is not None:
        return min(asked, policy.longest_pause) + random.uniform(0, policy.pause)
    grown: float = min(policy.pause * 2.0 ** (tries - 1), policy.longest_pause)
    return grown * random.uniform(0.5, 1.0)


def _told(error: ServerError, source: Source) -> ServerError:
    """Name the address where an error does not."""
    if source.url in str(error) or isinstance(error, Throttled):
        return error
    return type(error)(f"{source.url}: {error}", **{**error.__dict__, "url": source.url})
