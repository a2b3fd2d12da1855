"""Cache tables of a folder of ALF data."""

from __future__ import annotations

from typing import Any

from one_async.alf.spec import QC
from one_async.compat.absent import absent
from one_async.tables.build import make_parquet_db, remove_missing_datasets
from one_async.tables.disk import remove_tables as remove_table_files

__all__ = [
    "cast_index_object", "default_cache", "load_tables", "make_parquet_db", "merge_tables", "patch_tables",
    "remove_missing_datasets", "remove_table_files",
]  # fmt: skip

_TABLES = "ONE.load_cache loads tables; ONE.sessions and ONE.datasets return them"
default_cache = absent("one.alf.cache.default_cache", _TABLES)
load_tables = absent("one.alf.cache.load_tables", _TABLES)
merge_tables = absent("one.alf.cache.merge_tables", _TABLES)
patch_tables = absent("one.alf.cache.patch_tables", "tables of older forms are read as they are")
cast_index_object = absent("one.alf.cache.cast_index_object", "frame.index.map(uuid.UUID) does the same")
#: Imported by ibllib; private in ONE-api.
_make_datasets_df = absent(
    "one.alf.cache._make_datasets_df", "one_async.tables.build.build_tables makes tables of a folder"
)


def __getattr__(name: str) -> Any:
    """Make the pandas type of QC columns when it is first used."""
    if name != "QC_TYPE":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pandas as pd

    return pd.CategoricalDtype(categories=[level.name for level in sorted(QC)], ordered=True)
