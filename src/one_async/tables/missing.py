"""Remove the files of a folder that are not in its tables."""

from __future__ import annotations

import os
from pathlib import Path

from one_async.tables.catalogue import Catalogue
from one_async.tables.scan import iter_sessions, scan_session

__all__ = ["remove_missing_datasets"]


def remove_missing_datasets(
    cache_dir: str | Path,
    catalogue: Catalogue | None = None,
    remove_empty_sessions: bool = True,
    dry: bool = True,
) -> list[Path]:
    """Delete the ALF files of a folder that are not in its tables, and session folders that become empty.

    Return the sorted paths; with ``dry``, nothing is deleted. Files without ALF names and empty folders of sessions in the
    tables are kept. The tables are those of ``catalogue`` or of the folder.
    """
    root = Path(cache_dir)
    tables = Catalogue.open(root) if catalogue is None else catalogue
    known = {
        root / path: eid
        for eid, path in zip(tables.session_frame["eid"], tables.folders, strict=True)
        if path is not None
    }
    doomed: set[Path] = set()
    for session in iter_sessions(root):
        folder = Path(session)
        rows = tables.dataset_table.rows_of(known[folder]) if folder in known else slice(0, 0)
        kept = set(tables.dataset_table.rel_paths(rows))
        files = (folder / path for path in scan_session(str(folder)).paths)
        doomed |= {file for file in files if file.relative_to(folder).as_posix() not in kept}
        if remove_empty_sessions and folder not in known:
            doomed.add(folder)
    paths = sorted(doomed)
    if not dry:
        _delete(paths, root)
    return paths


def _delete(paths: list[Path], root: Path) -> None:
    for path in paths:
        if path.is_file() or path.is_symlink():
            path.unlink()
    for folder in (path for path in paths if path.is_dir()):
        for top, _, _ in os.walk(folder, topdown=False):
            if not any(Path(top).iterdir()):
                Path(top).rmdir()
        parent = folder.parent
        while (
            not folder.exists()
            and parent != root
            and parent.is_relative_to(root)
            and not any(parent.iterdir())
        ):
            parent.rmdir()
            parent = parent.parent
