"""Single requests that bypass the REST cache and the retries, for callers that control rate and retries themselves."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from one_async._observer import Observer
from one_async._parse_retry_after import retry_after
from one_async.alyx.auth import Login

if TYPE_CHECKING:
    from one_async.alyx.client import AsyncAlyxClient


@dataclass(frozen=True, slots=True)
class Reply:
    """One response: status, body, the seconds of `Retry-After` if present, and the seconds it took."""

    status: int
    content: bytes
    wait: float | None
    seconds: float
    url: str


class UncachedClient:
    """Send requests with a client's token and within its `max_connections`, but without cache and retries."""

    def __init__(self, client: AsyncAlyxClient) -> None:
        self._client = client
        self._login: Login | None = None

    @property
    def max_requests(self) -> int:
        """The number of requests that the client may have under way."""
        return int(self._client._open().slots.total_tokens)

    @property
    def observer(self) -> Observer:
        """The observer of the client's requests."""
        return self._client._observer

    def url(self, endpoint: str) -> str:
        """Return the address of an endpoint."""
        return f"{self._client.base_url}/{endpoint}"

    async def open(self) -> None:
        """Log in if there is no token yet. Raise LoginError."""
        await self._client.authenticate()
        client = self._client
        network = client._open().retry.inner
        self._login = Login(network, client.base_url, client._credentials, client._timeouts)

    async def get(self, endpoint: str, params: Mapping[str, str]) -> Reply:
        """Send one request and return the answer, whatever its status. Raise ServerUnreachable, LoginError."""
        if self._login is None:
            await self.open()
        assert self._login is not None
        client = self._client
        request = httpx.Request(
            "GET",
            self.url(endpoint),
            params=dict(params),
            headers={"Accept": "application/json"},
            extensions={"timeout": client._timeouts.for_read(client._timeouts.list)},
        )
        async with client._open().slots:
            begun = time.perf_counter()
            response = await self._login.handle_async_request(request)
            seconds = time.perf_counter() - begun
        wait = retry_after(response.headers.get("retry-after"))
        return Reply(response.status_code, response.content, wait, seconds, str(request.url))
