"""Faceted search: the sessions selected by the filters, and the number that each further value would select.

Runs in worker threads; the tables do not change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from one_async.browse.dataset_index import DatasetIndex, top
from one_async.browse.filters import FACETS, Filters, Part, call_text, escaped
from one_async.tables.catalogue import Catalogue
from one_async.tables.query import session_rows
from one_async.tables.schema import QC_LEVELS

__all__ = ["FacetedSearch"]

Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.uint32]
#: The most values of a facet that are shown.
MOST_VALUES = 100
#: The most sessions of one page.
MOST_ROWS = 500
#: Time spans of more months are counted by year.
_MOST_MONTHS = 240
_COLUMNS = ("eid", "subject", "date", "number", "lab", "task_protocol", "projects")
_LEVELS = QC_LEVELS.categories.to_list()


class Choice(NamedTuple):
    """A search term, and a mask of the sessions that it selects; both empty for a filter that is not set."""

    term: Any = None
    mask: Mask | None = None


class Found(NamedTuple):
    """The sessions that all filters select."""

    choices: Mapping[str, Choice]
    """By filter: those of `FACETS`, date, and dataset, whose term is a mapping of two terms."""
    rows: Rows
    """Rows of the sessions table, in the order of `search`."""
    terms: Mapping[str, Any]
    """The arguments of `search`."""


class FacetedSearch:
    """Answers to the filters of the page, from one snapshot of the tables.

    The sessions of each filter are those that `search` finds for its term, so that the displayed code finds the displayed
    sessions.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        wildcards: bool = True,
        client: str = "one",
        query_type: str | None = None,
    ) -> None:
        self.catalogue = catalogue
        self._wildcards = wildcards
        #: The name of the client in the displayed code.
        self.client = client
        self._mode_terms = {} if query_type is None else {"query_type": query_type}
        self._text = lru_cache(64)(self._text_choice)
        self._dataset = lru_cache(16)(self._dataset_choice)
        self._find = lru_cache(16)(self._found)
        self._worst = lru_cache(16)(self._worst_qc)

    @cached_property
    def datasets(self) -> DatasetIndex:
        """The index of the datasets' names; computing it takes a second for millions of datasets."""
        return DatasetIndex(self.catalogue)

    def prepare(self) -> None:
        """Compute the data that all answers use, so that the first one does not have to wait for it."""
        self.answer(Filters())

    def code(self, method: str, *arguments: Any, **keywords: Any) -> str:
        """Return the code of a call of the client."""
        return call_text(f"{self.client}.{method}", *arguments, **keywords)

    def answer(self, filters: Filters, limit: int = MOST_VALUES) -> dict[str, Any]:
        """Return the number of sessions, the first of them, the code, and the counts of each filter's values."""
        found = self._find(filters)
        return {
            "total": len(found.rows),
            "rows": self._shown(found.rows[: min(limit, MOST_ROWS)]),
            "code": self.code("search", **found.terms),
            "facets": {
                **{name: self._values(name, getattr(filters, name), found) for name in FACETS},
                "dataset": self._dataset_values(filters, found),
            },
            "qc": self._qc_counts(filters, found),
            "dates": self._date_counts(self._others(found, "date")),
        }

    def page(self, filters: Filters, offset: int, limit: int) -> list[list[Any]]:
        """Return sessions of the answer, from an offset."""
        rows = self._find(filters).rows
        return self._shown(rows[max(offset, 0) : max(offset, 0) + min(limit, MOST_ROWS)])

    def _shown(self, rows: Rows) -> list[list[Any]]:
        frame = self.catalogue.session_frame.select(_COLUMNS)[pl.Series(rows, dtype=pl.UInt32)]
        spans, starts = self.catalogue.spans[rows], self.catalogue.dataset_table.starts
        counts = np.where(spans >= 0, starts[spans + 1] - starts[spans], 0).tolist()
        dates = frame.with_columns(pl.col("date").cast(pl.String))
        return [[*row, count] for row, count in zip(dates.iter_rows(), counts, strict=True)]

    # ---- selection of sessions

    def _mask(self, **terms: Any) -> Mask:
        mask = np.zeros(len(self.catalogue.session_frame), bool)
        mask[session_rows(self.catalogue, terms, wildcards=self._wildcards)] = True
        return mask

    def _found(self, filters: Filters) -> Found:
        choices = {name: self._text(name, getattr(filters, name).selecting) for name in FACETS}
        choices["date"] = self._date_choice(filters)
        choices["dataset"] = self._dataset(filters.dataset.selecting, filters.qc)
        keep = self._all_of(choices.values())
        order = self.catalogue.order
        keywords = {FACETS[name].keyword: choices[name].term for name in FACETS}
        keywords |= {"date_range": choices["date"].term, **(choices["dataset"].term or {})}
        given = {name: value for name, value in keywords.items() if value is not None}
        return Found(choices, order[keep[order]], {**given, **self._mode_terms})

    def _all_of(self, choices: Iterable[Choice]) -> Mask:
        keep = np.ones(len(self.catalogue.session_frame), bool)
        for choice in choices:
            if choice.mask is not None:
                keep &= choice.mask
        return keep

    def _others(self, found: Found, name: str) -> Mask:
        """Return a mask of the sessions that all filters but one select."""
        return self._all_of(choice for other, choice in found.choices.items() if other != name)

    def _date_choice(self, filters: Filters) -> Choice:
        if filters.start is None and filters.end is None:
            return Choice()
        term = [filters.start, filters.end]
        return Choice(term, self._mask(date_range=term))

    def _text_choice(self, name: str, part: Part) -> Choice:
        """Return the simplest term that selects exactly the chosen values, or those that contain the text, ignoring case."""
        facet = FACETS[name]
        # No literal term means "is empty", since each text contains the empty one.
        chosen = part.chosen if self._wildcards else tuple(filter(None, part.chosen))
        if chosen:
            terms = [self._exact_term(name, value) for value in chosen]
            term = terms[0] if len(terms) == 1 else terms
            return Choice(term, self._mask(**{facet.term: term}))
        if not part.typed:
            return Choice()
        words, codes = self.catalogue.distinct(facet.column)
        wanted = _contains(words, part.typed)[codes]
        plain = [part.typed] if _is_plain(part.typed) else []
        patterns = [*plain, escaped(part.typed), f"(?i:{escaped(part.typed)})"]
        for term in patterns if self._wildcards else [part.typed]:
            mask = self._mask(**{facet.term: term})
            if np.array_equal(mask, wanted):
                break
        return Choice(term, mask)

    def _exact_term(self, name: str, value: str) -> str:
        """Return a value, or a regular expression for it if other values contain it."""
        facet = FACETS[name]
        if not self._wildcards:
            return value
        if (
            value
            and _is_plain(value)
            and np.array_equal(self._mask(**{facet.term: value}), self._having(name, value))
        ):
            return value
        return facet.whole.format(escaped(value))

    def _having(self, name: str, value: str) -> Mask:
        words, codes = self.catalogue.distinct(FACETS[name].column)
        equal = words.str.split(",").list.contains(value) if name == "project" else words == value
        return equal.fill_null(value=False).to_numpy()[codes]

    def _dataset_choice(self, part: Part, qc: str | None) -> Choice:
        """Return the simplest terms that select the sessions with all chosen names, or one that contains the text."""
        bound = {} if qc is None else {"dataset_qc_lte": qc}
        if not part.chosen and not part.typed:
            return Choice(bound, self._mask(**bound)) if bound else Choice()
        wanted = self._worst(part) <= _LEVELS.index(qc or "FAIL")
        for term in self._dataset_terms(part):
            terms = {"datasets": term, **bound}
            mask = self._mask(**terms)
            if np.array_equal(mask, wanted):
                break
        return Choice(terms, mask)

    def _dataset_terms(self, part: Part) -> Iterator[str | list[str]]:
        """Yield candidate terms for the filter's sessions, simplest first; the last one always selects them."""
        if part.chosen:
            names = list(part.chosen)
            if all(map(_is_plain, names)):
                yield names[0] if len(names) == 1 else names
            exact = [escaped(name) for name in names]
            yield exact[0] if len(exact) == 1 else exact
            return
        index, text = self.datasets, part.typed
        matching = index.containing(text)
        if (
            np.count_nonzero(matching) == 1
            and index.names[int(np.argmax(matching))] == text
            and _is_plain(text)
        ):
            yield text
        if np.array_equal(matching, index.containing_exactly(text)):
            yield f".*{escaped(text)}.*"
        yield f"(?i:.*{escaped(text)}.*)"

    def _worst_qc(self, part: Part) -> npt.NDArray[np.uint8]:
        """Return the QC level at which each session has the datasets of the filter."""
        any_of = self.datasets.containing(part.typed) if part.typed else None
        return self.datasets.worst(part.chosen, any_of)

    # ---- counts of sessions by value

    def _values(self, name: str, part: Part, found: Found) -> dict[str, Any]:
        words, codes = self.catalogue.distinct(FACETS[name].column)
        counts = np.bincount(codes[self._others(found, name)], minlength=len(words))
        if name == "project":
            words, counts = _split_counts(words, counts)
        # No search finds null, nor an empty text without patterns.
        hidden = words.is_null() if self._wildcards else words.is_null() | (words == "")
        counts = np.where(hidden.fill_null(value=True).to_numpy(), 0, counts)
        narrowed = np.where(_contains(words, part.typed), counts, 0) if part.typed else counts
        return _facet(words, counts, narrowed, part.chosen)

    def _dataset_values(self, filters: Filters, found: Found) -> dict[str, Any]:
        index, part = self.datasets, filters.dataset
        sessions = self._all_of(found.choices.values())
        level = _LEVELS.index(filters.qc or "FAIL")
        counts = index.counts(sessions, level, index.containing(part.typed) if part.typed else None)
        chosen = {name: len(found.rows) for name in part.chosen}
        values = [
            pair for pair in top(index.names, counts, MOST_VALUES + len(chosen)) if pair[0] not in chosen
        ]
        more = int(np.count_nonzero(counts)) - len(values)
        return {"values": values[:MOST_VALUES], "chosen": list(chosen.items()), "more": max(more, 0)}

    def _qc_counts(self, filters: Filters, found: Found) -> list[tuple[str, int]]:
        levels = self._worst(filters.dataset.selecting)[self._others(found, "dataset")]
        return [(name, int(np.count_nonzero(levels <= level))) for level, name in enumerate(_LEVELS)]

    @cached_property
    def _months(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The month of each session, counted from year 0, or -1 without a date; and the distinct months."""
        dates = self.catalogue.session_frame.select(
            (pl.col("date").dt.year().cast(pl.Int64) * 12 + pl.col("date").dt.month() - 1).fill_null(-1)
        )
        months = dates.to_series().to_numpy()
        return months, np.unique(months[months >= 0])

    def _date_counts(self, sessions: Mask) -> dict[str, Any]:
        months, known = self._months
        if not len(known):
            return {"unit": "month", "first": None, "counts": []}
        first, last = int(known[0]), int(known[-1])
        step = 1 if last - first < _MOST_MONTHS else 12
        begin = first // step * step
        chosen = months[sessions]
        counts = np.bincount((chosen[chosen >= 0] - begin) // step, minlength=(last - begin) // step + 1)
        return {
            "unit": "month" if step == 1 else "year",
            "first": f"{begin // 12:04d}-{begin % 12 + 1:02d}",
            "counts": counts.tolist(),
        }


def _contains(words: pl.Series, text: str) -> Mask:
    """Return a mask of the words that contain a text, ignoring case."""
    found = words.str.to_lowercase().str.contains(text.lower(), literal=True)
    return found.fill_null(value=False).to_numpy()


def _is_plain(text: str) -> bool:
    """Return whether a text, as a regular expression, matches itself: it has no special characters except dots."""
    rest = text.replace(".", "")
    return escaped(rest) == rest


def _split_counts(words: pl.Series, counts: npt.NDArray[Any]) -> tuple[pl.Series, npt.NDArray[Any]]:
    """Return the individual projects and their counts, from values with projects joined by commas."""
    frame = pl.DataFrame({"word": words.str.split(","), "count": counts})
    each = (
        frame.with_columns(pl.col("word").list.unique()).explode("word").group_by("word", maintain_order=True)
    )
    summed = each.agg(pl.col("count").sum())
    return summed["word"], summed["count"].to_numpy()


def _facet(
    words: pl.Series, counts: npt.NDArray[Any], narrowed: npt.NDArray[Any], chosen: tuple[str, ...]
) -> dict[str, Any]:
    """Return the most frequent values of a facet and the chosen ones, each with its count."""
    known = dict(zip(words.to_list(), counts.tolist(), strict=True)) if chosen else {}
    values = [pair for pair in top(words, narrowed, MOST_VALUES + len(chosen)) if pair[0] not in chosen]
    more = int(np.count_nonzero(narrowed)) - len(values)
    picked = [(value, known.get(value, 0)) for value in chosen]
    return {"values": values[:MOST_VALUES], "chosen": picked, "more": max(more, 0)}
