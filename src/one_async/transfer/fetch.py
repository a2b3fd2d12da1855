"""Concurrent downloads of many files, and the outcome of each."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import anyio
import anyio.to_thread

from one_async._concurrency import task_group
from one_async._observer import LOGS, Observer
from one_async._progress import Progress
from one_async._tracing import span
from one_async.errors import InputError, OneError
from one_async.files.atomic import sync
from one_async.files.claim import Claim, Claimant, start_heartbeat
from one_async.transfer.items import Item
from one_async.transfer.on_disk import Present, look
from one_async.transfer.one import Done, Policy, Sources, fetch_one
from one_async.transfer.part_file import Busy, Lost, Part, begin
from one_async.transfer.plan import Plan
from one_async.transfer.web import Credentials
from one_async.types import StreamOpener

__all__ = ["Outcome", "Policy", "Progress", "fetch", "survey"]

Status = Literal["fetched", "present", "absent", "failed"]

#: Seconds between checks of a file that another process is fetching.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0


@dataclass(frozen=True)
class Outcome:
    """The outcome of one file: ``bytes`` is its size, ``path`` its location if it is on disk."""

    did: str
    eid: str | None
    dataset: str
    status: Status
    path: Path | None = None
    bytes: int = 0
    url: str | None = None
    error: OneError | None = field(default=None, compare=False)

    def row(self) -> dict[str, Any]:
        """Return a row for a table of results."""
        return {
            "eid": self.eid,
            "did": self.did,
            "dataset": self.dataset,
            "status": self.status,
            "path": str(self.path) if self.path else None,
            "bytes": self.bytes,
            "error": f"{type(self.error).__name__}: {self.error}" if self.error else None,
        }


async def fetch(
    plan: Plan | Sequence[Item],
    *,
    root: Path,
    streams: StreamOpener,
    limit: int = 16,
    check_hash: bool = True,
    progress: Progress | None = None,
    on_error: Literal["raise", "collect"] = "raise",
    credentials: Credentials | None = None,
    policy: Policy | None = None,
    observer: Observer | None = None,
) -> list[Outcome]:
    """Fetch a plan's files into a cache folder, ``limit`` at once; one outcome for each item, in order.

    Files that are on disk and valid are not fetched (see ``on_disk.look`` for what ``check_hash`` means). A
    download is verified by the record's hash, or by its size where it has none, unless ``check_hash`` is False.
    Several processes may fetch at the same time: each file is fetched once. The first error is raised and cancels
    the other downloads, whose parts stay resumable; with ``on_error="collect"`` the outcome holds the error.

    Raises UnsafePath, HashMismatch, NotFound, LoginError, ServerUnreachable, StatusError, or TransferError
    for disk errors.
    """
    if limit < 1:
        raise InputError.of("limit", limit, "a whole number of at least 1")
    if on_error not in ("raise", "collect"):
        raise InputError.of("on_error", on_error, ("raise", "collect"))
    items = plan.items if isinstance(plan, Plan) else tuple(plan)
    policy = policy or Policy()
    job = _Job(
        root=root,
        check_hash=check_hash,
        policy=policy,
        sources=Sources(streams, credentials or Credentials(), policy, _limiter(), observer or Observer()),
        progress=progress,
        stop_at_error=on_error == "raise",
        claimant=Claimant(root / ".claims"),
    )
    return await job.run(items, limit)


async def survey(plan: Plan | Sequence[Item], *, root: Path, check_hash: bool = False) -> list[Outcome]:
    """Return which files of a plan are ``present`` and which would be fetched (``absent``), without fetching any.

    ``bytes`` is the size on disk, or the recorded size of an absent file.
    """
    items = plan.items if isinstance(plan, Plan) else tuple(plan)

    def see_all(some: Sequence[Item]) -> list[Outcome]:
        return [see(item, root, check_hash) for item in some]

    seen: list[Outcome] = []
    for start in range(0, len(items), 256):
        seen += await anyio.to_thread.run_sync(see_all, items[start : start + 256])
    return seen


def see(item: Item, root: Path, check_hash: bool) -> Outcome:
    """Return whether a file is ``present`` or ``absent``; blocking."""
    if item.error:
        return _outcome(item, "failed", error=item.error)
    target = root / item.target
    if there := look(item, target, check_hash):
        return _outcome(item, "present", target, there.size)
    return _outcome(item, "absent", None, item.size or 0, item.sources[0].url if item.sources else None)


@dataclass
class _Job:
    """One call of fetch."""

    root: Path
    check_hash: bool
    policy: Policy
    sources: Sources
    progress: Progress | None
    stop_at_error: bool
    claimant: Claimant
    outcomes: dict[Item, Outcome] = field(default_factory=dict)
    held: set[Claim] = field(default_factory=set)
    folders: dict[Path, frozenset[str]] = field(default_factory=dict)
    error: OneError | None = None

    async def run(self, items: tuple[Item, ...], limit: int) -> list[Outcome]:
        queue, started = deque(dict.fromkeys(items)), time.monotonic()
        if self.progress:
            self.progress.start(len(queue), sum(item.size or 0 for item in queue))
        stop_heartbeat = start_heartbeat(self._renew, self.policy.lease)
        try:
            async with task_group() as workers:
                for _ in range(min(limit, len(queue))):
                    workers.start_soon(_Worker(self, queue).run, workers.cancel_scope)
        finally:
            if self.progress:
                self.progress.stop()
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._close, stop_heartbeat)
        self._log(time.monotonic() - started)
        if self.error:
            raise self.error
        return [self.outcomes[item] for item in items]

    def _log(self, seconds: float) -> None:
        """Log how many files were fetched."""
        done = [one for one in self.outcomes.values() if one.status == "fetched"]
        failed = sum(one.status == "failed" for one in self.outcomes.values())
        if done or failed:
            text = "%d files with %d bytes downloaded in %.1f s, %d failed"
            LOGS["transfer"].info(text, len(done), sum(one.bytes for one in done), seconds, failed)

    def advance(self, files: int, nbytes: int) -> None:
        """Report progress."""
        if self.progress:
            self.progress.advance(files, nbytes)

    def fetched(self, done: Done, had: int) -> None:
        """Count a file that was fetched, and its bytes where no HTTP client of ours counts them."""
        counts = self.sources.observer.counts
        counts.files += 1
        if done.url.startswith("s3://"):
            counts.received += max(0, done.size - had)

    def begin(self, item: Item) -> Present | Busy | Part:
        """Look for an item on disk, and claim it if it is missing; blocking."""
        if item.error:
            raise item.error
        return begin(item, self.root, self.check_hash, self.policy.lease, self.folders, self.claimant)

    @asynccontextmanager
    async def holding(self, part: Part) -> AsyncIterator[None]:
        """Renew a part's claim while it is fetched; on failure, keep the part if it is resumable and release the claim."""
        self.held.add(part.claim)
        try:
            yield
        except BaseException:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(part.keep)
            raise
        finally:
            self.held.discard(part.claim)

    def _renew(self) -> bool:
        for claim in tuple(self.held):
            claim.renew()
        return True

    def _close(self, stop_heartbeat: Callable[[], None]) -> None:
        stop_heartbeat()
        self.claimant.close()
        for folder in {(self.root / one.dataset).parent for one in self.outcomes.values() if one.url}:
            sync(folder)


class _Worker:
    """One of a job's tasks. It begins each item in the thread that finished the one before, which saves a thread switch."""

    def __init__(self, job: _Job, queue: deque[Item]) -> None:
        self._job, self._queue = job, queue
        self._item: Item | None = None
        self._begun: Present | Busy | Part | Exception | None = None

    async def run(self, scope: anyio.CancelScope) -> None:
        """Fetch items until none are left; one that another process is fetching returns to the end of the queue."""
        job, deferred, pause = self._job, 0, _FIRST_PAUSE
        try:
            while not job.error and (item := await self._next_item()):
                try:
                    outcome = await self._fetch(item)
                except OneError as error:
                    outcome = _outcome(item, "failed", error=error)
                    if job.stop_at_error:
                        job.error = job.error or error
                        scope.cancel()
                if outcome:
                    job.outcomes[item] = outcome
                    job.advance(1, 0)
                    deferred, pause = 0, _FIRST_PAUSE
                    continue
                self._queue.append(item)
                deferred += 1
                if deferred >= len(self._queue):
                    await anyio.sleep(pause * random.uniform(0.5, 1.5))
                    pause = min(pause * 1.5, _LONGEST_PAUSE)
        finally:
            if isinstance(self._begun, Part):
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(self._begun.keep)

    async def _next_item(self) -> Item | None:
        """Return the item that was begun, or begin one; None if none are left."""
        if self._item is None and self._queue:
            await anyio.to_thread.run_sync(self._begin_next, limiter=self._job.sources.limiter)
        return self._item

    def _begin_next(self) -> None:
        """Take an item from the queue, if there is one, and begin it; blocking."""
        if self._job.error or not self._queue:
            return
        with contextlib.suppress(IndexError):  # another worker took the last one
            self._item = self._queue.popleft()
        if self._item:
            try:
                self._begun = self._job.begin(self._item)
            except Exception as error:  # raised by `_fetch`, on the event loop
                self._begun = error

    async def _fetch(self, item: Item) -> Outcome | None:
        """Fetch the item that was begun; return None if another worker is fetching it."""
        job, begun = self._job, self._begun
        self._item = self._begun = None
        if isinstance(begun, Exception):
            raise begun
        if isinstance(begun, Present):
            job.advance(0, begun.size)
            return _outcome(item, "present", job.root / item.target, begun.size)
        if not isinstance(begun, Part):
            return None
        async with job.holding(begun):
            had = begun.size
            job.advance(0, had)
            try:
                with span("download", partial(_attributes, begun)):
                    done = await fetch_one(begun, job.sources, partial(job.advance, 0), self._begin_next)
            except Lost:
                job.advance(0, -begun.size)
                return None
        job.fetched(done, had)
        return _outcome(item, "fetched", begun.target, done.size, done.url)


def _attributes(part: Part) -> dict[str, str | int]:
    return {"file.name": part.target.name}


def _limiter() -> anyio.CapacityLimiter:
    # More threads than processors only contend for the interpreter lock and the file system's journal.
    return anyio.CapacityLimiter(max(2, min(8, os.cpu_count() or 2)))


def _outcome(
    item: Item,
    status: Status,
    path: Path | None = None,
    size: int = 0,
    url: str | None = None,
    error: OneError | None = None,
) -> Outcome:
    return Outcome(item.did, item.eid, item.target, status, path, size, url, error)
