"""Parse ALF paths and names, and add or remove UUIDs: functions on text and pathlib paths.

The functions that parse return the parts as a tuple in the order of the path, or as a dict (``as_dict=True``), with None
for absent parts. For text that is not ALF they raise ALFInvalid, or return only Nones with ``assert_valid=False``.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path, PurePath
from typing import Literal, TypeAlias, TypeVar, overload
from uuid import UUID

from one_async.alf.session_paths import match_parts, match_session
from one_async.alf.spec import (
    COLLECTION_SPEC,
    FILE_SPEC,
    REL_PATH_SPEC,
    SESSION_SPEC,
    is_uuid,
    is_uuid_string,
    isdatetime,
    regex,
)
from one_async.errors import ALFInvalid, InputError

__all__ = [
    "add_uuid_string",
    "filename_parts",
    "folder_parts",
    "full_path_parts",
    "get_alf_path",
    "get_session_path",
    "rel_path_parts",
    "remove_uuid_string",
    "session_path_parts",
    "without_revision",
]

Parts: TypeAlias = dict[str, str | None]
PartsTuple: TypeAlias = tuple[str | None, ...]
PathLike: TypeAlias = str | PurePath
P = TypeVar("P", bound=PurePath)

SESSION_PARTS = ("lab", "subject", "date", "number")
_FOLDER_SPEC = f"{SESSION_SPEC}/{COLLECTION_SPEC}"


def parse(text: PathLike, spec: str, *, assert_valid: bool = True) -> Parts:
    """Match a path against a spec, from its start."""
    return dict(zip(regex(spec).groupindex, _values(text, spec, assert_valid), strict=True))


def _values(text: PathLike, spec: str, assert_valid: bool) -> PartsTuple:
    found = _match(_posix(text), spec)
    if found is None:
        if assert_valid:
            raise _not_alf(text, spec)
        return (None,) * len(regex(spec).groupindex)
    return found


@lru_cache(maxsize=4096)
def _match(text: str, spec: str) -> PartsTuple | None:
    """Return the parts of a text; cached, since the datasets of many sessions have equal names."""
    found = regex(spec).match(text)
    return None if found is None else tuple(found.groupdict().values())


def _posix(path: PathLike) -> str:
    return path.as_posix() if isinstance(path, PurePath) else path


def _not_alf(path: PathLike, spec: str) -> ALFInvalid:
    return ALFInvalid(f"{str(path)!r} is not an ALF path of the form {_readable(spec)}", path=str(path))


def _readable(spec: str) -> str:
    return "".join(letter for letter in spec if letter not in "{}?*\\$")


def _as_parts(parts: Parts, as_dict: bool) -> Parts | PartsTuple:
    return parts if as_dict else tuple(parts.values())


@overload
def session_path_parts(
    session_path: PathLike, as_dict: Literal[False] = False, assert_valid: bool = True
) -> PartsTuple: ...
@overload
def session_path_parts(
    session_path: PathLike, as_dict: Literal[True], assert_valid: bool = True
) -> Parts: ...
def session_path_parts(
    session_path: PathLike, as_dict: bool = False, assert_valid: bool = True
) -> Parts | PartsTuple:
    """Return lab, subject, date and number of the first session in a path. Lab and subject are whole folder names."""
    found = match_parts(_posix(session_path))
    if found is None and assert_valid:
        raise _not_alf(session_path, SESSION_SPEC)
    return _as_parts(dict(zip(SESSION_PARTS, found or (None,) * 4, strict=True)), as_dict)


@overload
def rel_path_parts(
    rel_path: PathLike, as_dict: Literal[False] = False, assert_valid: bool = True
) -> PartsTuple: ...
@overload
def rel_path_parts(rel_path: PathLike, as_dict: Literal[True], assert_valid: bool = True) -> Parts: ...
def rel_path_parts(
    rel_path: PathLike, as_dict: bool = False, assert_valid: bool = True
) -> Parts | PartsTuple:
    """Return collection, revision and the parts of the name, of a path relative to the session."""
    if as_dict:
        return parse(rel_path, REL_PATH_SPEC, assert_valid=assert_valid)
    return _values(rel_path, REL_PATH_SPEC, assert_valid)


@overload
def filename_parts(
    filename: str, as_dict: Literal[False] = False, assert_valid: bool = True
) -> PartsTuple: ...
@overload
def filename_parts(filename: str, as_dict: Literal[True], assert_valid: bool = True) -> Parts: ...
def filename_parts(filename: str, as_dict: bool = False, assert_valid: bool = True) -> Parts | PartsTuple:
    """Return namespace, object, attribute, timescale, extra and extension of a file name."""
    if as_dict:
        return parse(filename, FILE_SPEC, assert_valid=assert_valid)
    return _values(filename, FILE_SPEC, assert_valid)


@overload
def folder_parts(
    folder_path: PathLike, as_dict: Literal[False] = False, assert_valid: bool = True
) -> PartsTuple: ...
@overload
def folder_parts(folder_path: PathLike, as_dict: Literal[True], assert_valid: bool = True) -> Parts: ...
def folder_parts(
    folder_path: PathLike, as_dict: bool = False, assert_valid: bool = True
) -> Parts | PartsTuple:
    """Return lab, subject, date, number, collection and revision of a folder's path."""
    return _as_parts(_folders(folder_path, assert_valid), as_dict)


def _folders(folder_path: PathLike, assert_valid: bool) -> Parts:
    text = _posix(folder_path)
    if (found := match_session(text)) is None:
        if assert_valid:
            raise _not_alf(folder_path, _FOLDER_SPEC)
        return dict.fromkeys((*SESSION_PARTS, "collection", "revision"))
    below = text[found.end + 1 :].strip("/")
    # The spec requires a slash after each folder.
    return {
        **dict(zip(SESSION_PARTS, found[:4], strict=True)),
        **parse(below and f"{below}/", COLLECTION_SPEC),
    }


@overload
def full_path_parts(
    path: PathLike, as_dict: Literal[False] = False, assert_valid: bool = True
) -> PartsTuple: ...
@overload
def full_path_parts(path: PathLike, as_dict: Literal[True], assert_valid: bool = True) -> Parts: ...
def full_path_parts(path: PathLike, as_dict: bool = False, assert_valid: bool = True) -> Parts | PartsTuple:
    """Return all twelve parts of a file's path, a folder's path or a file name.

    Collections may contain periods, too, so a path may be ambiguous: a last part with fewer than two periods is taken for
    a folder.
    """
    path = path if isinstance(path, PurePath) else PurePath(path)
    no_name = parse("", FILE_SPEC, assert_valid=False)
    if path.name.count(".") < 2:
        folders = _folders(path, assert_valid)
        if assert_valid and not path.as_posix().endswith(_joined(folders)):  # something else follows
            raise ALFInvalid(f"{str(path)!r} is neither an ALF folder nor an ALF file", path=str(path))
        return _as_parts({**folders, **no_name}, as_dict)
    name = parse(path.name, FILE_SPEC, assert_valid=assert_valid)
    folders = (
        _folders(path.parent, assert_valid) if "/" in path.as_posix() else _folders("", assert_valid=False)
    )
    return _as_parts({**folders, **name}, as_dict)


def _joined(folders: Parts) -> str:
    revision = f"#{folders['revision']}#" if folders["revision"] else None
    session = (folders[part] for part in ("subject", "date", "number", "collection"))
    return "/".join(filter(None, (*session, revision)))


def find_session_path(path: P) -> P | None:
    """Return a path up to its first date and number, as a path of the same type; None if it has none."""
    parts = path.parts
    for index in range(1, len(parts)):
        if parts[index].isdigit() and isdatetime(parts[index - 1]):
            return type(path)(*parts[: index + 1])
    return None


@overload
def get_session_path(path: None) -> None: ...
@overload
def get_session_path(path: str) -> Path | None: ...
@overload
def get_session_path(path: P) -> P | None: ...
def get_session_path(path: PathLike | None) -> PurePath | None:
    """Return the session's folder, root included, of any path in it; None if there is no date and number."""
    if path is None:
        return None
    return find_session_path(Path(path) if isinstance(path, str) else path)


def get_alf_path(path: PathLike) -> str | None:
    """Return the ALF part of a path or URL: from the lab or subject on, else the relative path or file name.

    None if no part of it is ALF.
    """
    text = _posix(path).strip("/")
    if session := match_session(text):
        return text[session.start :]
    name = text.rsplit("/", 1)[-1]
    if not regex(FILE_SPEC).match(name):
        return None
    return text if regex(REL_PATH_SPEC).match(text) else name


def _as_path(path: PathLike) -> PurePath:
    return Path(path) if isinstance(path, str) else path


@overload
def add_uuid_string(file_path: str, uuid: str | UUID, strict: bool = False) -> Path: ...
@overload
def add_uuid_string(file_path: P, uuid: str | UUID, strict: bool = False) -> P: ...
def add_uuid_string(file_path: PathLike, uuid: str | UUID, strict: bool = False) -> PurePath:
    """Return a path with a dataset's UUID before the extension, in place of any other.

    Raises InputError if ``uuid`` is not a UUID, or, with ``strict``, if the name has a different one.
    """
    if isinstance(uuid, str) and not is_uuid_string(uuid):
        raise InputError.of("uuid", uuid, "a UUID with hyphens, in lower case")
    path = _as_path(file_path)
    *stem, last = path.stem.split(".")
    if not is_uuid(last):
        stem.append(last)
    elif last == str(uuid):
        return path
    elif strict:
        raise InputError(f"{path.name} already has UUID {last}, not {uuid}", argument="uuid", given=str(uuid))
    return path.parent / ".".join([*stem, str(uuid) + path.suffix])


@overload
def remove_uuid_string(file_path: str) -> Path: ...
@overload
def remove_uuid_string(file_path: P) -> P: ...
def remove_uuid_string(file_path: PathLike) -> PurePath:
    """Return a path without the UUID before its extension; a path without a UUID is returned unchanged."""
    path = _as_path(file_path)
    stem, _, last = path.stem.rpartition(".")
    return path.with_name(stem + path.suffix) if stem and is_uuid_string(last) else path


@overload
def without_revision(file_path: str) -> Path: ...
@overload
def without_revision(file_path: P) -> P: ...
def without_revision(file_path: PathLike) -> PurePath:
    """Return a dataset's path without its revision folder. Raises ALFInvalid if it has no session path."""
    path = _as_path(file_path)
    folders = _folders(path.parent, assert_valid=True)
    session = find_session_path(path)
    if session is None:
        raise ALFInvalid(f"{str(path)!r} has no session path", path=str(path))
    return session.joinpath(*filter(None, (folders["collection"], path.name)))
