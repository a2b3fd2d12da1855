"""One caller does the work that many ask for at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

__all__ = ["Flight"]


class Flight:
    """A piece of work that is under way at most once; on one event loop."""

    def __init__(self) -> None:
        self._now: _Work | None = None

    @property
    def busy(self) -> bool:
        """Whether somebody is doing the work."""
        return self._now is not None

    async def join(self, work: Callable[[], Awaitable[None]], *, strict: bool = False) -> None:
        """Do the work, or wait for the caller who is doing it and share what comes of it, errors too.

        Where that caller is cancelled, another takes its place. ``strict`` work is shared among strict callers alone,
        and their result with everybody.
        """
        while (other := self._now) is not None:
            await other.done.wait()
            if other.finished and (other.strict or not strict):
                if other.error is not None:
                    raise other.error
                return
        mine = self._now = _Work(strict)
        try:
            await work()
            mine.finished = True
        except Exception as error:
            mine.finished, mine.error = True, error
            raise
        finally:
            self._now = None
            mine.done.set()


class _Work:
    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self.done = anyio.Event()
        self.finished = False
        self.error: Exception | None = None
