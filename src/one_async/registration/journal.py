"""The journal of a registration: a JSON file in the session folder from which a killed run resumes."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from one_async.files.atomic import sweep_temporary, write_whole
from one_async.registration.local import LocalFile, is_mtime_reliable

__all__ = ["NAME", "Journal"]

NAME = ".one_async_registration.json"
#: Written into each journal; a journal of another version is ignored.
VERSION = 1


@dataclass
class Journal:
    """The completed steps of a session's registration: hashes of files, and files moved to new revisions.

    The journal only saves work: what is registered is read from the database. An unreadable journal is therefore treated
    as absent, and a folder that is not writable has none.
    """

    session: Path
    hashes: dict[str, list[Any]] = field(default_factory=dict)
    """Hash, size and mtime in ns of each file, by its path below the session folder."""
    moved: dict[str, str] = field(default_factory=dict)
    """New paths of moved files by their old ones."""

    @property
    def path(self) -> Path:
        """The journal's file."""
        return self.session / NAME

    @classmethod
    def load(cls, session: Path) -> Journal:
        """Read the journal in a session folder; return an empty one if there is no readable journal."""
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
        """Return the recorded hash of a file, or None if the file has changed since."""
        with suppress(OSError):
            stat = file.path.stat()
            found = self.hashes.get(file.rel_path)
            if found and found[1:] == [stat.st_size, stat.st_mtime_ns]:
                return str(found[0])
        return None

    def record_hash(self, file: LocalFile) -> None:
        """Record the hash of a file, unless its mtime is too recent to detect a later change."""
        with suppress(OSError):
            stat = file.path.stat()
            if is_mtime_reliable(stat.st_mtime_ns):
                self.hashes[file.rel_path] = [file.hash, stat.st_size, stat.st_mtime_ns]

    def save(self) -> bool:
        """Write the journal atomically: readers see the old content or the new one, even after a kill.

        Return False if the folder is not writable.
        """
        content = json.dumps({"version": VERSION, "hashes": self.hashes, "moved": self.moved}, sort_keys=True)
        try:
            write_whole(self.path, lambda stream: stream.write(content.encode()))
        except OSError:
            return False
        return True

    def remove(self) -> None:
        """Delete the journal, and temporary files left by a killed run."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
        sweep_temporary(self.session)


def _are_valid(hashes: dict[str, Any], moved: dict[str, Any]) -> bool:
    return all(
        isinstance(new, str) and not Path(new).is_absolute() and ".." not in Path(new).parts
        for new in moved.values()
    ) and all(isinstance(one, list) and len(one) == 3 and isinstance(one[0], str) for one in hashes.values())
