"""The command ``browse``: a local page on the cache tables."""

from __future__ import annotations

import html
import signal
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from one_async.cli.options import Folder, Url, User, connect, fail
from one_async.cli.sessions import Mode
from one_async.cli.show import console, plain, stderr, waiting
from one_async.errors import OneError


def browse(
    url: Url = None,
    user: User = None,
    cache_dir: Folder = None,
    mode: Mode = None,
    port: Annotated[
        int, typer.Option(metavar="PORT", help="The port on 127.0.0.1; 0 selects a free one.")
    ] = 0,
    no_open: Annotated[bool, typer.Option("--no-open", help="Only print the address.")] = False,
) -> None:
    """Browse the cache tables on a local page.

    Filter sessions, and see their datasets, QC and plots. Runs until interrupted.
    The page is served on this machine only. Its address contains a secret, without which the server answers 403.
    """
    try:
        with connect(url, user, cache_dir, mode=mode, silent=True) as one:
            with waiting("opening the tables …"):
                page = one.browse(port)
            with page, _until_signal() as wait:
                console.print(plain(page.url), highlight=False, soft_wrap=True)
                stderr.print("Press Ctrl-C to stop.", style="dim", highlight=False)
                if no_open:
                    wait()
                else:
                    with _open_in_browser(page.url):
                        wait()
    except OneError as error:
        fail(error)


@contextmanager
def _until_signal() -> Iterator[Callable[[], bool]]:
    """Yield a function that waits for SIGINT or SIGTERM. Raise KeyboardInterrupt at the end if it was SIGINT."""
    stop = threading.Event()
    received: list[int] = []

    def end(number: int, _: object) -> None:
        received.append(number)
        stop.set()

    previous = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop.wait
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if received[:1] == [signal.SIGINT]:
        raise KeyboardInterrupt


@contextmanager
def _open_in_browser(url: str) -> Iterator[None]:
    """Open a page in the web browser through a file that only this user can read.

    Other users can see the arguments of this user's processes, where the address would reveal the secret.
    """
    with tempfile.TemporaryDirectory(prefix="one-async-browse-") as folder:
        file = Path(folder) / "open.html"
        file.touch(mode=0o600)
        address = html.escape(url)
        file.write_text(
            f'<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer">'
            f'<meta http-equiv="refresh" content="0;url={address}"><a href="{address}">Open the page</a>',
            encoding="utf-8",
        )
        # In a thread, since some browsers block until they are closed.
        threading.Thread(target=webbrowser.open, args=(file.as_uri(),), daemon=True).start()
        yield
