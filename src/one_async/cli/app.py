"""The commands of ``one-async``."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from one_async.cli.account import login, logout, setup, whoami
from one_async.cli.browse import browse
from one_async.cli.cache import cache_app
from one_async.cli.doctor import doctor, modes, show_version
from one_async.cli.harvest import harvest
from one_async.cli.options import Command, Commands, Json, fail
from one_async.cli.register import register
from one_async.cli.sessions import download, ls, search, show
from one_async.cli.tables import build_tables
from one_async.cli.watch import watch
from one_async.errors import OneError

app = typer.Typer(
    name="one-async",
    cls=Commands,
    help="Find and load the data of an Alyx database of neurophysiology sessions.",
    no_args_is_help=True,
    epilog=(
        "Exit statuses: 0 success; 1 an error, or a file or endpoint failed; 2 an invalid argument; "
        "130 interrupted with Ctrl-C."
    ),
    pretty_exceptions_show_locals=False,
    rich_markup_mode=None,
)
tables_app = typer.Typer(help="Cache tables of a folder of ALF data.", no_args_is_help=True)


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Find and load the data of an Alyx database of neurophysiology sessions."""


def _add(*commands: Callable[..., None]) -> None:
    for command in commands:
        app.command(cls=Command)(command)


_add(search, ls, show, download, browse)


@app.command(cls=Command)
def demo() -> None:
    """Search, list and load on an emulator; needs no network."""
    try:
        from one_async.cli.demo import run
    except ImportError as error:
        raise SystemExit(f"the demo needs {error.name}: pip install 'one-async[cli,emulator]'") from None
    try:
        run()
    except OneError as error:
        fail(error)


@app.command(cls=Command)
def emulator(
    records: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="A folder of records; default: generated records and files."),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="The port; 0 selects a free one.")
    ] = 0,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="The IPv4 address to listen on; 0.0.0.0 accepts connections from other machines.",
        ),
    ] = "127.0.0.1",
    latency: Annotated[
        float, typer.Option(min=0, metavar="MS", help="Delay of each answer in milliseconds.")
    ] = 0.0,
    throttle: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Requests per minute allowed for each user.")
    ] = None,
    state: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file that stores what clients write between runs.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a small Alyx, by default on 127.0.0.1.

    Prints its address and logins, and runs until it is interrupted.
    """
    try:
        from one_async.emulator.server import serve
    except ImportError as error:
        raise SystemExit(f"the emulator needs {error.name}: pip install 'one-async[emulator]'") from None
    received = serve(
        records=records,
        port=port,
        latency=latency,
        throttle=throttle,
        state=state,
        as_json=as_json,
        host=host,
    )
    if received == signal.SIGINT:
        raise KeyboardInterrupt


tables_app.command("build", cls=Command)(build_tables)
_add(harvest, register, watch, login, logout, whoami, setup, doctor, modes)
app.add_typer(cache_app, name="cache")
app.add_typer(tables_app, name="tables")
