"""Find ALF files on the local disk by their parts."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path, PurePath
from typing import TypeAlias

from one_async.alf.parts import Parts, PartsTuple
from one_async.alf.path import ALFPath
from one_async.alf.spec import FILE_SPEC, is_session_path, regex
from one_async.errors import ALFInvalid, ALFObjectNotFound, InputError

__all__ = [
    "AnyPath",
    "Filter",
    "exists",
    "filter_by",
    "find_files",
    "find_variants",
    "iter_datasets",
    "iter_sessions",
    "next_num_folder",
]

AnyPath: TypeAlias = str | os.PathLike[str]
#: A pattern, several patterns of which one must match, or None for files without the part.
Filter: TypeAlias = str | Sequence[str] | None

_NAME_PARTS = tuple(regex(FILE_SPEC).groupindex)


def filter_by(
    alf_path: AnyPath, wildcards: bool = True, **filters: Filter
) -> tuple[list[ALFPath], list[PartsTuple]]:
    """Return the names of the datasets in a folder whose parts match all filters, and the parts of each name.

    Filters are namespace, object, attribute, timescale, extra and extension, as shell patterns or, without ``wildcards``, as
    regular expressions that match from the start. A list means any of its patterns; None means that the part is absent. All
    parts given for ``extra`` must be present, exactly. Names are sorted, and relative to the folder. Raises InputError for a
    filter that is not a part of file names.
    """
    unknown = filters.keys() - set(_NAME_PARTS)
    if unknown:
        raise InputError.of("filter", min(unknown), _NAME_PARTS)
    folder = ALFPath(alf_path)
    files, parts = [], []
    for file in folder.iter_datasets():
        found = file.parse_alf_name()
        if all(_matches(found, part, wanted, wildcards) for part, wanted in filters.items()):
            files.append(file.relative_to(folder))
            parts.append(tuple(found.values()))
    return files, parts


def _matches(found: Parts, part: str, wanted: Filter, wildcards: bool) -> bool:
    text = found[part]
    if text is None or wanted is None:
        return text is wanted
    patterns = [wanted] if isinstance(wanted, str) else list(wanted)
    if part == "extra":
        extras = [extra for pattern in patterns for extra in pattern.split(".") if extra]
        return set(extras) <= set(text.split("."))
    if wildcards:
        return any(fnmatch(text, pattern) for pattern in patterns)
    return any(re.match(pattern, text) for pattern in patterns)


def find_files(
    alf_path: AnyPath, object: Filter = None, wildcards: bool = True, **filters: Filter
) -> list[ALFPath]:
    """Return the full paths of an object's files in a folder, or of the object to which a file belongs.

    Without ``object``, return all datasets in a folder. Raises ALFObjectNotFound if there are none.
    """
    path = ALFPath(alf_path)
    if path.is_file():
        path, object = path.parent, path.object
    if object is not None:
        filters["object"] = object
    names = filter_by(path, wildcards, **filters)[0] if path.is_dir() else []
    if not names:
        wanted = ", ".join(f"{part}={pattern!r}" for part, pattern in filters.items()) or "any object"
        raise ALFObjectNotFound(f"No ALF file of {wanted} in {path}")
    return [path / name for name in names]


def exists(
    alf_path: AnyPath,
    object: str,
    attributes: str | Iterable[str] | None = None,
    wildcards: bool = True,
    **filters: Filter,
) -> bool:
    """Return whether a folder has files of an object, and of all attributes that are given."""
    try:
        files = find_files(alf_path, object, wildcards, **filters)
    except ALFObjectNotFound:
        return False
    wanted = {attributes} if isinstance(attributes, str) else set(attributes or ())
    return wanted <= {file.attribute for file in files}


def find_variants(
    file_list: Iterable[AnyPath],
    namespace: bool = True,
    timescale: bool = True,
    extra: bool = True,
    extension: bool = True,
) -> dict[ALFPath, list[ALFPath]]:
    """Return, for each dataset, its other revisions on disk.

    Parts that are False may differ as well. Raises ALFInvalid for a path that is not a dataset in a session.
    """
    kept = {"namespace": namespace, "timescale": timescale, "extra": extra, "extension": extension}
    same = [part for part, keep in kept.items() if keep]
    same += ["lab", "subject", "date", "number", "collection", "object", "attribute"]
    variants = {}
    for file in map(ALFPath, file_list):
        parts = file.parse_alf_path()
        if parts["object"] is None:
            raise ALFInvalid(f"{file} is not an ALF dataset", path=str(file))
        folder = file.without_revision().parent
        folders = [folder, *sorted(each for each in folder.glob("#*#") if each.is_dir())]
        others = [other for each in folders for other in each.iter_datasets() if other != file]
        variants[file] = [
            other for other in others if all(other.parse_alf_path()[part] == parts[part] for part in same)
        ]
    return variants


def iter_sessions(root_dir: AnyPath, pattern: str = "*") -> Iterator[ALFPath]:
    """Return the session folders below a folder, sorted; a glob ``pattern`` of their location makes it faster.

    For example ``*/Subjects/*/????-??-??/*``.
    """
    root = ALFPath(root_dir)
    if is_session_path(root):
        yield root
    for path in sorted(root.rglob(pattern)):
        if is_session_path(path) and path.is_dir():
            yield path


def iter_datasets(session_path: AnyPath) -> Iterator[ALFPath]:
    """Return the datasets of a session, sorted, relative to its folder."""
    session = ALFPath(session_path)
    for path in session.iter_datasets(recursive=True):
        yield path.relative_to(session)


def next_num_folder(session_date_folder: AnyPath) -> str:
    """Return the next free session number in a day's folder, with three digits. Raises InputError after 999."""
    folder = Path(session_date_folder)
    names = [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    number = max((int(name) for name in names if name.isdecimal()), default=0) + 1
    if number > 999:
        raise InputError.of(
            "session_date_folder", str(PurePath(folder)), "days with fewer than 1000 sessions"
        )
    return f"{number:03d}"
