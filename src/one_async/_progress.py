"""Progress display: one line on a terminal or in a notebook, written to standard error.

The line has a part for each running task: the done and the total amount, with ``+`` while the total still grows, and the
remaining time if it can be estimated. It appears after `DELAY` seconds and is removed at the end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Protocol, TypeVar

import anyio

from one_async import _display
from one_async._screen import is_visible, line_of_screen, write_notice
from one_async._threads import run_sync
from one_async.errors import InputError

__all__ = ["Display", "Progress", "Task", "Transfers", "display_for", "growing", "screen", "shown", "working"]

T = TypeVar("T")
#: Seconds after which work is shown, and between two updates.
DELAY, INTERVAL = 0.3, 0.1
_BAR = 10
#: Held while a line is displayed, since only one can be at a time.
_SCREEN = threading.Lock()


class Progress(Protocol):
    """Receiver of a fetch's progress. It is called on the event loop, so it must be quick."""

    def start(self, files: int, nbytes: int) -> None:
        """Start with the number of files and the sum of their recorded sizes."""

    def advance(self, files: int, nbytes: int) -> None:
        """Add finished files and received bytes; bytes are negative when a file is started over."""

    def stop(self) -> None:
        """Stop; no further call follows."""


def display_for(progress: Progress | bool | None, silent: bool = False) -> Display | None:
    """Return a display for True, and for None if standard error is a terminal or a notebook; otherwise None.

    Raises InputError for a value of any other kind.
    """
    if progress is True:
        return Display()
    if progress is None and not silent:
        return Display() if is_visible() else None
    if progress in (None, False) or all(hasattr(progress, name) for name in ("start", "advance", "stop")):
        return None
    raise InputError.of("progress", progress, "True, False, or an object with start, advance and stop")


class Task:
    """A task with a number of done units and a total, which may be unknown or still grow."""

    def __init__(self, what: str, unit: str = "", total: int | None = None, *, grows: bool = False) -> None:
        self.what, self.unit, self.total, self.grows = what, unit, total, grows
        self.done = 0
        self.started = time.monotonic()

    def set(self, done: int, total: int | None) -> None:
        """Set the done and the total number of units."""
        self.done, self.total = done, total

    def each(self, items: Iterable[T]) -> Iterator[T]:
        """Yield items and count them."""
        for item in items:
            yield item
            self.done += 1

    @property
    def fraction(self) -> float | None:
        """The share that is done; None if the total is unknown."""
        return self.done / self.total if self.total and not self.grows else None

    def text(self) -> str:
        """Return the task's part of the line."""
        if not self.unit:
            return f"{self.what}, {time.monotonic() - self.started:.0f} s"
        if self.unit == "bytes":
            return f"{self.what} {_sizes(self.done, self.total, self.grows)}"
        if self.total is None:
            return f"{self.what} {self.done:,} {self.unit} so far"
        return f"{self.what} {self.done:,}/{self.total:,}{'+' if self.grows else ''} {self.unit}"

    def left(self) -> str:
        """Return the remaining time, or an empty text if it cannot be estimated."""
        elapsed, share = time.monotonic() - self.started, self.fraction
        if not share or share >= 1 or elapsed < 1:
            return ""
        minutes, seconds = divmod(round(elapsed / share - elapsed), 60)
        return f"{minutes}:{seconds:02} left, "


class Transfers(Task):
    """The files and bytes of all running transfers; a `Progress`. Recorded sizes are hints, and some are unknown."""

    def __init__(
        self, what: str, begin: Callable[[Task], object], end: Callable[[Task], object] | None = None
    ) -> None:
        super().__init__(what, "bytes")
        self._end = end
        self.files = self.all_files = self.all_bytes = 0
        #: The number of calls that may still add files.
        self.growing = 0
        self._begin: Callable[[Task], object] | None = begin

    def start(self, files: int, nbytes: int) -> None:
        """Add files and bytes to the totals; the first call shows the task."""
        if self._begin is not None:
            begin, self._begin, self.started = self._begin, None, time.monotonic()
            begin(self)
        self.all_files += files
        self.all_bytes += nbytes

    def advance(self, files: int, nbytes: int) -> None:
        """Add finished files and transferred bytes."""
        self.files += files
        self.done += nbytes

    def stop(self) -> None:
        """End the task if it has an end of its own; otherwise the sums stay until the call ends."""
        if self._end is not None:
            self._end(self)

    @property
    def fraction(self) -> float | None:
        """The share of transferred bytes."""
        return None if self.growing or not self.all_bytes else min(1.0, self.done / self.all_bytes)

    def text(self) -> str:
        """Return the task's part of the line: files, bytes and speed."""
        more = "+" if self.growing else ""
        sizes = _sizes(self.done, max(self.all_bytes, self.done), bool(self.growing))
        elapsed = time.monotonic() - self.started
        speed = f", {_display.size(round(self.done / elapsed))}/s" if elapsed > 1 and self.done > 0 else ""
        return f"{self.what} {self.files:,}/{self.all_files:,}{more} files, {sizes}{speed}"


def _sizes(done: int, total: int | None, grows: bool) -> str:
    """Return bytes done and in total with one unit, such as ``1.2/3.4 MB``."""
    if total is None:
        return f"{_display.size(max(done, 0))} so far"
    unit = _display.size(total).rpartition(" ")[2] or "B"
    scale = 1000 ** ["B", "kB", "MB", "GB", "TB", "PB", "EB"].index(unit)
    if scale == 1:
        return f"{done}/{total}{'+' if grows else ''} B"
    return f"{done / scale:.1f}/{total / scale:.1f}{'+' if grows else ''} {unit}"


def line_of(tasks: list[Task]) -> str:
    """Return the line of the tasks, with a bar and the remaining time for the last task whose total is known."""
    texts = "; ".join(task.text() for task in tasks)
    for task in reversed(tasks):
        if (share := task.fraction) is not None:
            filled = round(max(0.0, min(1.0, share)) * _BAR)
            return f"[{'#' * filled}{'.' * (_BAR - filled)}] {share:4.0%} {task.left()}{texts}"
    return texts


class _Drawing(threading.Thread):
    """Draws the line of a display until it is finished."""

    def __init__(self, display: Display) -> None:
        super().__init__(daemon=True)
        self._display, self._done, self._last = display, threading.Event(), ""

    def finish(self, last: str) -> Callable[[], None]:
        """Draw the last state and end the thread; return a function that waits for it."""
        self._last = last
        self._done.set()
        return self.join

    def run(self) -> None:
        if self._done.wait(self._display.delay):
            return
        while not _SCREEN.acquire(timeout=INTERVAL):
            if self._done.is_set():
                return
        try:
            with suppress(Exception):  # a failing display must not end the work
                line = line_of_screen()
                while not self._done.wait(INTERVAL):
                    line.show(self._display.line)
                line.end(self._last)
        finally:
            _SCREEN.release()


class Display:
    """The line of one client. A thread draws it, so that drawing does not block the event loop."""

    def __init__(self, delay: float = DELAY) -> None:
        self.delay = delay
        self._lock = threading.Lock()
        self._tasks: list[Task] = []
        self._drawing: _Drawing | None = None
        self._calls = 0
        #: The files of all calls that are `transferring`.
        self.transfers = Transfers("downloading", self.begin)

    def begin(self, task: Task) -> None:
        """Show a task."""
        with self._lock:
            self._tasks = [*self._tasks, task]
            if self._drawing is None:
                self._drawing = _Drawing(self)
                self._drawing.start()

    def end(self, task: Task) -> Callable[[], None] | None:
        """Remove a task; for the last one, return a function that waits until the line is gone."""
        with self._lock:
            last, self._tasks = self._tasks, [one for one in self._tasks if one is not task]
            if self._tasks or self._drawing is None:
                return None
            drawing, self._drawing = self._drawing, None
            return drawing.finish(line_of(last))

    @property
    def line(self) -> str:
        """The line as it is now."""
        return line_of(self._tasks)

    @asynccontextmanager
    async def transferring(self) -> AsyncIterator[Transfers]:
        """Show the files that are transferred inside together with those of other running calls."""
        with self._lock:
            self._calls += 1
            if self._calls == 1:
                self.transfers = Transfers("downloading", self.begin)
            transfers = self.transfers
        try:
            yield transfers
        finally:
            with self._lock:
                self._calls -= 1
                last = self._calls == 0
            if last:
                await _end(self, transfers)

    def notice(self, text: str) -> None:
        """Write a permanent line, without waiting for it."""
        threading.Thread(target=write_notice, args=(text,), daemon=True).start()


async def _end(display: Display, task: Task) -> None:
    if wait := display.end(task):
        with anyio.CancelScope(shield=True):
            await run_sync(wait)


@asynccontextmanager
async def shown(display: Display | None, task: Task) -> AsyncIterator[Task]:
    """Show a task, if there is a display."""
    if display is None:
        yield task
        return
    display.begin(task)
    try:
        yield task
    finally:
        await _end(display, task)


@contextmanager
def growing(transfers: Transfers | None, parts: int) -> Iterator[Callable[[], None]]:
    """Mark the total of transfers as growing until the yielded function has been called ``parts`` times."""
    left = parts

    def done() -> None:
        nonlocal left
        left -= 1
        if left == 0 and transfers is not None:
            transfers.growing -= 1

    if transfers is not None:
        transfers.growing += 1
    try:
        yield done
    finally:
        if left > 0 and transfers is not None:
            transfers.growing -= 1


@contextmanager
def working(display: Display | None, task: Task) -> Iterator[Task]:
    """Show a task, if there is a display; for blocking code."""
    if display is None:
        yield task
        return
    display.begin(task)
    try:
        yield task
    finally:
        if wait := display.end(task):
            wait()


@contextmanager
def screen() -> Iterator[None]:
    """Prevent displays from drawing while a program draws by itself."""
    acquired = _SCREEN.acquire(blocking=False)
    try:
        yield
    finally:
        if acquired:
            _SCREEN.release()
