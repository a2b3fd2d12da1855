"""Functions of a session that worker processes import."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any


def describe(one: Any, eid: str) -> dict[str, Any]:
    """Return details that a loop over sessions would query."""
    row = one.get_details(eid)
    return {"subject": row["subject"], "date": str(row["date"]), "number": row["number"]}


def worker_and_client(one: Any, eid: str) -> tuple[int, int]:
    """Return the ids of the worker process and of its client."""
    return os.getpid(), id(one)


def odd_ones_fail(one: Any, eid: str, failing: list[str]) -> str:
    if eid in failing:
        raise ValueError(f"no good: {eid}")
    return eid[:8]


def die_once(one: Any, eid: str, marker: str, victim: str) -> str:
    """Kill this worker the first time that it gets the victim."""
    time.sleep(0.01)
    if eid == victim:
        try:
            Path(marker).touch(exist_ok=False)
        except FileExistsError:
            pass
        else:
            os.kill(os.getpid(), signal.SIGKILL)
    return eid[:8]


def die_always(one: Any, eid: str, victim: str) -> str:
    """Kill this worker each time that it gets the victim, as the system does when memory runs out."""
    time.sleep(0.01)
    if eid == victim:
        os.kill(os.getpid(), signal.SIGKILL)
    return eid[:8]


def leave(one: Any, eid: str) -> None:
    raise SystemExit(3)


def locked(one: Any, eid: str, victim: str) -> Any:
    """Return an object that cannot be pickled for the victim."""
    return threading.Lock() if eid == victim else eid[:8]


def ask(one: Any, eid: str) -> int:
    """Make a REST query, which the cache answers the second time."""
    return len(one.alyx.rest("sessions", "read", id=eid)["data_dataset_session_related"])


def what_a_pickle_says(one: Any, eid: str) -> str:
    return repr(one.settings)
