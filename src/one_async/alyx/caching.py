"""The policy of the REST cache: what is stored, for how long, and which writes invalidate it. No HTTP here.

hishel implements the HTTP cache (RFC 9111). This package adds what it or Alyx lacks:

- Alyx sends no Cache-Control, so the transport `CacheControl` marks good JSON answers as cacheable.
- hishel 2.0.0 ignores ``max-age`` and ``max-stale`` of requests (section 5.2.1), so `Freshness` compares the age of
  a stored answer with the `AgeLimit` of each request.
- A write changes the answers of more addresses than its own. ``ALSO_CHANGED`` lists their endpoints, whose answers are
  then deleted.
- Answers are private: each user of each server has a file of its own, readable by its owner alone (0600).
- A damaged file must not make requests fail. `ResponseStore` checks a CRC of every row, renames a damaged file to
  ``.damaged``, and limits the size of the file.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from one_async._values import without_password
from one_async._warnings import warn
from one_async.errors import InputError, StaleAnswerWarning
from one_async.types import Expiry

T = TypeVar("T")

DEFAULT_EXPIRY = timedelta(hours=24)
#: Header of stored responses: when they were requested, in seconds since 1970.
REQUESTED_AT = "one-stored-at"
#: Cache-Control of answers for which the server sets no policy; `Freshness` then compares their age.
CACHEABLE = "private, max-age=315360000"
NO_STORE = "no-store"
#: Endpoints whose GET has side effects or whose answers are valid for a moment only.
NEVER_STORED = frozenset({"auth-token", "check-protected", "sync-file-status"})
#: Endpoints whose records belong to a session, are deleted with it or found by its subject, date and number; those of a
#: subject; and those that show names of other records, such as labs and projects, or are found by them.
_OF_SESSION = frozenset(
    {
        "sessions",
        "datasets",
        "files",
        "insertions",
        "chronic-insertions",
        "trajectories",
        "channels",
        "notes",
        "tasks",
    }
    | {
        "water-administrations",
        "fields-of-view",
        "fov-location",
        "imaging-stack",
        "data-notices",
        "downloads",
    }
)
_OF_SUBJECT = (
    _OF_SESSION
    | {"subjects", "surgeries", "weighings", "water-restriction", "water-requirement"}
    | {"water-restricted-subjects"}
)
_BY_NAME = _OF_SUBJECT | {
    "labs",
    "locations",
    "projects",
    "users",
    "data-repository",
    "dataset-types",
    "revisions",
}
#: Other endpoints whose answers change with a write to an endpoint.
ALSO_CHANGED: Mapping[str, frozenset[str]] = {
    "sessions": _OF_SESSION | {"subjects"},
    "subjects": _OF_SUBJECT | {"users"},
    "register-file": frozenset({"sessions", "datasets", "files", "revisions", "insertions"}),
    "sync-file-status": frozenset({"files", "datasets", "sessions"}),
    "new-download": frozenset({"downloads"}),
    "datasets": frozenset({"sessions", "files", "insertions", "fields-of-view", "data-notices", "downloads"}),
    "files": frozenset({"datasets", "sessions", "insertions"}),
    "notes": frozenset({"sessions"}),
    "weighings": frozenset({"subjects", "water-requirement", "water-restricted-subjects"}),
    "water-administrations": frozenset(
        {"subjects", "sessions", "water-requirement", "water-restricted-subjects"}
    ),
    "surgeries": frozenset({"subjects"}),
    "trajectories": frozenset({"insertions", "channels"}),
    "channels": frozenset({"sessions", "insertions", "trajectories"}),
    "insertions": frozenset({"sessions", "trajectories", "channels", "chronic-insertions", "tasks"}),
    "chronic-insertions": frozenset({"sessions", "insertions", "trajectories", "channels"}),
    "fields-of-view": frozenset({"sessions", "fov-location", "imaging-stack"}),
    "fov-location": frozenset({"sessions", "fields-of-view", "imaging-stack"}),
    "imaging-stack": frozenset({"fields-of-view"}),
    **dict.fromkeys(
        (
            "labs",
            "locations",
            "projects",
            "procedures",
            "users",
            "tags",
            "revisions",
            "dataset-types",
            "data-formats",
        ),
        _BY_NAME,
    ),
    **dict.fromkeys(("data-repository", "data-repository-type", "water-type"), _BY_NAME),
}
#: Minimum time for which answers are stored: old ones are the fallback while the server is unreachable.
MIN_RETENTION = timedelta(days=30)


def max_age(expires: Expiry, default: Expiry = None) -> float:
    """Return the maximum age of an answer in seconds; infinity for any age.

    None means ``default``, whose None means any age. True means any age, False or 0 none, a datetime "stored since
    then". Raises InputError for anything else.
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


def retention(default: Expiry) -> float:
    """Return how many seconds answers are stored if ``default`` is the usual maximum age."""
    return max(max_age(default), MIN_RETENTION.total_seconds())


def endpoint_of(url: str) -> str:
    """Return the first part of an address's path: ``sessions`` for ``/sessions/<id>?x=y``."""
    return urlsplit(url).path.strip("/").split("/", 1)[0]


def changed_by(endpoint: str) -> frozenset[str]:
    """Return the endpoints whose stored answers a write to ``endpoint`` invalidates."""
    return ALSO_CHANGED.get(endpoint, frozenset()) | {endpoint}


def cache_control(url: str, status: int, has_policy: bool) -> str | None:
    """Return the Cache-Control to set on an answer; None to keep the policy that the server or a proxy sent."""
    if status not in (200, 304) or endpoint_of(url) in NEVER_STORED:
        return NO_STORE
    return None if has_policy else CACHEABLE


@dataclass(frozen=True, slots=True)
class AgeLimit:
    """The maximum age of an answer in seconds, and the earliest time of its request (seconds since 1970)."""

    max_age: float
    since: float = 0.0


# ---- bypassing the cache --------------------------------------------------------------------------------

_bypassed: ContextVar[frozenset[str]] = ContextVar("one_async_no_cache", default=frozenset())
_ALL_CLIENTS = "*"


@contextmanager
def no_cache(ac: T = None) -> Iterator[T]:  # type: ignore[assignment]
    """Bypass the REST cache of a client in this task or thread: answers are neither read from it nor stored.

    ``ac`` is a client (async or blocking), or a ONE, whose ``alyx`` is then used; None means every client.
    Other tasks keep using the cache; tasks started inside bypass it too.

    Examples:
        >>> from one_async import no_cache
        >>> with no_cache(one.alyx):
        ...     eids = await one.search(lab="summitlab", query_type="remote")
    """
    scope: Any = _ALL_CLIENTS
    if ac is not None:
        scope = getattr(getattr(ac, "alyx", ac), "cache_scope", None)
        if not isinstance(scope, str):
            raise InputError.of("ac", ac, "an AlyxClient, a ONE, or None for all clients")
    token = _bypassed.set(_bypassed.get() | {scope})
    try:
        yield ac
    finally:
        _bypassed.reset(token)


def is_bypassed(scope: str) -> bool:
    """Return whether the caller is inside ``no_cache`` for the client with this scope."""
    scopes = _bypassed.get()
    return bool(scopes) and (scope in scopes or _ALL_CLIENTS in scopes)


# ---- warnings about stale answers --------------------------------------------------------------------

_stale: ContextVar[list[str] | None] = ContextVar("one_async_stale_answers", default=None)


def note_stale(text: str) -> None:
    """Warn StaleAnswerWarning at the end of the enclosing ``one_warning``, or now without one."""
    notes = _stale.get()
    if notes is None:
        warn(text, StaleAnswerWarning)
    else:
        notes.append(text)


@contextmanager
def one_warning() -> Iterator[None]:
    """Collect the warnings about stale answers inside, and warn StaleAnswerWarning once at the end."""
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
            warn(f"{notes[0]}{more}", StaleAnswerWarning)


# ---- locations --------------------------------------------------------------------------------------------


def user_key(base_url: str, user: str) -> str:
    """Return a key for the answers of one server to one user; a digest, which does not reveal the user."""
    return hashlib.sha256(f"one_async REST cache\0{base_url}\0{user}".encode()).hexdigest()[:20]


def with_password(url: str) -> str:
    """Return a Redis address with the password that ``ONE_CACHE_STORAGE`` has for it, unless it has one itself."""
    own = os.environ.get("ONE_CACHE_STORAGE", "")
    return own if own and url == without_password(url) == without_password(own) else url


def cache_file(folder: Path, base_url: str, user: str) -> Path:
    """Return the file for the answers of one server to one user; its name reveals neither token nor user."""
    host = urlsplit(base_url).netloc
    safe = "".join(c if c.isalnum() or c in ".-" else "_" for c in host)
    return folder / ".rest" / f"{safe}-{user_key(base_url, user)}.sqlite"
