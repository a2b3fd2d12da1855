"""The state of an emulated Alyx: a world, its store, users and their request rates, and published cache tables."""

from __future__ import annotations

import hashlib
import json
import math
import secrets
import time
import zipfile
from array import array
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache, partial
from io import BytesIO
from pathlib import Path
from typing import Any

from one_async.emulator.content import World
from one_async.emulator.models import MODELS
from one_async.emulator.query import Answer
from one_async.emulator.records import now, random_id
from one_async.emulator.store import Store

__all__ = ["DATA_HOST", "DEFAULT_LIMIT", "Service"]

DATA_HOST = "https://data.test"
DEFAULT_LIMIT = 250


@dataclass
class Service:
    """A world with its state; every option may be changed while it is served.

    ``throttle`` is the number of requests that each user may make in a minute; ``data_url`` replaces the address of the data
    server (default: ``/data`` of this server); ``unstable_paging`` is a seed: with it, the pages of endpoints without an order
    repeat rows and lose others; ``database`` is the SQLite file that stores the state (None: in memory); ``now`` returns the
    time at which a record is written, and ``new_id`` the id of a new record.
    """

    world: World
    database: Path | str | None = None
    throttle: int | None = None
    data_url: str | None = None
    unstable_paging: int | None = None
    token_seed: str = field(default_factory=partial(secrets.token_hex, 8))
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = now
    new_id: Callable[[], str] = random_id
    files: dict[str, bytes | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Load the world into the store."""
        self.store = Store(self.world, self.database)
        self.token_seed = self.store.kept("token_seed", self.token_seed)
        self.passwords = {"demo": "demo", "reader": "reader", **self.world.passwords}
        known = self.world.unserved.get("users", ())
        self.read_only = {user["username"] for user in known if user.get("is_public_user")} | {"reader"}
        self._users = {self.token(user): user for user in self.passwords}
        self._windows: dict[str, deque[float]] = defaultdict(deque)
        self._zip: bytes | None = None
        self._date_created: str | None = None
        self.read_file = lru_cache(maxsize=64)(self.world.read_file)

    def token(self, user: str) -> str:
        """Return a user's token: 40 hexadecimal characters, the same for as long as the emulator runs."""
        return hashlib.sha1(f"{self.token_seed}:{user}".encode()).hexdigest()

    def touch_tables(self, date_created: str | None = None, cache_zip: bytes | None = None) -> None:
        """Publish newer cache tables: another date (``YYYY-MM-DD HH:MM``), other bytes, or both.

        A date alone changes the answer of ``/cache/info``; the ``cache_info.json`` inside the archive keeps its own.
        """
        self._date_created = date_created or self._date_created
        self._zip = cache_zip or self._zip

    # ---- users and their request rates ----

    def user_of(self, authorization: str | None) -> str | None:
        """Return the user of an Authorization header. Raise Answer 403 for an invalid token."""
        parts = (authorization or "").split()
        if not parts or parts[0].lower() != "token":
            return None
        if len(parts) == 1:
            raise Answer(403, {"detail": "Invalid token header. No credentials provided."})
        if len(parts) > 2:
            raise Answer(403, {"detail": "Invalid token header. Token string should not contain spaces."})
        if parts[1] not in self._users:
            raise Answer(403, {"detail": "Invalid token."})
        return self._users[parts[1]]

    def count(self, who: str) -> None:
        """Count a request of a user or address. Raise Answer 429 if there were too many in the last minute."""
        if self.throttle is None:
            return
        now, window = self.clock(), self._windows[who]
        while window and window[0] <= now - 60:
            window.popleft()
        if len(window) >= self.throttle:
            wait = math.ceil(window[0] + 60 - now)
            text = f"Request was throttled. Expected available in {wait} second{'s' if wait != 1 else ''}."
            raise Answer(429, {"detail": text}, {"retry-after": str(wait)})
        window.append(now)

    # ---- cache tables ----

    def cache_zip(self) -> bytes:
        """Return the published cache tables."""
        return self._zip or self.world.cache_zip()

    def cache_info(self) -> dict[str, Any]:
        """Return the body of ``/cache/info`` for the published cache tables."""
        with zipfile.ZipFile(BytesIO(self.cache_zip())) as archive:
            info: dict[str, Any] = json.loads(archive.read("cache_info.json"))
        return {**info, **({"date_created": self._date_created} if self._date_created else {})}

    def tagged_info(self, tag: str) -> dict[str, Any]:
        """Return the body of ``/cache/info`` for the tables that hold only the datasets of a tag.

        If the world's data server has them, their address is given, unless `touch_tables` has published others.
        """
        import polars as pl

        info, path = self.cache_info(), f"caches/{tag}/cache.zip"
        own = self.read_file(path) if self._zip is None else None
        if own is not None:
            with zipfile.ZipFile(BytesIO(own)) as archive:
                tables = json.loads(archive.read("cache_info.json"))["tables"]
            return {**info, "database_tags": [tag], "tables": tables, "location": f"{DATA_HOST}/{path}"}
        with zipfile.ZipFile(BytesIO(self.cache_zip())) as archive:
            datasets = pl.read_parquet(archive.read("datasets.pqt"), columns=["eid", "id"])
        sql = 'SELECT d.id FROM datasets d JOIN "datasets.tags" t ON t.row = d.row WHERE t.value = ?'
        tagged = [dataset for (dataset,) in self.store.select(sql, tag)]
        held = datasets.filter(pl.col("id").is_in(tagged))
        counts = {"sessions": held["eid"].n_unique(), "datasets": held.height}
        tables = {name: {**table, "nrecs": counts[name]} for name, table in info.pop("tables").items()}
        return {**info, "database_tags": [tag], "tables": tables}

    def pick(self, endpoint: str, rows: array[int], limit: int, offset: int) -> list[int]:
        """Return one page of row numbers; ``unstable_paging`` replaces some with rows of other pages."""
        page = list(rows[offset : offset + limit])
        if self.unstable_paging is None or MODELS[endpoint].order or len(rows) <= limit:
            return page
        # Measured on a real Alyx: about 8 % of the rows are lost at pages of up to 250, 0.2 % at larger ones
        chance = 0.08 if limit <= DEFAULT_LIMIT else 0.003
        for at in range(len(page)):
            name = f"{self.unstable_paging}:{endpoint}:{limit}:{offset}:{at}"
            draw = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())
            if draw % 10_000 < chance * 10_000:
                page[at] = rows[draw // 10_000 % len(rows)]
        return page
