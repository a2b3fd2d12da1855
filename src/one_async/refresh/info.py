"""What the server says of its tables, and what is known of those at hand."""

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

__all__ = ["API_VERSION", "Offer", "TablesInfo", "TooNew", "ask"]

#: The version of ONE-api whose tables are understood.
API_VERSION = (3, 6, 1)


@dataclass(frozen=True)
class TablesInfo:
    """What is known of the cache tables at hand.

    ``created`` is when the server made them and ``loaded`` when they were opened here, both without time zone as in
    ONE-api; ``checked`` is when the server was asked for newer ones, by this process or another that shares the folder;
    ``expired`` whether that is longer ago than ``cache_expiry``. ``origin`` names the databases that the rows came from,
    ``tags`` the tags of the database that they were cut down to, ``rows`` the number of rows of each table, learned ones
    included; ``path`` is their folder.
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
    """The server's tables need a newer version than this one."""


@dataclass(frozen=True)
class Offer:
    """The tables that a server has: how new, where, and the tag that they are to be cut down to, if they are not.

    ``server`` is the database's address and ``asked`` when it was asked, in seconds since 1970.
    """

    server: str
    asked: float
    created: datetime
    origin: str | None
    url: str
    tag: str | None = None

    @property
    def minute(self) -> str:
        """When they were made, as Alyx writes it."""
        return self.created.isoformat(sep=" ", timespec="minutes")

    def is_newer_than(self, created: datetime | None) -> bool:
        """Compare as ONE-api does: by minutes, since Alyx tells no more."""
        return created is None or self.created - created.replace(tzinfo=None) >= timedelta(minutes=1)


async def ask(alyx: AsyncAlyxClient, tag: str | None) -> Offer:
    """Ask the server which tables it has; never through the REST cache.

    Raises TooNew, TablesNotFound for a tag that the database does not have, and ServerErrors.
    """
    tables, asked = None, time.time()
    if tag is not None:
        try:
            tables = await alyx.get(f"/cache/info/{quote(tag)}/", no_cache=True)
        except StatusError as error:
            # 404 for tags with a hyphen, too, and 500 for those without tables of their own
            if not isinstance(error, NotFound) and error.status != 500:
                raise
            if not await alyx.rest("tags", "list", name=tag, no_cache=True):
                raise TablesNotFound(f"{alyx.base_url} has no tag {tag!r}", tag=tag) from error
    if tables is None:
        tables = await alyx.get("/cache/info/", no_cache=True)
    info = parse(CacheInfo, "cache/info", tables)
    _check_version(info.min_api_version)
    url = _place(info.location, f"{alyx.base_url}/cache.zip")
    return Offer(alyx.base_url, asked, info.date_created.replace(tzinfo=None), info.origin, url, tag)


def _check_version(wanted: str | None) -> None:
    numbers = tuple(int(number[:9]) for number in re.findall("[0-9]+", wanted or "")[:3])
    if numbers > API_VERSION:
        known = ".".join(map(str, API_VERSION))
        raise TooNew(
            f"the server's tables are made for ONE-api {wanted}, and this version knows those of {known}"
        )


def _place(location: str | None, default: str) -> str:
    """Return the archive's address; a location may be the folder that it is in."""
    if not location:
        return default
    try:
        parts = urlsplit(location)
    except ValueError:  # a host in brackets that is none
        parts = urlsplit("")
    if parts.scheme not in ("https", "http", "s3") or not parts.netloc:
        raise TablesError(
            f"the server says that its tables are at {location!r}, which is no http or s3 address"
        )
    if parts.path.endswith(".zip"):
        return location
    return parts._replace(path=f"{parts.path.rstrip('/')}/cache.zip").geturl()
