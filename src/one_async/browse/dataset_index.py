"""An index of sessions by the names and QC of their datasets, which counts sessions in milliseconds."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

from one_async.tables.catalogue import Catalogue
from one_async.tables.columns import codes_of
from one_async.tables.schema import QC_LEVELS

__all__ = ["DatasetIndex"]

Mask = npt.NDArray[np.bool_]
#: QC of a session that lacks a dataset.
ABSENT = np.uint8(255)


class DatasetIndex:
    """Pairs of a file name and a session that has existing datasets of that name, with the best QC of these datasets.

    ``name`` are positions in ``names``, ``session`` are rows of the sessions table. Pairs are sorted by QC, worst first, then
    by name and session, so that the pairs at a level or better are the last ones.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        table = catalogue.dataset_table
        self.size = len(catalogue.session_frame)
        self.names = table.names.unique(maintain_order=True)
        owners = np.flatnonzero(catalogue.spans >= 0)
        row_of_span = np.full(len(table.eids), -1, np.int64)
        row_of_span[catalogue.spans[owners]] = owners
        sessions = np.repeat(row_of_span, np.diff(table.starts))
        usable = table.is_usable(QC_LEVELS.categories[-1]) & (sessions >= 0)
        names = codes_of(table.names, self.names)[table.path[usable]].astype(np.int64)
        keys = (names * max(self.size, 1) + sessions[usable]) * 8 + table.qc_codes()[usable]
        keys.sort()
        pairs = keys >> 3
        first = np.ones(len(pairs), bool)
        first[1:] = pairs[1:] != pairs[:-1]
        pairs, qc = pairs[first], (keys[first] & 7).astype(np.uint8)
        order = np.argsort(len(QC_LEVELS.categories) - qc, kind="stable")
        self.qc = qc[order]
        self.name = (pairs // max(self.size, 1)).astype(np.uint32)[order]
        self.session = (pairs % max(self.size, 1)).astype(np.uint32)[order]
        # The first position of each level's pairs, worst level first, followed by the end.
        counts = np.bincount(qc, minlength=len(QC_LEVELS.categories))[::-1]
        self._begins = [0, *np.cumsum(counts).tolist()]
        self._lower = self.names.str.to_lowercase()
        self._containing = lru_cache(8)(self._search)
        self._best = self._best_of(np.ones(len(self.names), bool))

    def containing(self, text: str) -> Mask:
        """Return a mask of the names that contain a text, ignoring case; the caller must not modify it."""
        return self._containing(text)

    def _search(self, text: str) -> Mask:
        return self._lower.str.contains(text.lower(), literal=True).fill_null(value=False).to_numpy()

    def containing_exactly(self, text: str) -> Mask:
        """Return a mask of the names that contain a text, matching case."""
        return self.names.str.contains(text, literal=True).fill_null(value=False).to_numpy()

    def counts(self, sessions: Mask, level: int, names: Mask | None = None) -> npt.NDArray[np.int64]:
        """Return, for each name, the number of the given sessions that have it at a QC level or better."""
        begin = self._begins[len(QC_LEVELS.categories) - 1 - level]
        pairs = self.name[begin:]
        wanted = sessions[self.session[begin:]]
        if names is not None:
            wanted &= names[pairs]
        return np.bincount(pairs[wanted], minlength=len(self.names))

    def worst(self, names: tuple[str, ...] = (), any_of: Mask | None = None) -> npt.NDArray[np.uint8]:
        """Return the QC level at which each session has all of the names, or with ``any_of`` one of them.

        Without names, this is the level of the session's best dataset. Sessions that lack a name get 255.
        """
        if any_of is not None:
            return self._best_of(any_of)
        if not names:
            return self._best
        found = np.zeros(self.size, np.uint8)
        for name in names:
            np.maximum(found, self._level_of(name), out=found)
        return found

    def _level_of(self, name: str) -> npt.NDArray[np.uint8]:
        level = np.full(self.size, ABSENT)
        at = self.names.index_of(name)
        if at is not None:
            for begin, end in pairwise(self._begins):
                first, last = np.searchsorted(self.name[begin:end], [at, at + 1]) + begin
                level[self.session[first:last]] = self.qc[first:last]
        return level

    def _best_of(self, names: Mask) -> npt.NDArray[np.uint8]:
        wanted = names[self.name]
        level = np.full(self.size, ABSENT)
        level[self.session[wanted]] = self.qc[wanted]  # of several assignments, the last and best one counts
        return level


def top(words: pl.Series, counts: npt.NDArray[np.int64], most: int) -> list[tuple[str, int]]:
    """Return the most frequent words with their counts, sorted by count and then by word."""
    at = np.flatnonzero(counts)
    if len(at) > most:
        least = np.partition(counts[at], -most)[-most]
        above, equal = at[counts[at] > least], at[counts[at] == least]
        at = np.concatenate([above, equal[: most - len(above)]])
    found = zip(words.gather(at).to_list(), counts[at].tolist(), strict=True)
    return sorted(found, key=lambda pair: (-pair[1], pair[0] or ""))
