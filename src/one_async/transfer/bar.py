"""A progress bar for terminals and notebooks: the files and bytes of all transfers of a call in one line."""

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

#: Held while a bar is displayed; only one is displayed at a time.
_SCREEN = threading.Lock()


def bar_for(progress: Progress | bool | None, silent: bool) -> Bar | None:
    """Return a bar for True; for None, one if the screen is interactive and rich is installed; otherwise None.

    Raises ConfigurationError for True if rich is not installed, InputError for a value of any other kind.
    """
    if progress is True:
        if find_spec("rich") is None:
            raise ConfigurationError("a progress bar needs rich: pip install 'one-async[progress]'")
        return Bar()
    if progress is None and not silent:
        visible = not _in_worker_process() and (_on_terminal() or _in_notebook())
        return Bar() if visible and find_spec("rich") else None
    if progress in (None, False) or all(hasattr(progress, name) for name in ("start", "advance", "stop")):
        return None
    raise InputError.of("progress", progress, "True, False, or an object with start, advance and stop")


def _in_worker_process() -> bool:
    """Return whether this is a worker of a process pool or of Dask, whose screen belongs to its parent."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def _on_terminal() -> bool:
    with suppress(AttributeError, ValueError):  # None, or closed
        return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return False


def _in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


class Bar:
    """A Progress that adds up all calls from the first that enters to the last that leaves, and displays the sums.

    A thread imports rich and draws, which keeps the work off the event loop. Calls that end within `delay` seconds
    show nothing.
    """

    def __init__(self, delay: float = 0.3) -> None:
        self.files = self.all_files = self.bytes = self.all_bytes = 0
        self._delay = delay
        self._lock = threading.Lock()
        self._calls = 0
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def enter(self) -> None:
        """Begin a call; the first one resets the sums."""
        with self._lock:
            if self._calls == 0:
                self.files = self.all_files = self.bytes = self.all_bytes = 0
            self._calls += 1

    def leave(self) -> Callable[[], None] | None:
        """End a call; after the last one, return a function that waits until the bar is gone, if one is shown."""
        with self._lock:
            self._calls -= 1
            if self._calls or self._thread is None:
                return None
            thread, self._thread = self._thread, None
            self._done.set()
            return thread.join

    def start(self, files: int, nbytes: int) -> None:
        """Add files and bytes to the totals."""
        with self._lock:
            self.all_files += files
            self.all_bytes += nbytes
            if self._thread is None:
                self._done = threading.Event()
                self._thread = threading.Thread(target=self._show, args=(self._done,), daemon=True)
                self._thread.start()

    def advance(self, files: int, nbytes: int) -> None:
        """Add finished files and received bytes."""
        self.files += files
        self.bytes += nbytes

    def stop(self) -> None:
        """Keep the bar at the end of one transfer; it is removed when the call ends."""

    def _show(self, done: threading.Event) -> None:
        if done.wait(self._delay):
            return
        while not _SCREEN.acquire(timeout=0.1):
            if done.is_set():
                return
        try:
            # A failing display must not end the download.
            with suppress(Exception), _notebook() if _in_notebook() else _terminal() as draw:
                while not done.wait(0.1):
                    draw(self)
                draw(self)
        finally:
            _SCREEN.release()


@contextmanager
def _terminal() -> Iterator[Callable[[Bar], None]]:
    from rich.console import Console

    # The user's own output is not redirected.
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
    # Recorded sizes are hints, and some are unknown.
    total = max(bar.all_bytes, bar.bytes) or None
    line.update(task, completed=bar.bytes, total=total, files=bar.files, all_files=bar.all_files)
