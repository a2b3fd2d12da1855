"""TablesKeeper: the current cache tables, refreshed in the background."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import anyio

from one_async._concurrency import SingleFlight
from one_async._observer import LOGS
from one_async._progress import Display
from one_async._threads import check_polars, run_sync
from one_async._tracing import span
from one_async.errors import (
    InputError,
    OfflineError,
    OneError,
    TablesDamaged,
    TablesNotFound,
    TablesWarning,
)
from one_async.refresh.current import CurrentTables, Queue
from one_async.refresh.info import Offer, TablesInfo, TooNew, request_offer
from one_async.refresh.schedule import SHORTEST, seconds_of
from one_async.refresh.swap import State
from one_async.refresh.update import fetch
from one_async.types import Mode

if TYPE_CHECKING:
    from anyio.abc import TaskStatus

    from one_async.alyx.client import AsyncAlyxClient

__all__ = ["TablesKeeper"]

_LONGEST_SLEEP = 600.0
_TAG = re.compile(r"\w[\w.+ -]{0,200}")
#: Schedules a coroutine function to run in the background.
Later = Callable[[Callable[[], Awaitable[None]]], object]


class _Attempt(NamedTuple):
    """One check for newer tables: whether it was made with ``now``, and its error."""

    now: bool
    error: Exception | None


class TablesKeeper(CurrentTables):
    """The cache tables of one folder, refreshed from a database if there is one.

    Readers use ``current()`` or ``loaded``, an immutable Catalogue, which new tables with the rows learned from queries
    replace as a whole. The constructor reads nothing. Use an instance on one event loop at a time.
    """

    def __init__(
        self,
        tables_dir: Path,
        alyx: Callable[[], AsyncAlyxClient] | None,
        cache_expiry: timedelta | float | None = None,
        display: Display | None = None,
        bring: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(tables_dir, alyx, seconds_of(cache_expiry), display, bring)
        self._home = self._folder
        self._tag: str | None = None
        self._flight: SingleFlight[_Attempt] = SingleFlight()
        self._changing = anyio.Lock()
        self._running = 0
        self._wake: anyio.Event | None = None
        self._warned = False

    # ---- settings and information

    @property
    def cache_expiry(self) -> timedelta:
        """The time between checks for newer tables; setting it (timedelta or seconds) takes effect at once."""
        return timedelta(seconds=self._schedule.expiry)

    @cache_expiry.setter
    def cache_expiry(self, value: timedelta | float) -> None:
        self._schedule.expiry = seconds_of(value)
        self._wake_up()

    def _wake_up(self) -> None:
        if self._wake is not None:
            self._wake.set()

    @property
    def info(self) -> TablesInfo:
        """Information on the loaded tables; reads nothing."""
        tables, checked = self._view.tables, self._schedule.checked
        rows = {"sessions": len(tables.session_frame), "datasets": len(tables.dataset_table)}
        rows |= {name: len(frame) for name, frame in tables.others.items()}
        return TablesInfo(
            created=tables.meta.created_time,
            loaded=tables.meta.loaded_time,
            checked=None if checked is None else datetime.fromtimestamp(checked),
            expired=self._is_expired(),
            origin=tuple(sorted(tables.meta.origin)),
            tags=tuple(sorted(tables.meta.database_tags)),
            rows=rows,
            path=self._folder,
        )

    @property
    def meta(self) -> dict[str, Any]:
        """The counterpart of ``_cache._meta`` in ONE-api 2."""
        meta = self._view.tables.meta
        return {
            "expired": self._is_expired(),
            "created_time": meta.created_time,
            "loaded_time": meta.loaded_time,
            "modified_time": self._modified or meta.modified_time,
            "saved_time": self._saved or meta.saved_time,
            "raw": {name: dict(raw) for name, raw in meta.raw.items()},
        }

    def _is_expired(self) -> bool:
        return self._view.base is None or self._schedule.is_expired(time.time())

    # ---- refreshing

    async def refresh(self, mode: Mode, *, later: Later | None = None) -> datetime | None:
        """Refresh the tables according to a mode; return the time when the current ones were loaded.

        ``local`` and ``remote`` read the tables on disk if none are loaded yet. ``auto`` checks the server for newer tables if
        the last check is longer ago than ``cache_expiry``; if there are tables, the background task does so if it runs, or
        ``later`` schedules it. ``refresh`` checks now. If the server cannot be reached but there are tables, a TablesWarning
        is issued, once. Raises TablesNotFound if there are no tables, except in ``remote`` mode, which returns None.
        """
        if mode not in get_args(Mode):
            raise InputError.of("mode", mode, get_args(Mode))
        check_polars()
        if mode in ("auto", "refresh") and self._alyx is not None:
            await self._bring_up_to_date(now=mode == "refresh", later=later)
        elif mode == "refresh":
            if self._update_copies is not None:
                await self._update_copies()
            await self.read_if_changed()
        if self._view.base is None:
            with suppress(*((TablesNotFound,) if mode == "remote" else ())):
                await self._read_once()
        return self._view.tables.meta.loaded_time

    @property
    def _has_complete_tables(self) -> bool:
        """Whether there are tables from a server rather than only saved rows of earlier queries."""
        base = self._view.base
        return base is not None and not base.meta.is_partial

    async def _bring_up_to_date(self, now: bool, later: Later | None = None) -> None:
        if not now:
            if self._view.base is None:
                with suppress(TablesNotFound, TablesDamaged):
                    await self._read_once()
            if self._has_complete_tables and (self._running or self._schedule.due_in(time.time()) > 0):
                return
            if self._has_complete_tables and later is not None:
                if not self._flight.busy:
                    later(self._check_quietly)
                return
        await self._check_once(now, time.time(), is_awaited=True)

    async def _check_quietly(self) -> None:
        """Check for newer tables if a check is due; on failure, the old ones stay current."""
        with suppress(Exception):  # the failure was reported by a warning, and warnings may be errors
            await self._check_once(False, 0.0)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Check for newer tables every ``cache_expiry`` until cancelled; to be started in a task group.

        Failed checks are repeated with growing pauses; errors of the server or the disk are not raised.
        """
        if self._alyx is None:
            raise OfflineError("there is no database to check for newer tables")
        self._running += 1
        self._wake = anyio.Event()
        try:
            task_status.started()
            with suppress(Exception):  # `current` will raise it again; only cancellation ends this task
                await self._read_once()
            while True:
                wait = self._schedule.due_in(time.time())
                if wait > 0:
                    await self._sleep(wait)
                    continue
                await self._check_quietly()
                await anyio.sleep(SHORTEST)
        finally:
            self._running -= 1

    async def _sleep(self, seconds: float) -> None:
        """Wait until the expiry is changed or the time has passed; for a limited time, in case the clock is corrected."""
        self._wake = anyio.Event()
        with anyio.move_on_after(min(seconds, _LONGEST_SLEEP)):
            await self._wake.wait()

    async def _check_once(self, now: bool, called: float, *, is_awaited: bool = False) -> None:
        """Check for newer tables, or share a running check; with `now`, share only a check that was made with `now`.

        Progress is shown if a call awaits the check, or if there are no tables, so that calls wait for it.
        """
        display = self._display if is_awaited or self._view.base is None else None

        async def attempt() -> _Attempt:
            try:
                await self._check(now, called, display)
            except Exception as error:
                return _Attempt(now, error)
            return _Attempt(now, None)

        result = await self._flight.share("check", attempt, lambda other: other.now or not now)
        if result.error is not None:
            raise result.error

    async def _check(self, now: bool, called: float, display: Display | None) -> None:
        """Check the server and download its tables if they are newer; warn if that fails.

        With ``now``, a request is made unless one was made after ``called``, in seconds since 1970; otherwise if it is due.
        """
        assert self._alyx is not None
        url = ""
        try:
            alyx = self._alyx()
            url = alyx.base_url
            async with self._changing:
                await self._update(alyx, now, called, display)
        except Exception as error:  # the old tables stay current
            if isinstance(error, TooNew):
                self._schedule.succeeded(time.time())
            else:
                self._schedule.failed(time.time())
            known = isinstance(error, (OneError, OSError))
            LOGS["tables"].warning("%s: the tables could not be refreshed: %s", url, type(error).__name__)
            reason = error if known else f"{type(error).__name__}: {error}"
            if self._view.base is None:
                text = f"there are no cache tables in {self._folder}, and {url} provided none: {reason}"
                raise TablesNotFound(text, path=str(self._folder)) from error
            self._warn(f"the cache tables in {self._folder} could not be updated: {reason}")
        else:
            self._warned = False

    def _warn(self, text: str) -> None:
        """Warn that the old tables stay current, once until a check succeeds."""
        if not self._warned:
            self._warned = True
            # At once and not by `warn`, as the check may run in the background, after the call that began it.
            warnings.warn(text, TablesWarning, stacklevel=3)

    async def _update(self, alyx: AsyncAlyxClient, now: bool, called: float, display: Display | None) -> None:
        """Request the server's offer if needed, and install the offered tables if they are newer."""
        if await self._is_request_needed(alyx, now, called):
            with span("refresh tables"):
                await self._install_offered(alyx, display)

    async def _install_offered(self, alyx: AsyncAlyxClient, display: Display | None) -> None:
        offer = await request_offer(alyx, self._tag)
        if await self._has_tables_of(offer):
            state = await run_sync(State.read, self._folder)
            ours = state if state.server == offer.server else State(server=offer.server)
            await run_sync(replace(ours, checked=offer.requested_at).write, self._folder)
        else:
            self._warn_of_other_origin(offer)
            started = time.monotonic()
            if await fetch(alyx, offer, self._folder, partial(self._has_tables_of, offer), display):
                LOGS["tables"].info(
                    "%s: tables of %s refreshed in %.1f s",
                    offer.server,
                    offer.minute,
                    time.monotonic() - started,
                )
                await self._read()
        self._schedule.succeeded(offer.requested_at)

    async def _is_request_needed(self, alyx: AsyncAlyxClient, now: bool, called: float) -> bool:
        """Return whether a request is needed, after adopting the results of other processes."""
        if now and self._view.base is not None and (self._schedule.checked or 0.0) >= called:
            return False  # the background task has checked meanwhile
        if not now:
            state = await run_sync(State.read, self._folder)
            if state.server == alyx.base_url:
                self._adopt_check(state)
        await self.read_if_changed()
        return now or not self._has_complete_tables or self._schedule.due_in(time.time()) <= 0

    async def _has_tables_of(self, offer: Offer) -> bool:
        """Return whether the folder has the offered tables, after reading those that it has now."""
        await self.read_if_changed()
        return not self._is_update(offer, await run_sync(State.read, self._folder))

    def _is_update(self, offer: Offer, known: State) -> bool:
        """Return whether the server offers different tables from the loaded ones."""
        base = self._view.base
        if base is None or base.meta.is_partial:
            return True
        if known.created and known.server == offer.server and known.files == self._stamp:
            return known.origin != offer.origin or offer.is_newer_than(datetime.fromisoformat(known.created))
        if not self._has_tag():
            return True
        return self._is_foreign(offer) or offer.is_newer_than(base.meta.created_time)

    def _is_foreign(self, offer: Offer) -> bool:
        base = self._view.base
        known = base.meta.origin if base is not None else ()
        return offer.origin is not None and offer.origin not in known

    def _warn_of_other_origin(self, offer: Offer) -> None:
        base = self._view.base
        known = base.meta.origin if base is not None else frozenset()
        if known and offer.server not in known and self._is_foreign(offer):
            others = ", ".join(sorted(known))
            text = f"the cache tables in {self._folder} came from {others} and are replaced by those of {offer.origin}"
            with suppress(TablesWarning):  # even if warnings are errors
                warnings.warn(text, TablesWarning, stacklevel=2)  # at once, as in `_warn`

    # ---- other tables

    async def load(
        self,
        tables_dir: Path | None = None,
        tag: str | None = None,
        clobber: bool = False,
        *,
        online: bool = True,
    ) -> datetime | None:
        """Switch to the tables of another folder or of one tag of the database; return the time when they were loaded.

        Unless a folder is given, a tag's tables are in a subfolder named after it. They are downloaded if they are missing,
        or with ``clobber`` if the server's are newer; with ``online=False`` no request is made. Learned rows are discarded.
        Raises InputError for an invalid tag and TablesNotFound if there are no such tables; the current tables then stay.
        """
        if tag is not None and (not isinstance(tag, str) or not _TAG.fullmatch(tag)):
            raise InputError.of("tag", tag, "the name of a tag of the database")
        home, folder = self._home, self._folder
        if tables_dir is not None:
            home = folder = Path(tables_dir)
        elif tag is not None and tag != self._tag:
            folder = home / tag
        other = TablesKeeper(folder, self._alyx if online else None, self._schedule.expiry, self._display)
        other._tag = tag or (self._tag if tables_dir is None else None)
        await other._load(clobber)
        async with self._changing:
            self._home, self._folder, self._tag, self._schedule = home, folder, other._tag, other._schedule
            self._view, self._stamp, self._queue = other._view, other._stamp, Queue()
            self._modified = self._saved = None
        self._wake_up()
        return self._view.tables.meta.loaded_time

    async def _load(self, check_now: bool) -> None:
        if not check_now or self._alyx is None:
            try:
                await self._read_once()
            except TablesNotFound:
                if self._alyx is None:
                    raise
        if self._alyx is not None and (self._view.base is None or not self._has_tag()):
            await self._bring_up_to_date(now=True)
        if not self._has_tag():
            raise TablesNotFound(f"the cache tables in {self._folder} are not those of tag {self._tag!r}")

    def _has_tag(self) -> bool:
        base = self._view.base
        return base is not None and (self._tag is None or self._tag in base.meta.database_tags)
