"""The argument that contains the cursor, and values as literals."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from one_async.completion.source import Argument, argument_at, literal, text_of_literal

QUOTES = ["'", '"', "'''", '"""']
#: Texts of every kind, many with characters that literals escape.
ODD = st.text(max_size=12) | st.text("\\'\"\n\r\t\x00 a\u2028é\ud800𝛼#(),=[]{}", max_size=12)


def found(source: str) -> tuple[object, ...] | None:
    argument = argument_at(source)
    if argument is None:
        return None
    return argument.names, argument.keyword, len(argument.positional), argument.quote, argument.written


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("one.search(", (("one", "search"), None, 0, "", "")),
        ("one.search(lab=", (("one", "search"), "lab", 0, "", "")),
        ("one.search(lab = co", (("one", "search"), "lab", 0, "", "co")),
        ("one.search(lab='co", (("one", "search"), "lab", 0, "'", "co")),
        ('one.search(lab=["a", "', (("one", "search"), "lab", 0, '"', "")),
        ("one.search(lab=('a', \"b", (("one", "search"), "lab", 0, '"', "b")),
        (
            "one.search(\n    lab='a',  # 'the' (lab\n    subject='",
            (("one", "search"), "subject", 0, "'", ""),
        ),
        ("x = 'it''s' + f(1); one.load_object(eids[0], '", (("one", "load_object"), None, 1, "'", "")),
        (
            "one.load_object(f(1, 2), {'a': 3}, collection='",
            (("one", "load_object"), "collection", 2, "'", ""),
        ),
        ("one.alyx.rest('", (("one", "alyx", "rest"), None, 0, "'", "")),
        ("await one . search(lab='", (("one", "search"), "lab", 0, "'", "")),
        ("!echo it's\none.search(lab='", (("one", "search"), "lab", 0, "'", "")),
        ("%timeit one.search(lab=r'", (("one", "search"), "lab", 0, "'", "")),
        ("print(one.search(lab='", (("one", "search"), "lab", 0, "'", "")),
        ("one.search(lab='''a\n", (("one", "search"), "lab", 0, "'''", "a\n")),
        ("one.search(lab='a\\", (("one", "search"), "lab", 0, "'", "a\\")),
        ("one.search(lab='", (("one", "search"), "lab", 0, "'", "")),
        ("one.search(lab=[", (("one", "search"), "lab", 0, "", "")),
        ("print('", (("print",), None, 0, "'", "")),
        # Not in an argument, or not at the beginning of a value.
        ("", None),
        ("one.search", None),
        ("one.search(lab='a')", None),
        ("x = ['", None),
        ("one.search(lab='a' + '", None),
        ("one.search(lab='a' '", None),
        ("one.search(lab=='", None),
        ("one.search(lab=f'", None),
        ("one.search(lab=b'", None),
        ("one.search(lab=x['", None),
        ("one.search(lab={'a': '", None),
        ("one.search(lab=[['", None),
        ("one.search(number=1", None),
        ("one.search(  # lab='", None),
        ("one.search(lab=\n'a'\n", None),
        ("f()('", None),
        ("f().search(lab='", None),
        ("x[0].search(lab='", None),
        ("(lambda: '", None),
    ],
)
def test_the_argument_at_the_cursor_is_found(source: str, expected: tuple[object, ...] | None) -> None:
    assert found(source) == expected


def test_earlier_arguments_are_read() -> None:
    argument = argument_at("one.load_object(eids[0], obj='a, b', collection=['x', 'y'], revision='")
    assert argument is not None
    assert list(argument.positional) == ["eids[0]"]
    assert argument.keywords == {"obj": "'a, b'", "collection": "['x', 'y']"}


@given(st.text(max_size=40) | st.text("one.search(lab='\"\\[]{}),=# \n", max_size=40))
def test_any_source_is_accepted(source: str) -> None:
    argument = argument_at(source)
    assert argument is None or source.endswith(argument.written)


@given(ODD, st.sampled_from(QUOTES), st.sampled_from(["", "r", "R", "u"]))
def test_a_literal_evaluates_to_its_text(text: str, quote: str, prefix: str) -> None:
    source = literal(text, prefix, quote)
    if source is None:  # a raw string cannot contain or would hide it
        assert prefix in ("r", "R")
        assert not text.isprintable() or quote[0] in text or text.endswith("\\")
        return
    assert source.isprintable()
    assert ast.literal_eval(f"{prefix}{quote}{source}{quote}") == text


@given(ODD, st.sampled_from(QUOTES), st.data())
def test_partial_literals_are_read(text: str, quote: str, data: st.DataObject) -> None:
    """Each prefix of a literal is a prefix of its text, or ends within an escape sequence."""
    source = literal(text, "", quote)
    assert source is not None
    written = source[: data.draw(st.integers(0, len(source)))]
    argument = argument_at(f"one.search(lab={quote}{written}")
    if argument is None or argument.quote != quote:  # the beginning of a triple quote
        assert not written or written[0] == quote[0]
        return
    assert argument.written == written
    begins = text_of_literal(argument)
    assert begins is None or text.startswith(begins)
    if written == source:
        assert begins == text


def test_escape_sequences_raise_no_warning() -> None:
    argument = Argument(("one", "search"), "lab", "a\\d", quote="'")
    assert text_of_literal(argument) == "a\\d"
