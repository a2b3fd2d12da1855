"""Warnings, issued at the caller's line, and once for all sessions of a call that are unusual in the same way."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType

from one_async.errors import ALFWarning, _text

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


def warn(text: str, category: type[Warning] = ALFWarning) -> None:
    """Issue a warning at the caller's line. The text of an ALFWarning ends with the session that is worked on, if known.

    In a public call it is issued when the call ends, after its line of progress is removed.
    """
    session = _SESSION.get() if category is ALFWarning else None
    gathering = _GATHERING.get()
    if gathering is None or gathering.is_over:
        _issue(_with_sessions(text, [session]), category)
    else:
        gathering.add(text, session, category)


class Gathering:
    """The warnings of a call, in its tasks and threads; issued at its end, unless an outer call gathers them.

    Warnings of different sessions that differ only in numbers are one. Tasks that live longer than the call issue theirs
    at once.
    """

    def __init__(self) -> None:
        self.is_over = False
        self._seen: set[tuple[type[Warning], str, str | None]] = set()
        self._found: dict[tuple[type[Warning], str], list[tuple[str, dict[str | None, None]]]] = {}

    def add(self, text: str, session: str | None, category: type[Warning] = ALFWarning) -> None:
        """Add a warning."""
        if (category, text, session) in self._seen:
            return
        self._seen.add((category, text, session))
        alike = self._found.setdefault((category, _NUMBER.sub("0", text)), [])
        for _, sessions in alike:
            if session is not None and session not in sessions:
                sessions[session] = None
                return
        alike.append((text, {session: None}))

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
        for (category, _), alike in self._found.items():
            for text, sessions in alike:
                with suppress(category) if is_failing else contextlib.nullcontext():
                    _issue(_with_sessions(text, sessions), category)


def _with_sessions(text: str, sessions: Iterable[str | None]) -> str:
    named = [session for session in sessions if session]
    if len(named) <= 1:
        return f"{text}; session {named[0]}" if named else text
    more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    return f"{text}; in {len(named)} sessions: {', '.join(named[:_MOST_NAMED])}{more}"


def _issue(text: str, category: type[Warning]) -> None:
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OWN):
        level, frame = level + 1, frame.f_back
    warnings.warn(_text(text), category, stacklevel=level)
