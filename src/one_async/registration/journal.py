"""The journal of a registration: one JSON file in the session folder, which lets a killed run go on."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from one_async.files.atomic import sweep_temporary, write_whole
from one_async.registration.local import LocalFile, is_settled

__all__ = ["NAME", "Journal"]

NAME = ".one_async_registration.json"
#: Written into each journal; a journal of another version is ignored.
VERSION = 1


@dataclass
class Journal:
    """The completed steps of a session's registration: hashes of files, and files moved to new revisions.

    The journal saves work. The database decides what is registered, so an unreadable journal is treated as an absent
    one, and a folder that cannot be written to has none.
    """

    session: Path
    hashes: dict[str, list[Any]] = field(default_factory=dict)
    """Hash, size and time of change of each file, by its path below the session."""
    moved: dict[str, str] = field(default_factory=dict)
    """New paths of moved files by their old ones."""

    @property
    def path(self) -> Path:
        """The file of this journal."""
        return self.session / NAME

    @classmethod
    def load(cls, session: Path) -> Journal:
        """Read the journal in a session folder; return an empty one if there is none that can be read."""
        journal = cls(session)
        try:
            stored = json.loads(journal.path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return journal
        if not isinstance(stored, dict) or stored.get("version") != VERSION:
            return journal
        hashes, moved = stored.get("hashes"), stored.get("moved")
        if isinstance(hashes, dict) and isinstance(moved, dict) and _are_valid(hashes, moved):
            journal.hashes, journal.moved = hashes, moved
        return journal

    def known_hash(self, file: LocalFile) -> str | None:
        """Return the hash of a file that has not changed since it was computed."""
        with suppress(OSError):
            stat = file.path.stat()
            found = self.hashes.get(file.rel_path)
            if found and found[1:] == [stat.st_size, stat.st_mtime_ns]:
                return str(found[0])
        return None

    def note_hash(self, file: LocalFile) -> None:
        """Record the hash of a file, unless it changed just now."""
        with suppress(OSError):
            stat = file.path.stat()
            if is_settled(stat.st_mtime_ns):
                self.hashes[file.rel_path] = [file.hash, stat.st_size, stat.st_mtime_ns]

    def save(self) -> bool:
        """Write the journal whole: readers see the old content or the new one, also after a kill.

        Return False if the folder cannot be written to.
        """
        content = json.dumps({"version": VERSION, "hashes": self.hashes, "moved": self.moved}, sort_keys=True)
        try:
            write_whole(self.path, lambda stream: stream.write(content.encode()))
        except OSError:
            return False
        return True

    def remove(self) -> None:
        """Delete the journal, and temporary files that a killed run left."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
        sweep_temporary(self.session)


def _are_valid(hashes: dict[str, Any], moved: dict[str, Any]) -> bool:
    return all(
        isinstance(new, str) and not Path(new).is_absolute() and ".." not in Path(new).parts
        for new in moved.values()
    ) and all(isinstance(one, list) and len(one) == 3 and isinstance(one[0], str) for one in hashes.values())
