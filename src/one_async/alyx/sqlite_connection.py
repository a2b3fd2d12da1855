"""Create, open, rename and shrink the SQLite database of stored responses. Blocking."""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
from contextlib import suppress
from pathlib import Path

VERSION = 1
#: Maximum size of SQLite's empty write-ahead log.
_JOURNAL = 4 * 1024**2


def open_file(path: Path) -> sqlite3.Connection:
    """Open the file, and create it, readable by its owner alone, if it does not exist.

    Raises OSError if it cannot be used, sqlite3.OperationalError if it cannot be used for now, and other
    sqlite3.DatabaseErrors if it is damaged or of another version.
    """
    _create_private(path)
    try:
        return _prepare(sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False))
    except sqlite3.OperationalError as error:
        if any(word in str(error) for word in ("unable to open", "readonly", "read-only", "disk I/O")):
            raise OSError(str(error)) from error
        raise


def open_in_memory() -> sqlite3.Connection:
    """Open a new database in memory."""
    return _prepare(sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False))


def set_aside(path: Path) -> None:
    """Rename a damaged file to ``.damaged``."""
    with suppress(OSError):
        path.replace(path.with_suffix(".damaged"))
    for end in ("-wal", "-shm"):
        Path(f"{path}{end}").unlink(missing_ok=True)


def used_bytes(connection: sqlite3.Connection) -> int:
    """Return the number of bytes of the file that are in use."""
    (size,) = connection.execute(
        "SELECT (page_count - freelist_count) * page_size"
        " FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()"
    ).fetchone()
    return int(size)


def vacuum(connection: sqlite3.Connection, full: bool = True) -> None:
    """Return free space to the disk, outside of a transaction. ``full`` rewrites the whole file."""
    with suppress(sqlite3.OperationalError):  # another process is reading
        if full:
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # for files that were created without it
            connection.execute("VACUUM")
        else:
            connection.executescript("PRAGMA incremental_vacuum")  # `execute` would stop after one page
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _create_private(path: Path) -> None:
    """Create the file with mode 0600. Raises OSError if it is not writable, not a file, or another user's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"{path} is not a file")
        if sys.platform != "win32":
            if found.st_uid != os.geteuid():
                raise PermissionError(f"{path} belongs to another user")
            os.fchmod(handle, 0o600)
    finally:
        os.close(handle)


def _prepare(connection: sqlite3.Connection) -> sqlite3.Connection:
    try:
        connection.execute(
            "PRAGMA auto_vacuum=INCREMENTAL"
        )  # only effective in a new file, as the first statement
        with suppress(sqlite3.OperationalError):  # another process changes it, or the file system cannot
            connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA journal_size_limit={_JOURNAL}")
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if version != VERSION and (version or tables):
            raise sqlite3.DatabaseError(f"version {version}, not {VERSION}")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS answers (id BLOB PRIMARY KEY, endpoint TEXT NOT NULL, stored REAL NOT NULL,"
            " head BLOB NOT NULL, body BLOB NOT NULL, crc INTEGER NOT NULL)"
        )
        connection.execute("CREATE INDEX IF NOT EXISTS by_endpoint ON answers (endpoint)")
        connection.execute("CREATE INDEX IF NOT EXISTS by_stored ON answers (stored)")
        connection.execute(f"PRAGMA user_version={VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection
