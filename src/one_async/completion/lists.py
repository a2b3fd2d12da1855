"""Names that only the database has, such as users: its lists of them, each read once, in the background."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from weakref import WeakKeyDictionary

from one_async._warnings import GATHERING, Gathering
from one_async.alyx.client import AsyncAlyxClient
from one_async.errors import OneError
from one_async.sync import ONE

__all__ = ["LISTS", "names_in_list"]

_USERS, _LABS, _PROJECTS, _TAGS = (
    ("users", "username"),
    ("labs", "name"),
    ("projects", "name"),
    ("tags", "name"),
)
_TYPES = ("dataset-types", "name")
#: The arguments that name a member of a list, with the endpoint of the list and the field with the names.
LISTS: Mapping[str, tuple[str, str]] = {
    "laboratory": _LABS, "lab": _LABS, "labs": _LABS, "subject": ("subjects", "nickname"),
    "projects": _PROJECTS, "project": _PROJECTS, "users": _USERS, "user": _USERS, "created_by": _USERS,
    "location": ("locations", "name"), "procedures": ("procedures", "name"), "tag": _TAGS,
    "dataset_types": _TYPES, "dataset_type": _TYPES, "repository": ("data-repository", "name"),
    "water_type": ("water-type", "name"),
    "atlas_acronym": ("brain-regions", "acronym"), "atlas_name": ("brain-regions", "name"),
}  # fmt: skip
#: Seconds that a key press waits for a list, and after which a list that could not be read is asked for again.
_PATIENCE, _PAUSE = 0.25, 60.0


class _Reading:
    """A list that is being read, or has been read."""

    def __init__(self, one: ONE, endpoint: str, field: str) -> None:
        self.names: list[str] = []
        self.is_over = threading.Event()
        self.failed: float | None = None
        threading.Thread(target=self._read, args=(one, endpoint, field), daemon=True).start()

    @property
    def is_usable(self) -> bool:
        """Whether this reading needs not be repeated."""
        return self.failed is None or time.monotonic() - self.failed < _PAUSE

    def _read(self, one: ONE, endpoint: str, field: str) -> None:
        try:
            GATHERING.set(Gathering())  # of this thread: its warnings are not shown
            rows = one.alyx.rest(endpoint, "list")
            self.names = sorted({name for row in rows if isinstance(name := row.get(field), str) and name})
        except (OneError, AttributeError):  # AttributeError: a row is no record
            self.failed = time.monotonic()
        finally:
            self.is_over.set()


_READINGS: WeakKeyDictionary[AsyncAlyxClient, dict[str, _Reading]] = WeakKeyDictionary()


def names_in_list(one: object, alyx: AsyncAlyxClient | None, argument: str) -> list[str]:
    """Return the names that an argument can have; none until they are known.

    The list is read by a blocking client that has made a request before. It is kept in the REST cache like others.
    """
    if argument not in LISTS or alyx is None or alyx._schema is None:
        return []
    endpoint, field = LISTS[argument]
    readings = _READINGS.setdefault(alyx, {})
    found = readings.get(argument)
    if found is None or not found.is_usable:
        if not isinstance(one, ONE) or endpoint not in alyx._schema[0].lists:
            return []
        found = readings[argument] = _Reading(one, endpoint, field)
    found.is_over.wait(_PATIENCE)
    return found.names
