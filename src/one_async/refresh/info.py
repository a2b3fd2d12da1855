"""Information on the server's tables and on the loaded ones."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from one_async.errors import NotFound, StatusError, TablesError, TablesNotFound
from one_async.queries.records import CacheInfo, parse

if TYPE_CHECKING:
    from one_async.alyx.client import AsyncAlyxClient

__all__ = ["API_VERSION", "Offer", "TablesInfo", "TooNew", "request_offer"]

#: The version of ONE-api whose tables can be read.
API_VERSION = (3, 6, 1)


@dataclass(frozen=True)
class TablesInfo:
    """Information on the loaded cache tables.

    ``created`` is the time when the server generated them and ``loaded`` when they were opened here, both without time
    zone as in ONE-api. ``checked`` is the time of the last check for newer tables, by this process or another that shares
    the folder; ``expired`` is True if that is longer ago than ``cache_expiry``. ``origin`` are the databases of the rows,
    ``tags`` the tags that the rows were filtered by, ``rows`` the number of rows of each table, including learned rows,
    and ``path`` is the folder.

    Examples:
        >>> loaded = one.load_cache()
        >>> one.tables_info.rows["sessions"] > 0, one.tables_info.loaded == loaded
        (True, True)
    """

    created: datetime | None = None
    loaded: datetime | None = None
    checked: datetime | None = None
    expired: bool = True
    origin: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    rows: Mapping[str, int] = field(default_factory=dict)
    path: Path | None = None


class TooNew(TablesError):
    """The server's tables need a newer version of this package."""


@dataclass(frozen=True)
class Offer:
    """The tables that a server offers: when they were created, their address, and the tag to filter them by, if any.

    ``server`` is the database's address; ``requested_at`` is the time of the request, in seconds since 1970.
    """

    server: str
    requested_at: float
    created: datetime
    origin: str | None
    url: str
    tag: str | None = None

    @property
    def minute(self) -> str:
        """The time of their creation in Alyx's format, to the minute."""
        return self.created.isoformat(sep=" ", timespec="minutes")

    def is_newer_than(self, created: datetime | None) -> bool:
        """Return whether they are at least a minute newer, which is Alyx's resolution, as in ONE-api."""
        return created is None or self.created - created.replace(tzinfo=None) >= timedelta(minutes=1)


async def request_offer(alyx: AsyncAlyxClient, tag: str | None) -> Offer:
    """Request information on the server's tables, bypassing the REST cache.

    Raises TooNew, TablesNotFound for an unknown tag, and ServerErrors.
    """
    tables, requested_at = None, time.time()
    if tag is not None:
        try:
            tables = await alyx.get(f"/cache/info/{quote(tag)}/", no_cache=True)
        except StatusError as error:
            # Alyx answers 404 also for tags with a hyphen, and 500 for tags without tables of their own.
            if not isinstance(error, NotFound) and error.status != 500:
                raise
            if not await alyx.rest("tags", "list", name=tag, no_cache=True):
                raise TablesNotFound(f"{alyx.base_url} has no tag {tag!r}", tag=tag) from error
    if tables is None:
        tables = await alyx.get("/cache/info/", no_cache=True)
    info = parse(CacheInfo, "cache/info", tables)
    _check_version(info.min_api_version)
    url = _archive_url(info.location, f"{alyx.base_url}/cache.zip")
    return Offer(alyx.base_url, requested_at, info.date_created.replace(tzinfo=None), info.origin, url, tag)


def _check_version(wanted: str | None) -> None:
    numbers = tuple(int(number[:9]) for number in re.findall("[0-9]+", wanted or "")[:3])
    if numbers > API_VERSION:
        known = ".".join(map(str, API_VERSION))
        raise TooNew(f"the server's tables require ONE-api {wanted}, but this version reads those of {known}")


def _archive_url(location: str | None, default: str) -> str:
    """Return the archive's address; ``location`` may be the address of its folder."""
    if not location:
        return default
    try:
        parts = urlsplit(location)
    except ValueError:  # an invalid host in brackets
        parts = urlsplit("")
    if parts.scheme not in ("https", "http", "s3") or not parts.netloc:
        raise TablesError(f"the server's address of its tables, {location!r}, is not an http or s3 address")
    if parts.path.endswith(".zip"):
        return location
    return parts._replace(path=f"{parts.path.rstrip('/')}/cache.zip").geturl()
