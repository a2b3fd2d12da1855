"""Warnings of datasets and lists: issued at the caller's line, and one for all sessions of a call that are unusual in the same
way.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType

from one_async.errors import ALFWarning, OneWarning, _text

__all__ = ["Gathering", "warn", "warnings_name"]

#: Files whose frames are not the caller's.
_OWN = (f"{Path(__file__).parent}{os.sep}", contextlib.__file__)
#: The most sessions that a warning names.
_MOST_NAMED = 3
_NUMBER = re.compile(r"\d+")
_SESSION: ContextVar[str | None] = ContextVar("session", default=None)
_GATHERING: ContextVar[Gathering | None] = ContextVar("gathering", default=None)


@contextmanager
def warnings_name(session: str) -> Iterator[None]:
    """Name a session in the warnings of `warn` that the code inside issues."""
    token = _SESSION.set(session)
    try:
        yield
    finally:
        _SESSION.reset(token)


def warn(text: str, category: type[OneWarning] = ALFWarning) -> None:
    """Issue a warning at the caller's line; its text ends with the session that is worked on, if that is known.

    In a public call it is issued when the call ends, after its line of progress is removed.
    """
    gathering = _GATHERING.get()
    if gathering is None or gathering.is_over:
        _issue(_with_sessions(text, [_SESSION.get()]), category)
    else:
        gathering.add(text, _SESSION.get(), category)


class Gathering:
    """The warnings of a call, in its tasks and threads; issued at its end, unless an outer call gathers them.

    Warnings that differ only in numbers and sessions are one. Tasks that live longer than the call issue theirs at once.
    """

    def __init__(self) -> None:
        self.is_over = False
        self._found: dict[tuple[str, type[OneWarning]], tuple[str, list[str | None]]] = {}

    def add(self, text: str, session: str | None, category: type[OneWarning] = ALFWarning) -> None:
        """Add a warning."""
        self._found.setdefault((_NUMBER.sub("0", text), category), (text, []))[1].append(session)

    def __enter__(self) -> None:
        outer = _GATHERING.get()
        self._is_outermost = outer is None or outer.is_over
        if self._is_outermost:
            self._token = _GATHERING.set(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_outermost:
            _GATHERING.reset(self._token)
            self.issue(is_failing=error is not None)

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Gather the warnings of the code inside without issuing them."""
        token = _GATHERING.set(self)
        try:
            yield
        finally:
            _GATHERING.reset(token)

    def issue(self, *, is_failing: bool = False) -> None:
        """Issue the warnings. None of them replaces the error of a failing call, where filters make errors of them."""
        self.is_over = True
        for (_, category), (text, sessions) in self._found.items():
            with suppress(OneWarning) if is_failing else contextlib.nullcontext():
                _issue(_with_sessions(text, sessions), category)


def _with_sessions(text: str, sessions: list[str | None]) -> str:
    named = list(dict.fromkeys(filter(None, sessions)))
    if len(named) <= 1:
        return f"{text}; session {named[0]}" if named else text
    more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    return f"{text}; in {len(named)} sessions: {', '.join(named[:_MOST_NAMED])}{more}"


def _issue(text: str, category: type[OneWarning]) -> None:
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OWN):
        level, frame = level + 1, frame.f_back
    warnings.warn(_text(text), category, stacklevel=level)
