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

from one_async.errors import ALFWarning, _text

__all__ = ["GATHERING", "Gathering", "warn", "warnings_name"]

#: Files whose frames are not the caller's.
_OWN = (f"{Path(__file__).parent}{os.sep}", contextlib.__file__)
#: The most sessions that a warning names.
_MOST_NAMED = 3
_NUMBER = re.compile(r"\d+")
_SESSION: ContextVar[str | None] = ContextVar("session", default=None)
#: The warnings of the call that is running.
GATHERING: ContextVar[Gathering | None] = ContextVar("gathering", default=None)


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
    gathering = GATHERING.get()
    if gathering is None or gathering.is_over:
        _issue(_with_sessions(text, [session]), category)
    else:
        gathering[category, text, session] = None


class Gathering(dict[tuple[type[Warning], str, str | None], None]):
    """The warnings of a call, in its tasks and threads; the call issues them at its end, unless an outer call gathers them.

    Tasks that live longer than the call issue theirs at once.
    """

    #: Whether the call has ended.
    is_over = False

    def issue(self, *, is_failing: bool = False) -> None:
        """Issue the warnings, or pass them to an outer call; those of different sessions that differ only in numbers are one.

        None of them replaces the error of a failing call, where filters make errors of them.
        """
        self.is_over = True
        outer = GATHERING.get()
        if outer is not None and outer is not self and not outer.is_over:
            outer.update(self)
            return
        found: dict[tuple[type[Warning], str], list[tuple[str, dict[str | None, None]]]] = {}
        for category, text, session in list(self):  # a thread that was abandoned may still add one
            _add(found.setdefault((category, _NUMBER.sub("0", text)), []), text, session)
        for (category, _), alike in found.items():
            for text, sessions in alike:
                with suppress(category) if is_failing else contextlib.nullcontext():
                    _issue(_with_sessions(text, sessions), category)


def _add(alike: list[tuple[str, dict[str | None, None]]], text: str, session: str | None) -> None:
    """Add a session to the first warning that does not name it; without one, add a warning."""
    for _, sessions in alike:
        if session is not None and session not in sessions:
            sessions[session] = None
            return
    alike.append((text, {session: None}))


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
