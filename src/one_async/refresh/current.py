"""The current tables of one folder in one process, with the rows learned from queries.

Learned rows are queued on the event loop, and merged into the tables in a thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

import anyio
import polars as pl

from one_async._observer import LOGS
from one_async._progress import Display, Task, shown
from one_async._threads import check_polars, run_polars, run_sync
from one_async._warnings import warn
from one_async.errors import InputError, TablesDamaged, TablesNotFound, TablesWarning
from one_async.refresh.saving import save_ids
from one_async.refresh.schedule import Schedule
from one_async.refresh.swap import Stamp, State, open_tables, same_tables, stamp_of
from one_async.tables.catalogue import Catalogue
from one_async.tables.disk import is_modified, save_tables
from one_async.tables.merge import merge, to_frame
from one_async.tables.schema import IDS, SCHEMAS

if TYPE_CHECKING:
    from one_async.alyx.client import AsyncAlyxClient

__all__ = ["CurrentTables"]

#: Rows of a table: a frame, or dicts by column.
Rows: TypeAlias = pl.DataFrame | Sequence[Mapping[str, Any]]
#: Pieces of each table, each with the time at which it was queued, in order.
Taken: TypeAlias = Mapping[str, Sequence[tuple[float, Rows]]]
#: The column of learned rows with the time at which they were queued, in seconds since 1970.
_AT = "learned_at"
#: The most rows, and the most pieces, that are queued before they are merged.
MOST_ROWS, MOST_PIECES = 20_000, 200


class CurrentTables:
    """The tables of a folder and the rows learned from queries, in an immutable view that is replaced as a whole."""

    def __init__(
        self,
        tables_dir: Path,
        alyx: Callable[[], AsyncAlyxClient] | None,
        expiry: float,
        display: Display | None = None,
        bring: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._display = display
        #: Updates the files in the folder before they are read, if they are copies.
        self._update_copies = bring
        self._folder = Path(tables_dir)
        self._alyx = alyx
        self._schedule = Schedule(expiry)
        self._view = View()
        self._stamp: Stamp = ()
        self._queue = Queue()
        self._merging = False
        self._loaded_ids: dict[str, None] = {}
        self._modified: datetime | None = None
        self._saved: datetime | None = None
        self._reading = anyio.Lock()
        self._saving = anyio.Lock()
        self._replacing = threading.Lock()

    @property
    def tables_dir(self) -> Path:
        """The folder of the tables in use."""
        return self._folder

    @property
    def loaded(self) -> Catalogue:
        """The loaded tables with learned rows; reads nothing and is empty if nothing is loaded."""
        check_polars()
        while self._queue:
            view, taken = self._view, self._queue.peek()
            self._replace(view, view.grow(taken, self._origin()), taken)
        return self._view.tables

    @property
    def in_memory(self) -> Catalogue:
        """The loaded tables, at once: rows learned from queries are merged into them only if none were read from disk."""
        return self.loaded if self._view.base is None else self._view.tables

    # ---- reading

    async def current(self) -> Catalogue:
        """Return the current tables with learned rows; the first call reads them from disk.

        No request is made. Raises TablesNotFound if there are none, TablesDamaged if they cannot be read.
        """
        if self._view.base is None:
            try:
                await self._read_once()
            except TablesNotFound:
                if self._view.is_empty and not self._queue:
                    raise
        while self._queue:
            await self._advance(lambda view, taken: view.grow(taken, self._origin()))
        return self._view.tables

    def _origin(self) -> str | None:
        """Return the origin of learned rows, as ONE-api writes it."""
        return None if self._alyx is None else self._alyx().base_url

    async def _advance(self, make: Callable[[View, Taken], View]) -> None:
        """Compute a new view in a thread, and use it unless the current view has changed meanwhile."""
        view, taken = self._view, self._queue.peek()
        made = await run_polars(make, view, taken)
        self._replace(view, made, taken)

    def _replace(self, view: View, made: View, taken: Taken) -> None:
        """Replace a view by one computed from it, unless another thread has replaced it meanwhile."""
        with self._replacing:
            if self._view is view:
                self._view = made
                self._queue.drop(taken)

    async def _read_once(self) -> None:
        async with self._reading:
            if self._view.base is None:
                if self._update_copies is not None:
                    await self._update_copies()
                await self._read()

    async def _read(self) -> None:
        """Read the folder's tables and make them current."""
        folder = self._folder
        started = time.monotonic()
        opening = Task("opening the tables", "files")
        async with shown(self._display if self._view.base is None else None, opening):
            base, stamp = await run_polars(open_tables, folder, opening.set)
        LOGS["tables"].info(
            "%s: %d sessions and %d datasets opened in %.2f s",
            folder, len(base.session_frame), len(base.dataset_table), time.monotonic() - started,
        )  # fmt: skip
        state = await run_sync(State.read, folder)
        await self._make_current(base)
        self._stamp = stamp
        if state.server and state.server == self._origin():
            self._adopt_check(state)

    async def _make_current(self, base: Catalogue) -> None:
        """Make tables current, with the learned rows added; prepare them for searches if they replace others."""
        since, origin = self._schedule.checked or 0.0, self._origin()

        def make(view: View, taken: Taken) -> View:
            made = view.rebased(base, taken, since, origin)
            if view.base is not None:
                _prepare(made.tables, view.tables)
            return made

        while self._view.base is not base:
            await self._advance(make)

    def _adopt_check(self, state: State) -> None:
        """Adopt the time of the last check if another process has checked since."""
        if state.checked is not None and state.checked > (self._schedule.checked or 0.0):
            self._schedule.succeeded(state.checked)

    async def read_if_changed(self) -> None:
        """Read the tables if their files have changed; keep the loaded ones if the files are missing or damaged."""
        stamp = await run_sync(stamp_of, self._folder)
        if self._view.base is None or stamp != self._stamp:
            with suppress(TablesNotFound, TablesDamaged):
                await self._read()

    # ---- learned rows

    def learn(
        self, *, sessions: Rows | None = None, datasets: Rows | None = None, insertions: Rows | None = None
    ) -> None:
        """Queue rows from a query, to be merged when the tables are next used."""
        for table, rows in (("sessions", sessions), ("datasets", datasets), ("insertions", insertions)):
            if rows is not None and len(rows):
                self._queue.add(table, rows)
                self._modified = datetime.now()

    async def settle(self) -> None:
        """Merge the queued rows if there are many, so that repeated rows do not accumulate."""
        if self._queue.is_long and not self._merging:
            self._merging = True
            try:
                await self._advance(lambda view, taken: view.grow(taken, self._origin()))
            finally:
                self._merging = False

    def record(self, dids: Iterable[UUID | str]) -> None:
        """Record that datasets were loaded."""
        self._loaded_ids.update(dict.fromkeys(map(str, dids)))

    @property
    def loaded_ids(self) -> tuple[str, ...]:
        """The ids of the loaded datasets, in the order of their first loading."""
        return tuple(self._loaded_ids)

    async def save_loaded_ids(
        self, sessions_only: bool = False, clear_list: bool = True
    ) -> tuple[list[str], Path | None]:
        """Write the ids of the loaded datasets, or of their sessions, to a CSV file in the tables' folder.

        Return the ids and the file. Warns and returns no ids and no file if nothing was recorded.
        """
        ids = list(self._loaded_ids)
        if not ids:
            warn("no datasets were recorded; set record_loaded to True first", TablesWarning)
            return [], None
        tables = await self.current() if sessions_only else None
        saved, path = await run_polars(save_ids, self._folder, ids, tables)
        if clear_list:
            for did in ids:
                self._loaded_ids.pop(did, None)
        return saved, path

    async def save(self, save_dir: Path | None = None, clobber: bool = False) -> Path:
        """Write the tables with learned rows to a folder; return the folder.

        Without ``clobber``, rows that other processes saved there are kept, and nothing is written if nothing was learned
        since the last save. Raises OSError if the folder is not writable.
        """
        check_polars()
        folder = Path(save_dir) if save_dir is not None else self._folder
        async with self._saving:
            with suppress(TablesNotFound):
                await self.current()
            view = self._view
            if not clobber and not is_modified(view.tables):
                return folder
            is_own = folder == self._folder
            opened = await run_polars(_save, view.tables, folder, clobber, is_own)
            self._saved = datetime.now()
            if opened is not None and self._view is view:
                self._view, self._stamp = view.saved(opened[0]), opened[1]
            elif opened is not None:
                await self.read_if_changed()
        return folder


def _save(tables: Catalogue, folder: Path, clobber: bool, reopen: bool) -> tuple[Catalogue, Stamp] | None:
    with same_tables(folder):
        save_tables(tables, folder, clobber=clobber)
    return open_tables(folder) if reopen else None


def _prepare(tables: Catalogue, before: Catalogue) -> None:
    """Compute the indexes that first searches would compute, as far as searches of the previous catalogue used them."""
    _ = tables.order, tables.spans
    for column in ("lab", "subject", "number", "task_protocol", "projects"):
        tables.distinct(column)
    for level in list(before.dataset_table.usable):
        _ = tables.dataset_table.usable[level]


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
