"""Local files and session folders: parse their paths, check that they can be registered, compute hashes."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from one_async.alf.session_paths import has_id, match_session, parse_date
from one_async.alf.spec import is_valid
from one_async.errors import InputError

__all__ = [
    "PROBLEMS",
    "REVISION",
    "LocalFile",
    "SessionFolder",
    "Status",
    "find_candidates",
    "is_mtime_reliable",
    "local_file",
    "md5_of",
    "read_sizes",
    "session_folder_of",
]

#: The statuses that prevent the registration of a file.
Problem: TypeAlias = Literal[
    "no type", "ambiguous type", "ambiguous dataset", "outside session", "invalid path", "missing", "refused"
]
PROBLEMS: frozenset[str] = frozenset(get_args(Problem))
#: The status of a file in a dry run.
Status: TypeAlias = Literal["new", "exists", "changed", "new revision", "protected"] | Problem
_SUBJECT = re.compile(r"[\w.-]+\Z")
#: The collections that Alyx accepts. It drops others silently and registers the file in the session's root.
_COLLECTION = re.compile(r"[\w./-]*\Z")
REVISION = re.compile(r"[\w.-]+\Z")
_LARGEST_NUMBER = 999
#: The coarsest resolution of a file system's clock, in ns.
_RESOLUTION = 2_000_000_000
#: Cached hashes by path, size and mtime, and their maximum number.
_hashes: dict[tuple[str, int, int], str] = {}
_MOST_HASHES = 100_000


@dataclass(frozen=True)
class SessionFolder:
    """The folder of a session, and the session that its path names."""

    path: Path
    lab: str | None
    subject: str
    day: date
    number: int

    @property
    def relative(self) -> str:
        """The path as in Alyx's file records: ``subject/yyyy-mm-dd/nnn``."""
        return "/".join(self.path.parts[-3:])

    @property
    def key(self) -> tuple[str, date, int]:
        """The key that identifies the session in the database."""
        return self.subject, self.day, self.number


@dataclass(eq=False)
class LocalFile:
    """A file to register, with its status and what is known of it so far."""

    path: Path
    session: SessionFolder | None = None
    collection: str = ""
    revision: str = ""
    name: str = ""
    version: str | None = None
    dataset_type: str | None = None
    hash: str | None = None
    size: int | None = None
    status: Status = "new"
    reason: str = ""
    row: dict[str, Any] | None = field(default=None, repr=False)
    """The row of the dataset in the database with this path and revision, if any."""
    has_protected: bool = False
    """Whether a revision of the dataset is protected."""
    record: dict[str, Any] | None = field(default=None, repr=False)
    """The record of the registered file."""

    @property
    def rel_path(self) -> str:
        """The path below the session's folder: ``collection/#revision#/name``."""
        parts = (self.collection, f"#{self.revision}#" if self.revision else "", self.name)
        return "/".join(filter(None, parts))

    @property
    def is_refused(self) -> bool:
        """Whether the file cannot be registered."""
        return self.status in PROBLEMS

    def refuse(self, status: Problem, reason: str) -> None:
        """Record why the file cannot be registered; the first reason is kept."""
        if not self.is_refused:
            self.status, self.reason = status, reason


def session_folder_of(path: str | os.PathLike[str], argument: str = "ses_path") -> SessionFolder:
    """Parse the path of a session folder. Raises InputError for one that Alyx cannot register."""
    accepted = "the folder of a session: …/lab/Subjects/subject/yyyy-mm-dd/nnn, or …/subject/yyyy-mm-dd/nnn"
    if not isinstance(path, str | os.PathLike):
        raise InputError.of(argument, path, accepted)
    whole = _absolute(Path(path))
    found = match_session(whole.as_posix())
    if found is None or found.end != len(whole.as_posix()):
        raise InputError.of(argument, os.fspath(path), accepted)
    day, number = parse_date(found.date), int(found.number)
    if day is None:
        raise InputError.of(argument, os.fspath(path), f"a date that exists, not {found.date}")
    if _SUBJECT.match(found.subject) is None:
        raise InputError.of(argument, os.fspath(path), "a subject of letters, digits, and the signs _ . -")
    if not 0 < number <= _LARGEST_NUMBER:
        raise InputError.of(argument, os.fspath(path), f"a session number from 1 to {_LARGEST_NUMBER}")
    return SessionFolder(whole, found.lab, found.subject, day, number)


def _absolute(path: Path) -> Path:
    """Return an absolute path without ``..``; links are not followed, since they are part of the session's folder."""
    return Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 (resolve follows links)


def local_file(path: str | os.PathLike[str], root: SessionFolder | None = None) -> LocalFile:
    """Parse the path of a file; a relative path is relative to the session folder ``root`` if that is given.

    A file that cannot be registered is marked as refused, with the reason.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError.of("file_list", path, "paths of files")
    whole = _absolute(root.path / Path(path).expanduser() if root else Path(path))
    file = LocalFile(whole, name=whole.name)
    found = match_session(whole.as_posix())
    if found is None or found.end >= len(whole.as_posix()) or (root and root.path not in whole.parents):
        where = "the session's folder" if root is None else str(root.path)
        file.refuse("outside session", f"the file is not in {where}")
        return file
    try:
        file.session = root or session_folder_of(whole.as_posix()[: found.end], "file_list")
    except InputError as error:
        file.refuse("invalid path", str(error))
        return file
    _parse_rest(file, whole.relative_to(file.session.path).parts)
    return file


def _parse_rest(file: LocalFile, parts: tuple[str, ...]) -> None:
    """Parse collection, revision and name by Alyx's rules."""
    *folders, file.name = parts
    marked = [at for at, part in enumerate(folders) if part.startswith("#") and part.endswith("#")]
    if marked and marked[-1] == len(folders) - 1:
        file.revision = folders.pop()[1:-1]
        marked.pop()
    file.collection = "/".join(folders)
    if marked or (file.revision and not REVISION.match(file.revision)) or "#" in file.collection:
        file.refuse("invalid path", "a revision is one folder #…# beside the file, of letters, digits, _ . -")
    elif not _COLLECTION.match(file.collection):
        file.refuse("invalid path", "collections may contain letters, digits, and the signs _ . - / only")
    elif has_id(file.name):
        file.refuse("invalid path", "the name contains a dataset's id: this is a downloaded copy")
    elif not is_valid(file.name):
        file.refuse("invalid path", "the name is not object.attribute.extension, as ALF has it")


def find_candidates(folder: SessionFolder) -> Iterator[LocalFile]:
    """Yield the files of a session whose names are valid ALF, sorted by path; blocking."""
    found: list[Path] = []
    for where, folders, names in os.walk(folder.path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(where, name) for name in names if is_valid(name) and not has_id(name)]
    for path in sorted(found):
        yield local_file(path, folder)


def read_sizes(files: Iterable[LocalFile]) -> None:
    """Set the sizes of files, and refuse those that are missing or unreadable; blocking."""
    for file in files:
        if file.status == "outside session":
            continue
        try:
            is_file, file.size = file.path.is_file(), file.path.stat().st_size
        except OSError as error:
            file.refuse("missing", f"the file cannot be read: {error.strerror or error}")
        else:
            if not is_file:
                file.refuse("missing", "this is not a file")


def md5_of(path: Path) -> str:
    """Return the MD5 hash of a file; blocking. Raises OSError if the file changes while it is read.

    Hashes are cached by path, size and mtime, so that a registration after a dry run does not compute them again.
    """
    before = path.stat()
    key = (str(path), before.st_size, before.st_mtime_ns)
    if key in _hashes:
        return _hashes[key]
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "md5").hexdigest()
        after = os.fstat(stream.fileno())
    if (after.st_size, after.st_mtime_ns) != key[1:]:
        raise OSError("the file changed while it was read")
    if is_mtime_reliable(after.st_mtime_ns):
        if len(_hashes) >= _MOST_HASHES:
            _hashes.clear()
        _hashes[key] = digest
    return digest


def is_mtime_reliable(mtime_ns: int) -> bool:
    """Return whether an mtime in ns is old enough that any later change of the file would alter it.

    Two changes within the resolution of the file system's clock have the same mtime.
    """
    return time.time_ns() - mtime_ns > _RESOLUTION
