"""Loading from many sessions: what is wanted of each, and how far it has come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from one_async.alf.session import session_folder
from one_async.errors import ALFObjectNotFound, InputError, OneError
from one_async.queries import selection

if TYPE_CHECKING:
    import polars as pl

    from one_async.alf.path import ALFPath
    from one_async.client.outcomes import OnError
    from one_async.queries.base import SessionDatasets

__all__ = ["Job", "Load", "read_jobs"]

#: Bytes that one trip to a thread reads, but for the first job.
READ_AT_ONCE = 1 << 24
#: The session's path in a dataset's row.
SESSION_PATH = "session_path"


class Load(NamedTuple):
    """What a call wants of each session. The functions use Polars, and run in worker threads."""

    choose: Callable[[pl.DataFrame], pl.DataFrame]
    """Choose the datasets."""
    finish: Callable[[Job], Any]
    """Make the result of the files."""
    choose_only: Callable[[pl.DataFrame], object] | None = None
    """Choose the datasets without saying which are missing."""

    def check(self) -> None:
        """Raise InputError for filters that cannot mean anything."""
        selection.checked(self.choose_only or self.choose)


@dataclass(eq=False)
class Job:
    """One session of a call."""

    at: int
    eid: str
    records: list[dict[str, Any]] = field(default_factory=list)
    files: list[ALFPath | None] = field(default_factory=list)
    unknown: list[int] = field(default_factory=list)
    """The places of the records whose files must be fetched."""
    result: Any = None
    error: OneError | None = None
    is_over: bool = False

    def look_up(self, found: Mapping[str, SessionDatasets], load: Load) -> None:
        """Find the rows that are wanted of the session."""
        session = found.get(self.eid)
        if session is None:
            load.check()
            raise ALFObjectNotFound(f"no session has the id {self.eid}", eid=self.eid)
        folder = session_folder(session.session)
        rows = load.choose(session.datasets)
        self.records = [{**row, SESSION_PATH: folder} for row in rows.iter_rows(named=True)]

    @property
    def loaded_ids(self) -> Iterator[str]:
        """The ids of the datasets whose files are here."""
        if self.error is None:
            for row, file in zip(self.records, self.files, strict=True):
                if file:
                    yield row["did"]

    @contextmanager
    def failing(self, on_error: OnError) -> Iterator[None]:
        """Keep an error that is to be collected; wrong arguments are always raised."""
        try:
            yield
        except InputError:
            raise
        except OneError as error:
            if on_error == "raise":
                raise
            self.error, self.is_over, self.unknown = error, True, []


def read_jobs(jobs: Iterable[Job], load: Load, on_error: OnError, go_on: bool = False) -> None:
    """Finish jobs whose files are all here, as many as one trip to a thread may read; with ``go_on`` at least one."""
    left = READ_AT_ONCE
    for job in jobs:
        if job.is_over:
            continue
        size = sum(file.stat().st_size for file in job.files if file)
        if size > left and not go_on:
            continue
        left, go_on = left - size, False
        with job.failing(on_error):
            job.result = load.finish(job)
            job.is_over = True
