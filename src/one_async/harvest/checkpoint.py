"""The state of an endpoint between two runs: which jobs are done, and their rows written."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel

from one_async.harvest.plan import Job, jobs_of
from one_async.harvest.report import EndpointReport
from one_async.harvest.storage import FolderStorage, Storage

WORK = ".harvest"
#: The version of the state; a state of another version is not resumed.
VERSION = 2
#: The age up to which a harvest is resumed; older ones start over, since rows already read are not read again.
RESUMABLE = timedelta(days=7)


class Publication(BaseModel):
    """What is to be published; saved before any published file is touched."""

    report: EndpointReport
    format: str
    merge: bool
    moves: dict[str, str] | None = None  # new file names by current ones, once decided
    replaced: list[str] = []  # files of an earlier harvest that are deleted after the moves


@dataclass
class Checkpoint:
    """The state of one endpoint, saved atomically after each written part."""

    storage: Storage
    endpoint: str
    signature: str
    #: None in states of older versions.
    begun: datetime | None = field(default_factory=lambda: datetime.now(UTC))
    count: int | None = None
    size: int = 0
    done: set[Job] = field(default_factory=set)
    vanished: list[int] = field(default_factory=list)
    publishing: Publication | None = None  # what to publish, once everything is read
    finished: dict[str, Any] | None = None  # the report, until it is written beside the data
    resumed: bool = False

    @property
    def folder(self) -> str:
        """The folder that holds the parts until the endpoint is finished."""
        return f"{WORK}/{self.endpoint}"

    @property
    def older(self) -> str:
        """The folder of an earlier harvest's rewritten parts, without the rows that a merge replaces."""
        return f"{self.folder}/older"

    @property
    def name(self) -> str:
        """The file name of this state."""
        return f"{self.folder}/state.json"

    @property
    def recent(self) -> bool:
        """Whether the harvest began recently enough to be resumed."""
        return self.begun is None or datetime.now(UTC) - self.begun < RESUMABLE

    def parts(self) -> list[str]:
        """Return the names of the written parts, in order."""
        return [name for name in self.storage.names(self.folder) if name.endswith(".parquet")]

    def load(self) -> bool:
        """Load the stored state of any request; return False if there is none."""
        if isinstance(self.storage, FolderStorage):
            self.storage.sweep(self.folder)
        stored = self.storage.get(self.name)
        try:
            state = json.loads(stored) if stored else {}
        except ValueError:
            state = {}
        if state.get("version") != VERSION:
            return False
        self.signature, self.count, self.size = state["signature"], state["count"], state["size"]
        self.begun = datetime.fromisoformat(state["begun"]) if state.get("begun") else None
        self.done = jobs_of(state["done"])
        self.vanished = [int(id) for id in state["vanished"]]
        self.publishing = Publication.model_validate(state["publishing"]) if state["publishing"] else None
        self.finished = state["finished"]
        return True

    def save(self) -> None:
        """Store the state."""
        state = {
            "version": VERSION,
            "signature": self.signature,
            "begun": self.begun and self.begun.isoformat(),
            "count": self.count,
            "size": self.size,
            "done": [(job.kind, str(job.low), str(job.high)) for job in sorted(self.done)],
            "vanished": [str(id) for id in self.vanished],
            "publishing": self.publishing and self.publishing.model_dump(mode="json"),
            "finished": self.finished,
        }
        self.storage.put(self.name, json.dumps(state).encode(), sure=False)

    def finish(self, report: dict[str, Any]) -> None:
        """Mark the endpoint as finished, and delete its parts."""
        self.done, self.vanished, self.publishing, self.finished = set(), [], None, report
        self.save()
        self._delete_parts()

    def clear(self) -> None:
        """Delete the state and then the parts, so that a kill in between leaves no state without its parts."""
        self.storage.delete(self.name)
        self._delete_parts()

    def _delete_parts(self) -> None:
        for name in (*self.parts(), *self.storage.names(self.older)):
            self.storage.delete(name)
