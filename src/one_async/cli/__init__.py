"""The command line: ``one-async``. This alone prints and asks; the library never does."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, or say which extra it needs."""
    try:
        from one_async.cli.app import app
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("typer", "rich", "click"):
            raise
        sys.exit("one-async needs typer and rich: pip install 'one-async[cli]'")
    app()
