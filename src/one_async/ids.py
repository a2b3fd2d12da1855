"""The names of a session - eid, path, URL, reference, record - and how each is read. Nothing here asks anybody."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, overload
from uuid import UUID

from .errors import InputError
from .records import url_path
from .sources.base import SessionKey, key_frame

if TYPE_CHECKING:
    import polars as pl

    from .types import PathOrUrl, Reference, ReferenceLike, ReferenceText, Several

T = TypeVar("T")
_PATH = re.compile(
    r"(?:(?P<lab>\w+)[\\/]Subjects[\\/])?(?P<subject>[\w.-]+)[\\/](?P<date>\d{4}-\d{2}-\d{2})[\\/](?P<number>\d{1,3})(?=[\\/]|$)"
)
_ENDING = re.compile(r"(?P<subject>[\w.-]+)/(?P<date>\d{4}-\d{2}-\d{2})/(?P<number>\d{1,3})\Z")
_REFERENCE = re.compile(r"(?P<date>\d{4}-\d{2}-\d{2})_(?P<sequence>\d{1,3})_(?P<subject>\w[\w.-]*)")
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\Z", re.IGNORECASE)
# The same for the engine of Polars, which takes many texts at once and knows no look-ahead.
_TABLES_UUID = r"^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$"
_IN_SESSION = r"(?P<subject>[\w.-]+)/(?P<date>\d{4}-\d{2}-\d{2})/(?P<number>\d{1,3})(?:/(?P<rel_path>.*))?$"
_DID_IN_NAME = r"\.([0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12})(\.[^/]*)?$"
#: Fewer names are read one by one in less time.
_FEW = 200
ACCEPTED = "a UUID, a session path or URL, a reference such as '2024-05-06_1_SUBJECT', a session record, or a list of these"


def is_many(value: object) -> bool:
    """Tell a collection of identifiers from a single one."""
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping | PurePath)


def as_many(value: Any) -> list[Any]:
    """Give a list of what may be one identifier or several."""
    return list(value) if is_many(value) else [value]


class Rebuild(Protocol):
    """Puts results into the shape that `flatten` found: one alone, several as a list (or a list of lists …)."""

    def __call__(self, results: list[T], /) -> T | list[T]:
        """Take a result for each of the values, in order."""


def flatten(value: Any) -> tuple[list[Any], Rebuild]:
    """Take a value, list or nested list apart; the function that comes with it puts results into the same shape."""
    if not is_many(value):
        return [value], lambda results: results[0]
    leaves: list[Any] = []
    shape = _take_apart(value, leaves)
    if len(leaves) == len(shape) and not any(shape):  # no list in it, which is usual
        return leaves, list
    return leaves, lambda results: _shaped(shape, iter(results))


def _take_apart(values: Iterable[Any], leaves: list[Any]) -> list[Any]:
    """Append the members of nested lists to `leaves`; gives their shape: None for a member, a list for a list."""
    shape: list[Any] = []
    single: dict[type, bool] = {}  # to ask each value whether it is a collection takes long
    for value in values:
        kind = type(value)
        if kind not in single:
            single[kind] = not is_many(value)
        if single[kind]:
            leaves.append(value)
            shape.append(None)
        else:
            shape.append(_take_apart(value, leaves))
    return shape


def _shaped(shape: list[Any], results: Iterator[Any]) -> list[Any]:
    return [next(results) if part is None else _shaped(part, results) for part in shape]


def parse_session(value: object, argument: str = "id") -> UUID | SessionKey:
    """Read any name of one session: its id if the name holds it, else subject, date and number.

    Raises InputError for anything else.
    """
    if isinstance(value, UUID):
        return value
    if isinstance(value, Mapping):
        return _from_mapping(value, argument)
    if eid := eid_text(value):  # looking for a path in it takes long
        return UUID(eid)
    if isinstance(value, str | PurePath):
        text = str(value)
        if "/" not in text and _REFERENCE.match(text):
            return ref_key(text, argument)
        if key := path_key(text):
            return key
        end = text.strip().partition("?")[0].rstrip("/")[-36:]
        if isinstance(value, str) and _UUID.match(end):
            return UUID(end)
    raise InputError.of(argument, value, ACCEPTED)


def _from_mapping(value: Mapping[str, Any], argument: str) -> UUID | SessionKey:
    for name in ("eid", "id", "url"):
        if value.get(name):
            return as_uuid(value[name], argument)
    if "subject" in value and ("sequence" in value or "number" in value):
        return ref_key(value, argument)
    raise InputError.of(argument, dict(value), "a record with subject, date and number (or sequence)")


def eid_text(value: object) -> str | None:
    """Give a UUID, or the text of one, as the tables hold it; None for any other name of a session."""
    if type(value) is UUID:
        return str(value)
    if type(value) is str and len(value) == 36 and _UUID.match(value):
        return value.lower()
    return None


def eid_texts(values: list[Any]) -> list[str | None]:
    """Give the `eid_text` of each value."""
    if len(values) > _FEW and set(map(type, values)) == {str}:
        import polars as pl

        if pl.Series(values, dtype=pl.String).str.contains(_TABLES_UUID).all():
            return values
    return list(map(eid_text, values))


def as_uuid(value: object, argument: str = "id") -> UUID:
    """Read a UUID from a UUID, its text, or a URL that ends in it."""
    if isinstance(value, UUID):
        return value
    if isinstance(value, str) and _UUID.match(value[-36:]):
        return UUID(value[-36:])
    raise InputError.of(argument, value, "a UUID")


def path_key(path: str | PurePath) -> SessionKey | None:
    """Read subject, date and number out of a path or URL; None if it holds no session."""
    if not (parts := _path_parts(str(path))):
        return None
    subject, day, number = parts
    try:
        return SessionKey(subject, date.fromisoformat(day), int(number))
    except ValueError:
        return None


def _path_parts(path: str) -> tuple[str, str, str] | None:
    # Of a session's own folder, the last three parts; to look for a session within a path takes far longer.
    found = _ENDING.match("/".join(path.rsplit("/", 3)[-3:])) or _PATH.search(path)
    if not found:
        return None
    subject, day, number = found.group("subject", "date", "number")
    if len(number) == 2 and number[0] == "0":  # '02' is no number: 2 or 002
        return None
    return subject, day, number


def file_parts(paths: Iterable[str | PurePath]) -> pl.DataFrame:
    """Take paths and URLs apart, all at once: subject, date, number, and rel_path and did of a file in the session.

    `rel_path` is without the dataset's id, which is `did` if the name has it. All are null where there is no session.
    """
    import polars as pl

    texts = [url_path(text) if "://" in (text := str(path)) else text for path in paths]
    groups = pl.col("path").str.replace_all("\\", "/", literal=True).str.extract_groups(_IN_SESSION)
    rel_path, day = (
        pl.col("rel_path").fill_null("").str.strip_chars("/"),
        pl.col("date").str.to_date("%Y-%m-%d", strict=False),
    )
    whole = pl.LazyFrame({"path": texts}, schema={"path": pl.String}).select(groups).unnest("path")
    parts = whole.with_columns(rel_path, day).collect()
    rel_path, did = pl.col("rel_path"), pl.lit(None, pl.String)
    if parts["rel_path"].str.contains(_DID_IN_NAME).any():
        rel_path, did = rel_path.str.replace(_DID_IN_NAME, "$2"), rel_path.str.extract(_DID_IN_NAME)
    unnamed = pl.col("date").is_null() | pl.col("number").str.contains("^0[0-9]$")
    return parts.select(
        pl.when(~unnamed).then("subject").alias("subject"),
        "date",
        pl.col("number").cast(pl.UInt16),
        rel_path,
        did.str.to_lowercase().alias("did"),
    )


def session_part(path: str) -> str:
    """Give the part of a path that names the session: ``lab/Subjects/subject/yyyy-mm-dd/nnn``; empty if there is none."""
    found = _PATH.search(path)
    return found[0] if found else ""


@overload
def is_exp_ref(ref: ReferenceLike) -> bool: ...
@overload
def is_exp_ref(ref: Several[object]) -> list[bool]: ...
@overload
def is_exp_ref(ref: object) -> bool | list[bool]: ...
def is_exp_ref(ref: object) -> bool | list[bool]:
    """Tell whether something is a reference: ``yyyy-mm-dd_n_subject`` or a mapping with subject, date and sequence.

    A list gives a list of answers.
    """
    values, rebuild = flatten(ref)
    return rebuild([_is_reference(value) for value in values])


def _is_reference(ref: object) -> bool:
    if isinstance(ref, Mapping):
        if not {"subject", "date", "sequence"} <= set(ref):
            return False
        ref = "{date}_{sequence}_{subject}".format(**ref)
    return isinstance(ref, str) and _REFERENCE.match(ref) is not None


def ref_key(ref: str | Mapping[str, Any], argument: str = "ref") -> SessionKey:
    """Read a reference, or a record with subject, date or start_time, and number or sequence."""
    try:
        if isinstance(ref, str) and _REFERENCE.match(ref):
            first, sequence, subject = ref.split("_", 2)
            return SessionKey(subject, date.fromisoformat(first), int(sequence))
        parts = dict(ref) if isinstance(ref, Mapping) else _reference_parts(ref, parse=False)
        day = parts.get("date", parts.get("start_time"))
        if isinstance(day, datetime):
            day = day.date()
        elif not isinstance(day, date):
            day = date.fromisoformat(str(day)[:10])
        return SessionKey(
            str(parts["subject"]), day, int(parts["sequence"] if "sequence" in parts else parts["number"])
        )
    except (KeyError, TypeError, ValueError):
        raise InputError.of(
            argument, ref, "'yyyy-mm-dd_n_subject', or a record with subject, date and number"
        ) from None


def ref_keys(refs: list[Any]) -> pl.DataFrame:
    """Read references or records, all at once: subject, date, number. InputError for the first that is neither."""
    if len(refs) > _FEW and set(map(type, refs)) == {str}:
        import polars as pl

        texts = pl.Series(refs, dtype=pl.String)
        parts = texts.str.splitn("_", 3).struct.unnest()
        days = parts["field_0"].str.to_date("%Y-%m-%d", strict=False)
        if not days.has_nulls() and texts.str.contains(f"^{_REFERENCE.pattern}").all():
            return parts.select(
                pl.col("field_2").alias("subject"),
                days.alias("date"),
                pl.col("field_1").cast(pl.Int64).alias("number"),
            )
    return key_frame([ref_key(ref) for ref in refs])


@overload
def ref2dict(ref: ReferenceLike, parse: Literal[True] = True) -> Reference: ...
@overload
def ref2dict(ref: ReferenceLike, parse: Literal[False]) -> ReferenceText: ...
@overload
def ref2dict(ref: Several[ReferenceLike], parse: Literal[True] = True) -> list[Reference]: ...
@overload
def ref2dict(ref: Several[ReferenceLike], parse: Literal[False]) -> list[ReferenceText]: ...
def ref2dict(ref: ReferenceLike | Several[ReferenceLike], parse: bool = True) -> object:
    """Take references apart into ``{'subject', 'date', 'sequence'}``; with `parse` as date and int, else as texts.

    A list gives a list. Raises InputError for what is no reference.
    """
    values, rebuild = flatten(ref)
    return rebuild([_reference_parts(value, parse) for value in values])


def _reference_parts(ref: object, parse: bool) -> dict[str, Any]:
    if isinstance(ref, Mapping):
        parts = dict(ref)
    elif isinstance(ref, str) and _REFERENCE.match(ref):
        day, sequence, subject = ref.split("_", 2)
        parts = {"date": day, "sequence": sequence, "subject": subject}
    else:
        raise InputError.of("ref", ref, "text such as '2024-05-06_1_SUBJECT'")
    if parse:
        try:
            if isinstance(parts["date"], str):
                parts["date"] = datetime.fromisoformat(parts["date"]).date()
            parts["sequence"] = int(parts["sequence"])
        except (KeyError, TypeError, ValueError):
            raise InputError.of("ref", ref, "'yyyy-mm-dd_n_subject', or subject, date and sequence") from None
    return parts


@overload
def dict2ref(ref_dict: Mapping[str, Any]) -> str | None: ...
@overload
def dict2ref(ref_dict: Several[Mapping[str, Any]]) -> list[str | None]: ...
def dict2ref(ref_dict: Mapping[str, Any] | Several[Mapping[str, Any]]) -> str | list[str | None] | None:
    """Put references together: ``{'subject', 'date', 'sequence'}`` to ``yyyy-mm-dd_n_subject``.

    A session's record, with number and start_time, will do as well. A list gives a list; an empty mapping, None.
    """
    values, rebuild = flatten(ref_dict)
    return rebuild([_reference_of(value) for value in values])


def _reference_of(parts: Any) -> str | None:
    if parts is None or parts == {}:
        return None
    if not isinstance(parts, Mapping):
        raise InputError.of("ref_dict", parts, "a mapping with subject, date and sequence")
    sequence = parts["sequence"] if "sequence" in parts else parts.get("number")
    day = parts["date"] if "date" in parts else parts.get("start_time")
    if sequence is None or day is None or "subject" not in parts:
        raise InputError.of("ref_dict", dict(parts), "a mapping with subject, date and sequence")
    return f"{str(day)[:10]}_{sequence}_{parts['subject']}"


@overload
def path2ref(
    path_str: PathOrUrl, as_dict: Literal[True] = True, parse: Literal[True] = True
) -> Reference | None: ...
@overload
def path2ref(
    path_str: PathOrUrl, as_dict: Literal[True] = True, *, parse: Literal[False]
) -> ReferenceText | None: ...
@overload
def path2ref(path_str: PathOrUrl, as_dict: Literal[False], parse: bool = True) -> str | None: ...
@overload
def path2ref(
    path_str: Several[PathOrUrl], as_dict: Literal[True] = True, parse: Literal[True] = True
) -> list[Reference | None]: ...
@overload
def path2ref(
    path_str: Several[PathOrUrl], as_dict: Literal[True] = True, *, parse: Literal[False]
) -> list[ReferenceText | None]: ...
@overload
def path2ref(
    path_str: Several[PathOrUrl], as_dict: Literal[False], parse: bool = True
) -> list[str | None]: ...
def path2ref(path_str: PathOrUrl | Several[PathOrUrl], as_dict: bool = True, parse: bool = True) -> object:
    """Read references out of session paths, which need not exist; None for a path that holds no session.

    Gives ``{'subject', 'date', 'sequence'}``, or text with ``as_dict=False``. A list gives a list.
    Raises InputError for what is no path.
    """
    values, rebuild = flatten(path_str)
    return rebuild([_reference_in(value, as_dict, parse) for value in values])


def _reference_in(path: object, as_dict: bool, parse: bool) -> object:
    if not isinstance(path, str | PurePath):
        raise InputError.of("path_str", path, "a path, or a list of them")
    if not (found := _path_parts(str(path))):
        return None
    subject, day, number = found
    try:
        moment = date.fromisoformat(day)
    except ValueError:
        return None
    if not as_dict:
        return f"{day}_{number}_{subject}"
    if parse:
        return {"subject": subject, "date": moment, "sequence": int(number)}
    return {"subject": subject, "date": day, "sequence": number}


def session_folder(row: Mapping[str, Any]) -> str:
    """Give a session's path below the cache folder: ``lab/Subjects/subject/yyyy-mm-dd/nnn``, or from the subject on."""
    head = f"{row['lab']}/Subjects/" if row.get("lab") else ""
    day = row["date"] if "date" in row else str(row["start_time"])[:10]
    return f"{head}{row['subject']}/{str(day)[:10]}/{int(row['number'] or 0):03d}"
