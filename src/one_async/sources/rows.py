"""Rows of the datasets table, made of what `/datasets` lists; here such a row has data_url and session_path as well."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .. import ids
from ..alf.path import rel_path_parts
from ..records import DatasetRecord, parse_list, relative_path, revision_of, url_path

if TYPE_CHECKING:
    import polars as pl

__all__ = ["aggregate_rows", "dataset_rows", "rows_frame", "url_path", "without_uuid"]


def without_uuid(path: str) -> tuple[str, str | None]:
    """Give a path without the dataset's id in its name, and that id if there was one."""
    folder, slash, name = path.rpartition("/")
    parts = name.split(".")
    for index, part in enumerate(parts):
        if len(part) == 36 and part.count("-") == 4:
            return f"{folder}{slash}{'.'.join(parts[:index] + parts[index + 1 :])}", part.lower()
    return path, None


def dataset_rows(raw: Iterable[object], *, reachable: bool = False) -> list[dict[str, Any]]:
    """Make a row of each record; with `reachable`, only of those that have an existing file with an address."""
    rows = []
    for record in parse_list(DatasetRecord, "datasets", raw):
        url = next((one.data_url for one in record.file_records if one.data_url and one.exists), None)
        if reachable and url is None:
            continue
        rows.append(
            {
                "did": str(record.did),
                "eid": str(record.eid) if record.eid else None,
                "rel_path": relative_path(record, record.revision or revision_of(url)),
                "file_size": record.file_size,
                "hash": record.hash,
                "exists": any(one.exists for one in record.file_records),
                "qc": record.qc,
                "default_revision": record.default_dataset,
                "data_url": url,
                "session_path": ids.session_part(url_path(url)) if url else "",
            }
        )
    return rows


def aggregate_rows(raw: Iterable[object]) -> list[dict[str, Any]]:
    """Make rows, with relation and identifier, of the datasets that were made of many sessions.

    The relation is the second folder of a path, what follows it the identifier: ``aggregates/Subjects/lab/subject/…``.
    """
    rows = []
    for row in dataset_rows(raw, reachable=True):
        path = without_uuid(url_path(row["data_url"]).strip("/"))[0]
        path = re.sub(r"^[\w/]+(?=aggregates/)", "", path, count=1)  # of a public copy: public/aggregates/…
        folders = (rel_path_parts(path)[0] or "").split("/")
        if len(folders) > 1:
            identifier = "/".join(folders[2:])
            rows.append(
                {**row, "rel_path": path, "relation": folders[1].casefold(), "identifier": identifier}
            )
    return rows


def rows_frame(rows: Iterable[Mapping[str, Any]], *extra: str) -> pl.DataFrame:
    """Make a frame of rows: the datasets table's columns, data_url, and texts of other names."""
    import polars as pl

    from ..tables.schema import DATASETS

    schema: dict[str, Any] = {**DATASETS, "data_url": pl.String, **dict.fromkeys(extra, pl.String)}
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema).sort("did")
