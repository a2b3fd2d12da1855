"""The words of the API as types. Nothing here does anything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import date, datetime, timedelta
from pathlib import PurePath
from typing import Any, Literal, Protocol, TypeAlias, TypedDict, TypeVar
from uuid import UUID

T_co = TypeVar("T_co", covariant=True)

Mode: TypeAlias = Literal["local", "remote", "auto", "refresh"]
RevisionPolicy: TypeAlias = Literal["exact", "last_before", "default"]

#: Whatever names one session: an eid, a session path or URL, a reference such as ``2024-05-06_1_SUBJECT``.
SessionLike: TypeAlias = UUID | str | PurePath | Mapping[str, Any]
#: Whatever names one insertion: a pid, or an address that ends in one.
InsertionLike: TypeAlias = UUID | str
#: A path in a session, or the address of a file.
PathOrUrl: TypeAlias = str | PurePath
#: A session as ``2024-05-06_1_SUBJECT``, or its subject, date and sequence (or number).
ReferenceLike: TypeAlias = str | Mapping[str, Any]
DateLike: TypeAlias = date | datetime | str
#: How old a stored answer may be. True means any age; False or 0 means none.
Expiry: TypeAlias = timedelta | datetime | bool | float | None
JSON: TypeAlias = dict[str, Any]


class Several(Protocol[T_co]):
    """A list, tuple, array or series: what a text and a mapping are not."""

    def __contains__(self, item: object, /) -> bool:
        """Whether something is one of them."""

    def __getitem__(self, at: int, /) -> T_co:
        """One of them."""

    def __iter__(self) -> Iterator[T_co]:
        """Each of them, in order."""

    def __len__(self) -> int:
        """How many there are."""


class Reference(TypedDict):
    """A session's reference, taken apart."""

    subject: str
    date: date
    sequence: int


class ReferenceText(TypedDict):
    """The same, each part as it is written."""

    subject: str
    date: str
    sequence: str


class ByteStream(Protocol):
    """An answer whose body is read in pieces."""

    @property
    def url(self) -> str:
        """The address that answered, after redirects."""

    @property
    def status(self) -> int:
        """The HTTP status; never an exception, since 206, 416 and the like are the caller's to judge."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Header fields, names in any case."""

    def chunks(self) -> AsyncIterator[bytes]:
        """Return the body as it comes; raises ServerUnreachable if the connection breaks before its end."""


class StreamOpener(Protocol):
    """What a transfer needs of an HTTP client, so that only one module knows which client that is."""

    def open(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
    ) -> AbstractAsyncContextManager[ByteStream]:
        """Start a request; credentials are dropped when a redirect leads to another host.

        Raises ServerUnreachable when no connection can be made. Does not retry.
        """


class TokenStore(Protocol):
    """Where the token of each user of each server is kept between runs."""

    def load(self, base_url: str, username: str | None) -> tuple[str, str] | None:
        """Return (username, token), of the only or default user where no name is given; None if there is none."""

    def save(self, base_url: str, username: str, token: str) -> None:
        """Keep a token, readable by its owner alone; does nothing where nothing can be written."""

    def delete(self, base_url: str, username: str) -> None:
        """Forget a token."""
