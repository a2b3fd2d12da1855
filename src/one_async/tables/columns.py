"""Columns stored as plain arrays, which can be memory-mapped and are read only when they are used.

UUIDs and hashes are stored as bytes, repeated text as codes; `decode` returns any rows as a Polars series.
Polars 2 reads Arrow files into memory, but uses numpy arrays, even mapped ones, without a copy (measured).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from one_async.tables.polars_files import read_arrow

__all__ = [
    "Column",
    "Rows",
    "concat",
    "decode",
    "decode_list",
    "encode",
    "load",
    "save",
    "uuid_bytes",
    "uuid_text",
]

Array: TypeAlias = npt.NDArray[Any]
#: Rows of a table: a slice, or positions.
Rows: TypeAlias = "slice | npt.NDArray[np.int64]"

#: The positions of the hexadecimal digits in a UUID string.
_GROUPS: Final = ((0, 8), (9, 13), (14, 18), (19, 23), (24, 36))
_PIECE: Final = 1_000_000
_UUID: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_FEW: Final = 1000


@dataclass(frozen=True)
class Column:
    """One column: its encoding (``number``, ``uuid``, ``hex``, ``codes``, ``plain``) and its parts."""

    kind: str
    dtype: pl.DataType
    values: Array
    valid: Array | None = None
    words: pl.Series = field(default_factory=lambda: pl.Series([], dtype=pl.String))

    def __len__(self) -> int:
        return len(self.words) if self.kind == "plain" else len(self.values)

    @cached_property
    def names(self) -> list[str | None] | None:
        """The texts that codes stand for, if they are few."""
        if isinstance(self.dtype, pl.Enum):
            return self.dtype.categories.to_list()
        return self.words.to_list() if len(self.words) <= _FEW else None


def encode(series: pl.Series) -> Column:
    """Encode a series with the smallest applicable encoding."""
    dtype = series.dtype
    if dtype.is_numeric() and not dtype.is_decimal() and dtype not in (pl.Int128, pl.UInt128, pl.Float16):
        return _numbers(series, series)
    if dtype == pl.Boolean:
        return _numbers(series, series.cast(pl.UInt8))
    if dtype == pl.Date:
        return _numbers(series, series.to_physical())
    if isinstance(dtype, pl.Enum):
        return _numbers(series, series.to_physical())
    if dtype == pl.String:
        return _text(series)
    return Column("plain", dtype, np.empty(0, np.uint8), words=series)


def _numbers(series: pl.Series, physical: pl.Series) -> Column:
    valid = series.is_not_null().to_numpy() if series.null_count() else None
    values = physical.fill_null(0).to_numpy()
    return Column("number", series.dtype, values, valid)


def _text(series: pl.Series) -> Column:
    present = series.drop_nulls()
    if not len(present):
        return Column("codes", series.dtype, np.zeros(len(series), np.uint32), words=series.head(1))
    width = present.str.len_bytes()
    if width.min() == width.max() == 36 and not series.null_count() and series.str.contains(_UUID).all():
        return Column("uuid", series.dtype, uuid_bytes(series))
    hashed = _hashes(series, max(int(size) for size in width.unique()))
    if hashed is not None:
        return hashed
    words = series.unique(maintain_order=True)
    if len(words) > 1000 + len(series) // 2:
        return Column("plain", series.dtype, np.empty(0, np.uint8), words=series)
    return Column("codes", series.dtype, codes_of(series, words), words=words)


def _hashes(series: pl.Series, size: int) -> Column | None:
    """Encode hashes of one size, some of which may be empty or null; return None for other strings."""
    if size not in (32, 40) or not series.str.contains(rf"^(?:[0-9a-f]{{{size}}})?$").all():
        return None
    filled = series.fill_null("")
    # 0: null, 1: empty string, 2: a hash
    state = series.is_not_null().cast(pl.UInt8) + (filled != "").cast(pl.UInt8)
    digits = pl.select(pl.when(filled == "").then(pl.lit("0" * size)).otherwise(filled)).to_series()
    return Column("hex", series.dtype, _from_hex(digits, size), state.to_numpy())


def codes_of(series: pl.Series, words: pl.Series) -> npt.NDArray[np.uint32]:
    """Return the position of each value among the words."""
    table = pl.DataFrame({"word": words, "code": np.arange(len(words), dtype=np.uint32)})
    found = pl.DataFrame({"word": series}).join(
        table, on="word", how="left", nulls_equal=True, maintain_order="left"
    )
    return found["code"].to_numpy()


def decode(column: Column, rows: Rows = slice(None)) -> pl.Series:
    """Return rows of a column as a series of its dtype."""
    if column.kind == "plain":
        return column.words[rows]
    values = column.values[rows]
    if column.kind == "uuid":
        return uuid_text(values)
    if column.kind == "codes":
        return column.words[values] if len(column.words) else pl.Series([], dtype=column.dtype)
    if column.kind == "hex":
        return _from_states(_hex_text(values), column.valid[rows])  # type: ignore[index]
    series = _from_numbers(values, column.dtype)
    if column.valid is not None:
        series = series.set(~pl.Series(column.valid[rows].astype(bool)), None)
    return series


def decode_list(column: Column, rows: Rows = slice(None)) -> list[Any]:
    """Return the values of `decode` as a list; faster for the few rows of a session."""
    if column.kind == "plain" or column.dtype == pl.Date:
        return decode(column, rows).to_list()
    values = column.values[rows]
    if column.kind == "uuid":
        return _uuid_texts(values)
    if column.kind == "hex":
        found = zip(_hex_texts(values), column.valid[rows].tolist(), strict=True)  # type: ignore[index]
        return [text if state == 2 else "" if state == 1 else None for text, state in found]
    if column.dtype == pl.Boolean:
        values = values.astype(bool)
    listed: list[Any] = values.tolist()
    if column.kind == "codes" or isinstance(column.dtype, pl.Enum):
        if column.names is None:
            return decode(column, rows).to_list()
        listed = [column.names[code] for code in listed]
    if column.valid is None:
        return listed
    return [
        value if valid else None for value, valid in zip(listed, column.valid[rows].tolist(), strict=True)
    ]


def _from_numbers(values: Array, dtype: pl.DataType) -> pl.Series:
    if dtype == pl.Boolean:
        return pl.Series(values.astype(bool), dtype=pl.Boolean)
    if isinstance(dtype, pl.Enum):
        if len(values) <= _FEW:
            names = dtype.categories.to_list()
            return pl.Series([names[value] for value in values], dtype=dtype)
        return pl.Series(values).cat.to(dtype)
    series = pl.Series(values)
    return series if series.dtype == dtype else series.cast(dtype)


def _from_states(text: pl.Series, states: Array) -> pl.Series:
    if (states == 2).all():
        return text
    state = pl.Series(states)
    return pl.select(pl.when(state == 2).then(text).when(state == 1).then(pl.lit(""))).to_series()


def uuid_bytes(text: pl.Series) -> npt.NDArray[np.uint8]:
    """Convert UUID text to rows of 16 bytes."""
    out = np.empty((len(text), 16), np.uint8)
    for start, lines in _pieces(text, 36):
        digits = np.empty((len(lines), 32), np.uint8)
        for i, (begin, end) in enumerate(_GROUPS):
            digits[:, begin - i : end - i] = lines[:, begin:end]
        out[start : start + len(lines)] = _unhex(digits)
    return out


def _from_hex(text: pl.Series, width: int) -> npt.NDArray[np.uint8]:
    out = np.empty((len(text), width // 2), np.uint8)
    for start, lines in _pieces(text, width):
        out[start : start + len(lines)] = _unhex(lines)
    return out


def _unhex(digits: Array) -> Array:
    return np.frombuffer(bytes.fromhex(digits.tobytes().decode()), np.uint8).reshape(len(digits), -1)


def _pieces(text: pl.Series, width: int) -> Iterator[tuple[int, Array]]:
    """Yield the characters of strings of one width in batches of rows; CSV is the fastest export from Polars."""
    for start in range(0, len(text), _PIECE):
        piece = text.slice(start, _PIECE)
        raw = piece.to_frame().write_csv(include_header=False, quote_style="never").encode()
        yield start, np.frombuffer(raw, np.uint8).reshape(len(piece), width + 1)[:, :width]


def _hex_text(values: Array) -> pl.Series:
    """Convert rows of bytes to hexadecimal text."""
    if len(values) <= _FEW:
        return pl.Series(_hex_texts(values), dtype=pl.String)
    return _lines(np.frombuffer(values.tobytes().hex().encode(), np.uint8).reshape(-1, values.shape[1] * 2))


def _hex_texts(values: Array) -> list[str]:
    text, width = values.tobytes().hex(), values.shape[1] * 2
    return [text[i : i + width] for i in range(0, len(text), width)]


def uuid_text(values: Array) -> pl.Series:
    """Convert rows of 16 bytes to UUID text."""
    if len(values) <= _FEW:
        return pl.Series(_uuid_texts(values), dtype=pl.String)
    digits = np.frombuffer(values.tobytes().hex().encode(), np.uint8).reshape(-1, 32)
    padded = np.full((len(values), 36), ord("-"), np.uint8)
    for i, (begin, end) in enumerate(_GROUPS):
        padded[:, begin:end] = digits[:, begin - i : end - i]
    return _lines(padded)


def _uuid_texts(values: Array) -> list[str]:
    text = values.tobytes().hex()
    parts = (text[i : i + 32] for i in range(0, len(text), 32))
    return [f"{t[:8]}-{t[8:12]}-{t[12:16]}-{t[16:20]}-{t[20:]}" for t in parts]


def _lines(values: Array) -> pl.Series:
    """Convert rows of non-zero characters to strings; Polars accepts NumPy's fixed-width strings directly."""
    texts = np.ascontiguousarray(values).view(f"S{values.shape[1]}").ravel()
    return pl.Series(texts, dtype=pl.Binary).cast(pl.String)


def concat(old: Column, new: pl.Series, order: npt.NDArray[np.int64]) -> Column:
    """Return the rows of a column followed by those of a series, in an order that may omit some."""
    added = _like(old, new.cast(old.dtype))
    if added is None:
        both = pl.concat([decode(old), new.cast(old.dtype)])
        return encode(both.gather(order))
    values = np.concatenate([old.values, added.values])[order]
    valid = None
    if old.valid is not None or added.valid is not None:
        states = [np.ones(len(c), bool) if c.valid is None else c.valid for c in (old, added)]
        valid = np.concatenate(states)[order]
    return Column(old.kind, old.dtype, values, valid, added.words)


def _like(old: Column, new: pl.Series) -> Column | None:
    """Encode a series with the encoding of a column; return None if that is impossible."""
    if old.kind == "codes":
        fresh = new.unique(maintain_order=True)
        words = pl.concat([old.words, fresh.filter(~fresh.is_in(old.words.implode(), nulls_equal=True))])
        return Column("codes", old.dtype, codes_of(new, words), words=words)
    if old.kind == "hex":
        return _hashes(new, old.values.shape[1] * 2)
    made = encode(new)
    return made if made.kind == old.kind and made.kind != "plain" else None


def save(column: Column, folder: Path, name: str) -> dict[str, Any]:
    """Write a column's parts to a folder; return the JSON-compatible description that `load` needs."""
    np.save(folder / f"{name}.npy", column.values, allow_pickle=False)
    if column.valid is not None:
        np.save(folder / f"{name}.valid.npy", column.valid, allow_pickle=False)
    if column.kind in ("codes", "plain"):
        pl.DataFrame({"word": column.words}).write_ipc(folder / f"{name}.words", compression="uncompressed")
    return {"kind": column.kind, "dtype": _dtype_name(column.dtype), "valid": column.valid is not None}


def load(folder: Path, name: str, description: dict[str, Any], array: Callable[[Path], Array]) -> Column:
    """Open a column that `save` wrote."""
    words = pl.Series([], dtype=pl.String)
    if description["kind"] in ("codes", "plain"):
        words = read_arrow(folder / f"{name}.words")["word"]
    return Column(
        description["kind"],
        words.dtype if description["kind"] == "plain" else _dtype(description["dtype"]),
        array(folder / f"{name}.npy"),
        array(folder / f"{name}.valid.npy") if description["valid"] else None,
        words,
    )


def _dtype_name(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Enum):
        return json.dumps(dtype.categories.to_list())
    return str(dtype)


def _dtype(name: str) -> pl.DataType:
    if name.startswith("["):
        return pl.Enum(json.loads(name))
    found = getattr(pl, name, None)
    return found() if found is not None else pl.String()
