"""The commands of ``one-async``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from one_async.cli.harvest import harvest
from one_async.cli.options import Folder, Json, Url, User, connect, fail, parse_terms
from one_async.cli.register import register
from one_async.cli.show import aside, console, frame_table, plain, print_json, waiting
from one_async.cli.watch import watch
from one_async.errors import ConfigurationError, OneError

app = typer.Typer(
    name="one-async",
    help="Find and load the data of an Alyx database of neurophysiology sessions.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    add_completion=False,
)
tables_app = typer.Typer(help="Cache tables.", no_args_is_help=True)
app.add_typer(tables_app, name="tables")


@app.command()
def demo() -> None:
    """Log in, search, list and load on an emulator that the demo starts; needs no network."""
    try:
        from one_async.cli.demo import run
    except ImportError as error:
        raise SystemExit(f"the demo needs {error.name}: pip install 'one-async[cli,emulator]'") from None
    try:
        run()
    except OneError as error:
        fail(error)


@app.command()
def search(
    terms: Annotated[
        list[str], typer.Argument(help="TERM=VALUE …; a comma separates several values of a term.")
    ],
    url: Url = None,
    user: User = None,
    cache_dir: Folder = None,
    mode: Annotated[str | None, typer.Option(help="local, remote, auto or refresh.")] = None,
    limit: Annotated[int, typer.Option(help="How many sessions to show.")] = 20,
    as_json: Json = False,
) -> None:
    """Find sessions: one-async search lab=cortexlab date=2024-01-01,2024-06-30 datasets=spikes.times.npy."""
    try:
        with connect(url, user, cache_dir, mode=mode) as one, waiting("searching …"):
            eids, frame = one.search(details=True, **parse_terms(terms))
    except OneError as error:
        fail(error)
    if as_json:
        print_json(frame.to_dicts())
        return
    console.print(frame_table(frame, f"{len(eids):,} sessions", rows=limit))


@app.command()
def login(
    url: Url = None,
    user: User = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
) -> None:
    """Log in once; the token is kept for this user, readable by nobody else."""
    from one_async.settings import resolve

    try:
        known = resolve(base_url=url, username=user)
        user, password = known.username, None
        asks = sys.stdin.isatty() and known.token is None
        if user is None and asks:
            user = typer.prompt("User name")
        if password_stdin:
            password = sys.stdin.readline().rstrip("\n")
        elif asks and known.password is None:
            password = typer.prompt("Password", hide_input=True)
        with connect(url, user, None, password=password) as one, waiting("logging in …"):
            one.alyx.authenticate(force=password is not None or known.password is not None)
            where, who = one.alyx.base_url, one.alyx.user
    except OneError as error:
        fail(error)
    console.print(plain(f"logged in to {where} as {who}"), highlight=False)


@app.command()
def setup(
    url: Url = None,
    user: User = None,
    cache_dir: Folder = None,
    default: Annotated[
        bool | None,
        typer.Option("--default/--no-default", help="Whether ONE() without arguments uses this database."),
    ] = None,
) -> None:
    """Save the settings of a database; prompts only on a terminal, and only for settings that are missing."""
    from one_async.settings import databases
    from one_async.settings import setup as keep

    def ask(name: str, otherwise: str | None) -> str:
        return str(typer.prompt(name.replace("_", " ").capitalize(), default=otherwise or ""))

    try:
        if url is None and not sys.stdin.isatty() and not databases():
            raise ConfigurationError(
                "base_url is not set: give --url, or set ONE_BASE_URL", setting="base_url"
            )
        settings = keep(
            url,
            username=user,
            cache_dir=cache_dir,
            make_default=default,
            ask=ask if sys.stdin.isatty() else None,
        )
    except OneError as error:
        fail(error)
    where = f"{settings.base_url}: user {settings.username or '-'}, data in {settings.cache_dir}"
    console.print(plain(where), highlight=False, soft_wrap=True)


@app.command()
def emulator(
    records: Annotated[
        Path | None, typer.Option(help="A folder of records; without it, generated records and files.")
    ] = None,
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.")] = 0,
    latency: Annotated[float, typer.Option(help="Milliseconds by which each answer is delayed.")] = 0.0,
    throttle: Annotated[int | None, typer.Option(help="Requests a minute that each user may make.")] = None,
    state: Annotated[
        Path | None, typer.Option(help="A file that stores what clients write, for the next start.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a small Alyx on 127.0.0.1 until interrupted; prints its address and logins."""
    try:
        from one_async.emulator.server import serve
    except ImportError as error:
        raise SystemExit(f"the emulator needs {error.name}: pip install 'one-async[emulator]'") from None
    serve(records=records, port=port, latency=latency, throttle=throttle, state=state, as_json=as_json)


@tables_app.command("build")
def build_tables(
    folder: Annotated[Path, typer.Argument(help="A folder of ALF data.")],
    hash_files: Annotated[bool, typer.Option("--hash-files", help="Read every file for its md5.")] = False,
    lab: Annotated[str | None, typer.Option(help="The lab of sessions without a lab in their path.")] = None,
) -> None:
    """Make cache tables (sessions.pqt, datasets.pqt) of a folder, so that it can be searched in local mode."""
    from rich.progress import Progress

    from one_async.tables.build import make_parquet_db

    try:
        with Progress(console=aside, transient=True) as bar:
            task = bar.add_task("reading", total=None)
            files = make_parquet_db(
                folder,
                hash_files=hash_files,
                lab=lab,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
    except OneError as error:
        fail(error)
    for file in files:
        console.print(plain(file), highlight=False, soft_wrap=True)


app.command()(harvest)
app.command()(register)
app.command()(watch)
