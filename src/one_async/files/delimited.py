"""Read tables of delimited text as Polars frames, interpreted as pandas would."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import Final

import polars as pl

from one_async._threads import check_polars

__all__ = ["decoded", "read_delimited"]

#: The strings that pandas reads as missing values.
_MISSING: Final = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>",
    "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
]  # fmt: skip
_TRUTH: Final = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}
#: The characters that pandas accepts as blanks around a number.
_BLANKS: Final = " \t\n\r\v\f"
#: A row that no file contains; it is appended to check that all quoted fields before it are closed.
_END: Final = "\0end"
#: What Polars reads as a float and pandas as text: integers of more than 128 bits, and NaN in other spellings than those above.
_NO_FLOAT: Final = r"^[+-]?(?:[0-9]{39,}|(?i:nan))$"


def read_delimited(file: Path, separator: str) -> tuple[pl.DataFrame, list[str]]:
    """Read delimited text whose first row names the columns; return the frame and the names of its index columns.

    Types are inferred from all rows: integers, otherwise numbers, otherwise booleans, otherwise strings. Missing values are
    those of pandas, and blank lines are skipped as by pandas. Leading fields without a column name are a pandas index: a
    column ``index``, or several columns ``level_0``, ``level_1``, … Text is decoded as UTF-8, as UTF-16 if it begins with a
    byte order mark of UTF-16, otherwise as Latin-1.
    """
    check_polars()
    text = _regular(decoded(file.read_bytes()), separator)
    header, levels = _header(text, separator)
    table = pl.read_csv(
        (separator * levels + text.removesuffix("\n") + "\n").encode(),
        separator=separator,
        has_header=False,
        infer_schema=False,
        null_values=_MISSING,
    )
    index = ["index"] if levels == 1 else [f"level_{level}" for level in range(levels)]
    table.columns = _unique(index, header)
    return _typed(table[1:]), index


def decoded(data: bytes) -> str:
    """Return the text of a file of unknown encoding."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _regular(text: str, separator: str) -> str:
    """Return the rows without blank lines, and with quotes only around whole fields.

    Polars counts quotes anywhere; for pandas and the csv module, a quote opens a field only at its start.
    """
    blanks = "".join(blank for blank in " \t" if blank != separator)
    blank = re.compile(rf"(?m)^[{blanks}]*(?:\n|\Z)")
    if '"' not in text:
        return blank.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    field = rf'(?m)(?:^|(?<={separator}))"[^"]*(?:""[^"]*)*"(?={separator}|\r?\n|\Z)'
    bare = re.sub(field, "x", text).replace("\r\n", "\n").removesuffix("\n")
    if not re.search(rf'["\r]|(?m:^[{blanks}]*$)', bare):
        return text
    lines = [*io.StringIO(text + "\n", newline=""), _END]
    reader = csv.reader(lines, delimiter=separator)
    # The last line of a multi-line quoted field is never blank, since it contains the closing quote.
    rows = [row for row in reader if lines[reader.line_num - 1].strip(blanks + "\r\n")]
    if not rows or rows.pop() != [_END]:
        raise ValueError("a quoted field is not closed")
    regular = io.StringIO()
    csv.writer(regular, delimiter=separator, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return regular.getvalue()


def _header(text: str, separator: str) -> tuple[list[str], int]:
    """Return the first row, and the number of additional fields in the second one."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    header = next(rows, [])
    try:
        return header, max(0, len(next(rows, [])) - len(header))
    except csv.Error:  # a field longer than the csv module reads
        return header, 0


def _unique(index: list[str], header: list[str]) -> list[str]:
    """Make the column names unique as pandas does: ``a``, ``a.1``, …; name unnamed columns by their positions."""
    names = [name or f"Unnamed: {place}" for place, name in enumerate(header)]
    seen, taken = Counter(index), {*index, *names}
    for place in sorted(
        range(len(names)), key=lambda place: not header[place]
    ):  # names that are given come first
        name = names[place]
        if seen[name]:
            number = next(n for n in count(seen[name]) if f"{name}.{n}" not in taken)
            seen[name] = number + 1
            name = names[place] = f"{name}.{number}"
            taken.add(name)
        else:
            seen[name] = 1
    return [*index, *names]


def _typed(text: pl.DataFrame) -> pl.DataFrame:
    """Infer the types of all columns together, with one Polars query per type instead of one per column."""
    missing = text.null_count().row(0, named=True)
    found: dict[str, pl.Series] = {}

    def take(columns: Iterable[pl.Series]) -> list[str]:
        """Use converted columns in which only missing values became null; return the names of the others."""
        found.update((c.name, c) for c in columns if c.null_count() == missing[c.name])
        return [name for name in left if name not in found]

    left = [name for name, number in missing.items() if number < len(text)]
    left = take(text.select(pl.col(left).cast(pl.Int64, strict=False)))
    words = text.select(pl.col(left).str.strip_chars(_BLANKS))
    for dtype in (pl.Int64, pl.UInt64, pl.Int128):
        left = take(words.select(pl.col(left).cast(dtype, strict=False)))
    strings = words.select(pl.col(left).str.contains(_NO_FLOAT).any())
    left = take(words.select(pl.col([c.name for c in strings if not c[0]]).cast(pl.Float64, strict=False)))
    first = text.select(pl.col(left).drop_nulls().first())
    truths = [c.name for c in first if c[0] in _TRUTH]
    take(text.select(pl.col(truths).replace_strict(_TRUTH, default=None, return_dtype=pl.Boolean)))
    empty = [name for name, number in missing.items() if number == len(text) > 0]
    return text.with_columns(*found.values(), pl.col(empty).cast(pl.Float64))
