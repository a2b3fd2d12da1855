"""Options shared by several commands, the client made from them, and the exit on errors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.text import Text

from one_async.cli.show import plain, stderr
from one_async.errors import InputError, OneError

if TYPE_CHECKING:
    from one_async.sync import ONE


def as_path(text: str) -> Path:
    """Return the path of an argument. Raise typer.BadParameter for an empty text, which would be the working folder."""
    if not str(text).strip():
        raise typer.BadParameter("an empty text is no path; . is the working folder")
    return Path(text)


Url = Annotated[str | None, typer.Option("--url", help="Address of the database.", envvar="ONE_BASE_URL")]
# ONE_USERNAME is read by the settings rather than by typer, since it belongs to one database.
User = Annotated[str | None, typer.Option("--user", help="User name; default: ONE_USERNAME.")]
Json = Annotated[bool, typer.Option("--json", help="Write the answer as JSON.")]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--cache-dir", parser=as_path, metavar="PATH", help="Folder of data files.", envvar="ONE_CACHE_DIR"
    ),
]


def fail(error: OneError) -> NoReturn:
    """Print an error without a traceback and exit."""
    text = Text.assemble((type(error).__name__, "red"), f": {plain(error)}")
    stderr.print(text, highlight=False, soft_wrap=True)
    raise typer.Exit(2 if isinstance(error, InputError) else 1)


def connect(url: str | None, user: str | None, cache_dir: Path | None, **options: Any) -> ONE:
    """Return a client made from the command line, the environment and the settings."""
    from one_async.sync import ONE

    given = {"base_url": url, "username": user, "cache_dir": cache_dir, **options}
    return ONE(**{name: value for name, value in given.items() if value is not None})


def parse_terms(given: list[str]) -> dict[str, Any]:
    """Parse ``name=value`` search terms; commas separate the items of a list, and a date range may have an open end."""
    terms: dict[str, Any] = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name or not value:
            raise InputError.of("term", item, "TERM=VALUE, such as lab=cortexlab")
        if name == "django":
            terms[name] = value
            continue
        values = [part.strip() or None for part in value.split(",")]
        terms[name] = values[0] if len(values) == 1 else values
    return terms
