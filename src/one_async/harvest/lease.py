"""One harvest at a time for each endpoint of a storage; others wait, then raise HarvestUnderWay."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Protocol

import anyio

from one_async._stored import without_login
from one_async._threads import run_sync
from one_async.errors import HarvestUnderWay, OneError
from one_async.files.claim import LEASE, start_heartbeat
from one_async.files.owner import is_dead, owner_of

if TYPE_CHECKING:
    from one_async.harvest.storage import ObjectStorage, Storage

#: Seconds to wait for another harvest, longer than the lease of one that was killed on another machine.
PATIENCE = LEASE + 10.0
#: Seconds between two attempts.
PAUSE = 0.5


class Lease(Protocol):
    """A claim on a name: renew it more often than its lease, release it at the end. All methods block."""

    def held(self) -> bool:
        """Return whether the claim is still valid."""

    def renew(self) -> bool:
        """Renew the claim; return False if it was lost."""

    def release(self) -> None:
        """Release the claim."""


class BucketLease:
    """A lease kept as an object and changed by conditional writes, of which an object store accepts one.

    The owner rewrites it while it lives. A lease is taken over if it was not rewritten for the lease's duration, by the
    clock of the waiting process, or if its owner is known to be dead.
    """

    def __init__(self, storage: ObjectStorage, name: str) -> None:
        self._storage, self._describe = storage, f".harvest/{name}.lease"
        self._owner = owner_of(uuid.uuid4().hex)
        self._seen, self._since = "", 0.0
        self._renewed = 0
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take the lease if it is free or its owner is gone; return whether it was taken."""
        if self._storage.put_if(self._describe, self._content(), None):
            return True
        found = self._storage.look(self._describe)
        if found is None:
            return False  # released just now; the next attempt takes it
        content, tag = found
        if tag != self._seen:
            self._seen, self._since = tag, time.monotonic()
        deleted = is_dead(_owner(content)) or time.monotonic() - self._since > LEASE
        return deleted and self._storage.put_if(self._describe, self._content(), tag)

    def held(self) -> bool:
        return self.renew()

    def renew(self) -> bool:
        with self._lock:
            tag = self._mine()
            self._renewed += 1
            return tag is not None and self._storage.put_if(self._describe, self._content(), tag)

    def release(self) -> None:
        with self._lock:
            if self._mine() is not None:
                self._storage.delete(self._describe)

    def _mine(self) -> str | None:
        found = self._storage.look(self._describe)
        return found[1] if found is not None and _owner(found[0]) == self._owner else None

    def _content(self) -> bytes:
        return f"{self._owner}\n{self._renewed}".encode()


def _owner(content: bytes) -> str:
    return content.decode(errors="replace").partition("\n")[0]


@asynccontextmanager
async def claimed(storage: Storage, name: str) -> AsyncIterator[Lease]:
    """Hold the claim on a name of a storage. Raise HarvestUnderWay if another process holds it for too long."""
    lease = await _obtained(storage, name)

    def renew() -> bool:
        try:
            return lease.renew()
        except OneError:  # a passing fault of the object store; the lease outlasts three of them
            return True

    stop = start_heartbeat(renew, LEASE)

    def end() -> None:
        stop()
        with suppress(OneError):  # it ends by itself
            lease.release()

    try:
        yield lease
    finally:
        with anyio.CancelScope(shield=True):
            await run_sync(end)


async def _obtained(storage: Storage, name: str) -> Lease:
    until = anyio.current_time() + PATIENCE
    while True:
        lease = await run_sync(storage.try_claim, name)
        if lease is not None:
            return lease
        if anyio.current_time() >= until:
            place = str(without_login(storage.address(""))).rstrip("/")
            raise HarvestUnderWay(
                f"another harvest writes {name} to {place}, and has not ended within "
                f"{PATIENCE:.0f} s; wait for it, or harvest to another place",
                endpoint=name,
            )
        await anyio.sleep(PAUSE)
