"""The command ``watch``: print sessions as they appear."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from one_async._progress import Display
from one_async.cli.options import Folder, Url, User, as_path, connect, fail, parse_terms
from one_async.cli.show import plain
from one_async.errors import InputError, OneError


def watch(
    terms: Annotated[
        list[str] | None,
        typer.Argument(metavar="TERM=VALUE", help="As for search; a session must have all given datasets."),
    ] = None,
    every: Annotated[float, typer.Option(metavar="SECONDS", help="Seconds between two searches.")] = 60.0,
    once: Annotated[bool, typer.Option("--once", help="Exit after one search.")] = False,
    cursor: Annotated[
        Path | None,
        typer.Option(
            parser=as_path,
            metavar="PATH",
            help="A file that records the printed sessions between runs.",
        ),
    ] = None,
    url: Url = None,
    user: User = None,
    cache_dir: Folder = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one line of JSON for each session.")] = False,
) -> None:
    """Print matching sessions, then new ones as they appear.

    For example: one-async watch lab=cortexlab datasets=spikes.times.npy
    """
    try:
        if not every > 0:
            raise InputError.of("every", every, "seconds above 0")
        with ended_by_sigterm(), connect(url, user, cache_dir, mode="remote", silent=True) as one:
            one._here._context.observer.notice = Display().notice  # also where standard error is no terminal
            found = one.watch(every=None if once else every, cursor=cursor, **parse_terms(terms or []))
            for session in found:
                typer.echo(json.dumps(session) if as_json else line_of(session))
    except OneError as error:
        fail(error)


def line_of(session: Mapping[str, Any]) -> str:
    """Return a session as one line: lab, subject, date, number and id."""
    number = session["number"]
    date = str(session["start_time"])[:10]
    path = f"{session['lab']}/{session['subject']}/{date}/{'-' if number is None else f'{number:03d}'}"
    return plain(f"{path}  {session['id']}").replace("\n", " ")


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """End the body of this context manager on SIGTERM, without an error, as service managers expect."""
    ended = False

    def end(*_: object) -> None:
        nonlocal ended
        ended = True
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except KeyboardInterrupt:
        if not ended:
            raise
    finally:
        signal.signal(signal.SIGTERM, previous)
