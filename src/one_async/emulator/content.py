"""What an emulator serves: the records, files and cache tables of one world."""

from __future__ import annotations

import io
import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["World", "recorded"]

DATASET_ID = re.compile(r"\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.")


@dataclass(frozen=True)
class World:
    """Everything an emulator serves; URLs begin with https://alyx.test, data URLs with https://data.test.

    ``records`` maps each endpoint to ``{"list": [rows in server order], "detail": {key: body}}``;
    ``unserved`` holds what no endpoint shows but filters depend on; ``read_file`` gives the bytes behind a
    path of the data server (None: no such file); ``cache_zip`` gives the published cache tables.
    """

    name: str
    now: datetime
    records: Mapping[str, Mapping[str, Any]]
    unserved: Mapping[str, Any]
    passwords: Mapping[str, str] = field(repr=False)
    read_file: Callable[[str], bytes | None]
    cache_zip: Callable[[], bytes]


def recorded(folder: Path) -> World:
    """Read a records folder (``records/``, ``files/files.json``, ``cache/cache.zip``).

    The bytes of its data files are made by the rule that the recordings state, so none are stored.
    """
    folder = Path(folder)
    named = folder / "records" if (folder / "records").is_dir() else folder
    records = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(named.glob("*.json"))}
    unserved = records.pop("_unserved")
    listed = json.loads((named.parent / "files" / "files.json").read_text("utf-8"))
    files = {entry["url_path"].lstrip("/"): entry for entry in listed}
    return World(
        name="alyx_small",
        now=datetime(2025, 1, 15, 12, 0),
        records=records,
        unserved=unserved,
        passwords={user["username"]: user["password"] for user in unserved["users"]},
        read_file=lambda path: made_by_rule(files[path]) if path in files else None,
        cache_zip=cache((named.parent / "cache" / "cache.zip").read_bytes),
    )


def made_by_rule(entry: Mapping[str, Any]) -> bytes | None:
    """Make the bytes of a recorded file from its size and dataset id; None where none can be made."""
    import numpy as np

    found = DATASET_ID.search(entry["url_path"])
    if not entry["exists"] or entry["content"] == "none" or found is None:
        return None
    did = uuid.UUID(found.group(1))
    size = int(entry.get("true_size") or entry["size"])
    if entry["url_path"].endswith(".npy"):
        buffer = io.BytesIO()
        first = int(str(did)[:8], 16)
        np.save(buffer, np.arange((size - 128) // 8, dtype="<f8") + first)
        return buffer.getvalue()
    return f"{did}\n".encode() * (size // 37)
