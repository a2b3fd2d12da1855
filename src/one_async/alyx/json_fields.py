"""Changes of JSON fields, such as ``json`` and ``extended_qc``, which Alyx itself can only replace as a whole."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

import anyio

from one_async._boundary import public
from one_async.alyx.writes import to_json_types
from one_async.errors import AnswerError, ConflictError, InputError

if TYPE_CHECKING:
    from one_async.alyx.schema import Schema
    from one_async.types import JSON

#: Seconds after which an atomic update reads the field again, and the most that may pass between its reading and writing.
SETTLE = 1.0
#: Fields that a PATCH must repeat: without them Alyx sets them to null (trajectories) or answers 500 (notes).
REPEATED: Mapping[str, tuple[str, ...]] = {
    "trajectories": ("probe_insertion", "chronic_insertion"),
    "notes": ("content_type", "object_id"),
}


@public(traced="alyx")
class JsonFields:
    """The methods of a REST client that change JSON fields."""

    if TYPE_CHECKING:  # defined by the client

        async def schema(self) -> Schema: ...

        async def rest(self, /, url: str | None = None, action: str | None = None, **options: Any) -> Any: ...

    async def json_field_write(
        self,
        endpoint: str | None = None,
        uuid: UUID | str | None = None,
        field_name: str | None = None,
        data: JSON | None = None,
    ) -> JSON | None:
        """Replace a JSON field of a record, whatever it contains, and return its new content.

        ``uuid`` is the record's id or name, or a path or URL that ends in it. Without ``data`` the field is set to null.
        Raises InputError for an unknown endpoint or field, NotFound for an unknown record, and other errors as ``rest``.

        Examples:
            >>> await one.alyx.json_field_write("subjects", "VA_09", "json", {"cage": "A1"})
            {'cage': 'A1'}
        """
        endpoint, field = await self._checked_field(endpoint, uuid, field_name)
        repeated: dict[str, Any] = {}
        if endpoint in REPEATED:
            record = await self._read_record(endpoint, uuid)
            repeated = {name: record[name] for name in REPEATED[endpoint]}
        return await self._write_field(endpoint, uuid, field, data, repeated)

    async def json_field_update(
        self,
        endpoint: str | None = None,
        uuid: UUID | str | None = None,
        field_name: str = "json",
        data: Mapping[str, object] | None = None,
        *,
        atomic: bool = False,
    ) -> JSON | None:
        """Set keys of a JSON field of a record, keep its other keys, and return its new content.

        Keys are those of the top level: a value that is a dict is replaced, not merged. The field is read, changed and
        written as a whole, so that a key which another client sets in between is lost.

        ``atomic`` detects this: the field is read again a second after it was written, and ConflictError is raised
        if any of ``data`` is no longer in it, or if reading and writing took so long that the change of another client may
        have been overwritten. This holds if all clients that change the field use ``atomic``.

        Raises InputError for ``data`` that is not a dict, an unknown endpoint or field, NotFound for an unknown record,
        ConflictError if the field contains something else than a dict or null.

        Examples:
            >>> await one.alyx.json_field_write("subjects", "VA_09", "json", {"cage": "A1"})
            {'cage': 'A1'}
            >>> await one.alyx.json_field_update("subjects", "VA_09", "json", {"diet": "wet"})
            {'cage': 'A1', 'diet': 'wet'}
        """
        if not isinstance(data, Mapping):
            raise InputError.of("data", data, "a dict of the keys to set")
        endpoint, field = await self._checked_field(endpoint, uuid, field_name)
        changes = to_json_types(data)
        started = time.monotonic()
        record = await self._read_record(endpoint, uuid)
        content = _dict_of(record, endpoint, uuid, field) | changes
        written = await self._write_field(endpoint, uuid, field, content, _repeated(endpoint, record))
        if atomic:
            duration = time.monotonic() - started
            await anyio.sleep(SETTLE)
            written = await self._confirm(endpoint, uuid, field, changes)
            if duration > SETTLE:
                raise _conflict(
                    endpoint,
                    uuid,
                    field,
                    f"was read and written in {duration:.1f} s, more than {SETTLE:g} s: a key that another client set meanwhile "
                    "may be lost",
                    written,
                )
        return written

    async def json_field_remove_key(
        self,
        endpoint: str | None = None,
        uuid: UUID | str | None = None,
        field_name: str = "json",
        key: str | None = None,
    ) -> JSON | None:
        """Remove a key of a JSON field of a record and return the field's new content.

        A field without the key is not written. Raises InputError, NotFound and ConflictError as ``json_field_update``.

        Examples:
            >>> await one.alyx.json_field_write("subjects", "VA_09", "json", {"cage": "A1", "diet": "wet"})
            {'cage': 'A1', 'diet': 'wet'}
            >>> await one.alyx.json_field_remove_key("subjects", "VA_09", "json", "diet")
            {'cage': 'A1'}
        """
        if not isinstance(key, str):
            raise InputError.of("key", key, "the name of a key")
        endpoint, field = await self._checked_field(endpoint, uuid, field_name)
        record = await self._read_record(endpoint, uuid)
        content = _dict_of(record, endpoint, uuid, field)
        if key not in content:
            return None if record[field] is None else content
        del content[key]
        return await self._write_field(endpoint, uuid, field, content, _repeated(endpoint, record))

    async def json_field_delete(
        self,
        endpoint: str | None = None,
        uuid: UUID | str | None = None,
        field_name: str | None = None,
    ) -> JSON | None:
        """Set a field of a record to null, with all of its keys, and return its new content, None.

        Raises InputError for an unknown endpoint or field, NotFound, and StatusError for a field that cannot be null.

        Examples:
            >>> await one.alyx.json_field_delete("subjects", "VA_09", "json") is None
            True
        """
        return await self.json_field_write(endpoint, uuid, field_name, None)

    async def _checked_field(self, endpoint: object, uuid: object, field: object) -> tuple[str, str]:
        """Check the names of an endpoint and of a field of its records that can be written."""
        documented = await self.schema()
        documented.check(endpoint, "partial_update")  # type: ignore[arg-type]
        assert isinstance(endpoint, str)
        if uuid is None:
            raise InputError.of("uuid", uuid, f"the id or name of one of {endpoint}")
        names = [
            field.name
            for field in documented.describe(endpoint, "partial_update").actions["partial_update"].fields
        ]
        if not isinstance(field, str) or field not in names:
            raise InputError.of("field_name", field, f"{', '.join(names)} (of {endpoint})")
        return endpoint, field

    async def _read_record(self, endpoint: str, uuid: UUID | str | None) -> dict[str, Any]:
        record = await self.rest(endpoint, "read", id=uuid, no_cache=True)
        if not isinstance(record, dict):
            raise AnswerError(
                f"/{endpoint} answered with {type(record).__name__} instead of a record", url=f"/{endpoint}"
            )
        return record

    async def _write_field(
        self, endpoint: str, uuid: UUID | str | None, field: str, content: Any, repeated: Mapping[str, Any]
    ) -> JSON | None:
        data = {**repeated, field: content}
        record: JSON = await self.rest(endpoint, "partial_update", id=uuid, data=data)
        written: JSON | None = record[field]
        return written

    async def _confirm(
        self, endpoint: str, uuid: UUID | str | None, field: str, changes: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Read a field again and return its content. Raise ConflictError if a change is no longer in it."""
        record = await self._read_record(endpoint, uuid)
        content = record.get(field)
        found = content if isinstance(content, dict) else {}
        if lost := [key for key, value in changes.items() if key not in found or found[key] != value]:
            raise _conflict(
                endpoint,
                uuid,
                field,
                f"was changed by another client at the same time; lost: {', '.join(lost)}",
                content,
            )
        return found


def _repeated(endpoint: str, record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: record[name] for name in REPEATED.get(endpoint, ())}


def _dict_of(record: Mapping[str, Any], endpoint: str, uuid: object, field: str) -> dict[str, Any]:
    """Return a copy of a field's content, empty for null. Raise ConflictError for anything but a dict."""
    content = record.get(field)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise _conflict(
            endpoint, uuid, field, f"contains {type(content).__name__}, which has no keys", content
        )
    return dict(content)


def _conflict(endpoint: str, uuid: object, field: str, why: str, found: object) -> ConflictError:
    return ConflictError(
        f"{field} of {endpoint} {uuid} {why}", endpoint=endpoint, id=str(uuid), field=field, found=found
    )
