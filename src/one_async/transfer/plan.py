"""Which files, from where, to where. Pure: no disk, no network."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn
from urllib.parse import quote, urlsplit, urlunsplit

from one_async.alf.session import has_id, match_session, session_folder, with_id, without_id
from one_async.errors import ALFInvalid, InputError, OneError, TransferError, UnsafePath

__all__ = [
    "Item",
    "Plan",
    "S3Keys",
    "S3Location",
    "Source",
    "make_plan",
    "nowhere",
    "quote_url",
    "safe_relative",
]

_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_HASHES = {32: "md5", 40: "sha1"}
#: So many times the recorded size, or so many bytes more, are believed where a hash will tell in the end.
_STALE, _SLACK = 16, 64 * 1024**2
#: Bytes of a file of which no size is recorded; larger than any that is known.
_UNKNOWN = 1 << 38


class S3Keys:
    """The keys of a private bucket: never shown, never pickled."""

    __slots__ = ("access", "secret", "session")

    def __init__(self, access: str, secret: str, session: str | None = None) -> None:
        self.access, self.secret, self.session = access, secret, session

    def __repr__(self) -> str:
        return "S3Keys(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("S3 keys are not pickled; make the plan anew from its records")


@dataclass(frozen=True)
class S3Location:
    """One object of an S3 bucket. Without keys the request is not signed."""

    bucket: str
    key: str
    region: str = "us-east-1"
    endpoint: str | None = None
    keys: S3Keys | None = field(default=None, repr=False, compare=False)

    @property
    def url(self) -> str:
        """The object's name, for messages."""
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class Source:
    """One place that has a file: an HTTP address, already quoted, or an S3 object.

    ``auth`` says whose credentials it may see: the database server's token, the data server's name and
    password, or none.
    """

    url: str
    auth: Literal["server", "data"] | None = None
    s3: S3Location | None = None


@dataclass(frozen=True)
class Item:
    """One file of a plan. ``size`` is a hint where there is a ``hash``, and decides where there is none."""

    did: str
    target: str
    sources: tuple[Source, ...]
    size: int | None = None
    hash: str | None = None
    eid: str | None = None
    error: OneError | None = None

    @property
    def algorithm(self) -> str | None:
        """The kind of hash: ``md5``, ``sha1`` or None."""
        return _HASHES[len(self.hash)] if self.hash else None

    @property
    def most(self) -> int:
        """How many bytes a file may have before it cannot be the right one.

        Without a hash that is the recorded size. With one, the size is a hint, which is often out of date.
        """
        if self.hash is None and self.size is not None:
            return self.size
        return self.most_unchecked

    @property
    def most_unchecked(self) -> int:
        """How many bytes a file may have whose hash and exact size do not matter."""
        return max(_STALE * self.size, self.size + _SLACK) if self.size else _UNKNOWN

    @property
    def key(self) -> str:
        """16 characters that stand for this version of this dataset; the name of its part file has them."""
        return hashlib.sha256(f"{self.did} {self.hash} {self.target}".encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Plan:
    """Files to fetch, in the order of the records they were made from."""

    items: tuple[Item, ...]

    @property
    def bytes(self) -> int:
        """The sum of the recorded sizes; files of unknown size count nothing."""
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
    prefer: Literal["http", "s3"] = "http",
    s3_endpoint: str | None = None,
    on_error: Literal["raise", "collect"] = "raise",
    written: bool = True,
) -> Plan:
    """Make a plan from dataset records of any kind.

    A record is one of: a row of the tables (``id`` or ``did``, ``rel_path``, ``session_path`` or ``lab``,
    ``subject``, ``date`` and ``number``; optionally ``eid``, ``hash``, ``file_size``); a record of the
    ``datasets`` endpoint (with ``file_records``); a dataset of a session's detail (``id`` and ``data_url``).
    ``repositories`` are records of the ``data-repository`` endpoint; those named ``aws*`` give S3 sources.
    The data server's credentials go only to addresses below ``data_server``, the token only to those below
    ``base_url``.

    A file whose path would leave the cache folder raises UnsafePath, and two datasets for one path
    TransferError; with ``on_error="collect"`` the item has that error instead, and the others can be fetched.
    With ``written=False`` the plan is for files that are only looked for on disk, where the folder itself may be a session's.
    """
    if prefer not in ("http", "s3"):
        raise InputError.of("prefer", prefer, ("http", "s3"))
    maker = _Maker(
        data_server, base_url, {r["name"]: r for r in repositories}, uuid_filenames, prefer, s3_endpoint,
        written,
    )  # fmt: skip
    seen: dict[str, Item] = {}
    items: list[Item] = []
    for record in records:
        item = maker.item(record)
        other = seen.setdefault(item.target, item)
        if not item.error and (other.did, other.hash) != (item.did, item.hash):
            item = _refused(item.did, item.target, _conflict(item, other), item.eid)
        if item.error and on_error == "raise":
            raise item.error
        items.append(item)
    return Plan(tuple(items))


_CONTROL, _SURROGATE = re.compile("[\x00-\x1f\x7f]"), re.compile("[\ud800-\udfff]")


def safe_relative(path: str, *, written: bool = True) -> str:
    """Return a relative path with ``/`` between its parts, if it surely stays within its folder.

    Raises UnsafePath for ``..`` and absolute paths, and where the file would be ``written`` also for drive letters, back
    slashes, control characters, a file directly in the folder's root or below a hidden folder there: these hold tables,
    settings and stored answers.
    """
    parts = path.split("/")
    problem = (
        "it is absolute" if path.startswith(("/", "\\")) else
        "it has a part that means another folder" if any(p == ".." for p in parts) else
        "it has a character that is no text" if _SURROGATE.search(path) or "\0" in path else None
    )  # fmt: skip
    if written and not problem:
        problem = (
            "it has a part that means another folder" if any(p in (".", "~") for p in parts) else
            "it has an empty part" if not all(p.strip(" .") for p in parts) else
            "it has a drive letter" if any(re.match(r"[A-Za-z]:", p) for p in parts) else
            "it has a back slash" if "\\" in path else
            "it has a control character" if _CONTROL.search(path) else
            "it lies in the root of the cache folder" if len(parts) < 2 else
            "it lies in a hidden folder" if parts[0].startswith(".") else None
        )  # fmt: skip
    if problem:
        raise UnsafePath(f"{path!r} is not written to the cache folder: {problem}", path=path)
    return path


def quote_url(url: str) -> str:
    """Quote the path of an address as Alyx gives it, where ``#`` and spaces of a path stand as they are."""
    scheme, netloc, path, query, _ = urlsplit(url, allow_fragments=False)
    return urlunsplit((scheme, netloc, quote(path), quote(query, safe="=&%+/"), ""))


@dataclass(frozen=True)
class _Maker:
    data_server: str | None
    base_url: str | None
    repositories: Mapping[str, Mapping[str, Any]]
    uuid_filenames: bool
    prefer: str
    s3_endpoint: str | None
    written: bool

    def item(self, record: Mapping[str, Any]) -> Item:
        did = _did(record)
        eid = _eid(record)
        try:
            places = self._places(record, did)
            target = self._target(record, [path for _, path in places], did)
        except ALFInvalid as error:  # its session cannot have a folder
            return _refused(did, str(record.get("rel_path") or did), error, eid)
        try:
            if not places and (url := record.get("data_url")) and _begins_http(url):
                raise TransferError(
                    f"{url!r}, where the dataset {did} is said to be, is no address", path=target
                )
            safe_relative(target, written=self.written)
            digest = _hash(record)
        except OneError as error:
            if isinstance(error, UnsafePath) and not places and record.get("rel_path") is None:
                error = nowhere(did, target)
            return _refused(did, target, error, eid)
        size = record.get("file_size", record.get("size"))
        sources = [source for source, _ in places]
        sources.sort(key=lambda s: (s.s3 is None) != (self.prefer == "http"))
        return Item(did, target, tuple(sources), None if size is None else int(size), digest, eid)

    def _places(self, record: Mapping[str, Any], did: str) -> list[tuple[Source, str]]:
        """Give each source with the path it has on its server."""
        if "file_records" in record:
            return self._recorded(record, did)
        if "data_url" in record:
            url = record["data_url"]
            return [self._http(url)] if _is_http(url) else []
        path = _row_path(record)
        places = []
        if self.data_server:
            places.append((self._http(f"{self.data_server.rstrip('/')}/{with_id(path, did)}")[0], path))
        for repository in self.repositories.values():
            # The globus path of a lab's bucket ends as the paths of its sessions begin: <lab>/Subjects/.
            prefix = (repository.get("globus_path") or "").strip("/")
            lab, _, below = path.partition("/Subjects/")
            if below and prefix.endswith(f"{lab}/Subjects"):
                places += self._s3(repository, f"{prefix}/{below}", did)
        return places

    def _recorded(self, record: Mapping[str, Any], did: str) -> list[tuple[Source, str]]:
        found, stored = [], []
        for one in record["file_records"] or ():
            if not one.get("exists", True):
                continue
            if _is_http(one.get("data_url")):
                found.append(self._http(one["data_url"]))
            repository = self.repositories.get(one.get("data_repository") or "")
            if repository and one.get("relative_path"):
                prefix = one.get("data_repository_path") or repository.get("globus_path") or ""
                stored += self._s3(repository, f"{prefix.strip('/')}/{one['relative_path'].lstrip('/')}", did)
        # Of several servers, the one that was configured first: it is the one whose password is known.
        found.sort(key=lambda place: place[0].auth is None)
        return found + stored

    def _http(self, url: str) -> tuple[Source, str]:
        auth: Literal["server", "data"] | None = None
        if _is_below(url, self.data_server):
            auth = "data"
        elif _is_below(url, self.base_url):
            auth = "server"
        return Source(quote_url(url), auth), urlsplit(url, allow_fragments=False).path

    def _s3(self, repository: Mapping[str, Any], path: str, did: str) -> list[tuple[Source, str]]:
        said = repository.get("json") or {}
        if not str(repository.get("name", "")).startswith("aws") or not said.get("bucket_name"):
            return []
        access, secret = said.get("Access key ID"), said.get("Secret access key")
        keys = S3Keys(access, secret, said.get("Session token")) if access and secret else None
        region = said.get("region_name") or "us-east-1"
        key = with_id(path.strip("/"), did)
        place = S3Location(said["bucket_name"], key, region, self.s3_endpoint, keys)
        return [(Source(place.url, None, place), path)]

    def _target(self, record: Mapping[str, Any], paths: list[str], did: str) -> str:
        if record.get("rel_path") is not None:
            path = _row_path(record)
            if not self.written and has_id(path):  # the id is in the name on disk, too
                return path
        elif paths:
            path = _local_part(paths[0])
        else:
            path = _known_path(record) or did
        path = without_id(path)
        return with_id(path, did) if self.uuid_filenames else path


def _local_part(path: str) -> str:
    """Cut from a server's path what comes before the lab, or before ``aggregates``, as ONE-api does."""
    if path.startswith("//") or "/../" in path:
        return path  # not a path that a server could mean; safe_relative says so
    path = path.lstrip("/")
    if (found := match_session(path)) and len(path) > found.end + 1:
        return path[found.start :]
    return re.sub(r"^[\w/]+(?=aggregates/)", "", path, count=1)


def _known_path(record: Mapping[str, Any]) -> str:
    """Give the local path of a record that has no source, from those of its files that are out of reach."""
    for one in record.get("file_records") or ():
        # Paths on other repositories, say an acquisition computer's, do not have the lab before Subjects.
        if one.get("relative_path") and str(one.get("data_repository")).startswith(("flatiron", "aws")):
            return _local_part(
                f"{one.get('data_repository_path') or ''}/{one['relative_path']}".replace("//", "/")
            )
    return "/".join(filter(None, (record.get("collection"), record.get("name"))))


def _row_path(record: Mapping[str, Any]) -> str:
    session = record.get("session_path")
    if session is None and "subject" in record:
        session = session_folder(record)
    if session is None:
        raise InputError.of(
            "records", dict(record), "rows with session_path, or lab, subject, date and number"
        )
    return f"{session}/{record['rel_path']}" if session else str(record["rel_path"])


def _did(record: Mapping[str, Any]) -> str:
    value = record.get("did") or record.get("id") or str(record.get("url") or "")[-36:]
    if not re.fullmatch(_UUID, str(value)):
        raise InputError.of("records", dict(record), "records with the id of a dataset")
    return str(value).lower()


def _eid(record: Mapping[str, Any]) -> str | None:
    value = record.get("eid") or record.get("session")
    return str(value)[-36:] if value else None


def _hash(record: Mapping[str, Any]) -> str | None:
    value = record.get("hash")
    if not value:
        return None
    text = str(value).strip().lower()
    if len(text) not in _HASHES or not re.fullmatch("[0-9a-f]+", text):
        raise TransferError(
            f"the recorded hash {value!r} is neither md5 nor sha1", path=str(record.get("rel_path", ""))
        )
    return text


def _is_http(url: object) -> bool:
    if not _begins_http(url):
        return False
    try:
        parts = urlsplit(str(url), allow_fragments=False)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, a port above 65535
        return False


def _begins_http(url: object) -> bool:
    return isinstance(url, str) and url.startswith(("http://", "https://"))


def _is_below(url: str, base: str | None) -> bool:
    return bool(base) and f"{url}/".startswith(f"{str(base).rstrip('/')}/")


def _refused(did: str, target: str, error: OneError, eid: str | None) -> Item:
    return Item(did, target, (), eid=eid, error=error)


def nowhere(did: str, target: str) -> TransferError:
    """Give the error of a file that has no source."""
    return TransferError(f"no server that can be reached from here has {target} (dataset {did})", path=target)


def _conflict(item: Item, other: Item) -> TransferError:
    return TransferError(
        f"the datasets {other.did} and {item.did} have the same path {item.target}; "
        "uuid_filenames=True keeps both",
        path=item.target,
    )
