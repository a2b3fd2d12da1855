"""Parquet bytes that ONE-api and pandas accept, written by Polars without pyarrow.

ONE-api reads the metadata of a table from its Arrow schema, which Polars stores in the file without metadata:
pyarrow then reports none and ONE-api cannot read the file. So the Arrow schema in the footer is replaced by one
with the metadata of the file, as specified by Apache Parquet's thrift footer and Apache Arrow's ``Schema.fbs``.
"""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

__all__ = ["footer_size", "parquet_bytes"]

MAGIC = b"PAR1"
ARROW_SCHEMA = b"ARROW:schema"
KEY_VALUE_METADATA = 5
BINARY, LIST, SET, MAP, STRUCT = 8, 9, 10, 11, 12


def parquet_bytes(frame: pl.DataFrame, metadata: Mapping[str, str] | None = None) -> bytes:
    """Return a table as Parquet with metadata in its schema.

    One row group, Snappy, no statistics. Without ``metadata`` the key ``one_metadata`` holds an empty JSON
    object, which is the least that ONE-api's reader accepts. An Enum column becomes an ordered dictionary.
    """
    pairs = {key.encode(): value.encode() for key, value in (metadata or {"one_metadata": "{}"}).items()}
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="snappy", statistics=False, row_group_size=max(frame.height, 1))
    data = buffer.getvalue()
    start = len(data) - 8 - footer_size(data)
    footer = data[start:-8]
    first, last = _metadata_span(footer)
    schema = _pairs(footer, first)[ARROW_SCHEMA]
    message = base64.b64decode(schema)
    pairs[ARROW_SCHEMA] = base64.b64encode(_with_metadata(message, pairs))
    footer = footer[:first] + _encoded(pairs) + footer[last:]
    return data[:start] + footer + struct.pack("<I", len(footer)) + MAGIC


def footer_size(data: bytes) -> int:
    """Return the size in bytes of the footer of a Parquet file."""
    size: int = struct.unpack("<I", data[-8:-4])[0]
    return size


# The parts of the thrift compact protocol that the footer uses


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _to_varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _list_head(data: bytes, at: int) -> tuple[int, int, int]:
    """Return the length of a list, the kind of its items and the position of the first."""
    size, kind = data[at] >> 4, data[at] & 0x0F
    at += 1
    if size == 15:
        size, at = _varint(data, at)
    return size, kind, at


def _skip(data: bytes, at: int, kind: int) -> int:
    """Return the end of the value that begins at ``at`` (maps do not occur in a footer)."""
    if kind in (1, 2):
        return at
    if kind in (4, 5, 6):
        return _varint(data, at)[1]
    if kind == BINARY:
        size, at = _varint(data, at)
        return at + size
    if kind in (LIST, SET):
        size, item, at = _list_head(data, at)
        for _ in range(size):
            at = at + 1 if item in (1, 2) else _skip(data, at, item)
        return at
    if kind == STRUCT:
        while data[at]:
            at = _skip(data, *_field(data, at)[1:])
        return at + 1
    return at + {3: 1, 7: 8}[kind]


def _field(data: bytes, at: int) -> tuple[int, int, int]:
    """Return the increment to a field's number, the position of its value, and the value's kind."""
    step, kind = data[at] >> 4, data[at] & 0x0F
    return step, at + 1, kind


def _metadata_span(footer: bytes) -> tuple[int, int]:
    at = number = 0
    while footer[at]:
        step, at, kind = _field(footer, at)
        number += step
        end = _skip(footer, at, kind)
        if number == KEY_VALUE_METADATA:
            return at, end
        at = end
    raise ValueError("no metadata in this Parquet footer")


def _pairs(footer: bytes, at: int) -> dict[bytes, bytes]:
    count, _, at = _list_head(footer, at)
    pairs = {}
    for _ in range(count):
        texts = []
        while footer[at]:
            size, at = _varint(footer, at + 1)
            texts.append(footer[at : at + size])
            at += size
        at += 1
        pairs[texts[0]] = texts[1]
    return pairs


def _encoded(pairs: Mapping[bytes, bytes]) -> bytes:
    out = [bytes([len(pairs) << 4 | STRUCT])]
    for pair in pairs.items():
        for text in pair:
            out += [b"\x18", _to_varint(len(text)), text]
        out.append(b"\0")
    return b"".join(out)


# Arrow's schema message: a flatbuffer


def _slot(data: bytes, table: int, index: int) -> int:
    """Return the position of a field of a flatbuffer table."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    return table + int(struct.unpack_from("<H", data, vtable + 4 + 2 * index)[0])


def _follow(data: bytes, at: int) -> int:
    return at + int(struct.unpack_from("<I", data, at)[0])


def _with_metadata(message: bytes, pairs: Mapping[bytes, bytes]) -> bytes:
    """Return the schema message with metadata.

    A new message and schema precede the old flatbuffer and the metadata follow it, since offsets only point
    forward; the old flatbuffer is kept whole for the fields in it.
    """
    old = message[8:] if message[:4] == b"\xff\xff\xff\xff" else message[4:]
    old += bytes(-len(old) % 8)
    fields = _follow(old, _slot(old, _follow(old, _slot(old, _follow(old, 0), 2)), 1))
    head = 64
    flat = bytearray(head)
    # Message: version V5, header type Schema, header, body length 0
    struct.pack_into("<I", flat, 0, 16)
    struct.pack_into("<HHHHH", flat, 4, 10, 12, 4, 6, 8)
    struct.pack_into("<iHBxI", flat, 16, 12, 4, 1, 40 - 24)
    # Schema: fields and metadata (endianness is omitted, since little-endian is the default)
    struct.pack_into("<HHHHH", flat, 30, 10, 12, 0, 4, 8)
    struct.pack_into("<iII", flat, 40, 10, head + fields - 44, head + len(old) - 48)
    flat += old + _key_values(pairs)
    return struct.pack("<iI", -1, len(flat)) + flat


def _key_values(pairs: Mapping[bytes, bytes]) -> bytes:
    """Return a self-contained vector of KeyValue tables."""
    out = bytearray(struct.pack("<I", len(pairs)) + bytes(4 * len(pairs)))
    for index, pair in enumerate(pairs.items()):
        out += bytes(-len(out) % 8)
        at = len(out) + 8
        struct.pack_into("<I", out, 4 + 4 * index, at - (4 + 4 * index))
        out += struct.pack("<HHHH", 8, 12, 4, 8) + struct.pack("<iII", 8, 0, 0)
        for number, text in enumerate(pair):
            out += bytes(-len(out) % 4)
            slot = at + 4 + 4 * number
            struct.pack_into("<I", out, slot, len(out) - slot)
            out += struct.pack("<I", len(text)) + text + b"\0"
    return bytes(out + bytes(-len(out) % 8))
