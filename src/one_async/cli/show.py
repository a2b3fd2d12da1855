"""Terminal output: tables, JSON, TSV, a plot, a spinner."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path, PurePath
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console, OverflowMethod
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from one_async import _display
from one_async._progress import screen

if TYPE_CHECKING:
    import polars as pl


class _Console(Console):
    """A console that raises BrokenPipeError, as Python does; Rich would end the command with status 1."""

    def on_broken_pipe(self) -> None:
        """Raise the error that is being handled."""
        self.quiet = True
        raise


# Strings from users and servers are printed without markup, emoji or terminal control characters.
console = _Console(markup=False, emoji=False)
#: For progress and messages, so that standard output can be piped.
stderr = Console(stderr=True, markup=False, emoji=False)
_CONTROLS = {code: text for code, text in _display.CONTROLS.items() if code not in (9, 10)}

#: The characters of a plot, and their ASCII replacements where the output cannot encode them.
_GLYPHS = str.maketrans("·●│└─−…", ".o|+--~")


def plain(value: object) -> str:
    """Return the string of a value without terminal control characters, and without those that change text direction."""
    text = str(value).translate(_CONTROLS)
    return text.encode("utf-8", "backslashreplace").decode()


def one_line(value: object) -> str:
    """Return a text as a cell of a table shows it: without line breaks and tabs, and as long as it will be when encoded."""
    text = plain(value).replace("\t", " ").replace("\n", " ")
    return text.encode(console.encoding, "backslashreplace").decode(console.encoding)


def frame_table(frame: pl.DataFrame, rows: int = 8) -> Table:
    """Return a table of a frame's first rows; the widest columns are truncated if the terminal is too narrow."""
    cells = [
        [f"{cell:.4g}" if isinstance(cell, float) else one_line(cell) for cell in row]
        for row in frame.head(rows).iter_rows()
    ]
    names = [one_line(name) for name in frame.columns]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    while sum(widths) + 2 * len(widths) > console.width and max(widths) > 1:
        widths[widths.index(max(widths))] -= 1
    table = plain_table()
    for name, width in zip(names, widths, strict=True):
        table.add_column(name, overflow=_cut(), no_wrap=True, width=width)
    for row in cells:
        table.add_row(*row)
    if frame.height > rows:
        table.caption = printable(f"… {frame.height - rows:,} more")
        table.caption_justify = "left"
    return table


def use_safe_encoding() -> None:
    """Escape characters that the output cannot encode, such as names in cp1252, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def discard_output() -> None:
    """Discard what is still written to standard output, whose reader is gone."""
    with Path(os.devnull).open("wb") as nowhere, suppress(OSError, ValueError):
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def printable(text: str, output: Console = console) -> str:
    """Return a text that the output can encode; plots and marks in ASCII where it cannot."""
    return text if _can_encode(text, output) else text.translate(_GLYPHS)


def _can_encode(text: str, output: Console) -> bool:
    try:
        text.encode(output.encoding)
    except UnicodeEncodeError:
        return False
    return True


def _cut() -> OverflowMethod:
    """Return how cells that are too long are cut: with a mark, where the output can encode it."""
    return "ellipsis" if _can_encode("…", console) else "crop"


def is_piped() -> bool:
    """Return whether the output goes to a file or another program."""
    return not console.is_terminal


def print_tsv(rows: Iterable[Iterable[Any]]) -> None:
    """Write rows as lines of tab-separated values; null is written as an empty value."""
    for row in rows:
        sys.stdout.write("\t".join("" if cell is None else one_line(cell) for cell in row) + "\n")


def count_text(count: int, noun: str) -> str:
    """Return a number with its noun, such as ``1 file`` or ``2,300 files``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def size_text(size: int | None) -> str:
    """Return a number of bytes in a readable unit, such as ``1.2 MB``."""
    if size is None:
        return "-"
    value, units = float(size), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.0f} {units[0]}" if units[0] == "B" or value >= 99.5 else f"{value:.1f} {units[0]}"


def listing(
    rows: Iterable[Iterable[Any]],
    widths: Mapping[str, int],
    title: str,
    total: int,
    *,
    right: Sequence[str] = ("number",),
    fit: bool = False,
) -> None:
    """Print rows as a table without borders.

    ``widths`` maps the columns to their maximum widths; 0 means that the column wraps and is never truncated. With ``fit``,
    columns at the end that do not fit on the terminal are omitted, and truncated columns share the remaining width.
    """
    names = list(widths)
    cells = [
        ["" if cell is None else one_line(cell) for cell, _ in zip(row, names, strict=False)] for row in rows
    ]
    headers = ["#" if name == "number" else one_line(name) for name in names]
    needed = [max(map(cell_len, column)) for column in zip(headers, *cells, strict=True)]
    given = [min(need, widths[name] or need) for need, name in zip(needed, names, strict=True)]
    while fit and len(given) > 1 and sum(given) + len(given) > console.width + 1:
        given.pop()
    room = console.width + 1 - sum(given) - len(given) if fit else 0
    for at, width in enumerate(given):
        given[at] += max(0, min(room, needed[at] - width))
        room -= given[at] - width
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="cyan")
    for name, header, width in zip(names, headers, given, strict=False):
        options: dict[str, Any] = {"overflow": "fold"}
        if widths[name]:
            options = {"overflow": _cut(), "no_wrap": True, "max_width": width}
        table.add_column(header, justify="right" if name in right else "left", **options)
    for row in cells:
        table.add_row(*row[: len(given)])
    console.print(printable(title), style="bold", highlight=False)
    if cells:
        console.print(table)
    if len(cells) < total:
        more = printable(f"… {total - len(cells):,} more; --limit N shows more")
        console.print(more, style="dim", highlight=False)


def plain_table() -> Table:
    """Return a table without lines."""
    return Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="cyan")


def print_titled(title: str, table: Table) -> None:
    """Print a table below its title, which may be longer; its columns are closer together if the terminal is too narrow."""
    console.print(plain(title), style="bold", highlight=False, soft_wrap=True)
    if console.measure(table, options=console.options.update(width=1000)).maximum > console.width:
        table.padding = (0, 1, 0, 0)
    console.print(table)


def print_fields(values: Mapping[str, str], indent: str = "") -> None:
    """Print one line for each name and value; on a terminal, long values wrap with a hanging indent.

    Addresses and paths are never broken, so that they can be copied.
    """
    width = max(map(len, values), default=0)
    margin = len(indent) + width + 2
    for name, value in values.items():
        text = one_line(value)
        if console.is_terminal and console.width > 2 * margin:
            is_whole = "://" in text or PurePath(text).is_absolute()
            lines = wrap(text, console.width - margin, break_long_words=not is_whole, break_on_hyphens=False)
            text = f"\n{' ' * margin}".join(lines)
        line = Text.assemble(indent, (plain(name).ljust(width), "cyan"), "  ", text)
        console.print(line, highlight=False, soft_wrap=True)


def print_problem(label: str, message: str) -> None:
    """Print a message to standard error after a red label. On a terminal, lines end between words; paths are not broken."""
    text = plain(f"{label}{message}")
    if stderr.is_terminal:
        lines = [
            wrap(line, stderr.width, break_long_words=False, break_on_hyphens=False)
            for line in text.splitlines()
        ]
        text = "\n".join("\n".join(parts) for parts in lines)
    shown = Text(text)
    shown.stylize("red", 0, len(label))
    stderr.print(shown, highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Write a value as JSON, with ids, dates and paths as strings."""
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
            grid[round(y0 + (y1 - y0) * (x - x0) / (x1 - x0))][x] = "·"
    for x, y in at:
        grid[y][x] = "●"
    for number, row in enumerate(grid):
        label = {0: "100 %", height // 2: " 50 %", height - 1: "  0 %"}.get(number, "     ")
        yield f"{label} │{''.join(row)}"
    yield "      └" + "─" * width
    yield f"       {left:<+8.3g}{'contrast, right − left (%)':^{width - 16}}{right:>+8.3g}"


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show a spinner on a terminal during the body of this context manager."""
    dots = "".join(Spinner("dots").frames)
    spinner = Progress(
        SpinnerColumn("dots" if _can_encode(dots, stderr) else "line"),
        TextColumn("{task.description}", markup=False),
        console=stderr,
        transient=True,
        disable=not stderr.is_terminal,  # it would write an empty line
    )
    with screen(), spinner:
        spinner.add_task(printable(text, stderr), total=None)
        yield
