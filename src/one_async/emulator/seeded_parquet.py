"""Parquet bytes that ONE-api and pandas accept, written by Polars without pyarrow.

ONE-api reads the metadata of a table from its Arrow schema, which Polars stores in the file without metadata:
pyarrow then reports none and ONE-api cannot read the file. So the Arrow schema in the footer is replaced by one
with the metadata of the file, as specified by Apache Parquet's thrift footer and Apache Arrow's ``Schema.fbs``.
"""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl

__all__ = ["footer_size", "parquet_bytes", "plain_bytes"]

MAGIC = b"PAR1"
ARROW_SCHEMA = b"ARROW:schema"
KEY_VALUE_METADATA = 5
I32, I64, BINARY, LIST, SET, MAP, STRUCT = 5, 6, 8, 9, 10, 11, 12
INT64, DOUBLE, BYTE_ARRAY = 2, 5, 6


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


def plain_bytes(columns: Mapping[str, NDArray[Any] | Sequence[str]]) -> bytes:
    """Return a table as Parquet whose bytes depend on no library: one row group, plain values, no compression.

    Columns are arrays of float64 or int64, or sequences of text. The key ``one_metadata`` is that of `parquet_bytes`.
    """
    data, chunks = bytearray(MAGIC), []
    schema = [_struct((4, BINARY, b"schema"), (5, I32, len(columns)))]
    rows = len(next(iter(columns.values())))
    for name, values in columns.items():
        kind, page = _plain(values)
        head = _struct((1, I32, rows), (2, I32, 0), (3, I32, 3), (4, I32, 3))
        head = _struct((1, I32, 0), (2, I32, len(page)), (3, I32, len(page)), (5, STRUCT, head))
        size, place = len(head) + len(page), len(data)
        data += head + page
        text = ((6, I32, 0),) if kind == BYTE_ARRAY else ()
        schema.append(_struct((1, I32, kind), (3, I32, 0), (4, BINARY, name.encode()), *text))
        about = _struct(
            (1, I32, kind),
            (2, LIST, _list(I32, [_zigzag(0)])),
            (3, LIST, _list(BINARY, [_text(name.encode())])),
            (4, I32, 0),
            (5, I64, rows),
            (6, I64, size),
            (7, I64, size),
            (9, I64, place),
        )
        chunks.append(_struct((2, I64, place), (3, STRUCT, about)))
    group = _struct((1, LIST, _list(STRUCT, chunks)), (2, I64, len(data) - len(MAGIC)), (3, I64, rows))
    footer = _struct(
        (1, I32, 1),
        (2, LIST, _list(STRUCT, schema)),
        (3, I64, rows),
        (4, LIST, _list(STRUCT, [group])),
        (KEY_VALUE_METADATA, LIST, _encoded({b"one_metadata": b"{}"})),
    )
    return bytes(data) + footer + struct.pack("<I", len(footer)) + MAGIC


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


def _zigzag(number: int) -> bytes:
    return _to_varint(2 * number)


def _text(value: bytes) -> bytes:
    return _to_varint(len(value)) + value


def _list(kind: int, items: Sequence[bytes]) -> bytes:
    head = (
        bytes([len(items) << 4 | kind]) if len(items) < 15 else bytes([0xF0 | kind]) + _to_varint(len(items))
    )
    return head + b"".join(items)


def _struct(*fields: tuple[int, int, Any]) -> bytes:
    """Return a struct of fields: number, kind, and the value (integers are not negative; others are encoded already)."""
    out, before = bytearray(), 0
    for number, kind, value in fields:
        out.append((number - before) << 4 | kind)
        out += _zigzag(value) if kind in (I32, I64) else _text(value) if kind == BINARY else value
        before = number
    return bytes(out + b"\0")


def _plain(values: NDArray[Any] | Sequence[str]) -> tuple[int, bytes]:
    """Return the type of a column and its values in Parquet's plain encoding."""
    if isinstance(values, np.ndarray):
        floats = values.dtype.kind == "f"
        return (DOUBLE, values.astype("<f8").tobytes()) if floats else (INT64, values.astype("<i8").tobytes())
    texts = [value.encode() for value in values]
    return BYTE_ARRAY, b"".join(struct.pack("<I", len(text)) + text for text in texts)


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
