"""Write the reference pages that are tables of the code: errors, settings, environment variables and commands.

    python docs/make_reference.py            # writes docs/reference/*.md and docs/llms.txt

`tests/docs/test_reference.py` compares the pages with the code.
"""

from __future__ import annotations

import inspect
import json
import re
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import typer
from pydantic import ByteSize

import one_async
from one_async import AsyncAlyxClient, AsyncONE, errors
from one_async._values import SECRETS, OfDatabase, Values
from one_async.alyx.frame import columns_of
from one_async.alyx.schema import Schema
from one_async.cli.app import app
from one_async.harvest.report import ColumnReport
from one_async.harvest.tidy import tidy_columns
from one_async.registration.client import RegistrationClient
from one_async.settings import Settings

DOCS = Path(__file__).parent
#: The OpenAPI document of a recorded Alyx.
OPENAPI = Path(one_async.__file__).parent / "emulator" / "openapi.json"
MADE = "<!-- Made by docs/make_reference.py; not to be edited by hand. -->\n\n"
ERRORS = """# Errors

All are in `one_async.errors`; a dot stands for each level below `OneError`. The status is `error.http_status`, with which a web
service can answer. `str(error)` is the text; ALF errors have it as `error.message` as well, as in ONE-api.
[Troubleshooting](../troubleshooting.md) says what to do about the usual ones.
"""
SETTINGS = """# Settings

`one.settings` has the settings of a client. Each comes from the first of these that names it: an argument of `ONE`, an
[environment variable](environment.md) `ONE_NAME`, the file that `ONE.setup` or ONE-api wrote for the database, the default.
Those that belong to their database are ignored if an argument names another database than the environment.
"""
SETTINGS_USE = """```python
from one_async import ONE

one = ONE(timeout=10)
print(one.settings.timeout, one.settings.require("username"))
```
<!-- output -->
```text
10.0 demo
```

`ONE.setup(base_url, username=…, cache_dir=…)`, or `one-async setup`, saves settings, but no secrets. `one-async login` keeps
a token.
"""
ENVIRONMENT = """# Environment variables

The environment describes one database, that of `ONE_BASE_URL`: its login, token and folders are not used for another database
that an argument names. Arguments precede variables, and variables precede saved [settings](settings.md).
"""
COMMANDS = """# Commands

The extra `[cli]` brings `one-async`; `python -m one_async` is the same. Piped output has tabs between values, and `--json`
writes JSON. Exit statuses: 0 done; 1 the answer is an error, or a file or endpoint failed; 2 a wrong argument; 130 interrupted.
"""
HARVEST = """# Schema of a tidy harvest

These are the tables of `one.harvest("all", to=…, tidy=True)`, by the documentation of Alyx 3.6.1. Each table is a folder of
Parquet files, and in DuckDB a view of its name, with `_` for `-`. `schema.md` beside a harvest has the same for your own
database, with numbers of rows and the types of Polars. [Harvesting](../howto/harvest.md) shows how to use them.

- `id` identifies a row. Sessions, insertions and datasets have it also as `eid`, `pid` and `did`; by these names all other tables
  refer to them.
- Times are in UTC. UUIDs are text in files, and of the type `UUID` in the views. Columns such as `json` hold JSON text.
"""
METHODS = """# All methods

Methods of `ONE` and `AsyncONE` that take a session take a list of sessions, too.
"""
CLASSES = (
    ("ONE and AsyncONE", AsyncONE, "one.md"),
    ("one.alyx", AsyncAlyxClient, "alyx.md"),
    ("one.registration", RegistrationClient, "registration.md"),
)
#: Properties that constructors also set, which mkdocstrings takes for undocumented attributes.
SET_BY_INIT = ("cache_mode", "default_expiry", "max_connections")
#: Pages of measurements, which have no examples.
MEASURED = ("parity.md", "clients.md", "gallery.md")
LLMS = """`from one_async import ONE` is the blocking client, `AsyncONE` the same with `await`; `from one_async.api import ONE`
replaces ONE-api's. Methods that take a session take a list, too. Every error is a `one_async.OneError`."""
#: Variables that are not settings: those of this package, and of the libraries and tools that it uses.
OTHER_VARIABLES = {
    "ONE_CONFIG_DIR": "folder of settings and tokens, instead of the platform's",
    "ONE_REVISION_LAST_BEFORE": "`revision` of loads that are given none; ONE-api's",
    "ONE_CACHE_STORAGE": "the Redis address of a shared REST cache with its password, for unpickled clients of that address",
    "ONE_DEBUG": "any text: tracebacks keep the frames of the library",
    "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY": "proxies, also in lower case",
    "NO_PROXY": "hosts that are reached without a proxy",
    "SSL_CERT_FILE, SSL_CERT_DIR, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE": "trusted certificates; the first that is set",
    "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN": "login at S3",
    "AWS_REGION": "region of buckets that are harvested to, and of cache folders at `s3://` addresses",
    "AWS_DEFAULT_REGION": "region of cache folders at `s3://` addresses, without `AWS_REGION`",
    "AWS_ENDPOINT_URL": "address of S3 buckets; `ONE_S3_ENDPOINT` precedes it, except for tables that a server offers",
    "AWS_ENDPOINT_URL_S3": "the same for tables at `s3://` addresses; precedes `AWS_ENDPOINT_URL`",
    "AWS_ALLOW_HTTP": "`true` allows harvests to an `AWS_ENDPOINT_URL` without encryption",
}


def cell(value: object) -> str:
    """Return a text as a cell of a table: one line, with docstring markup as Markdown."""
    text = re.sub(r"``(.+?)``", r"`\1`", " ".join(str(value).split()))
    return text.replace("|", "\\|")


def table(head: str, rows: list[tuple[object, ...]]) -> str:
    """Return a Markdown table; `head` has the titles, separated by bars."""
    titles = head.split("|")
    lines = [titles, ["---"] * len(titles), *([cell(value) for value in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def summary(text: str | None) -> str:
    """Return the first paragraph of a docstring or help text."""
    return (text or "").strip().partition("\n\n")[0]


def tree(kind: type, depth: int = 0) -> Iterator[tuple[type, int]]:
    """Yield a class of errors and its subclasses, with their depth."""
    yield kind, depth
    for sub in sorted(kind.__subclasses__(), key=lambda sub: sub.__name__):
        if sub.__module__ == errors.__name__:
            yield from tree(sub, depth + 1)


def errors_page() -> str:
    """Return the page of errors and warnings."""
    rows = []
    for kind, depth in tree(errors.OneError):
        also = [f"`{base.__name__}`" for base in kind.__bases__ if base.__module__ == "builtins" and depth]
        rows.append(
            ("· " * depth + f"`{kind.__name__}`", kind.http_status, ", ".join(also), summary(kind.__doc__))
        )  # type: ignore[attr-defined]
    warned = [
        ("· " * depth + f"`{kind.__name__}`", summary(kind.__doc__))
        for kind, depth in tree(errors.OneWarning)
    ]
    return (
        f"{MADE}{ERRORS}\n"
        f"{table('error|status|is also a|meaning', rows)}\n"
        "The same with the attributes of each:\n\n"
        f"```text\n{errors_tree()}```\n\n"
        f"## Warnings\n\n{table('warning|meaning', warned)}"
    )


def errors_tree() -> str:
    """Return the tree of errors in the form of the module's docstring."""
    lines = (errors.__doc__ or "").partition("::\n\n")[2].splitlines()
    return "\n".join(line.removeprefix("    ").rstrip() for line in lines).strip() + "\n"


def shown_default(name: str) -> str:
    field = Settings.model_fields[name]
    if field.is_required():
        return "a folder in the user's home" if name == "cache_dir" else "`cache_dir`"
    default = field.default
    if isinstance(default, timedelta):
        return f"{default / timedelta(hours=1):g} h"
    if isinstance(default, ByteSize):
        return default.human_readable()
    return "" if default is None else f"`{default}`"


def settings_page() -> str:
    """Return the page of settings."""
    rows = []
    for name, field in Settings.model_fields.items():
        scope = "its database" if name in OfDatabase.model_fields else ""
        meaning = (field.description or "") + (
            " (secret: not shown, logged, pickled or saved)" if name in SECRETS else ""
        )
        rows.append((f"`{name}`", meaning.strip(), shown_default(name), scope))
    return f"{MADE}{SETTINGS}\n{table('setting|meaning|default|belongs to', rows)}\n{SETTINGS_USE}"


def environment_page() -> str:
    """Return the page of environment variables."""
    rows = []
    for name in Values.model_fields:
        meaning = Settings.model_fields[name].description or ""
        kind = Settings.model_fields[name].annotation
        unit = "; seconds, or hh:mm:ss" if getattr(kind, "__name__", "") == "timedelta" else ""
        rows.append((f"`ONE_{name.upper()}`", meaning + unit))
    rows += [
        (", ".join(f"`{one}`" for one in names.split(", ")), meaning)
        for names, meaning in OTHER_VARIABLES.items()
    ]
    return f"{MADE}{ENVIRONMENT}\n{table('variable|meaning', rows)}"


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield a command, or the commands of a group, with their names."""
    if isinstance(command, click.Group) or hasattr(command, "commands"):
        for name, sub in command.commands.items():  # type: ignore[attr-defined]
            yield from commands(sub, f"{path} {name}")
    else:
        yield path, command


def commands_page() -> str:
    """Return the page of commands."""
    parts = [f"{MADE}{COMMANDS}"]
    for path, command in commands(typer.main.get_command(app), "one-async"):
        rows = [option_row(one) for one in command.params if one.name != "help"]
        parts.append(
            f"\n## {path}\n\n{' '.join((command.help or '').split())}\n\n"
            + (table("argument|meaning", rows) if rows else "")
        )
    return "".join(parts)


def option_row(parameter: Any) -> tuple[str, str]:
    """Return a row of the table of a command."""
    is_option = parameter.param_type_name == "option"
    names = (
        [*parameter.opts, *parameter.secondary_opts]
        if is_option
        else [(parameter.metavar or parameter.name).upper()]
    )
    return ", ".join(f"`{name}`" for name in names), getattr(parameter, "help", None) or ""


def harvest_page() -> str:
    """Return the page of the tables of a tidy harvest."""
    schema = Schema(json.loads(OPENAPI.read_text("utf-8")))
    parts = [f"{MADE}{HARVEST}"]
    for endpoint in schema.lists:
        columns = tidy_columns(schema, columns_of(schema, endpoint)).report()
        rows = [
            (f"`{column.name}`", f"`{column.type}`", column.meaning, references(column)) for column in columns
        ]
        parts.append(f"\n## {endpoint}\n\n{table('column|type|meaning|refers to', rows)}")
    return "".join(parts)


def methods_page() -> str:
    """Return the page of all methods, with the pages that use them."""
    shown = used_on_pages()
    parts = [f"{MADE}{METHODS}"]
    for title, kind, page in CLASSES:
        rows = [
            (
                linked(kind, name, page),
                summary(doc_of(getattr(kind, name))),
                ", ".join(f"[{path.stem}](../{path.as_posix()})" for path in shown.get(name, ())),
            )
            for name in dir(kind)
            if not name.startswith("_")
        ]
        parts.append(f"\n## {title}\n\n{table('name|meaning|shown on', rows)}")
    return "".join(parts)


def linked(kind: type, name: str, page: str) -> str:
    """Return the name of a method, with a link unless it is a function of another module, which mkdocstrings omits."""
    member = inspect.getattr_static(kind, name)
    is_function = isinstance(member, staticmethod) and "." not in member.__func__.__qualname__
    if is_function or name in SET_BY_INIT:
        return f"`{name}`"
    return f"[`{name}`]({page}#{kind.__module__}.{kind.__qualname__}.{name})"


def doc_of(member: Any) -> str:
    """Return the first sentence of a method's or property's docstring."""
    text = " ".join(summary(inspect.getdoc(member)).split()).rstrip(":")
    return re.split(r"(?<=\.)\s", text, maxsplit=1)[0]


def used_on_pages() -> dict[str, list[Path]]:
    """Return the pages whose code uses each method or property, at most three for each."""
    found: dict[str, list[Path]] = {}
    for page in sorted({*DOCS.glob("*.md"), *DOCS.glob("concepts/*.md"), *DOCS.glob("howto/*.md")}):
        if page.name not in MEASURED:
            code = "\n".join(
                re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
            )
            for name in set(re.findall(r"\.(\w+)", code)):
                found.setdefault(name, []).append(page.relative_to(DOCS))
    return {name: pages[:3] for name, pages in found.items()}


def references(column: ColumnReport) -> str:
    """Return the references of a column or of its parts to other columns."""
    return ", ".join(
        f"`{to}`" if path == column.name else f"`{path}` to `{to}`" for path, to in column.references.items()
    )


def llms_text() -> str:
    """Return llms.txt: a description of the project and the addresses of the pages, for programs that read them."""
    site = tomllib.loads((DOCS.parent / "zensical.toml").read_text("utf-8"))["project"]
    lines = [f"# {site['site_name']}", "", f"> {site['site_description']}.", ""]
    lines += LLMS.splitlines()
    sections: dict[str, list[dict[str, str]]] = {}
    for entry in site["nav"]:
        [(title, inside)] = entry.items()
        if isinstance(inside, str):
            sections.setdefault("Start", []).append(entry)
        else:
            sections[title] = inside
    for title, listed in sections.items():
        found = [(name, path, first_sentence(DOCS / path)) for one in listed for name, path in one.items()]
        lines += ["", f"## {title}", ""]
        lines += [f"- [{name}]({address(path)}){': ' if about else ''}{about}" for name, path, about in found]
    return "\n".join(lines) + "\n"


def address(path: str) -> str:
    """Return the address of a page in the built site."""
    return "index.html" if path == "index.md" else path.removesuffix(".md") + "/"


def first_sentence(page: Path) -> str:
    """Return the first sentence of prose on a page."""
    text = re.sub(
        r"<!--.*?-->|^#.*?$|^```.*?^```$|^:::.*?$",
        "",
        page.read_text("utf-8"),
        flags=re.MULTILINE | re.DOTALL,
    )
    paragraph = next((part for part in text.split("\n\n") if re.match(r"[A-Z`]", part.strip())), "")
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(paragraph.split()))
    return re.split(r"(?<=\.)\s", plain, maxsplit=1)[0]


PAGES = {
    "reference/errors.md": errors_page,
    "reference/settings.md": settings_page,
    "reference/environment.md": environment_page,
    "reference/commands.md": commands_page,
    "reference/methods.md": methods_page,
    "reference/harvest-schema.md": harvest_page,
    "llms.txt": llms_text,
}

if __name__ == "__main__":
    for name, make in PAGES.items():
        (DOCS / name).write_text(make(), encoding="utf-8")
