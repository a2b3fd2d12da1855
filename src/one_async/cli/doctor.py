"""The commands ``doctor`` and ``modes``: diagnose the installation, settings and servers; explain the modes."""

from __future__ import annotations

import os
import platform
import sys
import time
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import anyio
import typer

from one_async.cli.options import Folder, Json, Url, User, fail
from one_async.cli.show import console, print_fields, print_json, waiting
from one_async.errors import OneError

if TYPE_CHECKING:
    from one_async.settings import Settings

_PACKAGES = (
    "one-async", "httpx", "httpcore", "anyio", "polars", "hishel", "pydantic", "pydantic-settings", "numpy",
    "pandas", "pyarrow", "obstore", "redis", "typer", "rich",
)  # fmt: skip
#: Variables of other programs that affect how servers are reached.
_NETWORK = (
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
)  # fmt: skip
_LARGEST_SKEW = 60.0


def doctor(url: Url = None, user: User = None, cache_dir: Folder = None, as_json: Json = False) -> None:
    """Show versions, settings, folders and whether servers answer.

    The output contains no secrets and can be pasted into a bug report. Exits with status 1 if there is a problem.
    """
    from one_async.settings import resolve

    try:
        known = resolve(base_url=url, username=user, cache_dir=cache_dir)
        with waiting("checking …"):
            report = {
                "versions": _versions(),
                "settings": _settings(known),
                "environment": _environment(),
                "folders": _folders(known),
                "servers": _servers(known),
            }
    except OneError as error:
        fail(error)
    problems = [
        f"{name}: {text}"
        for part in ("folders", "servers")
        for name, text in report[part].items()
        if text.startswith("not ")
    ]
    if as_json:
        print_json({**report, "problems": problems})
    else:
        for title, values in report.items():
            console.print(title, style="bold", highlight=False)
            print_fields(values, "  ")
        console.print(
            f"{len(problems)} problem{'' if len(problems) == 1 else 's'}", style="bold", highlight=False
        )
    if problems:
        raise typer.Exit(1)


def _versions() -> dict[str, str]:
    found = {
        "python": f"{platform.python_version()} ({platform.python_implementation()}, {platform.platform()})"
    }
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _settings(known: Settings) -> dict[str, str]:
    from one_async._token_file import TokenFile

    shown = {
        name: str(value)
        for name, value in known.model_dump(exclude={"password", "token", "data_server_password"}).items()
    }
    stored = TokenFile().load(known.base_url, known.username) if known.base_url else None
    secrets = {
        "password": known.password,
        "token": known.token or stored,
        "data_server_password": known.data_server_password,
    }
    return shown | {name: "set" if value is not None else "not set" for name, value in secrets.items()}


def _environment() -> dict[str, str]:
    """Return the variables that are set. Values may contain logins, so only those that are file names are shown."""
    names = sorted(
        {name for name in os.environ if name.startswith("ONE_")} | {*_NETWORK, *map(str.lower, _NETWORK)}
    )
    return {
        name: os.environ[name] if name.upper().startswith(("SSL_", "REQUESTS_", "CURL_")) else "set"
        for name in names
        if os.environ.get(name)
    }


def _folders(known: Settings) -> dict[str, str]:
    from one_async._settings_files import config_dir

    folders = {"cache": known.cache_dir, "tables": known.tables_dir, "settings": config_dir()}
    return {name: f"{_state(folder)} {folder}" for name, folder in folders.items()}


def _state(folder: Any) -> str:
    existing = next((path for path in (folder, *folder.parents) if path.exists()), None)
    if existing is None or not os.access(existing, os.W_OK):
        return "not writable:"
    return "writable:" if existing == folder else "can be created:"


def _servers(known: Settings) -> dict[str, str]:
    """Return whether the database and its data server respond, and whether the login is accepted."""
    from one_async._addresses import OPEN_ALYX, OPEN_DATA

    if known.base_url is None:
        return {}
    answers = {"database": anyio.run(_reach, known.base_url), "login": _login(known)}
    data = known.data_server or (OPEN_DATA if known.base_url == OPEN_ALYX else None)
    return answers | ({"data": anyio.run(_reach, data)} if data else {})


async def _reach(address: str) -> str:
    """Describe a server's answer to one request without a login."""
    from one_async.alyx.client import AsyncAlyxClient

    started = time.perf_counter()
    try:
        # A client sends its login only to its own server, so this request has none.
        async with AsyncAlyxClient(base_url="http://127.0.0.1:9") as alyx, alyx.wire.open(address) as stream:
            date = stream.headers.get("date")
    except OneError as error:
        return f"not reached: {error}"
    duration = f"{(time.perf_counter() - started) * 1000:.0f} ms"
    try:
        skew = time.time() - parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        skew = 0.0
    if abs(skew) > _LARGEST_SKEW:
        return f"not synchronised: its clock and this machine's differ by {skew:+.0f} s ({address})"
    return f"reached in {duration} ({address})"


def _login(known: Settings) -> str:
    from one_async.sync import AlyxClient

    try:
        with AlyxClient(settings=known) as alyx:
            alyx.authenticate()
            return f"accepted ({alyx.user})"
    except OneError as error:
        return f"not accepted: {error}"


def modes() -> None:
    """Explain the source of answers in each mode."""
    print_fields(
        {
            "remote": "the database, through a cache of REST answers",
            "local": "the cache tables on disk; no network",
            "auto": "the cache tables, kept up to date in the background; the database for what they lack",
            "refresh": "as auto, after checking for newer tables now",
        }
    )


def show_version(value: bool) -> None:
    """Print the version and exit."""
    if value:
        sys.stdout.write(f"one-async {version('one-async')}\n")
        raise typer.Exit
