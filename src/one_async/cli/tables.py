"""The command ``tables build``: cache tables of a folder."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from one_async.cli.options import Json, as_path, fail
from one_async.cli.show import console, plain, print_json, stderr
from one_async.cli.watch import ended_by_sigterm
from one_async.errors import InputError, OneError, TablesWarning


def build_tables(
    folder: Annotated[Path, typer.Argument(parser=as_path, metavar="FOLDER", help="A folder of ALF data.")],
    out: Annotated[
        Path | None,
        typer.Option(
            parser=as_path, metavar="PATH", help="The folder for the tables; default: the same folder."
        ),
    ] = None,
    hash_files: Annotated[
        bool, typer.Option("--hash-files", help="Add the MD5 hash of each file; only changed files are read.")
    ] = False,
    lab: Annotated[
        str | None, typer.Option(metavar="NAME", help="The lab of sessions without a lab in their path.")
    ] = None,
    namespace: Annotated[
        UUID | None,
        typer.Option(
            metavar="UUID",
            help="UUID namespace of new ids; with the same namespace, a path gets the same id in every folder.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace tables that came from a database.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Skip sessions in which no file was added, removed or renamed.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Run until interrupted, and build again when files change.")
    ] = False,
    every: Annotated[
        float, typer.Option(metavar="SECONDS", help="Seconds between two checks of --watch.")
    ] = 60.0,
    as_json: Json = False,
) -> None:
    """Build or update the cache tables of a folder.

    The tables, sessions.pqt and datasets.pqt, are for searches in local mode.
    """
    from one_async.tables.build import make_parquet_db

    options: dict[str, Any] = {
        "hash_files": hash_files, "lab": lab, "namespace": namespace, "overwrite": overwrite, "quick": quick
    }  # fmt: skip
    try:
        if not folder.is_dir():
            raise InputError.of("folder", folder, "a folder that exists")
        if not every > 0:
            raise InputError.of("every", every, "seconds above 0")
        with _print_table_warnings():
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
    stderr.print(str(report), highlight=False, soft_wrap=True)


def _watch(folder: Path, out: Path | None, every: float, as_json: bool, options: dict[str, Any]) -> None:
    """Print a line for the first build and for each later build that changes the tables."""
    from one_async.sync import ONE

    with ended_by_sigterm(), ONE(cache_dir=folder, tables_dir=out or folder, mode="local") as one:
        for report in one.watch_folder(every=every, **options):
            typer.echo(json.dumps(report.to_dict()) if as_json else str(report))


@contextmanager
def _print_table_warnings() -> Iterator[None]:
    """Print each TablesWarning as a line, without the location in the code."""

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, TablesWarning):
            stderr.print(plain(message), style="yellow", highlight=False, soft_wrap=True)
        else:
            previous(message, category, *where, **more)

    previous = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("always", TablesWarning)
        warnings.showwarning = show
        yield
