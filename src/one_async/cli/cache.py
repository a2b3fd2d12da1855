"""The commands ``one-async cache``: inspect, verify and clean a cache folder."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from one_async.cli.options import Command, Folder, Json, Url, User, connect, fail, known_eids
from one_async.cli.show import (
    console,
    count_text,
    is_piped,
    plain,
    print_fields,
    print_json,
    print_tsv,
    size_text,
    stderr,
    waiting,
)
from one_async.errors import ALFObjectNotFound, ConfigurationError, InputError, OneError

if TYPE_CHECKING:
    from one_async.settings import Settings

cache_app = typer.Typer(help="The folder of data files, tables and REST answers.", no_args_is_help=True)

#: The partial file of an interrupted download, or the temporary file of a killed process.
_UNFINISHED = re.compile(r"\..+(\.[0-9a-f]{16}(\.[0-9a-f]{8})?\.part|\.tmp)", re.DOTALL)
_DAY = 24 * 3600.0


def _settings(url: str | None, user: str | None, cache_dir: Path | None) -> Settings:
    """Return the settings. Raises InputError for a given folder, else ConfigurationError, if it does not exist."""
    from one_async.settings import resolve

    known = resolve(base_url=url, username=user, cache_dir=cache_dir)
    if not known.cache_dir.is_dir():
        if cache_dir is not None and known.cache_bucket is None:
            raise InputError.of("cache_dir", str(cache_dir), "a folder that exists")
        raise ConfigurationError(f"there is no folder {known.cache_dir}", path=str(known.cache_dir))
    return known


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield the files below a folder without following links; skip unreadable folders."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path))
        elif entry.is_file(follow_symlinks=False):
            yield entry


def _kind(path: Path, root: Path) -> str:
    """Return which part of the cache a file belongs to."""
    if _UNFINISHED.fullmatch(path.name):
        return "unfinished"
    parts = path.relative_to(root).parts
    if ".rest" in parts:
        return "REST answers"
    if any(part.startswith(".") for part in parts) or (
        len(parts) == 1 and path.suffix in (".pqt", ".json", ".zip")
    ):
        return "tables"
    return "data"


@cache_app.command(cls=Command)
def info(url: Url = None, user: User = None, cache_dir: Folder = None, as_json: Json = False) -> None:
    """Show the contents of the cache folder.

    Data files, tables, REST answers and unfinished downloads.
    """
    try:
        known = _settings(url, user, cache_dir)
        with waiting("counting …"):
            answer = _info(known)
    except OneError as error:
        fail(error)
    if as_json:
        print_json(answer)
        return
    lines = {"folder": answer["folder"]}
    for name, found in answer["holds"].items():
        lines[name] = f"{count_text(found['files'], 'file')}, {size_text(found['bytes'])}"
    for name, age in answer["tables"].items():
        lines[name] = f"written {age}"
    lines["free on disk"] = size_text(answer["free"])
    print_fields(lines)


def _info(known: Settings) -> dict[str, Any]:
    roots = {known.cache_dir, known.tables_dir, *([known.rest_cache_dir] if known.rest_cache_dir else [])}
    holds = {name: {"files": 0, "bytes": 0} for name in ("data", "tables", "REST answers", "unfinished")}
    for root in roots:
        for entry in _files(root):
            if any(
                other != root and root in other.parents and Path(entry.path).is_relative_to(other)
                for other in roots
            ):
                continue  # counted as part of the inner folder
            found = holds[_kind(Path(entry.path), root)]
            found["files"] += 1
            found["bytes"] += entry.stat(follow_symlinks=False).st_size
    tables = {
        path.name: time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))
        for path in sorted(known.tables_dir.glob("*.pqt"))
    }
    existing = next((path for path in (known.cache_dir, *known.cache_dir.parents) if path.exists()), None)
    free = shutil.disk_usage(existing).free if existing else None
    return {"folder": str(known.cache_dir), "holds": holds, "tables": tables, "free": free}


@cache_app.command(cls=Command)
def verify(
    sessions: Annotated[
        list[str] | None,
        typer.Argument(metavar="SESSION", help="Sessions; default: all that are on disk."),
    ] = None,
    url: Url = None,
    user: User = None,
    cache_dir: Folder = None,
    mode: Annotated[
        str,
        typer.Option(
            metavar="MODE", help="local: compare with the tables; remote: compare with the database."
        ),
    ] = "local",
    as_json: Json = False,
) -> None:
    """Compare the files on disk with their records.

    Compares sizes and hashes, and exits with status 1 if any differs.
    """
    try:
        _settings(url, user, cache_dir)
        with connect(url, user, cache_dir, mode=mode) as one, waiting("reading files …"):
            eids = known_eids(one, sessions) if sessions else [str(eid) for eid in one.search()]
            folders = dict(zip(eids, one.eid2path(eids) if eids else [], strict=True))
            if sessions and None in folders.values():
                unknown = next(eid for eid, folder in folders.items() if folder is None)
                raise ALFObjectNotFound(f"no session has the id {unknown}", eid=unknown)
            on_disk = [eid for eid, folder in folders.items() if folder is not None and Path(folder).is_dir()]
            table = one.download(on_disk, dry_run=True, check_hash=True) if on_disk else None
            root = Path(one.cache_dir)
    except OneError as error:
        fail(error)
    good, bad = 0, []
    for row in [] if table is None else table.iter_rows(named=True):
        path = root / row["dataset"]
        if row["status"] == "present":
            good += 1
        elif path.exists():
            bad.append({"path": str(path), "eid": row["eid"], "did": row["did"]})
    if as_json:
        print_json({"right": good, "wrong": bad})
    elif is_piped():
        print_tsv(row.values() for row in bad)
    else:
        console.print(f"{count_text(good, 'file')} as recorded, {len(bad):,} different", highlight=False)
        for row in bad:
            stderr.print(plain(row["path"]), highlight=False, soft_wrap=True)
        if bad:
            stderr.print("one-async download SESSION downloads them again", highlight=False)
    if bad:
        raise typer.Exit(1)


@cache_app.command(cls=Command)
def prune(
    url: Url = None,
    user: User = None,
    cache_dir: Folder = None,
    days: Annotated[
        float, typer.Option(min=0, metavar="DAYS", help="Keep unfinished files younger than this.")
    ] = 1.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be deleted.")] = False,
) -> None:
    """Delete unfinished files of interrupted downloads.

    Also those that killed processes left. Data files, tables and answers are kept.
    """
    try:
        known = _settings(url, user, cache_dir)
    except OneError as error:
        fail(error)
    count = size = 0
    with waiting("scanning …"):
        for root in {known.cache_dir, known.tables_dir}:
            for entry in _files(root):
                path = Path(entry.path)
                found = entry.stat(follow_symlinks=False)
                if _kind(path, root) != "unfinished" or time.time() - found.st_mtime < days * _DAY:
                    continue
                if not dry_run:
                    try:
                        path.unlink(missing_ok=True)
                    except OSError as error:
                        stderr.print(plain(f"{path}: {error}"), highlight=False, soft_wrap=True)
                        continue
                count, size = count + 1, size + found.st_size
    outcome = "would be deleted" if dry_run else "deleted"
    console.print(f"{count_text(count, 'unfinished file')} {outcome}, {size_text(size)}", highlight=False)


@cache_app.command(cls=Command)
def clear(
    url: Url = None,
    user: User = None,
    cache_dir: Folder = None,
    tables: Annotated[bool, typer.Option("--tables", help="Also delete the cache tables.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
) -> None:
    """Delete this user's cached REST answers.

    With --tables also the cache tables. Data files are kept.
    """
    try:
        known = _settings(url, user, cache_dir)
        what = f"the REST answers{' and the tables' if tables else ''} in {known.cache_dir}"
        if not yes and not typer.confirm(f"Delete {plain(what)}?"):
            raise typer.Exit(1)
        if not known.offline:
            with connect(url, user, cache_dir) as one:
                one.alyx.clear_rest_cache()
        if tables:
            for path in [*known.tables_dir.glob("*.pqt"), known.tables_dir / "cache_info.json"]:
                path.unlink(missing_ok=True)
    except OneError as error:
        fail(error)
    console.print(plain(f"deleted {what}"), highlight=False, soft_wrap=True)
