"""The command line ``one-async``. Only this package prints and prompts; the library never does."""

from __future__ import annotations

import sys
import warnings


def _format_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> str:
    """Format a warning as one line, without the location in the code that issued it."""
    from one_async._display import plain_text

    return f"{category.__name__}: {plain_text(message, 500)}\n"


def main() -> None:
    """Run the command line; exit with a hint if its extra is not installed."""
    try:
        _run()
    except KeyboardInterrupt:
        # Typer does the same, except while modules are imported and while an interrupted command ends.
        sys.exit(130)


def _run() -> None:
    try:
        from one_async.cli.app import app
        from one_async.cli.show import use_safe_encoding
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("typer", "rich", "click"):
            raise
        sys.exit("one-async needs typer and rich: pip install 'one-async[cli]'")
    use_safe_encoding()
    warnings.formatwarning = _format_warning
    app()
