"""Leases: one harvest at a time for each endpoint of a storage; others wait, then raise HarvestUnderWay."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Protocol

import anyio

from one_async._addresses import without_login
from one_async._threads import run_sync
from one_async.errors import HarvestUnderWay, OneError
from one_async.files.claim import LEASE, is_dead, owner_of, start_heartbeat

#: Seconds to wait for a lease, longer than that of a harvest killed on another machine takes to expire.
TIMEOUT = LEASE + 10.0
#: Seconds between two attempts.
PAUSE = 0.5


class Lease(Protocol):
    """An exclusive claim on a name that expires unless it is renewed in time. All methods block."""

    def is_valid(self) -> bool:
        """Return whether the claim is still valid."""

    def renew(self) -> bool:
        """Renew the claim; return False if it was lost."""

    def release(self) -> None:
        """Release the claim."""


class ConditionalStore(Protocol):
    """An object store with conditional writes."""

    def get_with_tag(self, name: str) -> tuple[bytes, str] | None:
        """Return an object and its ETag; None if there is no such object."""

    def put_if(self, name: str, content: bytes, tag: str | None) -> bool:
        """Write an object if its ETag is `tag` (None: if it does not exist); return whether it was written."""

    def delete(self, name: str) -> None:
        """Delete an object if it exists."""


class Claimable(Protocol):
    """A storage with leases."""

    def try_claim(self, name: str) -> Lease | None:
        """Acquire the lease on a name; return None while another process holds it."""

    def address(self, name: str) -> str:
        """Return the address of a file or folder."""


class BucketLease:
    """A lease stored as an object and changed by conditional writes, of which an object store accepts only one.

    The owner rewrites the object periodically. Another process takes the lease over if the object was not rewritten for
    the lease's duration, by its own clock, or if the owner is known to be dead.
    """

    def __init__(self, storage: ConditionalStore, name: str) -> None:
        self._storage, self._key = storage, f".harvest/{name}.lease"
        self._owner = owner_of(uuid.uuid4().hex)
        self._seen_tag, self._seen_at = "", 0.0
        self._renewed = 0
        self._lock = threading.Lock()

    def try_acquire(self) -> bool:
        """Acquire the lease if it is free or expired; return whether it was acquired."""
        if self._storage.put_if(self._key, self._content(), None):
            return True
        found = self._storage.get_with_tag(self._key)
        if found is None:
            return False  # released just now; the next attempt acquires it
        content, tag = found
        if tag != self._seen_tag:
            self._seen_tag, self._seen_at = tag, time.monotonic()
        is_expired = is_dead(_owner(content)) or time.monotonic() - self._seen_at > LEASE
        return is_expired and self._storage.put_if(self._key, self._content(), tag)

    def is_valid(self) -> bool:
        return self.renew()

    def renew(self) -> bool:
        with self._lock:
            tag = self._own_tag()
            self._renewed += 1
            return tag is not None and self._storage.put_if(self._key, self._content(), tag)

    def release(self) -> None:
        with self._lock:
            if self._own_tag() is not None:
                self._storage.delete(self._key)

    def _own_tag(self) -> str | None:
        found = self._storage.get_with_tag(self._key)
        return found[1] if found is not None and _owner(found[0]) == self._owner else None

    def _content(self) -> bytes:
        return f"{self._owner}\n{self._renewed}".encode()


def _owner(content: bytes) -> str:
    return content.decode(errors="replace").partition("\n")[0]


@asynccontextmanager
async def hold_lease(storage: Claimable, name: str) -> AsyncIterator[Lease]:
    """Hold the lease on a name of a storage. Raise HarvestUnderWay if another process holds it for too long."""
    lease = await _acquire(storage, name)

    def renew() -> bool:
        try:
            return lease.renew()
        except OneError:  # a transient error of the object store; the lease outlasts three of them
            return True

    stop = start_heartbeat(renew, LEASE)

    def end() -> None:
        stop()
        with suppress(OneError):  # it expires by itself
            lease.release()

    try:
        yield lease
    finally:
        with anyio.CancelScope(shield=True):
            await run_sync(end)


async def _acquire(storage: Claimable, name: str) -> Lease:
    until = anyio.current_time() + TIMEOUT
    while True:
        lease = await run_sync(storage.try_claim, name)
        if lease is not None:
            return lease
        if anyio.current_time() >= until:
            address = str(without_login(storage.address(""))).rstrip("/")
            raise HarvestUnderWay(
                f"another harvest is writing {name} to {address}, and has not finished within "
                f"{TIMEOUT:.0f} s; wait for it, or harvest to a different location",
                endpoint=name,
            )
        await anyio.sleep(PAUSE)
