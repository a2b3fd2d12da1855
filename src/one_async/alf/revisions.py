"""The choice among the revisions of a dataset: the default one, a requested one, or the last before it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from one_async._warnings import warn
from one_async.alf.spec import REL_PATH_SPEC, regex
from one_async.errors import ALFMultipleRevisionsFound

if TYPE_CHECKING:
    import polars as pl

__all__ = ["last_before", "last_revisions", "quoted", "split_folder", "take_rows"]

_NO_FOLDER = ("", "")


def split_folder(path: str) -> tuple[str, str]:
    """Return the collection and the revision of a relative path; empty texts where it has none or is not an ALF path."""
    found = regex(REL_PATH_SPEC).match(path) if "/" in path else None
    return (found["collection"] or "", found["revision"] or "") if found else _NO_FOLDER


def last_before(
    datasets: pl.DataFrame,
    revision: str | None = None,
    *,
    assert_unique: bool = True,
    assert_consistent: bool = False,
) -> pl.DataFrame:
    """Return `last_revisions` of a frame of datasets, as a frame."""
    paths = datasets["rel_path"].to_list()
    flags = datasets["default_revision"].to_list() if "default_revision" in datasets.columns else None
    chosen = last_revisions(
        paths, flags, revision, assert_unique=assert_unique, assert_consistent=assert_consistent
    )
    return take_rows(datasets, chosen)


def last_revisions(
    paths: Sequence[str],
    flags: Sequence[bool | None] | None,
    revision: str | None = None,
    rows: Iterable[int] | None = None,
    *,
    assert_unique: bool = True,
    assert_consistent: bool = False,
) -> list[int]:
    """Return at most one row for each dataset: the requested revision, or the last one before it in text order.

    ``paths`` are those of all rows, ``flags`` say whether each is the default revision, None if that is unknown; ``rows`` are
    the rows to choose among. Without ``revision``, the default revision is chosen. If none or several are marked as default,
    it is the last, with an ALFWarning; for several, ``assert_unique`` raises ALFMultipleRevisionsFound instead. Rows of
    different revisions cause an ALFWarning, or ALFMultipleRevisionsFound with ``assert_consistent``. The rows are in the order
    of their paths without revision.
    """
    same: dict[str, list[int]] = {}
    revisions: dict[int, str] = {}
    for row in range(len(paths)) if rows is None else rows:
        path = paths[row]
        has_revision = "#" in path
        revisions[row] = split_folder(path)[1] if has_revision else ""
        same.setdefault(re.sub("#.*#/", "", path) if has_revision else path, []).append(row)
    chosen = []
    for path in sorted(same):
        best = _choose(path, same[path], revisions, flags, revision, assert_unique)
        if best is not None:
            chosen.append(best)
    used = list(dict.fromkeys(revisions[row] for row in chosen))
    if len(used) > 1:
        if assert_consistent:
            raise ALFMultipleRevisionsFound(quoted(used))
        examples = {revisions[row]: paths[row] for row in reversed(chosen)}
        shown = [f"{name!r} ({examples[name]})" for name in used]
        more = f" and {len(used) - 4} more" if len(used) > 4 else ""
        warn(f"Multiple revisions: {', '.join(shown[:4])}{more}")
    return chosen


def _choose(
    path: str,
    rows: list[int],
    revisions: dict[int, str],
    flags: Sequence[bool | None] | None,
    revision: str | None,
    unique: bool,
) -> int | None:
    if revision is not None:
        early = [row for row in rows if revisions[row] <= revision]
        return max(early, key=lambda row: revisions[row]) if early else None
    if flags is not None:
        marked = [row for row in rows if flags[row]]
        if len(marked) > 1 and unique:
            raise ALFMultipleRevisionsFound(quoted(revisions[row] for row in marked))
        if len(marked) == 1:
            return marked[0]
    last = max(rows, key=lambda row: revisions[row])
    if len(rows) > 1:
        warn(f"No default revision of {path!r}; its last one, {revisions[last]!r}, is used")
    return last


def take_rows(datasets: pl.DataFrame, rows: list[int]) -> pl.DataFrame:
    """Return rows of a frame; the frame itself if these are all of its rows."""
    if rows == list(range(len(datasets))):
        return datasets
    import polars as pl

    # A selection of rows of the frame would wait for Polars' threads.
    at = pl.Series(rows, dtype=pl.UInt32)
    return pl.DataFrame([column[at] for column in datasets.get_columns()])


def quoted(values: Iterable[str]) -> str:
    """Return values in quotes, as errors name them."""
    return ", ".join(f'"{value}"' for value in values)
