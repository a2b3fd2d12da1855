"""List the datasets, collections and revisions of all sessions, with ONE-api's local semantics."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt
import polars as pl

from one_async._arguments import qc_name
from one_async.alf.match import (
    Filename,
    Pattern,
    collections_of,
    is_match,
    path_pattern,
    resolve,
    revisions_of,
)
from one_async.alf.spec import QC
from one_async.errors import ALFError
from one_async.tables.catalogue import Catalogue
from one_async.tables.columns import decode
from one_async.tables.dataset_table import Datasets
from one_async.tables.query import positions, rows_of_spans
from one_async.tables.schema import QC_LEVELS

__all__ = ["datasets_like", "list_collections", "list_datasets", "list_revisions"]


def datasets_like(
    catalogue: Catalogue, wanted: pl.DataFrame, columns: Collection[str] | None = None
) -> pl.DataFrame:
    """Return datasets of the sessions in ``wanted`` (eid), at least those with a path in it (rel_path).

    ``columns`` limits the columns to these, if the tables have them, and to the ids and paths.
    """
    table = catalogue.dataset_table
    rows = rows_of_spans(table, positions(table.eids, wanted["eid"].unique()).drop_nulls().to_numpy())
    if len(rows) > 2 * len(wanted):  # otherwise filtering by path takes longer than it saves
        usable = table.paths.is_in(wanted["rel_path"].unique().implode()).to_numpy()
        rows = rows[usable[table.path[rows]]]
    names = [name for name in table.schema if columns is None or name in {"did", "eid", "rel_path", *columns}]
    return table.frame(rows, names)


@overload
def list_datasets(
    catalogue: Catalogue,
    filename: Filename = ...,
    collection: Pattern = ...,
    revision: Pattern = ...,
    *,
    qc: int | str | QC = ...,
    ignore_qc_not_set: bool = ...,
    default_revisions_only: bool = ...,
    details: Literal[False] = ...,
    wildcards: bool = ...,
) -> list[str]: ...
@overload
def list_datasets(
    catalogue: Catalogue,
    filename: Filename = ...,
    collection: Pattern = ...,
    revision: Pattern = ...,
    *,
    qc: int | str | QC = ...,
    ignore_qc_not_set: bool = ...,
    default_revisions_only: bool = ...,
    details: Literal[True],
    wildcards: bool = ...,
) -> pl.DataFrame: ...
def list_datasets(
    catalogue: Catalogue,
    filename: Filename = None,
    collection: Pattern = None,
    revision: Pattern = None,
    *,
    qc: int | str | QC = QC.FAIL,
    ignore_qc_not_set: bool = False,
    default_revisions_only: bool = False,
    details: bool = False,
    wildcards: bool = True,
) -> list[str] | pl.DataFrame:
    """Return the distinct relative paths of the datasets that match all filters, in the order of their first rows.

    ``filename``: one or several patterns of whole names, or ALF parts; ``collection`` and ``revision``: patterns, an empty
    string for none. Patterns are Unix wildcards, or regular expressions with ``wildcards=False``. With ``details``, return
    the rows of the datasets table, ordered by session and id.
    Raises ALFError for default revisions if the tables do not have them, InputError for invalid patterns.
    """
    kwargs: dict[str, Any] = {
        "qc": qc,
        "ignore_qc_not_set": ignore_qc_not_set,
        "default_revisions_only": default_revisions_only,
        "wildcards": wildcards,
    }
    table = catalogue.dataset_table
    rows = _rows(table, filename, collection, revision, **kwargs)
    if details:
        return table.frame(np.flatnonzero(rows))
    return table.paths.gather(_first_seen(table, rows)).to_list() if len(table) else []


def _rows(
    table: Datasets,
    filename: Filename,
    collection: Pattern,
    revision: Pattern,
    *,
    qc: int | str | QC,
    ignore_qc_not_set: bool,
    default_revisions_only: bool,
    wildcards: bool,
) -> npt.NDArray[np.bool_]:
    """Return a mask of the datasets that match; patterns are applied to the distinct paths."""
    if not filename and collection is None and revision is None:
        good = table.alf
    else:
        pattern = path_pattern(filename, collection, revision, wildcards=wildcards)
        good = is_match(table.paths, pattern.python, pattern.plain).to_numpy()
    levels = QC_LEVELS.categories.to_list()
    codes = table.qc_codes()
    rows: npt.NDArray[np.bool_] = codes <= levels.index(qc_name(qc, "qc"))
    if not good.all():
        rows &= good[table.path]
    if ignore_qc_not_set:
        rows &= codes != levels.index("NOT_SET")
    if default_revisions_only:
        column = table.columns.get("default_revision")
        if column is None:
            raise ALFError("these tables do not contain which revisions are the default ones")
        rows &= decode(column).fill_null(value=False).to_numpy()
    return rows


def _first_seen(table: Datasets, rows: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint32]:
    """Return the distinct paths among rows, in the order of their first rows."""
    first = table.first_rows
    early = rows[first]  # for most paths, the first row of the table is among the rows
    late = np.flatnonzero(rows & ~early[table.path])[::-1]
    where = np.where(early, first, len(table))
    where[table.path[late]] = late  # of several assignments the last one counts: the first row
    seen = np.flatnonzero(where < len(table))
    return seen[np.argsort(where[seen], kind="stable")].astype(np.uint32)


@overload
def list_collections(
    catalogue: Catalogue,
    filename: Filename = ...,
    collection: Pattern = ...,
    revision: Pattern = ...,
    *,
    details: Literal[False] = ...,
    wildcards: bool = ...,
) -> list[str]: ...
@overload
def list_collections(
    catalogue: Catalogue,
    filename: Filename = ...,
    collection: Pattern = ...,
    revision: Pattern = ...,
    *,
    details: Literal[True],
    wildcards: bool = ...,
) -> dict[str, pl.DataFrame]: ...
def list_collections(
    catalogue: Catalogue,
    filename: Filename = None,
    collection: Pattern = None,
    revision: Pattern = None,
    *,
    details: bool = False,
    wildcards: bool = True,
) -> list[str] | dict[str, pl.DataFrame]:
    """Return the collections of the datasets that match, in the order of the datasets; an empty string means none.

    With ``details``, return the datasets of each collection, sorted by name.
    """
    if details:
        frame = list_datasets(catalogue, filename, collection, revision, details=True, wildcards=wildcards)
        return _grouped(frame, collections_of(frame["rel_path"]))
    paths = list_datasets(catalogue, filename, collection, revision, wildcards=wildcards)
    return _distinct(collections_of(pl.Series(paths, dtype=pl.String)))


@overload
def list_revisions(
    catalogue: Catalogue,
    filename: Filename = ...,
    collection: Pattern = ...,
    revision: Pattern = ...,
    *,
    details: Literal[False] = ...,
    wildcards: bool = ...,
) -> list[str]: ...
@overload
def list_revisions(
    catalogue: Catalogue,
    filename: Filename = ...,
    collection: Pattern = ...,
    revision: Pattern = ...,
    *,
    details: Literal[True],
    wildcards: bool = ...,
) -> dict[str, pl.DataFrame]: ...
def list_revisions(
    catalogue: Catalogue,
    filename: Filename = None,
    collection: Pattern = None,
    revision: Pattern = None,
    *,
    details: bool = False,
    wildcards: bool = True,
) -> list[str] | dict[str, pl.DataFrame]:
    """Return the revisions of the datasets that match, in the order of the datasets; an empty string means none.

    Only files with ALF names count, as in ONE-api. With ``details``, return the datasets of each revision, sorted by name.
    """
    if details:
        frame = resolve(
            list_datasets(catalogue, details=True), filename, collection, revision, wildcards=wildcards
        )
        return _grouped(frame, revisions_of(frame["rel_path"]))
    paths = list_datasets(catalogue, filename, collection, revision, wildcards=wildcards)
    found = pl.Series(paths, dtype=pl.String)
    pattern = path_pattern()
    return _distinct(revisions_of(found.filter(is_match(found, pattern.python, pattern.plain))))


def _distinct(names: pl.Series) -> list[str]:
    return names.unique(maintain_order=True).to_list()


def _grouped(frame: pl.DataFrame, names: pl.Series) -> dict[str, pl.DataFrame]:
    parts = frame.with_columns(names.alias("__key")).partition_by("__key", as_dict=True, include_key=False)
    return {str(key[0]): part for key, part in sorted(parts.items())}
