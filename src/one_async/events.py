"""Events for hooks and counts of a client's requests.

URLs of events contain no user names, passwords or secret query values. Loggers and their levels:

- ``one_async.http``: DEBUG each request, with status and milliseconds; WARNING repeated requests, and waits.
- ``one_async.cache``: DEBUG answers from the REST cache; WARNING stale answers and damaged files.
- ``one_async.tables``: INFO tables that were opened or refreshed; WARNING refreshes that failed.
- ``one_async.transfer``: INFO finished downloads; WARNING downloads that are continued or started again.
- ``one_async.harvest``: INFO endpoints that are complete; WARNING incomplete ones, and repeated requests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from one_async import _display
from one_async._display import Printer

__all__ = ["EventHooks", "RequestEvent", "ResponseEvent", "RetryEvent", "Stats"]


@dataclass(frozen=True, slots=True)
class RequestEvent:
    """A request that is about to be sent; ``resend`` is the number of earlier requests for the same answer.

    Examples:
        >>> from one_async import ONE
        >>> events = []
        >>> with ONE(event_hooks={"request": [events.append]}) as client:
        ...     subjects = client.alyx.rest("subjects", "list", no_cache=True)
        >>> events[-1].method, events[-1].resend
        ('GET', 0)
    """

    method: str
    url: str
    resend: int


@dataclass(frozen=True, slots=True)
class ResponseEvent:
    """A finished request: ``status`` of the response, or the kind of ``error``; ``seconds`` since it was sent.

    For a REST request the body has arrived; for a data file, only the header has.

    Examples:
        >>> from one_async import ONE
        >>> events = []
        >>> with ONE(event_hooks={"response": [events.append]}) as client:
        ...     subjects = client.alyx.rest("subjects", "list", no_cache=True)
        >>> events[-1].method, events[-1].status
        ('GET', 200)
    """

    method: str
    url: str
    resend: int
    status: int | None
    error: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class RetryEvent:
    """A request that failed for ``reason`` and will be repeated after ``wait`` seconds."""

    method: str
    url: str
    resend: int
    reason: str
    wait: float


#: Functions that are called with each event, in the thread of the event loop. They must not block.
EventHooks: TypeAlias = Mapping[Literal["request", "response", "retry"], Sequence[Callable[[Any], object]]]


@dataclass(frozen=True, slots=True, repr=False)
class Stats:
    """The counts of a client since it was made. ``dataclasses.asdict`` returns a dictionary for JSON.

    ``requests`` were sent over HTTP, among them ``retries`` and logins. REST answers came from the cache (``cache_hits``,
    which includes those of the same request under way) or not (``cache_misses``). ``waited`` are seconds that requests
    waited before they were sent, added up. ``received`` are bytes of bodies as they were transferred, ``files`` the
    downloaded ones. ``tables_age`` is the time in seconds since the server made the tables that are in memory.

    Examples:
        >>> from dataclasses import asdict
        >>> sorted(asdict(one.stats))[:3]
        ['cache_hits', 'cache_misses', 'files']
    """

    requests: int = 0
    retries: int = 0
    cache_hits: int = 0
    cache_misses: int = 0
    waited: float = 0.0
    received: int = 0
    files: int = 0
    tables_age: float | None = None

    def __repr__(self) -> str:
        return f"Stats({', '.join(f'{name}: {text}' for name, text in self._fields().items())})"

    def _fields(self) -> dict[str, str]:
        """Return the counts as texts."""
        answers = self.cache_hits + self.cache_misses
        age = self.tables_age
        shown = {
            "requests": f"{self.requests:,}" + (f" ({self.retries:,} again)" if self.retries else ""),
            "from cache": f"{self.cache_hits:,} of {answers:,}" if answers else "",
            "waited": f"{self.waited:.1f} s" if self.waited else "",
            "received": _display.size(self.received),
            "files": f"{self.files:,}" if self.files else "",
            "tables": "" if age is None else f"{_display.elapsed(age)} old",
        }
        return {name: text for name, text in shown.items() if text}

    def _repr_html_(self) -> str:
        return _display.card("Stats", self._fields())

    def _repr_pretty_(self, printer: Printer, cycle: bool) -> None:
        _display.pretty([repr(self)], printer, cycle)
