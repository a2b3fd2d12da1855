"""The order in which PostgreSQL reads what Alyx does not sort."""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Collection

from one_async.emulator.store import Store, dumps

__all__ = ["as_read", "of_one_session"]

# Filters of trajectories that PostgreSQL looks up among the sessions
# up to this length of a page
SESSION_FILTERS = {"subject": 2, "project": 10, "experiment_number": 10}
STABLE = 7


def as_read(store: Store, endpoint: str, rows: array[int], limit: int, given: Collection[str]) -> array[int]:
    """Return the rows that have no order of their own as PostgreSQL reads them.

    It sorts fewer than seven sessions stably, and finds the first trajectories of some sessions insertion by insertion;
    both come in the order in which sessions were created: by subject.
    """
    if "django" in given:
        return rows  # sorted by id
    if endpoint == "sessions" and 1 < len(rows) < STABLE:
        table, order = "sessions t", "t.start_time DESC, t.subject, t.number"
    elif endpoint == "trajectories" and (
        "date" in given
        or (
            len(rows) > limit
            and any(limit <= most for name, most in SESSION_FILTERS.items() if name in given)
        )
    ):
        table = (
            "trajectories t JOIN insertions i ON i.id = t.probe_insertion JOIN sessions s ON s.id = i.session"
        )
        order = "s.subject, s.start_time, i.name, t.row"
    else:
        return rows
    found = store.select(
        f"SELECT t.row FROM {table} WHERE t.row IN (SELECT value FROM json_each(?)) ORDER BY {order}",
        json.dumps(list(rows)),
    )
    return array("q", (row for (row,) in found)) if len(found) == len(rows) else rows


def of_one_session(store: Store, endpoint: str, texts: list[str]) -> list[str]:
    """Order the projects of a page of sessions or insertions as PostgreSQL does.

    It reads the projects of a single session by an index, as for the session's detail, and those of several by a scan.
    """
    name = {"sessions": "id", "insertions": "session"}.get(endpoint)
    ids = {match[1] for text in texts if name and (match := re.search(rf'"{name}":"([^"]+)"', text))}
    detail = store.detail("sessions", ids.pop()) if len(ids) == 1 else None
    if detail is None:
        return texts
    projects = json.loads(detail)["projects"]
    rows = [json.loads(text) for text in texts]
    for row in rows:
        (row["session_info"] if endpoint == "insertions" else row)["projects"] = projects
    return [dumps(row) for row in rows]
