"""hishel's storage in a `ResponseStore`."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import cast
from uuid import UUID

import hishel

from one_async.alyx import caching
from one_async.alyx.caching import REQUESTED_AT
from one_async.alyx.response_store import MAX_CLOCK_SKEW, ResponseStore, StoredResponse, head_of


class SQLiteStorage(hishel.AsyncBaseStorage):
    """Store the newest response of each key.

    Of a request only the headers that ``Vary`` names are stored, never credentials.
    """

    def __init__(self, store: ResponseStore) -> None:
        super().__init__()
        self.store = store

    async def create_entry(
        self,
        request: hishel.Request,
        response: hishel.Response,
        key: str,
        *,
        ttl: float | None = None,
        tti: float | None = None,
    ) -> hishel.Entry:
        stream = cast("AsyncIterator[bytes]", response.stream)
        body = b"".join([chunk async for chunk in stream])
        vary = {name.strip().lower() for name in response.headers.get("vary", "").split(",")} - {
            "authorization"
        }
        request_headers = {
            name: values for name, values in header_lists(request.headers).items() if name.lower() in vary
        }
        head = head_of(
            request.url, request.method, request_headers, response.status_code, header_lists(response.headers)
        )
        id = bytes.fromhex(key[:32])
        stored = StoredResponse(
            id,
            caching.endpoint_of(request.url),
            float(response.headers.get(REQUESTED_AT, time.time())),
            head,
            body,
        )
        await self.store.put(stored)
        return hishel.Entry(
            id=UUID(bytes=id), request=request, response=replace(response, stream=one_chunk(body))
        )

    async def get_entries(self, key: str) -> list[hishel.Entry]:
        id = bytes.fromhex(key[:32])
        stored = await self.store.get(id)
        if stored is None:
            return []
        try:
            url, method, request_headers, status, response_headers = read_head(stored.head)
            if key_of(url) != id:
                raise ValueError("the response of another address")
        except (ValueError, TypeError, RecursionError):
            await self.store.remove(id)
            return []
        request = hishel.Request(method=method, url=url, headers=hishel.Headers(request_headers))
        response = hishel.Response(status, hishel.Headers(response_headers), one_chunk(stored.body))
        return [hishel.Entry(id=UUID(bytes=stored.id), request=request, response=response)]

    async def update_headers(self, id: UUID, headers: hishel.Headers) -> None:
        def change(head: bytes) -> bytes:
            url, method, request_headers, status, _ = read_head(head)
            return head_of(url, method, request_headers, status, header_lists(headers))

        try:
            await self.store.set_head(id.bytes, float(headers.get(REQUESTED_AT, time.time())), change)
        except (ValueError, TypeError, RecursionError):
            await self.store.remove(id.bytes)

    async def remove_entry(self, id: UUID) -> None:
        await self.store.remove(id.bytes)

    async def expire(self, endpoints: frozenset[str]) -> None:
        """Delete the responses of endpoints that were written to."""
        await self.store.expire(endpoints)

    async def clear(self) -> None:
        """Delete all responses."""
        await self.store.clear()

    async def close(self) -> None:
        await self.store.close()


def key_of(url: str) -> bytes:
    """Return hishel's key for the response of an address."""
    return hashlib.sha256(f"RFC {url}".encode()).digest()[:16]


def read_head(head: bytes) -> tuple[str, str, dict[str, list[str]], int, dict[str, list[str]]]:
    """Parse the result of `head_of`. Raises ValueError or TypeError for anything else."""
    url, method, request_headers, status, response_headers = json.loads(head)
    if not isinstance(url, str) or method != "GET" or status != 200:
        raise ValueError("not a stored response")
    for fields in (request_headers, response_headers):
        for name, values in fields.items() if isinstance(fields, dict) else [(None, None)]:
            if not isinstance(name, str) or not isinstance(values, list):
                raise TypeError("invalid header fields")
            if not all(isinstance(value, str) and value.isprintable() for value in (name, *values)):
                raise ValueError("invalid header fields")
    requested = float(response_headers[REQUESTED_AT][0]) if response_headers.get(REQUESTED_AT) else math.nan
    if not 0 <= requested <= time.time() + MAX_CLOCK_SKEW:
        raise ValueError("invalid time of storage")
    return url, method, request_headers, status, response_headers


def header_lists(headers: hishel.Headers) -> dict[str, list[str]]:
    """Return all values of each header."""
    return {name: headers.get_list(name) or [] for name in headers}


async def one_chunk(body: bytes) -> AsyncIterator[bytes]:
    """Yield a body in one piece."""
    yield body
