"""Filters of rows of the datasets table, as pandas frames."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from one_async._arguments import date_range as days_of
from one_async.alf import match, revisions
from one_async.alf.spec import FILE_SPEC, QC
from one_async.compat.adapters import absent, renamed
from one_async.queries.terms import complete
from one_async.tables.schema import QC_LEVELS

__all__ = [
    "FILE_SPEC", "QC", "autocomplete", "ensure_list", "filter_datasets", "filter_revision_last_before",
    "index_last_before", "validate_date_range",
]  # fmt: skip

__getattr__ = absent(
    __name__,
    {"LazyId": "searches return full lists", "parse_id": "methods of ONE take any name of a session"},
)


autocomplete = renamed(complete, "terms", "search_terms")


def filter_datasets(
    all_datasets: Any, filename: Any = None, collection: Any = None, revision: Any = None, revision_last_before: bool = True,
    qc: Any = QC.FAIL, ignore_qc_not_set: bool = False, assert_unique: bool = True, wildcards: bool = False,
) -> Any:  # fmt: skip
    """Return the rows of a pandas frame that match; see `one_async.alf.match.resolve`."""
    options: dict[str, Any] = {
        "qc": qc, "ignore_qc_not_set": ignore_qc_not_set, "wildcards": wildcards, "assert_unique": assert_unique,
        "policy": "last_before" if revision_last_before else "exact",
    }  # fmt: skip
    return _chosen(all_datasets, lambda rows: match.resolve(rows, filename, collection, revision, **options))


def filter_revision_last_before(
    datasets: Any, revision: str | None = None, assert_unique: bool = True, assert_consistent: bool = False
) -> Any:
    """Return at most one row for each dataset; see `one_async.alf.revisions.last_before`."""
    options = {"assert_unique": assert_unique, "assert_consistent": assert_consistent}
    return _chosen(datasets, lambda rows: revisions.last_before(rows, revision, **options))


def _chosen(frame: Any, choose: Callable[[Any], Any]) -> Any:
    """Select rows of a pandas frame with a function of Polars frames, keeping all columns and the index."""
    import polars as pl

    columns: dict[str, Any] = {"rel_path": frame["rel_path"].astype(str).tolist()}
    columns["qc"] = frame["qc"].astype(str).tolist() if "qc" in frame else ["NOT_SET"] * len(frame)
    if "default_revision" in frame:
        columns["default_revision"] = frame["default_revision"].astype(bool).tolist()
    rows = pl.DataFrame(columns, schema_overrides={"rel_path": pl.String, "qc": pl.String})
    found = choose(rows.with_columns(pl.col("qc").cast(QC_LEVELS)).with_row_index("row"))
    return frame.iloc[found["row"].to_list()]


def index_last_before(revisions: Sequence[str], revision: str | None) -> int | None:
    """Return the index in sorted order of the last revision not after the given one; of the last revision if None."""
    before = [one for one in sorted(revisions) if revision is None or one <= revision]
    return len(before) - 1 if before else None


def validate_date_range(date_range: Any) -> Any:
    """Return the first and the last day of a range as pandas timestamps."""
    import pandas as pd

    return tuple(map(pd.Timestamp, days_of(date_range)))


def ensure_list(value: Any, exclude_type: Any = (str, dict)) -> Any:
    """Return an iterable unchanged; wrap anything else, and values of the excluded types, in a list."""
    return value if isinstance(value, Iterable) and not isinstance(value, exclude_type) else [value]
