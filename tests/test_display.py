"""HTML for notebooks: all text is escaped, and there are no fixed colours."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from html_pages import Page, texts
from one_async import _display


@given(texts, texts, texts)
def test_any_text_is_escaped(one: str, other: str, third: str) -> None:
    made = _display.card(
        one, {other: third, "link": _display.link(one, other)}, _display.table([third], [[one], [other]])
    )
    page = Page(made)
    for text in (one, third):
        assert _display.plain_text(text).replace("\ufffd", "") in "".join(page.texts).replace("\ufffd", "")
    for text in page.texts:
        assert text.isprintable() or not set(text) & {"\n", "\r", "\x1b", "\u202e"}
    Page(_display.bars([1, 2], one))


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "//evil",
        "http://[",
        "https://user:word@host/",
        "https://",
        None,
        5,
        "JAVASCRIPT:x",
        "\x01https://x",
    ],
)
def test_only_web_pages_are_linked(url: Any) -> None:
    assert Page(_display.link("text", url)).links == []


def test_numbers_are_right_aligned() -> None:
    made = _display.table(
        ["name", "rows", "size"], [["a", "1", "2 B"], ["b", "1,000", "10 B"]], ("rows", "size")
    )
    assert made.count("text-align:right") == 6
    assert made.count("text-align:left") == 3
    assert _display.table(["name", "rows"], [["a", "1"]]).count("text-align:right") == 0


def test_a_link_is_escaped() -> None:
    page = Page(_display.link("<b>", "https://host/app?a=1&b=2"))
    assert (page.links, page.texts) == (["https://host/app?a=1&b=2"], ["<b>"])


def test_markup_is_kept_and_its_arguments_are_escaped() -> None:
    inner = _display.cell("<b>")
    assert _display.cell(inner) == inner == "&lt;b&gt;"
    assert _display.cell(inner + "<i>") == "&amp;lt;b&amp;gt;&lt;i&gt;"  # the sum with a text is a plain text


@given(st.lists(st.integers(0, 10**12), max_size=40))
def test_bars_of_any_counts_are_drawn(counts: list[int]) -> None:
    drawn = _display.bars(counts, "title")
    Page(drawn)
    assert drawn.count("<rect") == sum(count > 0 for count in counts)


@given(st.one_of(st.integers(), st.floats(), st.text(), st.none(), st.booleans()))
def test_sizes_of_any_value_are_short(value: object) -> None:
    assert len(_display.size(value)) <= 7


def test_sizes_and_durations_have_units() -> None:
    assert [_display.size(count) for count in (0, 999, 1500, 99_900, 10**6, 1234 * 10**6)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "100 kB",
        "1.0 MB",
        "1.2 GB",
    ]
    assert [_display.elapsed(seconds) for seconds in (0, 60, 7300, 86400, 9 * 86400 + 5)] == [
        "less than a minute",
        "1 minute",
        "2 hours",
        "1 day",
        "9 days",
    ]


class Broken:
    def __str__(self) -> str:
        raise ValueError("no text")


def test_values_whose_str_fails_show_their_type() -> None:
    assert _display.cell(Broken()) == "&lt;Broken&gt;"
    assert _display.plain_text(10**5000) == "<int>"


def test_whole_columns_never_wrap() -> None:
    shown = _display.table(("shape", "range"), [("(29, 82, 32)", "a, b")], whole=("shape",))
    cells = re.findall(r'<(?:th|td) style="([^"]*)">([^<]*)', shown)
    assert [("nowrap" in style, text) for style, text in cells] == [
        (True, "shape"),
        (False, "range"),
        (True, "(29, 82, 32)"),
        (False, "a, b"),
    ]
