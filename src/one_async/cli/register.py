"""The command ``register``: register sessions with their files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.cells import cell_len
from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from one_async.cli.options import Folder, Json, Url, User, as_path, connect, fail
from one_async.cli.show import (
    console,
    count_text,
    is_piped,
    one_line,
    plain_table,
    print_json,
    print_problem,
    print_titled,
    print_tsv,
    size_text,
    waiting,
)
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
            parser=as_path, metavar="FOLDER", help="Session folders: …/lab/Subjects/subject/date/number."
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be sent without sending it.")
    ] = False,
    lab: Annotated[
        str | None, typer.Option(metavar="NAME", help="The lab, if the path does not contain it.")
    ] = None,
    users: Annotated[
        list[str] | None,
        typer.Option(metavar="NAMES", help="Users of the sessions; may be repeated or separated by commas."),
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option(metavar="REVISION", help="Revision for protected files; default: today's date."),
    ] = None,
    repository: Annotated[
        str | None, typer.Option(metavar="NAME", help="The repository that holds the files.")
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Copy files to this folder or s3:// address first.")
    ] = None,
    url: Url = None,
    user: User = None,
    cache_dir: Folder = None,
    as_json: Json = False,
) -> None:
    """Register sessions with their files.

    Registered files are not sent again. Piped output has one line for each session: eid, subject/date/number,
    registered files. With --dry-run it has one for each file: status, bytes, path, eid, dataset type, reason.
    """
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
            if not as_json and not is_piped():
                print_plan(plan)
            if dry_run:
                if as_json:
                    print_json(plan.to_dicts())
                elif is_piped():
                    print_tsv(_rows(plan))
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


def _rows(plan: pl.DataFrame) -> Iterator[tuple[object, ...]]:
    """Yield the values of each file of a plan, for other programs."""
    for row in plan.iter_rows(named=True):
        path = f"{row['session']}/{row['file']}"
        yield row["status"], row["size"], path, row["eid"], row["dataset_type"], row["reason"]


def print_plan(plan: pl.DataFrame) -> None:
    """Print a table of the planned files for each session."""
    for (session,), files in plan.group_by("session", maintain_order=True):
        counts = ", ".join(f"{count:,} {status}" for status, count in Counter(files["status"]).items())
        identity = "new session" if files["eid"][0] is None else f"session {files['eid'][0]}"
        table = plain_table()
        # The reason wraps before the names of files do, unless they are very long.
        widest = {"file": min(max(map(cell_len, files["file"]), default=0), console.width * 2 // 5)}
        for name in ("file", "dataset type", "size", "status", "reason"):
            justify: JustifyMethod = "right" if name == "size" else "left"
            table.add_column(name, justify=justify, overflow="fold", min_width=widest.get(name))
        for row in files.iter_rows(named=True):
            status = Text(row["status"], _COLOURS.get(row["status"], "red"))
            name, kind, reason = (one_line(row[name] or "") for name in ("file", "dataset_type", "reason"))
            table.add_row(name, kind, size_text(row["size"]), status, reason)
        print_titled(f"{session}, {identity}: {counts}", table)


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
    rows = [(session["id"], _name(session), files[session["id"]]) for session in sessions]
    if is_piped():
        print_tsv(rows)
    elif rows or not refused:
        title = f"registered: {count_text(len(rows), 'session')}, {count_text(len(records), 'file')}"
        print_titled(title, _registered(rows))
    for path, reason in refused.items():
        print_problem("refused", f" {path}: {reason}")


def _name(session: Mapping[str, Any]) -> str:
    return f"{session['subject']}/{str(session['start_time'])[:10]}/{session['number']:03d}"


def _registered(rows: Sequence[tuple[Any, str, int]]) -> Table:
    """Return the table of the registered sessions."""
    table = plain_table()
    for name in ("session", "id", "files"):
        table.add_column(name, justify="right" if name == "files" else "left", overflow="fold")
    for eid, name, files in rows:
        table.add_row(one_line(name), one_line(eid), f"{files:,}")
    return table
