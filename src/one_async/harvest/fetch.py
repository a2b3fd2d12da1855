"""Request pages with adaptive concurrency, under the server's throttle, retrying transient failures."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from one_async._boundary import reading
from one_async._observer import resending
from one_async._threads import run_sync
from one_async.alyx.frame import Columns, Notes, page_frame
from one_async.alyx.responses import check_status
from one_async.alyx.retrying import backoff
from one_async.alyx.uncached import Reply, UncachedClient
from one_async.errors import AnswerError, ServerError, ServerUnreachable, StatusError
from one_async.harvest.plan import PAGE
from one_async.harvest.rate_control import Concurrency, Pace
from one_async.harvest.tidy import TidyColumns

if TYPE_CHECKING:
    import polars as pl

#: Attempts per request for broken connections, 502, 503, 504 and truncated answers.
ATTEMPTS = 6
#: Refusals by the throttle (429) before a request is given up; each waits for the server's Retry-After.
REFUSALS = 40
#: Pages decoded concurrently; more threads would only compete for the processors.
DECODERS = 2
#: Bytes below which a page is decoded on the event loop, since a thread would take longer: for ordinary pages, and for the
#: first page, which all other requests wait for.
SMALL, SMALL_FIRST = 64 * 1024, 512 * 1024
#: Seconds and bytes above which smaller pages are requested, and the smallest page size.
SLOW, LARGE, FEWEST = 20.0, 24 * 1024**2, 100
#: The statuses of proxies if the server takes too long.
GATEWAY_TIMEOUTS = (502, 504)
#: Attempts for a page that the server cannot produce in time before a smaller one is requested.
TOO_LONG = 2
#: The fields of a bucket's secrets in the ``json`` field of a data repository; harvests do not store them.
KEYS = frozenset({"Access key ID", "Secret access key", "Session token"})


def without_keys(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of data repositories without the keys of their buckets."""
    import polars as pl

    if "json" not in rows.columns:
        return rows
    return rows.with_columns(pl.Series("json", [_without_keys(text) for text in rows["json"]], pl.String))


def _without_keys(text: str | None) -> str | None:
    if text is None or not any(key in text for key in KEYS):
        return text
    details = json.loads(text)
    if not isinstance(details, dict):
        return text
    return json.dumps({key: value for key, value in details.items() if key not in KEYS})


def too_long(error: ServerError) -> bool:
    """Return whether an error may mean that the server could not produce a page of this size in time."""
    if isinstance(error, StatusError):
        return error.status in GATEWAY_TIMEOUTS
    return isinstance(error, ServerUnreachable) and bool(getattr(error, "slow", False))


@dataclass
class Costs:
    """The requests made for one endpoint, and the page size adapted to them."""

    requests: int = 0
    retries: int = 0
    throttled: int = 0
    size: int = PAGE  # rows per request, lowered when pages are slow or large
    notes: Notes = field(default_factory=Notes)

    def lower(self, rows: int) -> None:
        """Set the page size to half of a number of rows that was too large."""
        self.size = max(FEWEST, min(self.size, rows // 2))


@dataclass(frozen=True)
class PageFrame:
    """One page as a frame, with the server's count of all rows and notes on values that did not fit."""

    count: int
    last: bool
    rows: pl.DataFrame
    notes: Notes


class Server:
    """Access to one database, shared by all endpoints of a harvest, since its throttle applies to all of them."""

    def __init__(self, client: UncachedClient, clock: Callable[[], float] | None = None) -> None:
        self._client = client
        self.concurrency = Concurrency(most=client.max_requests)
        self.pace = Pace(clock or anyio.current_time)
        self._under_way = 0
        self._waiting: deque[anyio.Event] = deque()
        self._decoders = anyio.CapacityLimiter(DECODERS)

    async def page(
        self, endpoint: str, params: Mapping[str, str], columns: Columns, costs: Costs, *, check: bool = False
    ) -> PageFrame:
        """Return one page.

        A page that the server cannot produce in time (see `too_long`) is given up early if a smaller one can be
        requested. Raise ServerUnreachable, StatusError or AnswerError after all attempts, LoginError at once.
        """
        for attempt in range(1, ATTEMPTS + 1):
            reply = await self._request(endpoint, params, costs)
            rows = int(params.get("limit", PAGE))
            if rows > 1:
                self.concurrency.record_latency(endpoint, reply.seconds)
                self._wake()
            try:
                page = await self._decode(reply, columns, check)
            except AnswerError:
                if attempt == ATTEMPTS:
                    raise
                costs.retries += 1
                await self._retry(endpoint, "unreadable answer", backoff(attempt))
                continue
            costs.notes.unknown |= page.notes.unknown
            if rows > 1 and (reply.seconds > SLOW or len(reply.content) > LARGE):
                costs.lower(rows)
            return page
        raise AssertionError("unreachable")

    async def count(self, endpoint: str, params: Mapping[str, str], columns: Columns, costs: Costs) -> int:
        """Return the server's count of rows."""
        return (await self.page(endpoint, {**params, "limit": "1"}, columns, costs)).count

    async def _decode(self, reply: Reply, columns: Columns, check: bool) -> PageFrame:
        def decode() -> PageFrame:
            notes = Notes()
            with reading(f"/{columns.endpoint}"):
                raw = columns.raw if isinstance(columns, TidyColumns) else columns
                count, last, rows = page_frame(reply.content, raw, notes, check=check)
                if columns.endpoint == "data-repository":
                    rows = without_keys(rows)
                if isinstance(columns, TidyColumns):
                    rows = columns.convert(rows, notes)
                return PageFrame(count, last, rows, notes)

        if len(reply.content) < (SMALL_FIRST if check else SMALL):
            return decode()
        return await run_sync(decode, limiter=self._decoders)

    async def _request(self, endpoint: str, params: Mapping[str, str], costs: Costs) -> Reply:
        """Return the first successful answer to a request; retry and wait as the server's answers require."""
        failures = refusals = resends = 0
        can_shrink = int(params.get("limit", PAGE)) > FEWEST
        while True:
            sent_at = await self._acquire()
            costs.requests += 1
            wait, reason = 0.0, ""
            try:
                with resending(resends) if resends else nullcontext():
                    reply = await self._client.get(endpoint, params)
                if reply.status == 200:
                    return reply
                wait, reason = reply.wait or 0.0, str(reply.status)
                if reply.status == 429:
                    costs.throttled += 1
                    refusals += 1
                    self.pace.record_refusal(sent_at, reply.wait)
                    wait = 0.0  # `_acquire` waits
                    if refusals >= REFUSALS:
                        raise _status_error(endpoint, reply)
                else:
                    raise _status_error(endpoint, reply)
            except (ServerUnreachable, StatusError) as error:
                if isinstance(error, StatusError) and error.status not in (502, 503, 504):
                    raise
                self.concurrency.record_failure()
                failures += 1
                if failures >= (TOO_LONG if can_shrink and too_long(error) else ATTEMPTS):
                    raise
                wait, reason = max(backoff(failures), wait), reason or type(error).__name__
            finally:
                self._release()
            costs.retries, resends = costs.retries + 1, resends + 1
            with resending(resends - 1):
                await self._retry(endpoint, reason, wait)

    async def _retry(self, endpoint: str, reason: str, wait: float) -> None:
        client = self._client
        url, throttled = client.url(endpoint), reason == "429"
        await client.observer.retry("harvest", "GET", url, reason, wait, throttled=throttled)

    async def _acquire(self) -> float:
        """Wait for a free slot and for the throttle's window; return the time at which the request counts as sent."""
        while True:
            if self._under_way >= self.concurrency.allowed:
                await self._wait_for_slot()
            elif (delay := self.pace.delay()) > 0:
                self._client.observer.throttled(delay)
                await self._client.observer.sleep(delay)
            else:
                self._under_way += 1
                return self.pace.record_request()

    def _release(self) -> None:
        self._under_way -= 1
        self._wake()

    async def _wait_for_slot(self) -> None:
        event = anyio.Event()
        self._waiting.append(event)
        try:
            await event.wait()
        except BaseException:
            if event.is_set():  # pass the slot on to the next task
                self._wake()
            else:
                self._waiting.remove(event)
            raise

    def _wake(self) -> None:
        """Wake as many tasks as there are free slots; waking all of them for each answer is expensive."""
        for _ in range(min(self.concurrency.allowed - self._under_way, len(self._waiting))):
            self._waiting.popleft().set()


def _status_error(endpoint: str, reply: Reply) -> ServerError:
    try:
        check_status("GET", reply.url, reply.status, reply.content)
    except ServerError as error:
        return error
    return StatusError(f"GET {endpoint}: {reply.status}", url=reply.url, status=reply.status)
