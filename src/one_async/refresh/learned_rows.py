"""Rows learned from queries: queued on the event loop, merged into the tables in a thread."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import polars as pl

from one_async._warnings import warn
from one_async.errors import InputError, TablesWarning
from one_async.tables.catalogue import Catalogue
from one_async.tables.merge import merge, to_frame
from one_async.tables.schema import IDS, SCHEMAS

__all__ = ["Queue", "Rows", "Taken", "View"]

#: Rows of a table: a frame, or dicts by column.
Rows: TypeAlias = pl.DataFrame | Sequence[Mapping[str, Any]]
#: Pieces of each table, each with the time at which it was queued, in order.
Taken: TypeAlias = Mapping[str, Sequence[tuple[float, Rows]]]
#: The column of learned rows with the time at which they were queued, in seconds since 1970.
_AT = "learned_at"
#: The most rows, and the most pieces, that are queued before they are merged.
MOST_ROWS, MOST_PIECES = 20_000, 200


class Queue:
    """Rows of tables that are not merged yet, in pieces; used on the event loop only.

    In remote mode the tables are never searched, so the pieces are merged when `is_long`.
    """

    def __init__(self) -> None:
        self._pieces: dict[str, list[tuple[float, Rows]]] = {table: [] for table in SCHEMAS}
        self._rows = 0

    @property
    def is_long(self) -> bool:
        """Whether so much is queued that merging it saves memory."""
        return self._rows > MOST_ROWS or sum(map(len, self._pieces.values())) > MOST_PIECES

    def __bool__(self) -> bool:
        return any(self._pieces.values())

    def add(self, table: str, rows: Rows) -> None:
        """Queue rows."""
        self._pieces[table].append((time.time(), rows))
        self._rows += len(rows)

    def peek(self) -> Taken:
        """Return the queued pieces."""
        return {table: list(pieces) for table, pieces in self._pieces.items() if pieces}

    def drop(self, taken: Taken) -> None:
        """Remove pieces that `peek` returned and that are merged now."""
        for table, pieces in taken.items():
            del self._pieces[table][: len(pieces)]
            self._rows -= sum(len(rows) for _, rows in pieces)


@dataclass(frozen=True)
class View:
    """Tables as read from disk (None if there are none), the same tables with learned rows, and the learned rows."""

    base: Catalogue | None = None
    grown: Catalogue | None = None
    learned: Mapping[str, pl.DataFrame] = field(default_factory=dict)

    @property
    def tables(self) -> Catalogue:
        """The tables with learned rows; empty if there are none."""
        return Catalogue.empty() if self.grown is None else self.grown

    @property
    def is_empty(self) -> bool:
        """Whether nothing was read and nothing was learned."""
        return self.base is None and not self.learned

    def grow(self, taken: Taken, origin: str | None = None) -> View:
        """Return the view with more learned rows; blocking."""
        new = _frames(taken)
        if not new:
            return self
        return View(
            self.base, merge(self.tables, _without_times(new), origin=origin), _joined(self.learned, new)
        )

    def rebased(self, base: Catalogue, taken: Taken, since: float = 0.0, origin: str | None = None) -> View:
        """Return a view of other tables with the learned rows; blocking.

        Rows learned before ``since``, when the server still had the previous tables, are older than the new tables, so
        they are added only if the new tables lack their id.
        """
        learned = {
            table: frame.filter(
                (pl.col(_AT) >= since) | ~pl.col(IDS[table]).is_in(_ids(base, table).implode())
            )
            for table, frame in _joined(self.learned, _frames(taken)).items()
        }
        learned = {table: frame for table, frame in learned.items() if len(frame)}
        return View(base, merge(base, _without_times(learned), origin=origin) if learned else base, learned)

    def saved(self, base: Catalogue) -> View:
        """Return the view of the same tables after they were saved."""
        return View(base, base, self.learned)


def _ids(tables: Catalogue, table: str) -> pl.Series:
    if table == "datasets":
        return tables.datasets().select("did").collect()["did"]
    frame = tables.session_frame if table == "sessions" else tables.insertions().select("pid").collect()
    return frame[IDS[table]]


def _without_times(frames: Mapping[str, pl.DataFrame]) -> dict[str, Any]:
    return {table: frame.drop(_AT) for table, frame in frames.items()}


def _frames(taken: Taken) -> dict[str, pl.DataFrame]:
    """Return the pieces of each table as one frame with the table's own columns; omit pieces that do not fit."""
    made: dict[str, list[pl.DataFrame]] = {}
    for table, pieces in taken.items():
        for at, rows in pieces:
            try:
                frame = to_frame(table, _own_columns(table, rows))
            except InputError as error:
                warn(f"rows of {table} are discarded: {error}", TablesWarning)
            else:
                made.setdefault(table, []).append(frame.with_columns(pl.lit(at).alias(_AT)))
    return {table: _distinct(table, frames) for table, frames in made.items()}


def _own_columns(table: str, rows: Rows) -> Rows:
    if isinstance(rows, pl.DataFrame):
        return rows.select(name for name in SCHEMAS[table] if name in rows.columns)
    return rows


def _joined(old: Mapping[str, pl.DataFrame], new: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    both = {
        table: _distinct(table, [old[table], frame] if table in old else [frame])
        for table, frame in new.items()
    }
    return {**old, **both}


def _distinct(table: str, frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Concatenate frames and keep the last row of each id."""
    frame = pl.concat(frames, how="diagonal_relaxed")
    return frame.unique(IDS[table], keep="last", maintain_order=True)
