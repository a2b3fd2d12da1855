"""Options shared by several commands, the client made from them, and the exit on errors."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from one_async.cli.show import discard_output, print_problem
from one_async.errors import ALFObjectNotFound, InputError, OneError, rename

if TYPE_CHECKING:
    from one_async.sync import ONE


class Commands(TyperGroup):
    """The commands. Their output may be closed early, as by ``head``, which ends them with status 0 and no message."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run a command, and write the rest of its output. Raises KeyboardInterrupt for Ctrl-C, also at a prompt."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            discard_output()
            raise typer.Exit(0) from None
        except typer.Abort as error:
            # The prompt is still on the last line. Typer also makes this error of Ctrl-C at a prompt.
            typer.echo(err=True)
            if isinstance(error.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            raise
        return result


#: Parameters of commands, and the names that they have in the library.
_OTHER_NAMES = {
    "url": ("base_url",), "user": ("username",), "mode": ("query_type",), "folder": ("root_dir",), "out": ("out_dir",),
    "folders": ("ses_path", "path"), "lab": ("labs",), "filter": ("filters",), "storage_option": ("storage_options",),
    "endpoints": ("endpoint",), "dataset": ("filename",), "sessions": ("id", "eid", "eids"), "session": ("id", "eid"),
}  # fmt: skip
#: What the user types for each argument of the library in the command that is running.
_TYPED: ContextVar[Mapping[str, str]] = ContextVar("typed", default=MappingProxyType({}))


class Command(TyperCommand):
    """A command whose help shows the names of arguments alone, without their Python types such as ``list[str]``.

    Its errors name options and arguments as they are typed.
    """

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run the command."""
        typed = {one.name: _typed_name(one, ctx) for one in self.params if one.name}
        others = {name: typed[own] for own, names in _OTHER_NAMES.items() if own in typed for name in names}
        token = _TYPED.set({**others, **typed})
        try:
            return super().invoke(ctx)
        finally:
            _TYPED.reset(token)

    def get_params(self, ctx: typer.Context) -> list[Any]:  # type: ignore[override]
        """Return the parameters."""
        parameters: list[Any] = super().get_params(ctx)
        for one in parameters:
            if one.param_type_name == "argument":
                one.display_type_rich = lambda ctx: None
        return parameters


def _typed_name(parameter: Any, ctx: typer.Context) -> str:
    """Return an option with its dashes, an argument as the help shows it, or the environment variable that set it."""
    source = ctx.get_parameter_source(parameter.name)
    if source is not None and source.name == "ENVIRONMENT":
        return str(parameter.envvar)
    return str(parameter.metavar if parameter.param_type_name == "argument" else parameter.opts[0])


def as_path(text: str) -> Path:
    """Return the path of an argument. Raise typer.BadParameter for an empty text, which would be the working folder."""
    if not str(text).strip():
        raise typer.BadParameter("an empty text is no path; . is the working folder")
    return Path(text)


Url = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="Address of the database.", envvar="ONE_BASE_URL")
]
# ONE_USERNAME is read by the settings rather than by typer, since it belongs to one database.
User = Annotated[str | None, typer.Option("--user", metavar="NAME", help="User name; default: ONE_USERNAME.")]
Json = Annotated[bool, typer.Option("--json", help="Write the answer as JSON.")]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--cache-dir", parser=as_path, metavar="PATH", help="Folder of data files.", envvar="ONE_CACHE_DIR"
    ),
]


def fail(error: OneError) -> NoReturn:
    """Print an error without a traceback and exit. An argument is named as it is typed in the command that is running."""
    if isinstance(error, InputError):
        rename(error, _TYPED.get())
    print_problem(type(error).__name__, f": {error}")
    raise typer.Exit(2 if isinstance(error, InputError) else 1)


def connect(url: str | None, user: str | None, cache_dir: Path | None, **options: Any) -> ONE:
    """Return a client made from the command line, the environment and the settings."""
    from one_async.sync import ONE

    given = {"base_url": url, "username": user, "cache_dir": cache_dir, **options}
    return ONE(**{name: value for name, value in given.items() if value is not None})


def known_eids(one: ONE, sessions: list[str]) -> list[str]:
    """Return the eids of sessions. Raises ALFObjectNotFound for a name that no session has."""
    eids = one.to_eid(sessions)
    for name, eid in zip(sessions, eids, strict=True):
        if eid is None:
            raise ALFObjectNotFound(f"there is no session with the name {name!r}", eid=name)
    return [str(eid) for eid in eids]


def parse_terms(given: list[str]) -> dict[str, Any]:
    """Parse ``name=value`` search terms; commas separate the items of a list, and a date range may have an open end."""
    terms: dict[str, Any] = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name or not value:
            raise InputError.of("term", item, "TERM=VALUE, such as lab=cortexlab")
        if name in terms:
            raise InputError.of("term", item, "each term once; commas separate several values")
        if name == "django":
            terms[name] = value
            continue
        values = [part.strip() or None for part in value.split(",")]
        terms[name] = values[0] if len(values) == 1 else values
    return terms
