"""The interface of all sources, the order of sessions, and functions that several sources use."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, TypeVar
from uuid import UUID

from one_async._warnings import warn
from one_async.alf.session_paths import session_folders

if TYPE_CHECKING:
    import polars as pl

    from one_async.alf.path import ALFPath

T = TypeVar("T")
#: Sessions come latest first in every mode; ties, which the server leaves unordered, are sorted by subject and number.
SESSION_ORDER = ["date", "subject", "number"]


class SessionDatasets(NamedTuple):
    """A session's row and the rows of its datasets."""

    session: Mapping[str, Any]
    """The session's row: eid, lab, subject, date, number, task_protocol, projects."""
    datasets: Sequence[Mapping[str, Any]]
    """The datasets table's rows, in the order of the ids; answers of the server have data_url as well."""


#: The ids and the names of a session's insertions.
ProbeLists: TypeAlias = tuple[list[UUID], list[str | None]]


class Source(Protocol):
    """The interface of all sources. Ids are texts, in arguments and in results.

    Frames are passed to a function ``use``, whose result is returned. It is called in the worker thread that made the
    frame, since Polars is not used on the thread of the event loop.
    """

    async def search(self, terms: Mapping[str, Any]) -> list[UUID]:
        """Return the ids of the sessions that match, latest first."""

    async def search_details(self, terms: Mapping[str, Any]) -> tuple[list[UUID], pl.DataFrame]:
        """Return the ids of the sessions that match, latest first, and the sessions table's columns of them."""

    async def sessions(self, eids: Sequence[str], use: Callable[[pl.DataFrame], T]) -> T:
        """Call ``use`` with the frame of the sessions with these ids, in any order, without unknown ones."""

    async def paths(self, eids: Sequence[str], root: ALFPath) -> dict[str, ALFPath]:
        """Return the path of each session with one of these ids below a folder, by id, without unknown ones."""

    async def find_sessions(
        self, wanted: Callable[[], pl.DataFrame], use: Callable[[pl.DataFrame, pl.DataFrame], T]
    ) -> T:
        """Call ``use`` with the frame of wanted keys and the frame of sessions that have these keys.

        The sessions are the result of `alf.session_paths.match_keys`, in any order; their column ``key`` is a row number of
        the first frame.
        """

    async def datasets(
        self,
        eids: Sequence[str],
        use: Callable[[dict[str, SessionDatasets]], T],
    ) -> T:
        """Call ``use`` with the datasets of each session, by id, without unknown sessions."""

    async def listed(
        self,
        eids: Sequence[str],
        use: Callable[[dict[str, pl.DataFrame]], T],
        columns: Sequence[str] | None = None,
    ) -> T:
        """Call ``use`` with the frame of each session's datasets, including sessions that the sessions table lacks.

        ``columns`` are the columns that ``use`` needs; a source may pass more.
        """

    async def find_datasets(
        self,
        wanted: pl.DataFrame,
        use: Callable[[pl.DataFrame], T],
        columns: Collection[str] | None = None,
    ) -> T:
        """Call ``use`` with the datasets that have an eid, rel_path and, if given, did of ``wanted``, in any order.

        The column ``key`` is the row number in ``wanted``; each row is found at most once. ``columns`` as in `listed`.
        """

    async def search_insertions(self, terms: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the insertions that match, latest session first, then by name: rows with id, session and name."""

    async def insertions_of(self, eids: Sequence[str]) -> list[dict[str, Any]]:
        """Return all insertions of these sessions."""

    async def probes_of(self, eids: Sequence[str]) -> dict[str, ProbeLists]:
        """Return the ids and names of these sessions' insertions, ordered by name, without sessions that have none."""

    async def insertions(self, pids: Sequence[str]) -> list[dict[str, Any]]:
        """Return the insertions with these ids, in any order, without unknown ones."""

    async def subjects(self) -> list[str]:
        """Return the names of all subjects, sorted."""

    async def why_empty(self, endpoint: str, terms: Mapping[str, Any]) -> list[str]:
        """Return why a search of sessions or insertions found nothing, as far as that is known; never fails."""


def order_insertions(rows: list[dict[str, Any]]) -> None:
    """Sort insertions in the order of their sessions, and those of one session by name.

    Rows of tables have the columns of the session, rows of the server its ``session_info``.
    """

    def session(row: Mapping[str, Any]) -> tuple[str, str, int]:
        info = row.get("session_info") or row
        day = info.get("date") or info.get("start_time") or ""
        return str(day)[:10], info.get("subject") or "", info.get("number") or 0

    rows.sort(key=lambda row: row.get("name") or "")
    rows.sort(key=session, reverse=True)


def matching_datasets(datasets: pl.DataFrame, wanted: pl.DataFrame) -> pl.DataFrame:
    """Return the datasets with an eid, rel_path and, if it is given, did of ``wanted``."""
    import polars as pl

    keys = wanted.with_row_index("key").rename({"did": "_did"})
    both = datasets.join(keys, on=["eid", "rel_path"], how="inner")
    its = pl.col("_did").is_null() | (pl.col("_did") == pl.col("did"))
    found = both.filter(its).drop("_did")
    if found["key"].is_unique().all():
        return found
    return found.unique("key", keep="first", maintain_order=True)


def paths_below(root: ALFPath, sessions: pl.DataFrame) -> dict[str, ALFPath]:
    """Return the path of each session below a folder, by id, without sessions that cannot have a folder."""
    folders = session_folders(sessions)
    if folders.has_nulls():
        warn_of_no_folder(sessions.filter(folders.is_null()))
    return {eid: root / folder for eid, folder in zip(sessions["eid"], folders, strict=True) if folder}


def warn_of_no_folder(sessions: pl.DataFrame) -> None:
    """Warn of sessions that cannot have a folder; the text has their ids, labs, subjects and numbers."""
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
    warn(text)
