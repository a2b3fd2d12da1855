"""Download plans: which files, from where, to where. No plan reads the disk or makes a request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, urlsplit, urlunsplit

from one_async.alf.session_paths import match_session, with_id, without_id
from one_async.errors import ALFInvalid, OneError, TransferError, UnsafePath
from one_async.transfer.items import FileSource, Item, S3Keys, S3Location, Window
from one_async.transfer.on_disk import (
    conflict,
    dataset_id_of,
    hash_of,
    row_path,
    row_target,
    safe_relative,
)

__all__ = [
    "Plan",
    "make_plan",
    "no_source",
    "quote_url",
    "web_source",
]


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
