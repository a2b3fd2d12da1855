"""What people see of work that takes long: one line on a terminal or in a notebook, written to standard error.

The line has a part for each thing under way: how much is done of how much, with ``+`` where the total still grows, and the
time that is left where it can be known. It appears after `DELAY` seconds, and is removed at the end.
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
#: Held while a line is displayed: there is one at a time.
_SCREEN = threading.Lock()


class Progress(Protocol):
    """Receiver of a fetch's progress. It is called on the event loop, so it must be quick."""

    def start(self, files: int, nbytes: int) -> None:
        """Begin, with the number of files and the sum of their recorded sizes."""

    def advance(self, files: int, nbytes: int) -> None:
        """Add finished files and received bytes; bytes are negative when a file is started over."""

    def stop(self) -> None:
        """End; no further call follows."""


def display_for(progress: Progress | bool | None, silent: bool = False) -> Display | None:
    """Return a display for True, and for None where people look at standard error; otherwise None.

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
    """Work of which a number of units is done, of a total that may not be known yet, or still grow."""

    def __init__(self, what: str, unit: str = "", total: int | None = None, *, grows: bool = False) -> None:
        self.what, self.unit, self.total, self.grows = what, unit, total, grows
        self.done = 0
        self.started = time.monotonic()

    def set(self, done: int, total: int | None) -> None:
        """Set what is done and the total."""
        self.done, self.total = done, total

    def each(self, items: Iterable[T]) -> Iterator[T]:
        """Yield items and count them."""
        for item in items:
            yield item
            self.done += 1

    @property
    def fraction(self) -> float | None:
        """The share that is done; None where the total is not known."""
        return self.done / self.total if self.total and not self.grows else None

    def text(self) -> str:
        """Return the part of the line."""
        if not self.unit:
            return f"{self.what}, {time.monotonic() - self.started:.0f} s"
        if self.unit == "bytes":
            return f"{self.what} {_sizes(self.done, self.total, self.grows)}"
        if self.total is None:
            return f"{self.what} {self.done:,} {self.unit} so far"
        return f"{self.what} {self.done:,}/{self.total:,}{'+' if self.grows else ''} {self.unit}"

    def left(self) -> str:
        """Return the time that is left, if it can be told."""
        elapsed, share = time.monotonic() - self.started, self.fraction
        if not share or share >= 1 or elapsed < 1:
            return ""
        minutes, seconds = divmod(round(elapsed / share - elapsed), 60)
        return f"{minutes}:{seconds:02} left, "


class Transfers(Task):
    """The files and bytes of all transfers under way; a `Progress`. Recorded sizes are hints, and some are unknown."""

    def __init__(
        self, what: str, begin: Callable[[Task], object], end: Callable[[Task], object] | None = None
    ) -> None:
        super().__init__(what, "bytes")
        self._end = end
        self.files = self.all_files = self.all_bytes = 0
        #: How many calls may yet add files.
        self.growing = 0
        self._begin: Callable[[Task], object] | None = begin

    def start(self, files: int, nbytes: int) -> None:
        """Add files and bytes to the totals; the first show them."""
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
        """Keep the sums, which are shown until the call ends, unless this is the end of it."""
        if self._end is not None:
            self._end(self)

    @property
    def fraction(self) -> float | None:
        """The share of the bytes."""
        return None if self.growing or not self.all_bytes else min(1.0, self.done / self.all_bytes)

    def text(self) -> str:
        """Return the part of the line: files, bytes, speed, and the time that is left."""
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
    """Return the line for some tasks, begun with a bar and the time that is left of the last whose total is known."""
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
        """Draw the last state, and end; return a function that waits for that."""
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
    """The line of one client. A thread draws it, so that the event loop is not kept from its work."""

    def __init__(self, delay: float = DELAY) -> None:
        self.delay = delay
        self._lock = threading.Lock()
        self._tasks: list[Task] = []
        self._drawing: _Drawing | None = None
        self._calls = 0
        #: The files of all calls that are `transferring`.
        self.transfers = Transfers("downloading", self.begin)

    def begin(self, task: Task) -> None:
        """Show work."""
        with self._lock:
            self._tasks = [*self._tasks, task]
            if self._drawing is None:
                self._drawing = _Drawing(self)
                self._drawing.start()

    def end(self, task: Task) -> Callable[[], None] | None:
        """End work; at the end of the last, return a function that waits until the line is gone."""
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
        """Show all files that are transferred inside, and in other calls under way, together."""
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
        """Show a line that stays, without waiting for it."""
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
    """Mark the total of transfers as growing until the function that this yields was called for so many parts."""
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
    """Keep displays from drawing, for a program that draws itself."""
    held = _SCREEN.acquire(blocking=False)
    try:
        yield
    finally:
        if held:
            _SCREEN.release()
