"""The content of the worlds, read from their records and not from any answer, for tests to compare with."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

RECORDS = Path(__file__).parents[1] / "data" / "alyx" / "records"
QC = ("NOT_SET", "PASS", "WARNING", "FAIL", "CRITICAL")
Row = Mapping[str, Any]


class World:
    def __init__(
        self, records: Mapping[str, Any], read_file: Callable[[str], bytes | None] | None = None
    ) -> None:
        self.records = records
        self._read_file = read_file or (lambda _: None)

    def content(self, dataset: Row) -> bytes:
        """Return the bytes of a dataset's file at the data server."""
        found = self._read_file(dataset["data_url"].removeprefix("https://data.test/"))
        assert found is not None
        return found

    def array(self, eid: str, path: str) -> np.ndarray[Any, Any]:
        """Return the array in a session's file."""
        return np.load(io.BytesIO(self.content(self.dataset(eid, path))))  # type: ignore[no-any-return]

    def rows(self, endpoint: str) -> list[Any]:
        return list(self.records[endpoint]["list"])

    @cached_property
    def sessions(self) -> list[Row]:
        """Return the detail bodies of all sessions, in the order of search results."""
        details = list(self.records["sessions"]["detail"].values())
        return sorted(details, key=lambda s: (day(s), s["subject"], s["number"]), reverse=True)

    def eids(self, chosen: Callable[[Row], Any] = lambda _: True) -> list[UUID]:
        return [UUID(session["id"]) for session in self.sessions if chosen(session)]

    def session(self, subject: str, when: str, number: int = 1) -> Row:
        (found,) = [
            s for s in self.sessions if (s["subject"], str(day(s)), s["number"]) == (subject, when, number)
        ]
        return found

    def dataset(self, eid: str, path: str) -> Row:
        (found,) = [d for d in self.of(eid) if path_of(d, self.revisions) == path]
        return found

    def of(self, eid: str) -> list[Row]:
        return list(self.records["sessions"]["detail"][eid]["data_dataset_session_related"])

    @cached_property
    def revisions(self) -> dict[str, str]:
        return {row["id"]: row["name"] for row in self.rows("revisions")}

    def paths(self, eid: str, chosen: Callable[[Row], Any] = lambda _: True) -> list[str]:
        """Return the paths of a session's datasets below its folder, sorted."""
        return sorted(path_of(d, self.revisions) for d in self.of(eid) if chosen(d))


def day(session: Row) -> date:
    return date.fromisoformat(session["start_time"][:10])


def path_of(dataset: Row, revisions: Mapping[str, str] | None = None) -> str:
    name = (revisions or {}).get(dataset["revision"], dataset["revision"])
    return "/".join(filter(None, [dataset["collection"], f"#{name}#" if name else "", dataset["name"]]))


def recorded_world() -> World:
    names = (p for p in RECORDS.glob("*.json") if p.stem != "_unserved")
    return World({path.stem: json.loads(path.read_text("utf-8")) for path in names})


def seeded_world() -> World:
    from one_async.emulator import seeded

    world = seeded.world()
    return World(world.records, world.read_file)
