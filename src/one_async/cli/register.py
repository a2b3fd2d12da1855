"""The command ``register``: register sessions with their files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from one_async.cli.options import Folder, Json, Url, User, as_path, connect, fail
from one_async.cli.show import console, plain, print_json, stderr, waiting
from one_async.errors import OneError, RegistrationError
from one_async.registration.local import PROBLEMS

if TYPE_CHECKING:
    import polars as pl

#: The colour of each file status.
_COLOURS = {
    "new": "green",
    "new revision": "green",
    "changed": "yellow",
    "protected": "yellow",
    "exists": "dim",
}


def register(
    folders: Annotated[
        list[Path],
        typer.Argument(
            parser=as_path,
            metavar="FOLDERS...",
            help="Session folders: …/lab/Subjects/subject/date/number.",
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be sent without sending it.")
    ] = False,
    lab: Annotated[str | None, typer.Option(help="The lab, if the path does not contain it.")] = None,
    users: Annotated[
        list[str] | None, typer.Option(help="Users of the sessions; may be repeated or separated by commas.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="Revision for protected files; default: today's date.")
    ] = None,
    repository: Annotated[str | None, typer.Option(help="The repository that holds the files.")] = None,
    to: Annotated[str | None, typer.Option(help="Copy files to this folder or s3:// address first.")] = None,
    url: Url = None,
    user: User = None,
    cache_dir: Folder = None,
    as_json: Json = False,
) -> None:
    """Register sessions with their files; registered files are not sent again."""
    names = [name for text in users or () for name in text.split(",")]
    options: dict[str, Any] = {
        "lab": lab,
        "users": names,
        "revision": revision,
        "repository": repository,
        "to": to,
    }
    given = {name: value for name, value in options.items() if value}
    paths = [str(folder) for folder in folders]
    try:
        with connect(url, user, cache_dir, silent=True) as one:
            with waiting("checking …"):
                plan = one.register_session(paths, dry_run=True, **given)
            if not as_json:
                console.print(*plan_tables(plan))
            if dry_run:
                if as_json:
                    print_json(plan.to_dicts())
                raise typer.Exit(int(_is_bad(plan)))
            try:
                with waiting("registering …"):
                    results = one.register_session(paths, **given)
            except RegistrationError as error:
                report(error.sessions, error.registered, error.refused, as_json)
                raise typer.Exit(1) from error
    except OneError as error:
        if isinstance(error, RegistrationError):
            report(error.sessions, error.registered, error.refused, as_json)
            raise typer.Exit(1) from error
        fail(error)
    report([record for record, _ in results], [one for _, some in results for one in some or ()], {}, as_json)


def _is_bad(plan: pl.DataFrame) -> bool:
    """Return whether files cannot be registered, except those without a dataset type, which are skipped in folders."""
    return bool(set(plan["status"]) & (PROBLEMS - {"no type"}))


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", header_style="cyan", box=SIMPLE_HEAD, pad_edge=False)


def plan_tables(plan: pl.DataFrame) -> list[Table]:
    """Return a table of the planned files for each session."""
    tables = []
    for (session,), files in plan.group_by("session", maintain_order=True):
        counts = ", ".join(f"{count:,} {status}" for status, count in Counter(files["status"]).items())
        identity = "new session" if files["eid"][0] is None else f"session {files['eid'][0]}"
        table = _table(f"{plain(session)}, {identity}: {counts}")
        for name in ("file", "dataset type", "size", "status", "reason"):
            table.add_column(name, justify="right" if name == "size" else "left", overflow="fold")
        for row in files.iter_rows(named=True):
            status = Text(row["status"], _COLOURS.get(row["status"], "red"))
            size = "" if row["size"] is None else f"{row['size']:,}"
            table.add_row(
                plain(row["file"]), plain(row["dataset_type"] or ""), size, status, plain(row["reason"])
            )
        tables.append(table)
    return tables


def report(
    sessions: Sequence[Mapping[str, Any]],
    records: Sequence[Mapping[str, Any]],
    refused: Mapping[str, str],
    as_json: bool,
) -> None:
    """Print what was registered and what was refused."""
    if as_json:
        print_json({"sessions": list(sessions), "files": list(records), "refused": dict(refused)})
        return
    files = Counter(str(record["session"]) for record in records)
    table = _table(f"registered: {len(sessions):,} sessions, {len(records):,} files")
    for name in ("session", "id", "files"):
        table.add_column(name, justify="right" if name == "files" else "left", overflow="fold")
    for session in sessions:
        name = f"{session['subject']}/{str(session['start_time'])[:10]}/{session['number']:03d}"
        table.add_row(plain(name), plain(session["id"]), f"{files[session['id']]:,}")
    console.print(table)
    for path, reason in refused.items():
        stderr.print(Text.assemble(("refused", "red"), f" {plain(path)}: {plain(reason)}"), soft_wrap=True)
