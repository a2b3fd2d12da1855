"""The existing tables of a folder, read for the next build."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final

import polars as pl

from one_async.alf.session_paths import FOLDER, session_folders
from one_async.errors import InputError, TablesDamaged
from one_async.tables import install
from one_async.tables.catalogue import as_texts
from one_async.tables.polars_files import count_rows
from one_async.tables.schema import DATASETS, SESSIONS, read_table

__all__ = ["DATASET_COLUMNS", "OldTables", "table_files"]

DATASET_COLUMNS: Final = {name: dtype for name, dtype in DATASETS.items() if name != "default_revision"}
_ADVICE: Final = "; overwrite=True (--overwrite) replaces them, and out_dir= (--out) writes to another folder"


def table_files(folder: Path) -> dict[str, Path]:
    """Return the files of the tables of a folder, by name."""
    return {name: folder / f"{name}.pqt" for name in ("sessions", "datasets")}


class OldTables:
    """The sessions and datasets of earlier tables; empty if there are none. Datasets are read on first use."""

    def __init__(self, folder: Path, *, overwrite: bool = True) -> None:
        """Read the tables of a folder.

        Without ``overwrite``, raises InputError for tables that were not built from a folder or cannot be read.
        """
        install.finish(folder)
        self._overwrite = overwrite
        self._files = {name: path for name, path in table_files(folder).items() if path.exists()}
        self._raw: dict[str, dict[str, Any]] = {}
        frame = self._read("sessions", pl.DataFrame(schema=SESSIONS))
        frame = frame.with_columns(session_folders(frame).alias(FOLDER)).select(*SESSIONS, FOLDER)
        #: Their columns, and the folder of each.
        self.sessions = frame.unique("eid", keep="first", maintain_order=True)
        if not overwrite and self._files:
            if "datasets" in self._files:
                self.count()
            self._check_origin(folder)

    @property
    def is_complete(self) -> bool:
        """Whether there are both tables."""
        return len(self._files) == 2

    @property
    def origins(self) -> list[str]:
        """The databases or folders of the sessions."""
        return sorted({text for raw in self._raw.values() for text in as_texts(raw.get("origin"))})

    def count(self) -> int:
        """Return the number of datasets, without reading them."""
        if "datasets" not in self._files:
            return 0
        try:
            return count_rows(self._files["datasets"])
        except (pl.exceptions.PolarsError, OSError, ValueError) as error:
            raise self._damaged(str(error).splitlines()[0]) from error

    @cached_property
    def datasets(self) -> pl.DataFrame:
        """The datasets, without ``default_revision``."""
        return self._read("datasets", pl.DataFrame(schema=DATASET_COLUMNS)).select(list(DATASET_COLUMNS))

    def _read(self, name: str, empty: pl.DataFrame) -> pl.DataFrame:
        if name not in self._files:
            return empty
        try:
            frame, self._raw[name] = read_table(self._files[name], name)
        except TablesDamaged as error:
            if self._overwrite:
                return empty
            raise self._damaged(str(error)) from error
        return frame

    def _damaged(self, why: str) -> InputError:
        return InputError(f"tables cannot be read: {why}{_ADVICE}", argument="overwrite", given=False)

    def _check_origin(self, folder: Path) -> None:
        origins = self.origins or ["an unknown place"]
        if not all(map(_is_folder, origins)):
            text = f"the tables in {folder} were not built from a folder, but came from {', '.join(origins)}{_ADVICE}"
            raise InputError(text, argument="overwrite", given=False)


def _is_folder(origin: str) -> bool:
    """Return whether tables were built from a folder, on this or another machine."""
    return PurePosixPath(origin).is_absolute() or PureWindowsPath(origin).is_absolute()
