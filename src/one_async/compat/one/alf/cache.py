"""Cache tables of a folder of ALF data."""

from typing import Any

from one_async.compat.adapters import absent
from one_async.tables.build import make_parquet_db, remove_missing_datasets
from one_async.tables.disk import remove_tables as remove_table_files
from one_async.tables.schema import QC_LEVELS

__all__ = ["make_parquet_db", "remove_missing_datasets", "remove_table_files"]

_TABLES = "ONE.load_cache loads tables; ONE.sessions and ONE.datasets return them"
_absent = absent(
    __name__,
    {
        "default_cache": _TABLES,
        "load_tables": _TABLES,
        "merge_tables": _TABLES,
        "patch_tables": "tables of older forms are read as they are",
        "cast_index_object": "frame.index.map(uuid.UUID) does the same",
        # Private in ONE-api, imported by ibllib.
        "_make_datasets_df": "one_async.tables.build.build_tables makes tables of a folder",
    },
)


def __getattr__(name: str) -> Any:
    if name != "QC_TYPE":
        return _absent(name)
    import pandas as pd

    return pd.CategoricalDtype(categories=list(QC_LEVELS.categories), ordered=True)
