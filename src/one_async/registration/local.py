"""Files and session folders on the local disk: the parts of their paths, whether they can be registered, their hashes."""

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

from one_async.alf.session import has_id, match_session, parse_date
from one_async.alf.spec import is_valid
from one_async.errors import InputError

__all__ = [
    "PROBLEMS",
    "REVISION",
    "LocalFile",
    "SessionFolder",
    "Status",
    "find_candidates",
    "is_settled",
    "local_file",
    "look",
    "md5_of",
    "session_folder_of",
]

#: The statuses that prevent the registration of a file.
Problem: TypeAlias = Literal[
    "no type", "ambiguous type", "ambiguous dataset", "outside session", "invalid path", "missing", "refused"
]
PROBLEMS: frozenset[str] = frozenset(get_args(Problem))
#: The status of a file in a dry run.
Status: TypeAlias = Literal["new", "exists", "changed", "new revision", "protected"] | Problem
#: The collections that Alyx accepts. It drops others silently and registers the file in the session's root.
_SUBJECT = re.compile(r"[\w.-]+\Z")
_COLLECTION = re.compile(r"[\w./-]*\Z")
REVISION = re.compile(r"[\w.-]+\Z")
_LARGEST_NUMBER = 999
#: Nanoseconds within which a file system may not tell two changes apart.
_RESOLUTION = 2_000_000_000
#: Hashes by path, size and time of change, and the most that are remembered.
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
        """The path from the subject on, as Alyx's file records have it: ``subject/yyyy-mm-dd/nnn``."""
        return "/".join(self.path.parts[-3:])

    @property
    def key(self) -> tuple[str, date, int]:
        """The key that identifies the session in the database."""
        return self.subject, self.day, self.number


@dataclass(eq=False)
class LocalFile:
    """A file to register, and the information gathered about it so far."""

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
    """The dataset of the database that the file is or replaces."""
    has_protected: bool = False
    """Whether a revision of the dataset is protected."""
    record: dict[str, Any] | None = field(default=None, repr=False)
    """The answer for the registered file."""

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
        """Note why the file cannot be registered; the first reason stays."""
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
    """Parse the path of a file; relative paths begin at the session's folder ``root`` if it is given.

    A file that cannot be registered gets the reason.
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
    """Read collection, revision and name, as Alyx reads them."""
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
    """Walk over the files of a session whose names are ALF, in order of their paths; blocking."""
    found: list[Path] = []
    for where, folders, names in os.walk(folder.path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(where, name) for name in names if is_valid(name) and not has_id(name)]
    for path in sorted(found):
        yield local_file(path, folder)


def look(files: Iterable[LocalFile]) -> None:
    """Read the sizes of files; one that is not there is refused; blocking."""
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
    """Return the MD5 hash of a file; blocking. Raises OSError for a file that changes meanwhile.

    Hashes are remembered while size and time of change stay the same, so that a dry run is not done for nothing.
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
    if is_settled(after.st_mtime_ns):
        if len(_hashes) >= _MOST_HASHES:
            _hashes.clear()
        _hashes[key] = digest
    return digest


def is_settled(changed: int) -> bool:
    """Return whether a time of change in ns is so old that a later change would show.

    Two changes within the resolution of the file system's clock cannot be told apart.
    """
    return time.time_ns() - changed > _RESOLUTION
