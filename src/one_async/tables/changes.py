"""The changes that a build of tables made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from one_async import _display

__all__ = ["BuildReport", "Changes"]


@dataclass(frozen=True)
class Changes:
    """The numbers of new, removed, changed and unchanged rows of a table since the last build."""

    new: int = 0
    gone: int = 0
    changed: int = 0
    unchanged: int = 0

    def __bool__(self) -> bool:
        """Return whether any row is new, removed or changed."""
        return bool(self.new or self.gone or self.changed)

    def __str__(self) -> str:
        """Return the numbers as text, such as ``2 new, 1 gone, 340 unchanged``."""
        shown = {name: value for name, value in asdict(self).items() if value or name != "changed"}
        return ", ".join(f"{value:,} {name}" for name, value in shown.items())


class BuildReport(tuple[Path, Path]):
    """The files of sessions and datasets that a build wrote, and its changes: ``sessions, datasets = report.files``.

    ``written`` is whether the files were replaced; they are not if nothing has changed.

    Examples:
        >>> from one_async.tables.build import make_parquet_db
        >>> report = make_parquet_db(data_dir)
        >>> report.written, [file.name for file in report.files]
        (True, ['sessions.pqt', 'datasets.pqt'])
    """

    sessions: Changes
    datasets: Changes
    written: bool

    def __new__(
        cls, files: tuple[Path, Path], sessions: Changes, datasets: Changes, written: bool = True
    ) -> Self:
        """Create a report; it is a tuple of the two files."""
        self = super().__new__(cls, files)
        self.sessions, self.datasets, self.written = sessions, datasets, written
        return self

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.files, self.sessions, self.datasets, self.written

    @property
    def files(self) -> tuple[Path, Path]:
        """The files of sessions and of datasets."""
        return self[0], self[1]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-compatible values.

        Examples:
            >>> from one_async.tables.build import make_parquet_db
            >>> make_parquet_db(data_dir).to_dict()["sessions"]
            {'new': 1, 'gone': 0, 'changed': 0, 'unchanged': 0}
        """
        return {
            "files": [str(file) for file in self.files],
            "written": self.written,
            "sessions": asdict(self.sessions),
            "datasets": asdict(self.datasets),
        }

    def __str__(self) -> str:
        return f"sessions: {self.sessions}; datasets: {self.datasets}"

    def __repr__(self) -> str:
        return f"BuildReport({self})"

    def _repr_html_(self) -> str:
        tables: Mapping[str, object] = {
            "sessions": self.sessions,
            "datasets": self.datasets,
            "folder": self[0].parent,
        }
        return _display.card("tables of a folder", tables)
