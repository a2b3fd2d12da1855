"""Search tables while newer ones from a server replace them: ``python tests/benchmarks/bench_refresh.py [--json FILE]``.

An emulator in a separate process publishes two sets of tables with different sessions, one after the other. A client in
auto mode answers 50 searches a second, first with nothing else to do, then during a refresh and past the swap. Each answer must
be exactly that of the old tables or of the new ones, and no answer of the old tables may follow one of the new.

A task that sleeps for a few milliseconds at a time measures how long the event loop is blocked: ``loop`` by the clock, which
other programs on the machine lengthen, and ``loop_own`` by this process's own CPU time during the pause.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

HERE = Path(__file__).parent
OLD, NEW = "2025-01-15 06:00", "2025-02-01 06:00"
BEAT = 0.005
#: The searches, made in turn. The labs and names are those of `generate`.
SEARCHES: list[dict[str, Any]] = [
    {"laboratory": "cortexlab"},
    {"laboratory": "danlab", "number": 1, "task_protocol": "ephys"},
    {"subject": "CORT_0002"},
    {"date_range": ["2020-01-01", "2020-03-01"]},
    {"laboratory": "wittenlab", "datasets": ["spikes.times.npy", "_ibl_trials.table.pqt"]},
    {"projects": "practice", "date_range": ["2021-06-01", None], "dataset_qc_lte": "PASS"},
    {"subject": "WITT_0008", "datasets": "spikes.times.npy"},
]


# ---- the server


def publish(folder: Path, archive: Path, created: str) -> None:
    """Write an archive of the tables in a folder, as Alyx publishes it."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
        for path in sorted(folder.glob("*.pqt")):
            made.write(path, path.name)
        info = {"date_created": created, "origin": "generated", "min_api_version": "2.10", "tables": {}}
        made.writestr("cache_info.json", json.dumps(info))


def serve(archives: list[str]) -> None:
    """Publish the first archive, and the next one for each line of standard input; end with the input."""
    from one_async.emulator import Emulator

    with Emulator() as emulator:
        for archive in archives:
            emulator.touch_tables(cache_zip=Path(archive).read_bytes())
            print(emulator.url, flush=True)
            if not sys.stdin.readline():
                return
        sys.stdin.read()


@contextmanager
def server(*archives: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run a server in a separate process; yield its address and the process, whose input requests the next tables."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve", *map(str, archives)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def next_tables(process: subprocess.Popen[str]) -> None:
    """Signal the server to publish its next tables."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    process.stdout.readline()


# ---- the client


@dataclass
class Phase:
    """The searches and pauses of a period without or with a refresh."""

    seconds: list[float] = field(default_factory=list)
    answers: dict[int, bytes] = field(default_factory=dict)
    """The answers by number of the search; compared when the measurement is over."""
    pauses: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        """Return times in ms."""
        ordered = sorted(self.seconds)
        at = [ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1e3 for share in (0.5, 0.99, 1)]
        figures = {"searches": len(ordered), "median": at[0], "p99": at[1], "longest": at[2]}
        for name, pauses in (("loop", sorted(self.pauses)), ("loop_own", sorted(self.own))):
            figures |= {
                f"{name}_p99": pauses[int(len(pauses) * 0.99)] * 1e3,
                f"{name}_longest": pauses[-1] * 1e3,
            }
        return figures


async def _heartbeat(phase: Phase, task_status: Any = anyio.TASK_STATUS_IGNORED) -> None:
    task_status.started()
    while True:
        start, used = time.perf_counter(), time.process_time()
        await anyio.sleep(BEAT)
        phase.pauses.append(max(time.perf_counter() - start - BEAT, 0.0))
        phase.own.append(min(phase.pauses[-1], time.process_time() - used))


class Load:
    """Searches at a fixed rate."""

    def __init__(self, one: Any, rate: float) -> None:
        self.one, self.rate = one, rate

    async def ask(self, phase: Phase, number: int) -> None:
        """Make one search and keep its answer and its time."""
        start = time.perf_counter()
        found = await self.one.search(**SEARCHES[number % len(SEARCHES)])
        phase.seconds.append(time.perf_counter() - start)
        phase.answers[number] = packed(found)

    async def run(self, phase: Phase, until: anyio.Event) -> None:
        """Start searches at the rate, whether or not the last one has ended, until the event is set."""
        async with anyio.create_task_group() as group:
            await group.start(_heartbeat, phase)
            async with anyio.create_task_group() as searches:
                begin = time.perf_counter()
                for number in itertools.count():
                    await anyio.sleep(max(begin + number / self.rate - time.perf_counter(), 0))
                    if until.is_set():
                        break
                    searches.start_soon(self.ask, phase, number)
            group.cancel_scope.cancel()


def versions(phase: Phase, expected: dict[str, list[bytes]]) -> list[str]:
    """Return which tables each answer is from, in the order in which the searches began; raise if an answer is from neither.

    A search that began later may end earlier. Answers that are the same in both tables are left out.
    """
    found = []
    for number, answer in sorted(phase.answers.items()):
        index = number % len(SEARCHES)
        fits = [version for version, theirs in expected.items() if theirs[index] == answer]
        if not fits:
            raise AssertionError(
                f"{SEARCHES[index]} found {len(answer) // 16} sessions: neither the old tables nor the new"
            )
        found += fits if len(fits) == 1 else []
    return found


def answers(folder: Path) -> list[bytes]:
    """Return the answers of the tables of a folder, without a client."""
    from one_async.tables import query
    from one_async.tables.catalogue import Catalogue

    tables = Catalogue.open(folder, convert=False)
    return [packed(query.search(tables, **terms)) for terms in SEARCHES]


def packed(eids: list[Any]) -> bytes:
    """Return ids as one byte string: thousands of objects would lengthen Python's garbage collection."""
    return b"".join(eid.bytes for eid in eids)


async def measure(
    url: str,
    process: subprocess.Popen[str],
    cache_dir: Path,
    expected: dict[str, list[bytes]],
    idle: float,
    rate: float,
) -> dict[str, Any]:
    """Run the client: first on the old tables alone, then through a refresh and a little longer."""
    from one_async import AsyncONE

    quiet, busy = Phase(), Phase()
    async with AsyncONE(
        base_url=url, username="demo", password="demo", cache_dir=cache_dir, mode="auto"
    ) as one:
        start = time.perf_counter()
        await one.refresh_cache("refresh")
        first = time.perf_counter() - start
        load = Load(one, rate)
        for number in range(3 * len(SEARCHES)):
            await load.ask(Phase(), number)

        async def stop_after(seconds: float, stop: anyio.Event) -> None:
            await anyio.sleep(seconds)
            stop.set()

        async with anyio.create_task_group() as group:
            stop = anyio.Event()
            group.start_soon(stop_after, idle, stop)
            await load.run(quiet, stop)
        next_tables(process)
        took = 0.0

        async def refresh(stop: anyio.Event) -> None:
            nonlocal took
            start = time.perf_counter()
            await one.refresh_cache("refresh")
            took = time.perf_counter() - start
            await anyio.sleep(idle / 3)
            stop.set()

        async with anyio.create_task_group() as group:
            stop = anyio.Event()
            group.start_soon(refresh, stop)
            await load.run(busy, stop)
    assert set(versions(quiet, expected)) == {"old"}
    answered = versions(busy, expected)
    changed = [new for old, new in itertools.pairwise(answered) if old != new]
    return {
        "idle": quiet.figures(),
        "refresh": busy.figures(),
        "p99_ratio": busy.figures()["p99"] / quiet.figures()["p99"],
        "first_load_s": first,
        "refresh_s": took,
        "old_answers": answered.count("old"),
        "new_answers": answered.count("new"),
        "changes": changed,
    }


def make(scratch: Path, *, sessions: int, datasets: int) -> list[Path]:
    """Make the old and the new tables and their archives unless they exist; return the archives.

    Tables are made in separate processes, since pandas would leave thousands of objects for the garbage collector to traverse.
    """
    archives = []
    for seed, (version, created) in enumerate((("old", OLD), ("new", NEW)), 1):
        folder, archive = scratch / version, scratch / f"{version}.zip"
        if not archive.exists():
            if not (folder / "datasets.pqt").exists():
                sizes = ["--sessions", str(sessions), "--datasets", str(datasets), "--seed", str(seed)]
                subprocess.run([sys.executable, str(HERE / "generate.py"), str(folder), *sizes], check=True)
            publish(folder, archive, created)
        archives.append(archive)
    return archives


def run(
    scratch: Path,
    *,
    sessions: int,
    datasets: int,
    idle: float = 10,
    rate: float = 50,
    backend: str = "asyncio",
) -> dict[str, Any]:
    """Make the tables, start the server, and measure."""
    archives = make(scratch, sessions=sessions, datasets=datasets)
    expected = {version: answers(scratch / version) for version in ("old", "new")}
    with server(*archives) as (url, process), tempfile.TemporaryDirectory(dir=scratch) as cache:
        args = (url, process, Path(cache), expected, idle, rate)
        found = anyio.run(measure, *args, backend=backend)
    return {"sessions": sessions, "datasets": datasets, "rate": rate, **found}


def write(path: Path, found: dict[str, Any]) -> None:
    """Add the rows to a file of results."""
    from results import Row, save

    idle, busy, alone = found["idle"], found["refresh"], "without a refresh"
    what = f"{found['rate']:g} searches a second during a refresh"
    rows = [Row(f"{what}, {at}", busy[at], idle[at], alone, "ms") for at in ("median", "p99")]
    pause = "longest pause of the event loop during it"
    rows += [
        Row(pause, busy["loop_longest"], idle["loop_longest"], alone, "ms"),
        Row("the first download and opening of the tables", found["first_load_s"]),
        Row("the refresh", found["refresh_s"]),
    ]
    save(path, __file__, rows, f"tables of {found['sessions']:,} sessions and {found['datasets']:,} datasets")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--datasets", type=int, default=3_400_000)
    parser.add_argument("--idle", type=float, default=10, help="seconds of searches before the refresh")
    parser.add_argument("--rate", type=float, default=50, help="searches a second")
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    parser.add_argument("--folder", type=Path, help="keep the tables there and use what is there")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
        return
    with tempfile.TemporaryDirectory() as scratch:
        options: dict[str, Any] = {
            "sessions": given.sessions,
            "datasets": given.datasets,
            "idle": given.idle,
            "rate": given.rate,
            "backend": given.backend,
        }
        found = run(given.folder or Path(scratch), **options)
    print(json.dumps(found, indent=1))
    if given.json:
        write(given.json, found)


if __name__ == "__main__":
    main()
