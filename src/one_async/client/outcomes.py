"""Tables of the outcomes of datasets: the result of `download`, and the errors collected with ``on_error="collect"``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from one_async import _display
from one_async.errors import InputError, OneError

if TYPE_CHECKING:
    import polars as pl

    from one_async.transfer.fetch import Outcome

OnError: TypeAlias = Literal["raise", "collect"]

COLUMNS = ("eid", "did", "dataset", "status", "path", "bytes", "error")


#: The errors that a notebook shows.
_MOST = 5


def check_on_error(on_error: str) -> None:
    """Raise InputError for anything but ``raise`` and ``collect``."""
    if on_error not in ("raise", "collect"):
        raise InputError.of("on_error", on_error, ("raise", "collect"))


def raise_first(outcomes: Iterable[Outcome]) -> None:
    """Raise the first error of a transfer, with the rows of all failed files as its ``failed``."""
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    if failed and failed[0].error is not None:
        error = failed[0].error
        error.__dict__["failed"] = [outcome.row() for outcome in failed]
        raise error


def together(errors: list[OneError]) -> OneError:
    """Return the first of several errors, with the rows of all."""
    rows = [row for error in errors for row in getattr(error, "failed", ())]
    if rows:
        errors[0].__dict__["failed"] = rows
    return errors[0]


def error_rows(eid: str | None, what: str, error: OneError, **owner: Any) -> list[dict[str, Any]]:
    """Return a row for each dataset of an error, or one row for an error without datasets."""
    said = {"error": f"{type(error).__name__}: {error}", "path": str(getattr(error, "path", "")) or None}
    whole = {"eid": eid, "dataset": what, "status": "failed", "bytes": 0, **said}
    return [{**owner, **row} for row in getattr(error, "failed", None) or [whole]]


def outcome_frame(rows: Iterable[Mapping[str, Any]], *owner: str) -> pl.DataFrame:
    """Make a table of rows, with the columns of `owner` before the usual ones."""
    import polars as pl

    schema = {name: pl.Int64 if name == "bytes" else pl.String for name in (*owner, *COLUMNS)}
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


def rows_of(table: Any, argument: str, need: Iterable[str], accepted: str) -> list[dict[str, Any]]:
    """Return the rows of a Polars or pandas frame that has some columns. Raises InputError for anything else."""
    if not hasattr(table, "columns") or not set(need) <= set(table.columns):
        raise InputError.of(argument, table, accepted)
    if hasattr(table, "iter_rows"):
        return list(table.iter_rows(named=True))
    rows = table.to_dict("records")  # pandas represents missing values by NaN
    return [{name: None if value != value else value for name, value in row.items()} for row in rows]


def frames_text(title: str, frames: Mapping[str, Any]) -> str:
    """Return a line for each of several frames, with its rows and columns."""
    rows = [(name, *_described(frame)) for name, frame in frames.items()]
    return "\n".join([title, *_display.text_table(("", "rows", "columns"), rows, (10, 16, 60))])


def frames_html(title: str, frames: Mapping[str, Any], errors: Any) -> str:
    """Return the same as HTML, with the first errors and the number of the others."""
    parts = [
        _display.table(
            ("", "rows", "columns"), [(name, *_described(frame)) for name, frame in frames.items()], ("rows",)
        )
    ]
    if {"dataset", "error"} <= set(getattr(errors, "columns", ())) and len(errors):
        parts.append(
            _display.table(
                ("dataset", "error"),
                zip(errors["dataset"].head(_MOST), errors["error"].head(_MOST), strict=True),
            )
        )
        if len(errors) > _MOST:
            parts.append(_display.Markup(f"<div>and {len(errors) - _MOST:,} more</div>"))
    return _display.card(title, {}, *parts)


def _described(frame: Any) -> tuple[str, str]:
    """Return the number of rows and the names of the columns of a frame of Polars or pandas."""
    if not hasattr(frame, "columns"):
        return "", type(frame).__name__
    return f"{len(frame):,}", ", ".join(map(str, frame.columns))
