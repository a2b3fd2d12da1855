"""Whole records, read from the store."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from .fields import WRITES
from .store import Store, plain

__all__ = ["DETAIL", "Record", "Records", "now", "random_id"]

Record = dict[str, Any]
#: The end of the name of a field that a record's detail address shows with another value than lists do.
DETAIL = ".detail"


def now() -> datetime:
    """Return the current time as the server writes it: in UTC, without an offset."""
    return datetime.now(UTC).replace(tzinfo=None)


def random_id() -> str:
    """Return the id of a new record."""
    return str(uuid.uuid4())


class Records:
    """The records of a store within one transaction."""

    def __init__(
        self, store: Store, clock: Callable[[], datetime] = now, new_id: Callable[[], str] = random_id
    ) -> None:
        self.store, self.clock, self.new_id = store, clock, new_id
        self._repositories: dict[str, Record] | None = None

    def load(self, endpoint: str, numbers: list[int]) -> list[Record]:
        """Return records with all fields that any answer shows, and the unserved ones."""
        found = []
        for _, row, detail, more in self.store.records(endpoint, numbers):
            record = {**more, **detail, **row}
            differing = [name for name in row if name in detail and detail[name] != row[name]]
            found.append({**record, **{name + DETAIL: detail[name] for name in differing}})
        return found

    def all(self, endpoint: str, **where: Any) -> list[Record]:
        """Return the records whose columns equal these values."""
        return self.load(endpoint, self.store.numbers(endpoint, **where))

    def get(self, endpoint: str, key: Any) -> Record | None:
        """Return the record with a key."""
        number = self.store.number_of(endpoint, str(plain(key)))
        return None if number is None else self.load(endpoint, [number])[0]

    def repositories(self) -> dict[str, Record]:
        """Return all data repositories by name."""
        if self._repositories is None:
            rows = [row for (row,) in self.store.select('SELECT row FROM "data-repository"')]
            self._repositories = {item["name"]: item for item in self.load("data-repository", rows)}
        return self._repositories

    def listed(self, endpoint: str, record: Record) -> Record:
        """Return a record as its list shows it."""
        write = WRITES[endpoint]
        return {name: record.get(name) for name in write.listed or write.fields}

    def shown(self, endpoint: str, record: Record) -> Record:
        """Return a record as its detail address shows it."""
        return {name: record.get(name + DETAIL, record.get(name)) for name in WRITES[endpoint].fields}
