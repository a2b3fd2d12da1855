"""The published tables of the seeded world, ``cache.zip``, in the form in which ONE-api 3 reads them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from one_async.emulator.seeded_datasets import Datasets, Record
from one_async.emulator.seeded_parquet import footer_size, parquet_bytes
from one_async.emulator.seeded_plan import NOW, QC, Session

if TYPE_CHECKING:
    import polars as pl

__all__ = ["cache_zip"]


def cache_zip(
    name: str,
    sessions: list[Session],
    datasets: Datasets,
    quality: Mapping[str, Record | None],
    tag: str | None = None,
) -> bytes:
    """Return the published tables, ``cache.zip``, as Alyx makes them: all, or those of a tag's datasets.

    ``quality`` is each session's ``extended_qc``, which is published beside the tables as ``QC.json``.
    """
    import polars as pl

    text = pl.String
    rows, latest = datasets.table, sorted(sessions, key=lambda s: s.start, reverse=True)
    if tag is not None:
        tagged = {row["url"][-36:] for row in datasets.rows if tag in row["tags"]}
        rows = [row for row in rows if row[-1] in tagged]
        latest = [s for s in latest if s.id in {row[-2] for row in rows}]
    session_rows = [
        (s.lab, s.subject, s.start.date(), s.number, s.protocol, ",".join(s.projects), s.id) for s in latest
    ]
    tables = {
        "sessions": pl.DataFrame(
            session_rows,
            schema={
                "lab": text,
                "subject": text,
                "date": pl.Date,
                "number": pl.UInt16,
                "task_protocol": text,
                "projects": text,
                "id": text,
            },
            orient="row",
        ),
        "datasets": pl.DataFrame(
            sorted(rows, key=lambda row: row[-2:]),
            schema={
                "file_size": pl.UInt64,
                "hash": text,
                "default_revision": pl.Boolean,
                "qc": pl.Enum(QC),
                "exists": pl.Boolean,
                "rel_path": text,
                "eid": text,
                "id": text,
            },
            orient="row",
        ),
    }
    about: Record = {"date_created": f"{NOW:%Y-%m-%d} 06:00", "origin": name, "min_api_version": "2.10"}
    if tag is not None:
        about["database_tags"] = [tag]
    files = {f"{table}.pqt": _published(frame, about) for table, frame in tables.items()}
    sizes = {t: {"nrecs": f.height, "size": footer_size(files[f"{t}.pqt"])} for t, f in tables.items()}
    files["cache_info.json"] = json.dumps({**about, "tables": sizes}, indent=1).encode()
    checks = [{"eid": s.id, "extended_qc": quality[s.id]} for s in latest]
    files["QC.json"] = json.dumps(checks).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, data in files.items():
            archive.writestr(zipfile.ZipInfo(file, NOW.timetuple()[:6]), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _published(frame: pl.DataFrame, about: Record) -> bytes:
    """Return a table with the metadata that pandas needs: index, ordered categories, nullable integers."""
    index = [name for name in ("eid", "id") if name in frame.columns]
    columns = list(_pandas_columns(frame))
    no_name = {"name": None, "field_name": None, "metadata": {"encoding": "UTF-8"}}
    pandas = {
        "index_columns": index,
        "column_indexes": [{**no_name, "pandas_type": "unicode", "numpy_type": "object"}],
        "columns": columns,
        "attributes": {},
        "creator": {"library": "polars", "version": "1"},
        "pandas_version": "2.2.3",
    }
    return parquet_bytes(frame, {"one_metadata": json.dumps(about), "pandas": json.dumps(pandas)})


def _pandas_columns(frame: pl.DataFrame) -> Iterator[Record]:
    kinds = {
        "String": ("unicode", "object", None),
        "Date": ("date", "object", None),
        "UInt16": ("uint16", "uint16", None),
        "UInt64": ("uint64", "UInt64", None),
        "Boolean": ("bool", "bool", None),
        "Enum": ("categorical", "int8", {"num_categories": len(QC), "ordered": True}),
    }
    for name, dtype in frame.schema.items():
        pandas, numpy, metadata = kinds[str(dtype.base_type())]
        yield {
            "name": name,
            "field_name": name,
            "pandas_type": pandas,
            "numpy_type": numpy,
            "metadata": metadata,
        }
