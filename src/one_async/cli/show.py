"""Output of the command line: tables, a plot, a spinner."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Table

if TYPE_CHECKING:
    import polars as pl

# Texts of users and servers are printed without markup, emoji or terminal control characters.
console = Console(markup=False, emoji=False)
#: Progress and remarks go to standard error, so that the output of ``--json`` can be piped.
aside = Console(stderr=True, markup=False, emoji=False)
_CONTROLS = {code: "\ufffd" for code in (*range(32), *range(127, 160)) if code not in (9, 10)}

SCATTER = "·•●"


def plain(value: object) -> str:
    """Return a text without terminal control characters."""
    text = str(value).translate(_CONTROLS)
    return text.encode("utf-8", "backslashreplace").decode()


def frame_table(frame: pl.DataFrame, title: str, rows: int = 8) -> Table:
    """Return a table of a frame's first rows."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="cyan")
    for name in frame.columns:
        table.add_column(plain(name), overflow="ellipsis", no_wrap=True)
    for row in frame.head(rows).iter_rows():
        table.add_row(*(f"{cell:.4g}" if isinstance(cell, float) else plain(cell) for cell in row))
    if frame.height > rows:
        table.caption = f"… {frame.height - rows:,} more"
    return table


def print_json(value: Any) -> None:
    """Write an answer as JSON; ids, dates and paths as texts."""
    sys.stdout.write(json.dumps(value, default=str, indent=2) + "\n")


def plot(points: Sequence[tuple[float, float]], width: int = 57, height: int = 11) -> Iterator[str]:
    """Draw points with y between 0 and 1 as lines of text."""
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    grid = [[" "] * width for _ in range(height)]
    at = [
        (round((x - left) / (right - left or 1) * (width - 1)), round((1 - y) * (height - 1)))
        for x, y in sorted(points)
    ]
    for (x0, y0), (x1, y1) in pairwise(at):
        for x in range(x0, x1):
            grid[round(y0 + (y1 - y0) * (x - x0) / (x1 - x0))][x] = SCATTER[0]
    for x, y in at:
        grid[y][x] = SCATTER[2]
    for number, row in enumerate(grid):
        label = {0: "100 %", height // 2: " 50 %", height - 1: "  0 %"}.get(number, "     ")
        yield f"{label} │{''.join(row)}"
    yield "      └" + "─" * width
    yield f"       {left:<+8.3g}{'contrast, right − left (%)':^{width - 16}}{right:>+8.3g}"


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show a spinner while the code inside runs."""
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}", markup=False), console=aside, transient=True
    ) as bar:
        bar.add_task(text, total=None)
        yield
