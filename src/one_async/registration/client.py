"""RegistrationClient: register sessions, files, water and weights, each exactly once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path, PurePath
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self
from uuid import UUID

from one_async._arguments import path_of
from one_async._boundary import public
from one_async._concurrency import RunningCalls
from one_async._progress import Transfers
from one_async._threads import run_polars, run_sync
from one_async.errors import InputError, NotFound, RegistrationError, naming
from one_async.files.find import next_num_folder
from one_async.registration import administrations, protection
from one_async.registration.arguments import (
    PathLike,
    add_files,
    check_options,
    files_of,
    find_flags,
    is_path,
    jobs_of,
    refuse_unknown,
    session_fields,
    session_jobs,
)
from one_async.registration.local import LocalFile, SessionFolder, session_folder_of
from one_async.registration.plan import Options, plan_frame
from one_async.registration.run import Job, Run
from one_async.registration.sending import body_of
from one_async.registration.sessions import check_fields, ensure_iso8601, find_session
from one_async.registration.staging import open_storage
from one_async.registration.vocabulary import KEYS, Vocabulary
from one_async.tables.pandas_frames import as_pandas
from one_async.types import DateLike

if TYPE_CHECKING:
    import polars as pl

    from one_async.alyx.client import AsyncAlyxClient
    from one_async.transfer.fetch import Progress

__all__ = ["RegistrationClient"]


class ClientContext(Protocol):
    """The part of the context of an `AsyncONE` that registration uses."""

    @property
    def alyx(self) -> AsyncAlyxClient: ...

    @property
    def cache_dir(self) -> Path: ...

    @property
    def calls(self) -> RunningCalls: ...

    @property
    def tables(self) -> Any: ...

    @property
    def display(self) -> Any: ...

    @property
    def progress(self) -> Any: ...

    @property
    def table_kind(self) -> Literal["polars", "pandas"]: ...

    def showing(self) -> AbstractAsyncContextManager[Transfers | None]: ...


class Client(Protocol):
    """`AsyncONE`."""

    @property
    def _context(self) -> ClientContext: ...


@public(traced="registration", ended_by_closing=True)
class RegistrationClient:
    """Register sessions, files, water and weights; ``one.registration`` of an `AsyncONE`.

    The methods have ONE-api's names and meanings, and accept many sessions and files at once. Everything is validated
    before anything is sent: bad input raises InputError, and names or files that the database cannot accept raise a
    RegistrationError that lists all of them. A write is repeated only after a query has shown that the first attempt did
    not arrive, so nothing is registered twice. A registration that was killed resumes when it is called again, from a
    journal in the session's folder.

    Examples:
        >>> session, records = await one.registration.register_session(folder)
        >>> [record["name"] for record in records]
        ['_ibl_wheel.position.npy', '_ibl_wheel.timestamps.npy']
    """

    def __init__(self, one: Client) -> None:
        if not hasattr(one, "_context"):
            raise InputError.of("one", one, "an AsyncONE; a ONE has all this as one.registration")
        self._context = one._context

    @property
    def _calls(self) -> RunningCalls:
        return self._context.calls

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Exit without closing the database's client, which belongs to the `AsyncONE`."""

    # ---- sessions

    async def create_new_session(
        self,
        subject: str,
        session_root: PathLike | None = None,
        date: DateLike | None = None,
        register: bool = True,
        **kwargs: Any,
    ) -> tuple[Path, UUID | None]:
        """Create the folder of a new session, and register the session.

        The session number is the first that neither the folder of that day nor the database uses. Return the folder,
        ``session_root/subject/date/number``, and the session's id (None without ``register``). ``session_root`` defaults
        to the cache folder and ``date`` to today; the other arguments are those of `register_session`.

        Examples:
            >>> session_path, eid = await one.registration.create_new_session("CX_001", date="2019-02-02")
            >>> session_path.parts[-3:-1]
            ('CX_001', '2019-02-02')
        """
        day = ensure_iso8601(date)[:10]
        if not isinstance(subject, str):
            raise InputError.of("subject", subject, "the nickname of a subject")
        root = self._context.cache_dir if session_root is None else path_of(session_root, "session_root")
        first = session_folder_of(root / subject / day / "001", "subject")
        await self.assert_exists(subject, "subjects")
        number = int(await run_sync(next_num_folder, first.path.parent))
        if register:
            while await find_session(
                self._context.alyx, SessionFolder(first.path, None, subject, first.day, number)
            ):
                number += 1
        path = first.path.parent / f"{number:03d}"
        check_fields(session_folder_of(path), kwargs.get("users"), session_fields(kwargs))
        await run_sync(partial(path.mkdir, parents=True))
        if not register:
            return path, None
        session, _ = await self.register_session(path, file_list=False, **kwargs)
        return path, UUID(session["id"])

    async def create_sessions(
        self,
        root_data_folder: PathLike,
        glob_pattern: str = "**/create_me.flag",
        register_files: bool = False,
        dry: bool = False,
    ) -> tuple[list[Path], list[dict[str, Any] | None]]:
        """Register the sessions whose folders contain flag files, then delete the flag files.

        Return the session folders and their records; with ``dry``, the folders and None for each.

        Examples:
            >>> (folder / "create_me.flag").touch()
            >>> folders, records = await one.registration.create_sessions(data_dir, dry=True)
            >>> folders == [folder], records
            (True, [None])
        """
        flags = await run_sync(find_flags, path_of(root_data_folder, "root_data_folder"), glob_pattern)
        paths = [session_folder_of(flag.parent, "root_data_folder").path for flag in flags]
        if dry or not paths:
            return paths, [None] * len(paths)
        records = await self.register_session(paths, file_list=register_files)
        for flag in flags:
            await run_sync(partial(flag.unlink, missing_ok=True))
        return paths, [record for record, _ in records]

    async def register_session(
        self,
        ses_path: PathLike | Sequence[PathLike],
        users: str | Sequence[str] | None = None,
        file_list: bool | Sequence[PathLike] = True,
        *,
        dry_run: bool = False,
        repository: str | None = None,
        default: bool = True,
        created_by: str | None = None,
        server_only: bool = False,
        exists: bool = True,
        max_md5_size: int | None = None,
        revision: str | None = None,
        to: PathLike | None = None,
        **kwargs: Any,
    ) -> Any:
        """Register a session, or a list of sessions at once, with their files.

        A session is identified by subject, date and number. It is created if the database does not have it; otherwise
        only the fields given here are changed. Return its record and the records of its files (None without
        ``file_list``), or a list of such pairs. With ``dry_run``, send nothing and return the frame that
        `register_files` describes.

        Args:
            ses_path: session folders, ``…/lab/Subjects/subject/date/number``; the lab is optional.
            users: user names; default for a new session: the user who is logged in.
            file_list: True for all files that have a dataset type, False for none, or the files of a single session.
            dry_run, repository, default, created_by, server_only, exists, max_md5_size, revision, to:
                as in `register_files`.
            **kwargs: fields of the session: ``lab``, ``location``, ``procedures``, ``projects``, ``type``,
                ``task_protocol``, ``narrative``, ``n_trials``, ``n_correct_trials``, ``start_time``, ``end_time``, ``json``,
                ``qc``, ``extended_qc``, ``parent_session``.

        Raises InputError for wrong arguments, LoginError if the user may not write, and RegistrationError for what could
        not be registered; its ``registered`` and ``sessions`` hold what was registered.

        Examples:
            >>> session, records = await one.registration.register_session(folder, users="demo")
            >>> [record["name"] for record in records]
            ['_ibl_wheel.position.npy', '_ibl_wheel.timestamps.npy']
        """
        jobs = session_jobs(ses_path, users, file_list, kwargs)
        with naming({"labs": "lab"}):
            options = await self._options(repository=repository, default=default, created_by=created_by,
                                          server_only=server_only, exists=exists, max_md5_size=max_md5_size,
                                          revision=revision, to=to, dry_run=dry_run, labs=kwargs.get("lab"))  # fmt: skip
        outside = await run_sync(add_files, jobs, file_list)
        run = self._run(options)
        await run.check(jobs, outside, strict=not dry_run)
        if dry_run:
            return await self._dry_run(run, jobs, outside)
        async with self._context.showing():
            await run.register(jobs)
        results = [
            (job.session, [file.record for file in job.files] if file_list is not False else None)
            for job in jobs
        ]
        return results[0] if is_path(ses_path) else results

    # ---- files

    async def register_files(
        self,
        file_list: PathLike | Sequence[PathLike],
        versions: str | Sequence[str | None] | None = None,
        default: bool = True,
        created_by: str | None = None,
        server_only: bool = False,
        repository: str | None = None,
        exists: bool = True,
        dry: bool = False,
        max_md5_size: int | None = None,
        *,
        dry_run: bool = False,
        revision: str | None = None,
        to: PathLike | None = None,
        **kwargs: Any,
    ) -> Any:
        """Register files of any number of sessions, which must exist in the database.

        Return a record for each file, in the order given, or one record for a single path. A file that is registered with
        the same content is not sent again. A file whose dataset is protected is moved to a new revision,
        ``#yyyy-mm-dd#``, and registered there; its record contains the revision.

        Args:
            file_list: paths of files inside session folders.
            versions: version of the software that made the files, one for all or one for each.
            default: whether the revision becomes the default one.
            created_by: user name; default: the user who is logged in.
            server_only: create file records only in repositories that are not personal.
            repository: the name of the repository that holds the files.
            exists: whether the files are in the repository already.
            dry: return the requests instead of sending them.
            max_md5_size: the size in bytes above which no hash is computed.
            dry_run: send nothing and return a frame with a row for each file: session, eid, file, dataset_type, collection,
                revision, hash, size, status (new, exists, changed, new revision, protected, or why it cannot be registered)
                and reason.
            revision: the name of the new revision of protected files; default: today's date.
            to: the root of the repository, a folder or ``s3://bucket/prefix``. Files are first copied there, as
                ``subject/date/number/…``, and the copies are verified.
            **kwargs: ``labs``, the lab whose repositories get file records, if not the one in the path; ``qc``, a QC level.

        Raises RegistrationError with every file that cannot be registered, before anything is sent; or with every file
        that the server refused, and what was registered.

        Examples:
            >>> session, _ = await one.registration.register_session(folder, file_list=False)
            >>> files = await one.registration.find_files(folder)
            >>> plan = await one.registration.register_files(files, dry_run=True)
            >>> plan["dataset_type"].to_list()
            ['wheel.position', 'wheel.timestamps']
        """
        refuse_unknown(kwargs)
        files = files_of(file_list, versions)
        options = await self._options(repository=repository, default=default, created_by=created_by,
                                      server_only=server_only, exists=exists, max_md5_size=max_md5_size,
                                      revision=revision, to=to, dry_run=dry_run or dry, **kwargs)  # fmt: skip
        jobs, outside = jobs_of(files)
        run = self._run(options)
        await run.check(jobs, outside, strict=not dry_run)
        if dry_run:
            return await self._dry_run(run, jobs, outside, files)
        if dry:
            await run.plan(jobs)
            user = self._context.alyx.user
            bodies = [body_of(job.folder, job.files, options, user, True) for job in jobs]
            return bodies[0] if is_path(file_list) else bodies
        async with self._context.showing():
            await run.register(jobs)
        records = [file.record for file in files]
        return records[0] if is_path(file_list) else records

    async def prepare_files(
        self, file_list: PathLike | Sequence[PathLike], versions: str | Sequence[str | None] | None = None
    ) -> tuple[dict[Path, list[PurePath]], dict[Path, list[str | None]], list[Path], bool]:
        """Group files by session.

        Return relative paths by session folder, versions by session folder, all paths, and whether ``file_list`` was a
        single path. Files that cannot be registered are left out of the groups.

        Examples:
            >>> files = await one.registration.find_files(folder)
            >>> by_session, versions, paths, single = await one.registration.prepare_files(files)
            >>> [[file.as_posix() for file in found] for found in by_session.values()]
            [['alf/_ibl_wheel.position.npy', 'alf/_ibl_wheel.timestamps.npy']]
        """
        files = files_of(file_list, versions)
        await Vocabulary(self._context.alyx).set_types(files)
        grouped: defaultdict[Path, list[PurePath]] = defaultdict(list)
        grouped_versions: defaultdict[Path, list[str | None]] = defaultdict(list)
        for file in files:
            if file.session is not None and not file.is_refused:
                grouped[file.session.path].append(PurePath(file.rel_path))
                grouped_versions[file.session.path].append(file.version)
        return grouped, grouped_versions, [file.path for file in files], is_path(file_list)

    async def find_files(self, session_path: PathLike) -> list[Path]:
        """Return the files of a session folder whose names match a dataset type, sorted by path.

        Examples:
            >>> [file.name for file in await one.registration.find_files(folder)]
            ['_ibl_wheel.position.npy', '_ibl_wheel.timestamps.npy']
        """
        job = Job(session_folder_of(session_path, "session_path"))
        await run_sync(add_files, [job], True)
        await Vocabulary(self._context.alyx).set_types(job.files)
        return [file.path for file in job.files if file.dataset_type or file.status == "ambiguous type"]

    async def check_protected_files(
        self, file_list: PathLike | Sequence[PathLike], created_by: str | None = None
    ) -> Any:
        """Return for each session of some files whether any of them are protected; for one path, a single answer.

        An answer has the form of Alyx's: ``status_code`` 403 with ``details``, which list for each file its revisions and
        whether they are protected, newest first; or ``status_code`` 200. It is computed from the list of datasets, since
        Alyx's own endpoint adds the caller to the session's users. ``created_by`` is accepted for compatibility with
        ONE-api.

        Examples:
            >>> session, records = await one.register_session(folder)
            >>> answer = await one.registration.check_protected_files(folder / "alf" / "_ibl_wheel.position.npy")
            >>> answer["status_code"]
            200
        """
        files = files_of(file_list, None)
        jobs, outside = jobs_of(files)
        refused = [file for file in files if file.is_refused] + outside
        if refused:
            raise RegistrationError.of({str(file.path): file.reason for file in refused})
        found = await protection.check(self._context.alyx, [(job.folder, job.files) for job in jobs])
        return found[0] if is_path(file_list) else found

    # ---- names

    async def assert_exists(self, member: str | UUID | Sequence[str | UUID], endpoint: str) -> Any:
        """Return the record of one member of an endpoint, or of each in a list. Raises NotFound for the first unknown one.

        Examples:
            >>> subject = await one.registration.assert_exists("CX_001", "subjects")
            >>> subject["lab"]
            'cortexlab'
        """
        if isinstance(member, str | UUID):
            return await self._record_of(str(member), endpoint)
        if not isinstance(member, Iterable):
            raise InputError.of("member", member, "an id or a name, or a list of them")
        return [await self._record_of(str(one), endpoint) for one in member]

    async def _record_of(self, member: str, endpoint: str) -> Any:
        try:
            return await self._context.alyx.rest(endpoint, "read", id=member)
        except NotFound as error:
            text = f"{endpoint} has no record with {KEYS.get(endpoint, 'id')} {member!r}"
            raise NotFound(text, url=error.url, status=404) from error

    @staticmethod
    def ensure_ISO8601(date: DateLike | None) -> str:  # noqa: N802 - ONE-api's name
        """Return a date or time as an ISO 8601 string; None means now. Raises InputError for anything else.

        Examples:
            >>> one.registration.ensure_ISO8601("2024-05-06")
            '2024-05-06T00:00:00'
        """
        return ensure_iso8601(date)

    # ---- water and weights

    async def register_water_administration(
        self,
        subject: str,
        volume: float,
        *,
        date_time: DateLike | None = None,
        water_type: str | None = None,
        user: str | None = None,
        session: object = None,
        adlib: bool = False,
    ) -> dict[str, Any]:
        """Register water given to a subject; return the record.

        If the database has a record of the same subject, time, volume, type, user and session, return that one instead.
        ``volume`` is in ml, with four significant digits as in ONE-api. ``date_time`` defaults to now, ``water_type`` to
        "Water", ``user`` to the user who is logged in; ``session`` is an id, a path or a record.

        Examples:
            >>> record = await one.registration.register_water_administration("VA_09", 1.2)
            >>> record["subject"], record["water_administered"]
            ('VA_09', 1.2)
        """
        return await administrations.register_water(
            self._context.alyx, subject, volume, date_time, water_type or "Water", user, session, adlib
        )

    async def register_weight(
        self, subject: str, weight: float, date_time: DateLike | None = None, user: str | None = None
    ) -> dict[str, Any]:
        """Register the weight of a subject in g, with four significant digits; return the record.

        If the database has a record of the same subject, time, weight and user, return that one instead. ``date_time``
        defaults to now, ``user`` to the user who is logged in.

        Examples:
            >>> record = await one.registration.register_weight("VA_09", 24.31)
            >>> record["subject"], record["weight"]
            ('VA_09', 24.31)
        """
        return await administrations.register_weight(self._context.alyx, subject, weight, date_time, user)

    # ---- inside

    def _run(self, options: Options) -> Run:
        display = self._context.display
        shown = display and Transfers("registering", display.begin, display.end)
        progress: Progress | None = shown or self._context.progress
        return Run(self._context.alyx, options, self._context.tables.learn, progress)

    async def _options(self, *, to: PathLike | None, dry_run: bool, **given: Any) -> Options:
        check_options(given)
        return Options(**given, to=None if to is None else await run_sync(open_storage, to, dry_run))

    async def _dry_run(
        self,
        run: Run,
        jobs: Sequence[Job],
        outside: Sequence[LocalFile],
        files: Sequence[LocalFile] | None = None,
    ) -> pl.DataFrame:
        eids = await run.plan(jobs)
        shown = files if files is not None else [*(file for job in jobs for file in job.files), *outside]
        frame: pl.DataFrame = await run_polars(plan_frame, shown, eids)
        if self._context.table_kind == "polars":
            from one_async.tables.id_frames import with_whole_ids

            whole: pl.DataFrame = with_whole_ids(frame)
            return whole
        return await run_sync(as_pandas, frame, False)
