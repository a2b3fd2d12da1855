"""Types of the API: aliases and protocols only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import date, datetime, timedelta
from pathlib import PurePath
from typing import Any, Literal, Protocol, TypeAlias, TypedDict, TypeVar
from uuid import UUID

T_co = TypeVar("T_co", covariant=True)

Mode: TypeAlias = Literal["local", "remote", "auto", "refresh"]
RevisionPolicy: TypeAlias = Literal["exact", "last_before", "default"]

#: A name of one session: an eid, a session path or URL, a reference such as ``2024-05-06_1_SUBJECT``.
SessionLike: TypeAlias = UUID | str | PurePath | Mapping[str, Any]
#: A name of one insertion: a pid, or a URL that ends in one.
InsertionLike: TypeAlias = UUID | str
#: A path in a session, or the URL of a file.
PathOrUrl: TypeAlias = str | PurePath
#: A session as ``2024-05-06_1_SUBJECT``, or its subject, date and sequence (or number).
ReferenceLike: TypeAlias = str | Mapping[str, Any]
DateLike: TypeAlias = date | datetime | str
#: The maximal age of a stored answer. True allows any age; False or 0 allows none.
Expiry: TypeAlias = timedelta | datetime | bool | float | None
JSON: TypeAlias = dict[str, Any]


class Several(Protocol[T_co]):
    """A list, tuple, array or series, but not a str or a mapping."""

    def __contains__(self, item: object, /) -> bool:
        """Return whether something is one of the items."""

    def __getitem__(self, at: int, /) -> T_co:
        """Return an item by position."""

    def __iter__(self) -> Iterator[T_co]:
        """Iterate over the items in order."""

    def __len__(self) -> int:
        """Return the number of items."""


class Reference(TypedDict):
    """The parts of a session's reference."""

    subject: str
    date: date
    sequence: int


class ReferenceText(TypedDict):
    """The parts of a session's reference as texts."""

    subject: str
    date: str
    sequence: str


#: Values of search terms: a list means any of its members, or all of them where the term says so.
Texts: TypeAlias = str | Iterable[str] | None
Numbers: TypeAlias = int | str | Iterable[int | str] | None
Ids: TypeAlias = UUID | str | Iterable[UUID | str] | None
#: The name or number of a QC level.
Levels: TypeAlias = str | int | Iterable[str | int] | None
#: A date, a year ``yyyy``, a month ``yyyy-mm``, or the two ends of a range, of which either may be None.
Dates: TypeAlias = DateLike | Iterable[DateLike | None] | None


class CommonTerms(TypedDict, total=False):
    """The search terms of sessions and of insertions."""

    subject: Texts
    lab: Texts
    laboratory: Texts
    date: Dates
    date_range: Dates
    number: Numbers
    task_protocol: Texts
    project: Texts
    projects: Texts
    datasets: Texts
    dataset_types: Texts
    dataset_qc_lte: str | int | None
    atlas_acronym: Texts
    atlas_name: Texts
    atlas_id: Numbers
    tag: Texts
    id: Ids
    name: Texts
    json: object
    auto_datetime: object
    django: object


class SessionTerms(CommonTerms, total=False):
    """The terms of `search` and `watch`. Other filters of a server are passed as ``**{"name": value}``."""

    users: Texts
    location: Texts
    procedures: Texts
    narrative: Texts
    nickname: Texts
    type: Texts
    qc: Levels
    extended_qc: object
    performance_gte: float | str | None
    performance_lte: float | str | None
    histology: bool | str | None
    n_trials: Numbers
    n_correct_trials: Numbers
    parent_session: Ids
    start_time: object
    end_time: object


class InsertionTerms(CommonTerms, total=False):
    """The terms of `search_insertions`. Other filters of a server are passed as ``**{"name": value}``."""

    session: SessionLike | Iterable[SessionLike] | None
    dataset: str | None
    model: Texts
    serial: Texts
    chronic_insertion: Ids
    experiment_number: Numbers


class ByteStream(Protocol):
    """An answer whose body is read in pieces."""

    @property
    def url(self) -> str:
        """The URL that answered, after redirects."""

    @property
    def status(self) -> int:
        """The HTTP status. No status raises an exception, since the caller handles 206, 416 and others."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Header fields, names in any case."""

    def chunks(self) -> AsyncIterator[bytes]:
        """Return the body in pieces. Raises ServerUnreachable if the connection breaks before its end."""


class StreamOpener(Protocol):
    """The part of an HTTP client that transfers use, so that only `alyx` depends on the client's library."""

    def open(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
    ) -> AbstractAsyncContextManager[ByteStream]:
        """Start a request, without retries; credentials are dropped if a redirect leads to another host.

        Raises ServerUnreachable if no connection can be made.
        """


class TokenStore(Protocol):
    """Storage of the tokens of users of servers between runs."""

    def load(self, base_url: str, username: str | None) -> tuple[str, str] | None:
        """Return (username, token), of the only or default user if no name is given; None if there is none."""

    def save(self, base_url: str, username: str, token: str) -> None:
        """Store a token, readable by its owner only; do nothing if it cannot be written."""

    def delete(self, base_url: str, username: str) -> None:
        """Delete a token."""
