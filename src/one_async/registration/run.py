"""Register many sessions and files: check all of them before anything is sent, then process sessions concurrently."""

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
from one_async.registration.claims import claimed
from one_async.registration.journal import Journal
from one_async.registration.local import LocalFile, SessionFolder, look, md5_of
from one_async.registration.plan import Options, moved_path, settle
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

#: Sessions that are registered at once; the client's limiter bounds the requests.
_AT_ONCE = 32


@dataclass(eq=False)
class Job:
    """One session of a call."""

    folder: SessionFolder
    files: list[LocalFile] = field(default_factory=list)
    fields: dict[str, Any] | None = None
    """The fields to set; None if the session must exist and only its files are registered."""
    is_found: bool = False
    """Whether the files were found in the folder, and not named by the caller."""
    journal: Journal = field(init=False)
    eid: str | None = None
    session: dict[str, Any] | None = None
    error: OneError | None = None

    def __post_init__(self) -> None:
        self.journal = Journal(self.folder.path)


@dataclass
class Run:
    """One call: its sessions, and what they share."""

    alyx: AsyncAlyxClient
    options: Options
    learn: Callable[..., None]
    progress: Progress | None = None
    vocabulary: Vocabulary = field(init=False)
    hashing: CapacityLimiter = field(init=False)

    def __post_init__(self) -> None:
        self.vocabulary = Vocabulary(self.alyx)
        self.hashing = CapacityLimiter(min(8, (os.cpu_count() or 1) + 1))

    # ---- checks; nothing is sent

    async def check(
        self, jobs: Sequence[Job], loose: Sequence[LocalFile] = (), *, strict: bool = True
    ) -> None:
        """Find what is wrong with sessions and files, of which ``loose`` ones are in no session.

        Raises RegistrationError for names that the database does not know and, if ``strict``, for files that cannot be
        registered. Files of a folder that have no dataset type are left out of their job if ``strict``.
        """
        files = [file for job in jobs for file in job.files] + list(loose)
        troubles: dict[SessionFolder, str] = {}
        options: list[str] = []

        async def check_names() -> None:
            found = await unknown_names(self.vocabulary, [(job.folder, job.fields or {}) for job in jobs])
            troubles.update(found)

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
            for endpoint, (what, name) in named.items():
                if name and not await self.vocabulary.find(endpoint, [name]):
                    options.append(f"the database does not know {what} {name!r}")

        async def check_session(job: Job) -> None:
            try:
                job.eid = await find_session(self.alyx, job.folder)
            except RegistrationError as error:
                troubles.setdefault(job.folder, error.refused[str(job.folder.path)])
            else:
                if job.eid is None:
                    troubles.setdefault(job.folder, "the database has no such session; register it first")

        await run_sync(self._look, jobs, loose)
        async with task_group() as group:
            for check in (check_names, check_types, check_options):
                group.start_soon(check)
            for job in jobs:
                if job.fields is None:
                    group.start_soon(check_session, job)
        for job in jobs if options else ():
            said = [troubles[job.folder]] if job.folder in troubles else []
            troubles[job.folder] = "; ".join([*said, *options])
        refused = {str(folder.path): why for folder, why in troubles.items()}
        files = [file for job in jobs for file in job.files] + list(loose)
        refused |= {str(file.path): file.reason for file in files if file.is_refused} if strict else {}
        if refused:
            raise RegistrationError.of(refused)

    def _look(self, jobs: Sequence[Job], loose: Sequence[LocalFile]) -> None:
        """Read journals, and the sizes of files; blocking."""
        for job in jobs:
            job.journal = Journal.load(job.folder.path)
            for file in job.files:
                new = job.journal.moved.get(file.rel_path)
                if new and not file.path.exists():
                    file.path = job.folder.path / new
                    file.revision = file.path.parent.name.strip("#")
            look(job.files)
        look(loose)

    # ---- a dry run

    async def plan(self, jobs: Sequence[Job]) -> dict[SessionFolder, str | None]:
        """Compute hashes and set the status of every file; return the ids of the sessions that exist. Sends nothing."""

        async def plan_one(job: Job) -> None:
            async with task_group() as group:
                group.start_soon(self._hash, job)
                if job.eid is None:
                    job.eid = await find_session(self.alyx, job.folder)
                rows = await datasets_of(self.alyx, job.eid) if job.eid else []
                repositories = await self._repositories(job)
            with reading("/datasets"):
                await run_sync(settle, job.files, rows, self.options, repositories)

        await run_all(plan_one, [(job,) for job in jobs])
        return {job.folder: job.eid for job in jobs}

    async def _hash(self, job: Job) -> None:
        """Compute the hashes of a session's files in threads, but for those that the journal has."""
        limit = self.options.max_md5_size
        todo = []
        for file in job.files:
            if file.is_refused or (limit is not None and (file.size or 0) > limit):
                continue
            todo.append(file)

        def work(some: Sequence[LocalFile]) -> None:
            for file in some:
                file.hash = job.journal.known_hash(file)
                try:
                    file.hash = file.hash or md5_of(file.path)
                    file.size = file.path.stat().st_size
                except OSError as error:
                    file.refuse("missing", f"the file cannot be read: {error.strerror or error}")

        async def in_thread(some: Sequence[LocalFile]) -> None:
            await run_sync(work, some, limiter=self.hashing)

        await run_all(in_thread, [(some,) for some in _portions(todo)])

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
        """Register sessions and files. Raises RegistrationError that names all that were refused."""
        at_once = CapacityLimiter(_AT_ONCE)

        async def register_one(job: Job) -> None:
            async with at_once:
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
        async with claimed(job.folder.path):
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
                await run_sync(_note_hashes, journal, job.files)
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
                    settled = await run_sync(settle, pending, rows, self.options, sender.repositories)
                for file, revision in settled.move:
                    await run_sync(move, job.folder, journal, file, revision)
                if self.options.to is not None:
                    await stage(self.options.to, [*settled.keep, *settled.send])
                for file in settled.keep:
                    if not file.is_refused:
                        sender.keep(file)
                pending = await sender.send([file for file in settled.send if not file.is_refused])
                if not pending:
                    return
                rows = await datasets_of(self.alyx, job.session["id"])
        finally:
            learned = answers.dataset_rows(job.files, before, job.session["id"])
            self.learn(datasets=learned)


def _portions(files: Sequence[LocalFile]) -> list[list[LocalFile]]:
    """Divide files into batches for threads: many small files or one large one."""
    portions: list[list[LocalFile]] = [[]]
    size = 0
    for file in files:
        if portions[-1] and size + (file.size or 0) > 1 << 24:
            portions.append([])
            size = 0
        portions[-1].append(file)
        size += file.size or 0
    return portions


def _note_hashes(journal: Journal, files: Iterable[LocalFile]) -> None:
    for file in files:
        if file.hash is not None:
            journal.note_hash(file)
    journal.save()


def move(folder: SessionFolder, journal: Journal, file: LocalFile, revision: str) -> None:
    """Move a protected file to a new revision; blocking. The journal knows of it before it happens."""
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
    """Raise an error that names what was refused and what was registered, if anything failed."""
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
