"""What a harvest remembers of an endpoint between two runs: which questions are answered and lie on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from one_async.harvest.plan import Job, jobs_of
from one_async.harvest.storage import Folder, Storage

WORK = ".harvest"
#: Written into each state; one of another version is not gone on with.
VERSION = 2


@dataclass
class Checkpoint:
    """The state of one endpoint; saved after each written part, whole or not at all."""

    storage: Storage
    endpoint: str
    signature: str
    count: int | None = None
    size: int = 0
    done: set[Job] = field(default_factory=set)
    vanished: list[int] = field(default_factory=list)
    publishing: dict[str, Any] | None = None  # what is to be put where readers look, once all is read
    finished: dict[str, Any] | None = None  # the report, until it is written beside the data
    resumed: bool = False

    @property
    def folder(self) -> str:
        """Where parts lie until the endpoint is finished."""
        return f"{WORK}/{self.endpoint}"

    @property
    def older(self) -> str:
        """Where parts of an earlier harvest lie, without the rows that a merge replaces."""
        return f"{self.folder}/older"

    @property
    def name(self) -> str:
        """The file of this state."""
        return f"{self.folder}/state.json"

    def parts(self) -> list[str]:
        """Name the written parts, in order."""
        return [name for name in self.storage.names(self.folder) if name.endswith(".parquet")]

    def load(self) -> bool:
        """Read the state that is there, of whichever question; False if there is none."""
        if isinstance(self.storage, Folder):
            self.storage.sweep(self.folder)
        stored = self.storage.get(self.name)
        try:
            state = json.loads(stored) if stored else {}
        except ValueError:
            state = {}
        if state.get("version") != VERSION:
            return False
        self.signature, self.count, self.size = state["signature"], state["count"], state["size"]
        self.done = jobs_of(state["done"])
        self.vanished = [int(id) for id in state["vanished"]]
        self.publishing, self.finished = state["publishing"], state["finished"]
        return True

    def save(self) -> None:
        """Write the state."""
        state = {
            "version": VERSION,
            "signature": self.signature,
            "count": self.count,
            "size": self.size,
            "done": [(job.kind, str(job.low), str(job.high)) for job in sorted(self.done)],
            "vanished": [str(id) for id in self.vanished],
            "publishing": self.publishing,
            "finished": self.finished,
        }
        self.storage.put(self.name, json.dumps(state).encode(), sure=False)

    def finish(self, report: dict[str, Any]) -> None:
        """Remember that all is done, and forget how."""
        self.done, self.vanished, self.publishing, self.finished = set(), [], None, report
        self.save()
        self._delete_parts()

    def clear(self) -> None:
        """Forget all of it; the state first, so that a kill in between leaves nothing that is believed."""
        self.storage.delete(self.name)
        self._delete_parts()

    def _delete_parts(self) -> None:
        for name in (*self.parts(), *self.storage.names(self.older)):
            self.storage.delete(name)
