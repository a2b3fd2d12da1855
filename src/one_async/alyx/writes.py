"""Writes to an address: their bodies, and the stored answers that each of them makes invalid."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from uuid import UUID

import anyio

from one_async._arguments import text_of
from one_async._boundary import public
from one_async._concurrency import RunningCalls
from one_async._threads import run_sync
from one_async.alyx.caching import endpoint_of
from one_async.errors import InputError, naming

if TYPE_CHECKING:
    from one_async.alyx.responses import Answer
    from one_async.alyx.transports import Session


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
            with naming({"url": "rest_query"}):
                return (await self._request(method, url, **body)).json
        finally:  # also after an error: Alyx answers some successful writes with 500
            with anyio.CancelScope(shield=True):
                await stack.invalidate(changed_by(endpoint_of(url)))

    async def _expire(self, endpoint: str) -> None:
        """Reject the stored answers that a write to an endpoint by another client may have changed."""
        stack = await self._open().stack()
        await stack.invalidate(changed_by(endpoint))


def to_json_types(data: Any) -> Any:
    """Convert ids, dates and paths to text, and sets and tuples to lists, for JSON."""
    if isinstance(data, Mapping):
        return {to_json_types(str(key)): to_json_types(value) for key, value in data.items()}
    if isinstance(data, list | tuple | set | frozenset):
        return [to_json_types(item) for item in data]
    if isinstance(data, date):
        return data.isoformat()
    if isinstance(data, str) and text_of(data) is None:
        raise InputError.of("data", data, "text without lone surrogates")
    if data is None or isinstance(data, str | int | float | bool):
        return data
    if isinstance(data, UUID | PurePath | Decimal):
        return str(data)
    if hasattr(data, "tolist"):  # arrays and scalars of numpy
        return to_json_types(data.tolist())
    raise InputError.of("data", data, "values of JSON, dates, ids and paths")


def form_of(data: Any) -> dict[str, Any]:
    """Return the fields of a multipart body: lists are repeated, dicts are JSON text, None is empty."""
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise InputError.of("data", data, "a dict, to be sent with files")
    fields: dict[str, Any] = {}
    for name, value in to_json_types(data).items():
        nested = isinstance(value, dict) or (
            isinstance(value, list) and any(isinstance(item, list | dict) for item in value)
        )
        fields[name] = json.dumps(value, allow_nan=False) if nested else value
    return fields


def read_files(files: Mapping[str, Any]) -> dict[str, Any]:
    """Read open files and paths; blocking. Raise InputError for anything but a dict by field name."""
    if not isinstance(files, Mapping):
        raise InputError.of(
            "files", files, "a dict of open files, paths, or pairs of a name and bytes, by field"
        )
    return {name: _read_file(name, file) for name, file in files.items()}


def _read_file(name: str, file: Any) -> Any:
    if isinstance(file, Path):
        return (file.name, file.read_bytes())
    if hasattr(file, "read"):
        return (Path(getattr(file, "name", name)).name, file.read())
    return file


# ---- which stored answers a write changes

#: Endpoints whose records belong to a session, are deleted with it or found by its subject, date and number; those of a
#: subject; and those that show names of other records, such as labs and projects, or are found by them.
_OF_SESSION = frozenset(
    {
        "sessions", "datasets", "files", "insertions", "chronic-insertions", "trajectories", "channels", "notes", "tasks",
        "water-administrations", "fields-of-view", "fov-location", "imaging-stack", "data-notices", "downloads",
    }
)  # fmt: skip
_OF_SUBJECT = _OF_SESSION | {
    "subjects", "surgeries", "weighings", "water-restriction", "water-requirement", "water-restricted-subjects",
}  # fmt: skip
_BY_NAME = _OF_SUBJECT | {
    "labs", "locations", "projects", "users", "data-repository", "dataset-types", "revisions",
}  # fmt: skip
#: Other endpoints whose answers change with a write to an endpoint.
ALSO_CHANGED: Mapping[str, frozenset[str]] = {
    "sessions": _OF_SESSION | {"subjects"},
    "subjects": _OF_SUBJECT | {"users"},
    "register-file": frozenset({"sessions", "datasets", "files", "revisions", "insertions"}),
    "sync-file-status": frozenset({"files", "datasets", "sessions"}),
    "new-download": frozenset({"downloads"}),
    "datasets": frozenset({"sessions", "files", "insertions", "fields-of-view", "data-notices", "downloads"}),
    "files": frozenset({"datasets", "sessions", "insertions"}),
    "notes": frozenset({"sessions"}),
    "weighings": frozenset({"subjects", "water-requirement", "water-restricted-subjects"}),
    "water-administrations": frozenset(
        {"subjects", "sessions", "water-requirement", "water-restricted-subjects"}
    ),
    "surgeries": frozenset({"subjects"}),
    "trajectories": frozenset({"insertions", "channels"}),
    "channels": frozenset({"sessions", "insertions", "trajectories"}),
    "insertions": frozenset({"sessions", "trajectories", "channels", "chronic-insertions", "tasks"}),
    "chronic-insertions": frozenset({"sessions", "insertions", "trajectories", "channels"}),
    "fields-of-view": frozenset({"sessions", "fov-location", "imaging-stack"}),
    "fov-location": frozenset({"sessions", "fields-of-view", "imaging-stack"}),
    "imaging-stack": frozenset({"fields-of-view"}),
    **dict.fromkeys(
        (
            "labs", "locations", "projects", "procedures", "users", "tags", "revisions", "dataset-types", "data-formats",
            "data-repository", "data-repository-type", "water-type",
        ),
        _BY_NAME,
    ),
}  # fmt: skip


def changed_by(endpoint: str) -> frozenset[str]:
    """Return the endpoints whose stored answers a write to ``endpoint`` invalidates."""
    return ALSO_CHANGED.get(endpoint, frozenset()) | {endpoint}
