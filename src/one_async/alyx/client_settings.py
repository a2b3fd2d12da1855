"""Settings and counters of a REST client, as properties."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from one_async._addresses import normal_url, without_login
from one_async._boundary import public
from one_async._observer import Observer
from one_async._parameters import Parameters
from one_async.alyx import caching
from one_async.alyx.auth import Credentials
from one_async.errors import InputError
from one_async.events import Stats
from one_async.types import Expiry

if TYPE_CHECKING:
    from one_async.alyx.transports import Session
    from one_async.settings import Settings


@public
class ClientSettings:
    """The properties of a REST client. Those with setters check new values."""

    _settings: Settings
    _base_url: str
    _cache_dir: Path
    _credentials: Credentials
    _observer: Observer
    _session: Session | None

    @property
    def base_url(self) -> str:
        """The server's address, without a trailing slash.

        Examples:
            >>> one.alyx.base_url == one.settings.base_url
            True
        """
        return self._base_url

    @property
    def cache_dir(self) -> Path:
        """The folder of the database's data, which contains the REST cache."""
        return self._cache_dir

    @property
    def _par(self) -> Parameters:
        """The settings under ONE-api's names, read-only, for software that reads them here."""
        return Parameters(self._settings)

    @property
    def cache_mode(self) -> str | None:
        """The method whose answers are stored: "GET", or None for no cache.

        Examples:
            >>> one.alyx.cache_mode
            'GET'
        """
        return self._cache_mode

    @cache_mode.setter
    def cache_mode(self, mode: str | None) -> None:
        if mode is not None and mode.upper() != "GET":
            raise InputError.of("cache_rest", mode, "'GET' or None")
        self._cache_mode = mode and mode.upper()

    @property
    def default_expiry(self) -> Expiry:
        """Maximum age of a stored answer: a timedelta or seconds, None for any age. Changes apply to stored answers too.

        Examples:
            >>> one.alyx.default_expiry
            datetime.timedelta(days=1)
        """
        return self._default_expiry

    @default_expiry.setter
    def default_expiry(self, expiry: Expiry) -> None:
        caching.max_age(expiry)
        self._default_expiry = expiry

    @property
    def max_connections(self) -> int:
        """Maximum number of concurrent requests. Changes apply immediately.

        Examples:
            >>> one.alyx.max_connections
            32
        """
        return self._max_connections

    @max_connections.setter
    def max_connections(self, number: int) -> None:
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise InputError.of("max_connections", number, "a whole number, 1 or more")
        self._max_connections = number
        if self._session is not None:
            self._session.slots.total_tokens = number

    @property
    def request_counts(self) -> tuple[int, int]:
        """Number of requests since the client was opened, and how many of them were retries.

        Examples:
            >>> sessions = await one.alyx.rest("sessions", "list", no_cache=True, subject="SU_101")
            >>> requests, retries = one.alyx.request_counts
            >>> requests > 0
            True
        """
        retry = None if self._session is None else self._session.retry
        return (0, 0) if retry is None else (retry.requests, retry.retries)

    @property
    def stats(self) -> Stats:
        """Counts since the client was made: requests, answers from the cache, retries, waits, bytes.

        Examples:
            >>> sessions = await one.alyx.rest("sessions", "list", no_cache=True, subject="SU_101")
            >>> one.alyx.stats.requests > 0
            True
        """
        return self._observer.stats()


def base_of(url: str) -> str:
    """Return the normal form of a server's address. Raise InputError for an address with a path."""
    base = normal_url(url)
    if urlsplit(base).path:
        accepted = "http(s)://host[:port], without path or credentials"
        raise InputError.of("base_url", without_login(url), accepted)
    return base
