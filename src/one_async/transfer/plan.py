"""Download plans: which files, from where, to where. No plan reads the disk or makes a request."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NoReturn
from urllib.parse import quote, urlsplit, urlunsplit

from one_async.alf.session_paths import match_session, with_id, without_id
from one_async.errors import ALFInvalid, OneError, TransferError, UnsafePath
from one_async.transfer.on_disk import (
    HASHES,
    conflict,
    dataset_id_of,
    hash_of,
    row_path,
    row_target,
    safe_relative,
)

if TYPE_CHECKING:
    from one_async.transfer.window import Window

__all__ = [
    "FileSource",
    "Item",
    "Plan",
    "S3Keys",
    "S3Location",
    "make_plan",
    "no_source",
    "quote_url",
    "web_source",
]

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


@dataclass(frozen=True)
class Plan:
    """Files to fetch, in the order of their records."""

    items: tuple[Item, ...]

    @property
    def bytes(self) -> int:
        """The sum of the recorded sizes; files of unknown size count as 0."""
        return sum(item.size or 0 for item in self.items)

    def __len__(self) -> int:
        return len(self.items)


def make_plan(
    records: Iterable[Mapping[str, Any]],
    *,
    data_server: str | None = None,
    base_url: str | None = None,
    repositories: Iterable[Mapping[str, Any]] = (),
    uuid_filenames: bool = False,
    s3_endpoint: str | None = None,
    bucket: S3Location | None = None,
    on_error: Literal["raise", "collect"] = "raise",
) -> Plan:
    """Make a plan from dataset records of any kind.

    A record is one of: a row of the tables (``id`` or ``did``, ``rel_path``, ``session_path`` or ``lab``,
    ``subject``, ``date`` and ``number``; optionally ``eid``, ``hash``, ``file_size``); a record of the
    ``datasets`` endpoint (with ``file_records``); a dataset of a session's detail (``id`` and ``data_url``).
    ``repositories`` are records of the ``data-repository`` endpoint; those named ``aws*`` are S3 sources, which are tried
    after HTTP sources. The data server's credentials go only to addresses below ``data_server``, the token only to
    those below ``base_url``. With ``bucket``, rows of the tables are files below that folder of a bucket.

    A file whose path would leave the cache folder raises UnsafePath, and two datasets with one path TransferError; with
    ``on_error="collect"`` the item holds that error instead, and the others can be fetched.
    """
    maker = _Maker(
        data_server,
        base_url,
        {r["name"]: r for r in repositories},
        uuid_filenames,
        s3_endpoint,
        bucket,
    )
    seen: dict[str, Item] = {}
    items: list[Item] = []
    for record in records:
        item = maker.item(record)
        other = seen.setdefault(item.target, item)
        if not item.error and (other.did, other.hash) != (item.did, item.hash):
            item = _refused(item.did, item.target, conflict(item.target, other.did, item.did), item.eid)
        if item.error and on_error == "raise":
            raise item.error
        items.append(item)
    return Plan(tuple(items))


def quote_url(url: str) -> str:
    """Quote the path of an address from Alyx, in which ``#`` and spaces are not escaped."""
    scheme, netloc, path, query, _ = urlsplit(url, allow_fragments=False)
    return urlunsplit((scheme, netloc, quote(path), quote(query, safe="=&%+/"), ""))


def web_source(
    url: str, data_server: str | None, base_url: str | None, window: Window | None = None
) -> FileSource:
    """Return an HTTP address as a source, with the credentials that it may receive."""
    auth: Literal["server", "data"] | None = None
    if _is_below(url, data_server):
        auth = "data"
    elif _is_below(url, base_url):
        auth = "server"
    return FileSource(quote_url(url), auth, window=window)


@dataclass(frozen=True)
class _Maker:
    data_server: str | None
    base_url: str | None
    repositories: Mapping[str, Mapping[str, Any]]
    uuid_filenames: bool
    s3_endpoint: str | None
    bucket: S3Location | None

    def item(self, record: Mapping[str, Any]) -> Item:
        did = dataset_id_of(record)
        eid = _eid(record)
        try:
            sources = self._sources(record, did)
            target = self._target(record, [path for _, path in sources], did)
        except ALFInvalid as error:  # the session's fields do not make a valid folder
            return _refused(did, str(record.get("rel_path") or did), error, eid)
        try:
            if not sources and (url := record.get("data_url")) and _begins_http(url):
                raise TransferError(f"the address {url!r} of the dataset {did} is invalid", path=target)
            safe_relative(target)
            digest = hash_of(record)
        except OneError as error:
            if isinstance(error, UnsafePath) and not sources and record.get("rel_path") is None:
                error = no_source(did, target)
            return _refused(did, target, error, eid)
        size = record.get("file_size", record.get("size"))
        files = tuple(source for source, _ in sources)
        return Item(did, target, files, None if size is None else int(size), digest, eid)

    def _sources(self, record: Mapping[str, Any], did: str) -> list[tuple[FileSource, str]]:
        """Return the sources of a file, HTTP before S3, each with the file's path on its server."""
        if "file_records" in record:
            return self._sources_of_file_records(record, did)
        if "data_url" in record:
            url = record["data_url"]
            return [self._http(url)] if _is_http(url) else []
        path = row_path(record)
        if self.bucket:
            location = self.bucket / path
            return [(FileSource(location.url, None, location), path)]
        sources = []
        if self.data_server:
            sources.append((self._http(f"{self.data_server.rstrip('/')}/{with_id(path, did)}")[0], path))
        for repository in self.repositories.values():
            # The globus path of a lab's bucket ends with <lab>/Subjects, with which its sessions' paths begin.
            prefix = (repository.get("globus_path") or "").strip("/")
            lab, _, below = path.partition("/Subjects/")
            if below and prefix.endswith(f"{lab}/Subjects"):
                sources += self._s3(repository, f"{prefix}/{below}", did)
        return sources

    def _sources_of_file_records(self, record: Mapping[str, Any], did: str) -> list[tuple[FileSource, str]]:
        over_http, on_s3 = [], []
        for one in record["file_records"] or ():
            if not one.get("exists", True):
                continue
            if _is_http(one.get("data_url")):
                over_http.append(self._http(one["data_url"]))
            repository = self.repositories.get(one.get("data_repository") or "")
            if repository and one.get("relative_path"):
                prefix = one.get("data_repository_path") or repository.get("globus_path") or ""
                on_s3 += self._s3(repository, f"{prefix.strip('/')}/{one['relative_path'].lstrip('/')}", did)
        # The configured servers come first, since their credentials are known.
        over_http.sort(key=lambda source: source[0].auth is None)
        return over_http + on_s3

    def _http(self, url: str) -> tuple[FileSource, str]:
        source = web_source(url, self.data_server, self.base_url)
        return source, urlsplit(url, allow_fragments=False).path

    def _s3(self, repository: Mapping[str, Any], path: str, did: str) -> list[tuple[FileSource, str]]:
        details = repository.get("json") or {}
        if not str(repository.get("name", "")).startswith("aws") or not details.get("bucket_name"):
            return []
        region = details.get("region_name") or "us-east-1"
        key = with_id(path.strip("/"), did)
        location = S3Location(details["bucket_name"], key, region, self.s3_endpoint, S3Keys.of(details))
        return [(FileSource(location.url, None, location), path)]

    def _target(self, record: Mapping[str, Any], paths: list[str], did: str) -> str:
        if record.get("rel_path") is not None:
            return row_target(record, uuid_filenames=self.uuid_filenames)
        path = without_id(_local_part(paths[0]) if paths else _known_path(record) or did)
        return with_id(path, did) if self.uuid_filenames else path


def _local_part(path: str) -> str:
    """Return a server's path from the lab or from ``aggregates`` on, as ONE-api does."""
    if path.startswith("//") or "/../" in path:
        return path  # safe_relative refuses it
    path = path.lstrip("/")
    if (found := match_session(path)) and len(path) > found.end + 1:
        return path[found.start :]
    return re.sub(r"^[\w/]+(?=aggregates/)", "", path, count=1)


def _known_path(record: Mapping[str, Any]) -> str:
    """Return the local path of a record without sources, from its files on unreachable repositories."""
    for one in record.get("file_records") or ():
        # Paths on other repositories, such as an acquisition computer, lack the lab before Subjects.
        if one.get("relative_path") and str(one.get("data_repository")).startswith(("flatiron", "aws")):
            return _local_part(
                f"{one.get('data_repository_path') or ''}/{one['relative_path']}".replace("//", "/")
            )
    return "/".join(filter(None, (record.get("collection"), record.get("name"))))


def _eid(record: Mapping[str, Any]) -> str | None:
    value = record.get("eid") or record.get("session")
    return str(value)[-36:] if value else None


def _is_http(url: object) -> bool:
    if not _begins_http(url):
        return False
    try:
        parts = urlsplit(str(url), allow_fragments=False)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # an unclosed bracket or a port above 65535
        return False


def _begins_http(url: object) -> bool:
    return isinstance(url, str) and url.startswith(("http://", "https://"))


def _is_below(url: str, base: str | None) -> bool:
    return bool(base) and f"{url}/".startswith(f"{str(base).rstrip('/')}/")


def _refused(did: str, target: str, error: OneError, eid: str | None) -> Item:
    return Item(did, target, (), eid=eid, error=error)


def no_source(did: str, target: str) -> TransferError:
    """Return the error for a file that has no source."""
    return TransferError(f"no reachable server has {target} (dataset {did})", path=target)
