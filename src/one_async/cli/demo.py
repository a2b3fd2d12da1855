"""``one-async demo``: from login to loaded data, on an emulator of its own."""

from __future__ import annotations

import tempfile
import time
from typing import TYPE_CHECKING, Any

from rich.text import Text

from one_async.cli.show import console, frame_table, plot, printable, waiting

if TYPE_CHECKING:
    import polars as pl

    from one_async.sync import ONE


def run() -> None:
    """Start an emulator on a free port; search, list and load; then search again from the REST cache."""
    from one_async.emulator import Emulator
    from one_async.sync import ONE

    with tempfile.TemporaryDirectory(prefix="one-async-demo-") as folder:
        with waiting("generating a small Alyx database with data files …"):
            emulator = Emulator()
            emulator.start()
        try:
            console.print(f"A small Alyx is running at {emulator.url}\n", highlight=False)
            options: dict[str, Any] = {
                "base_url": emulator.url,
                "username": "demo",
                "password": "demo",
                "cache_dir": folder,
            }
            with ONE(**options, mode="remote") as one:
                _tour(one)
        finally:
            emulator.stop()


def _print_code(code: str) -> None:
    console.print(Text.assemble((">>> ", "bold green"), (code, "bold")), highlight=False)


def _print_frame(frame: pl.DataFrame, title: str, rows: int = 8) -> None:
    console.print(title, style="bold", highlight=False)
    console.print(frame_table(frame, rows), "")


def _print_lines(*lines: str) -> None:
    console.print(*map(printable, lines), "", sep="\n", highlight=False)


def _tour(one: ONE) -> None:
    one.alyx.authenticate()
    one.search_terms()  # reads the schema, so that the times below measure only the search
    _print_code('eids, sessions = one.search(datasets="spikes.times.npy", details=True)')
    started = time.perf_counter()
    eids, sessions = one.search(details=True, datasets="spikes.times.npy")
    first = time.perf_counter() - started
    columns = ["lab", "subject", "date", "number", "projects"]
    _print_frame(sessions.select(columns), f"{len(eids)} sessions with spikes")

    _print_code('one.list_datasets(eids[0], collection="alf*")')
    paths = one.list_datasets(eids[0], collection="alf*")
    _print_lines(*(f"  {path}" for path in paths[:6]), f"  … {len(paths) - 6} more")

    _print_code('trials = one.load_many(eids, "trials")')
    trials = one.load_many(eids, "trials")
    shown = ["contrastLeft", "contrastRight", "choice", "feedbackType", "response_times"]
    short = trials.with_columns(trials["eid"].str.slice(0, 8)).select("eid", *shown)
    _print_frame(short, f"{trials.height:,} trials of {len(eids)} sessions", rows=5)
    _print_lines("Share of choices to the right:", *plot(_choices(trials)))

    _print_code('pids = one.search_insertions(datasets="spikes.times.npy")')
    _print_code("sorting = one.load_spike_sorting(pids)")
    pids = one.search_insertions(datasets="spikes.times.npy")
    sorting = one.load_spike_sorting(pids)
    title = (
        f"{sorting.spikes.height:,} spikes of {sorting.clusters.height} clusters in {len(pids)} insertions"
    )
    _print_frame(_rates(sorting.spikes, sorting.clusters), title, rows=6)

    _print_code('one.search(datasets="spikes.times.npy")  # the same search again')
    started = time.perf_counter()
    again = one.search(datasets="spikes.times.npy")
    second = time.perf_counter() - started
    if again != eids:
        raise SystemExit("the second answer differs from the first")
    console.print(f"  from the server {first * 1000:.1f} ms, from the REST cache {second * 1000:.1f} ms\n")


def _choices(trials: pl.DataFrame) -> list[tuple[float, float]]:
    """Return the share of choices to the right for each signed contrast (%)."""
    import polars as pl

    signed = (
        pl.col("contrastRight").fill_nan(0).fill_null(0) - pl.col("contrastLeft").fill_nan(0).fill_null(0)
    ) * 100
    shares = (
        trials.filter(pl.col("choice") != 0)
        .group_by(signed.round(2).alias("contrast"))
        .agg((pl.col("choice") == -1).mean().alias("right"))  # -1: the wheel turned to the right stimulus
        .sort("contrast")
    )
    return [(contrast, right) for contrast, right in shares.iter_rows()]


def _rates(spikes: pl.DataFrame, clusters: pl.DataFrame) -> pl.DataFrame:
    """Return the clusters with their region and firing rate, highest rate first."""
    import polars as pl

    seconds = spikes.group_by("pid").agg((pl.col("times").max() - pl.col("times").min()).alias("seconds"))
    counts = spikes.group_by("pid", pl.col("clusters").cast(pl.Int64).alias("cluster_id")).len("spikes")
    rates = counts.join(seconds, on="pid").with_columns(
        (pl.col("spikes") / pl.col("seconds")).alias("rate (Hz)")
    )
    known = clusters.select("pid", "cluster_id", "acronym")
    joined = rates.join(known, on=["pid", "cluster_id"], how="left").sort("rate (Hz)", descending=True)
    return joined.select(pl.col("pid").str.slice(0, 8), "cluster_id", "acronym", "spikes", "rate (Hz)")
