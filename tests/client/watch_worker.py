"""A consumer of `watch` that is killed: ``python watch_worker.py URL FOLDER SUBJECT (file | own)``.

With ``file`` the cursor is a file, and each processed session is a line of another file. With ``own`` the ids of the
sessions and the results of the work are written in one SQLite transaction.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from pathlib import Path

from one_async import ONE


def main(url: str, folder: Path, subject: str, kind: str) -> None:
    """Process sessions until killed."""
    with (
        ONE(base_url=url, username="demo", password="demo", cache_dir=folder / "cache", mode="remote") as one,
        sqlite3.connect(folder / "work.sqlite") as database,
        (folder / "work.txt").open("a") as lines,
    ):
        database.execute("CREATE TABLE IF NOT EXISTS work (eid TEXT, number INTEGER)")
        database.commit()
        done = [eid for (eid,) in database.execute("SELECT eid FROM work")]
        one.alyx.authenticate()
        print("ready", flush=True)
        for session in one.watch(
            every=0.05, subject=subject, cursor=folder / "done.txt" if kind == "file" else done
        ):
            time.sleep(0.01)
            if kind == "file":
                lines.write(f"{session['id']}\n")
                lines.flush()
            else:
                database.execute("INSERT INTO work VALUES (?, ?)", (session["id"], session["number"]))
            time.sleep(0.01)  # after a kill here, the work is not recorded
            database.commit()
            time.sleep(0.01)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4])
