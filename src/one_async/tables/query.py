"""Searches and lookups in a catalogue, with ONE-api's local semantics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Literal, overload
from uuid import UUID

import numpy as np
import numpy.typing as npt
import polars as pl

from one_async._arguments import as_list, date_range, numbers, qc_name, texts
from one_async._threads import check_polars
from one_async.alf.match import compile_pattern, is_match, plain_pattern
from one_async.alf.session_paths import FOLDER, session_folders
from one_async.errors import ALFMultipleObjectsFound, InputError
from one_async.tables.catalogue import Catalogue
from one_async.tables.dataset_table import Datasets

__all__ = [
    "find_sessions",
    "has_name",
    "list_subjects",
    "positions",
    "rows_of_spans",
    "search",
    "search_insertions",
    "session_paths",
    "session_rows",
]

_TEXT = {"laboratory": "lab", "subject": "subject", "task_protocol": "task_protocol", "projects": "projects"}
#: The terms of sessions.
_TERMS = frozenset({*_TEXT, "number", "date_range", "datasets", "dataset_qc_lte"})
#: The terms of insertions that are names of columns.
_COLUMNS = ("model", "name", "json", "serial", "chronic_insertion")
_EPOCH = date(1970, 1, 1).toordinal()
#: Up to this many ids are looked up one by one, which is faster.
_FEW = 20
#: If the paths of more than one in this many sessions are requested, the paths of all sessions are computed and cached.
_SHARE = 200
Mask = npt.NDArray[np.bool_]


@overload
def search(
    catalogue: Catalogue, *, wildcards: bool = ..., details: Literal[False] = ..., **terms: Any
) -> list[UUID]: ...
@overload
def search(
    catalogue: Catalogue, *, wildcards: bool = ..., details: Literal[True], **terms: Any
) -> pl.DataFrame: ...
def search(
    catalogue: Catalogue, *, wildcards: bool = True, details: bool = False, **terms: Any
) -> list[UUID] | pl.DataFrame:
    """Return the sessions that match all terms, latest first (then by subject and number descending, then by eid).

    Terms have their full names. subject, laboratory, projects and task_protocol must contain one of the given
    strings, which are case-sensitive regular expressions with ``wildcards``. number must be one of the given numbers, and the
    date within date_range. datasets must all exist, by file name (regular expressions of whole names with ``wildcards``);
    dataset_qc_lte limits their QC, or that of any dataset. Return ids, or with ``details`` the sessions' rows. Raises
    InputError for unknown terms and invalid values.
    """
    rows = session_rows(catalogue, terms, wildcards=wildcards)
    if details:
        return catalogue.session_frame[pl.Series(rows, dtype=pl.UInt32)]
    return catalogue.uuids(rows)  # type: ignore[return-value]


def session_rows(
    catalogue: Catalogue, terms: Mapping[str, Any], *, wildcards: bool = True
) -> npt.NDArray[np.uint32]:
    """Return the rows of ``session_frame`` that match terms, in the order of search results."""
    check_polars()
    if unknown := terms.keys() - _TERMS:
        raise InputError.of("term", min(unknown), sorted(_TERMS))
    keep: Mask = np.ones(len(catalogue.session_frame), bool)
    for name, column in _TEXT.items():
        if name in terms:
            keep &= _text_mask(catalogue, column, texts(terms[name], name), wildcards)
    if "number" in terms:
        wanted = numbers(terms["number"], "number")
        words, codes = catalogue.distinct("number")
        keep &= words.cast(pl.Int64).is_in(wanted).fill_null(value=False).to_numpy()[codes]
    if "date_range" in terms:
        keep &= _date_mask(catalogue, terms["date_range"])
    if "datasets" in terms or "dataset_qc_lte" in terms:
        keep &= _datasets_mask(catalogue, keep, terms)
    return catalogue.order[keep[catalogue.order]]


def _text_mask(catalogue: Catalogue, column: str, wanted: list[str], wildcards: bool) -> Mask:
    words, codes = catalogue.distinct(column)
    return _contains_any(words, wanted, wildcards, column)[codes]


def _contains_any(words: pl.Series, wanted: list[str], wildcards: bool, argument: str) -> Mask:
    """Return a mask of the words that contain any of the wanted strings."""
    if wildcards:
        pattern = "|".join(wanted)
        found = is_match(words, compile_pattern(pattern, argument), plain_pattern(pattern), how="search")
    else:
        anything = not wanted or not all(wanted)  # every string contains the empty string
        found = words.is_not_null() if anything else words.str.contains_any(wanted).fill_null(value=False)
    return found.to_numpy()


def _date_mask(catalogue: Catalogue, value: Any) -> Mask:
    start, end = date_range(value)
    dates = catalogue.session_frame["date"]
    days = dates.to_physical().fill_null(np.iinfo(np.int32).min).to_numpy()
    first, last = max(start.toordinal() - _EPOCH, np.iinfo(np.int32).min + 1), end.toordinal() - _EPOCH
    found: Mask = (days >= first) & (days <= last)
    return found


def _datasets_mask(catalogue: Catalogue, keep: Mask, terms: Mapping[str, Any]) -> Mask:
    """Return a mask of the remaining sessions that have all datasets, each existing and of the required QC."""
    level = qc_name(terms.get("dataset_qc_lte", "FAIL"))
    wanted = texts(terms["datasets"], "datasets") if "datasets" in terms else [None]
    found = keep & (catalogue.spans >= 0)
    spans = catalogue.spans[found]
    if not len(spans):
        return found
    if len(spans) * 4 > len(catalogue.dataset_table.eids):
        have = _spans_of_all(catalogue.dataset_table, level, wanted)[spans]
    else:
        have = _spans_of_few(catalogue.dataset_table, level, wanted, spans)
    found[found] = have
    return found


def _spans_of_all(table: Datasets, level: str, wanted: Sequence[str | None]) -> Mask:
    """Return a mask of the sessions, among those with datasets, that have all requested ones."""
    have: Mask = np.ones(len(table.eids), bool)
    usable = table.usable[level]
    for name in wanted:
        hits = usable if name is None else _name_mask(table.names, name)[table.path] & usable
        have &= np.logical_or.reduceat(hits, table.starts[:-1])
    return have


def _spans_of_few(
    table: Datasets, level: str, wanted: Sequence[str | None], spans: npt.NDArray[np.int64]
) -> Mask:
    """Return a mask of the given sessions that have all datasets; reads only their rows and names."""
    rows = rows_of_spans(table, spans)
    sizes = table.starts[spans + 1] - table.starts[spans]
    edges = np.zeros(len(sizes), np.int64)
    np.cumsum(sizes[:-1], out=edges[1:])
    usable = table.is_usable(level, rows)
    codes = table.path[rows]
    good: Mask = np.zeros(len(table.names), bool)
    good[codes] = True
    there = np.flatnonzero(good)
    names = table.names.gather(there)
    have: Mask = np.ones(len(spans), bool)
    for name in wanted:
        hits = usable
        if name is not None:
            good[there] = _name_mask(names, name)
            hits = good[codes] & usable
        have &= np.logical_or.reduceat(hits, edges)
    return have


def rows_of_spans(table: Datasets, spans: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the rows of the datasets of some sessions, by the sessions' positions in ``table.eids``."""
    begins, sizes = table.starts[spans], table.starts[spans + 1] - table.starts[spans]
    edges = np.cumsum(sizes) - sizes
    return np.repeat(begins - edges, sizes) + np.arange(int(sizes.sum()))


def has_name(names: pl.Series, wanted: str) -> bool:
    """Return whether a term of `datasets` matches one of the file names."""
    return bool(_name_mask(names, wanted).any())


def _name_mask(names: pl.Series, wanted: str) -> Mask:
    pattern = compile_pattern(wanted, "datasets")
    return is_match(names, pattern, plain_pattern(wanted), how="fullmatch").to_numpy()


def search_insertions(
    catalogue: Catalogue, *, wildcards: bool = True, details: bool = False, **terms: Any
) -> list[str] | pl.DataFrame:
    """Return the insertions whose name, model or serial contain one of the strings, in sessions that match the other terms.

    ``session`` is one eid or several; ``dataset`` is part of the name of a file in the insertion's own folder, ignoring case.

    Insertions are sorted by the session's date, subject and number and by name, descending. Return pids, or with ``details``
    the rows with date, subject and number; nothing without an insertions table. Raises InputError for unknown terms and
    invalid values.
    """
    check_polars()
    frame = catalogue.insertions().collect()
    session_terms = {name: value for name, value in terms.items() if name in _TERMS}
    sessions = catalogue.session_frame.select("eid", "date", "subject", "number")
    if session_terms:
        sessions = sessions[pl.Series(session_rows(catalogue, session_terms, wildcards=wildcards))]
    if "session" in terms:
        frame = frame.filter(pl.col("eid").is_in(list(map(str, as_list(terms["session"])))))
    if "dataset" in terms:
        (part,) = texts(terms["dataset"], "dataset")
        owners = frame.select("eid", "name").iter_rows()
        frame = frame.filter(
            pl.Series([_has_dataset(catalogue, eid, probe, part) for eid, probe in owners], dtype=pl.Boolean)
        )
    for name in terms.keys() - session_terms.keys() - {"session", "dataset"}:
        if name not in frame.columns:
            raise InputError.of("term", name, [column for column in _COLUMNS if column in frame.columns])
        words = frame[name].cast(pl.String)
        frame = frame.filter(pl.Series(_contains_any(words, texts(terms[name], name), wildcards, name)))
    keys = ["date", "subject", "number", "name"]
    found = frame.join(sessions, on="eid", how="inner").sort(
        *keys, "eid", "pid", descending=[True] * 4 + [False] * 2, nulls_last=True
    )
    return found if details else found["pid"].to_list()


def _has_dataset(catalogue: Catalogue, eid: str, probe: str, part: str) -> bool:
    """Return whether an insertion has a file whose name contains a string, in a folder with the probe's name."""
    table = catalogue.dataset_table
    for path in table.rel_paths(table.rows_of(eid)):
        *folders, name = path.split("/")
        if probe in folders and part.casefold() in name.casefold():
            return True
    return False


def find_sessions(catalogue: Catalogue, eids: Sequence[str]) -> pl.DataFrame:
    """Return the rows of sessions by id, in the order of the ids, omitting unknown ones.

    Raises ALFMultipleObjectsFound for an id that two sessions have.
    """
    check_polars()
    _check_unique(catalogue, eids)
    if len(eids) > _FEW:
        ids = pl.Series(eids, dtype=pl.String)
        rows = positions(catalogue.session_frame["eid"], ids).drop_nulls()
    else:
        found = (catalogue.session_row(eid) for eid in eids)
        rows = pl.Series([row for row in found if row is not None], dtype=pl.UInt32)
    return catalogue.session_frame[rows]


def _check_unique(catalogue: Catalogue, eids: Iterable[str]) -> None:
    if catalogue.duplicated_ids and (twice := catalogue.duplicated_ids.intersection(eids)):
        eid = min(twice)
        raise ALFMultipleObjectsFound(f"session {eid} is in the cache tables more than once", eid=eid)


def list_subjects(catalogue: Catalogue) -> list[str]:
    """Return the names of all subjects, sorted."""
    return sorted(name for name in catalogue.distinct("subject")[0] if name is not None)


def session_paths(catalogue: Catalogue, eids: Sequence[str]) -> list[str | None]:
    """Return the relative path of each session; None for unknown sessions and those that cannot have a folder.

    Raises ALFMultipleObjectsFound for an id that two sessions have.
    """
    _check_unique(catalogue, eids)
    wanted = pl.Series(eids, dtype=pl.String)
    where = positions(catalogue.session_frame["eid"], wanted)
    if len(wanted) * _SHARE >= len(catalogue.session_frame):
        return catalogue.folders.gather(where).to_list()
    rows = where.drop_nulls()
    names = [
        name
        for name in ("lab", "subject", "date", "number", FOLDER)
        if name in catalogue.session_frame.columns
    ]
    known = iter(session_folders(catalogue.session_frame.select(names)[rows]))
    return [None if at is None else next(known) for at in where]


def positions(sorted_ids: pl.Series, wanted: pl.Series) -> pl.Series:
    """Return the position of each wanted id among sorted ones, null if it is absent."""
    if not len(sorted_ids) or not len(wanted):
        return pl.Series([None] * len(wanted), dtype=pl.UInt32)
    at = sorted_ids.search_sorted(wanted)
    at = at.clip(0, len(sorted_ids) - 1)
    same = sorted_ids.gather(at) == wanted
    return at if same.all() else pl.select(pl.when(same).then(at)).to_series()
