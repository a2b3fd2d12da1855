"""The command that makes cache tables of a folder."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from one_async.cli.options import Json, fail
from one_async.cli.show import aside, console, plain, print_json
from one_async.cli.watch import ended_by_signals
from one_async.errors import OneError, TablesWarning

if TYPE_CHECKING:
    pass


def build_tables(
    folder: Annotated[Path, typer.Argument(help="A folder of ALF data.")],
    out: Annotated[Path | None, typer.Option(help="A folder for the tables, if not the same.")] = None,
    hash_files: Annotated[
        bool, typer.Option("--hash-files", help="Add the md5 of each file, read if it has changed.")
    ] = False,
    lab: Annotated[str | None, typer.Option(help="The lab of sessions without a lab in their path.")] = None,
    namespace: Annotated[
        UUID | None,
        typer.Option(help="UUID for new ids; folders with one namespace give a path the same id."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace tables that came from a database.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Skip sessions in which no file was added, removed or renamed.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on until interrupted: build again when files change.")
    ] = False,
    every: Annotated[float, typer.Option(help="Seconds between two rounds of --watch.")] = 60.0,
    as_json: Json = False,
) -> None:
    """Make cache tables of a folder, or bring them up to date.

    The tables sessions.pqt and datasets.pqt are for searches in local mode.
    """
    from one_async.tables.build import make_parquet_db

    options: dict[str, Any] = {
        "hash_files": hash_files, "lab": lab, "namespace": namespace, "overwrite": overwrite, "quick": quick
    }  # fmt: skip
    try:
        with _remarks():
            if watch:
                _watch(folder, out, every, as_json, options)
                return
            report = make_parquet_db(folder, out, **options)
    except OneError as error:
        fail(error)
    if as_json:
        print_json(report.to_dict())
        return
    for file in report.files:
        console.print(plain(file), highlight=False, soft_wrap=True)
    aside.print(str(report), highlight=False, soft_wrap=True)


def _watch(folder: Path, out: Path | None, every: float, as_json: bool, options: dict[str, Any]) -> None:
    """Print a line for the first build and for each that changes the tables."""
    from one_async.sync import ONE

    with ended_by_signals(), ONE(cache_dir=folder, tables_dir=out or folder, mode="local") as one:
        for report in one.watch_folder(every=every, **options):
            typer.echo(json.dumps(report.to_dict()) if as_json else str(report))


@contextmanager
def _remarks() -> Iterator[None]:
    """Print warnings of tables as lines, without the place in the code."""

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, TablesWarning):
            aside.print(plain(message), style="yellow", highlight=False, soft_wrap=True)
        else:
            usual(message, category, *where, **more)

    usual = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("always", TablesWarning)
        warnings.showwarning = show
        yield
