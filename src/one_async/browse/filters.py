"""The filters of the page, parsed from its requests, and the equivalent terms of `search`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from one_async._arguments import date_range
from one_async.errors import InputError
from one_async.tables.schema import QC_LEVELS

__all__ = ["FACETS", "Facet", "Filters", "Part", "call_text", "escaped", "literal", "parse_filters"]

_SPECIAL = re.compile(r"([\\.^$*+?{}\[\]|()])")
#: The maximum length of a search text.
_LONGEST = 200


class Facet(NamedTuple):
    """A filter on a text column."""

    column: str
    """The column of the sessions table."""
    term: str
    """The full name of the search term."""
    keyword: str
    """Its name in the displayed code."""
    whole: str
    """A regular expression for a whole value, used for values that are contained in other values."""


FACETS: Mapping[str, Facet] = {
    "lab": Facet("lab", "laboratory", "lab", "^{}$"),
    "subject": Facet("subject", "subject", "subject", "^{}$"),
    "project": Facet("projects", "projects", "project", "(?:^|,){}(?:,|$)"),
    "protocol": Facet("task_protocol", "task_protocol", "task_protocol", "^{}$"),
}


class Part(NamedTuple):
    """The state of one filter: the chosen values, and the text in its field."""

    chosen: tuple[str, ...] = ()
    typed: str = ""

    @property
    def selecting(self) -> Part:
        """The values that select sessions: the chosen ones, or the text if no value is chosen."""
        return Part(self.chosen) if self.chosen else self


class Filters(NamedTuple):
    """The state of all filters of the page."""

    lab: Part = Part()
    subject: Part = Part()
    project: Part = Part()
    protocol: Part = Part()
    dataset: Part = Part()
    start: str | None = None
    end: str | None = None
    qc: str | None = None


def parse_filters(items: Iterable[tuple[str, str]]) -> Filters:
    """Return the filters of a query string: ``lab=A&lab=B&subject.text=KS&from=2024-01-01&qc=PASS``.

    Dates may also be years or months. Raises InputError for an invalid date or an unknown QC level.
    """
    chosen: dict[str, dict[str, None]] = {}
    single: dict[str, str] = {}
    for name, value in items:
        if name in FACETS or name == "dataset":
            chosen.setdefault(name, {})[value] = None
        elif value.strip():
            single[name] = value.strip()
    parts = {
        name: Part(tuple(chosen.get(name, ())), single.get(f"{name}.text", "")[:_LONGEST])
        for name in (*FACETS, "dataset")
    }
    qc = single.get("qc")
    if qc is not None and qc not in QC_LEVELS.categories:
        raise InputError.of("qc", qc, QC_LEVELS.categories.to_list())
    start, end = single.get("from"), single.get("to")
    if start is not None or end is not None:
        date_range([start, end])
    return Filters(**parts, start=start, end=end, qc=qc)


def escaped(text: str) -> str:
    """Return a readable regular expression for a literal text, escaped only where necessary."""
    return _SPECIAL.sub(r"\\\1", text)


def literal(value: Any) -> str:
    """Return the Python literal of a string, None, or a list of them, with double quotes where these need no escape."""
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, str) and '"' not in value:
        return '"' + repr("'" + value)[2:]
    return repr(value)


def call_text(function: str, *arguments: Any, **keywords: Any) -> str:
    """Return the Python code of a call."""
    return f"{function}({', '.join(_argument_texts(arguments, keywords))})"


def _argument_texts(arguments: Iterable[Any], keywords: Mapping[str, Any]) -> Iterator[str]:
    yield from map(literal, arguments)
    for name, value in keywords.items():
        yield f"{name}={literal(value)}"
