"""Convert the server's answers for registered files to uniform records and to rows of the tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from one_async._boundary import reading
from one_async.alf.spec import QC
from one_async.queries.records import SessionRecord, parse
from one_async.registration.local import LocalFile

__all__ = ["dataset_rows", "record_of", "session_row"]


def record_of(row: Mapping[str, Any], session: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a dataset of ``/datasets`` to the form of the records that ``/register-file`` returns."""
    names = ("id", "name", "file_size")
    more = ("created_by", "created_datetime", "dataset_type", "data_format")
    with reading("/datasets"):
        return {
            **{name: row[name] for name in names},
            "subject": session["subject"],
            **{name: row[name] for name in more},
            "session": session["id"],
            "session_number": session["number"],
            "session_users": ",".join(session["users"]),
            "session_start_time": session["start_time"],
            "collection": row.get("collection") or "",
            "revision": row.get("revision") or "",
            "default": bool(row.get("default_dataset")),
            "qc": QC.validate(row.get("qc") or "NOT_SET").value,
            "file_records": [
                {name: one.get(name) for name in ("id", "data_repository", "relative_path", "exists")}
                for one in row.get("file_records") or ()
            ],
        }


def session_row(session: Mapping[str, Any]) -> dict[str, Any]:
    """Return a session's row for the tables."""
    return parse(SessionRecord, "sessions", session).row()


def dataset_rows(
    files: Iterable[LocalFile], rows: Iterable[Mapping[str, Any]], eid: str
) -> list[dict[str, Any]]:
    """Return rows for the tables: the registered files, and the revisions that are no longer the default.

    ``rows`` are the datasets that the session had before, as ``/datasets`` lists them.
    """
    new_rows: dict[str, dict[str, Any]] = {}
    defaults = set()
    for file in files:
        record = file.record
        if record is None:
            continue
        if record["default"]:
            defaults.add((record["collection"] or "", record["name"]))
        new_rows[record["id"]] = {
            "did": record["id"],
            "eid": eid,
            "rel_path": file.rel_path,
            "file_size": record["file_size"],
            "hash": file.hash,
            "exists": any(one["exists"] for one in record["file_records"]),
            "qc": QC.validate(record["qc"]).name,
            "default_revision": record["default"],
        }
    for row in rows:
        key = (row.get("collection") or "", row["name"])
        if row["id"] in new_rows or key not in defaults or not row.get("default_dataset"):
            continue
        folder = "/".join(filter(None, [key[0], f"#{row['revision']}#" if row.get("revision") else ""]))
        new_rows[row["id"]] = {
            "did": row["id"],
            "eid": eid,
            "rel_path": f"{folder}/{key[1]}" if folder else key[1],
            "file_size": row.get("file_size"),
            "hash": row.get("hash"),
            "exists": any(one.get("exists") for one in row.get("file_records") or ()),
            "qc": QC.validate(row.get("qc") or "NOT_SET").name,
            "default_revision": False,
        }
    return list(new_rows.values())
