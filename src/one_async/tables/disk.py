"""Save tables as Parquet files that ONE-api can read, atomically and without losing rows saved by other processes."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from one_async._threads import check_polars
from one_async.errors import TablesNotFound
from one_async.files.claim import claim
from one_async.tables.arrow_schema import schema_with_metadata
from one_async.tables.catalogue import Catalogue
from one_async.tables.cleanup import remove_saves
from one_async.tables.install import finish, install
from one_async.tables.merge import merge, merge_catalogues, merge_raw
from one_async.tables.schema import IDS

__all__ = ["claim_tables", "is_modified", "remove_tables", "save_tables", "write_table"]

_WAIT: Final = 120.0
#: The names of dtypes in pandas and in numpy.
_PANDAS: Final = {
    "String": ("unicode", "object"),
    "Boolean": ("bool", "bool"),
    "Date": ("date", "object"),
    "Enum": ("categorical", "int8"),
    "UInt64": ("uint64", "UInt64"),
    "UInt16": ("uint16", "uint16"),
    "Float64": ("float64", "float64"),
    "Int64": ("int64", "int64"),
}


def claim_tables(folder: Path, *, wait: float = _WAIT) -> contextlib.AbstractContextManager[object]:
    """Hold the claim on the tables of a folder; blocks while another process holds it."""
    return claim(folder / "tables", wait=wait)


def is_modified(catalogue: Catalogue) -> bool:
    """Return whether rows were merged since the tables were opened or saved."""
    return bool(catalogue.pending)


def save_tables(
    catalogue: Catalogue, folder: str | Path, *, clobber: bool = False, wait: float = _WAIT
) -> Catalogue:
    """Write the tables to a folder; return the catalogue that is on disk afterwards.

    Rows merged since opening are merged into the tables that the folder has now, so that rows saved by other processes are
    kept; with ``clobber``, these are overwritten. As in ONE-api, nothing is written if nothing changed. Raises TimeoutError
    if another process writes for longer than ``wait`` seconds.
    """
    check_polars()
    home = Path(folder)
    same_place = (
        catalogue.meta.tables_dir is not None and catalogue.meta.tables_dir.resolve() == home.resolve()
    )
    if not clobber and not is_modified(catalogue):
        return catalogue
    home.mkdir(parents=True, exist_ok=True)
    with claim_tables(home, wait=wait):
        remove_saves(home)
        result = catalogue if clobber else _joined(catalogue, home, same_place)
        return _written(result, home)


def _joined(catalogue: Catalogue, home: Path, same_place: bool) -> Catalogue:
    """Return the tables in the folder with our changes."""
    try:
        there = Catalogue.open(home, convert=False)
    except TablesNotFound:
        return catalogue
    if not same_place:
        return merge_catalogues(there, catalogue)
    merged = merge(there, catalogue.pending)
    raw = {
        name: merge_raw(there.meta.raw.get(name, {}), catalogue.meta.raw.get(name, {}))
        for name in {*there.meta.raw, *catalogue.meta.raw}
    }
    return merged.with_meta(raw=raw, modified_time=catalogue.meta.modified_time)


def _written(catalogue: Catalogue, home: Path) -> Catalogue:
    modified = (catalogue.meta.modified_time or datetime.now()).isoformat(sep=" ", timespec="minutes")
    raw = {name: dict(entry) for name, entry in catalogue.meta.raw.items()}
    frames = {
        "sessions": catalogue.session_frame,
        "datasets": catalogue.dataset_table.frame(),
        **catalogue.others,
    }
    files: dict[str, Path] = {}
    try:
        for table, frame in frames.items():
            entry = raw.setdefault(table, {})
            entry.setdefault("date_created", modified)
            entry["date_modified"] = modified
            path = home / f".{table}.{uuid.uuid4().hex}.tmp"
            files[f"{table}.pqt"] = path
            write_table(path, table, frame, entry)
        install(home, files)
    finally:
        for path in files.values():
            path.unlink(missing_ok=True)
    meta = replace(catalogue.meta, raw=raw, saved_time=datetime.now(), tables_dir=home)
    return replace(catalogue, meta=meta, pending={})


def write_table(path: Path, table: str, frame: pl.DataFrame, one_metadata: Mapping[str, Any]) -> None:
    """Write one table in ONE-api's format: ids as the pandas index, with ``one_metadata``. Not atomic."""
    own = IDS.get(table)
    frame = frame.rename({own: "id"}) if own in frame.columns else frame
    index = [name for name in frame.columns if name in ("eid", "id")]
    index.sort()
    frame = frame.select([name for name in frame.columns if name not in index] + index)
    raw = {
        key: sorted(value) if isinstance(value, set | frozenset) else value
        for key, value in one_metadata.items()
    }
    metadata = {"one_metadata": json.dumps(raw), "pandas": json.dumps(_pandas_metadata(frame, index))}
    metadata["ARROW:schema"] = schema_with_metadata(frame, metadata)
    frame.write_parquet(path, compression="snappy", metadata=metadata)


def _pandas_metadata(frame: pl.DataFrame, index: list[str]) -> dict[str, Any]:
    """Return the pandas metadata of a parquet file: its index columns and dtypes."""
    columns = []
    for name, dtype in frame.schema.items():
        kind = type(dtype).__name__
        pandas_type, numpy_type = _PANDAS.get(kind, ("object", "object"))
        extra = (
            {"num_categories": len(dtype.categories), "ordered": True} if isinstance(dtype, pl.Enum) else None
        )
        columns.append(
            {
                "name": name,
                "field_name": name,
                "pandas_type": pandas_type,
                "numpy_type": numpy_type,
                "metadata": extra,
            }
        )
    level = {
        "name": None,
        "field_name": None,
        "pandas_type": "unicode",
        "numpy_type": "object",
        "metadata": {"encoding": "UTF-8"},
    }
    return {
        "index_columns": index,
        "column_indexes": [level],
        "columns": columns,
        "attributes": {},
        "creator": {"library": "polars", "version": pl.__version__},
        "pandas_version": "2.2.3",
    }


def remove_tables(folder: str | Path, tables: tuple[str, ...] = ("sessions", "datasets")) -> list[Path]:
    """Delete tables, their memory-mapped form and ``cache_info.json`` from a folder; return the deleted files."""
    import shutil

    from one_async.tables.mmap_cache import FOLDER

    home = Path(folder)
    finish(home)
    removed = []
    for name in ("cache_info.json", *(f"{table}.pqt" for table in tables)):
        path = home / name
        if path.exists():
            path.unlink()
            removed.append(path)
    shutil.rmtree(home / FOLDER, ignore_errors=True)
    return removed
