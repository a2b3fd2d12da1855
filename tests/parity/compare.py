"""Compare two answers. The differences that these functions ignore are the only ones that are ignored."""

from __future__ import annotations

from typing import Any

#: Columns and fields that our rows have in addition to ONE-api's.
MORE = {"data_url", "session_path", "eid", "did", "default_revision", "start_time", "date", "qc"}
#: Methods whose remote answers have the server's order, which is undefined for sessions with the same time.
UNORDERED = {"search_insertions", "alyx.rest", "list_aggregates"}


#: Methods whose lists of files are sorted by name here, and by dataset id in ONE-api.
FILES_IN_ANY_ORDER = {"load_object", "load_collection"}


def _only_paths(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, dict) and item.keys() == {"path"} for item in value
    )


def _with_plain_records(value: Any) -> Any:
    """Rename the fields of a dataset's record as ours are; the revision is a part of rel_path."""
    if isinstance(value, list):
        return [_with_plain_records(item) for item in value]
    if not isinstance(value, dict) or "rel_path" not in value:
        return value
    record = {
        {"id": "did"}.get(key, key): item
        for key, item in value.items()
        if key not in ("revision", "session_path", "data_url")
    }
    return {
        key: item["uuid"] if isinstance(item, dict) and "uuid" in item else item
        for key, item in record.items()
    }


def plainer(value: Any) -> Any:
    """Remove what depends on the library that holds a value: arrays of text become lists, dates become text."""
    if isinstance(value, dict):
        if value.get("array") == "text":
            return plainer(value["values"])
        if len(value) == 1 and next(iter(value)) in ("date", "datetime"):
            return next(iter(value.values()))
        return {key: plainer(item) for key, item in value.items()}
    return [plainer(item) for item in value] if isinstance(value, list) else value


def is_frame(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"frame"}


def rows_of(value: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a frame as rows."""
    columns = value["frame"]
    if any(isinstance(column, dict) for column in columns.values()):
        return [columns]
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def session_rows(value: Any, eids: list[dict[str, str]]) -> dict[str, dict[str, Any]]:
    """Return the details of sessions by eid, from a frame or from ONE-api's records, which are in the order of the eids."""
    rows = rows_of(value) if is_frame(value) else value or []
    found = {}
    for row, named in zip(rows, eids, strict=True):
        eid = named["uuid"]
        assert row.get("eid", row.get("id", eid)) in (eid, named)
        projects = row["projects"].split(",") if isinstance(row["projects"], str) else row["projects"]
        kept = {name: row.get(name) for name in ("lab", "subject", "number", "task_protocol")}
        found[eid] = kept | {"projects": sorted(filter(None, projects)), "date": str(row["date"])[:10]}
    return found


def same(method: str, mode: str, theirs: dict[str, Any], ours: dict[str, Any]) -> bool:
    """Return whether two answers mean the same."""
    if "error" in theirs or "error" in ours:
        return theirs.get("error") == ours.get("error")
    left, right = plainer(theirs["value"]), plainer(ours["value"])
    if method == "load_datasets" or method == "load_dataset_from_id":
        left, right = _with_plain_records(left), _with_plain_records(right)
    if method in FILES_IN_ANY_ORDER and _only_paths(left):
        left, right = _sorted(left), _sorted(right)
    if method == "search":
        return _same_sessions(left, right, ordered=mode == "local")
    if method == "search_terms":
        return sorted(left) == sorted(right)
    if method == "get_details":
        left, right = _with_sorted_projects(left), _with_sorted_projects(right)
    return alike(left, right) or (
        mode == "remote" and method in UNORDERED and alike(_sorted(left), _sorted(right))
    )


def _same_sessions(left: Any, right: Any, *, ordered: bool) -> bool:
    detailed = len(right) == 2 and is_frame(right[1])
    eids = (left[0], right[0]) if detailed else (left, right)
    if ordered and eids[0] != eids[1]:
        return False
    if detailed and not left[0]:
        return not right[0]
    if _sorted(eids[0]) != _sorted(eids[1]):
        return False
    return not detailed or session_rows(left[1], left[0]) == session_rows(right[1], right[0])


def _sorted(value: Any) -> Any:
    if is_frame(value) and len(rows_of(value)) > 1:
        rows = sorted(rows_of(value), key=lambda row: str(row.get("did") or row))
        return {"frame": {name: [row[name] for row in rows] for name in rows[0]}}
    if not isinstance(value, list):
        return value
    if len(value) == 2 and all(isinstance(part, list) for part in value):
        return [_sorted(part) for part in value]
    return sorted(
        value,
        key=lambda item: (
            str(item.get("id") or item.get("url") or item) if isinstance(item, dict) else str(item)
        ),
    )


def _with_sorted_projects(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_sorted_projects(item) for item in value]
    if isinstance(value, dict) and isinstance(value.get("projects"), str):
        return {**value, "projects": ",".join(sorted(value["projects"].split(",")))}
    return value


def alike(left: Any, right: Any) -> bool:
    """Return whether two values are equal; of frames and records, only the columns and fields that ONE-api has."""
    if is_frame(left) and is_frame(right):
        return _alike_frames(left["frame"], right["frame"])
    if isinstance(left, dict) and isinstance(right, dict):
        extra = set(right) - set(left)
        return set(left) <= set(right) and extra <= MORE and all(alike(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(alike, left, right))
    return type(left) is type(right) and bool(left == right)


def _alike_frames(left: dict[str, Any], right: dict[str, Any]) -> bool:
    if not any(left.values()) and not any(right.values()):
        return True
    left = {
        name: column for name, column in left.items() if name in right or (any(column) and name != "revision")
    }
    if not (set(left) <= set(right) and set(right) - set(left) <= MORE):
        return False
    return all(alike(left[name], right[name]) for name in left)
