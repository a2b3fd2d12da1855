"""Find the sessions and datasets of a folder without reading files, with one session in memory at a time."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from one_async._warnings import warn
from one_async.alf.path import ALFPath
from one_async.alf.session import FOLDER, LARGEST_NUMBER, match_session, parse_date
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


class Visit(NamedTuple):
    """A visited folder with its files.

    ``is_linked``: it is the target of a link or contains one. ``is_end``: the walk stopped at it.
    """

    path: str
    stat: os.stat_result
    files: list[os.DirEntry[str]]
    is_linked: bool
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
    """
    found = []
    for visit in walk(str(root), _is_session):
        check()
        if visit.is_end:
            found.append(visit.path)
    return sorted(found, key=lambda path: path.replace(os.sep, "\0"))  # compares parts rather than characters


def _is_session(path: str) -> bool:
    return ends_with_session(_posix(path))


def _posix(path: str) -> str:
    return path if os.sep == "/" else path.replace(os.sep, "/")


def walk(root: str, stop: Callable[[str], bool] = lambda _: False) -> Iterator[Visit]:
    """Yield a folder and the folders below it; for those at which ``stop`` returns True, without their files.

    Links are followed after all folders that are not links. No folder is visited twice. Links to their own folder or to a
    parent of it are not followed, so that there are no loops.
    """
    seen: dict[tuple[int, int], str] = {}
    links = deque([root])
    while links:
        first = links.popleft()
        folders = [first]
        while folders:
            folder = folders.pop()
            try:
                if folder is first and _is_loop(Path(folder)):
                    continue
                stat = os.stat(folder)  # noqa: PTH116 - a path object for each folder takes longer than this
                known = seen.setdefault((stat.st_dev, stat.st_ino), folder)
                if known is not folder:
                    if not Path(folder).is_relative_to(known):
                        warn_of_omission(folder, f"it is the same folder as {known!r}")
                    continue
                is_end = stop(folder)
                entries = _Entries() if is_end else _read(folder)
            except OSError as error:
                is_removed = isinstance(error, FileNotFoundError) and folder is not first
                if not is_removed:
                    warn_of_omission(folder, error.strerror or str(error))
                continue
            yield Visit(folder, stat, entries.files, first is not root or entries.is_linked, is_end)
            folders += sorted(entries.folders, reverse=True)
            links += sorted(entries.links)


def _is_loop(folder: Path) -> bool:
    """Return whether a folder is a link to its own folder or to a parent of it."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())


@dataclass
class _Entries:
    """The entries of a folder: files, and the paths of folders and of links to folders."""

    files: list[os.DirEntry[str]] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    is_linked: bool = False


def _read(folder: str) -> _Entries:
    """Read a folder; warn of broken links."""
    found = _Entries()
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_symlink():
                if entry.is_dir(follow_symlinks=False):
                    found.folders.append(entry.path)
                else:
                    found.files.append(entry)
                continue
            found.is_linked = True
            try:
                if entry.is_dir():
                    found.links.append(entry.path)
                else:
                    entry.stat()
                    found.files.append(entry)
            except FileNotFoundError:
                warn_of_omission(entry.path, "it is a link to nothing")
            except OSError as error:
                warn_of_omission(entry.path, error.strerror or str(error))
    return found


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
    for visit in walk(session):
        check()
        below = _posix(visit.path[len(session) + 1 :])
        head = f"{below}/" if below else ""
        files.folders[below] = visit.stat.st_mtime_ns
        files.is_plain = files.is_plain and not visit.is_linked
        for entry in visit.files:
            name = entry.name
            if _is_dataset(name):
                try:
                    stat = entry.stat()
                except OSError as error:
                    if not isinstance(error, FileNotFoundError):  # it was removed meanwhile
                        warn_of_omission(entry.path, error.strerror or str(error))
                    files.is_plain = False
                    continue
                found[head + name] = stat
    for path in sorted(found):
        if not path.isascii() and not is_text(path):
            warn_of_omission(f"{session}{os.sep}{path}", "its name is no text")
            files.is_plain = False
            continue
        files.paths.append(path)
        files.stats.append(found[path])
        if not _is_listed(path):
            text = f"{session}{os.sep}{path}"
            text = f"{text!r} is in the tables, but not listed: its folder's name is not an ALF collection"
            warn(text, TablesWarning)
    return files


@lru_cache(maxsize=1 << 16)
def _is_listed(path: str) -> bool:
    return regex(REL_PATH_SPEC).match(path) is not None
