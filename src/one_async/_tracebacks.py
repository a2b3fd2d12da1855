"""Tracebacks of errors without the library's own frames.

The text of an error explains it, so the frames below the user's own lines only distract. With ONE_DEBUG set, all
frames and causes are shown.
"""

from __future__ import annotations

import os
import sys
import traceback
from functools import partial
from types import TracebackType
from typing import TypeVar

__all__ = ["notebook_lines", "shortened"]

E = TypeVar("E", bound=BaseException)
_PACKAGE = __name__.partition(".")[0]


def shortened(error: E) -> E:
    """Remove the frames of the loop and of the libraries below from an error's traceback, unless ONE_DEBUG is set.

    The cause of the error stays available as ``__context__``, but is not printed. IPython also leaves out the frame that
    raises the error again.
    """
    if os.environ.get("ONE_DEBUG"):
        return error
    cause = error.__cause__ or error.__context__
    error = error.with_traceback(None)
    error.__cause__, error.__context__ = None, cause
    if "IPython" in sys.modules and not hasattr(error, "_render_traceback_"):  # an error of Python's own
        error._render_traceback_ = partial(notebook_lines, error)  # type: ignore[attr-defined]
    return error


def notebook_lines(error: BaseException) -> list[str]:
    """Return the lines that IPython shows for an error, in its current ``%xmode``: the frames above this package's first.

    IPython calls ``_render_traceback_`` of an exception for this. Its own ``__tracebackhide__`` never hides the last frame.
    """
    from IPython.core.getipython import get_ipython

    cause, suppressed = error.__cause__, error.__suppress_context__
    trace = error.__traceback__
    try:
        if not os.environ.get("ONE_DEBUG"):
            error.__cause__ = None  # also suppresses the context
            trace = _above_package(trace) or trace
        if (shell := get_ipython()) is None:
            return traceback.format_exception(type(error), error, trace)
        lines: list[str] = shell.InteractiveTB.structured_traceback(type(error), error, trace)
        return lines
    finally:
        error.__cause__, error.__suppress_context__ = cause, suppressed


def _above_package(trace: TracebackType | None) -> TracebackType | None:
    """Return the entries of a traceback before the first one of this package."""
    if trace is None or trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        return None
    return TracebackType(_above_package(trace.tb_next), trace.tb_frame, trace.tb_lasti, trace.tb_lineno)
