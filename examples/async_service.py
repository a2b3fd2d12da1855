"""A small ingest service: asks for sessions, loads the trials of new ones, many at once, and writes them as Parquet.

    python examples/async_service.py OUTPUT_FOLDER [--every SECONDS] [--once]

SIGTERM or Ctrl-C ends it cleanly: what is under way is left, no half-written file stays, connections are closed.
"""

import argparse
import signal
from pathlib import Path

import anyio
import polars as pl

from one_async import AsyncONE, OneError


async def ingest(one: AsyncONE, folder: anyio.Path) -> int:
    """Write the trials of every session that is not in the folder yet; gives how many came."""
    eids = await one.search(datasets="_ibl_trials.table.pqt", query_type="remote")
    done = {path.stem async for path in folder.glob("*.parquet")}
    count = 0
    async for eid, trials in one.iter_objects([eid for eid in eids if str(eid) not in done], "trials"):
        await anyio.to_thread.run_sync(write, trials.to_frame(), Path(folder) / f"{eid}.parquet")
        count += 1
    return count


def write(frame: pl.DataFrame, target: Path) -> None:
    """Write a file whole or not at all."""
    temporary = target.with_suffix(".tmp")
    try:
        frame.write_parquet(temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


async def stop_on_signal(scope: anyio.CancelScope) -> None:
    """Cancel everything when the process is asked to end."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            print("stopping", flush=True)
            scope.cancel()
            return


async def main(output: Path, every: float, once: bool) -> None:
    """Ingest again and again until a signal comes."""
    folder = anyio.Path(output)
    await folder.mkdir(parents=True, exist_ok=True)
    async with anyio.create_task_group() as group:
        group.start_soon(stop_on_signal, group.cancel_scope)
        async with AsyncONE(mode="remote") as one:
            while True:
                try:
                    print(f"{await ingest(one, folder)} sessions ingested", flush=True)
                except OneError as error:  # the database is away: go on next time
                    print(f"{type(error).__name__}: {error}", flush=True)
                if once:
                    break
                one.alyx.default_expiry = every
                await anyio.sleep(every)
        group.cancel_scope.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--every", type=float, default=60.0)
    parser.add_argument("--once", action="store_true")
    given = parser.parse_args()
    anyio.run(main, given.output, given.every, given.once)
