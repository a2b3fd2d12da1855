"""Waiting for sessions that appear at the server."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Unpack

import anyio

from one_async._arguments import as_list
from one_async._observer import LOGS
from one_async.client.call import has_keywords, public_methods
from one_async.client.search import terms_to_complete
from one_async.client.watch_cursor import WatchCursor
from one_async.errors import AnswerError, InputError, ServerError, ServerUnreachable, StatusError, Throttled
from one_async.queries.terms import complete_all, rest_queries
from one_async.types import SessionTerms

if TYPE_CHECKING:
    from one_async.client.context import Context
    from one_async.client.watch_cursor import CursorLike
    from one_async.types import JSON

#: The longest pause in seconds while the server is away, unless rounds are further apart.
LONGEST_PAUSE = 900.0


@public_methods(ended_by_closing=True)
class Watching:
    """The method that waits for sessions."""

    _context: Context

    @has_keywords(SessionTerms)
    async def watch(
        self,
        /,
        *,
        every: float | timedelta | None = 60.0,
        cursor: CursorLike = None,
        **terms: Unpack[SessionTerms],
    ) -> AsyncIterator[JSON]:
        """Yield the sessions that meet all of the terms, first existing ones, then others as soon as they appear.

        Terms are those of a remote `search`. With ``datasets`` or ``dataset_types`` a session is yielded once it has all of
        them. Each session is yielded once, as its record in the list of ``/sessions``, which all methods accept as a session::

            async for session in one.watch(lab="cortexlab", datasets="_ibl_trials.table.pqt", cursor="done.txt"):
                trials = await one.load_object(session, "trials")

        Requests bypass the REST cache, and stored answers about sessions and datasets from before a session
        appeared are not used afterwards. While the server cannot be reached, or answers 429, 502, 503 or 504, the pauses
        between rounds are doubled up to 15 minutes; other errors end the iteration.

        Args:
            every: seconds between two rounds; with None there is one round and the iteration ends.
            cursor: a file for the ids of the sessions that are done, so that a restarted service misses no session. A session
                is done, and written to the file, when the next one is requested: a session whose processing was interrupted
                is yielded again. One watch at a time may use a file. For work that must not be repeated, store the ids with
                its results in one transaction and pass them as ``cursor``, which is then read but not changed. To skip
                existing sessions, pass the result of `search`.
            terms: the terms of a remote `search`.

        Raises InputError before any request; OfflineError, LoginError, StatusError; ServerUnreachable with ``every=None``.

        Examples:
            >>> async for session in one.watch(subject="SU_101", datasets="spikes.times.npy", every=None):
            ...     print(session["subject"], session["start_time"][:10])
            SU_101 2024-06-24
        """
        self._context.needs_database("watch")
        pause = seconds(every)
        complete = complete_all(terms, await terms_to_complete(self._context, "sessions", terms))
        queries = rest_queries(complete)
        wanted = {
            name: sorted(map(str, as_list(complete.get(name, ())))) for name in ("datasets", "dataset_types")
        }
        done = await WatchCursor.open(cursor, {"server": self._context.alyx.base_url, **wanted})
        failures = 0
        while True:
            sessions: list[JSON] = []
            try:
                sessions = await _appeared(self._context, queries, done)
                failures = 0
            except ServerError as error:
                if pause is None or not _is_away(error):
                    raise
                failures += 1
                LOGS["http"].warning("watch: round %d without an answer: %s", failures, type(error).__name__)
                if failures == 1 and (notice := self._context.observer.notice) is not None:
                    notice(f"no answer from the server, which is asked again until it answers: {error}")
            for session in sessions:
                await _learn_datasets(self._context, session["id"])
                yield session
                with anyio.CancelScope(shield=True):
                    await done.add(session["id"])
            if pause is None:
                return
            await anyio.sleep(pause_after(pause, failures))


async def _appeared(context: Context, queries: list[dict[str, str]], done: WatchCursor) -> list[JSON]:
    """Return the sessions that are not done, earliest first."""
    rows = await context.remote().current_sessions(queries)
    new = [row for row in rows if row["id"] not in done]
    if new:
        await context.alyx._expire("datasets")
    return sorted(new, key=lambda row: (str(row.get("start_time")), row["id"]))


async def _learn_datasets(context: Context, eid: str) -> None:
    """Add the datasets of a session to the tables, which may have the session but not its datasets."""
    if context.frozen is not None or context.mode in ("local", "remote"):
        return
    with suppress(ServerError):  # the next request meets the same error
        await context.remote().datasets_of([eid])


def pause_after(every: float, failures: int) -> float:
    """Return the seconds until the next round after a number of rounds without an answer."""
    return min(every * 2.0 ** min(failures, 60), max(every, LONGEST_PAUSE))


def seconds(every: object) -> float | None:
    """Return the seconds between two rounds; None for one round. Raises InputError for anything else."""
    if every is None:
        return None
    if isinstance(every, timedelta):
        every = every.total_seconds()
    with suppress(OverflowError):
        if isinstance(every, int | float) and not isinstance(every, bool) and 0 < float(every) < math.inf:
            return float(every)
    raise InputError.of("every", every, "seconds above 0, a timedelta, or None for one round")


def _is_away(error: ServerError) -> bool:
    """Return whether the same request may be answered later."""
    if isinstance(error, StatusError):
        return isinstance(error, Throttled) or error.status in (502, 503, 504)
    return isinstance(error, ServerUnreachable | AnswerError)
