"""What the sources share: the questions, and the order of sessions."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, TypeVar
from uuid import UUID

from one_async.alf.session import session_folders
from one_async.errors import ALFWarning

if TYPE_CHECKING:
    import polars as pl

    from one_async.alf.path import ALFPath

T = TypeVar("T")
#: Sessions come latest first in every mode; where the server leaves ties in no order, subject and number decide.
SESSION_ORDER = ["date", "subject", "number"]


class SessionDatasets(NamedTuple):
    """A session and what it has."""

    session: Mapping[str, Any]
    """The session's row: eid, lab, subject, date, number, task_protocol, projects."""
    datasets: pl.DataFrame
    """The datasets table's columns, in the order of the ids; answers of the server have data_url as well."""


#: The ids and the names of a session's insertions.
ProbeLists: TypeAlias = tuple[list[UUID], list[str | None]]


class Source(Protocol):
    """The questions that every source answers; ids are given and come back as text.

    Frames are handed to a function ``use``, whose result is returned. It is called in the worker thread that made the
    frame: Polars is not used on the event loop's thread.
    """

    async def search(self, terms: Mapping[str, Any]) -> list[UUID]:
        """Return the ids of the sessions that match, latest first."""

    async def search_details(self, terms: Mapping[str, Any]) -> tuple[list[UUID], pl.DataFrame]:
        """Return the ids of the sessions that match, latest first, and the sessions table's columns of them."""

    async def sessions(self, eids: Sequence[str], use: Callable[[pl.DataFrame], T]) -> T:
        """Use the sessions with these ids, in no order; unknown ones are left out."""

    async def paths(self, eids: Sequence[str], root: ALFPath) -> dict[str, ALFPath]:
        """Return the path of each of the sessions with these ids below a folder; unknown ones are left out."""

    async def find_sessions(
        self, wanted: Callable[[], pl.DataFrame], use: Callable[[pl.DataFrame, pl.DataFrame], T]
    ) -> T:
        """Use the frame of the keys that are wanted, and that of the sessions which have them.

        The sessions come as `alf.session.match_keys` gives them, in no order; their column ``key`` is a row of the first frame.
        """

    async def datasets(
        self,
        eids: Sequence[str],
        use: Callable[[dict[str, SessionDatasets]], T],
        columns: Sequence[str] | None = None,
    ) -> T:
        """Use each session's datasets; unknown sessions are left out.

        ``columns`` names those that will be used; a source may give more.
        """

    async def listed(
        self,
        eids: Sequence[str],
        use: Callable[[dict[str, pl.DataFrame]], T],
        columns: Sequence[str] | None = None,
    ) -> T:
        """Use the frame of each session's datasets, as `datasets` does, also where nothing else is known of the session."""

    async def find_datasets(
        self,
        wanted: pl.DataFrame,
        use: Callable[[pl.DataFrame], T],
        columns: Collection[str] | None = None,
    ) -> T:
        """Use the datasets that have an eid and rel_path of ``wanted``, and its did where it has one, in no order.

        The column ``key`` says which row of ``wanted`` each is for; no row is found twice. ``columns`` as in `datasets`.
        """

    async def search_insertions(self, terms: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the insertions that match, latest session first, then by name: rows with id, session and name."""

    async def insertions_of(self, eids: Sequence[str]) -> list[dict[str, Any]]:
        """Return all insertions of these sessions."""

    async def probes_of(self, eids: Sequence[str]) -> dict[str, ProbeLists]:
        """Return the ids and names of these sessions' insertions, by name; a session that has none is left out."""

    async def insertions(self, pids: Sequence[str]) -> list[dict[str, Any]]:
        """Return the insertions with these ids, in no order; unknown ones are left out."""

    async def subjects(self) -> list[str]:
        """Return the names of all subjects, sorted."""


def order_insertions(rows: list[dict[str, Any]]) -> None:
    """Sort insertions as sessions are, and those of one session by name; rows of tables have the session's columns."""

    def session(row: Mapping[str, Any]) -> tuple[str, str, int]:
        info = row.get("session_info") or row
        day = info.get("date") or info.get("start_time") or ""
        return str(day)[:10], info.get("subject") or "", info.get("number") or 0

    rows.sort(key=lambda row: row.get("name") or "")
    rows.sort(key=session, reverse=True)


def matching_datasets(datasets: pl.DataFrame, wanted: pl.DataFrame) -> pl.DataFrame:
    """Keep the datasets that are wanted: those with an eid, rel_path and, where it is given, did of ``wanted``."""
    import polars as pl

    keys = wanted.with_row_index("key").rename({"did": "_did"})
    both = datasets.join(keys, on=["eid", "rel_path"], how="inner")
    its = pl.col("_did").is_null() | (pl.col("_did") == pl.col("did"))
    found = both.filter(its).drop("_did")
    if found["key"].is_unique().all():
        return found
    return found.unique("key", keep="first", maintain_order=True)


def paths_below(root: ALFPath, sessions: pl.DataFrame) -> dict[str, ALFPath]:
    """Return the path of each session below a folder, by the session's id; one that cannot have a folder has none."""
    folders = session_folders(sessions)
    if folders.has_nulls():
        warn_of_no_folder(sessions.filter(folders.is_null()))
    return {eid: root / folder for eid, folder in zip(sessions["eid"], folders, strict=True) if folder}


def warn_of_no_folder(sessions: pl.DataFrame) -> None:
    """Warn of sessions that cannot have a folder, by their ids, labs, subjects and numbers."""
    some = [
        f"{row['eid']} ({row['lab']!r}, {row['subject']!r}, {row['number']!r})"
        for row in sessions.head(5).iter_rows(named=True)
    ]
    if more := len(sessions) - len(some):
        some.append(f"{more} more")
    text = (
        "these sessions have no path, since their lab, subject, date or number is missing or cannot be a folder's name: "
        f"{', '.join(some):.400}"
    )
    warnings.warn(text, ALFWarning, stacklevel=3)
