"""Load data of many sessions: the requested data and the progress of each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio

from one_async._concurrency import run_all
from one_async._progress import Task, growing, shown
from one_async._threads import run_polars
from one_async._warnings import warnings_name
from one_async.alf.session_paths import describe, session_folder
from one_async.client.datafiles import DataFiles, path_of
from one_async.client.identify import known_eids
from one_async.client.outcomes import raise_first
from one_async.errors import ALFError, ALFObjectNotFound, InputError, OneError

if TYPE_CHECKING:
    from one_async.alf.path import ALFPath
    from one_async.client.call import Call
    from one_async.client.context import Context
    from one_async.client.outcomes import OnError
    from one_async.queries.base import SessionDatasets
    from one_async.queries.selection import Choice
    from one_async.types import SessionLike, Several

__all__ = ["SESSIONS_AT_ONCE", "SESSION_PATH", "Job", "Load", "each", "load_each", "load_sessions"]

#: Sessions that are loaded at once; their files share a limit of their own.
SESSIONS_AT_ONCE = 12
#: Sessions that are looked up together, and the number of such batches at once.
BATCH, BATCHES_AT_ONCE = 32, 4

#: Bytes that one call in a thread reads; the first job may be larger.
READ_AT_ONCE = 1 << 24
#: The session's path in a dataset's row.
SESSION_PATH = "session_path"


class Load(NamedTuple):
    """Functions that select and load the files of a session. They run in worker threads."""

    choose: Choice
    """Choose the datasets."""
    finish: Callable[[Job], Any]
    """Make the result of the files."""


@dataclass(eq=False)
class Job:
    """One session of a call."""

    at: int
    eid: str
    subject: str = ""
    """The name of the session in texts."""
    records: list[dict[str, Any]] = field(default_factory=list)
    files: list[ALFPath | None] = field(default_factory=list)
    unknown: list[int] = field(default_factory=list)
    """The positions of the records whose files must be fetched."""
    result: Any = None
    error: OneError | None = None
    is_over: bool = False

    def look_up(self, found: Mapping[str, SessionDatasets], load: Load) -> None:
        """Select the session's datasets."""
        session = found.get(self.eid)
        if session is None:
            raise ALFObjectNotFound(f"no session has the id {self.eid}", eid=self.eid)
        folder = session_folder(session.session)
        self.subject = describe(session.session)
        try:
            with warnings_name(self.subject):
                rows = load.choose(session.datasets)
        except ALFError as error:
            raise error.about(self.subject) from None
        self.records = [{**row, SESSION_PATH: folder} for row in rows]

    @property
    def size(self) -> int:
        """The recorded size of the files on disk; for files without a recorded size, that on disk."""
        files = zip(self.records, self.files, strict=True)
        return sum(row["file_size"] or file.stat().st_size for row, file in files if file)

    @property
    def loaded_ids(self) -> Iterator[str]:
        """The ids of the datasets whose files are on disk."""
        if self.error is None:
            for row, file in zip(self.records, self.files, strict=True):
                if file:
                    yield row["did"]

    @contextmanager
    def failing(self, on_error: OnError) -> Iterator[None]:
        """Store an error if errors are collected. Invalid arguments are always raised."""
        try:
            yield
        except InputError:
            raise
        except OneError as error:
            if on_error == "raise":
                raise
            self.error, self.is_over, self.unknown = error, True, []


def _read_jobs(jobs: Iterable[Job], load: Load, on_error: OnError, go_on: bool = False) -> None:
    """Finish jobs whose files are all on disk, up to READ_AT_ONCE bytes; with ``go_on`` at least one."""
    left = READ_AT_ONCE
    for job in jobs:
        if job.is_over:
            continue
        size = job.size
        if size > left and not go_on:
            continue
        left, go_on = left - size, False
        with job.failing(on_error), warnings_name(job.subject):
            job.result = load.finish(job)
            job.is_over = True


async def load_sessions(
    call: Call, eid: SessionLike | Several[SessionLike], load: Load, check_hash: bool
) -> Any:
    """Load from each of the named sessions. Return the results in the shape of the input."""
    eids, rebuild = await known_eids(call, eid)
    results, _ = await load_each(call, eids, load, check_hash)
    return rebuild([results[index] for index in range(len(eids))])


async def load_each(
    call: Call,
    eids: Sequence[str],
    load: Load,
    check_hash: bool,
    on_error: OnError = "raise",
) -> tuple[dict[int, Any], dict[int, OneError]]:
    """Load from sessions. Return the results and the errors, by position.

    A batch of sessions is looked up and its files on disk are read in one call in a thread.
    """
    if not eids:
        return {}, {}
    source = await call.source()
    jobs = [Job(at, eid) for at, eid in enumerate(eids)]
    batches = [jobs[start : start + BATCH] for start in range(0, len(jobs), BATCH)]
    at_hand = DataFiles(call.context).at_hand(call, check_hash)

    async def one(index: int) -> None:
        batch = batches[index]

        def begin(found: dict[str, SessionDatasets]) -> None:
            for job in batch:
                with job.failing(on_error):
                    job.look_up(found, load)
                    job.files, job.unknown = at_hand(job.records)
            _read_jobs([job for job in batch if not job.unknown], load, on_error)

        await source.datasets(list(dict.fromkeys(job.eid for job in batch)), begin)
        update(looked_up=True)
        await _fetch_jobs(
            DataFiles(call.context), [job for job in batch if job.unknown], check_hash, on_error
        )
        while rest := [job for job in batch if not job.is_over]:
            await run_polars(_read_jobs, rest, load, on_error, True)
            update()

    async with _showing(call.context, jobs, len(batches)) as update:
        if len(batches) == 1:
            await one(0)
        else:
            await each(len(batches), one, at_once=BATCHES_AT_ONCE)
    if call.context.record_loaded:
        call.context.tables.record(did for job in jobs for did in job.loaded_ids)
    return {job.at: job.result for job in jobs if not job.error}, {
        job.at: job.error for job in jobs if job.error
    }


@asynccontextmanager
async def _showing(context: Context, jobs: list[Job], batches: int) -> AsyncIterator[Callable[..., None]]:
    """Show how many sessions are loaded, and the transfers of their files, if there is a display.

    Yield a function to call after each step of a batch, with ``looked_up=True`` after its first one.
    """
    if context.display is None:
        yield lambda looked_up=False: None
        return
    loading = Task("loading", "sessions", len(jobs))
    display = context.display if len(jobs) > 1 else None
    async with shown(display, loading), context.showing() as transfers:
        with growing(transfers, batches) as one_less:

            def update(looked_up: bool = False) -> None:
                if looked_up:
                    one_less()
                loading.done = sum(job.is_over for job in jobs)

            yield update


async def _fetch_jobs(files: DataFiles, jobs: list[Job], check_hash: bool, on_error: OnError) -> None:
    """Fetch the files of jobs that are not on disk."""
    if not jobs:
        return
    wanted = [job.records[at] for job in jobs for at in job.unknown]
    outcomes = iter(await files.fetch(wanted, check_hash, collect=True))
    for job in jobs:
        own = [next(outcomes) for _ in job.unknown]
        with job.failing(on_error):
            raise_first(own)
            for at, outcome in zip(job.unknown, own, strict=True):
                job.files[at] = path_of(outcome)
        job.unknown = []


async def each(
    count: int,
    load: Callable[[int], Awaitable[Any]],
    on_error: OnError = "raise",
    at_once: int = SESSIONS_AT_ONCE,
) -> tuple[dict[int, Any], dict[int, OneError]]:
    """Call a coroutine function with 0 to ``count - 1``, several at once. Return the results and the errors, by argument.

    With ``on_error="raise"`` the first error ends all calls; an InputError always does.
    """
    results: dict[int, Any] = {}
    errors: dict[int, OneError] = {}
    limiter = anyio.CapacityLimiter(at_once)

    async def one(index: int) -> None:
        async with limiter:
            try:
                results[index] = await load(index)
            except InputError:
                raise
            except OneError as error:
                if on_error == "raise":
                    raise
                errors[index] = error

    await run_all(one, [(index,) for index in range(count)])
    return {index: results[index] for index in sorted(results)}, {
        index: errors[index] for index in sorted(errors)
    }
