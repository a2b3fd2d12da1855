"""A write invalidates the cached answers of every endpoint whose records it changes."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from one_async.alyx.writes import changed_by
from one_async.emulator import Emulator
from one_async.emulator.models import MODELS, table_name
from shared_worlds import recorded_world

SESSION, SUBJECT = "e5bd39ee-79e9-4ac3-9c80-486cd7272ac1", "KS046"
FILE = {
    "path": "KS046/2024-12-31/001",
    "name": "flatiron_cortexlab",
    "filenames": ["alf/_ibl_trials.table.pqt"],
    "revisions": ["2025-01-01"],
    "created_by": "alice",
}
#: Method, endpoint, key (None: a new record; "first": the first record), body.
WRITES: list[tuple[str, str, str | None, Any]] = [
    ("POST", "sessions", None, {"subject": SUBJECT, "number": 9}),
    *(("PATCH", "sessions", SESSION, body) for body in (
        {"number": 8}, {"start_time": "2024-12-30T10:00:00"}, {"projects": []}, {"task_protocol": "x"}, {"subject": "KS023"},
    )),
    ("DELETE", "sessions", SESSION, None),
    *(("PATCH", "subjects", SUBJECT, body) for body in (
        {"nickname": "KS146"}, {"death_date": "2025-01-01"}, {"projects": []}, {"sex": "F"},
    )),
    ("DELETE", "subjects", SUBJECT, None),
    ("POST", "subjects", None, {"nickname": "KS300", "lab": "cortexlab", "responsible_user": "alice"}),
    ("PATCH", "users", "bruno", {"subjects_responsible": [SUBJECT]}),
    ("PATCH", "channels", "first", {"x": 1.0}),
    ("POST", "register-file", None, FILE),
    ("POST", "weighings", None, {"subject": SUBJECT, "weight": 20}),
    ("POST", "water-administrations", None, {"subject": SUBJECT, "water_administered": 1.0, "session": SESSION}),
    ("POST", "notes", None, {"user": "alice", "content_type": "session", "object_id": SESSION, "text": "x"}),
    ("POST", "insertions", None, {"session": SESSION, "name": "probe07"}),
    *(("PATCH", endpoint, "first", {"json": {"a": 1}}) for endpoint in (
        "insertions", "datasets", "chronic-insertions", "fields-of-view", "surgeries", "files",
    )),
    ("PATCH", "trajectories", "first", {"x": 1.0, "probe_insertion": None}),
    *(("DELETE", endpoint, "first", None) for endpoint in (
        "insertions", "trajectories", "channels", "datasets", "chronic-insertions", "fields-of-view", "tasks", "files", "notes",
    )),
    *(("PATCH", endpoint, "first", {"name": "renamed"}) for endpoint in (
        "tags", "revisions", "projects", "locations", "labs", "data-repository", "dataset-types", "data-formats", "insertions",
    )),
    ("PATCH", "users", "alice", {"email": "alice@lab.test"}),
]  # fmt: skip


#: Models without their own endpoint.
PUBLIC = {name for name in MODELS if "_" not in name} - {"content-types", "zygosities", "genotypes"}


def digests(emulator: Emulator) -> dict[str, bytes]:
    """Return a digest of the records of each endpoint, as lists and details show them."""
    found = {}
    for name in MODELS:
        rows = emulator.store.select(f"SELECT key, list, detail FROM {table_name(name, 'text')} ORDER BY row")
        found[name] = hashlib.sha256(json.dumps(rows).encode()).digest()
    return found


@pytest.mark.parametrize(("method", "endpoint", "key", "body"), WRITES, ids=str)
def test_every_change_is_known(method: str, endpoint: str, key: str | None, body: Any) -> None:
    with Emulator(recorded_world()) as emulator:
        if key == "first":
            found = (
                f"SELECT key FROM {table_name(endpoint, 'text')} WHERE key IS NOT NULL ORDER BY row LIMIT 1"
            )
            [(key,)] = emulator.store.select(found)
        before = digests(emulator)
        headers = {"authorization": f"Token {emulator.token('admin')}"}
        address = f"{emulator.url}/{endpoint}" + ("" if key is None else f"/{quote(key, safe='')}")
        httpx.request(method, address, json=body, headers=headers, timeout=60).raise_for_status()
        after = digests(emulator)
    changed = {name for name in MODELS if before[name] != after[name]}
    assert changed
    assert changed & PUBLIC <= changed_by(endpoint)


@pytest.mark.anyio
async def test_what_a_deleted_session_had_is_not_answered_from_the_cache(make: Any) -> None:
    with Emulator(recorded_world()) as emulator:
        async with make(emulator) as alyx:
            [(eid,)] = emulator.store.select("SELECT session FROM datasets WHERE session IS NOT NULL LIMIT 1")
            assert await alyx.rest("datasets", "list", django=f"session,{eid}")
            labs = await alyx.rest("labs", "list")
            await alyx.rest("sessions", "delete", id=eid)
            assert await alyx.rest("datasets", "list", django=f"session,{eid}") == []
            emulator.requests.reset()
            assert await alyx.rest("labs", "list") == labs
            assert emulator.requests == []  # what the write cannot have changed is kept
