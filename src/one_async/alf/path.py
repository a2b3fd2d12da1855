"""ALFPath: a pathlib path with properties for its ALF parts, and methods that change them.

``PureALFPath`` never accesses the disk and has a POSIX and a Windows flavour; ``ALFPath`` is a
``pathlib.Path``, whose ``is_dataset``, ``is_session_path``, ``is_valid_alf`` and ``iter_datasets`` access
the disk. The functions of :mod:`one_async.alf.parts` can be imported from here, too, as in ONE-api.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PosixPath, PurePath, PureWindowsPath, WindowsPath
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from one_async.alf.parts import (
    PathLike,
    add_uuid_string,
    filename_parts,
    folder_parts,
    full_path_parts,
    get_alf_path,
    get_session_path,
    rel_path_parts,
    remove_uuid_string,
    session_path_parts,
    without_revision,
)
from one_async.alf.pure import PureALFPath, PurePosixALFPath, PureWindowsALFPath
from one_async.alf.spec import is_session_path, is_valid
from one_async.errors import ALFInvalid, InputError

if TYPE_CHECKING:
    from typing import Self

__all__ = [
    "ALFPath",
    "PosixALFPath",
    "PureALFPath",
    "PurePosixALFPath",
    "PureWindowsALFPath",
    "WindowsALFPath",
    "add_uuid_string",
    "ensure_alf_path",
    "filename_parts",
    "folder_parts",
    "full_path_parts",
    "get_alf_path",
    "get_session_path",
    "padded_sequence",
    "rel_path_parts",
    "remove_uuid_string",
    "session_path_parts",
    "without_revision",
]

A = TypeVar("A", bound="PureALFPath")


class ALFPath(PureALFPath, Path):
    """A path on this system's disk with ALF parts; see `PureALFPath`.

    Examples:
        >>> from one_async import ALFPath
        >>> path = ALFPath("summitlab/Subjects/SU_101/2024-06-24/001/alf/probe00/spikes.times.npy")
        >>> path.subject, path.date, path.collection, path.object, path.attribute
        ('SU_101', '2024-06-24', 'alf/probe00', 'spikes', 'times')
        >>> path.with_attribute("amps").name
        'spikes.amps.npy'
    """

    def __new__(cls, *args: str | os.PathLike[str]) -> Self:
        """Make a path from joined segments, like pathlib."""
        made: type[Any] = cls
        if cls is ALFPath:
            made = WindowsALFPath if os.name == "nt" else PosixALFPath
        return cast("Self", super().__new__(made, *args))

    def is_dataset(self) -> bool:
        """Return whether the name is a dataset's and the path is not a folder on disk.

        Examples:
            >>> path.is_dataset()
            True
        """
        return is_valid(self.name) and not self.is_dir()

    def is_session_path(self: PathLike) -> bool:
        """Return whether the path ends in subject/date/number and is not a file on disk.

        Examples:
            >>> path.is_session_path(), path.session_path().is_session_path()
            (False, True)
        """
        return is_session_path(self) and not _on_disk(self, Path.is_file)

    def with_padded_sequence(self: PathLike) -> PureALFPath:
        """Return the path with three digits in the session number. Also accepts any path or text.

        Raises InputError if it has no session.

        Examples:
            >>> from one_async import ALFPath
            >>> ALFPath("SU_101/2024-06-24/1").with_padded_sequence().as_posix()
            'SU_101/2024-06-24/001'
        """
        return PureALFPath.with_padded_sequence(ensure_alf_path(self))

    def is_valid_alf(self: PathLike) -> bool:
        """Return whether the path is that of a dataset or session folder, and what is on disk is of that kind.

        Examples:
            >>> from one_async import ALFPath
            >>> path.is_valid_alf(), ALFPath("notes/readme.txt").is_valid_alf()
            (True, False)
        """
        try:
            parts = full_path_parts(self, as_dict=True)
        except ALFInvalid:
            return False
        return not _on_disk(self, Path.is_file if parts["object"] is None else Path.is_dir)

    def iter_datasets(self, recursive: bool = False) -> Iterator[Self]:
        """Return the datasets in this folder, in order; with ``recursive``, also those in its subfolders.

        Examples:
            >>> from one_async import ALFPath
            >>> [file.name for file in ALFPath(folder).iter_datasets(recursive=True)]
            ['_ibl_wheel.position.npy', '_ibl_wheel.timestamps.npy']
        """
        for path in sorted(self.rglob("*.*.*") if recursive else self.glob("*.*.*")):
            if path.is_dataset():
                yield path


def _on_disk(path: PathLike, question: Callable[[Path], bool]) -> bool:
    if isinstance(path, PurePath) and not isinstance(path, Path):
        return False
    return question(Path(path))


class PosixALFPath(ALFPath, PosixPath):
    """An ALF path on a POSIX disk."""


class WindowsALFPath(ALFPath, WindowsPath):
    """An ALF path on a Windows disk."""


@overload
def ensure_alf_path(path: A) -> A: ...
@overload
def ensure_alf_path(path: str | Path) -> ALFPath: ...  # type: ignore[overload-overlap]
@overload
def ensure_alf_path(path: PurePath) -> PureALFPath: ...
@overload
def ensure_alf_path(path: Iterable[str | PurePath]) -> list[PureALFPath]: ...
def ensure_alf_path(path: PathLike | Iterable[PathLike]) -> PureALFPath | list[PureALFPath]:
    """Return the ALF path of the same flavour: text and disk paths become ALFPath, pure paths stay pure.

    Several paths return a list. Raises InputError for a value that is not a path.
    """
    if isinstance(path, PureALFPath):
        return path
    if isinstance(path, str | Path):
        return ALFPath(path)
    if isinstance(path, PureWindowsPath):
        return PureWindowsALFPath(path)
    if isinstance(path, PurePath):
        return PurePosixALFPath(path)
    if isinstance(path, Iterable) and not isinstance(path, bytes):
        return [ensure_alf_path(each) for each in path]
    raise InputError.of("path", path, "text, a pathlib path, or several of them")


def padded_sequence(file_path: PathLike) -> PureALFPath:
    """Return a path whose session number has three digits. Raises InputError if it has no session."""
    return ensure_alf_path(file_path).with_padded_sequence()
