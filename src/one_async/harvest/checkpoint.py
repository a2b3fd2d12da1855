"""What a harvest remembers of an endpoint between two runs: which questions are answered and lie on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from .places import Folder, Place
from .plan import Job, jobs_of

WORK = ".harvest"


@dataclass
class Checkpoint:
    """The state of one endpoint; saved after each written part, whole or not at all."""

    place: Place
    endpoint: str
    signature: str
    count: int | None = None
    size: int = 0
    done: set[Job] = field(default_factory=set)
    vanished: list[int] = field(default_factory=list)
    publishing: dict[str, Any] | None = None
    finished: dict[str, Any] | None = None  # the report, until the other endpoints are finished, too
    resumed: bool = False

    @property
    def folder(self) -> str:
        """Where parts lie until the endpoint is finished."""
        return f"{WORK}/{self.endpoint}"

    @property
    def name(self) -> str:
        """The file of this state."""
        return f"{self.folder}/state.json"

    def parts(self) -> list[str]:
        """Name the written parts, in order."""
        return [name for name in self.place.names(self.folder) if name.endswith(".parquet")]

    def open(self, resume: bool) -> None:
        """Go on where an earlier run of the same question stopped, or begin afresh."""
        if isinstance(self.place, Folder):
            self.place.sweep(self.folder)
        stored = self.place.get(self.name) if resume else None
        try:
            state = json.loads(stored) if stored else {}
        except ValueError:
            state = {}
        if state.get("signature") == self.signature:
            self.count, self.size = state["count"], state["size"]
            self.done = jobs_of(state["done"])
            self.vanished = [int(id) for id in state["vanished"]]
            self.publishing, self.finished = state["publishing"], state["finished"]
            self.resumed = True
            return
        self.clear()

    def save(self) -> None:
        """Write the state."""
        state = {
            "signature": self.signature,
            "count": self.count,
            "size": self.size,
            "done": [(job.kind, str(job.low), str(job.high)) for job in sorted(self.done)],
            "vanished": [str(id) for id in self.vanished],
            "publishing": self.publishing,
            "finished": self.finished,
        }
        self.place.put(self.name, json.dumps(state).encode(), sure=False)

    def finish(self, report: dict[str, Any]) -> None:
        """Remember that all is done, and forget how."""
        self.done, self.vanished, self.publishing, self.finished = set(), [], None, report
        self.save()
        for name in self.parts():
            self.place.delete(name)

    def clear(self) -> None:
        """Forget all of it; the state last, so that a kill in between leaves nothing that is believed."""
        self.place.delete(self.name)
        for name in self.parts():
            self.place.delete(name)
