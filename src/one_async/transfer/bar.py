"""A progress bar for people: the files and bytes of all transfers of a call in one line, on a terminal or in a notebook."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from one_async.errors import ConfigurationError, InputError

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from one_async.transfer.fetch import Progress

__all__ = ["Bar", "bar_for"]

#: One bar at a time has the screen.
_SCREEN = threading.Lock()


def bar_for(progress: Progress | bool | None, silent: bool) -> Bar | None:
    """Return a bar if one is wanted: always with True, never with False; else on an interactive screen if rich is installed.

    Raises ConfigurationError where one is asked for and rich is not installed, InputError for what is none of these.
    """
    if progress is True:
        if find_spec("rich") is None:
            raise ConfigurationError("a progress bar needs rich: pip install 'one-async[progress]'")
        return Bar()
    if progress is None and not silent:
        seen = not _in_worker() and (_on_terminal() or _in_notebook())
        return Bar() if seen and find_spec("rich") else None
    if progress in (None, False) or all(hasattr(progress, name) for name in ("start", "advance", "stop")):
        return None
    raise InputError.of("progress", progress, "True, False, or an object with start, advance and stop")


def _in_worker() -> bool:
    """Tell the processes of pools and of Dask, whose screen is another process's."""
    started = sys.modules.get("multiprocessing.process")
    return started is not None and started.parent_process() is not None


def _on_terminal() -> bool:
    with suppress(AttributeError, ValueError):  # None, or closed
        return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return False


def _in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


class Bar:
    """Sums what it hears (a Progress) from the first call that enters to the last that leaves, and shows the sums.

    A thread shows them, and imports rich for it, so that the event loop has no work with it; what is done sooner
    than in `delay` seconds shows nothing.
    """

    def __init__(self, delay: float = 0.3) -> None:
        self.files = self.all_files = self.bytes = self.all_bytes = 0
        self._delay = delay
        self._lock = threading.Lock()
        self._calls = 0
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def enter(self) -> None:
        """Begin a call; the first one begins the sums."""
        with self._lock:
            if self._calls == 0:
                self.files = self.all_files = self.bytes = self.all_bytes = 0
            self._calls += 1

    def leave(self) -> Callable[[], None] | None:
        """End a call; after the last one, give what waits until the bar is gone, if there is one."""
        with self._lock:
            self._calls -= 1
            if self._calls or self._thread is None:
                return None
            thread, self._thread = self._thread, None
            self._done.set()
            return thread.join

    def start(self, files: int, nbytes: int) -> None:
        """Add files to what will come."""
        with self._lock:
            self.all_files += files
            self.all_bytes += nbytes
            if self._thread is None:
                self._done = threading.Event()
                self._thread = threading.Thread(target=self._show, args=(self._done,), daemon=True)
                self._thread.start()

    def advance(self, files: int, nbytes: int) -> None:
        """Add what came."""
        self.files += files
        self.bytes += nbytes

    def stop(self) -> None:
        """Nothing more comes of one transfer; the bar stays until the call ends."""

    def _show(self, done: threading.Event) -> None:
        if done.wait(self._delay):
            return
        while not _SCREEN.acquire(timeout=0.1):
            if done.is_set():
                return
        try:
            with (
                suppress(Exception),
                _notebook() if _in_notebook() else _terminal() as draw,
            ):  # loading goes on without
                while not done.wait(0.1):
                    draw(self)
                draw(self)
        finally:
            _SCREEN.release()


@contextmanager
def _terminal() -> Iterator[Callable[[Bar], None]]:
    from rich.console import Console

    # What the user prints meanwhile stays what it is, and where it goes.
    line = _line(Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False)
    task = line.add_task("", files=0, all_files=0)

    def draw(bar: Bar) -> None:
        _update(line, task, bar)
        line.refresh()

    with line:
        yield draw


@contextmanager
def _notebook() -> Iterator[Callable[[Bar], None]]:
    from IPython.display import display  # type: ignore[import-not-found, unused-ignore]
    from rich.console import Console

    line = _line(Console(force_jupyter=True))
    task = line.add_task("", files=0, all_files=0)
    shown: list[Any] = []

    def draw(bar: Bar) -> None:
        _update(line, task, bar)
        table = line.make_tasks_table(line.tasks)
        if shown:
            shown[0].update(table)
        else:
            shown.append(display(table, display_id=True))  # type: ignore[no-untyped-call, unused-ignore]

    yield draw


def _line(console: Any, **options: Any) -> RichProgress:
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("downloading"),
        BarColumn(),
        TextColumn("{task.fields[files]}/{task.fields[all_files]} files"),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        auto_refresh=False,
        **options,
    )


def _update(line: RichProgress, task: Any, bar: Bar) -> None:
    # Recorded sizes are hints only, and some are not known.
    total = max(bar.all_bytes, bar.bytes) or None
    line.update(task, completed=bar.bytes, total=total, files=bar.files, all_files=bar.all_files)
