"""Rows of the datasets table with data_url and session_path, made from rows of `/datasets`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from one_async.alf.path import rel_path_parts
from one_async.alf.session_paths import record_url_path, session_part, without_id
from one_async.errors import AnswerError, InputError
from one_async.queries.records import DatasetRecord, parse, parse_known, relative_path, revision_of

if TYPE_CHECKING:
    import polars as pl

__all__ = ["aggregate_rows", "dataset_rows", "record_row", "rows_frame"]


def dataset_rows(raw: Iterable[object], *, reachable: bool = False) -> list[dict[str, Any]]:
    """Return the row of each record; with `reachable`, only of those that have an existing file with an address.

    Invalid records are skipped with a warning.
    """
    rows = [_row(record) for record in parse_known(DatasetRecord, "datasets", raw)]
    return [row for row in rows if row["data_url"]] if reachable else rows


def _row(record: DatasetRecord) -> dict[str, Any]:
    url = next((one.data_url for one in record.file_records if one.data_url and one.exists), None)
    return {
        "did": str(record.did),
        "eid": str(record.eid) if record.eid else None,
        "rel_path": relative_path(record, record.revision or revision_of(url)),
        "file_size": record.file_size,
        "hash": record.hash,
        "exists": any(one.exists for one in record.file_records),
        "qc": record.qc,
        "default_revision": record.default_dataset,
        "data_url": url,
        "session_path": session_part(record_url_path(url)) if url else "",
    }


def record_row(record: Mapping[str, Any], argument: str = "dataset") -> dict[str, Any]:
    """Return the row of one record of ``/datasets``, or of a dataset in a session's detail, with data_url and session_path.

    The session's path is None if the record does not contain it. Raises InputError for a record that is neither.
    """
    if "file_records" not in record:
        url = record.get("data_url")
        copies = (
            [{"data_repository": "", "relative_path": "", "data_url": url, "exists": True}] if url else []
        )
        did = record.get("id") or str(record.get("url"))[-36:]
        record = {**record, "url": str(did), "revision": None, "session": None, "file_records": copies}
    try:
        row = _row(parse(DatasetRecord, "datasets", record))
    except (AnswerError, ValueError):
        raise InputError.of(argument, dict(record), "a record of the database's datasets endpoint") from None
    path = record_url_path(row["data_url"]).strip("/") if row["data_url"] else ""
    if row["eid"] is None and not row["session_path"] and "aggregates/" in path:
        return {**row, "rel_path": _aggregate_path(path)}
    return {**row, "session_path": row["session_path"] or None}


def _aggregate_path(path: str) -> str:
    return re.sub(
        r"^[\w/]+(?=aggregates/)", "", without_id(path), count=1
    )  # of a public copy: public/aggregates/…


def aggregate_rows(raw: Iterable[object]) -> list[dict[str, Any]]:
    """Return rows of datasets that combine several sessions, with relation and identifier.

    The relation is the second folder of the path, and the identifier is its rest: ``aggregates/Subjects/lab/subject/…``.
    """
    rows = []
    for row in dataset_rows(raw, reachable=True):
        path = _aggregate_path(record_url_path(row["data_url"]).strip("/"))
        parts = rel_path_parts(path, assert_valid=False)
        folders = ((parts[0] or "") if parts[3] else path.rpartition("/")[0]).split("/")
        if len(folders) > 1:
            identifier = "/".join(folders[2:])
            rows.append(
                {**row, "rel_path": path, "relation": folders[1].casefold(), "identifier": identifier}
            )
    return rows


def rows_frame(rows: Iterable[Mapping[str, Any]], *extra: str) -> pl.DataFrame:
    """Return a frame of rows: the datasets table's columns, data_url, and other columns as texts."""
    import polars as pl

    from one_async.tables.schema import DATASETS

    schema: dict[str, Any] = {**DATASETS, "data_url": pl.String, **dict.fromkeys(extra, pl.String)}
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema).sort("did")
