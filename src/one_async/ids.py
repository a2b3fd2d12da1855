"""Parse the names of a session: eid, path, URL, reference, record. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from pathlib import PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, overload
from uuid import UUID

from one_async._arguments import plain
from one_async.alf.session_paths import (
    REFERENCE,
    SessionKey,
    key_frame,
    match_parts,
    match_session,
    parse_date,
    parse_paths,
    parse_reference,
    parse_references,
    parse_session_path,
    split_ids,
    url_path,
)
from one_async.errors import InputError
from one_async.tables.pandas_frames import rows_of_pandas

if TYPE_CHECKING:
    import polars as pl

    from one_async.types import PathOrUrl, Reference, ReferenceLike, ReferenceText, Several

T = TypeVar("T")
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\Z", re.IGNORECASE)
#: A UUID without hyphens, as `UUID.hex` is.
_HEX = re.compile(r"[0-9a-f]{32}", re.IGNORECASE)
# The same for Polars' regular expressions, which match a whole column at once and have no look-ahead.
_TABLES_UUID = r"^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$"
#: Number of names below which parsing them one by one is faster.
_FEW = 200
#: Maximal depth of nested lists of names.
_LEVELS = 32
ACCEPTED = "a UUID, a session path or URL, a reference such as '2024-05-06_1_SUBJECT', a session record, or a list of these"


def is_many(value: object) -> bool:
    """Return whether a value is a collection of identifiers, and not a single one."""
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping | PurePath)


def as_many(value: Any) -> list[Any]:
    """Return one identifier or several as a list."""
    value = _plain(value)
    return list(value) if is_many(value) else [value]


def _plain(value: Any) -> Any:
    """Convert tables to lists of dictionaries, a row of pandas to one, and an array without dimensions to its value."""
    if hasattr(value, "iter_rows"):
        return list(value.iter_rows(named=True))
    return plain(rows_of_pandas(value))


class Rebuild(Protocol):
    """Restores the shape that `flatten` removed: a single result, a list, or a nested list."""

    def __call__(self, results: list[T], /) -> T | list[T]:
        """Return the results, one for each value in order, in the original shape."""


def flatten(value: Any) -> tuple[list[Any], Rebuild]:
    """Return the members of a value, list or nested list, and a function that gives results the same shape."""
    value = _plain(value)
    if not is_many(value):
        return [value], lambda results: results[0]
    leaves: list[Any] = []
    shape = _take_apart(value, leaves)
    if len(leaves) == len(shape) and not any(shape):  # no list in it, which is usual
        return leaves, list
    return leaves, lambda results: _shaped(shape, iter(results))


def _take_apart(values: Iterable[Any], leaves: list[Any], level: int = 1) -> list[Any]:
    """Append the members of nested lists to `leaves`. Return their shape: None for a member, a list for a list."""
    if level > _LEVELS:
        raise InputError(f"lists of names may be nested {_LEVELS} levels deep; this one is deeper")
    shape: list[Any] = []
    single: dict[type, bool] = {}  # checking each value is slow
    for value in values:
        kind = type(value)
        if kind not in single:
            single[kind] = not is_many(value)
        if single[kind]:
            leaves.append(value)
            shape.append(None)
        else:
            shape.append(_take_apart(value, leaves, level + 1))
    return shape


def _shaped(shape: list[Any], results: Iterator[Any]) -> list[Any]:
    return [next(results) if part is None else _shaped(part, results) for part in shape]


def parse_session(value: object, argument: str = "id", root: str | None = None) -> UUID | SessionKey:
    """Parse any name of one session; return its id if the name has one, else subject, date, number and, from a path, lab.

    ``root`` as in `path_key`. Raises InputError for anything else.
    """
    if isinstance(value, UUID):
        return value
    if isinstance(value, Mapping):
        return _from_mapping(value, argument)
    if eid := eid_text(value):  # faster than parsing a path
        return UUID(eid)
    if isinstance(value, str | PurePath):
        text = str(value)
        if "/" not in text and REFERENCE.match(text):
            return ref_key(text, argument)
        if key := path_key(value, root):
            return key
        if isinstance(value, str) and (found := _uuid_of(value)):
            return found
    raise InputError.of(argument, value, ACCEPTED)


def _from_mapping(value: Mapping[str, Any], argument: str) -> UUID | SessionKey:
    if value.get("eid"):
        return as_uuid(value["eid"], argument)
    if "session" in value:  # a record of a dataset or an insertion, whose own id is not a session's
        return as_uuid(value["session"], argument)
    if not is_dataset_record(value):
        for name in ("id", "url"):
            if value.get(name):
                return as_uuid(value[name], argument)
        if "subject" in value and ("sequence" in value or "number" in value):
            return ref_key(value, argument)
    raise InputError.of(argument, dict(value), "a record with subject, date and number (or sequence)")


def is_dataset_record(value: object) -> bool:
    """Return whether this is a record of the database's ``datasets`` endpoint, or a dataset of a session's detail."""
    if not isinstance(value, Mapping) or "rel_path" in value or "name" not in value:
        return False
    return bool(value.get("url") or value.get("id")) and not {"file_records", "collection"}.isdisjoint(value)


def dataset_id(value: object, argument: str = "dset_id") -> UUID:
    """Return the id of a dataset, given a UUID, its text, a URL that ends with it, or a record of the dataset."""
    if isinstance(value, Mapping):
        is_row = "rel_path" in value or is_dataset_record(value)
        found = value.get("did") or (is_row and (value.get("id") or value.get("url")))
        if not found:
            raise InputError.of(argument, dict(value), "a record of a dataset")
        value = found
    return as_uuid(value, argument)


def insertion_id(value: object, argument: str = "pid") -> UUID:
    """Return the id of an insertion, given a UUID, its text, a URL that ends with it, or a record of the insertion."""
    if isinstance(value, Mapping):
        is_record = {"session", "name"} <= value.keys() and not is_dataset_record(value)
        found = value.get("pid") or (is_record and value.get("id"))
        if not found:
            raise InputError.of(argument, dict(value), "a record of an insertion")
        value = found
    return as_uuid(value, argument)


def eid_text(value: object) -> str | None:
    """Return a UUID, or the text of one, in the form that tables have; None for any other name of a session."""
    if type(value) is UUID:
        return str(value)
    if type(value) is str and len(value) == 36 and _UUID.match(value):
        return value.lower()
    return None


def eid_texts(values: list[Any]) -> list[str | None]:
    """Return the `eid_text` of each value."""
    if len(values) > _FEW and set(map(type, values)) == {str}:
        import polars as pl

        if pl.Series(values, dtype=pl.String).str.contains(_TABLES_UUID).all():
            return values
    return list(map(eid_text, values))


def as_uuid(value: object, argument: str = "id") -> UUID:
    """Return the UUID that is given as a UUID, as text, or as a URL that ends with it."""
    if isinstance(value, UUID):
        return value
    if isinstance(value, str) and (found := _uuid_of(value)):
        return found
    raise InputError.of(argument, value, "a UUID")


def _uuid_of(text: str) -> UUID | None:
    """Return the UUID that a text is, with or without hyphens, or that a URL ends with; None for any other text."""
    text = text.strip()
    for end in (text, text.partition("?")[0].rstrip("/")):
        if _UUID.match(end[-36:]):
            return UUID(end[-36:])
    return UUID(text) if _HEX.fullmatch(text) else None


def path_key(path: str | PurePath, root: str | None = None) -> SessionKey | None:
    """Return the key of the session in a path or URL; None if it contains no session.

    ``root`` is a folder whose own path looks like a session's; it is ignored in the paths below it. See `odd_root`.
    """
    text = path_text(path)
    if root is not None and text.startswith(root) and (key := parse_session_path(text[len(root) :])):
        return key
    return parse_session_path(text)


def path_text(path: str | PurePath) -> str:
    """Return the text of a path, or the path of a URL. Backslashes in a POSIX path are not separators."""
    text = str(path)
    if "://" in text:
        return url_path(text)
    if "\\" in text and isinstance(path, PurePosixPath):
        return text.replace("\\", "\0")
    return text


def odd_root(folder: str | PurePath) -> str | None:
    """Return a folder with a separator at its end if its path could be taken for a session's, else None."""
    root = str(folder).rstrip("/\\") + "/"
    return root if match_session(root) else None


def path_keys(paths: list[Any], root: str | None = None) -> pl.DataFrame:
    """Parse many paths and URLs: return the columns of `key_frame` and rel_path, null where there is no session."""
    import polars as pl

    texts = list(map(path_text, paths))
    parts = parse_paths(texts)
    if root is None or not any(text.startswith(root) for text in texts):
        return parts
    below = parse_paths([text[len(root) :] if text.startswith(root) else "" for text in texts])
    better = below["subject"].is_not_null()
    return parts.select(
        pl.when(better).then(below[name]).otherwise(name).alias(name) for name in parts.columns
    )


def file_parts(paths: list[Any], root: str | None = None) -> pl.DataFrame:
    """Parse many paths and URLs of files: return the columns of `path_keys`, raw_path and did.

    ``rel_path`` does not contain the dataset's id, which is ``did`` if the name has it; ``raw_path`` is unchanged. All are
    null where there is no session.
    """
    import polars as pl

    parts = path_keys(paths, root)
    return parts.drop("rel_path").with_columns(
        pl.Series("raw_path", parts["rel_path"]), *split_ids(parts["rel_path"]).get_columns()
    )


@overload
def is_exp_ref(ref: ReferenceLike) -> bool: ...
@overload
def is_exp_ref(ref: Several[object]) -> list[bool]: ...
@overload
def is_exp_ref(ref: object) -> bool | list[bool]: ...
def is_exp_ref(ref: object) -> bool | list[bool]:
    """Return whether a value is a reference: ``yyyy-mm-dd_n_subject`` or a mapping with subject, date and sequence.

    A list returns a list.

    Examples:
        >>> one.is_exp_ref(["2024-06-24_1_SU_101", "SU_101"])
        [True, False]
    """
    values, rebuild = flatten(ref)
    return rebuild([_is_reference(value) for value in values])


def _is_reference(ref: object) -> bool:
    if isinstance(ref, Mapping):
        if not {"subject", "date", "sequence"} <= set(ref):
            return False
        ref = "{date}_{sequence}_{subject}".format(**ref)
    return isinstance(ref, str) and REFERENCE.match(ref) is not None


def ref_key(ref: str | Mapping[str, Any], argument: str = "ref") -> SessionKey:
    """Parse a reference, or a record with subject, date or start_time, and number or sequence."""
    try:
        if isinstance(ref, str) and (key := parse_reference(ref)):
            return key
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
    """Parse many references or records: return the columns of `key_frame`. Raises InputError for the first that is neither."""
    if len(refs) > _FEW and set(map(type, refs)) == {str}:
        import polars as pl

        if (keys := parse_references(pl.Series(refs, dtype=pl.String))) is not None:
            return keys
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
    """Parse references into ``{'subject', 'date', 'sequence'}``: date and int with `parse`, else texts.

    A list returns a list. Raises InputError for a value that is not a reference.

    Examples:
        >>> one.ref2dict("2024-06-24_1_SU_101")
        {'date': datetime.date(2024, 6, 24), 'sequence': 1, 'subject': 'SU_101'}
    """
    values, rebuild = flatten(ref)
    return rebuild([_reference_parts(value, parse) for value in values])


def _reference_parts(ref: object, parse: bool) -> dict[str, Any]:
    if isinstance(ref, Mapping):
        parts = dict(ref)
    elif isinstance(ref, str) and REFERENCE.match(ref):
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
    """Compose references: ``{'subject', 'date', 'sequence'}`` to ``yyyy-mm-dd_n_subject``.

    A session's record, with number and start_time, is also accepted. A list returns a list, an empty mapping None.

    Examples:
        >>> one.dict2ref({"subject": "SU_101", "date": "2024-06-24", "sequence": 1})
        '2024-06-24_1_SU_101'
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
    """Return the references of session paths, which need not exist; None for a path without a session.

    A reference is ``{'subject', 'date', 'sequence'}``, or text with ``as_dict=False``. A list returns a list. Raises
    InputError for a value that is not a path.

    Examples:
        >>> one.path2ref("summitlab/Subjects/SU_101/2024-06-24/001/alf", as_dict=False)
        '2024-06-24_001_SU_101'
    """
    values, rebuild = flatten(path_str)
    return rebuild([_reference_in(value, as_dict, parse) for value in values])


def _reference_in(path: object, as_dict: bool, parse: bool) -> object:
    if not isinstance(path, str | PurePath):
        raise InputError.of("path_str", path, "a path, or a list of them")
    found = match_parts(path_text(path))
    if found is None or (moment := parse_date(found[2])) is None:
        return None
    _, subject, day, number = found
    if not as_dict:
        return f"{day}_{number}_{subject}"
    if parse:
        return {"subject": subject, "date": moment, "sequence": int(number)}
    return {"subject": subject, "date": day, "sequence": number}
