"""The command that waits for sessions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from one_async.cli.options import Folder, Json, Url, User, connect, fail, parse_terms
from one_async.errors import OneError


def watch(
    terms: Annotated[
        list[str] | None, typer.Argument(help="TERM=VALUE …, as of `search`; without any, all sessions.")
    ] = None,
    every: Annotated[float, typer.Option(help="Seconds between two rounds.")] = 60.0,
    once: Annotated[bool, typer.Option("--once", help="Make one round and end.")] = False,
    cursor: Annotated[
        Path | None, typer.Option(help="A file that keeps which sessions were printed, for the next start.")
    ] = None,
    url: Url = None,
    user: User = None,
    cache_dir: Folder = None,
    as_json: Json = False,
) -> None:
    """Print a line for each session as it appears, until interrupted: one-async watch lab=cortexlab --json."""
    try:
        with connect(url, user, cache_dir) as one:
            sessions = one.watch(every=None if once else every, cursor=cursor, **parse_terms(terms or []))
            for session in sessions:
                fields = ("id", "subject", "start_time", "number", "lab", "task_protocol")
                line = "\t".join("" if session[name] is None else str(session[name]) for name in fields)
                typer.echo(json.dumps(session) if as_json else line)
    except OneError as error:
        fail(error)
