"""Register many sessions and files: validate all of them before anything is sent, then process sessions concurrently."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from anyio import CapacityLimiter

from one_async._boundary import reading
from one_async._concurrency import run_all, task_group
from one_async._threads import run_sync
from one_async.errors import LoginError, OneError, RegistrationError, ServerUnreachable, StorageError
from one_async.registration import answers
from one_async.registration.claims import claimed_folder
from one_async.registration.journal import Journal
from one_async.registration.local import LocalFile, SessionFolder, md5_of, read_sizes
from one_async.registration.plan import Options, assign_actions, moved_path
from one_async.registration.sending import Sender
from one_async.registration.sessions import (
    datasets_of,
    find_session,
    read_session,
    save_session,
    unknown_names,
)
from one_async.registration.staging import stage
from one_async.registration.vocabulary import Vocabulary

if TYPE_CHECKING:
    from one_async.alyx.client import AsyncAlyxClient
    from one_async.transfer.fetch import Progress

__all__ = ["Job", "Run"]

#: The most sessions registered concurrently; the client's limiter bounds the requests.
_AT_ONCE = 32


@dataclass(eq=False)
class Job:
    """One session to register, with its files."""

    folder: SessionFolder
    files: list[LocalFile] = field(default_factory=list)
    fields: dict[str, Any] | None = None
    """The fields to set; None if the session must exist and only its files are registered."""
    is_found: bool = False
    """Whether the files were found in the folder rather than named by the caller."""
    journal: Journal = field(init=False)
    eid: str | None = None
    session: dict[str, Any] | None = None
    error: OneError | None = None

    def __post_init__(self) -> None:
        self.journal = Journal(self.folder.path)


@dataclass
class Run:
    """One call of `RegistrationClient`: what its sessions share."""

    alyx: AsyncAlyxClient
    options: Options
    learn: Callable[..., None]
    progress: Progress | None = None
    vocabulary: Vocabulary = field(init=False)
    hashing: CapacityLimiter = field(init=False)

    def __post_init__(self) -> None:
        self.vocabulary = Vocabulary(self.alyx)
        self.hashing = CapacityLimiter(min(8, (os.cpu_count() or 1) + 1))

    # ---- validation; nothing is sent

    async def check(
        self, jobs: Sequence[Job], outside: Sequence[LocalFile] = (), *, strict: bool = True
    ) -> None:
        """Validate sessions and files; ``outside`` are files outside any session folder.

        Raises RegistrationError for names that the database does not have and, if ``strict``, for files that cannot be
        registered. If ``strict``, files found in a folder that have no dataset type are removed from their job.
        """
        files = [file for job in jobs for file in job.files] + list(outside)
        problems: dict[SessionFolder, str] = {}
        options: list[str] = []

        async def check_names() -> None:
            found = await unknown_names(self.vocabulary, [(job.folder, job.fields or {}) for job in jobs])
            problems.update(found)

        async def check_types() -> None:
            if files:
                await self.vocabulary.set_types(files)
            for job in jobs:
                if strict and job.is_found:
                    job.files = [file for file in job.files if file.dataset_type or file.status != "no type"]

        async def check_options() -> None:
            named = {
                "data-repository": ("repository", self.options.repository),
                "users": ("created_by", self.options.created_by),
                "labs": ("lab", self.options.labs),
            }
            for endpoint, (field_name, name) in named.items():
                if name and not await self.vocabulary.find(endpoint, [name]):
                    options.append(f"the database has no {field_name} {name!r}")

        async def check_session(job: Job) -> None:
            try:
                job.eid = await find_session(self.alyx, job.folder)
            except RegistrationError as error:
                problems.setdefault(job.folder, error.refused[str(job.folder.path)])
            else:
                if job.eid is None:
                    problems.setdefault(job.folder, "the database has no such session; register it first")

        await run_sync(self._read_local_state, jobs, outside)
        async with task_group() as group:
            for check in (check_names, check_types, check_options):
                group.start_soon(check)
            for job in jobs:
                if job.fields is None:
                    group.start_soon(check_session, job)
        for job in jobs if options else ():
            found = [problems[job.folder]] if job.folder in problems else []
            problems[job.folder] = "; ".join([*found, *options])
        refused = {str(folder.path): why for folder, why in problems.items()}
        files = [file for job in jobs for file in job.files] + list(outside)
        refused |= {str(file.path): file.reason for file in files if file.is_refused} if strict else {}
        if refused:
            raise RegistrationError.of(refused)

    def _read_local_state(self, jobs: Sequence[Job], outside: Sequence[LocalFile]) -> None:
        """Read journals and the sizes of files; blocking."""
        for job in jobs:
            job.journal = Journal.load(job.folder.path)
            for file in job.files:
                new = job.journal.moved.get(file.rel_path)
                if new and not file.path.exists():
                    file.path = job.folder.path / new
                    file.revision = file.path.parent.name.strip("#")
            read_sizes(job.files)
        read_sizes(outside)

    # ---- a dry run

    async def plan(self, jobs: Sequence[Job]) -> dict[SessionFolder, str | None]:
        """Compute hashes and set the status of every file; return the id of each session that exists. Sends nothing."""

        async def plan_one(job: Job) -> None:
            async with task_group() as group:
                group.start_soon(self._hash, job)
                if job.eid is None:
                    job.eid = await find_session(self.alyx, job.folder)
                rows = await datasets_of(self.alyx, job.eid) if job.eid else []
                repositories = await self._repositories(job)
            with reading("/datasets"):
                await run_sync(assign_actions, job.files, rows, self.options, repositories)

        await run_all(plan_one, [(job,) for job in jobs])
        return {job.folder: job.eid for job in jobs}

    async def _hash(self, job: Job) -> None:
        """Set the hashes of a session's files, from the journal or computed in threads."""
        limit = self.options.max_md5_size
        hashable = []
        for file in job.files:
            if file.is_refused or (limit is not None and (file.size or 0) > limit):
                continue
            hashable.append(file)

        def hash_batch(batch: Sequence[LocalFile]) -> None:
            for file in batch:
                file.hash = job.journal.known_hash(file)
                try:
                    file.hash = file.hash or md5_of(file.path)
                    file.size = file.path.stat().st_size
                except OSError as error:
                    file.refuse("missing", f"the file cannot be read: {error.strerror or error}")

        async def hash_in_thread(batch: Sequence[LocalFile]) -> None:
            await run_sync(hash_batch, batch, limiter=self.hashing)

        await run_all(hash_in_thread, [(batch,) for batch in _batches(hashable)])

    async def _repositories(self, job: Job) -> set[str]:
        """Return the repositories in which each file of a session should have a record."""
        own = {self.options.repository} if self.options.repository else set()
        if self.options.server_only:
            return own
        lab = self.options.labs or job.folder.lab
        if lab is None:
            subjects = await self.vocabulary.find("subjects", [job.folder.subject])
            lab = subjects.get(job.folder.subject, {}).get("lab")
        labs = await self.vocabulary.find("labs", [lab] if lab else [])
        return own | {str(name) for row in labs.values() for name in row.get("repositories") or ()}

    # ---- the registration

    async def register(self, jobs: Sequence[Job]) -> None:
        """Register sessions and files. Raises a RegistrationError with everything that was refused."""
        limiter = CapacityLimiter(_AT_ONCE)

        async def register_one(job: Job) -> None:
            async with limiter:
                try:
                    await self._register(job)
                except OneError as error:
                    job.error = error

        if self.progress:
            files = [file for job in jobs for file in job.files if not file.is_refused]
            self.progress.start(len(files), sum(file.size or 0 for file in files))
        try:
            await run_all(register_one, [(job,) for job in jobs])
        finally:
            if self.progress:
                self.progress.stop()
        raise_failures(jobs)

    async def _register(self, job: Job) -> None:
        async with claimed_folder(job.folder.path):
            journal = job.journal
            created = False
            async with task_group() as group:
                group.start_soon(self._hash, job)
                if job.fields is not None:
                    job.eid = await find_session(self.alyx, job.folder)
                    created = job.eid is None
                    job.session = await save_session(self.alyx, job.folder, job.fields, job.eid)
                else:
                    assert job.eid is not None
                    job.session = await read_session(self.alyx, job.eid)
                job.eid = job.session["id"]
                rows = [] if created or not job.files else await datasets_of(self.alyx, job.eid)
            self.learn(sessions=[answers.session_row(job.session)])
            if job.files:
                await run_sync(_record_hashes, journal, job.files)
                await self._register_files(job, journal, rows)
            if not any(file.is_refused for file in job.files):
                await run_sync(journal.remove)

    async def _register_files(self, job: Job, journal: Journal, rows: Sequence[Mapping[str, Any]]) -> None:
        assert job.session is not None
        sender = Sender(self.alyx, self.options, job.folder, job.session, self.progress)
        sender.repositories = await self._repositories(job)
        before = rows
        pending: Sequence[LocalFile] = job.files
        try:
            while True:
                with reading("/datasets"):
                    actions = await run_sync(assign_actions, pending, rows, self.options, sender.repositories)
                for file, revision in actions.move:
                    await run_sync(move, job.folder, journal, file, revision)
                if self.options.to is not None:
                    await stage(self.options.to, [*actions.keep, *actions.send])
                for file in actions.keep:
                    if not file.is_refused:
                        sender.keep(file)
                pending = await sender.send([file for file in actions.send if not file.is_refused])
                if not pending:
                    return
                rows = await datasets_of(self.alyx, job.session["id"])
        finally:
            learned = answers.dataset_rows(job.files, before, job.session["id"])
            self.learn(datasets=learned)


def _batches(files: Sequence[LocalFile]) -> list[list[LocalFile]]:
    """Divide files into batches for threads, of up to 16 MiB or a single larger file."""
    batches: list[list[LocalFile]] = [[]]
    size = 0
    for file in files:
        if batches[-1] and size + (file.size or 0) > 1 << 24:
            batches.append([])
            size = 0
        batches[-1].append(file)
        size += file.size or 0
    return batches


def _record_hashes(journal: Journal, files: Iterable[LocalFile]) -> None:
    for file in files:
        if file.hash is not None:
            journal.record_hash(file)
    journal.save()


def move(folder: SessionFolder, journal: Journal, file: LocalFile, revision: str) -> None:
    """Move a protected file to a new revision; blocking. The move is recorded in the journal first."""
    old, new = file.rel_path, moved_path(file, revision)
    journal.moved[old] = new.relative_to(folder.path).as_posix()
    journal.save()
    try:
        new.parent.mkdir(exist_ok=True)
        file.path.rename(new)
    except OSError as error:
        raise StorageError.of(error) from error
    file.path, file.revision, file.row = new, revision, None
    with suppress(KeyError):
        journal.hashes[file.rel_path] = journal.hashes.pop(old)


def raise_failures(jobs: Sequence[Job]) -> None:
    """If anything failed, raise an error with what was refused and what was registered."""
    refused: dict[str, str] = {}
    for job in jobs:
        if job.error is not None:
            inner = getattr(job.error, "refused", None)
            refused.update(inner or {str(job.folder.path): str(job.error)})
        refused.update({str(file.path): file.reason for file in job.files if file.is_refused})
    if not refused:
        return
    errors = [job.error for job in jobs if job.error is not None]
    records = [file.record for job in jobs for file in job.files if file.record is not None]
    sessions = [job.session for job in jobs if job.session is not None]
    cause = next((e for e in errors if not isinstance(e, RegistrationError)), None)
    if (
        cause is not None
        and not sessions
        and all(isinstance(e, LoginError | ServerUnreachable) for e in errors)
    ):
        raise cause
    raise RegistrationError.of(refused, records, sessions) from cause
