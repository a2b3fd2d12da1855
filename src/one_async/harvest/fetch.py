"""Ask for pages: as many at once as the server bears, as many a minute as it allows, again what may pass."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from one_async._boundary import reading
from one_async._threads import run_sync
from one_async.alyx.answers import check_status
from one_async.alyx.frame import Columns, Notes, page_frame
from one_async.alyx.retrying import backoff
from one_async.alyx.uncached import Lean, Reply
from one_async.errors import AnswerError, ServerError, ServerUnreachable, StatusError
from one_async.harvest.plan import PAGE
from one_async.harvest.rate_control import Concurrency, Pace

if TYPE_CHECKING:
    import polars as pl

#: Times that a request is tried for what may pass: broken connections, 502, 503, 504, answers cut short.
ATTEMPTS = 6
#: Times that a request is refused by a throttle before it is given up; each waits as long as the server says.
REFUSALS = 40
#: Pages decoded at once; more would only fight for the processors.
DECODERS = 2
#: Bytes that are decoded in less time than it takes to go to a thread and come back; and of a page that others wait for,
#: where a millisecond or two of the event loop are less than a thread's wait for the interpreter's lock.
SMALL, AWAITED = 64 * 1024, 512 * 1024
#: Seconds and bytes that a page may take before smaller ones are asked for, and the fewest rows that are.
SLOW, LARGE, FEWEST = 20.0, 24 * 1024**2, 100
#: What proxies say of a server that takes too long.
SLOWNESS = (502, 504)
#: Times that a page which the server cannot make in time is tried before a smaller one is.
TOO_LONG = 2


def too_long(error: ServerError) -> bool:
    """Say whether an error may mean that the server could not make so large a page in time."""
    if isinstance(error, StatusError):
        return error.status in SLOWNESS
    return isinstance(error, ServerUnreachable) and bool(getattr(error, "slow", False))


@dataclass
class Costs:
    """What reading an endpoint took."""

    requests: int = 0
    retries: int = 0
    throttled: int = 0
    size: int = PAGE  # rows asked for at once, chosen by what pages cost
    notes: Notes = field(default_factory=Notes)

    def lower(self, rows: int) -> None:
        """Ask for half as many rows as were too many."""
        self.size = max(FEWEST, min(self.size, rows // 2))


@dataclass(frozen=True)
class Page:
    """One page as a frame."""

    count: int
    last: bool
    rows: pl.DataFrame


class Server:
    """One database, asked by all endpoints of a harvest together, since they share its throttle."""

    def __init__(self, lean: Lean, clock: Callable[[], float] | None = None) -> None:
        self._lean = lean
        self.concurrency = Concurrency(most=lean.most)
        self.pace = Pace(clock or anyio.current_time)
        self._under_way = 0
        self._waiting: deque[anyio.Event] = deque()
        self._decoders = anyio.CapacityLimiter(DECODERS)

    async def page(
        self, endpoint: str, params: Mapping[str, str], columns: Columns, costs: Costs, *, check: bool = False
    ) -> Page:
        """Give one page. Raises ServerUnreachable, StatusError, AnswerError after all attempts; LoginError at once.

        A page that the server cannot make in time (see `too_long`) is given up early where a smaller one can be asked for.
        """
        for attempt in range(1, ATTEMPTS + 1):
            reply = await self._asked(endpoint, params, costs)
            rows = int(params.get("limit", PAGE))
            if rows > 1:
                self.concurrency.good(endpoint, reply.seconds)
                self._wake()
            try:
                page = await self._decode(reply, columns, costs.notes, check)
            except AnswerError:
                if attempt == ATTEMPTS:
                    raise
                costs.retries += 1
                await anyio.sleep(backoff(attempt))
                continue
            if rows > 1 and (reply.seconds > SLOW or len(reply.content) > LARGE):
                costs.lower(rows)
            return page
        raise AssertionError("unreachable")

    async def count(self, endpoint: str, params: Mapping[str, str], columns: Columns, costs: Costs) -> int:
        """Give how many rows the server counts."""
        return (await self.page(endpoint, {**params, "limit": "1"}, columns, costs)).count

    async def _decode(self, reply: Reply, columns: Columns, notes: Notes, check: bool) -> Page:
        def decode() -> Page:
            with reading(f"/{columns.endpoint}"):
                return Page(*page_frame(reply.content, columns, notes, check=check))

        if len(reply.content) < (AWAITED if check else SMALL):
            return decode()
        return await run_sync(decode, limiter=self._decoders)

    async def _asked(self, endpoint: str, params: Mapping[str, str], costs: Costs) -> Reply:
        tried = refused = 0
        patience = TOO_LONG if int(params.get("limit", PAGE)) > FEWEST else ATTEMPTS
        while True:
            mark = await self._enter()
            costs.requests += 1
            try:
                reply = await self._lean.get(endpoint, params)
            except ServerUnreachable as error:
                self.concurrency.bad()
                tried += 1
                if tried >= (patience if too_long(error) else ATTEMPTS):
                    raise
                wait = backoff(tried)
            else:
                if reply.status == 200:
                    return reply
                if reply.status == 429:
                    costs.throttled += 1
                    refused += 1
                    self.pace.was_refused(mark, reply.wait)
                    wait = 0.0
                elif reply.status in (502, 503, 504):
                    self.concurrency.bad()
                    tried += 1
                    wait = max(backoff(tried), reply.wait or 0.0)
                else:
                    wait = -1.0
                most = patience if reply.status in SLOWNESS else ATTEMPTS
                if wait < 0 or tried >= most or refused >= REFUSALS:
                    check_status("GET", reply.url, reply.status, reply.content)
                    raise StatusError(f"GET {endpoint}: {reply.status}", url=reply.url, status=reply.status)
            finally:
                self._leave()
            costs.retries += 1
            await anyio.sleep(wait)

    async def _enter(self) -> float:
        """Wait for a place among the requests under way and in the throttle's window; gives the request's mark."""
        while True:
            if self._under_way >= self.concurrency.allowed:
                await self._turn()
            elif (delay := self.pace.delay()) > 0:
                await anyio.sleep(delay)
            else:
                self._under_way += 1
                return self.pace.sending()

    def _leave(self) -> None:
        self._under_way -= 1
        self._wake()

    async def _turn(self) -> None:
        event = anyio.Event()
        self._waiting.append(event)
        try:
            await event.wait()
        except BaseException:
            if event.is_set():  # the place that this one will not take is another's
                self._wake()
            else:
                self._waiting.remove(event)
            raise

    def _wake(self) -> None:
        """Let as many look for a place as there are places; to wake all for each answer takes long."""
        for _ in range(min(self.concurrency.allowed - self._under_way, len(self._waiting))):
            self._waiting.popleft().set()
