"""The report of a harvest: one entry per endpoint, as a pydantic model and as JSON beside the data."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, computed_field, field_validator

from one_async import _display
from one_async._addresses import without_login

if TYPE_CHECKING:
    import polars as pl


#: The report's file name.
REPORT = "report.json"
#: The columns that a notebook shows for each endpoint.
_COLUMNS = ("endpoint", "", "rows held", "rows counted", "written", "requests", "seconds", "remarks")
_NUMBERS = _COLUMNS[2:7]
#: The endpoints that the repr shows.
_MOST = 16


class ColumnReport(BaseModel):
    """A column of a tidy table."""

    model_config = ConfigDict(extra="ignore")

    name: str
    type: str = Field(description="DuckDB's type, also of the views")
    dtype: str = Field(description="Polars' type, in frames and Parquet files")
    meaning: str = ""
    references: dict[str, str] = Field(
        default_factory=dict,
        description="the tables and columns that its values refer to, by path: column, column[] or column.field",
    )


class EndpointReport(BaseModel):
    """The result for one endpoint.

    Examples:
        >>> report = one.harvest("labs")
        >>> report["labs"].distinct, report["labs"].complete
        (4, True)
    """

    model_config = ConfigDict(extra="ignore")

    endpoint: str
    filters: dict[str, str] = Field(default_factory=dict)
    holds: dict[str, str] | None = Field(
        default=None, description="filters of the stored rows, even after a run that did not finish"
    )
    as_of: datetime | None = Field(
        default=None,
        description="the time up to which the stored rows contain all changes on the server; None if unknown",
    )
    columns: list[ColumnReport] | None = Field(
        default=None,
        description="columns of the stored tidy table; None if rows are stored as the server sent them",
    )
    counted_before: int | None = Field(default=None, description="rows that the server counted at the start")
    counted: int | None = Field(default=None, description="rows that the server counted at the end")
    distinct: int = Field(default=0, description="distinct rows that were read, without deleted ones")
    written: int = Field(default=0, description="rows written by this harvest")
    updated: int = Field(default=0, description="written rows that replace older ones (since)")
    vanished: int = Field(default=0, description="rows that were deleted on the server meanwhile")
    requests: int = 0
    retries: int = 0
    throttled: int = Field(default=0, description="requests answered with 429")
    seconds: float = 0.0
    complete: bool = False
    finished: bool = Field(default=False, description="whether another run would read nothing more")
    missing: list[str] = Field(default_factory=list, description="what could not be read, and why")
    notes: list[str] = Field(default_factory=list, description="what a reader of the data should know")
    resumed: bool = False
    method: str = Field(default="", description="pages, ranges of ids, or both")
    compared: Literal["ids", "counts", "one moment"] | None = Field(
        default=None,
        description="how added and deleted rows were detected. ids: each id was compared with the server's afterwards. "
        "counts: the numbers of rows were compared, of the whole list or, where filters allow it, of ranges of ids, so that "
        "an added row and a deleted one may cancel out. one moment: everything was read within a second",
    )
    since_by: str | None = Field(default=None, description="the time stamp that since was compared with")

    def __str__(self) -> str:
        text = f"{self.endpoint}: {self._state}, {self.distinct:,} rows of {self.counted or 0:,} in {self.seconds:.1f} s"
        return "\n".join([text, *(f"  missing: {line}" for line in self.missing)])

    def _cells(self) -> tuple[object, ...]:
        """Return the cells of the endpoint's row in a table."""
        counted = "" if self.counted is None else f"{self.counted:,}"
        numbers = (
            f"{self.distinct:,}",
            counted,
            f"{self.written:,}",
            f"{self.requests:,}",
            f"{self.seconds:.1f}",
        )
        return self.endpoint, self._state, *numbers, "; ".join([*self.missing, *self.notes])

    @property
    def _state(self) -> str:
        return "complete" if self.complete else "INCOMPLETE"

    def __repr__(self) -> str:
        return f"EndpointReport({_display.clipped(str(self).partition(chr(10))[0], 200)})"

    def _repr_html_(self) -> str:
        return _display.table(_COLUMNS, [self._cells()], _NUMBERS)


class HarvestReport(BaseModel):
    """The result of a harvest; `complete` is True if nothing is missing. Print it for a summary.

    Examples:
        >>> report = one.harvest(["labs", "subjects"])
        >>> report.complete, report.frames["labs"].height, report["labs"].missing
        (True, 4, [])
    """

    model_config = ConfigDict(extra="ignore")

    server: str
    started: datetime
    finished: datetime | None = None
    to: str | None = None
    format: str = "parquet"
    since: str | None = None
    endpoints: dict[str, EndpointReport] = Field(default_factory=dict)
    _frames: dict[str, Any] = PrivateAttr(default_factory=dict)

    @field_validator("to", mode="before")
    @classmethod
    def _mask_login(cls, to: object) -> object:
        """Remove user name and password from the address, since reports are shown and stored."""
        return without_login(to) if isinstance(to, str) and "://" in to else to

    @computed_field  # type: ignore[prop-decorator]
    @property
    def complete(self) -> bool:
        """Whether every endpoint is complete."""
        return bool(self.endpoints) and all(report.complete for report in self.endpoints.values())

    @property
    def frames(self) -> dict[str, pl.DataFrame]:
        """The frames of a harvest into memory, by endpoint; empty if it was written to files."""
        return self._frames

    def __getitem__(self, endpoint: str) -> EndpointReport:
        """Return the report of one endpoint."""
        return self.endpoints[endpoint]

    def _ipython_key_completions_(self) -> list[str]:
        """Return the names that IPython completes after a bracket."""
        return list(self.endpoints)

    def __str__(self) -> str:
        return "\n".join(str(report) for report in self.endpoints.values())

    def __repr__(self) -> str:
        """Return a line for each endpoint, at most 20 lines of 80 columns. `model_dump` shows everything."""
        reports = self._incomplete_first
        rows = [(*report._cells()[:5], f"{len(report.missing):,}") for report in reports[:_MOST]]
        names = ("endpoint", "", "rows held", "counted", "written", "missing")
        lines = [_display.clipped(self._title, _display.WIDTH)]
        if rows:
            lines += _display.text_table(names, rows, (28, 10, 12, 12, 12, 7))
        if len(reports) > _MOST:
            lines.append(f"  and {len(reports) - _MOST:,} more")
        return "\n".join(lines)

    @property
    def _incomplete_first(self) -> list[EndpointReport]:
        return sorted(self.endpoints.values(), key=lambda report: report.complete)

    @property
    def _title(self) -> str:
        state = "complete" if self.complete else "INCOMPLETE"
        count = f"{len(self.endpoints):,} endpoint{'' if len(self.endpoints) == 1 else 's'}"
        return f"HarvestReport: {state}, {count} of {without_login(self.server)}"

    def _repr_html_(self) -> str:
        times = {"started": self.started, "finished": self.finished}
        shown = {name: f"{at:%Y-%m-%d %H:%M:%S %Z}".rstrip() for name, at in times.items() if at is not None}
        fields = {"to": self.to, **shown, "since": self.since}
        rows = [report._cells() for report in self._incomplete_first]
        return _display.card(
            self._title, fields, *([_display.table(_COLUMNS, rows, _NUMBERS)] if rows else [])
        )
