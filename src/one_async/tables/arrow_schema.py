"""Add metadata to the Arrow schema of a Parquet file, where pyarrow, and therefore ONE-api, reads it.

Polars 2 writes its metadata beside the schema and drops the schema's own, but it accepts an ``ARROW:schema`` entry from the
caller. Such an entry is an Arrow IPC schema message (a FlatBuffer: Arrow's Schema.fbs and Message.fbs). A new head with
the metadata precedes Polars' own message and refers to the fields in it, since all offsets there are relative.
"""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Mapping

import polars as pl

__all__ = ["schema_with_metadata"]

_CONTINUATION = 0xFFFFFFFF
_VERSION_5 = 4
_SCHEMA = 1


def schema_with_metadata(frame: pl.DataFrame, metadata: Mapping[str, str]) -> str:
    """Return the ``ARROW:schema`` entry of a frame's parquet file, with metadata for the whole schema."""
    target = io.BytesIO()
    frame.clear().write_parquet(target)
    target.seek(0)
    old = base64.b64decode(pl.read_parquet_metadata(target)["ARROW:schema"])[8:]
    message = _message(old, metadata)
    return base64.b64encode(struct.pack("<II", _CONTINUATION, len(message)) + message).decode()


def _field(buffer: bytes, table: int, slot: int) -> int:
    """Return the position of a field of a FlatBuffers table, which must have it."""
    vtable = table - struct.unpack_from("<i", buffer, table)[0]
    offset: int = struct.unpack_from("<H", buffer, vtable + 4 + 2 * slot)[0]
    if not offset:
        raise ValueError("Polars wrote an Arrow schema without fields")
    return table + offset


def _follow(buffer: bytes, position: int) -> int:
    return position + int(struct.unpack_from("<I", buffer, position)[0])


def _fields_of(message: bytes) -> int:
    """Return the position of the vector of the schema's fields in a message."""
    schema = _follow(message, _field(message, _follow(message, 0), 2))
    return _follow(message, _field(message, schema, 1))


def _message(old: bytes, metadata: Mapping[str, str]) -> bytes:
    """Return a message whose schema has the metadata and the fields of an old message."""
    pairs = [(_text(key), _text(value)) for key, value in metadata.items()]
    # Positions: root, message vtable and table, schema vtable and table, key-value vtable, vector, entries, old message.
    message, schema, entry_vtable, vector = 16, 40, 52, 60
    entries = vector + 4 + 4 * len(pairs)
    at, places, body = entries, [], b""
    for key, value in pairs:
        places.append(at)
        body += struct.pack("<iII", at - entry_vtable, 8, 4 + len(key)) + key + value
        at = entries + len(body)
    embedded = -(-at // 8) * 8
    fields = embedded + _fields_of(old)
    out = struct.pack("<I", message)
    out += struct.pack("<HHHHHH", 10, 12, 8, 10, 4, 0)  # vtable: version, header type, header; then padding
    out += struct.pack("<iIHBB", message - 4, schema - (message + 4), _VERSION_5, _SCHEMA, 0)
    out += struct.pack(
        "<HHHHHH", 10, 12, 0, 4, 8, 0
    )  # vtable: endianness (default), fields, metadata; padding
    out += struct.pack("<iII", schema - 28, fields - (schema + 4), vector - (schema + 8))
    out += struct.pack("<HHHH", 8, 12, 4, 8)  # vtable: key, value
    out += struct.pack("<I", len(pairs))
    out += b"".join(struct.pack("<I", place - (vector + 4 + 4 * i)) for i, place in enumerate(places))
    out += body
    return out.ljust(embedded, b"\0") + old


def _text(text: str) -> bytes:
    """Return a FlatBuffers string with padding to the next aligned position."""
    raw = text.encode()
    size = -(-(len(raw) + 1) // 4) * 4
    return struct.pack("<I", len(raw)) + raw.ljust(size, b"\0")
