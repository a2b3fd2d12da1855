"""``one-async harvest``: write whole endpoints to files, with a progress line for each and a final table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from one_async.cli.options import Folder, Json, Url, User, connect, fail
from one_async.cli.show import (
    console,
    is_piped,
    one_line,
    plain,
    plain_table,
    print_json,
    print_titled,
    print_tsv,
    stderr,
)
from one_async.errors import InputError, OneError

if TYPE_CHECKING:
    from one_async.harvest import HarvestReport


class RateColumn(ProgressColumn):
    """Rows per second."""

    def render(self, task: Task) -> Text:
        """Return the current speed, or the average speed at the end."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed else "", style="dim")


#: Formats of files; "frame", the format of a harvest into memory, is for Python alone.
FORMATS = ("parquet", "delta")


class Bars:
    """One progress line for each endpoint: rows, total, rate, time left."""

    def __init__(self) -> None:
        self.bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.completed:,.0f} of {task.fields[of]} rows"),
            RateColumn(),
            TimeRemainingColumn(),
            console=stderr,
            transient=True,
            disable=not stderr.is_terminal,  # it would write an empty line
        )
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, endpoint: str, rows: int, total: int | None) -> None:
        """Update the line of an endpoint."""
        if endpoint not in self._tasks:
            self._tasks[endpoint] = self.bars.add_task(plain(endpoint), total=None, of="?")
        task = self._tasks[endpoint]
        self.bars.update(task, completed=rows, total=total, of="?" if total is None else f"{total:,}")


def harvest(
    to: Annotated[
        str,
        typer.Option("--to", metavar="FOLDER", help="A folder, or an address such as s3://bucket/prefix."),
    ],
    endpoints: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ENDPOINT", help="Such as sessions insertions datasets; default: all that list records."
        ),
    ] = None,
    filter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILTER", help="ENDPOINT:FILTER=VALUE, such as sessions:lab=cortexlab; may be repeated."
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Only rows that are new or changed since this date or time, or since the 'last' harvest.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Resume an interrupted harvest, or start over.")
    ] = True,
    tidy: Annotated[
        bool,
        typer.Option(
            "--tidy/--raw", help="Tables that join, with views for DuckDB; or rows as the server sent them."
        ),
    ] = True,
    format: Annotated[str, typer.Option(metavar="FORMAT", help="parquet or delta.")] = "parquet",
    storage_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="For the object store, such as aws_region=eu-west-2; may be repeated."
        ),
    ] = None,
    url: Url = None,
    user: User = None,
    cache_dir: Folder = None,
    as_json: Json = False,
) -> None:
    """Write all rows of endpoints to files.

    Exits with status 0 only if nothing is missing. Piped output has one line for each endpoint: its name, complete or
    INCOMPLETE, rows counted, distinct and written, requests, seconds, remarks.

    Credentials of object stores are found as by AWS's tools (AWS_ACCESS_KEY_ID, …). The address of S3 is ONE_S3_ENDPOINT or
    AWS_ENDPOINT_URL, which may begin with http:// if AWS_ALLOW_HTTP=true is set.
    """
    names = list(dict.fromkeys(endpoints or ())) or "all"
    bars = Bars()
    kind: Any = format
    try:
        if format not in FORMATS:
            raise InputError.of("format", format, FORMATS)
        filters = _parse_filters(filter or ())
        options = dict(_parse_option(item) for item in storage_option or ())
        with connect(url, user, cache_dir) as one, bars.bars:
            report = one.harvest(
                names,
                to,
                filters=filters,
                since=since,
                resume=resume,
                tidy=tidy,
                format=kind,
                progress=bars,
                storage_options=options,
            )
    except OneError as error:
        fail(error)
    if as_json:
        print_json(report.model_dump(mode="json"))
    elif is_piped():
        print_tsv(_rows(report))
    else:
        print_titled(f"{report.server} to {report.to}", table_of(report))
        for entry in report.endpoints.values():
            for line in (*entry.missing, *entry.notes):
                console.print(plain(f"{entry.endpoint}: {line}"), highlight=False, soft_wrap=True)
    if not report.complete:
        raise typer.Exit(1)


def _parse_filters(given: Iterable[str]) -> dict[str, dict[str, str]]:
    """Parse ``ENDPOINT:FILTER=VALUE`` arguments; return the filters of each endpoint."""
    filters: dict[str, dict[str, str]] = {}
    for item in given:
        endpoint, _, term = item.partition(":")
        name, equals, value = term.partition("=")
        if not (endpoint and name and equals):
            raise InputError.of("filter", item, "ENDPOINT:FILTER=VALUE, such as sessions:lab=cortexlab")
        if name in filters.setdefault(endpoint, {}):
            raise InputError.of(
                "filter", item, "each filter of an endpoint once; commas separate several values"
            )
        filters[endpoint][name] = value
    return filters


def _parse_option(given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not (name and equals):
        # The option itself may be a secret.
        raise InputError.of("storage_option", "…", "NAME=VALUE, such as aws_region=eu-west-2")
    return name, value


def _rows(report: HarvestReport) -> Iterator[tuple[object, ...]]:
    """Yield the values of each endpoint, for other programs."""
    for entry in report.endpoints.values():
        state = "complete" if entry.complete else "INCOMPLETE"
        numbers = (entry.counted, entry.distinct, entry.written, entry.requests, round(entry.seconds, 1))
        yield entry.endpoint, state, *numbers, "; ".join([*entry.missing, *entry.notes])


def table_of(report: HarvestReport) -> Table:
    """Return the final table of a report."""
    table = plain_table()
    table.add_column("endpoint", no_wrap=True)
    table.add_column("", no_wrap=True)
    for name in ("counted", "distinct", "written", "requests", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for entry in report.endpoints.values():
        numbers = (entry.counted, entry.distinct, entry.written, entry.requests)
        texts = ["?" if number is None else f"{number:,}" for number in numbers]
        state = Text("complete", "green") if entry.complete else Text("INCOMPLETE", "red")
        table.add_row(one_line(entry.endpoint), state, *texts, f"{entry.seconds:,.1f}")
    return table
