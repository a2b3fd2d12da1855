"""The ALF grammar: the names of the parts of a path and the patterns of their content.

A path is
``lab/Subjects/subject/date/number/collection/#revision#/_namespace_object.attribute_timescale.extra.ext``;
the lab, collection, revision, namespace, timescale and extra parts are optional. The patterns accept what
ONE-api 3 accepts, since millions of registered datasets have such names.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from datetime import datetime
from enum import IntEnum
from functools import lru_cache
from itertools import pairwise
from pathlib import PurePath
from types import MappingProxyType
from typing import Final
from uuid import UUID

from one_async.alf.words import PART_DESCRIPTIONS
from one_async.errors import InputError, shown

__all__ = [
    "COLLECTION_SPEC",
    "FILE_SPEC",
    "FULL_SPEC",
    "QC",
    "REL_PATH_SPEC",
    "SESSION_SPEC",
    "SPEC_DESCRIPTION",
    "describe",
    "is_session_path",
    "is_uuid",
    "is_uuid_string",
    "is_valid",
    "isdatetime",
    "path_pattern",
    "readableALF",
    "regex",
    "to_alf",
]

SPEC_DESCRIPTION: Final = MappingProxyType(PART_DESCRIPTIONS)

#: Templates: each ``{part}`` stands for the named group of that part's pattern.
SESSION_SPEC: Final = "({lab}/Subjects/)?{subject}/{date}/{number}"
COLLECTION_SPEC: Final = "({collection}/)?(#{revision}#/)?"
FILE_SPEC: Final = r"_?{namespace}?_?{object}\.{attribute}(?:_{timescale})?(?:\.{extra})*\.{extension}$"
REL_PATH_SPEC: Final = COLLECTION_SPEC + FILE_SPEC
FULL_SPEC: Final = f"{SESSION_SPEC}/{REL_PATH_SPEC}"

# An attribute may carry its own namespace (`_phy_ids`, an old habit) and may end in `_times` or `_intervals`,
# which then belong to the attribute and are not a timescale.
_PATTERNS: Final = MappingProxyType(
    {
        "lab": r"\w+",
        "subject": r"[\w.-]+",
        "date": r"\d{4}-\d{2}-\d{2}",
        "number": r"\d{1,3}",
        "collection": r"[\w./-]+",
        "revision": r"[\w.-]+",
        "namespace": r"(?<=_)[a-zA-Z0-9]+",
        "object": r"\w+",
        "attribute": r"(?:_[a-z]+_)?[a-zA-Z0-9]+(?:_times(?=[_.])|_intervals(?=[_.]))?",
        "timescale": r"\w+",
        "extra": r"[.\w-]+",
        "extension": r"\w+",
    }
)
_ACRONYM: Final = re.compile(r"[A-Z]+s?")
_WORD_START: Final = re.compile(r"[A-Z](?=[a-rt-z0-9])|(?<=[a-z0-9])[A-Z]")
_TIME_ENDING: Final = re.compile("_(times|timestamps|intervals)$")


class QC(IntEnum):
    """The quality of a session, insertion or dataset, by Alyx's numbers (cache tables hold the names).

    Examples:
        >>> from one_async import QC
        >>> QC.PASS < QC.WARNING, QC["FAIL"].value
        (True, 40)
    """

    NOT_SET = 0
    PASS = 10
    WARNING = 30
    FAIL = 40
    CRITICAL = 50

    @staticmethod
    def validate(v: int | str | QC) -> QC:
        """Return the QC of a number, a name in any case, or a QC; InputError for anything else.

        Examples:
            >>> from one_async import QC
            >>> QC.validate("pass") is QC.PASS, QC.validate(40) is QC.FAIL
            (True, True)
        """
        try:
            if not isinstance(v, str):
                return QC(v)
            return QC(int(v)) if v.isnumeric() else QC[v.upper()]
        except Exception:  # the enumeration's own error shows the value, whose repr may fail
            accepted = ", ".join(f"{qc.name} ({qc.value})" for qc in QC)
            raise InputError.of("qc", v, accepted) from None


def regex(spec: str = FULL_SPEC, **patterns: str | None) -> re.Pattern[str]:
    """Compile a spec, every part a named group; keywords replace a part's own pattern.

    Raises InputError for a keyword that is no ALF part.
    """
    return _compile(spec, tuple((part, pattern) for part, pattern in patterns.items() if pattern is not None))


def check_parts(names: Iterable[str], known: Collection[str]) -> None:
    """Raise InputError for a name that is not one of the known ALF parts."""
    for name in names:
        if name not in known:
            given = name if isinstance(name, str) else shown(name)
            raise InputError(f"{given}=… is not an ALF part; accepted: {', '.join(known)}", argument=given)


@lru_cache(maxsize=512)
def _compile(spec: str, changed: tuple[tuple[str, str], ...]) -> re.Pattern[str]:
    patterns = {**_PATTERNS, **dict(changed)}
    check_parts(patterns, _PATTERNS)
    groups = {part: f"(?P<{part}>{pattern})" for part, pattern in patterns.items()}
    try:
        return re.compile(spec.format(**groups))
    except (KeyError, IndexError, ValueError, re.error) as error:
        raise InputError(
            f"spec={spec!r} with {dict(changed)} is not a pattern: {error}", argument="spec"
        ) from None


def path_pattern() -> str:
    """Return the form of a full ALF path for readers, with optional parts in brackets."""
    return re.sub(r"[{}?*\\$]", "", FULL_SPEC)


def describe(part: str | None = None, width: int | None = 99) -> dict[str, str]:
    """Return the meaning of a part, or of all parts, as ``{part: text}``. Raises InputError for an unknown part.

    ``width`` is accepted for compatibility with ONE-api, which wraps the texts; here it has no effect.
    """
    if part is None:
        return dict(SPEC_DESCRIPTION)
    if part not in SPEC_DESCRIPTION:
        raise InputError.of("part", part, SPEC_DESCRIPTION)
    return {part: SPEC_DESCRIPTION[part]}


def is_valid(filename: str) -> bool:
    """Return whether a file name (without folders) is an ALF dataset's."""
    return regex(FILE_SPEC).match(filename) is not None


def is_session_path(path_object: str | PurePath) -> bool:
    """Return whether a path ends in ``subject/date/number``, without access to the disk."""
    text = path_object.as_posix() if isinstance(path_object, PurePath) else path_object
    return regex("(?<![^/])[^/]+/{date}/{number}$").search(text.strip("/")) is not None


def is_uuid_string(string: object) -> bool:
    """Return whether this is a UUID (version 3, 4 or 5) written out in full, hyphens and lower case."""
    return isinstance(string, str) and is_uuid(string, (3, 4, 5)) and str(UUID(string)) == string


def is_uuid(uuid: object, versions: Collection[int] = (4, 3)) -> bool:
    """Return whether a value is a UUID, or the text of one, of one of these versions.

    Alyx makes version 4; version 3 comes from tables that were built from folders. Text in any usual
    form, 16 bytes and 128-bit numbers are also accepted.
    """
    try:
        if isinstance(uuid, str):
            uuid = UUID(uuid)
        elif isinstance(uuid, bytes):
            uuid = UUID(bytes=uuid)
        elif isinstance(uuid, int) and not isinstance(uuid, bool):
            uuid = UUID(int=uuid)
    except ValueError:
        return False
    return isinstance(uuid, UUID) and uuid.version in versions


def isdatetime(text: str) -> bool:
    """Return whether this is a date that exists, year-month-day."""
    try:
        datetime.strptime(text, "%Y-%m-%d")
    except ValueError:
        return False
    return True


def to_alf(
    object: str,
    attribute: str,
    extension: str,
    namespace: str | None = None,
    timescale: str | Iterable[str] | None = None,
    extra: str | Iterable[str] | None = None,
) -> str:
    """Compose a dataset's file name; words separated by spaces or underscores become camel case.

    Example: ``to_alf("spikes", "times", "npy", "ibl", timescale="ephys clock", extra="raw")`` gives
    ``_ibl_spikes.times_ephysClock.raw.npy``. Raises InputError for parts that cannot be in a name.
    """
    extension = (extension or "").removeprefix(".")
    scales = [timescale] if isinstance(timescale, str) else list(timescale or ())
    extras = extra.split(".") if isinstance(extra, str) else list(extra or ())
    named = {"object": object, "attribute": attribute, "extension": extension, "namespace": namespace}
    for part in ("object", "attribute", "extension"):
        if not named[part]:
            raise InputError.of(part, named[part], "a name that is not empty")
    for part, given in [*named.items(), *(("timescale", scale) for scale in scales)]:
        if given and "." in given:
            raise InputError.of(part, given, "names without a period")
    if "_" in (namespace or ""):
        raise InputError.of("namespace", namespace, "names without an underscore")
    if object.startswith("_"):
        raise InputError.of(
            "object", object, "names that begin with a letter; a namespace has its own argument"
        )
    ending = _TIME_ENDING.search(attribute)
    cut = ending.start() if ending else len(attribute)
    name = ".".join(
        [
            (f"_{namespace}_" if namespace else "") + _camel_case(object),
            "_".join(
                [_camel_case(attribute[:cut]) + attribute[cut:], *map(_camel_case, filter(None, scales))]
            ),
            *filter(None, extras),
            extension,
        ]
    )
    if not is_valid(name):
        raise InputError(
            f"These parts make {name!r}, which is not an ALF name", argument="object", given=name
        )
    return name


def _camel_case(text: str) -> str:
    """Join words as ALF does: ``motion_energy`` → ``motionEnergy``, ``mpci ROIs`` → ``mpciROIs``."""
    first, *rest = re.split(r"[_\s]", text)
    if not rest:
        return first[:1].lower() + first[1:]
    words = [first if _ACRONYM.fullmatch(first) else first.lower()]
    words += [word if _ACRONYM.fullmatch(word) else word.capitalize() for word in rest]
    return "".join(words)


def readableALF(name: str, capitalize: bool = False) -> str:  # noqa: N802 - ONE-api's name
    """Write a camel case name as words, acronyms kept: ``someROIDataset`` → ``some ROI dataset``."""
    starts = [0, *(match.start() for match in _WORD_START.finditer(name)), len(name)]
    words = [name[begin:end] for begin, end in pairwise(starts)]
    text = " ".join(word if _ACRONYM.fullmatch(word) else word.lower() for word in words)
    return text[:1].upper() + text[1:] if capitalize else text
