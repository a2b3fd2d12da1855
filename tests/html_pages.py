"""Hostile texts, and a parser of HTML that accepts only the library's elements."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from hypothesis import strategies as st

ALLOWED = {"div", "table", "thead", "tbody", "tr", "th", "td", "a", "svg", "title", "rect"}
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'&lt;b&gt;'",
    "\ud800",
    "\x1b[31m",
    "\u202eevil",
    "]]>",
    "</title>",
]
texts = st.one_of(st.text(st.characters(exclude_categories=[])), st.sampled_from(HOSTILE))


class Page(HTMLParser):
    """Parse HTML into its texts and links; fail for unknown or unclosed elements."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[str] = []
        self.links: list[str] = []
        self._open: list[str] = []
        html.encode()
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED, tag
        self._open.append(tag)
        self._check(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag == "rect"
        self._check(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")

    def handle_decl(self, decl: str) -> None:
        raise AssertionError("a declaration")

    def _check(self, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            assert not name.startswith("on")
            assert value is not None
            if name == "href":
                assert value.startswith(("http://", "https://"))
                self.links.append(value)
            if name == "style":
                assert not re.search(r"background|#|\brgba?\(|url", value)
