"""Filters of rows of the datasets table, as pandas frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from one_async.alf import match
from one_async.alf.spec import FILE_SPEC, QC
from one_async.compat.absent import absent
from one_async.tables.arguments import complete, date_range
from one_async.tables.schema import QC_LEVELS

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "FILE_SPEC", "QC", "LazyId", "autocomplete", "ensure_list", "filter_datasets", "filter_revision_last_before",
    "index_last_before", "parse_id", "validate_date_range",
]  # fmt: skip

LazyId = absent("one.util.LazyId", "searches return full lists")
parse_id = absent("one.util.parse_id", "methods of ONE take any name of a session")


def filter_datasets(
    all_datasets: pd.DataFrame,
    filename: Any = None,
    collection: Any = None,
    revision: Any = None,
    revision_last_before: bool = True,
    qc: Any = QC.FAIL,
    ignore_qc_not_set: bool = False,
    assert_unique: bool = True,
    wildcards: bool = False,
) -> pd.DataFrame:
    """Return the rows of a pandas frame that match; see `one_async.alf.match.resolve`."""
    return _chosen(
        all_datasets,
        lambda rows: match.resolve(
            rows,
            filename,
            collection,
            revision,
            qc=qc,
            ignore_qc_not_set=ignore_qc_not_set,
            wildcards=wildcards,
            policy="last_before" if revision_last_before else "exact",
            assert_unique=assert_unique,
        ),
    )


def filter_revision_last_before(
    datasets: pd.DataFrame,
    revision: str | None = None,
    assert_unique: bool = True,
    assert_consistent: bool = False,
) -> pd.DataFrame:
    """Return at most one row for each dataset; see `one_async.alf.match.last_before`."""
    return _chosen(
        datasets,
        lambda rows: match.last_before(
            rows, revision, assert_unique=assert_unique, assert_consistent=assert_consistent
        ),
    )


def _chosen(frame: pd.DataFrame, choose: Callable[[Any], Any]) -> pd.DataFrame:
    """Return the rows of a pandas frame that a function of Polars frames chooses, with all their columns and their index."""
    import polars as pl

    columns: dict[str, Any] = {"rel_path": frame["rel_path"].astype(str).tolist()}
    columns["qc"] = frame["qc"].astype(str).tolist() if "qc" in frame else ["NOT_SET"] * len(frame)
    if "default_revision" in frame:
        columns["default_revision"] = frame["default_revision"].astype(bool).tolist()
    rows = pl.DataFrame(columns, schema_overrides={"rel_path": pl.String, "qc": pl.String})
    found = choose(rows.with_columns(pl.col("qc").cast(QC_LEVELS)).with_row_index("row"))
    return frame.iloc[found["row"].to_list()]


def index_last_before(revisions: Sequence[str], revision: str | None) -> int | None:
    """Return the index, in sorted order, of the last revision that is not after one; without one, of the last."""
    before = [one for one in sorted(revisions) if revision is None or one <= revision]
    return len(before) - 1 if before else None


def autocomplete(term: str, search_terms: Sequence[str]) -> str:
    """Return the search term that a beginning stands for."""
    return complete(term, search_terms)


def validate_date_range(value: Any) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Return the first and the last day of a range as pandas timestamps."""
    import pandas as pd

    first, last = date_range(value)
    return pd.Timestamp(first), pd.Timestamp(last)


def ensure_list(value: Any) -> list[Any]:
    """Return a list or tuple as a list, and anything else as the only member of one."""
    return list(value) if isinstance(value, list | tuple) else [value]
