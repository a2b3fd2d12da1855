"""PureALFPath: paths without disk access, with properties for their ALF parts and methods that change them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from datetime import date as Date  # noqa: N812 - `date` is a property here
from functools import cached_property
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, Literal, cast, overload
from urllib.parse import unquote, urlsplit
from uuid import UUID

from one_async.alf.parts import (
    Parts,
    PartsTuple,
    PathLike,
    add_uuid_string,
    filename_parts,
    find_session_path,
    full_path_parts,
    remove_uuid_string,
    session_path_parts,
    without_revision,
)
from one_async.alf.session_paths import match_session
from one_async.alf.spec import COLLECTION_SPEC, is_session_path, is_valid, regex
from one_async.errors import ALFInvalid, InputError

if TYPE_CHECKING:
    from typing import Self

__all__ = ["PureALFPath", "PurePosixALFPath", "PureWindowsALFPath"]

# The lab and the folder below it that holds the subjects.
_LAB = re.compile(r"(?<![^/])[^/]+/(?i:subjects)/")


class PureALFPath(PurePath):
    """A path without disk access; the constructor makes the flavour of this system.

    Parts are properties, ``""`` if the path lacks the part; ``with_…`` and ``without_…`` return new paths.
    """

    def __new__(cls, *args: str | os.PathLike[str]) -> Self:
        """Make a path from joined segments, like pathlib."""
        made: type[Any] = cls
        if cls is PureALFPath:
            made = PureWindowsALFPath if os.name == "nt" else PurePosixALFPath
        return cast("Self", super().__new__(made, *args))

    @staticmethod
    def from_url(url: str) -> PurePosixALFPath:
        """Return the path of a data server's URL, without host and query, with escapes such as ``%23`` decoded.

        Examples:
            >>> from one_async import ALFPath
            >>> ALFPath.from_url("https://data.example.org/lab/Subjects/SU_101/2024-06-24/001/alf/spikes.times.npy?x=1").name
            'spikes.times.npy'
        """
        return PurePosixALFPath(unquote(urlsplit(url.replace("#", "%23")).path))

    # --- kinds of paths; the last two methods also accept any path or text: PureALFPath.is_session_path("a/2024-05-06/1")

    def is_dataset(self) -> bool:
        """Return whether the last part is a dataset's file name."""
        return is_valid(self.name)

    def is_session_path(self: PathLike) -> bool:
        """Return whether the path ends in subject/date/number."""
        return is_session_path(self)

    def is_valid_alf(self: PathLike) -> bool:
        """Return whether the path is that of a dataset, of a session's folder, or of a folder in it."""
        try:
            return any(full_path_parts(self))
        except ALFInvalid:
            return False

    # --- parts ---

    @cached_property
    def session_parts(self) -> tuple[str, ...]:
        """Lab, subject, date, number."""
        return tuple(part or "" for part in session_path_parts(self, assert_valid=False))

    @cached_property
    def dataset_name_parts(self) -> tuple[str, ...]:
        """Namespace, object, attribute, timescale, extra, extension."""
        return tuple(part or "" for part in filename_parts(self.name, assert_valid=False))

    @cached_property
    def alf_parts(self) -> tuple[str, ...]:
        """All twelve: lab, subject, date, number, collection, revision, then those of the name."""
        return tuple(part or "" for part in full_path_parts(self, assert_valid=False))

    @property
    def lab(self) -> str:
        """The lab, the folder before ``Subjects``.

        Examples:
            >>> path.lab
            'summitlab'
        """
        return self.session_parts[0]

    @property
    def subject(self) -> str:
        """The subject's nickname.

        Examples:
            >>> path.subject
            'SU_101'
        """
        return self.session_parts[1]

    @property
    def date(self) -> str:
        """The day of the session, as it is written.

        Examples:
            >>> path.date
            '2024-06-24'
        """
        return self.session_parts[2]

    @property
    def sequence(self) -> str:
        """The number of the session that day, as it is written.

        Examples:
            >>> path.sequence
            '001'
        """
        return self.session_parts[3]

    @property
    def collection(self) -> str:
        """The folders between session and revision or file.

        Examples:
            >>> path.collection
            'alf/probe00/pykilosort'
        """
        return self.alf_parts[4]

    @property
    def revision(self) -> str:
        """The revision, without its ``#`` signs.

        Examples:
            >>> path.with_revision("2024-08-01").revision
            '2024-08-01'
        """
        return self.alf_parts[5]

    @property
    def namespace(self) -> str:
        """The namespace of the file name, without its underscores.

        Examples:
            >>> path.with_namespace("ibl").namespace
            'ibl'
        """
        return self.dataset_name_parts[0]

    @property
    def object(self) -> str:
        """The object of the file name.

        Examples:
            >>> path.object
            'spikes'
        """
        return self.dataset_name_parts[1]

    @property
    def attribute(self) -> str:
        """The attribute of the file name.

        Examples:
            >>> path.attribute
            'times'
        """
        return self.dataset_name_parts[2]

    @property
    def timescale(self) -> str:
        """The timescale of the file name.

        Examples:
            >>> path.with_timescale("ephysClock").timescale
            'ephysClock'
        """
        return self.dataset_name_parts[3]

    @property
    def extra(self) -> str:
        """The extra parts of the file name, with periods between.

        Examples:
            >>> path.with_extra("raw").extra
            'raw'
        """
        return self.dataset_name_parts[4]

    @property
    def extension(self) -> str:
        """The extension of the file name, without its period.

        Examples:
            >>> path.extension
            'npy'
        """
        return self.dataset_name_parts[5]

    @overload
    def parse_alf_path(self, as_dict: Literal[True] = True) -> Parts: ...
    @overload
    def parse_alf_path(self, as_dict: Literal[False]) -> PartsTuple: ...
    def parse_alf_path(self, as_dict: bool = True) -> Parts | PartsTuple:
        """Return all twelve parts, None for what is absent.

        Examples:
            >>> parts = path.parse_alf_path()
            >>> parts["collection"], parts["revision"], parts["object"]
            ('alf/probe00/pykilosort', None, 'spikes')
        """
        parts = full_path_parts(self, as_dict=True, assert_valid=False)
        return parts if as_dict else tuple(parts.values())

    @overload
    def parse_alf_name(self, as_dict: Literal[True] = True) -> Parts: ...
    @overload
    def parse_alf_name(self, as_dict: Literal[False]) -> PartsTuple: ...
    def parse_alf_name(self, as_dict: bool = True) -> Parts | PartsTuple:
        """Return the six parts of the file name, None for what is absent.

        Examples:
            >>> path.parse_alf_name(as_dict=False)
            (None, 'spikes', 'times', None, None, 'npy')
        """
        parts = filename_parts(self.name, as_dict=True, assert_valid=False)
        return parts if as_dict else tuple(parts.values())

    # --- the session's part of the path, and the part below it ---

    def session_path(self) -> Self | None:
        """Return the session's folder, root included; None if the path has no date and number.

        Examples:
            >>> path.session_path().as_posix()
            'summitlab/Subjects/SU_101/2024-06-24/001'
        """
        return find_session_path(self)

    def session_path_short(self, include_lab: bool = False) -> str | None:
        """Return subject/date/number as text, with ``include_lab`` after the lab if there is one; None if absent.

        Examples:
            >>> path.session_path_short(), path.session_path_short(include_lab=True)
            ('SU_101/2024-06-24/001', 'summitlab/SU_101/2024-06-24/001')
        """
        parts = self.session_parts if include_lab else self.session_parts[1:]
        return "/".join(filter(None, parts)) or None

    def without_lab(self) -> Self:
        """Return the path without ``lab/Subjects/``.

        Examples:
            >>> path.session_path().without_lab().as_posix()
            'SU_101/2024-06-24/001'
        """
        posix = self.as_posix()
        match = _LAB.search(posix)
        return type(self)(posix[: match.start()], posix[match.end() :]) if match else self

    def relative_to_lab(self) -> Self:
        """Return the path after ``lab/Subjects/``. Raises InputError if the path has no such folders.

        Examples:
            >>> path.session_path().relative_to_lab().as_posix()
            'SU_101/2024-06-24/001'
        """
        posix = self.as_posix()
        match = _LAB.search(posix)
        if not match:
            raise InputError.of("path", str(self), "paths with lab/Subjects/")
        return type(self)(posix[match.end() :])

    def relative_to_session(self) -> Self:
        """Return the path after the session's folder. Raises InputError if the path has no session.

        Examples:
            >>> path.relative_to_session().as_posix()
            'alf/probe00/pykilosort/spikes.times.npy'
        """
        session = self.session_path()
        if session is None:
            raise InputError.of("path", str(self), "paths with subject/date/number")
        return self.relative_to(session)

    # --- change the session ---

    def with_lab(self, lab: str, strict: bool = False) -> Self:
        """Return the path with another lab; with ``strict``, only if it has one.

        Raises InputError for a name that cannot be a lab's, ALFInvalid if the path has no session or, with ``strict``, no lab.

        Examples:
            >>> path.with_lab("cortexlab").lab
            'cortexlab'
        """
        _check_folder("lab", lab)
        self._need(bool(self.subject and (self.lab or not strict)), "lab/Subjects/subject/date/number")
        return self._with_session(lab=lab)

    def with_subject(self, subject: str) -> Self:
        """Return the path with another subject. Raises InputError for an invalid name, ALFInvalid without a session.

        Examples:
            >>> path.with_subject("SU_102").session_path_short()
            'SU_102/2024-06-24/001'
        """
        _check_folder("subject", subject)
        self._need(bool(self.subject), "subject/date/number")
        return self._with_session(subject=subject)

    def with_date(self, date: str | Date) -> Self:
        """Return the path with another date. Raises InputError if it is not year-month-day, ALFInvalid without a session.

        Examples:
            >>> path.with_date("2024-06-25").session_path_short()
            'SU_101/2024-06-25/001'
        """
        text = date if isinstance(date, str) else str(date)[:10]
        _check("date", text)
        self._need(bool(self.date), "subject/date/number")
        return self._with_session(date=text)

    def with_sequence(self, number: int | str) -> Self:
        """Return the path with another session number, padded to three digits.

        Raises InputError for a number that is not 0 to 999, ALFInvalid if the path has no session.

        Examples:
            >>> path.with_sequence(2).session_path_short()
            'SU_101/2024-06-24/002'
        """
        try:
            value = int(str(number))
        except ValueError:
            value = -1
        if not 0 <= value <= 999:
            raise InputError.of("number", number, "0 to 999")
        self._need(bool(self.sequence), "subject/date/number")
        return self._with_session(number=f"{value:03d}")

    def with_padded_sequence(self: PathLike) -> PureALFPath:
        """Return the path with three digits in the session number. Also accepts any path or text.

        Raises InputError if it has no session.
        """
        path = self if isinstance(self, PureALFPath) else PureALFPath(self)
        session = find_session_path(path)
        if session is None:
            raise InputError.of("file_path", str(path), "paths with subject/date/number")
        return session.parent.joinpath(str(int(session.name)).zfill(3), path.relative_to(session))

    # --- change the folders under the session ---

    def with_collection(self, collection: PathLike | None) -> Self:
        """Return the path with another collection, before any revision.

        Raises InputError for a name that cannot be a collection's or a path without a session, ALFInvalid if the part
        after the session is not ALF.

        Examples:
            >>> path.with_collection("alf/probe01").relative_to_session().as_posix()
            'alf/probe01/spikes.times.npy'
        """
        name = PurePath(collection or "").as_posix().strip("/")
        _check("collection", name)
        if not self.session_path():
            raise InputError.of("path", str(self), "paths with subject/date/number")
        if self.is_session_path():
            return self / name
        found = match_session(posix := self.as_posix())
        self._need(found is not None, "subject/date/number")
        assert found is not None
        below = posix[found.end + 1 :] + ("" if self.is_dataset() else "/")
        match = regex(COLLECTION_SPEC if self.is_dataset() else f"{COLLECTION_SPEC}$").match(below)
        self._need(match is not None, COLLECTION_SPEC)
        assert match is not None
        revision = f"#{match['revision']}#/" if match["revision"] else ""
        return type(self)(posix[: found.end], name, revision + below[match.end() :])

    def with_revision(self, revision: str) -> Self:
        """Return the path with a revision folder, in place of any other.

        Raises ALFInvalid for a name that cannot be a revision's, or a path without a session.

        Examples:
            >>> path.with_revision("2024-08-01").relative_to_session().as_posix()
            'alf/probe00/pykilosort/#2024-08-01#/spikes.times.npy'
        """
        if not regex("{revision}").fullmatch(revision):
            raise ALFInvalid(f"{revision!r} cannot be the name of a revision", path=str(self))
        bare = self.without_revision()
        if PureALFPath.is_dataset(self):
            return bare.parent / f"#{revision}#" / self.name
        return bare / f"#{revision}#"

    def without_revision(self) -> Self:
        """Return the path without its revision folder. Raises ALFInvalid if the path has no session.

        Examples:
            >>> path.with_revision("2024-08-01").without_revision() == path
            True
        """
        if PureALFPath.is_dataset(self):
            return without_revision(self)
        self._need(self.is_valid_alf(), "subject/date/number/collection/#revision#")
        return self.parent if regex("#{revision}#").fullmatch(self.name) else self

    # --- change the file name; these raise ALFInvalid if the old or the new name is not a dataset's ---

    def with_object(self, obj: str) -> Self:
        """Return the path with another object.

        Examples:
            >>> path.with_object("templates").name
            'templates.times.npy'
        """
        namespace, rest = self._name()["namespace"], self.name.split(".", 1)[1]
        prefix = f"_{namespace}_" if namespace else ""
        return self._renamed(f"{prefix}{obj}.{rest}", object=obj)

    def with_namespace(self, ns: str | None) -> Self:
        """Return the path with another namespace, or with none.

        Examples:
            >>> path.with_namespace("ibl").name
            '_ibl_spikes.times.npy'
        """
        prefix, rest = f"_{ns}_" if ns else "", self.name.partition(".")[2]
        return self._renamed(f"{prefix}{self._name()['object']}.{rest}", namespace=ns or None)

    def with_attribute(self, attr: str) -> Self:
        """Return the path with another attribute and the same timescale.

        Examples:
            >>> path.with_attribute("amps").name
            'spikes.amps.npy'
        """
        timescale = self._name()["timescale"]
        obj, _, rest = self.name.split(".", 2)
        middle = f"{attr}_{timescale}" if timescale else attr
        return self._renamed(f"{obj}.{middle}.{rest}", attribute=attr, timescale=timescale)

    def with_timescale(self, timescale: str | None) -> Self:
        """Return the path with another timescale, or with none.

        Examples:
            >>> path.with_timescale("ephysClock").name
            'spikes.times_ephysClock.npy'
        """
        attribute = self._name()["attribute"]
        obj, _, rest = self.name.split(".", 2)
        middle = f"{attribute}_{timescale}" if timescale else attribute
        return self._renamed(f"{obj}.{middle}.{rest}", attribute=attribute, timescale=timescale or None)

    def with_extra(self, extra: str | Iterable[str] | None, append: bool = False) -> Self:
        """Return the path with other extra parts, or with none; ``append`` keeps the existing ones before them.

        Examples:
            >>> path.with_extra("part1").with_extra("raw", append=True).name
            'spikes.times.part1.raw.npy'
        """
        before = self._name()["extra"]
        parts = extra.strip(".").split(".") if isinstance(extra, str) else list(extra or ())
        joined = ".".join(filter(None, [before if append else None, *parts]))
        obj, attribute = self.name.split(".", 2)[:2]
        return self._renamed(
            ".".join(filter(None, (obj, attribute, joined))) + self.suffix, extra=joined or None
        )

    def with_extension(self, ext: str) -> Self:
        """Return the path with another extension, given without its period. Raises InputError for an invalid one.

        Examples:
            >>> path.with_extension("csv").name
            'spikes.times.csv'
        """
        _check("extension", ext)
        self._name()
        return self.with_suffix(f".{ext}")

    def with_uuid(self, uuid: str | UUID, strict: bool = False) -> Self:
        """Return the path with the dataset's UUID before the extension; ``strict`` does not replace a different one.

        Raises InputError if ``uuid`` is not a UUID, or, with ``strict``, if the name has a different one.

        Examples:
            >>> path.with_uuid("ee777d8f-aff9-481f-9056-f61ba0fed84f").name
            'spikes.times.ee777d8f-aff9-481f-9056-f61ba0fed84f.npy'
        """
        self._name()
        return add_uuid_string(self, uuid, strict=strict)

    def without_uuid(self) -> Self:
        """Return the path without the UUID in a dataset's name; any other path is returned unchanged.

        Examples:
            >>> path.with_uuid("ee777d8f-aff9-481f-9056-f61ba0fed84f").without_uuid() == path
            True
        """
        return remove_uuid_string(self) if self.is_dataset() else self

    # --- helpers ---

    def _need(self, true: bool, form: str) -> None:
        if not true:
            raise ALFInvalid(f"{str(self)!r} is not an ALF path of the form {form}", path=str(self))

    def _name(self) -> Parts:
        self._need(self.is_dataset(), "_namespace_object.attribute_timescale.extra.extension")
        return self.parse_alf_name()

    def _with_session(self, **changed: str) -> Self:
        """Replace parts of the session's path."""
        found = match_session(posix := self.as_posix())
        assert found is not None
        parts = {**found._asdict(), **changed}
        # The part before the subject stays as it is written, unless the lab is changed.
        start = found.start if "lab" in changed else found.end - len("/".join(found[1:4]))
        head = f"{parts['lab']}/Subjects/" if "lab" in changed else ""
        session = f"{head}{parts['subject']}/{parts['date']}/{parts['number']}"
        return type(self)(posix[:start] + session + posix[found.end :])

    def _renamed(self, name: str, **wanted: str | None) -> Self:
        """Return the path with a new name, which must parse into the wanted parts."""
        found = filename_parts(name, as_dict=True, assert_valid=False)
        if any(found[part] != text for part, text in wanted.items()) or "/" in name:
            raise ALFInvalid(f"{name!r} is not an ALF name with {wanted}", path=str(self))
        return self.with_name(name)


def _check(part: str, text: str) -> None:
    if not (isinstance(text, str) and regex(f"{{{part}}}").fullmatch(text)):
        raise InputError.of(part, text, f"text like {regex(f'{{{part}}}').pattern}")


def _check_folder(part: str, name: str) -> None:
    if not isinstance(name, str) or not name or name in (".", "..") or set(name) & set("/\\\0"):
        raise InputError.of(part, name, "the name of a folder")


class PurePosixALFPath(PureALFPath, PurePosixPath):
    """An ALF path with slashes, on any system."""


class PureWindowsALFPath(PureALFPath, PureWindowsPath):
    """An ALF path with drives and backslashes, on any system."""
