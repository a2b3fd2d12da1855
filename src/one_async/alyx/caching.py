"""How long each answer stays fresh, and where it is kept. No HTTP here."""

from __future__ import annotations

import hashlib
import math
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from one_async._values import without_password
from one_async.errors import InputError, StaleAnswerWarning
from one_async.types import Expiry

T = TypeVar("T")

DEFAULT_EXPIRY = timedelta(hours=24)
#: What Stamp says of an answer that has no policy of its own; how old is too old is Accept's to judge.
STAMP = "private, max-age=315360000"
UNSTORED = "no-store"
#: Addresses whose GET has effects or whose answer is about this very moment.
NEVER_STORED = frozenset({"auth-token", "check-protected", "sync-file-status"})
#: What else a write to an endpoint changes, as far as answers show it.
ALSO_CHANGED: Mapping[str, frozenset[str]] = {
    "register-file": frozenset({"sessions", "datasets", "files", "revisions", "insertions"}),
    "sync-file-status": frozenset({"files", "datasets", "sessions"}),
    "new-download": frozenset({"downloads"}),
    "datasets": frozenset({"sessions", "files", "insertions"}),
    "files": frozenset({"datasets", "sessions"}),
    "notes": frozenset({"sessions"}),
    "weighings": frozenset({"subjects", "water-requirement", "water-restricted-subjects"}),
    "water-administrations": frozenset(
        {"subjects", "sessions", "water-requirement", "water-restricted-subjects"}
    ),
    "trajectories": frozenset({"insertions", "channels"}),
    "insertions": frozenset({"sessions", "trajectories", "channels"}),
    "fields-of-view": frozenset({"sessions", "fov-location"}),
    "fov-location": frozenset({"fields-of-view"}),
}
#: How long answers are kept where nobody wants older ones: they serve while the server is away.
KEPT_FOR = timedelta(days=30)


def max_age(expires: Expiry, default: Expiry = None) -> float:
    """Return the seconds an answer may be old; infinity for any age.

    None means ``default``, and None there any age; True any age; False or 0 none; a datetime "stored since then".
    Raises InputError for anything that is no length of time.
    """
    if expires is None:
        return math.inf if default is None else max_age(default)
    if isinstance(expires, bool):
        return math.inf if expires else 0.0
    if isinstance(expires, timedelta):
        seconds = expires.total_seconds()
    elif isinstance(expires, datetime):
        seconds = time.time() - expires.timestamp()
    elif isinstance(expires, int | float):
        seconds = float(expires)
    else:
        raise InputError.of("expires", expires, "a timedelta, seconds, a datetime, True, False or None")
    if math.isnan(seconds):
        raise InputError.of("expires", expires, "a timedelta, seconds, a datetime, True, False or None")
    return max(seconds, 0.0)


def kept_for(default: Expiry) -> float:
    """Return how many seconds an answer is kept where ``default`` is how old one may be."""
    return max(max_age(default), KEPT_FOR.total_seconds())


def endpoint_of(url: str) -> str:
    """Return the first part of an address's path: ``sessions`` for ``/sessions/<id>?x=y``."""
    return urlsplit(url).path.strip("/").split("/", 1)[0]


def changed_by(endpoint: str) -> frozenset[str]:
    """Name the endpoints whose stored answers a write to ``endpoint`` makes stale."""
    return ALSO_CHANGED.get(endpoint, frozenset()) | {endpoint}


def stamp_for(url: str, status: int, own: bool) -> str | None:
    """Decide the Cache-Control of an answer; None leaves the server's or proxy's own policy alone."""
    if status not in (200, 304) or endpoint_of(url) in NEVER_STORED:
        return UNSTORED
    return None if own else STAMP


@dataclass(frozen=True, slots=True)
class Terms:
    """How old an answer a request takes: in seconds, and not asked for before a moment (since 1970)."""

    max_age: float
    since: float = 0.0


# ---- going round the cache --------------------------------------------------------------------------------

_around: ContextVar[frozenset[str]] = ContextVar("one_async_no_cache", default=frozenset())
_EVERYONE = "*"


@contextmanager
def no_cache(ac: T = None) -> Iterator[T]:  # type: ignore[assignment]
    """Go round the REST cache of a client, in this task or thread only: nothing read, nothing stored.

    ``ac`` is an AlyxClient of either face, or a ONE (its ``alyx`` is meant); None means every client.
    Tasks that run beside this one keep using the cache; tasks started inside do not.

    >>> with no_cache(one.alyx):
    ...     eids = one.search(lab="cortexlab", query_type="remote")
    """
    scope: Any = _EVERYONE
    if ac is not None:
        scope = getattr(getattr(ac, "alyx", ac), "cache_scope", None)
        if not isinstance(scope, str):
            raise InputError.of("ac", ac, "an AlyxClient, a ONE, or None for all clients")
    token = _around.set(_around.get() | {scope})
    try:
        yield ac
    finally:
        _around.reset(token)


def goes_around(scope: str) -> bool:
    """Return whether the caller is inside ``no_cache`` for the client with this scope."""
    scopes = _around.get()
    return bool(scopes) and (scope in scopes or _EVERYONE in scopes)


# ---- old answers, and one warning about them ----------------------------------------------------------

_stale: ContextVar[list[str] | None] = ContextVar("one_async_stale_answers", default=None)


def note_stale(text: str) -> None:
    """Say that an old answer was given, at the end of the ``one_warning`` around this, or now."""
    notes = _stale.get()
    if notes is None:
        warnings.warn(text, StaleAnswerWarning, stacklevel=2)
    else:
        notes.append(text)


@contextmanager
def one_warning() -> Iterator[None]:
    """Gather what is to be said about old answers inside, and say it once (StaleAnswerWarning) at the end."""
    if _stale.get() is not None:
        yield
        return
    notes: list[str] = []
    token = _stale.set(notes)
    try:
        yield
    finally:
        _stale.reset(token)
        if notes:
            more = f" (and {len(notes) - 1} more)" if len(notes) > 1 else ""
            warnings.warn(f"{notes[0]}{more}", StaleAnswerWarning, stacklevel=3)


# ---- where answers are kept -------------------------------------------------------------------------------


def user_key(base_url: str, user: str) -> str:
    """Return what tells apart the answers of one server to one user, without telling who that is."""
    return hashlib.sha256(f"one_async REST cache\0{base_url}\0{user}".encode()).hexdigest()[:20]


def with_password(url: str) -> str:
    """Return the address with the password that ``ONE_CACHE_STORAGE`` has for the same one, if it has none itself."""
    own = os.environ.get("ONE_CACHE_STORAGE", "")
    return own if own and url == without_password(url) == without_password(own) else url


def cache_file(folder: Path, base_url: str, user: str) -> Path:
    """Name the file that keeps the answers of one server to one user; the name tells neither token nor user."""
    host = urlsplit(base_url).netloc
    safe = "".join(c if c.isalnum() or c in ".-" else "_" for c in host)
    return folder / ".rest" / f"{safe}-{user_key(base_url, user)}.sqlite"
