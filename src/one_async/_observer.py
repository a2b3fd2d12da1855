"""Counts, logs, traces and event hooks for the requests of one client."""

from __future__ import annotations

import inspect
import logging
import math
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit, urlunsplit

import anyio

from one_async import _tracing
from one_async.errors import InputError
from one_async.events import EventHooks, RequestEvent, ResponseEvent, RetryEvent, Stats

__all__ = ["LOGS", "Exchange", "Observer", "public_url", "resending"]

#: The parts of the library with loggers of their own.
Part: TypeAlias = Literal["http", "cache", "tables", "transfer", "harvest"]
LOGS: Mapping[Part, logging.Logger] = {
    name: logging.getLogger(f"one_async.{name}")
    for name in ("http", "cache", "tables", "transfer", "harvest")
}
# Without a handler, Python would print warnings of a library to stderr.
logging.getLogger("one_async").addHandler(logging.NullHandler())

KINDS = ("request", "response", "retry")
#: Names of query parameters whose values may be secret.
_SECRET = re.compile(r"token|pass|secret|sig|key|credential|auth", re.IGNORECASE)
#: Seconds over which the server's throttle counts, and the fewest requests that are taken for its limit.
_WINDOW, _FEWEST = 60.0, 20

_resends: ContextVar[int] = ContextVar("one_async_resends", default=0)


@contextmanager
def resending(count: int) -> Iterator[None]:
    """Count requests in the body of this context manager as resent for the ``count``-th time; 0 means the first time."""
    token = _resends.set(count)
    try:
        yield
    finally:
        _resends.reset(token)


def public_url(url: str, *, with_query: bool = True) -> str:
    """Return an address without its user name, its password, and secret values of its query."""
    try:
        parts = urlsplit(url)
    except ValueError:  # an invalid host in brackets
        return url.partition(":")[0]
    query = "&".join(
        text if with_query and not _SECRET.search(name) else f"{name}=REDACTED"
        for text in parts.query.split("&")
        if (name := text.partition("=")[0])
    )
    netloc = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=netloc, query=query, fragment=""))


@dataclass
class Counts:
    """The counts so far."""

    requests: int = 0
    retries: int = 0
    cache_hits: int = 0
    cache_misses: int = 0
    waited: float = 0.0
    received: int = 0
    files: int = 0


class Observer:
    """The observer of one client; a pickle of it is a new one, without hooks."""

    def __init__(self, event_hooks: EventHooks | None = None) -> None:
        self.counts = Counts()
        #: Shows the user a line about a wait.
        self.notice: Callable[[str], None] | None = None
        self._hooks = _checked(event_hooks)
        self._accepted: deque[float] = deque()
        self._waiting_until = 0.0

    def __reduce__(self) -> tuple[object, ...]:
        return (Observer, ())

    def stats(self, tables_age: float | None = None) -> Stats:
        """Return the counts, and the age of the tables."""
        return Stats(**vars(self.counts), tables_age=tables_age)

    def exchange(self, method: str, url: str, *, is_rest: bool) -> Exchange:
        """Return a context for one request and its response. The queries of files may be signed, and are not shown."""
        return Exchange(self, method, url, is_rest)

    def cache_answer(self, url: str, age: float | None) -> None:
        """Count an answer, from the cache (with its age in seconds) or not."""
        if age is None:
            self.counts.cache_misses += 1
        else:
            self.counts.cache_hits += 1
        if LOGS["cache"].isEnabledFor(logging.DEBUG):
            what = "miss" if age is None else f"hit, {age:.0f} s old"
            LOGS["cache"].debug("%s: %s", _path(url), what)

    async def sleep(self, seconds: float) -> None:
        """Wait before a request, and count the time."""
        started = time.monotonic()
        try:
            await anyio.sleep(seconds)
        finally:
            self.counts.waited += time.monotonic() - started

    async def retry(
        self, part: Part, method: str, url: str, reason: object, wait: float, *, throttled: bool = False
    ) -> None:
        """Report that a request will be sent again, and wait before it."""
        self.counts.retries += 1
        shown = public_url(url, with_query=part in ("http", "harvest"))
        why = reason if isinstance(reason, str) else type(reason).__name__
        if throttled and wait >= 1:
            self.throttled(wait)
        else:  # a request without a wait of its own waits for that of the others, which is reported once
            level = logging.WARNING if wait else logging.DEBUG
            LOGS[part].log(level, "%s %s: %s; sent again in %.2f s", method, _path(shown), why, wait)
        self.call("retry", lambda: RetryEvent(method, shown, _resends.get() + 1, why, wait))
        await self.sleep(wait)

    def throttled(self, wait: float) -> None:
        """Report a wait demanded by the server's throttle, once for all requests that wait together."""
        now = time.monotonic()
        if now + wait <= self._waiting_until + 1:
            return
        self._waiting_until = now + wait
        self._forget(now)
        known = len(self._accepted) >= _FEWEST
        limit = (
            f"allows {len(self._accepted):,} requests a minute" if known else "refuses further requests (429)"
        )
        text = f"waiting {math.ceil(wait)} s: the server {limit}"
        LOGS["http"].warning("%s", text)
        if self.notice is not None:
            self.notice(text)

    def accepted(self, sent: float) -> None:
        """Record a request that the server's throttle accepted."""
        self._forget(sent)
        self._accepted.append(sent)

    def _forget(self, now: float) -> None:
        while self._accepted and self._accepted[0] <= now - _WINDOW:
            self._accepted.popleft()

    def call(self, name: str, event: Callable[[], object]) -> None:
        """Call the hooks of one kind with an event. Their errors are logged and do not affect the request."""
        hooks = self._hooks.get(name)
        if not hooks:
            return
        made = event()
        for hook in hooks:
            try:
                hook(made)
            except Exception:
                LOGS["http"].exception("an event hook for %s failed", name)


class Exchange:
    """One request and its response; set ``status`` when it is known."""

    def __init__(self, observer: Observer, method: str, url: str, is_rest: bool) -> None:
        self._observer, self.method, self._is_rest = observer, method, is_rest
        self.status: int | None = None
        self._given, self._resend = url, _resends.get()
        self._sent = 0.0
        self._span: Any = None

    @cached_property
    def _url(self) -> str:
        return public_url(self._given, with_query=self._is_rest)

    def __enter__(self) -> Exchange:
        observer = self._observer
        observer.counts.requests += 1
        observer.call("request", lambda: RequestEvent(self.method, self._url, self._resend))
        self._span = _tracing.span(self.method, self._attributes, is_client=True)
        self._span.__enter__()
        self._sent = time.monotonic()
        return self

    def _attributes(self) -> dict[str, str | int]:
        """Return the span's attributes by the semantic conventions for HTTP clients."""
        parts = urlsplit(self._url)
        return {
            "http.request.method": self.method,
            "url.full": self._url,
            "server.address": parts.hostname or "",
            "server.port": parts.port or (443 if parts.scheme == "https" else 80),
            **({"http.request.resend_count": self._resend} if self._resend else {}),
        }

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds = time.monotonic() - self._sent
        if isinstance(self._span, _tracing.Span) and self.status is not None:
            self._span.set("http.response.status_code", self.status)
            if self.status >= 400:
                self._span.fail(str(self.status))
        self._span.__exit__(kind, error, trace)
        if self._is_rest and self.status not in (None, 429) and not self._given.endswith("/auth-token"):
            self._observer.accepted(self._sent)
        failure = None if kind is None else kind.__name__
        if LOGS["http"].isEnabledFor(logging.DEBUG):
            outcome = self.status if failure is None else failure
            LOGS["http"].debug("%s %s: %s in %.0f ms", self.method, _path(self._url), outcome, seconds * 1000)
        self._observer.call(
            "response",
            lambda: ResponseEvent(self.method, self._url, self._resend, self.status, failure, seconds),
        )


def _path(url: str) -> str:
    """Return the path and query of an address, with its host if the context does not imply it."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _checked(given: Any) -> dict[str, tuple[Callable[[Any], object], ...]]:
    """Return event hooks. Raises InputError for unknown kinds of events, and for anything but plain functions."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise InputError.of("event_hooks", given, "a mapping of 'request', 'response' and 'retry' to lists")
    hooks: dict[str, tuple[Callable[[Any], object], ...]] = {}
    for name, functions in given.items():
        if name not in KINDS:
            raise InputError.of("event_hooks", name, KINDS)
        if not isinstance(functions, list | tuple) or not all(map(_is_plain, functions)):
            raise InputError.of(
                "event_hooks", functions, f"a list of functions, not of coroutines, for {name!r}"
            )
        hooks[name] = tuple(functions)
    return hooks


def _is_plain(function: object) -> bool:
    return callable(function) and not inspect.iscoroutinefunction(function)
