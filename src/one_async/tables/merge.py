"""Merge new rows into tables by id; the old catalogue stays unchanged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import polars as pl

from one_async.errors import InputError
from one_async.tables.catalogue import Catalogue, as_texts, created_time, sorted_sessions
from one_async.tables.dataset_table import Datasets
from one_async.tables.schema import IDS, SCHEMAS, canonical

__all__ = ["Records", "merge", "merge_catalogues", "merge_raw", "to_frame"]

#: Rows of a table: a frame, or mappings whose keys are columns, such as REST records and Series.
Records: TypeAlias = "pl.DataFrame | Iterable[Mapping[str, Any]]"

#: If more sessions than this have new datasets, the whole table is sorted again.
_MANY_SESSIONS = 2000


def merge(
    catalogue: Catalogue, tables: Mapping[str, Records | None], *, origin: str | None = None
) -> Catalogue:
    """Return a catalogue in which these rows replace those with the same id, or are added.

    Columns that a table does not have are dropped, missing ones are null; of several rows with the same id, the first is
    used. ``origin`` is added to the tables' origins. Raises InputError for rows that do not fit the columns' types.
    """
    frames = {name: to_frame(name, rows, catalogue) for name, rows in tables.items() if rows is not None}
    frames = {name: frame for name, frame in frames.items() if len(frame)}
    if not frames:
        return catalogue
    sessions, datasets = catalogue.session_frame, catalogue.dataset_table
    others = dict(catalogue.others)
    for name, frame in frames.items():
        if name == "sessions":
            sessions = sorted_sessions(_upserted(sessions, frame, ["eid"]))
        elif name == "datasets":
            datasets = _merged_datasets(datasets, frame)
        else:
            others[name] = _upserted(others.get(name), frame, _keys(name, frame))
    now = datetime.now()
    raw = {**catalogue.meta.raw}
    for name in frames:
        made = {"date_created": now.isoformat(sep=" ", timespec="minutes"), "partial": True}
        entry = {**(made if name not in raw else {}), **raw.get(name, {})}
        if origin is not None:
            entry["origin"] = sorted({*as_texts(entry.get("origin")), origin})
        raw[name] = entry
    meta = replace(catalogue.meta, modified_time=now, raw=raw, created_time=created_time(raw))
    pending = {
        name: _upserted(catalogue.pending.get(name), frame, _keys(name, frame))
        for name, frame in frames.items()
    }
    return Catalogue(
        sessions,
        datasets,
        MappingProxyType(others),
        meta,
        MappingProxyType({**catalogue.pending, **pending}),
    )


def merge_catalogues(base: Catalogue, new: Catalogue) -> Catalogue:
    """Merge all rows of one catalogue into another."""
    merged = merge(
        base,
        {"sessions": new.session_frame, "datasets": new.dataset_table.frame(), **new.others},
    )
    names = {*base.meta.raw, *new.meta.raw}
    raw = {name: merge_raw(base.meta.raw.get(name, {}), new.meta.raw.get(name, {})) for name in names}
    return replace(merged, meta=replace(merged.meta, raw=raw, created_time=created_time(raw)))


def merge_raw(base: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the ``one_metadata`` of two tables: the earlier date_created, all origins, and otherwise the newer values.

    The result is partial, that is, consists of rows from queries, if neither of them is a complete table.
    """
    joined = {**base, **new}
    if not all(entry.get("partial") for entry in (base, new) if entry):
        joined.pop("partial", None)
    dates = [entry["date_created"] for entry in (base, new) if entry.get("date_created")]
    if dates:
        joined["date_created"] = min(dates)
    origins = sorted({*as_texts(base.get("origin")), *as_texts(new.get("origin"))})
    if origins:
        joined["origin"] = origins
    return joined


def to_frame(table: str, rows: Records, catalogue: Catalogue | None = None) -> pl.DataFrame:
    """Convert rows in any accepted form to a frame with a table's columns; ids may be UUIDs.

    The columns are those of the catalogue's table if it has rows, otherwise all known ones.
    """
    if not isinstance(rows, pl.DataFrame):
        rows = _from_mappings(table, list(rows))
    schema = dict(SCHEMAS.get(table, {}))
    if catalogue is not None:
        old = _old_schema(table, catalogue)
        schema = old or schema or dict(rows.schema)
    if not len(rows):
        return pl.DataFrame(schema=schema)
    try:
        frame = canonical(table, rows)
        wanted = [
            (pl.col(name) if name in frame.columns else pl.lit(None)).cast(dtype).alias(name)
            for name, dtype in schema.items()
            if name in frame.columns or catalogue is not None
        ]
        return frame.select(wanted or pl.all())
    except (pl.exceptions.PolarsError, ValueError) as error:
        raise InputError(f"{table}: {str(error).splitlines()[0]}", argument=table) from error


def _old_schema(table: str, catalogue: Catalogue) -> dict[str, pl.DataType]:
    """Return the columns of a table that has rows."""
    if table == "sessions":
        return dict(catalogue.session_frame.schema) if len(catalogue.session_frame) else {}
    if table == "datasets":
        return catalogue.dataset_table.schema if len(catalogue.dataset_table) else {}
    old = catalogue.others.get(table)
    return dict(old.schema) if old is not None and len(old) else {}


def _from_mappings(table: str, rows: list[Mapping[str, Any]]) -> pl.DataFrame:
    # The schema is explicit, since Polars would infer it from the first rows and drop keys of later ones.
    own = IDS.get(table)
    schema: dict[str, pl.DataType | None] = dict(SCHEMAS.get(table, {}))
    extra = dict.fromkeys(key for row in rows for key in row if key not in schema)
    names = [name for name in (*schema, *extra) if any(name in row for row in rows)]
    columns = {}
    for name in names:
        values = [_plain(row.get(name)) for row in rows]
        target = own if name == "id" and own else name
        dtype = schema.get(target)
        try:
            columns[target] = pl.Series(target, values, dtype=dtype, strict=dtype is not None)
        except (TypeError, OverflowError, pl.exceptions.PolarsError):
            columns[target] = pl.Series(target, values, strict=False)
    return pl.DataFrame(columns)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | bool | list | dict):
        return value
    return str(value) if type(value).__name__ == "UUID" else value


def _keys(table: str, frame: pl.DataFrame) -> list[str]:
    if table == "datasets":
        return ["eid", "did"]
    own = IDS.get(table)
    return [own] if own else [name for name in ("eid", "id") if name in frame.columns] or frame.columns[:1]


def _upserted(old: pl.DataFrame | None, new: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    new = new.unique(keys, keep="first", maintain_order=True)
    if old is None or not len(old):
        return new
    kept = old.join(new.select(keys), on=keys, how="anti", maintain_order="left")
    return pl.concat([kept, new.select(_aligned(old, new))], how="vertical")


def _aligned(old: pl.DataFrame, new: pl.DataFrame) -> list[pl.Expr]:
    return [
        (pl.col(name) if name in new.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in old.schema.items()
    ]


def _merged_datasets(old: Datasets, new: pl.DataFrame) -> Datasets:
    new = new.unique(["eid", "did"], keep="first", maintain_order=True)
    if not len(old):
        return Datasets.from_frame(new.select(name for name in new.columns))
    eids = new["eid"].unique()
    if len(eids) > _MANY_SESSIONS:
        return Datasets.from_frame(_upserted(old.frame(), new, ["eid", "did"]).sort("eid", "did"))
    spans = [old.rows_of(eid) for eid in eids]
    rows = np.concatenate([np.arange(span.start, span.stop, dtype=np.int64) for span in spans])
    there = old.frame(rows, ["eid", "did"]).with_columns(row=rows)
    replaced = there.join(new, on=["eid", "did"], how="semi")["row"].to_numpy()
    return old.merged(new, replaced)
