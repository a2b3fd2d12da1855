"""Many files: how many at once, who fetches which, what became of each."""

from __future__ import annotations

import contextlib
import os
import random
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import anyio
import anyio.to_thread

from one_async.errors import InputError, OneError, first_error
from one_async.files.claim import Claim, Claimant
from one_async.types import Wire

from .one import Policy, Sources, fetch_one
from .parts import Busy, Lost, Part, Present, begin, is_plain, look, sync_folders
from .plan import Item, Plan
from .web import Credentials

__all__ = ["Outcome", "Policy", "Progress", "fetch", "survey"]

Status = Literal["fetched", "present", "absent", "failed"]


class Progress(Protocol):
    """Hears how a fetch goes; called on the event loop, so it must be quick."""

    def start(self, files: int, nbytes: int) -> None:
        """Say how many files are asked for, and the sum of their recorded sizes."""

    def advance(self, files: int, nbytes: int) -> None:
        """Say what came since; bytes are negative when a file is started over."""

    def stop(self) -> None:
        """Say that nothing more will come."""


@dataclass(frozen=True)
class Outcome:
    """What became of one file: ``bytes`` is its size, ``path`` where it is if it is there."""

    did: str
    eid: str | None
    dataset: str
    status: Status
    path: Path | None = None
    bytes: int = 0
    url: str | None = None
    error: OneError | None = field(default=None, compare=False)

    def row(self) -> dict[str, Any]:
        """Give a row for a table of results."""
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
    wire: Wire,
    limit: int = 16,
    check_hash: bool = True,
    progress: Progress | None = None,
    on_error: Literal["raise", "collect"] = "raise",
    credentials: Credentials | None = None,
    policy: Policy | None = None,
) -> list[Outcome]:
    """Fetch a plan's files into a cache folder, ``limit`` at once; one outcome for each item, in order.

    Files that are there and right are not fetched (see ``parts.look`` for what ``check_hash`` means). What
    comes is judged by the record's hash, or its size where it has none, unless ``check_hash`` is False.
    Several processes may do this at once: each file is fetched once. The first error is raised and ends the
    others, whose parts stay resumable; with ``on_error="collect"`` it is in the outcome.

    Raises UnsafePath, HashMismatch, NotFound, LoginError, ServerUnreachable, StatusError, or TransferError
    for the disk.
    """
    if limit < 1:
        raise InputError.of("limit", limit, "a whole number of at least 1")
    if on_error not in ("raise", "collect"):
        raise InputError.of("on_error", on_error, ("raise", "collect"))
    items = plan.items if isinstance(plan, Plan) else tuple(plan)
    policy = policy or Policy()
    job = _Job(
        root=Path(root),
        check_hash=check_hash,
        policy=policy,
        sources=Sources(wire, credentials or Credentials(), policy, _limiter()),
        progress=progress,
        stop_at_error=on_error == "raise",
        claimant=Claimant(Path(root) / ".claims"),
    )
    return await job.run(items, limit)


async def survey(plan: Plan | Sequence[Item], *, root: Path, check_hash: bool = False) -> list[Outcome]:
    """Tell which files of a plan are ``present`` and which would be fetched (``absent``); fetches nothing.

    ``bytes`` is the size on disk, or the recorded one of what is absent.
    """
    items = plan.items if isinstance(plan, Plan) else tuple(plan)

    def see_all(some: Sequence[Item]) -> list[Outcome]:
        return [see(item, root, check_hash) for item in some]

    seen: list[Outcome] = []
    for start in range(0, len(items), 256):
        seen += await anyio.to_thread.run_sync(see_all, items[start : start + 256])
    return seen


def see(item: Item, root: Path, check_hash: bool) -> Outcome:
    """Tell whether a file is ``present`` or ``absent``; for a thread."""
    if item.error:
        return _outcome(item, "failed", error=item.error)
    there = look(item, Path(root) / item.target, check_hash)
    if there:
        return _outcome(item, "present", Path(root) / item.target, there.size)
    return _outcome(item, "absent", None, item.size or 0, item.sources[0].url if item.sources else None)


def at_hand(plan: Plan, root: Path, check_hash: bool) -> list[Path | None]:
    """Return the path of each file that is there and right, None for what `fetch` must look at; for a thread.

    That is also whatever lies in a folder that a link leads to, or beside which a transfer left something.
    """
    real = root.resolve()
    folders: dict[Path, bool] = {}
    paths: list[Path | None] = []
    for item in plan.items:
        target = root / item.target
        if (good := folders.get(target.parent)) is None:
            good = folders[target.parent] = is_plain(target.parent, real)
        is_there = False
        if good and item.error is None:
            try:
                is_there = look(item, target, check_hash) is not None
            except (OSError, OneError):  # `fetch` says what is wrong
                is_there = False
        paths.append(target if is_there else None)
    return paths


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
        queue = deque(dict.fromkeys(items))
        if self.progress:
            self.progress.start(len(queue), sum(item.size or 0 for item in queue))
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._beat)
                async with anyio.create_task_group() as workers:
                    for _ in range(min(limit, len(queue))):
                        workers.start_soon(self._work, queue, workers.cancel_scope)
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise first_error(group) from None
        finally:
            if self.progress:
                self.progress.stop()
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._tidy)
        if self.error:
            raise self.error
        return [self.outcomes[item] for item in items]

    def _tidy(self) -> None:
        self.claimant.close()
        sync_folders({(self.root / one.dataset).parent for one in self.outcomes.values() if one.url})

    async def _beat(self) -> None:
        """Show every quarter of a lease that the owner of the claims lives."""
        while True:
            await anyio.sleep(self.policy.lease / 4)
            await anyio.to_thread.run_sync(_renew, tuple(self.held))

    async def _work(self, queue: deque[Item], scope: anyio.CancelScope) -> None:
        """Take items until there are none; what another process is fetching goes to the end of the queue."""
        missed, pause = 0, 0.02
        next_one = _Next(self, queue)
        try:
            while not self.error and (item := await next_one.take()):
                try:
                    outcome = await self._one(item, next_one)
                except OneError as error:
                    outcome = _outcome(item, "failed", error=error)
                    if self.stop_at_error:
                        self.error = self.error or error
                        scope.cancel()
                if outcome:
                    self.outcomes[item] = outcome
                    self._tell(1, 0)
                    missed, pause = 0, 0.02
                    continue
                queue.append(item)
                missed += 1
                if missed >= len(queue):
                    await anyio.sleep(pause * random.uniform(0.5, 1.5))
                    pause = min(pause * 1.5, 1.0)
        finally:
            await next_one.leave()

    async def _one(self, item: Item, next_one: _Next) -> Outcome | None:
        """Bring one file, whose beginning was made; None if another worker has it in hand."""
        state = next_one.begun()
        if isinstance(state, Busy):
            return None
        if isinstance(state, Present):
            self._tell(0, state.size)
            return _outcome(item, "present", self.root / item.target, state.size)
        async with self._holding(state):
            self._tell(0, state.size)
            try:
                done = await fetch_one(
                    state, self.sources, lambda count: self._tell(0, count), next_one.begin
                )
            except Lost:
                self._tell(0, -state.size)
                return None
        return _outcome(item, "fetched", state.target, done.size, done.url)

    def begin(self, item: Item) -> Present | Busy | Part:
        """See what is there of an item, and claim what is not; blocking."""
        if item.error:
            raise item.error
        return begin(item, self.root, self.check_hash, self.policy.lease, self.folders, self.claimant)

    @asynccontextmanager
    async def _holding(self, part: Part) -> AsyncIterator[None]:
        """Keep a part's claim alive, and leave a part that can be resumed and no claim, whatever happens."""
        self.held.add(part.claim)
        try:
            yield
        except BaseException:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(part.keep)
            raise
        finally:
            self.held.discard(part.claim)

    def _tell(self, files: int, nbytes: int) -> None:
        if self.progress:
            self.progress.advance(files, nbytes)


class _Next:
    """What a worker does next, begun in the thread that ended the item before: each way to a thread and back takes long."""

    def __init__(self, job: _Job, queue: deque[Item]) -> None:
        self._job, self._queue = job, queue
        self._item: Item | None = None
        self._state: Present | Busy | Part | Exception | None = None

    def begin(self) -> None:
        """Take an item, if there is one, and begin with it; blocking."""
        if self._job.error or not self._queue:
            return
        with contextlib.suppress(IndexError):  # another worker was faster
            self._item = self._queue.popleft()
        if self._item:
            try:
                self._state = self._job.begin(self._item)
            except Exception as error:
                self._state = error

    async def take(self) -> Item | None:
        """Give the item that was begun with, or begin with one; None if there are no more."""
        if self._item is None and self._queue:
            await anyio.to_thread.run_sync(self.begin, limiter=self._job.sources.limiter)
        return self._item

    def begun(self) -> Present | Busy | Part:
        """Give what the beginning found, or raise what it raised."""
        state, self._item, self._state = self._state, None, None
        if isinstance(state, Exception):
            raise state
        assert state is not None
        return state

    async def leave(self) -> None:
        """Give up what was begun and will not be fetched."""
        if isinstance(self._state, Part):
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._state.keep)


def _limiter() -> anyio.CapacityLimiter:
    # More threads than processors only fight for the interpreter and for the disk's journal.
    return anyio.CapacityLimiter(max(2, min(8, os.cpu_count() or 2)))


def _renew(claims: Sequence[Claim]) -> None:
    for claim in claims:
        claim.renew()


def _outcome(
    item: Item,
    status: Status,
    path: Path | None = None,
    size: int = 0,
    url: str | None = None,
    error: OneError | None = None,
) -> Outcome:
    return Outcome(item.did, item.eid, item.target, status, path, size, url, error)
