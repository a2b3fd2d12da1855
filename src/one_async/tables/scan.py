"""Find the sessions and datasets of a folder without reading files, with one session in memory at a time."""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG
from typing import Any, Final, NamedTuple

from one_async._warnings import warn
from one_async.alf.path import ALFPath
from one_async.alf.session_paths import FOLDER, LARGEST_NUMBER, match_session, parse_date
from one_async.alf.spec import REL_PATH_SPEC, is_valid, regex
from one_async.errors import TablesWarning

__all__ = [
    "Files",
    "find_sessions",
    "is_text",
    "iter_sessions",
    "scan_session",
    "session_row",
    "usual_folder",
]

_is_dataset = lru_cache(maxsize=1 << 16)(is_valid)
#: Whether a folder can be read by its descriptor. The stat of a file then looks up its name alone, not its whole path.
_BY_DESCRIPTOR: Final = os.scandir in os.supports_fd
_FLAGS: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
#: Errors of the process or machine, not of a folder: tables without the folders that had them would be incomplete.
_SHORTAGES: Final = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}


class Visit(NamedTuple):
    """A visited folder, or one that cannot be visited, with the modification time 0.

    ``is_plain``: it is not the target of a link, contains none, and nothing of it was omitted. ``is_end``: the walk stopped
    at it.
    """

    path: str
    mtime: int
    is_plain: bool
    is_end: bool


@dataclass
class Files:
    """The datasets of a session, sorted by path, and the folders that contain them.

    ``folders`` are the paths of the visited folders below the session with their modification times. ``is_plain`` is False if
    they contain links or something was omitted, in which case the times do not reveal every change.
    """

    paths: list[str] = field(default_factory=list)
    stats: list[os.stat_result] = field(default_factory=list)
    folders: dict[str, int] = field(default_factory=dict)
    is_plain: bool = True


def iter_sessions(root_dir: str | Path) -> Iterator[ALFPath]:
    """Yield the session folders in a folder (or itself, if it is one), sorted by path; links are not followed."""
    root = Path(root_dir)
    if ends_with_session(root.as_posix()):
        yield ALFPath(root)
    yield from sorted(
        ALFPath(top, name)
        for top, names, _ in os.walk(root)
        for name in names
        if ends_with_session(Path(top, name).as_posix())
    )


def ends_with_session(path: str) -> bool:
    """Return whether a path ends in subject/date/number."""
    name = path[path.rfind("/") + 1 :]
    if not name.isdigit():
        return False
    found = match_session("/".join(path.rsplit("/", 3)[-3:]))
    return found is not None and found.number == name


def find_sessions(root: Path, check: Callable[[], object]) -> list[str]:
    """Return the session folders in a folder, sorted by path.

    Folders within a session are not searched for sessions. ``check`` is called for each folder and may raise an error.
    Raises OSError if the folder itself cannot be read, so that its tables are not replaced by empty ones.
    """
    with os.scandir(root):
        pass
    found = []
    for visit in walk(str(root), None, _is_session):
        check()
        if visit.is_end:
            found.append(visit.path)
    return sorted(found, key=lambda path: path.replace(os.sep, "\0"))  # compares parts rather than characters


def _is_session(path: str) -> bool:
    return ends_with_session(_posix(path))


def _posix(path: str) -> str:
    return path if os.sep == "/" else path.replace(os.sep, "/")


def walk(
    root: str, files: dict[str, os.stat_result] | None, stop: Callable[[str], bool] = lambda _: False
) -> Iterator[Visit]:
    """Yield a folder and the folders below it, and add their datasets to ``files``, by path below the root.

    A folder at which ``stop`` returns True is yielded without its files, and those below it are not visited. Links are
    followed after all folders that are not links. No folder is visited twice. Links to their own folder or to a parent of it
    are not followed, so that there are no loops. Warns of folders that cannot be read.
    """
    seen: dict[tuple[int, int], str] = {}
    links = deque([root])
    while links:
        first = links.popleft()
        folders = [first]
        while folders:
            folder = folders.pop()
            is_end = stop(folder)
            place: str | int = folder
            problem = ""
            try:
                if folder is first and _is_loop(folder):
                    continue
                if _BY_DESCRIPTOR and not is_end:
                    place = os.open(folder, _FLAGS)
                stat = os.stat(place)  # noqa: PTH116 - a path object for each folder takes longer than this
                identity = (stat.st_dev, stat.st_ino)
                known = seen.get(identity)
                if known is not None and _identity(known) == identity:
                    if Path(folder).is_relative_to(known):
                        continue
                    raise OSError(errno.ELOOP, f"it is the same folder as {known!r}")
                seen[identity] = folder
                at = _posix(folder[len(root) + 1 :])
                below, linked, is_plain = ([], [], True) if is_end else _read(place, folder, at, files)
            except OSError as error:
                if error.errno in _SHORTAGES:
                    raise
                if isinstance(error, FileNotFoundError):  # it was removed meanwhile
                    continue
                problem = error.strerror or str(error)
            finally:
                if isinstance(place, int):
                    os.close(place)
            if problem:
                warn_of_omission(folder, problem)
                yield Visit(folder, 0, is_plain=False, is_end=False)
                continue
            yield Visit(folder, stat.st_mtime_ns, first is root and is_plain, is_end)
            if below:
                folders += sorted(below, reverse=True)
            if linked:
                links += sorted(linked)


def _identity(folder: str) -> tuple[int, int] | None:
    """Return device and inode of a folder; None if it was removed or renamed meanwhile, so that another may have them."""
    try:
        stat = os.stat(folder)  # noqa: PTH116 - as in `walk`
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def _is_loop(folder: str) -> bool:
    """Return whether a folder is a link to its own folder or to a parent of it."""
    if not os.path.islink(folder):  # noqa: PTH114 - called for each session
        return False
    path = Path(folder)
    return path.parent.resolve().is_relative_to(path.resolve())


def _read(
    place: str | int, folder: str, below: str, files: dict[str, os.stat_result] | None
) -> tuple[list[str], list[str], bool]:
    """Read a folder by its path or descriptor, and add its datasets to ``files``, by ``below`` and their name.

    Return the folders in it, the links to folders, and whether it has no links and all of it was read. Warns of broken links,
    of files that cannot be read, and of what is neither a file nor a folder, such as a named pipe.
    """
    folders: list[str] = []
    links: list[str] = []
    is_plain = True
    here = folder if folder.endswith(os.sep) else folder + os.sep
    head = f"{below}/" if below else ""
    with os.scandir(place) as entries:
        for entry in entries:
            name, is_link = entry.name, entry.is_symlink()
            try:
                if entry.is_dir():
                    (links if is_link else folders).append(here + name)
                elif files is not None and _is_dataset(name):
                    stat = entry.stat()
                    if S_ISREG(stat.st_mode):
                        files[head + name] = stat
                    else:
                        warn_of_omission(here + name, "it is not a regular file")
                elif is_link:
                    entry.stat()
            except FileNotFoundError:
                is_plain = False
                if is_link:  # else it was removed meanwhile
                    warn_of_omission(here + name, "it is a link to nothing")
            except OSError as error:
                is_plain = False
                warn_of_omission(here + name, error.strerror or str(error))
            if is_link:
                is_plain = False
    return folders, links, is_plain


def warn_of_omission(path: str, why: str) -> None:
    """Warn that a file or folder is not in the tables."""
    warn(f"{path!r} is left out of the tables: {why}", TablesWarning)


def is_text(path: str) -> bool:
    """Return whether a path can be written as UTF-8, which the names of files need not be."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def session_row(folder: str, root: Path) -> dict[str, Any] | None:
    """Return a session's row with its folder below the root; warn and return None if tables cannot contain it."""
    text, top = _posix(folder), root.as_posix()
    parts = text.rsplit("/", 5)
    tail = "/".join(
        parts[-5:] if len(parts) > 4 and parts[-4].lower() == "subjects" and parts[-5] else parts[-3:]
    )
    found = match_session(tail)
    day = found and parse_date(found.date)
    problem = (
        "it has a back slash" if "\\" in tail else
        "its name is no text" if not is_text(text) else
        "there is no such date or number" if not found or not day or int(found.number) > LARGEST_NUMBER else None
    )  # fmt: skip
    if problem or not found:
        warn_of_omission(folder, str(problem))
        return None
    return {
        "eid": "/".join(part for part in (found.lab, found.subject, found.date, found.number) if part),
        "lab": found.lab or "",
        "subject": found.subject,
        "date": day,
        "number": int(found.number),
        "task_protocol": "",
        "projects": "",
        FOLDER: "." if text == top else text.removeprefix(f"{top.rstrip('/')}/"),
    }


def usual_folder(row: Mapping[str, Any]) -> str:
    """Return the usual folder of a session, composed of its lab, subject, date and number."""
    head = f"{row['lab']}/Subjects/" if row["lab"] else ""
    return f"{head}{row['subject']}/{row['date']}/{row['number']:03d}"


def scan_session(session: str, check: Callable[[], object] = lambda: None) -> Files:
    """Return the datasets of a session, including those in linked folders."""
    found: dict[str, os.stat_result] = {}
    files = Files()
    for visit in walk(session, found):
        check()
        files.folders[_posix(visit.path[len(session) + 1 :])] = visit.mtime
        files.is_plain = files.is_plain and visit.is_plain
    paths = sorted(found)
    if not all(map(str.isascii, paths)):
        odd = [path for path in paths if not is_text(path)]
        for path in odd:
            warn_of_omission(f"{session}{os.sep}{path}", "its name is no text")
            del found[path]
        files.is_plain = files.is_plain and not odd
        paths = sorted(found)
    files.paths = paths
    files.stats = [found[path] for path in paths]
    for path in paths:
        if not _is_listed(path):
            text = f"{session}{os.sep}{path}"
            text = f"{text!r} is in the tables, but not listed: its folder's name is not an ALF collection"
            warn(text, TablesWarning)
    return files


@lru_cache(maxsize=1 << 16)
def _is_listed(path: str) -> bool:
    return regex(REL_PATH_SPEC).match(path) is not None
