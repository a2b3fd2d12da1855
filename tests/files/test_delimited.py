"""Delimited text is read as pandas reads it."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from one_async.errors import FileDamaged
from one_async.files.read import read_file

SUFFIXES = {",": "csv", "\t": "tsv", " ": "ssv"}
WORDS = [
    "", " ", "  ", "a", "b", "a.1", "a.2", "index", "NA", "nan", "None", "null", "True", "False", " True", "TRUE",
    "0", "1", "-2", "+3", " 4", "5 ", "007", "1.5", "1.", ".5", "1e3", "1e400", "1e", "inf", "-Infinity", "1 2", "--1",
    '"', 'a"b', '5" probe', "x,y", "µm", "é", "\xa07", "0x10", "1_0",
    "#", "a\nb", "a\r\nb", "\n",
]  # fmt: skip
CELLS = st.sampled_from(WORDS) | st.text(st.sampled_from('01.eE+- aN"\t,'), max_size=5)


@st.composite
def delimited(draw: st.DrawFn) -> tuple[str, str]:
    """Draw a separator and text as programs and people write it: quoted where needed, anywhere, or nowhere."""
    separator = draw(st.sampled_from(list(SUFFIXES)))
    width = draw(st.integers(1, 4))
    rows = draw(st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=6))
    habit = draw(st.sampled_from(["needed", "all", "never", "any"]))

    def written(cell: str) -> str:
        needed = any(mark in cell for mark in f'"\r\n{separator}')
        quoted = {"needed": needed, "all": True, "never": False}.get(habit)
        if draw(st.booleans()) if quoted is None else quoted:
            return '"' + cell.replace('"', '""') + '"'
        return cell

    end = draw(st.sampled_from(["\n", "\r\n"]))
    text = end.join(separator.join(map(written, row)) for row in rows)
    return separator, text + draw(st.sampled_from(["", end, end * 2, f" {end}"]))


def cells(column: Any) -> list[Any]:
    """Return a column as plain values, with None for missing ones."""
    return [None if value is None or value != value else value for value in column.to_list()]


def expected(text: str, separator: str) -> dict[str, list[Any]] | None:
    """Return the columns that pandas reads by name; None if it rejects the text."""
    try:
        frame = pd.read_csv(io.StringIO(text, newline=""), sep=separator)
    except (pd.errors.ParserError, pd.errors.EmptyDataError):
        return None
    if not isinstance(frame.index, pd.RangeIndex):
        levels = frame.index.nlevels
        named = {
            ("index" if levels == 1 else f"level_{n}"): frame.index.get_level_values(n) for n in range(levels)
        }
        assume(not named.keys() & set(frame.columns))  # two columns with one name
        return {
            **{name: cells(level) for name, level in named.items()},
            **{c: cells(frame[c]) for c in frame},
        }
    return {name: cells(frame[name]) for name in frame.columns}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(delimited())
@example((",", 'name,size\nprobe,5" probe\nother,6"\n'))
@example((",", "a,a,a.1\n1,2,3\n"))
@example((",", "a,b\n1, \n2,x\n"))
@example((",", 'a\n" "\nx\n\ny\n'))
@example((",", 'a,b\n1,"x"y"z\n\n2,"p\r\nq"\n'))
@example(("\t", 'a\tb\n1\t2" x\n  \n3\t"4\t5"\n'))
@example((" ", 'a b\n1 2\n\t\n3 4"\n'))
@example((",", "NA,,nan,\n1,2,3,4\n"))
@example((",", "a,b,c,d\n+NaN,NAN, nan,-NaN\n1,2,3,4\n"))
def test_what_pandas_reads(tmp_path: Path, given_text: tuple[str, str]) -> None:
    separator, text = given_text
    # To pandas, "inf " and "nan " are texts while "1 " is a number; here all are numbers.
    # It also reads "1E 0" as a number, which nobody writes.
    assume(not re.search("(?i)e[+-]? +[0-9]", text))
    assume(text.strip(" \t\r\n") and (separator == " " or not re.search('(?i)(nan|inf|infinity)"? ', text)))
    file = tmp_path / f"a.table.{SUFFIXES[separator]}"
    file.write_bytes(text.encode())
    right = expected(text, separator)
    try:
        found = read_file(file)
    except FileDamaged:
        found = None
    frame = found.to_frame() if isinstance(found, pl.Series) else found
    assert (None if frame is None else {name: cells(frame[name]) for name in frame.columns}) == right


@pytest.mark.parametrize("suffix", ["csv", "tsv", "htsv"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
def test_encodings(tmp_path: Path, suffix: str, encoding: str) -> None:
    file, separator = tmp_path / f"a.table.{suffix}", "," if suffix == "csv" else "\t"
    pd.DataFrame({"größe": ["5 µm", "café"], "x": [1, 2]}).to_csv(
        file, sep=separator, index=False, encoding=encoding
    )
    right = pd.read_csv(file, sep=separator, encoding=encoding)
    assert read_file(file).to_dict(as_series=False) == right.to_dict("list")
    pd.testing.assert_frame_equal(read_file(file, tables="pandas"), right)


@pytest.mark.parametrize("text", ['a,b\n1,"x\n2,y\n', 'a,"b\n1,2\n', 'a,b\n1,x"y\n2,"z\n'])
def test_a_quoted_field_without_end_is_damage(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.table.csv"
    file.write_text(text)
    with pytest.raises(pd.errors.ParserError):
        pd.read_csv(file)
    with pytest.raises(FileDamaged, match=r"a\.table\.csv"):
        read_file(file)


@pytest.mark.parametrize("cell", ["1", "1.5", "x", "True", " 1", "NA", '"p,q"', '5"'])
def test_wide_tables_take_no_question_for_each_column(tmp_path: Path, cell: str) -> None:
    file = tmp_path / "a.table.csv"
    width = 3000
    file.write_text(
        "".join(f"{','.join(row)}\n" for row in ([f"c{n}" for n in range(width)], *[[cell] * width] * 2))
    )
    questions = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal questions
        questions += event == "call" and frame.f_code.co_name == "collect"

    sys.setprofile(count)
    try:
        found = read_file(file)
    finally:
        sys.setprofile(None)
    assert questions < 50
    assert {name: cells(found[name]) for name in found.columns} == expected(file.read_text(), ",")
