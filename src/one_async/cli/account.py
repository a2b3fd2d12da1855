"""The account commands: ``login``, ``logout``, ``whoami`` and ``setup``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from one_async.cli.options import Folder, Json, Url, User, connect, fail
from one_async.cli.show import console, plain, print_fields, print_json, waiting
from one_async.errors import ConfigurationError, OneError

_STDIN_HELP = "Read the password from standard input."


def login(
    url: Url = None,
    user: User = None,
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help=_STDIN_HELP)] = False,
    with_token: Annotated[
        bool, typer.Option("--token", help="Log in with a token, read from a prompt or from standard input.")
    ] = False,
) -> None:
    """Log in once.

    The token is stored for this user, readable by nobody else.
    """
    from one_async.settings import resolve

    try:
        known = resolve(base_url=url, username=user)
        if with_token:
            _login_by_token(known.base_url, known.username)
            return
        user, password = known.username, None
        can_prompt = sys.stdin.isatty() and known.token is None
        if user is None and can_prompt:
            user = typer.prompt("User name")
        if password_stdin:
            password = sys.stdin.readline().rstrip("\n")
        elif can_prompt and known.password is None:
            password = typer.prompt("Password", hide_input=True)
        with connect(url, user, None, password=password) as one, waiting("logging in …"):
            one.alyx.authenticate(force=password is not None or known.password is not None)
            where, who = one.alyx.base_url, one.alyx.user
    except OneError as error:
        fail(error)
    console.print(plain(f"logged in to {where} as {who}"), highlight=False)


def _login_by_token(url: str | None, user: str | None) -> None:
    """Verify a token with one request, then store it."""
    from one_async._token_file import TokenFile

    if sys.stdin.isatty():
        user = user or typer.prompt("User name")
        token = typer.prompt("Token", hide_input=True)
    else:
        token = sys.stdin.readline().strip()
    if not user:
        raise ConfigurationError("the user of the token is unknown: use --user", setting="username")
    with connect(url, user, None, token=token) as one, waiting("verifying the token …"):
        one.alyx.rest("users", "read", id=user, no_cache=True)
        where = one.alyx.base_url
    TokenFile().save(where, user, token)
    console.print(plain(f"logged in to {where} as {user}"), highlight=False)


def logout(url: Url = None, user: User = None) -> None:
    """Delete the stored token and the cached answers of this user."""
    try:
        with connect(url, user, None) as one:
            one.alyx.logout()
            where, who = one.alyx.base_url, user or one.settings.username
    except OneError as error:
        fail(error)
    console.print(plain(f"logged out of {where}" + (f" ({who})" if who else "")), highlight=False)


def whoami(url: Url = None, user: User = None, as_json: Json = False) -> None:
    """Show the database, the user and whether a login is stored.

    Makes no request.
    """
    from one_async._token_file import TokenFile
    from one_async.settings import databases, resolve

    try:
        known = resolve(base_url=url, username=user)
        stored = TokenFile().load(known.base_url, known.username) if known.base_url else None
    except OneError as error:
        fail(error)
    login = "none; run one-async login"
    if known.token is not None or stored is not None:
        login = "token"
    elif known.password is not None:
        login = "password"
    answer = {
        "database": known.base_url,
        "user": known.username or (stored[0] if stored else None),
        "login": login,
        "cache folder": str(known.cache_dir),
        "other databases": sorted(set(databases()) - {known.base_url}),
    }
    if as_json:
        print_json(answer)
        return
    shown = {
        name: ", ".join(value) if isinstance(value, list) else str(value or "-")
        for name, value in answer.items()
    }
    print_fields({name: value for name, value in shown.items() if value})


def setup(
    url: Url = None,
    user: User = None,
    cache_dir: Folder = None,
    default: Annotated[
        bool | None,
        typer.Option("--default/--no-default", help="Whether ONE() without arguments uses this database."),
    ] = None,
) -> None:
    """Save the settings of a database.

    Prompts only on a terminal, and only for settings that are missing.
    """
    from one_async.settings import databases
    from one_async.settings import setup as save_settings

    def ask(name: str, otherwise: str | None) -> str:
        label = name.replace("_", " ").capitalize()
        return str(typer.prompt(label, default=otherwise or "", show_default=bool(otherwise)))

    try:
        if url is None and not sys.stdin.isatty() and not databases():
            raise ConfigurationError(
                "base_url is not set: use --url, or set ONE_BASE_URL", setting="base_url"
            )
        settings = save_settings(
            url,
            username=user,
            cache_dir=cache_dir,
            make_default=default,
            ask=ask if sys.stdin.isatty() else None,
        )
    except OneError as error:
        fail(error)
    summary = f"{settings.base_url}: user {settings.username or '-'}, data in {settings.cache_dir}"
    console.print(plain(summary), highlight=False, soft_wrap=True)
