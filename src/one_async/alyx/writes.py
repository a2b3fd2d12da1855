"""Writes to an address, each of which invalidates the stored answers that it changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import anyio

from one_async._boundary import public
from one_async._concurrency import RunningCalls
from one_async._threads import run_sync
from one_async.alyx.query import form_of, read_files, to_json_types

if TYPE_CHECKING:
    from one_async.alyx.answers import Answer
    from one_async.alyx.session import Session


@public(traced="alyx", ended_by_closing=True)
class Writes:
    """The methods of a REST client that send data."""

    _calls: RunningCalls

    if TYPE_CHECKING:  # defined by the client

        async def _opened(self) -> Session: ...
        def _open(self) -> Session: ...
        def _url(self, path_or_url: str) -> str: ...
        async def _request(self, method: str, url: str, **options: Any) -> Answer: ...

    async def post(self, rest_query: str, data: Any = None, files: Mapping[str, Any] | None = None) -> Any:
        """Send data to an address and return the JSON of the answer.

        Examples:
            >>> data = {"user": "demo", "text": "calm", "content_type": "session", "object_id": str(eid)}
            >>> note = await one.alyx.post("/notes", data)
            >>> note["text"]
            'calm'
        """
        return await self._write("POST", rest_query, data, files)

    async def put(self, rest_query: str, data: Any = None, files: Mapping[str, Any] | None = None) -> Any:
        """Replace the record at an address and return the JSON of the answer.

        Examples:
            >>> subject = await one.alyx.get("/subjects/VA_09")
            >>> subject = await one.alyx.put("/subjects/VA_09", {**subject, "description": "left-handed"})
            >>> subject["description"]
            'left-handed'
        """
        return await self._write("PUT", rest_query, data, files)

    async def patch(self, rest_query: str, data: Any = None, files: Mapping[str, Any] | None = None) -> Any:
        """Change fields of the record at an address and return the JSON of the answer.

        Examples:
            >>> subject = await one.alyx.patch("/subjects/VA_09", {"description": "left-handed"})
            >>> subject["description"]
            'left-handed'
        """
        return await self._write("PATCH", rest_query, data, files)

    async def delete(self, rest_query: str) -> Any:
        """Delete the record at an address.

        Examples:
            >>> data = {"user": "demo", "text": "calm", "content_type": "session", "object_id": str(eid)}
            >>> note = await one.alyx.post("/notes", data)
            >>> await one.alyx.delete(f"/notes/{note['id']}")
        """
        return await self._write("DELETE", rest_query, None, None)

    async def _write(self, method: str, path_or_url: str, data: Any, files: Mapping[str, Any] | None) -> Any:
        url = self._url(path_or_url)
        body: dict[str, Any] = {}
        if files:
            body = {"files": await run_sync(read_files, files), "data": form_of(data)}
        elif isinstance(data, str | bytes):
            body = {"content": data, "headers": {"Content-Type": "application/json"}}
        elif data is not None:
            body = {"json": to_json_types(data)}
        stack = await (await self._opened()).stack()
        try:
            return (await self._request(method, url, **body)).json
        finally:  # also after an error: Alyx answers some successful writes with 500
            with anyio.CancelScope(shield=True):
                await stack.invalidate(url)

    async def _expire(self, endpoint: str) -> None:
        """Reject the stored answers that a write to an endpoint by another client may have changed."""
        stack = await self._open().stack()
        await stack.invalidate(self._url(endpoint))
