"""The progress line on standard error: overwritten on a terminal, an output of the cell in a notebook."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from typing import Any

from one_async import _display

__all__ = ["Cell", "Terminal", "is_visible", "line_of_screen", "write_notice"]

_WRITING = threading.Lock()
#: The number of characters of the current line on the terminal.
_standing = 0


def is_visible() -> bool:
    """Return whether standard error is visible: a terminal or a notebook."""
    return not _in_worker_process() and (_on_terminal() or _in_notebook())


def line_of_screen() -> Terminal | Cell:
    """Return the line for the present kind of screen."""
    return Cell() if _in_notebook() else Terminal()


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


class Terminal:
    """Standard error, whose last line is overwritten. If it is a file, one line is written at the end."""

    def show(self, text: str) -> None:
        global _standing
        if not _on_terminal():
            return
        text = _display.clipped(text, max(_columns() - 1, 10))
        with _WRITING:
            _write(f"\r{text.ljust(_standing)}")
            _standing = len(text)

    def end(self, text: str) -> None:
        """Show the last state for a moment, then remove the line."""
        if not _on_terminal():
            _write(f"{text}\n")
            return
        self.show(text)
        with _WRITING:
            _erase()


class Cell:
    """The output of a notebook's cell, in which the last state stays."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, text: str) -> None:
        if self._handle is None:
            self._handle = _show_in_cell(text, display_id=True)
        else:
            self._handle.update(_Text(text))

    def end(self, text: str) -> None:
        self.show(text)


class _Text:
    """A line in a notebook."""

    def __init__(self, text: str) -> None:
        self._line = text

    def __repr__(self) -> str:
        return self._line

    def _repr_html_(self) -> str:
        return f'<div style="color:inherit;font-family:monospace">{_display.cell(self._line)}</div>'


def _show_in_cell(text: str, **options: Any) -> Any:
    from IPython.display import display  # type: ignore[import-not-found, unused-ignore]

    return display(_Text(text), **options)  # type: ignore[no-untyped-call, unused-ignore]


def write_notice(text: str) -> None:
    """Write a permanent line; blocking. A failing display is ignored."""
    with suppress(Exception):
        if _in_notebook():
            _show_in_cell(text)
            return
        with _WRITING:
            _erase()
            _write(f"{text}\n")


def _erase() -> None:
    global _standing
    if _standing:
        _write(f"\r{' ' * _standing}\r")
        _standing = 0


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _columns() -> int:
    with suppress(KeyError, ValueError):
        return int(os.environ["COLUMNS"])
    with suppress(AttributeError, ValueError, OSError):
        return os.get_terminal_size(sys.stderr.fileno()).columns
    return 80
