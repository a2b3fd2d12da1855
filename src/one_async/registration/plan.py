"""Compare files with the database and set their status: new, exists, changed, new revision or protected."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

from one_async.registration.local import LocalFile, SessionFolder

if TYPE_CHECKING:
    import polars as pl

__all__ = ["FileActions", "Options", "assign_actions", "moved_path", "plan_frame"]


@dataclass(frozen=True)
class Options:
    """The options for all files of a call; the names are ONE-api's."""

    default: bool = True
    created_by: str | None = None
    server_only: bool = False
    repository: str | None = None
    exists: bool = True
    max_md5_size: int | None = None
    labs: str | None = None
    qc: str | None = None
    revision: str | None = None
    """The new revision of protected files; today's date if None."""
    to: Any = None
    """The storage to which files are copied before they are registered."""


@dataclass
class FileActions:
    """The files of a session by the action that they need."""

    send: list[LocalFile] = field(default_factory=list)
    keep: list[LocalFile] = field(default_factory=list)
    """Files that are registered completely."""
    move: list[tuple[LocalFile, str]] = field(default_factory=list)
    """Protected files, each with its new revision."""


def assign_actions(
    files: Sequence[LocalFile],
    rows: Iterable[Mapping[str, Any]],
    options: Options,
    repositories: Iterable[str] = (),
    today: date | None = None,
) -> FileActions:
    """Set the status of each file of a session and return the action it needs; blocking, since it checks paths on disk.

    ``rows`` are the session's datasets as ``/datasets`` lists them, ``repositories`` those in which each file should have a
    record. Files that are refused already are left out.
    """
    matching: defaultdict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        matching[row.get("collection") or "", row["name"]].append(row)
    wanted = set(repositories)
    actions = FileActions()
    for group in _groups(files):
        others = matching[group[0].collection, group[0].name]
        is_sending = False
        for file in group:
            is_last = file is group[-1]
            _set_status(file, others)
            if file.is_refused:
                continue
            default = options.default if is_last else None
            if file.status == "protected":
                taken = {one.revision for one in group}
                revision = _free_revision(file, others, options, taken, today or date.today())
                if revision is None:
                    file.refuse(
                        "refused", "the dataset is protected, and all names for a new revision are taken"
                    )
                    continue
                actions.move.append((file, revision))
            if file.status == "exists" and not is_sending and _is_complete(file, wanted, default, options):
                actions.keep.append(file)
                continue
            if file.status == "exists":
                file.reason = "the content is registered; flags or file records will be completed"
            actions.send.append(file)
            is_sending = True
    return actions


def _groups(files: Iterable[LocalFile]) -> Iterator[list[LocalFile]]:
    """Group files by dataset, in order: the last revision that is sent becomes the default."""
    groups: dict[tuple[str, str], list[LocalFile]] = {}
    for file in files:
        if not file.is_refused:
            groups.setdefault((file.collection, file.name), []).append(file)
    yield from groups.values()


def _set_status(file: LocalFile, others: Sequence[Mapping[str, Any]]) -> None:
    same = [row for row in others if (row.get("revision") or "") == file.revision]
    file.has_protected = any(row.get("protected") for row in others)
    if len(same) > 1:
        ids = ", ".join(sorted(row["id"] for row in same))
        file.refuse(
            "ambiguous dataset", f"the database has {len(same)} datasets of this path and revision: {ids}"
        )
        return
    row = file.row = dict(same[0]) if same else None
    if row is not None and file.hash is not None and str(row.get("hash")).casefold() == file.hash:
        file.status, file.reason = "exists", "the same content is registered"
    elif (row is not None and row.get("protected")) or (
        row is None and not file.revision and file.has_protected
    ):
        file.status, file.reason = "protected", "the registered dataset is protected"
    elif row is not None:
        known = "no hash" if not row.get("hash") else f"the hash {row['hash']}"
        file.status, file.reason = "changed", f"registered with {known}"
    elif others:
        revisions = ", ".join(sorted(str(row.get("revision") or "without revision") for row in others))
        file.status, file.reason = "new revision", f"registered revisions: {revisions}"
    else:
        file.status, file.reason = "new", ""


def _free_revision(
    file: LocalFile,
    others: Sequence[Mapping[str, Any]],
    options: Options,
    taken: Iterable[str],
    today: date,
) -> str | None:
    """Return a free revision for a protected file: the requested one or today's date, with a letter if that is taken.

    Return None if all letters are taken.
    """
    unavailable = {row.get("revision") or "" for row in others if row.get("protected")} | set(taken)
    first = options.revision or today.isoformat()
    for name in (first, *(f"{first}{letter}" for letter in ascii_lowercase)):
        if name not in unavailable and not moved_path(file, name).exists():
            file.reason += f"; the file becomes revision {name}"
            return name
    return None


def moved_path(file: LocalFile, revision: str) -> Path:
    """Return the path that a file has in another revision."""
    folder = file.path.parent.parent if file.revision else file.path.parent
    return folder / f"#{revision}#" / file.name


def _is_complete(file: LocalFile, repositories: set[str], default: bool | None, options: Options) -> bool:
    """Return whether a request would change nothing but the time of registration."""
    assert file.row is not None
    row = file.row
    records = {one.get("data_repository") for one in row.get("file_records") or ()}
    if not records or not repositories <= records:
        return False
    if default is not None and bool(row.get("default_dataset")) != default:
        return False
    if file.version is not None and row.get("version") != file.version:
        return False
    if options.qc is not None and str(row.get("qc")) != options.qc.upper():
        return False
    return row.get("file_size") == file.size


def plan_frame(files: Sequence[LocalFile], eids: Mapping[SessionFolder, str | None]) -> pl.DataFrame:
    """Return the frame of a dry run: a row for each file, in order; uses Polars."""
    import polars as pl

    schema: dict[str, Any] = {
        **dict.fromkeys(
            ("session", "eid", "file", "dataset_type", "collection", "revision", "hash"), pl.String
        ),
        "size": pl.Int64,
        "status": pl.String,
        "reason": pl.String,
    }
    rows = []
    for file in files:
        session = file.session
        rows.append(
            {
                "session": session.relative if session else None,
                "eid": eids.get(session) if session else None,
                "file": file.rel_path if session else str(file.path),
                **{name: getattr(file, name) for name in ("dataset_type", "collection", "revision")},
                **{name: getattr(file, name) for name in ("hash", "size", "status", "reason")},
            }
        )
    return pl.DataFrame(rows, schema=schema)
