"""Pages as they come: round the REST cache, one attempt each, so that the caller can pace and repeat as it sees fit."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from one_async._headers import retry_after
from one_async.alyx.http import Login, httpx

if TYPE_CHECKING:
    from one_async.alyx.rest import AsyncAlyxClient


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: its status, body, seconds to wait if the server said so, and how long it took."""

    status: int
    content: bytes
    wait: float | None
    seconds: float
    url: str


class Lean:
    """Ask one client's server for pages without cache and without repetition; the token is added, and renewed once.

    The client's ``max_connections`` holds here too.
    """

    def __init__(self, client: AsyncAlyxClient) -> None:
        self._client = client
        self._login: Login | None = None

    @property
    def most(self) -> int:
        """How many requests the client's owner allows at once."""
        return int(self._client._open().slots.total_tokens)

    async def open(self) -> None:
        """Log in if there is no token yet; raises LoginError."""
        await self._client.authenticate()
        connections = self._client._open()
        network = connections.retry.inner
        client = self._client
        self._login = Login(network, client.base_url, client._credentials, client._timeouts)

    async def get(self, endpoint: str, params: Mapping[str, str]) -> Reply:
        """Ask once. Raises ServerUnreachable and LoginError; every other status comes back as it is."""
        if self._login is None:
            await self.open()
        assert self._login is not None
        client = self._client
        connections = client._open()
        request = httpx.Request(
            "GET",
            f"{client.base_url}/{endpoint}",
            params=dict(params),
            headers={"Accept": "application/json"},
            extensions={"timeout": client._timeouts.on(client._timeouts.list)},
        )
        async with connections.slots:
            begun = time.perf_counter()
            response = await self._login.handle_async_request(request)
            seconds = time.perf_counter() - begun
        wait = retry_after(response.headers.get("retry-after"))
        return Reply(response.status_code, response.content, wait, seconds, str(request.url))
