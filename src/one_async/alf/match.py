"""Filters of datasets by file name, collection, revision and QC, which lists and loads share.

Patterns have the meaning they have in ONE-api: Unix wildcards or Python regular expressions, matched against
``collection/#revision#/name``. They are evaluated only on distinct paths. Many paths are matched by the engine of Polars
if the pattern means the same there as in Python.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeVar

from one_async.alf.revisions import last_revisions, quoted, split_folder, take_rows
from one_async.alf.spec import FILE_SPEC, QC, check_parts, regex
from one_async.errors import (
    ALFError,
    ALFMultipleCollectionsFound,
    ALFMultipleObjectsFound,
    ALFMultipleRevisionsFound,
    InputError,
    shown,
)

if TYPE_CHECKING:
    import polars as pl

    from one_async.types import RevisionPolicy

__all__ = [
    "DatasetFilter",
    "Filename",
    "PathPattern",
    "Pattern",
    "as_plain",
    "collections_of",
    "compile_pattern",
    "is_match",
    "path_pattern",
    "qc_at_most",
    "resolve",
    "revisions_of",
]

#: A pattern, several patterns of which one must match, or None to match everything.
Pattern: TypeAlias = "str | Iterable[str] | None"
#: A file name pattern, several, or ALF parts such as ``{"object": "spikes", "attribute": ["times", "amps"]}``.
Filename: TypeAlias = "str | Iterable[str] | Mapping[str, Pattern] | None"

T = TypeVar("T", bound=Mapping[str, Any])
_NO_DEFAULTS: Final = "these tables do not say which revisions are the default ones"
#: Number of distinct values above which the engine of Polars is faster.
_MANY: Final = 2000
#: The parts of a file's name.
FILE_PARTS: Final = ("object", "namespace", "attribute", "timescale", "extra", "extension")
_OPTIONAL: Final = {"namespace": "?", "timescale": "?", "extra": "*"}

# ONE-api's default patterns use look-around, which the engine of Polars lacks. Within the file spec these are equivalent:
# an attribute is always followed by `_` or `.`, and only a leading `_` can precede a namespace.
_PLAIN_NAMESPACE: Final = "(?:_[a-zA-Z0-9]+|_)?_?"
_PLAIN_ATTRIBUTE: Final = "(?:_[a-z]+_)?[a-zA-Z0-9]+(?:_times|_intervals)?"

# Both engines interpret a pattern of only these tokens in the same way.
_TOKEN: Final = re.compile(
    r"[A-Za-z0-9_ ,:;@%=!<>/'\"#~&`-]|\.|\\[.\\+*?()|\[\]{}^$/#_ -]|\\[wd]"
    r"|\[\^?(?:[A-Za-z0-9_./]-[A-Za-z0-9_./]|[A-Za-z0-9_./ ,:;@%=!#']|\\[w.d-])+-?\]"
    r"|\{\d+(?:,\d*)?\}|[*+?]\??|\||\((?:\?:|\?s:|\?P<\w+>)?|\)|\^|\$|\\Z"
)


class PathPattern(NamedTuple):
    """A pattern for relative paths, and the equivalent for the engine of Polars if there is one."""

    python: re.Pattern[str]
    plain: str | None


def as_plain(value: Any) -> Any:
    """Return an array, a series or another iterable as a list, which has a truth value; texts, mappings, frames unchanged."""
    if isinstance(value, str | Mapping) or hasattr(value, "columns") or not isinstance(value, Iterable):
        return value
    return list(value)


def _listed(value: str | Iterable[str], argument: str) -> list[str]:
    is_list = isinstance(value, Iterable) and not isinstance(value, str | Mapping)
    values: list[Any] = list(value) if is_list else [value]
    for item in values:
        if not isinstance(item, str):
            raise InputError.of(argument, item, "text or a list of texts")
    return values


def _as_regex(value: str | Iterable[str], wildcards: bool, argument: str) -> str:
    """Return a regular expression that matches any of several patterns, without an anchor at its end."""
    values = _listed(value, argument)
    if wildcards:
        values = [re.sub(r"\\[Zz]$", "", fnmatch.translate(item)) for item in values]
    return "|".join(values)


def _folder(template: str, value: Pattern) -> str:
    # None matches any folder or its absence; an empty text matches only its absence.
    if value is None:
        return f"({template})?"
    return template if value else ""


def _file_spec(parts: Mapping[str, Pattern]) -> str:
    spec = FILE_SPEC
    for part, mark in _OPTIONAL.items():
        if parts.get(part) is not None:
            head, tail = spec.split(f"{{{part}}}", 1)
            spec = f"{head}{{{part}}}{tail.replace(mark, '', 1)}"
    return spec


def _name_regex(filename: str | Iterable[str], wildcards: bool) -> str:
    """Return the regular expression of file names, with an anchor at its end."""
    names = []
    for name in _listed(filename, "filename"):
        if wildcards:
            # A single leading star does not match beyond the file name, as in ONE-api.
            names.append(re.sub(r"^(\(\?s:)?\.\*", r"\g<1>[^/]*", fnmatch.translate(name)))
        else:
            names.append(name + "$")
    return names[0] if len(names) == 1 and wildcards else "(?:" + "|".join(names) + ")"


def path_pattern(
    filename: Filename = None,
    collection: Pattern = None,
    revision: Pattern = None,
    *,
    wildcards: bool = True,
) -> PathPattern:
    """Compile the pattern of a relative path. None matches everything, an empty text only the absence of that part.

    Raises InputError for a pattern that does not compile or a part that is not one of a relative path.
    """
    filename = as_plain(filename)
    parts: dict[str, Pattern] = dict(filename) if isinstance(filename, Mapping) else {}
    collection = as_plain(parts.pop("collection", collection))
    revision = as_plain(parts.pop("revision", revision))
    folders = _folder("{collection}/", collection)
    folders += _folder("#{revision}#/", revision)
    check_parts((part for part, value in parts.items() if value is not None), FILE_PARTS)
    given = {**parts, "collection": collection or None, "revision": revision or None}
    patterns = tuple(
        (part, _as_regex(value, wildcards, part)) for part, value in given.items() if value is not None
    )
    if filename and not isinstance(filename, Mapping):
        name = _name_regex(filename, wildcards)
        return _compile(folders, None, name, patterns)
    return _compile(folders, _file_spec(parts), "", patterns)


@lru_cache(maxsize=512)
def _compile(folders: str, spec: str | None, name: str, patterns: tuple[tuple[str, str], ...]) -> PathPattern:
    head = regex("^" + folders + (spec or ""), **dict(patterns)).pattern
    python = compile_pattern(head + name, "filename")
    if spec is None:
        return PathPattern(python, plain_pattern(head + name))
    given = dict(patterns)
    if "namespace" not in given:
        spec = spec.replace("_?{namespace}?_?", _PLAIN_NAMESPACE.replace("{", "{{").replace("}", "}}"))
    given.setdefault("attribute", _PLAIN_ATTRIBUTE)
    return PathPattern(python, plain_pattern(regex("^" + folders + spec, **given).pattern))


@lru_cache(maxsize=512)
def compile_pattern(pattern: str, argument: str) -> re.Pattern[str]:
    """Compile a regular expression. Raises InputError for an invalid one."""
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        text = f"{argument}={shown(pattern)} is not a regular expression: {error}"
        raise InputError(text, argument=argument, given=pattern) from error


def plain_pattern(pattern: str) -> str | None:
    """Return a pattern for the engine of Polars that matches the same texts; None if that is not certain."""
    # An atomic group changes the search for a wildcard, but not the texts that match.
    rest = pattern.replace("(?>.*?", "(?:.*?")
    position = 0
    while position < len(rest):
        token = _TOKEN.match(rest, position)
        if token is None:
            return None
        position = token.end()
    return rest.replace(r"\Z", r"\z")


def is_match(
    texts: pl.Series, python: re.Pattern[str], plain: str | None, *, how: str = "match"
) -> pl.Series:
    """Return whether the pattern matches each text: at its start, as a whole (``fullmatch``) or anywhere (``search``).

    Null does not match. The texts should be distinct.
    """
    import polars as pl

    if plain is not None and len(texts) > _MANY:
        anchored = {"match": rf"^(?:{plain})", "fullmatch": rf"^(?:{plain})\z", "search": plain}[how]
        try:
            # Python's `$` also matches before a final line break, so Python matches texts with line breaks.
            if not texts.str.contains("\n", literal=True).any():
                return texts.str.contains(anchored).fill_null(value=False)
        except pl.exceptions.ComputeError:
            pass
    test = getattr(python, how)
    return pl.Series([text is not None and test(text) is not None for text in texts], dtype=pl.Boolean)


def qc_at_most(worst: int | str | QC, *, ignore_not_set: bool = False) -> list[str]:
    """Return the names of this QC and the better ones; NOT_SET is the best one unless ``ignore_not_set``."""
    level = QC.validate(worst)
    return [qc.name for qc in sorted(QC) if qc <= level and not (ignore_not_set and qc is QC.NOT_SET)]


def collections_of(paths: pl.Series) -> pl.Series:
    """Return the collection of each relative path; an empty text if it has none or is not an ALF path."""
    return _parts_of(paths)[0]


def revisions_of(paths: pl.Series) -> pl.Series:
    """Return the revision of each relative path; an empty text if it has none or is not an ALF path."""
    return _parts_of(paths)[1]


def _parts_of(paths: pl.Series) -> tuple[pl.Series, pl.Series]:
    import polars as pl

    if len(paths) <= _MANY:
        parts = list(map(split_folder, paths))
        collections, revisions = ([part[at] for part in parts] for at in (0, 1))
        return pl.Series(collections, dtype=pl.String), pl.Series(revisions, dtype=pl.String)
    pattern = path_pattern()
    distinct = paths.unique()
    valid = is_match(distinct, pattern.python, pattern.plain)
    folder = pl.col("path").str.extract(r"^(.*)/[^/]*$", 1).fill_null("")
    revision = folder.str.extract(r"(?:^|/)#([^/#]+)#$", 1).fill_null("")
    collection = folder.str.replace(r"(?:^|/)#[^/#]+#$", "")
    table = pl.DataFrame({"path": distinct, "valid": valid}).with_columns(
        pl.when("valid").then(collection).otherwise(pl.lit("")).alias("collection"),
        pl.when("valid").then(revision).otherwise(pl.lit("")).alias("revision"),
    )
    found = pl.DataFrame({"path": paths}).join(table, on="path", how="left", maintain_order="left")
    return found["collection"], found["revision"]


class DatasetFilter:
    """The filters of one request, compiled: which paths, which QC, and which of several revisions of a dataset.

    ``policy`` selects revisions. ``exact``: ``revision`` is a pattern like the others. ``last_before``: of each dataset, the
    revision that equals ``revision`` or is the last one before it in text order; without ``revision``, the default revision,
    or the last. ``default``: only datasets that are the default revision. Raises InputError for invalid filters.
    """

    def __init__(
        self,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        *,
        qc: int | str | QC = QC.FAIL,
        ignore_qc_not_set: bool = False,
        default_revisions_only: bool = False,
        wildcards: bool = True,
        policy: RevisionPolicy = "exact",
        assert_unique: bool = False,
    ) -> None:
        if policy not in ("exact", "last_before", "default"):
            raise InputError.of("revision_policy", policy, ("exact", "last_before", "default"))
        self._only_defaults = default_revisions_only or policy == "default"
        self._before = policy == "last_before"
        self._revision: str | None = None
        if self._before:
            if revision is not None and not isinstance(revision, str):
                raise InputError.of("revision", revision, "one text, for the revision or the last before it")
            self._revision, revision = revision, None
        self._pattern = path_pattern(filename, collection, revision, wildcards=wildcards)
        self._levels = frozenset(qc_at_most(qc, ignore_not_set=ignore_qc_not_set))
        self._assert_unique = assert_unique

    def choose(self, datasets: Sequence[T]) -> list[T]:
        """Return the datasets that match among rows of one session's datasets.

        With ``assert_unique``, raises ALFMultipleCollectionsFound, ALFMultipleRevisionsFound or ALFMultipleObjectsFound for
        more than one.
        """
        if not datasets:
            return []
        paths, qcs, flags = (_column(datasets, name) for name in ("rel_path", "qc", "default_revision"))
        if flags is None and self._only_defaults:
            raise ALFError(_NO_DEFAULTS)
        rows = self._select(paths or [], flags, self._matching(paths or [], qcs or [], flags))
        take = getattr(datasets, "take", None)  # of rows that are decoded when they are used
        return [datasets[at] for at in rows] if take is None else take(rows)

    def choose_frame(self, datasets: pl.DataFrame) -> pl.DataFrame:
        """Return the same of a frame of datasets."""
        has_flags = "default_revision" in datasets.columns
        if self._only_defaults and not has_flags:
            raise ALFError(_NO_DEFAULTS)
        is_large = len(datasets) > _MANY
        if is_large:
            datasets = self._filtered(datasets)
            if not self._before and not self._assert_unique:
                return datasets
        # For the few rows of a session, a filter of Polars costs more than it saves.
        paths = datasets["rel_path"].to_list()
        flags = datasets["default_revision"].to_list() if has_flags else None
        every = list(range(len(paths)))
        rows = every if is_large else self._matching(paths, datasets["qc"].to_list(), flags)
        return take_rows(datasets, self._select(paths, flags, rows))

    def _filtered(self, datasets: pl.DataFrame) -> pl.DataFrame:
        """Return the datasets whose path and QC match, by the engine of Polars."""
        import polars as pl

        if self._only_defaults:
            datasets = datasets.filter("default_revision")
        good = is_match(datasets["rel_path"], self._pattern.python, self._pattern.plain)
        return datasets.filter(
            good & pl.col("qc").cast(pl.String).is_in(list(self._levels)).fill_null(value=False)
        )

    def _matching(
        self, paths: Sequence[str | None], qcs: Sequence[str | None], flags: Sequence[bool | None] | None
    ) -> list[int]:
        """Return the rows whose path and QC match."""
        match, levels = self._pattern.python.match, self._levels
        rows = [
            row
            for row, (path, qc) in enumerate(zip(paths, qcs, strict=True))
            if qc in levels and path is not None and match(path)
        ]
        return [row for row in rows if flags[row]] if self._only_defaults and flags is not None else rows

    def _select(
        self, paths: Sequence[str], flags: Sequence[bool | None] | None, rows: list[int]
    ) -> list[int]:
        """Return one row for each dataset if the policy demands that; raise an error for more rows than allowed."""
        unique = self._assert_unique
        if unique and len(names := {split_folder(paths[row])[0] for row in rows}) > 1:
            raise ALFMultipleCollectionsFound(quoted(sorted(names)))
        if self._before:
            rows = last_revisions(paths, flags, self._revision, rows, assert_unique=unique)
        elif unique and len(names := {split_folder(paths[row])[1] for row in rows}) > 1:
            raise ALFMultipleRevisionsFound(quoted(sorted(names)))
        if unique and len(rows) > 1:
            raise ALFMultipleObjectsFound(quoted(paths[row] for row in rows))
        return rows


def _column(datasets: Sequence[Mapping[str, Any]], name: str) -> list[Any] | None:
    """Return a value of each row; None if the rows have no such value."""
    if (column := getattr(datasets, "column", None)) is not None:
        return column(name)  # type: ignore[no-any-return]
    return [row[name] for row in datasets] if name in datasets[0] else None


def resolve(
    datasets: pl.DataFrame,
    filename: Filename = None,
    collection: Pattern = None,
    revision: Pattern = None,
    **options: Any,
) -> pl.DataFrame:
    """Return the datasets of a frame that match a request, in their order; `options` are those of `DatasetFilter`."""
    return DatasetFilter(filename, collection, revision, **options).choose_frame(datasets)
