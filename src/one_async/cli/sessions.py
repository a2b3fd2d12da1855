"""The commands that find sessions and download their files: ``search``, ``ls``, ``show`` and ``download``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from one_async.cli.options import Folder, Json, Url, User, as_path, connect, fail, known_eids, parse_terms
from one_async.cli.show import (
    console,
    count_text,
    is_piped,
    listing,
    print_fields,
    print_json,
    print_problem,
    print_tsv,
    printable,
    size_text,
    stderr,
    waiting,
)
from one_async.errors import InputError, OneError

if TYPE_CHECKING:
    import polars as pl

Mode = Annotated[str | None, typer.Option(metavar="MODE", help="local, remote, auto or refresh.")]
Sessions = Annotated[
    list[str],
    typer.Argument(metavar="SESSION", help="Sessions: eids, paths or references such as 2024-05-06_1_KS046."),
]
Collection = Annotated[
    str | None, typer.Option(metavar="PATTERN", help="Only this collection; * matches any text.")
]
Dataset = Annotated[
    str | None, typer.Option(metavar="PATTERN", help="Only datasets with this name; * matches any text.")
]

#: Columns of `search` and their widths, most important first; the terminal shows as many as fit.
_SESSION_COLUMNS = {
    "eid": 36,
    "subject": 14,
    "date": 10,
    "number": 3,
    "lab": 13,
    "task_protocol": 20,
    "projects": 20,
}
_DATASET_COLUMNS = ("path", "bytes", "qc", "eid", "did")


def search(
    terms: Annotated[
        list[str], typer.Argument(metavar="TERM=VALUE", help="Commas separate several values of a term.")
    ],
    url: Url = None,
    user: User = None,
    cache_dir: Folder = None,
    mode: Mode = None,
    limit: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="The most sessions to show; default on a terminal: 20."),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Columns to show, separated by commas.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Find sessions.

    For example: one-async search lab=cortexlab date=2024-01-01,2024-06-30 datasets=spikes.times.npy

    Piped output has one line for each session, with tab-separated values, the eid first.
    """
    try:
        with connect(url, user, cache_dir, mode=mode) as one, waiting("searching …"):
            _, frame = one.search(details=True, **parse_terms(terms))
        shown = _columns_of(frame, columns)
    except OneError as error:
        fail(error)
    rows = frame.height if limit is None else limit
    if as_json:
        print_json((frame if columns is None else frame.select(shown)).head(rows).to_dicts())
    elif is_piped():
        print_tsv(frame.select(shown).head(rows).iter_rows())
    else:
        widths = {name: _SESSION_COLUMNS.get(name, 20) for name in shown}
        rows = 20 if limit is None else limit
        title = count_text(frame.height, "session")
        listing(frame.select(shown).head(rows).iter_rows(), widths, title, frame.height, fit=columns is None)


def _columns_of(frame: pl.DataFrame, given: str | None) -> list[str]:
    """Return the columns to show. Raises InputError for a column that the sessions do not have."""
    if given is None:
        return [name for name in _SESSION_COLUMNS if name in frame.columns]
    names = [name.strip() for name in given.split(",")]
    for name in names:
        if name not in frame.columns:
            raise InputError.of("columns", name, frame.columns)
    return list(dict.fromkeys(names))


def ls(
    sessions: Sessions,
    url: Url = None,
    user: User = None,
    cache_dir: Folder = None,
    mode: Mode = None,
    collection: Collection = None,
    dataset: Dataset = None,
    as_json: Json = False,
) -> None:
    """List the datasets of sessions.

    Piped output has one line for each dataset: path, bytes, QC, eid and dataset id, separated by tabs.
    """
    try:
        with connect(url, user, cache_dir, mode=mode) as one, waiting("listing …"):
            eids = known_eids(one, sessions)
            frames = one.list_datasets(eids, filename=dataset, collection=collection, details=True)
    except OneError as error:
        fail(error)
    rows = [
        dict(
            zip(
                _DATASET_COLUMNS, (row["rel_path"], row["file_size"], row["qc"], eid, row["did"]), strict=True
            )
        )
        for eid, frame in zip(eids, frames, strict=True)
        for row in frame.sort("rel_path").select("rel_path", "file_size", "qc", "did").to_dicts()
    ]
    if as_json:
        print_json(rows)
        return
    if is_piped():
        print_tsv(row.values() for row in rows)
        return
    for eid, frame in zip(eids, frames, strict=True):
        of_session = [row for row in rows if row["eid"] == eid]
        total = size_text(sum(row["bytes"] or 0 for row in of_session))
        title = f"{eid}: {count_text(frame.height, 'dataset')}, {total}"
        cells = ([row["path"], size_text(row["bytes"]), row["qc"]] for row in of_session)
        listing(cells, {"dataset": 0, "size": 8, "qc": 8}, title, frame.height, right=("size",))


def show(
    session: Annotated[
        str, typer.Argument(metavar="SESSION", help="A session: an eid, a path or a reference.")
    ],
    url: Url = None,
    user: User = None,
    cache_dir: Folder = None,
    mode: Mode = None,
    as_json: Json = False,
) -> None:
    """Show the record, insertions and collections of one session."""
    try:
        with connect(url, user, cache_dir, mode=mode) as one, waiting("reading …"):
            (eid,) = known_eids(one, [session])
            record = dict(one.get_details(eid))
            datasets = one.list_datasets(eid, details=True)
            pids: Sequence[object] = ()
            names: Sequence[object] = ()
            if one.mode != "local":
                record |= cast("dict[str, Any]", one.get_details(eid, full=True))
                pids, names = (found or () for found in one.eid2pid(eid))
            folder = one.eid2path(eid)
    except OneError as error:
        fail(error)
    answer: dict[str, Any] = {"eid": eid, "path": None if folder is None else str(folder)}
    answer |= {name: record[name] for name in _DETAILS if record.get(name) not in (None, "", [])}
    answer["insertions"] = [{"name": name, "pid": str(pid)} for pid, name in zip(pids, names, strict=True)]
    answer["collections"] = _collections(datasets)
    if as_json:
        print_json(answer)
        return
    lines = {
        name: _text(value)
        for name, value in answer.items()
        if name not in ("insertions", "collections") and value is not None
    }
    for insertion in answer["insertions"]:
        lines[insertion["name"]] = insertion["pid"]
    for name, found in answer["collections"].items():
        lines[name or "(no collection)"] = (
            f"{count_text(found['datasets'], 'dataset')}, {size_text(found['bytes'])}"
        )
    print_fields(lines)


#: The fields of a session's record that `show` prints, in this order.
_DETAILS = (
    "lab", "subject", "date", "number", "start_time", "end_time", "users", "projects", "procedures", "task_protocol",
    "location", "qc", "n_trials", "n_correct_trials", "narrative",
)  # fmt: skip


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _collections(datasets: pl.DataFrame) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for path, size in datasets.sort("rel_path").select("rel_path", "file_size").iter_rows():
        entry = found.setdefault(path.rpartition("/")[0].partition("/#")[0], {"datasets": 0, "bytes": 0})
        entry["datasets"] += 1
        entry["bytes"] += size or 0
    return found


def download(
    sessions: Sessions,
    url: Url = None,
    user: User = None,
    cache_dir: Folder = None,
    mode: Mode = None,
    collection: Collection = None,
    dataset: Dataset = None,
    to: Annotated[
        Path | None,
        typer.Option(
            parser=as_path, metavar="PATH", help="The folder to download to; default: the cache folder."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be downloaded.")] = False,
    as_json: Json = False,
) -> None:
    """Download the files of sessions and verify their hashes.

    Exits with status 1 if a file could not be downloaded. Piped output has one line for each file: status, bytes, path, eid.
    """
    try:
        if to is not None and to.is_file():
            raise InputError.of("to", to, "a folder, not a file")
        tables_dir = None if to is None else _tables_dir(url, user, cache_dir)
        with connect(url, user, to or cache_dir, mode=mode, tables_dir=tables_dir) as one:
            table = one.download(
                sessions, filename=dataset, collection=collection, dry_run=dry_run, on_error="collect"
            )
    except OneError as error:
        fail(error)
    if as_json:
        print_json(table.to_dicts())
    elif is_piped():
        print_tsv(table.select("status", "bytes", "path", "eid").iter_rows())
    else:
        _report(table)
    if "failed" in table["status"]:
        raise typer.Exit(1)


def _tables_dir(url: str | None, user: str | None, cache_dir: Path | None) -> Path:
    """Return the configured folder of the tables, which are used even if files go to another folder."""
    from one_async.settings import resolve

    return resolve(base_url=url, username=user, cache_dir=cache_dir).tables_dir


#: The most failed files that a terminal shows.
_MOST_FAILED = 10


def _report(table: pl.DataFrame) -> None:
    labels = {"absent": "to download", "present": "on disk already", "fetched": "downloaded"}
    for status, rows in table.group_by("status", maintain_order=True):
        label, size = labels.get(str(status[0]), str(status[0])), size_text(int(rows["bytes"].sum()))
        console.print(f"{count_text(rows.height, 'file')} {label}, {size}", highlight=False)
    if table.is_empty():
        console.print("no file matches", highlight=False)
    failed = table.filter(table["status"] == "failed")
    for row in failed.head(_MOST_FAILED).iter_rows(named=True):
        print_problem("failed", f" {row['eid']} {row['dataset']}: {row['error']}")
    if failed.height > _MOST_FAILED:
        more = printable(f"… {failed.height - _MOST_FAILED:,} more failed; --json shows all", stderr)
        stderr.print(more, style="dim", highlight=False)
