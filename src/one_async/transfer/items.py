"""Files to transfer with their locations, as a plan lists them. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, NoReturn

from one_async.errors import OneError

__all__ = ["HASHES", "FileSource", "Item", "S3Keys", "S3Location", "Window"]

#: The kind of a hash by its length.
HASHES: Final = {32: "md5", 40: "sha1"}
#: A file with a hash may have this many times its recorded size, or this many bytes more, since sizes are often stale.
_MAX_RATIO, _MAX_EXCESS = 16, 64 * 1024**2
#: The largest size accepted where none is recorded; larger than any known file.
_MAX_UNRECORDED = 1 << 38


class S3Keys:
    """The keys of a private bucket. They are never shown and never pickled."""

    __slots__ = ("access", "secret", "session")

    def __init__(self, access: str, secret: str, session: str | None = None) -> None:
        self.access, self.secret, self.session = access, secret, session

    @classmethod
    def of(cls, details: Mapping[str, Any]) -> S3Keys | None:
        """Return the keys in the ``json`` field of a data repository, None if it has none."""
        access, secret = details.get("Access key ID"), details.get("Secret access key")
        return cls(access, secret, details.get("Session token")) if access and secret else None

    def __repr__(self) -> str:
        return "S3Keys(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("S3 keys cannot be pickled; make the plan again from its records")


@dataclass(frozen=True)
class S3Location:
    """One object of an S3 bucket. Requests without keys are unsigned."""

    bucket: str
    key: str
    region: str = "us-east-1"
    endpoint: str | None = None
    keys: S3Keys | None = field(default=None, repr=False, compare=False)

    @property
    def url(self) -> str:
        """The object's ``s3://`` address, for messages."""
        return f"s3://{self.bucket}/{self.key}"

    def __truediv__(self, path: str) -> S3Location:
        """Return the location of a path below this one."""
        return replace(self, key=f"{self.key}/{path}".lstrip("/"))


@dataclass(frozen=True)
class Window:
    """The bytes of a file from ``first`` on: ``length`` of them, fewer if it ends before, or all where that is None."""

    first: int = 0
    length: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    """Header fields of the requests. They may contain secrets and are never shown."""

    def size_in(self, total: int) -> int:
        """Return how many bytes the window has in a file of this size."""
        there = max(total - self.first, 0)
        return there if self.length is None else min(there, self.length)


@dataclass(frozen=True)
class FileSource:
    """One location of a file: an HTTP address, already quoted, or an S3 object.

    ``auth`` names the credentials that it may receive: the database server's token (``server``), which the HTTP
    client adds itself, the data server's login and password (``data``), or none. A ``window`` is a range of a file, or a
    file of which no record is known.
    """

    url: str
    auth: Literal["server", "data"] | None = None
    s3: S3Location | None = None
    window: Window | None = None


@dataclass(frozen=True)
class Item:
    """One file of a plan. ``size`` is a hint if there is a ``hash``, and binding if there is none.

    ``replace`` fetches it although there is a file of that name, which stays until the new one is whole.
    """

    did: str
    target: str
    sources: tuple[FileSource, ...]
    size: int | None = None
    hash: str | None = None
    eid: str | None = None
    error: OneError | None = None
    replace: bool = False

    @property
    def algorithm(self) -> str | None:
        """The kind of hash: ``md5``, ``sha1`` or None."""
        return HASHES[len(self.hash)] if self.hash else None

    @property
    def max_size(self) -> int:
        """The largest number of bytes that the file can have.

        Without a hash it is the recorded size. With one, the recorded size is a hint, which is often stale.
        """
        if self.hash is None and self.size is not None:
            return self.size
        return self.max_size_unchecked

    @property
    def max_size_unchecked(self) -> int:
        """The largest size of a file whose hash and exact size do not matter."""
        return max(_MAX_RATIO * self.size, self.size + _MAX_EXCESS) if self.size else _MAX_UNRECORDED

    @property
    def key(self) -> str:
        """A digest of 16 characters that identifies this version of the dataset in the name of its part file."""
        return hashlib.sha256(f"{self.did} {self.hash} {self.target}".encode()).hexdigest()[:16]
