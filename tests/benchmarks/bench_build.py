"""Build the tables of a folder repeatedly: ``python bench_build.py [--files 200000] [--json FILE]``.

Prints the seconds of the first build, of a second one that looks at every file, and of one that looks at folders only, with
and without hashes, and the peak of memory. Each is followed by its ratio to a bare walk of the folder in the same run. The walk
lists each folder and reads the size and times of each file. GNU ``find`` does the same in C.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from results import Row, save

from one_async.tables.build import make_parquet_db
from one_async.tables.build_state import SETTLED

FOLDERS = ("alf", "alf/probe00/pykilosort", "raw_ephys_data/probe00", "raw_video_data")
IN_FOLDER = 25
LONG_AGO = 10**9


def make(root: Path, files: int) -> None:
    """Write sessions of a hundred small files each, in folders whose modification times are old."""
    for at in range(files // (len(FOLDERS) * IN_FOLDER)):
        session = root / f"lab/Subjects/S{at // 20:04d}/2024-{1 + at % 12:02d}-01/{1 + at % 20:03d}"
        for number, name in enumerate(FOLDERS):
            (session / name).mkdir(parents=True)
            for attribute in range(IN_FOLDER):
                (session / name / f"obj{number}.attr{attribute}.npy").write_bytes(b"x" * (attribute + 1))
        for folder in (session, *(path for path in session.rglob("*") if path.is_dir())):
            os.utime(folder, (LONG_AGO, LONG_AGO))


def walk(root: Path) -> float:
    """Return the seconds of a bare walk, the best of three."""
    best = float("inf")
    for _ in range(3):
        begun = time.perf_counter()
        folders = [str(root)]
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    else:
                        entry.stat()
        best = min(best, time.perf_counter() - begun)
    return best


def find(root: Path) -> float | None:
    """Return the seconds that GNU find takes to print each file with its size and times, the best of three."""
    command = ["find", str(root), "-printf", "%p %s %T@ %C@\\n"]
    best = float("inf")
    for _ in range(3):
        begun = time.perf_counter()
        try:
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        best = min(best, time.perf_counter() - begun)
    return best


def main() -> None:
    """Measure in a new folder and print a line for each build."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    seconds: dict[tuple[bool, str], float] = {}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        make(root, given.files)
        time.sleep(SETTLED / 1e9)  # the hashes of files that are younger are computed again
        bare, printed = walk(root), find(root)
        print(f"bare walk            {bare:7.2f} s")
        if printed is not None:
            print(f"find -printf         {printed:7.2f} s")
        for hashed in (False, True):
            for path in (*root.glob("*.pqt"), root / ".one_async_build"):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            for kind, quick in (("first", False), ("every file", False), ("folders only", True)):
                begun = time.perf_counter()
                report = make_parquet_db(root, hash_files=hashed, quick=quick)
                taken = seconds[hashed, kind] = time.perf_counter() - begun
                print(f"hashes {hashed!s:5}  {kind:12}  {taken:7.2f} s  {taken / bare:5.1f} walks  {report}")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"at most {memory:,.0f} MB")
    if given.json:
        rows = [Row(f"bare walk of {given.files:,} files", bare)]
        for hashed, of in ((False, ""), (True, ", with hashes")):
            first = seconds[hashed, "first"]
            rows.append(Row(f"first build{of}", first, bare, "bare walk"))
            rows.append(Row(f"second build{of}", seconds[hashed, "every file"], first, "first build"))
            if printed is not None:
                rows.append(
                    Row(f"second build{of}", seconds[hashed, "every file"], printed, "`find -printf`")
                )
            rows.append(
                Row(f"second build, `quick`{of}", seconds[hashed, "folders only"], first, "first build")
            )
        rows.append(Row("memory at most", memory, unit="MB"))
        save(given.json, __file__, rows)


if __name__ == "__main__":
    main()
