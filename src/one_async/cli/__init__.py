"""The command line ``one-async``. Only this package prints and prompts; the library never does."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; exit with a hint if its extra is not installed."""
    try:
        from one_async.cli.app import app
        from one_async.cli.show import use_safe_encoding
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("typer", "rich", "click"):
            raise
        sys.exit("one-async needs typer and rich: pip install 'one-async[cli]'")
    use_safe_encoding()
    app()
