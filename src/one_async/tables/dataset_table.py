"""The datasets table, sorted by session: a session's datasets are a slice, and a path is a code for its text."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import polars as pl
from polars.io.plugins import register_io_source

from one_async.alf.match import is_match, path_pattern
from one_async.tables.columns import Column, Rows, codes_of, concat, decode, decode_list, encode
from one_async.tables.schema import DATASETS, QC_LEVELS

__all__ = ["Datasets", "SessionRows", "find", "name_of"]

_BATCH = 250_000
#: Number of paths that are read one by one in less time than together.
_FEW = 64


def name_of(paths: pl.Series) -> pl.Series:
    """Return the file name of each relative path."""
    return paths.str.extract(r"([^/]*)$", 1)


def find(ids: pl.Series, wanted: str) -> int | None:
    """Return the first position of an id among sorted ones, or None if it is absent."""
    at = bisect_left(range(len(ids)), wanted, key=ids.__getitem__)
    return at if at < len(ids) and ids[at] == wanted else None


@dataclass(frozen=True, eq=False)
class Datasets:
    """All datasets, ordered by session and id as text.

    ``paths`` holds the distinct relative paths in the order in which they first appear, ``names`` their file
    names, ``path`` a code for each dataset. Datasets ``starts[i]`` to ``starts[i + 1]`` belong to session ``eids[i]``.
    """

    path: npt.NDArray[np.uint32]
    paths: pl.Series
    names: pl.Series
    eids: pl.Series
    starts: npt.NDArray[np.int64]
    columns: Mapping[str, Column]

    @classmethod
    def from_frame(cls, frame: pl.DataFrame) -> Datasets:
        """Create the table from a frame of datasets (with `DATASETS` columns and any others); equal rows count once."""
        if not _is_sorted(frame):
            frame = frame.sort("eid", "did", maintain_order=True)
            if not _is_sorted(frame):  # an id is there twice; to compare all columns takes much memory
                frame = frame.unique(maintain_order=True)
        runs = frame["eid"].rle().struct.unnest()
        starts = np.zeros(len(runs) + 1, np.int64)
        np.cumsum(runs["len"].to_numpy(), out=starts[1:])
        paths = frame["rel_path"].unique(maintain_order=True)
        columns = {name: encode(frame[name]) for name in frame.columns if name not in ("eid", "rel_path")}
        return cls(codes_of(frame["rel_path"], paths), paths, name_of(paths), runs["value"], starts, columns)

    @classmethod
    def empty(cls) -> Datasets:
        """Return a table without rows."""
        schema = {name: dtype for name, dtype in DATASETS.items() if name != "default_revision"}
        return cls.from_frame(pl.DataFrame(schema=schema))

    def __len__(self) -> int:
        return len(self.path)

    @cached_property
    def schema(self) -> dict[str, pl.DataType]:
        """The columns of frames of this table, those of `DATASETS` first."""
        found: dict[str, pl.DataType] = {name: column.dtype for name, column in self.columns.items()}
        found |= {"eid": pl.String(), "rel_path": pl.String()}
        known = {name: found[name] for name in DATASETS if name in found}
        return known | {name: dtype for name, dtype in found.items() if name not in known}

    def rows_of(self, eid: str) -> slice:
        """Return the rows of a session's datasets; an empty slice if it has none."""
        at = find(self.eids, eid)
        if at is not None:
            return slice(int(self.starts[at]), int(self.starts[at + 1]))
        return slice(0, 0)

    def rel_paths(self, rows: Rows = slice(None)) -> pl.Series:
        """Return the relative paths of rows."""
        return self.paths[self.path[rows]] if len(self.paths) else pl.Series([], dtype=pl.String)

    def session_ids(self, rows: Rows = slice(None)) -> pl.Series:
        """Return the session of each row."""
        if isinstance(rows, slice):
            begin, end, _ = rows.indices(len(self))
            first = int(np.searchsorted(self.starts, begin, side="right")) - 1
            if begin < end <= self.starts[first + 1]:  # all of one session
                return pl.Series([self.eids[first]] * (end - begin), dtype=pl.String)
            rows = np.arange(begin, end)
        where = rows
        spans = np.searchsorted(self.starts, where, side="right") - 1
        return self.eids[spans] if len(self.eids) else pl.Series([], dtype=pl.String)

    def frame(self, rows: Rows = slice(None), columns: list[str] | None = None) -> pl.DataFrame:
        """Return rows as a frame."""
        wanted = list(self.schema) if columns is None else columns
        made: list[pl.Series] = []
        for name in wanted:
            if name == "eid":
                series = self.session_ids(rows)
            elif name == "rel_path":
                series = self.rel_paths(rows)
            else:
                series = decode(self.columns[name], rows)
            made.append(series.rename(name))
        return pl.DataFrame(made)

    def by_session(self, eids: Sequence[str], columns: Sequence[str] | None = None) -> list[pl.DataFrame]:
        """Return all datasets of each session, ordered by id; an empty frame for an unknown one.

        ``columns`` limits the columns to these, if the tables have them.
        """
        wanted = None if columns is None else [name for name in columns if name in self.schema]
        spans = [self.rows_of(eid) for eid in eids]
        if len(spans) == 1:
            return [self.frame(spans[0], wanted)]
        # The rows of all sessions are decoded together. A slice of a frame copies nothing.
        rows = np.concatenate([np.arange(span.start, span.stop) for span in spans] or [np.arange(0)])
        every = self.frame(rows, wanted)
        ends = np.cumsum([span.stop - span.start for span in spans])
        return [
            every.slice(end - span.stop + span.start, span.stop - span.start)
            for span, end in zip(spans, ends.tolist(), strict=True)
        ]

    def session(self, eid: str) -> SessionRows:
        """Return the rows of a session's datasets, ordered by id; none for an unknown session."""
        return SessionRows(self, eid, self.rows_of(eid))

    def lazy(self) -> pl.LazyFrame:
        """Return all rows as a LazyFrame that decodes only the columns and rows that a query needs."""

        def batches(
            with_columns: list[str] | None,
            predicate: pl.Expr | None,
            n_rows: int | None,
            batch_size: int | None,
        ) -> Iterator[pl.DataFrame]:
            # A query needs the predicate's columns as well, and Polars asks for them in with_columns.
            end = len(self) if n_rows is None else min(n_rows, len(self))
            step = batch_size or _BATCH
            for start in range(0, max(end, 1), step):
                piece = self.frame(slice(start, min(start + step, end)), with_columns)
                yield piece if predicate is None else piece.filter(predicate)

        return register_io_source(batches, schema=self.schema, is_pure=True)

    @cached_property
    def alf(self) -> npt.NDArray[np.bool_]:
        """Whether each of the distinct paths has an ALF name."""
        pattern = path_pattern()
        return is_match(self.paths, pattern.python, pattern.plain).to_numpy()

    @cached_property
    def first_rows(self) -> npt.NDArray[np.int64]:
        """The first row of each distinct path."""
        first = np.empty(len(self.paths), np.int64)
        first[self.path[::-1]] = np.arange(
            len(self) - 1, -1, -1
        )  # of several assignments, the last one counts
        return first

    @cached_property
    def usable(self) -> Mapping[str, npt.NDArray[np.bool_]]:
        """For each QC level, a mask of the datasets that exist and are at that level or better."""
        return _Usable(self)

    def is_usable(self, level: str, rows: Rows = slice(None)) -> npt.NDArray[np.bool_]:
        """Return a mask of the datasets that exist and are at a QC level or better."""
        exists = self.columns["exists"]
        usable: npt.NDArray[np.bool_] = exists.values[rows].astype(bool)
        if exists.valid is not None:
            usable &= exists.valid[rows]
        usable &= self.qc_codes(rows) <= QC_LEVELS.categories.to_list().index(level)
        return usable

    def qc_codes(self, rows: Rows = slice(None)) -> npt.NDArray[np.uint8]:
        """Return QC as positions in `QC_LEVELS`; 255 if there is none."""
        column = self.columns["qc"]
        values = column.values[rows]
        return values if column.valid is None else np.where(column.valid[rows], values, np.uint8(255))

    def merged(self, new: pl.DataFrame, replaced: npt.NDArray[np.int64]) -> Datasets:
        """Return this table without the rows ``replaced``, and with all rows of a frame with the same columns."""
        added = Datasets.from_frame(new)
        old_ids, new_ids = self._ids_order(added, replaced)
        order = np.concatenate([old_ids, new_ids])
        eids = pl.concat([self.eids, added.eids]).unique().sort()
        rank = pl.DataFrame({"eid": eids, "rank": np.arange(len(eids), dtype=np.uint32)})
        ranks = [
            codes_of(table.eids, rank["eid"])[np.searchsorted(table.starts, rows, "right") - 1]
            for table, rows in ((self, old_ids), (added, new_ids - len(self)))
        ]
        session = np.concatenate(ranks)
        sort = np.argsort(session, kind="stable")
        sort = _sort_touched(sort, session, order, self, added)
        order, session = order[sort], session[sort]
        extra = added.paths.filter(~added.paths.is_in(self.paths.implode()))
        paths = pl.concat([self.paths, extra])
        recoded = codes_of(added.paths, paths)[added.path]
        used, counts = np.unique(session, return_counts=True)
        starts = np.zeros(len(used) + 1, np.int64)
        np.cumsum(counts, out=starts[1:])
        columns = {
            name: concat(column, decode(added.columns[name]), order) for name, column in self.columns.items()
        }
        path = np.concatenate([self.path, recoded])[order]
        return Datasets(path, paths, name_of(paths), eids.gather(used), starts, columns)

    def _ids_order(
        self, added: Datasets, replaced: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        keep = np.ones(len(self), bool)
        keep[replaced] = False
        return np.flatnonzero(keep), np.arange(len(self), len(self) + len(added))


class SessionRows(Sequence[dict[str, Any]]):
    """The rows of one session's datasets as dictionaries, which are decoded when they are used.

    For so few rows this takes less time than a frame.
    """

    def __init__(self, table: Datasets, eid: str, span: slice) -> None:
        self._table, self._eid, self._span = table, eid, span

    def __len__(self) -> int:
        return int(self._span.stop - self._span.start)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._rows(self._span))

    @overload
    def __getitem__(self, at: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, at: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, at: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        places = range(len(self))[at]
        return self.take([places])[0] if isinstance(places, int) else self.take(places)

    def take(self, places: Sequence[int]) -> list[dict[str, Any]]:
        """Return the rows at these places."""
        return self._rows(np.array(places, np.int64) + self._span.start) if places else []

    def column(self, name: str) -> list[Any] | None:
        """Return a value of each row; None if the table has no such column."""
        return self._column(name, self._span) if name in self._table.schema else None

    def _rows(self, rows: Rows) -> list[dict[str, Any]]:
        names = list(self._table.schema)
        values = zip(*(self._column(name, rows) for name in names), strict=True)
        return [dict(zip(names, row, strict=True)) for row in values]

    def _column(self, name: str, rows: Rows) -> list[Any]:
        table = self._table
        if name not in ("eid", "rel_path"):
            return decode_list(table.columns[name], rows)
        codes = table.path[rows]
        if name == "eid":
            return [self._eid] * len(codes)
        if len(codes) > _FEW:
            return table.rel_paths(rows).to_list()
        return [table.paths[code] for code in codes.tolist()]


def _sort_touched(
    sort: npt.NDArray[np.int64],
    session: npt.NDArray[np.uint32],
    order: npt.NDArray[np.int64],
    old: Datasets,
    added: Datasets,
) -> npt.NDArray[np.int64]:
    """Sort the datasets of the sessions that have new rows by id."""
    ordered = session[sort]
    for touched in np.unique(session[order >= len(old)]):
        span = slice(*np.searchsorted(ordered, [touched, touched + 1]))
        rows = order[sort[span]]
        is_new = rows >= len(old)
        ids = np.empty(len(rows), object)
        ids[~is_new] = decode(old.columns["did"], rows[~is_new]).to_list()
        ids[is_new] = decode(added.columns["did"], rows[is_new] - len(old)).to_list()
        sort[span] = sort[span][np.argsort(ids, kind="stable")]
    return sort


class _Usable(dict[str, npt.NDArray[np.bool_]]):
    def __init__(self, table: Datasets) -> None:
        super().__init__()
        self._table = table

    def __missing__(self, level: str) -> npt.NDArray[np.bool_]:
        usable = self._table.is_usable(level)
        self[level] = usable
        return usable


def _is_sorted(frame: pl.DataFrame) -> bool:
    """Return whether the rows are sorted by session and id, none of which is there twice."""
    eid, did = pl.col("eid"), pl.col("did")
    ordered = (eid > eid.shift()) | ((eid == eid.shift()) & (did > did.shift()))
    return bool(frame.select(ordered.fill_null(value=True).all() & eid.is_not_null().all()).item())
