"""Validate and normalise the arguments of `RegistrationClient`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from one_async.errors import InputError
from one_async.ids import as_many
from one_async.registration.local import (
    REVISION,
    LocalFile,
    SessionFolder,
    find_candidates,
    local_file,
    session_folder_of,
)
from one_async.registration.run import Job
from one_async.registration.sessions import FIELDS, check_fields

__all__ = [
    "PathLike",
    "add_files",
    "as_paths",
    "check_options",
    "files_of",
    "find_flags",
    "is_path",
    "jobs_of",
    "refuse_repetitions",
    "refuse_unknown",
    "session_fields",
    "session_jobs",
    "versions_of",
]

PathLike = str | os.PathLike[str]
#: Arguments for files that are accepted as further keywords.
_EXTRA = ("labs", "qc")


def is_path(value: object) -> bool:
    """Return whether a value is a single path."""
    return isinstance(value, str | os.PathLike)


def as_paths(value: Any, argument: str) -> list[PathLike]:
    """Return one path or several as a list. Raises InputError for anything else."""
    paths = [value] if is_path(value) else as_many(value) if isinstance(value, Iterable) else None
    if (
        paths is None
        or isinstance(value, Mapping)
        or not all(is_path(one) and os.fspath(one) for one in paths)
    ):
        raise InputError.of(argument, value, "a path or a list of paths")
    return list(paths)


def versions_of(versions: str | Sequence[str | None] | None, count: int) -> list[str | None]:
    """Return the version of each of ``count`` files."""
    if versions is None or isinstance(versions, str):
        return [versions] * count
    given = as_many(versions)
    if len(given) != count or not all(one is None or isinstance(one, str) for one in given):
        raise InputError.of("versions", versions, f"a string, or {count} strings, one for each file")
    return given


def refuse_repetitions(paths: Sequence[Path], argument: str) -> None:
    """Raise InputError for a path that is given twice."""
    seen: set[Path] = set()
    for path in paths:
        if path in seen:
            raise InputError.of(argument, str(path), "each path once")
        seen.add(path)


def refuse_unknown(given: Mapping[str, Any]) -> None:
    """Raise InputError for keywords that are not arguments for files."""
    if unknown := given.keys() - set(_EXTRA):
        name = min(unknown)
        raise InputError.of(name, given[name], f"besides the named arguments: {', '.join(_EXTRA)}")


def check_options(given: Mapping[str, Any]) -> None:
    """Raise InputError for options of a wrong type or value."""
    for name in ("default", "server_only", "exists"):
        if not isinstance(given.get(name, True), bool):
            raise InputError.of(name, given[name], "True or False")
    for name in ("created_by", "repository", "revision", *_EXTRA):
        value = given.get(name)
        if value is not None and not (isinstance(value, str) and value):
            raise InputError.of(name, value, "a name")
    if (revision := given.get("revision")) is not None and REVISION.match(revision) is None:
        raise InputError.of("revision", revision, "letters, digits, and the signs _ . -")
    levels = ("NOT_SET", "PASS", "WARNING", "FAIL", "CRITICAL")
    if (qc := given.get("qc")) is not None and qc.upper() not in levels:
        raise InputError.of("qc", qc, levels)
    size = given.get("max_md5_size")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int | float) or not size >= 0):
        raise InputError.of("max_md5_size", size, "a number of bytes, or None")


def session_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that are fields of a session, except its users."""
    return {name: value for name, value in given.items() if name in FIELDS and name != "users"}


def jobs_of(files: Iterable[LocalFile]) -> tuple[list[Job], list[LocalFile]]:
    """Group files by session; return the groups, and the files outside any session folder."""
    jobs: dict[SessionFolder, Job] = {}
    outside = []
    for file in files:
        if file.session is None:
            outside.append(file)
        else:
            jobs.setdefault(file.session, Job(file.session)).files.append(file)
    return list(jobs.values()), outside


def session_jobs(
    paths: PathLike | Sequence[PathLike], users: object, file_list: object, fields: Mapping[str, Any]
) -> list[Job]:
    """Return a job for each session folder. Raises InputError for wrong paths and fields."""
    folders = [session_folder_of(path) for path in as_paths(paths, "ses_path")]
    refuse_repetitions([folder.path for folder in folders], "ses_path")
    if not isinstance(file_list, bool) and len(folders) != 1:
        raise InputError.of("file_list", file_list, "True or False for several sessions")
    return [Job(folder, fields=check_fields(folder, users, fields)) for folder in folders]


def files_of(
    file_list: PathLike | Sequence[PathLike], versions: str | Sequence[str | None] | None
) -> list[LocalFile]:
    """Parse paths of files, and set the version of each."""
    files = [local_file(path) for path in as_paths(file_list, "file_list")]
    refuse_repetitions([file.path for file in files], "file_list")
    for file, version in zip(files, versions_of(versions, len(files)), strict=True):
        file.version = version
    return files


def add_files(jobs: Sequence[Job], file_list: bool | Sequence[PathLike]) -> list[LocalFile]:
    """Set the files of sessions: all in their folders (True), none (False), or a list for the only session.

    Return the files outside any session folder; blocking. Raises InputError for a folder that does not exist.
    """
    if file_list is False:
        return []
    if file_list is not True:
        files = [local_file(path, jobs[0].folder) for path in as_paths(file_list, "file_list")]
        refuse_repetitions([file.path for file in files], "file_list")
        jobs[0].files = [file for file in files if file.session]
        return [file for file in files if not file.session]
    for job in jobs:
        if not job.folder.path.is_dir():
            raise InputError.of("ses_path", str(job.folder.path), "a folder that exists")
        job.files, job.is_found = list(find_candidates(job.folder)), True
    return []


def find_flags(root: Path, pattern: str) -> list[Path]:
    """Return the flag files below a folder, at most one for each parent folder; blocking."""
    root = root.expanduser().absolute()
    if not root.is_dir():
        raise InputError.of("root_data_folder", str(root), "a folder that exists")
    return list({flag.parent: flag for flag in sorted(root.glob(pattern), reverse=True)}.values())[::-1]
