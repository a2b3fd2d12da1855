"""Registration of sessions and files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from one_async.client.call import public_methods
from one_async.errors import naming

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    import polars as pl

    from one_async.client.context import Context
    from one_async.registration import RegistrationClient
    from one_async.types import JSON


@public_methods
class Registering:
    """The methods that register sessions and files."""

    _context: Context

    @property
    def registration(self) -> RegistrationClient:
        """Registers sessions, files, water and weights, with ONE-api's names. Raises OfflineError without a database.

        Examples:
            >>> record = await one.registration.register_weight("VA_09", 23.5)
            >>> record["weight"]
            23.5
        """
        from one_async.registration import RegistrationClient

        self._context.alyx  # noqa: B018 - raises OfflineError where there is no database
        return RegistrationClient(self)

    @overload
    async def register_session(
        self, path: str | PathLike[str], *, dry_run: Literal[False] = False, **options: Any
    ) -> tuple[JSON, list[JSON]]: ...
    @overload
    async def register_session(
        self, path: Sequence[str | PathLike[str]], *, dry_run: Literal[False] = False, **options: Any
    ) -> list[tuple[JSON, list[JSON]]]: ...
    @overload
    async def register_session(
        self,
        path: str | PathLike[str] | Sequence[str | PathLike[str]],
        *,
        dry_run: Literal[True],
        **options: Any,
    ) -> pl.DataFrame: ...
    async def register_session(
        self,
        path: str | PathLike[str] | Sequence[str | PathLike[str]],
        *,
        dry_run: bool = False,
        **options: Any,
    ) -> object:
        """Register a session, or a list of sessions at once, with their files.

        The sessions' folders, ``…/lab/Subjects/subject/date/number``, identify the sessions. Return the records of
        the session and of its files, or a list of these; with ``dry_run`` a frame with a row for each file, and nothing is
        sent. Nothing is registered twice: calling it again continues an interrupted registration. ``options``
        are those of `RegistrationClient.register_session`: ``users``, ``file_list``, ``to``, fields of the session.

        Raises InputError, and RegistrationError that names everything that was refused.

        Examples:
            >>> plan = await one.register_session(folder, dry_run=True)
            >>> plan["file"].to_list()
            ['alf/_ibl_wheel.position.npy', 'alf/_ibl_wheel.timestamps.npy']
            >>> session, records = await one.register_session(folder)
            >>> session["subject"], len(records)
            ('CX_001', 2)
        """
        with naming({"ses_path": "path"}):
            return await self.registration.register_session(path, dry_run=dry_run, **options)

    @overload
    async def register_files(
        self, paths: str | PathLike[str], *, dry_run: Literal[False] = False, **options: Any
    ) -> JSON: ...
    @overload
    async def register_files(
        self, paths: Sequence[str | PathLike[str]], *, dry_run: Literal[False] = False, **options: Any
    ) -> list[JSON]: ...
    @overload
    async def register_files(
        self,
        paths: str | PathLike[str] | Sequence[str | PathLike[str]],
        *,
        dry_run: Literal[True],
        **options: Any,
    ) -> pl.DataFrame: ...
    async def register_files(
        self,
        paths: str | PathLike[str] | Sequence[str | PathLike[str]],
        *,
        dry_run: bool = False,
        **options: Any,
    ) -> object:
        """Register files of sessions that the database has.

        Return a record for each file, or one for a single path; with ``dry_run`` a frame with a row for each file: the
        data to send, and whether the file is registered already, is protected, or cannot be registered, and why.
        ``options`` are those of `RegistrationClient.register_files`: ``repository``, ``default``, ``to`` and others.

        Raises RegistrationError that names every file that cannot be registered, before anything is sent.

        Examples:
            >>> session, _ = await one.register_session(folder, file_list=False)
            >>> record = await one.register_files(folder / "alf" / "_ibl_wheel.position.npy")
            >>> record["name"]
            '_ibl_wheel.position.npy'
        """
        with naming({"file_list": "paths"}):
            return await self.registration.register_files(paths, dry_run=dry_run, **options)
