"""Count the files of the library in which a call runs, which a reader of its code has to open.

``python tests/profiling/files_passed.py [--face async|blocking] [--list]`` prints a line for each call: the number of
distinct files of ``src/one_async`` with a function that ran during the call, in any thread; the emulator's files are not
counted. Each call is made once before, so that imports, logins and schemas do not count; ``--list`` prints the files.
OpenTelemetry counts as not installed, as in the base install.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import anyio

import one_async
from one_async import ONE, AsyncONE
from one_async.emulator import Emulator

sys.modules["opentelemetry"] = None  # type: ignore[assignment]
SOURCE = str(Path(one_async.__file__).parent) + "/"
#: The goal of each call: at most this many files.
GOALS = {
    "remote search, warm": 16,
    "local search": 9,
    "load_object, fetched": 32,
    "load_object, on disk": 20,
    "REST list from the cache": 12,
}


class Recorder:
    """Record the files whose functions are entered while it is on; threads that began before it are not profiled."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.on = False
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)

    def _profile(self, frame: FrameType, event: str, argument: object) -> None:
        if not self.on or event != "call":
            return
        code = frame.f_code
        if not code.co_filename.startswith(SOURCE) or code.co_name == "<module>":
            return
        name = code.co_filename.removeprefix(SOURCE)
        if not name.startswith("emulator/"):
            self.files.add(name)

    @contextmanager
    def recording(self) -> Iterator[set[str]]:
        """Yield the set of files in which functions run inside the context."""
        self.files = set()
        self.on = True
        try:
            yield self.files
        finally:
            self.on = False


#: The calls, with a client and the id of a session.
CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "remote search, warm": lambda one, eid: one.search(lab="cortexlab", query_type="remote"),
    "local search": lambda one, eid: one.search(lab="cortexlab", query_type="local"),
    "load_object, fetched": lambda one, eid: one.load_object(eid, "trials"),
    "load_object, on disk": lambda one, eid: one.load_object(eid, "trials"),
    "REST list from the cache": lambda one, eid: one.alyx.rest("subjects", "list"),
}


def prepare(name: str, folder: Path) -> None:
    """Remove the data files before a call that downloads them."""
    if name == "load_object, fetched":
        for path in folder.rglob("*trials*"):
            path.unlink()


async def awaited(recorder: Recorder, folder: Path, login: dict[str, str]) -> dict[str, set[str]]:
    """Return the files of the calls of `AsyncONE`."""
    found: dict[str, set[str]] = {}
    async with AsyncONE(**login, cache_dir=folder, mode="auto") as one:
        (eid, *_) = await one.search(lab="cortexlab", datasets="_ibl_trials.table.pqt")
        for name, call in CALLS.items():
            await call(one, eid)
            prepare(name, folder)
            with recorder.recording() as files:
                await call(one, eid)
            found[name] = files
    return found


def blocking(recorder: Recorder, folder: Path, login: dict[str, str]) -> dict[str, set[str]]:
    """Return the files of the calls of `ONE`."""
    found: dict[str, set[str]] = {}
    with ONE(**login, cache_dir=folder, mode="auto") as one:
        (eid, *_) = one.search(lab="cortexlab", datasets="_ibl_trials.table.pqt")
        for name, call in CALLS.items():
            call(one, eid)
            prepare(name, folder)
            with recorder.recording() as files:
                call(one, eid)
            found[name] = files
    return found


def measure(face: str) -> dict[str, set[str]]:
    """Return the files in which each call runs."""
    recorder = Recorder()
    with Emulator() as alyx, tempfile.TemporaryDirectory() as folder:
        login = {"base_url": alyx.url, "username": "demo", "password": "demo"}
        if face == "blocking":
            return blocking(recorder, Path(folder), login)
        return anyio.run(awaited, recorder, Path(folder), login)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--face", choices=("async", "blocking"), default="async")
    parser.add_argument("--list", action="store_true", help="name the files")
    given = parser.parse_args()
    print(f"{'call':26} files  goal")
    for name, files in measure(given.face).items():
        print(f"{name:26} {len(files):5}  {GOALS[name]:4}")
        if given.list:
            print("".join(f"    {file}\n" for file in sorted(files)), end="")


if __name__ == "__main__":
    main()
