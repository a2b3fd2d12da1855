"""Made by `tests/typing/make_stub.py` of the async classes; not to be edited by hand."""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from datetime import datetime, timedelta
from os import PathLike as PathLike2
from pathlib import Path, PurePath
from typing import Any, Literal, Self, Unpack, overload
from uuid import UUID

import polars as pl

from one_async._bridge import Blocking, blocking_property
from one_async._browsing import BrowsePage
from one_async._display import Printer
from one_async._parameters import Parameters
from one_async._recordings import RawEphys, Video
from one_async.alf.match import Filename, Pattern
from one_async.alf.path import ALFPath
from one_async.alf.spec import QC
from one_async.alyx.client import AsyncAlyxClient
from one_async.alyx.responses import Page, Row
from one_async.alyx.retrying import Timeouts
from one_async.alyx.schema import EndpointDescription, Schema
from one_async.alyx.transports import Transport
from one_async.client import AsyncONE
from one_async.client.load import DatasetLike
from one_async.client.many import Loaded
from one_async.client.outcomes import OnError
from one_async.client.regions import RegionMapping
from one_async.client.search import Place, Probes, ProbesDetails
from one_async.client.spikes import SpikeSorting
from one_async.client.tables import CacheTwin
from one_async.client.watch_cursor import CursorLike
from one_async.events import EventHooks, Stats
from one_async.files.objects import ALFObject
from one_async.harvest.arguments import Endpoints, Format
from one_async.harvest.report import HarvestReport
from one_async.harvest.sweep import HarvestProgress
from one_async.plot import Plots
from one_async.refresh import TablesInfo
from one_async.registration.arguments import PathLike
from one_async.registration.client import RegistrationClient
from one_async.settings import Ask, Settings
from one_async.tables.changes import BuildReport
from one_async.transfer.fetch import Progress
from one_async.types import (
    JSON,
    DateLike,
    Expiry,
    InsertionLike,
    InsertionTerms,
    Mode,
    PathOrUrl,
    Reference,
    ReferenceLike,
    ReferenceText,
    RevisionPolicy,
    SessionLike,
    SessionTerms,
    Several,
    TokenStore,
)

__all__ = ["ONE", "AlyxClient", "Registration"]

class AlyxClient(Blocking[AsyncAlyxClient]):
    def __init__(
        self,
        base_url: str | None = None,
        username: str | None = None,
        password: str | None = None,
        cache_dir: Path | str | None = None,
        silent: bool = False,
        cache_rest: str | None = "GET",
        token: str | None = None,
        *,
        default_expiry: Expiry = ...,
        token_store: TokenStore | None = None,
        max_connections: int = 32,
        cache_storage: str | None = None,
        timeout: Timeouts | float | None = None,
        transport: Transport | None = None,
        settings: Settings | None = None,
        tables: Literal["polars", "pandas"] = "polars",
        event_hooks: EventHooks | None = None,
    ) -> None: ...
    base_url: blocking_property[str]
    cache_dir: blocking_property[Path]
    silent: blocking_property[bool]
    user: blocking_property[str | None]
    _par: blocking_property[Parameters]
    is_logged_in: blocking_property[bool]
    max_connections: blocking_property[int]
    request_counts: blocking_property[tuple[int, int]]
    cache_mode: blocking_property[str | None]
    cache_scope: blocking_property[str]
    default_expiry: blocking_property[Expiry]
    stats: blocking_property[Stats]
    def authenticate(
        self,
        username: str | None = None,
        password: str | None = None,
        cache_token: bool = True,
        force: bool = False,
        token: str | None = None,
    ) -> None: ...
    def logout(self) -> None: ...
    def rest(
        self,
        /,
        url: str | None = None,
        action: str | None = None,
        id: UUID | str | None = None,
        data: Any = None,
        files: Mapping[str, Any] | None = None,
        no_cache: bool = False,
        expires: Expiry = None,
        **filters: Any,
    ) -> Any: ...
    def get(
        self, rest_query: str, *, expires: Expiry = None, no_cache: bool = False, clobber: bool = False
    ) -> Any: ...
    def post(self, rest_query: str, data: Any = None, files: Mapping[str, Any] | None = None) -> Any: ...
    def put(self, rest_query: str, data: Any = None, files: Mapping[str, Any] | None = None) -> Any: ...
    def patch(self, rest_query: str, data: Any = None, files: Mapping[str, Any] | None = None) -> Any: ...
    def delete(self, rest_query: str) -> Any: ...
    @overload
    def download_file(
        self,
        url: str,
        *,
        chunks: Sequence[int] | None = None,
        target_dir: Path | str | None = None,
        clobber: bool = False,
        return_md5: Literal[False] = False,
        headers: Mapping[str, str] | None = None,
        silent: bool = True,
    ) -> Path: ...
    @overload
    def download_file(
        self,
        url: str,
        *,
        chunks: Sequence[int] | None = None,
        target_dir: Path | str | None = None,
        clobber: bool = False,
        return_md5: Literal[True],
        headers: Mapping[str, str] | None = None,
        silent: bool = True,
    ) -> tuple[Path, str]: ...
    @overload
    def download_file(
        self,
        url: Several[str],
        *,
        chunks: Sequence[int] | None = None,
        target_dir: Path | str | Sequence[Path | str] | None = None,
        clobber: bool = False,
        return_md5: Literal[False] = False,
        headers: Mapping[str, str] | None = None,
        silent: bool = True,
    ) -> list[Path]: ...
    @overload
    def download_file(
        self,
        url: Several[str],
        *,
        chunks: Sequence[int] | None = None,
        target_dir: Path | str | Sequence[Path | str] | None = None,
        clobber: bool = False,
        return_md5: Literal[True],
        headers: Mapping[str, str] | None = None,
        silent: bool = True,
    ) -> list[tuple[Path, ...] | tuple[str, ...]]: ...
    def json_field_write(
        self,
        endpoint: str | None = None,
        uuid: UUID | str | None = None,
        field_name: str | None = None,
        data: JSON | None = None,
    ) -> JSON | None: ...
    def json_field_update(
        self,
        endpoint: str | None = None,
        uuid: UUID | str | None = None,
        field_name: str = "json",
        data: Mapping[str, object] | None = None,
        *,
        atomic: bool = False,
    ) -> JSON | None: ...
    def json_field_remove_key(
        self,
        endpoint: str | None = None,
        uuid: UUID | str | None = None,
        field_name: str = "json",
        key: str | None = None,
    ) -> JSON | None: ...
    def json_field_delete(
        self, endpoint: str | None = None, uuid: UUID | str | None = None, field_name: str | None = None
    ) -> JSON | None: ...
    def pages(
        self,
        /,
        endpoint: str,
        *,
        no_cache: bool = False,
        expires: Expiry = None,
        limit: int = ...,
        **filters: Any,
    ) -> Iterator[list[Row]]: ...
    def page(
        self,
        /,
        endpoint: str,
        limit: int,
        offset: int,
        *,
        no_cache: bool = False,
        expires: Expiry = None,
        **filters: Any,
    ) -> Page: ...
    def frame(
        self, /, endpoint: str, *, no_cache: bool = False, expires: Expiry = None, **filters: Any
    ) -> pl.DataFrame: ...
    def schema(self) -> Schema: ...
    def list_endpoints(self) -> list[str]: ...
    def describe_endpoint(self, endpoint: str, action: str | None = None) -> EndpointDescription: ...
    def clear_rest_cache(self) -> None: ...

class Registration(Blocking[RegistrationClient]):
    def create_new_session(
        self,
        subject: str,
        session_root: PathLike | None = None,
        date: DateLike | None = None,
        register: bool = True,
        **kwargs: Any,
    ) -> tuple[Path, UUID | None]: ...
    def create_sessions(
        self,
        root_data_folder: PathLike,
        glob_pattern: str = "**/create_me.flag",
        register_files: bool = False,
        dry: bool = False,
    ) -> tuple[list[Path], list[dict[str, Any] | None]]: ...
    def register_session(
        self,
        ses_path: PathLike | Sequence[PathLike],
        users: str | Sequence[str] | None = None,
        file_list: bool | Sequence[PathLike] = True,
        *,
        dry_run: bool = False,
        repository: str | None = None,
        default: bool = True,
        created_by: str | None = None,
        server_only: bool = False,
        exists: bool = True,
        max_md5_size: int | None = None,
        revision: str | None = None,
        to: PathLike | None = None,
        **kwargs: Any,
    ) -> Any: ...
    def register_files(
        self,
        file_list: PathLike | Sequence[PathLike],
        versions: str | Sequence[str | None] | None = None,
        default: bool = True,
        created_by: str | None = None,
        server_only: bool = False,
        repository: str | None = None,
        exists: bool = True,
        dry: bool = False,
        max_md5_size: int | None = None,
        *,
        dry_run: bool = False,
        revision: str | None = None,
        to: PathLike | None = None,
        **kwargs: Any,
    ) -> Any: ...
    def prepare_files(
        self, file_list: PathLike | Sequence[PathLike], versions: str | Sequence[str | None] | None = None
    ) -> tuple[dict[Path, list[PurePath]], dict[Path, list[str | None]], list[Path], bool]: ...
    def find_files(self, session_path: PathLike) -> list[Path]: ...
    def check_protected_files(
        self, file_list: PathLike | Sequence[PathLike], created_by: str | None = None
    ) -> Any: ...
    def assert_exists(self, member: str | UUID | Sequence[str | UUID], endpoint: str) -> Any: ...
    @staticmethod
    def ensure_ISO8601(date: DateLike | None) -> str: ...
    def register_water_administration(
        self,
        subject: str,
        volume: float,
        *,
        date_time: DateLike | None = None,
        water_type: str | None = None,
        user: str | None = None,
        session: object = None,
        adlib: bool = False,
    ) -> dict[str, Any]: ...
    def register_weight(
        self, subject: str, weight: float, date_time: DateLike | None = None, user: str | None = None
    ) -> dict[str, Any]: ...

class ONE(Blocking[AsyncONE]):
    def __init__(
        self,
        *,
        base_url: str | None = None,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
        cache_dir: str | Path | None = None,
        tables_dir: str | Path | None = None,
        mode: Mode | None = None,
        wildcards: bool = True,
        cache_rest: Literal["GET"] | None = "GET",
        cache_storage: str | None = None,
        default_expiry: timedelta | None = None,
        cache_expiry: timedelta | None = None,
        data_server: str | None = None,
        data_server_login: str | None = None,
        data_server_password: str | None = None,
        max_connections: int = 32,
        timeout: Timeouts | float | None = None,
        event_hooks: EventHooks | None = None,
        tables: Literal["polars", "pandas"] = "polars",
        uuid_filenames: bool = False,
        progress: Progress | bool | None = None,
        frozen: str | Path | None = None,
        silent: bool = False,
    ) -> None: ...
    @staticmethod
    def setup(
        base_url: str | None = None,
        *,
        username: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        tables_dir: str | os.PathLike[str] | None = None,
        data_server: str | None = None,
        data_server_login: str | None = None,
        keyring: bool | None = None,
        make_default: bool | None = None,
        ask: Ask | None = None,
        silent: bool = True,
    ) -> Settings: ...
    @property
    def alyx(self) -> AlyxClient: ...
    @property
    def registration(self) -> Registration: ...
    @property
    def plot(self) -> Plots: ...
    def _repr_html_(self) -> str: ...
    def _repr_pretty_(self, printer: Printer, cycle: bool) -> None: ...
    mode: blocking_property[Mode]
    offline: blocking_property[bool]
    cache_dir: blocking_property[Path]
    tables_dir: blocking_property[Path]
    settings: blocking_property[Settings]
    wildcards: blocking_property[bool]
    uuid_filenames: blocking_property[bool]
    record_loaded: blocking_property[bool]
    cache_expiry: blocking_property[timedelta]
    stats: blocking_property[Stats]
    tables_info: blocking_property[TablesInfo]
    _cache: blocking_property[CacheTwin]
    @overload
    def search(
        self,
        /,
        details: Literal[False] = False,
        query_type: Mode | None = None,
        **terms: Unpack[SessionTerms],
    ) -> list[UUID]: ...
    @overload
    def search(
        self, /, details: Literal[True], query_type: Mode | None = None, **terms: Unpack[SessionTerms]
    ) -> tuple[list[UUID], pl.DataFrame]: ...
    @overload
    def search(
        self, /, details: bool, query_type: Mode | None = None, **terms: Unpack[SessionTerms]
    ) -> list[UUID] | tuple[list[UUID], pl.DataFrame]: ...
    def search_terms(
        self, query_type: Mode | None = None, endpoint: str | None = None
    ) -> tuple[str, ...]: ...
    @overload
    def search_insertions(
        self,
        /,
        details: Literal[False] = False,
        query_type: Mode | None = None,
        **terms: Unpack[InsertionTerms],
    ) -> list[UUID]: ...
    @overload
    def search_insertions(
        self, /, details: Literal[True], query_type: Mode | None = None, **terms: Unpack[InsertionTerms]
    ) -> tuple[list[UUID], list[JSON]]: ...
    @overload
    def search_insertions(
        self, /, details: bool, query_type: Mode | None = None, **terms: Unpack[InsertionTerms]
    ) -> list[UUID] | tuple[list[UUID], list[JSON]]: ...
    def watch(
        self,
        /,
        *,
        every: float | timedelta | None = 60.0,
        cursor: CursorLike = None,
        **terms: Unpack[SessionTerms],
    ) -> Iterator[JSON]: ...
    def watch_folder(
        self,
        /,
        *,
        every: float | timedelta | None = 60.0,
        hash_files: bool = False,
        lab: str | None = None,
        namespace: UUID | str | None = None,
        overwrite: bool = False,
        quick: bool = False,
    ) -> Iterator[BuildReport]: ...
    def list_subjects(self, query_type: Mode | None = None) -> list[str]: ...
    @overload
    def list_datasets(
        self,
        eid: SessionLike | None = None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        details: Literal[False] = False,
        query_type: Mode | None = None,
        default_revisions_only: bool = False,
        keep_eid_index: bool = False,
        *,
        revision_policy: RevisionPolicy = "exact",
    ) -> list[str]: ...
    @overload
    def list_datasets(
        self,
        eid: SessionLike | None = None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        details: Literal[True] = ...,
        query_type: Mode | None = None,
        default_revisions_only: bool = False,
        keep_eid_index: bool = False,
        *,
        revision_policy: RevisionPolicy = "exact",
    ) -> pl.DataFrame: ...
    @overload
    def list_datasets(
        self,
        eid: SessionLike | None = None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        details: bool = False,
        query_type: Mode | None = None,
        default_revisions_only: bool = False,
        keep_eid_index: bool = False,
        *,
        revision_policy: RevisionPolicy = "exact",
    ) -> list[str] | pl.DataFrame: ...
    @overload
    def list_datasets(
        self,
        eid: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        details: Literal[False] = False,
        query_type: Mode | None = None,
        default_revisions_only: bool = False,
        keep_eid_index: bool = False,
        *,
        revision_policy: RevisionPolicy = "exact",
    ) -> list[list[str]]: ...
    @overload
    def list_datasets(
        self,
        eid: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        details: Literal[True] = ...,
        query_type: Mode | None = None,
        default_revisions_only: bool = False,
        keep_eid_index: bool = False,
        *,
        revision_policy: RevisionPolicy = "exact",
    ) -> list[pl.DataFrame]: ...
    @overload
    def list_datasets(
        self,
        eid: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        details: bool = False,
        query_type: Mode | None = None,
        default_revisions_only: bool = False,
        keep_eid_index: bool = False,
        *,
        revision_policy: RevisionPolicy = "exact",
    ) -> list[list[str] | pl.DataFrame]: ...
    @overload
    def list_datasets(
        self,
        *,
        id: SessionLike | None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        details: Literal[False] = False,
        query_type: Mode | None = None,
        default_revisions_only: bool = False,
        keep_eid_index: bool = False,
        revision_policy: RevisionPolicy = "exact",
    ) -> list[str]: ...
    @overload
    def list_datasets(
        self,
        *,
        id: SessionLike | None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        details: Literal[True] = ...,
        query_type: Mode | None = None,
        default_revisions_only: bool = False,
        keep_eid_index: bool = False,
        revision_policy: RevisionPolicy = "exact",
    ) -> pl.DataFrame: ...
    @overload
    def list_datasets(
        self,
        *,
        id: SessionLike | None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        details: bool = False,
        query_type: Mode | None = None,
        default_revisions_only: bool = False,
        keep_eid_index: bool = False,
        revision_policy: RevisionPolicy = "exact",
    ) -> list[str] | pl.DataFrame: ...
    @overload
    def list_datasets(
        self,
        *,
        id: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        details: Literal[False] = False,
        query_type: Mode | None = None,
        default_revisions_only: bool = False,
        keep_eid_index: bool = False,
        revision_policy: RevisionPolicy = "exact",
    ) -> list[list[str]]: ...
    @overload
    def list_datasets(
        self,
        *,
        id: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        details: Literal[True] = ...,
        query_type: Mode | None = None,
        default_revisions_only: bool = False,
        keep_eid_index: bool = False,
        revision_policy: RevisionPolicy = "exact",
    ) -> list[pl.DataFrame]: ...
    @overload
    def list_datasets(
        self,
        *,
        id: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        details: bool = False,
        query_type: Mode | None = None,
        default_revisions_only: bool = False,
        keep_eid_index: bool = False,
        revision_policy: RevisionPolicy = "exact",
    ) -> list[list[str] | pl.DataFrame]: ...
    @overload
    def list_collections(
        self,
        eid: SessionLike | None = None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[False] = False,
        query_type: Mode | None = None,
    ) -> list[str]: ...
    @overload
    def list_collections(
        self,
        eid: SessionLike | None = None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[True] = ...,
        query_type: Mode | None = None,
    ) -> dict[str, pl.DataFrame]: ...
    @overload
    def list_collections(
        self,
        eid: SessionLike | None = None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: bool = False,
        query_type: Mode | None = None,
    ) -> list[str] | dict[str, pl.DataFrame]: ...
    @overload
    def list_collections(
        self,
        eid: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[False] = False,
        query_type: Mode | None = None,
    ) -> list[list[str]]: ...
    @overload
    def list_collections(
        self,
        eid: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[True] = ...,
        query_type: Mode | None = None,
    ) -> list[dict[str, pl.DataFrame]]: ...
    @overload
    def list_collections(
        self,
        eid: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: bool = False,
        query_type: Mode | None = None,
    ) -> list[list[str] | dict[str, pl.DataFrame]]: ...
    @overload
    def list_collections(
        self,
        *,
        id: SessionLike | None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[False] = False,
        query_type: Mode | None = None,
    ) -> list[str]: ...
    @overload
    def list_collections(
        self,
        *,
        id: SessionLike | None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[True] = ...,
        query_type: Mode | None = None,
    ) -> dict[str, pl.DataFrame]: ...
    @overload
    def list_collections(
        self,
        *,
        id: SessionLike | None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: bool = False,
        query_type: Mode | None = None,
    ) -> list[str] | dict[str, pl.DataFrame]: ...
    @overload
    def list_collections(
        self,
        *,
        id: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[False] = False,
        query_type: Mode | None = None,
    ) -> list[list[str]]: ...
    @overload
    def list_collections(
        self,
        *,
        id: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[True] = ...,
        query_type: Mode | None = None,
    ) -> list[dict[str, pl.DataFrame]]: ...
    @overload
    def list_collections(
        self,
        *,
        id: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: bool = False,
        query_type: Mode | None = None,
    ) -> list[list[str] | dict[str, pl.DataFrame]]: ...
    @overload
    def list_revisions(
        self,
        eid: SessionLike | None = None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[False] = False,
        query_type: Mode | None = None,
    ) -> list[str]: ...
    @overload
    def list_revisions(
        self,
        eid: SessionLike | None = None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[True] = ...,
        query_type: Mode | None = None,
    ) -> dict[str, pl.DataFrame]: ...
    @overload
    def list_revisions(
        self,
        eid: SessionLike | None = None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: bool = False,
        query_type: Mode | None = None,
    ) -> list[str] | dict[str, pl.DataFrame]: ...
    @overload
    def list_revisions(
        self,
        eid: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[False] = False,
        query_type: Mode | None = None,
    ) -> list[list[str]]: ...
    @overload
    def list_revisions(
        self,
        eid: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[True] = ...,
        query_type: Mode | None = None,
    ) -> list[dict[str, pl.DataFrame]]: ...
    @overload
    def list_revisions(
        self,
        eid: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: bool = False,
        query_type: Mode | None = None,
    ) -> list[list[str] | dict[str, pl.DataFrame]]: ...
    @overload
    def list_revisions(
        self,
        *,
        id: SessionLike | None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[False] = False,
        query_type: Mode | None = None,
    ) -> list[str]: ...
    @overload
    def list_revisions(
        self,
        *,
        id: SessionLike | None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[True] = ...,
        query_type: Mode | None = None,
    ) -> dict[str, pl.DataFrame]: ...
    @overload
    def list_revisions(
        self,
        *,
        id: SessionLike | None,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: bool = False,
        query_type: Mode | None = None,
    ) -> list[str] | dict[str, pl.DataFrame]: ...
    @overload
    def list_revisions(
        self,
        *,
        id: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[False] = False,
        query_type: Mode | None = None,
    ) -> list[list[str]]: ...
    @overload
    def list_revisions(
        self,
        *,
        id: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: Literal[True] = ...,
        query_type: Mode | None = None,
    ) -> list[dict[str, pl.DataFrame]]: ...
    @overload
    def list_revisions(
        self,
        *,
        id: Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        details: bool = False,
        query_type: Mode | None = None,
    ) -> list[list[str] | dict[str, pl.DataFrame]]: ...
    @overload
    def get_details(
        self, eid: SessionLike, full: Literal[False] = False, query_type: Mode | None = None
    ) -> JSON: ...
    @overload
    def get_details(
        self, eid: SessionLike, full: bool, query_type: Mode | None = None
    ) -> JSON | pl.DataFrame: ...
    @overload
    def get_details(
        self, eid: Several[SessionLike], full: Literal[False] = False, query_type: Mode | None = None
    ) -> list[JSON]: ...
    @overload
    def get_details(
        self, eid: Several[SessionLike], full: bool, query_type: Mode | None = None
    ) -> list[JSON | pl.DataFrame]: ...
    @overload
    def get_details(
        self, *, id: SessionLike, full: Literal[False] = False, query_type: Mode | None = None
    ) -> JSON: ...
    @overload
    def get_details(
        self, *, id: SessionLike, full: bool, query_type: Mode | None = None
    ) -> JSON | pl.DataFrame: ...
    @overload
    def get_details(
        self, *, id: Several[SessionLike], full: Literal[False] = False, query_type: Mode | None = None
    ) -> list[JSON]: ...
    @overload
    def get_details(
        self, *, id: Several[SessionLike], full: bool, query_type: Mode | None = None
    ) -> list[JSON | pl.DataFrame]: ...
    @overload
    def describe_dataset(self, dataset_type: None = None) -> list[JSON]: ...
    @overload
    def describe_dataset(self, dataset_type: str | UUID) -> JSON: ...
    @overload
    def describe_revision(self, revision: str, full: Literal[False] = False) -> str: ...
    @overload
    def describe_revision(self, revision: str, full: Literal[True]) -> JSON: ...
    @overload
    def describe_revision(self, revision: str, full: bool) -> str | JSON: ...
    @overload
    def dataset2type(self, dset: str | UUID) -> str: ...
    @overload
    def dataset2type(self, dset: Several[str | UUID]) -> list[str]: ...
    @overload
    def type2datasets(
        self, eid: SessionLike, dataset_type: str | list[str], details: Literal[False] = False
    ) -> list[str]: ...
    @overload
    def type2datasets(
        self, eid: SessionLike, dataset_type: str | list[str], details: Literal[True]
    ) -> pl.DataFrame: ...
    @overload
    def type2datasets(
        self, eid: SessionLike, dataset_type: str | list[str], details: bool
    ) -> list[str] | pl.DataFrame: ...
    @overload
    def type2datasets(
        self, eid: Several[SessionLike], dataset_type: str | list[str], details: Literal[False] = False
    ) -> list[list[str]]: ...
    @overload
    def type2datasets(
        self, eid: Several[SessionLike], dataset_type: str | list[str], details: Literal[True]
    ) -> list[pl.DataFrame]: ...
    @overload
    def type2datasets(
        self, eid: Several[SessionLike], dataset_type: str | list[str], details: bool
    ) -> list[list[str] | pl.DataFrame]: ...
    @overload
    def type2datasets(
        self, *, id: SessionLike, dataset_type: str | list[str], details: Literal[False] = False
    ) -> list[str]: ...
    @overload
    def type2datasets(
        self, *, id: SessionLike, dataset_type: str | list[str], details: Literal[True]
    ) -> pl.DataFrame: ...
    @overload
    def type2datasets(
        self, *, id: SessionLike, dataset_type: str | list[str], details: bool
    ) -> list[str] | pl.DataFrame: ...
    @overload
    def type2datasets(
        self, *, id: Several[SessionLike], dataset_type: str | list[str], details: Literal[False] = False
    ) -> list[list[str]]: ...
    @overload
    def type2datasets(
        self, *, id: Several[SessionLike], dataset_type: str | list[str], details: Literal[True]
    ) -> list[pl.DataFrame]: ...
    @overload
    def type2datasets(
        self, *, id: Several[SessionLike], dataset_type: str | list[str], details: bool
    ) -> list[list[str] | pl.DataFrame]: ...
    def list_aggregates(
        self,
        relation: str,
        identifier: str | None = None,
        dataset: Filename = None,
        revision: Pattern = None,
        assert_unique: bool = False,
    ) -> pl.DataFrame: ...
    def brain_regions(self) -> pl.DataFrame: ...
    def trajectories(self, /, **filters: Any) -> pl.DataFrame: ...
    def quality(
        self,
        /,
        query_type: Mode | None = None,
        *,
        session_qc_lte: str | int | QC | None = None,
        insertion_qc_lte: str | int | QC | None = None,
        behavior: bool | None = None,
        mock: bool | None = None,
        tracing: bool | None = None,
        alignment_resolved: bool | None = None,
        min_alignments: int | None = None,
        min_task_checks: float | None = None,
        extended: bool = True,
        **terms: Unpack[InsertionTerms],
    ) -> pl.DataFrame: ...
    @overload
    def to_eid(
        self, id: SessionLike, cache_dir: object = None, query_type: Mode | None = None
    ) -> UUID | None: ...
    @overload
    def to_eid(
        self, id: Several[SessionLike | None], cache_dir: object = None, query_type: Mode | None = None
    ) -> list[UUID | None]: ...
    @overload
    def to_eid(self, id: None = None, cache_dir: object = None, query_type: Mode | None = None) -> None: ...
    @overload
    def eid2path(self, eid: SessionLike, query_type: Mode | None = None) -> ALFPath | None: ...
    @overload
    def eid2path(
        self, eid: Several[SessionLike | None], query_type: Mode | None = None
    ) -> list[ALFPath | None]: ...
    @overload
    def eid2path(self, *, id: SessionLike, query_type: Mode | None = None) -> ALFPath | None: ...
    @overload
    def eid2path(
        self, *, id: Several[SessionLike | None], query_type: Mode | None = None
    ) -> list[ALFPath | None]: ...
    @overload
    def path2eid(self, path_obj: PathOrUrl, query_type: Mode | None = None) -> UUID | None: ...
    @overload
    def path2eid(self, path_obj: Several[PathOrUrl], query_type: Mode | None = None) -> list[UUID | None]: ...
    @overload
    def eid2ref(
        self,
        eid: SessionLike,
        as_dict: Literal[True] = True,
        parse: Literal[True] = True,
        query_type: Mode | None = None,
    ) -> Reference: ...
    @overload
    def eid2ref(
        self,
        eid: SessionLike,
        as_dict: Literal[True] = True,
        *,
        parse: Literal[False],
        query_type: Mode | None = None,
    ) -> ReferenceText: ...
    @overload
    def eid2ref(
        self, eid: SessionLike, as_dict: Literal[False], parse: bool = True, query_type: Mode | None = None
    ) -> str | None: ...
    @overload
    def eid2ref(
        self,
        eid: Several[SessionLike],
        as_dict: Literal[True] = True,
        parse: Literal[True] = True,
        query_type: Mode | None = None,
    ) -> list[Reference]: ...
    @overload
    def eid2ref(
        self,
        eid: Several[SessionLike],
        as_dict: Literal[True] = True,
        *,
        parse: Literal[False],
        query_type: Mode | None = None,
    ) -> list[ReferenceText]: ...
    @overload
    def eid2ref(
        self,
        eid: Several[SessionLike],
        as_dict: Literal[False],
        parse: bool = True,
        query_type: Mode | None = None,
    ) -> list[str | None]: ...
    @overload
    def eid2ref(
        self,
        *,
        id: SessionLike,
        as_dict: Literal[True] = True,
        parse: Literal[True] = True,
        query_type: Mode | None = None,
    ) -> Reference: ...
    @overload
    def eid2ref(
        self,
        *,
        id: SessionLike,
        as_dict: Literal[True] = True,
        parse: Literal[False],
        query_type: Mode | None = None,
    ) -> ReferenceText: ...
    @overload
    def eid2ref(
        self, *, id: SessionLike, as_dict: Literal[False], parse: bool = True, query_type: Mode | None = None
    ) -> str | None: ...
    @overload
    def eid2ref(
        self,
        *,
        id: Several[SessionLike],
        as_dict: Literal[True] = True,
        parse: Literal[True] = True,
        query_type: Mode | None = None,
    ) -> list[Reference]: ...
    @overload
    def eid2ref(
        self,
        *,
        id: Several[SessionLike],
        as_dict: Literal[True] = True,
        parse: Literal[False],
        query_type: Mode | None = None,
    ) -> list[ReferenceText]: ...
    @overload
    def eid2ref(
        self,
        *,
        id: Several[SessionLike],
        as_dict: Literal[False],
        parse: bool = True,
        query_type: Mode | None = None,
    ) -> list[str | None]: ...
    @overload
    def ref2eid(self, ref: ReferenceLike, query_type: Mode | None = None) -> UUID: ...
    @overload
    def ref2eid(self, ref: Several[ReferenceLike], query_type: Mode | None = None) -> list[UUID]: ...
    @overload
    def ref2path(self, ref: ReferenceLike, query_type: Mode | None = None) -> ALFPath: ...
    @overload
    def ref2path(self, ref: Several[ReferenceLike], query_type: Mode | None = None) -> list[ALFPath]: ...
    @overload
    def eid2pid(
        self,
        /,
        eid: SessionLike,
        query_type: Mode | None = None,
        details: Literal[False] = False,
        **filters: Unpack[InsertionTerms],
    ) -> Probes: ...
    @overload
    def eid2pid(
        self,
        /,
        eid: SessionLike,
        query_type: Mode | None = None,
        *,
        details: Literal[True],
        **filters: Unpack[InsertionTerms],
    ) -> ProbesDetails: ...
    @overload
    def eid2pid(
        self,
        /,
        eid: SessionLike,
        query_type: Mode | None = None,
        details: bool = False,
        **filters: Unpack[InsertionTerms],
    ) -> Probes | ProbesDetails: ...
    @overload
    def eid2pid(
        self,
        /,
        eid: Several[SessionLike],
        query_type: Mode | None = None,
        details: Literal[False] = False,
        **filters: Unpack[InsertionTerms],
    ) -> list[Probes]: ...
    @overload
    def eid2pid(
        self,
        /,
        eid: Several[SessionLike],
        query_type: Mode | None = None,
        *,
        details: Literal[True],
        **filters: Unpack[InsertionTerms],
    ) -> list[ProbesDetails]: ...
    @overload
    def eid2pid(
        self,
        /,
        eid: Several[SessionLike],
        query_type: Mode | None = None,
        details: bool = False,
        **filters: Unpack[InsertionTerms],
    ) -> list[Probes | ProbesDetails]: ...
    @overload
    def eid2pid(
        self,
        *,
        id: SessionLike,
        query_type: Mode | None = None,
        details: Literal[False] = False,
        **filters: Any,
    ) -> Probes: ...
    @overload
    def eid2pid(
        self, *, id: SessionLike, query_type: Mode | None = None, details: Literal[True], **filters: Any
    ) -> ProbesDetails: ...
    @overload
    def eid2pid(
        self, *, id: SessionLike, query_type: Mode | None = None, details: bool = False, **filters: Any
    ) -> Probes | ProbesDetails: ...
    @overload
    def eid2pid(
        self,
        *,
        id: Several[SessionLike],
        query_type: Mode | None = None,
        details: Literal[False] = False,
        **filters: Any,
    ) -> list[Probes]: ...
    @overload
    def eid2pid(
        self,
        *,
        id: Several[SessionLike],
        query_type: Mode | None = None,
        details: Literal[True],
        **filters: Any,
    ) -> list[ProbesDetails]: ...
    @overload
    def eid2pid(
        self,
        *,
        id: Several[SessionLike],
        query_type: Mode | None = None,
        details: bool = False,
        **filters: Any,
    ) -> list[Probes | ProbesDetails]: ...
    @overload
    def pid2eid(self, pid: InsertionLike, query_type: Mode | None = None) -> Place: ...
    @overload
    def pid2eid(self, pid: Several[InsertionLike], query_type: Mode | None = None) -> list[Place]: ...
    @overload
    def path2record(self, path: PathOrUrl, query_type: Mode | None = None) -> JSON | None: ...
    @overload
    def path2record(self, path: Several[PathOrUrl], query_type: Mode | None = None) -> list[JSON | None]: ...
    @overload
    def record2path(self, dataset: Mapping[str, Any], query_type: Mode | None = None) -> ALFPath: ...
    @overload
    def record2path(
        self, dataset: Several[Mapping[str, Any]] | pl.DataFrame, query_type: Mode | None = None
    ) -> list[ALFPath]: ...
    @overload
    def record2url(self, record: Mapping[str, Any], query_type: Mode | None = None) -> str: ...
    @overload
    def record2url(
        self, record: Several[Mapping[str, Any]] | pl.DataFrame, query_type: Mode | None = None
    ) -> list[str]: ...
    @overload
    def path2url(self, filepath: PathOrUrl, query_type: Mode | None = None) -> str | None: ...
    @overload
    def path2url(self, filepath: Several[PathOrUrl], query_type: Mode | None = None) -> list[str | None]: ...
    @staticmethod
    @overload
    def is_exp_ref(ref: ReferenceLike) -> bool: ...
    @staticmethod
    @overload
    def is_exp_ref(ref: Several[object]) -> list[bool]: ...
    @staticmethod
    @overload
    def is_exp_ref(ref: object) -> bool | list[bool]: ...
    @staticmethod
    @overload
    def ref2dict(ref: ReferenceLike, parse: Literal[True] = True) -> Reference: ...
    @staticmethod
    @overload
    def ref2dict(ref: ReferenceLike, parse: Literal[False]) -> ReferenceText: ...
    @staticmethod
    @overload
    def ref2dict(ref: Several[ReferenceLike], parse: Literal[True] = True) -> list[Reference]: ...
    @staticmethod
    @overload
    def ref2dict(ref: Several[ReferenceLike], parse: Literal[False]) -> list[ReferenceText]: ...
    @staticmethod
    @overload
    def dict2ref(ref_dict: Mapping[str, Any]) -> str | None: ...
    @staticmethod
    @overload
    def dict2ref(ref_dict: Several[Mapping[str, Any]]) -> list[str | None]: ...
    @staticmethod
    @overload
    def path2ref(
        path_str: PathOrUrl, as_dict: Literal[True] = True, parse: Literal[True] = True
    ) -> Reference | None: ...
    @staticmethod
    @overload
    def path2ref(
        path_str: PathOrUrl, as_dict: Literal[True] = True, *, parse: Literal[False]
    ) -> ReferenceText | None: ...
    @staticmethod
    @overload
    def path2ref(path_str: PathOrUrl, as_dict: Literal[False], parse: bool = True) -> str | None: ...
    @staticmethod
    @overload
    def path2ref(
        path_str: Several[PathOrUrl], as_dict: Literal[True] = True, parse: Literal[True] = True
    ) -> list[Reference | None]: ...
    @staticmethod
    @overload
    def path2ref(
        path_str: Several[PathOrUrl], as_dict: Literal[True] = True, *, parse: Literal[False]
    ) -> list[ReferenceText | None]: ...
    @staticmethod
    @overload
    def path2ref(
        path_str: Several[PathOrUrl], as_dict: Literal[False], parse: bool = True
    ) -> list[str | None]: ...
    @overload
    def load_dataset(
        self,
        eid: SessionLike | Several[SessionLike],
        dataset: str | Mapping[str, Any],
        collection: str | None = None,
        revision: str | None = None,
        query_type: Mode | None = None,
        download_only: bool = False,
        check_hash: bool = True,
        *,
        revision_policy: RevisionPolicy = "last_before",
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
    ) -> Any: ...
    @overload
    def load_dataset(
        self,
        *,
        id: SessionLike | Several[SessionLike],
        dataset: str | Mapping[str, Any],
        collection: str | None = None,
        revision: str | None = None,
        query_type: Mode | None = None,
        download_only: bool = False,
        check_hash: bool = True,
        revision_policy: RevisionPolicy = "last_before",
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
    ) -> Any: ...
    @overload
    def load_datasets(
        self,
        eid: SessionLike | Several[SessionLike],
        datasets: Sequence[str] | Sequence[Mapping[str, Any]] | pl.DataFrame,
        collections: str | Sequence[str | None] | None = None,
        revisions: str | Sequence[str | None] | None = None,
        query_type: Mode | None = None,
        assert_present: bool = True,
        download_only: bool = False,
        check_hash: bool = True,
        *,
        revision_policy: RevisionPolicy = "last_before",
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
    ) -> Any: ...
    @overload
    def load_datasets(
        self,
        *,
        id: SessionLike | Several[SessionLike],
        datasets: Sequence[str] | Sequence[Mapping[str, Any]] | pl.DataFrame,
        collections: str | Sequence[str | None] | None = None,
        revisions: str | Sequence[str | None] | None = None,
        query_type: Mode | None = None,
        assert_present: bool = True,
        download_only: bool = False,
        check_hash: bool = True,
        revision_policy: RevisionPolicy = "last_before",
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
    ) -> Any: ...
    @overload
    def load_object(
        self,
        /,
        eid: SessionLike | Several[SessionLike],
        obj: str,
        collection: str | None = None,
        revision: str | None = None,
        query_type: Mode | None = None,
        download_only: bool = False,
        check_hash: bool = True,
        *,
        revision_policy: RevisionPolicy = "last_before",
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        **parts: Any,
    ) -> Any: ...
    @overload
    def load_object(
        self,
        *,
        id: SessionLike | Several[SessionLike],
        obj: str,
        collection: str | None = None,
        revision: str | None = None,
        query_type: Mode | None = None,
        download_only: bool = False,
        check_hash: bool = True,
        revision_policy: RevisionPolicy = "last_before",
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        **parts: Any,
    ) -> Any: ...
    @overload
    def load_collection(
        self,
        /,
        eid: SessionLike | Several[SessionLike],
        collection: str,
        object: str | list[str] | None = None,
        revision: str | None = None,
        query_type: Mode | None = None,
        download_only: bool = False,
        check_hash: bool = True,
        *,
        revision_policy: RevisionPolicy = "last_before",
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        **parts: Any,
    ) -> Any: ...
    @overload
    def load_collection(
        self,
        *,
        id: SessionLike | Several[SessionLike],
        collection: str,
        object: str | list[str] | None = None,
        revision: str | None = None,
        query_type: Mode | None = None,
        download_only: bool = False,
        check_hash: bool = True,
        revision_policy: RevisionPolicy = "last_before",
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        **parts: Any,
    ) -> Any: ...
    def load_dataset_from_id(
        self,
        dset_id: DatasetLike | Several[DatasetLike],
        download_only: bool = False,
        details: bool = False,
        check_hash: bool = True,
        query_type: Mode | None = None,
    ) -> Any: ...
    def load_aggregate(
        self,
        relation: str,
        identifier: str,
        dataset: str | Mapping[str, Any] | None = None,
        revision: str | None = None,
        download_only: bool = False,
        *,
        check_hash: bool = True,
    ) -> Any: ...
    @overload
    def load_many(
        self,
        /,
        eids: SessionLike | Several[SessionLike],
        obj: str,
        collection: str | None = None,
        revision: str | None = None,
        query_type: Mode | None = None,
        *,
        on_error: Literal["raise"] = "raise",
        executor: Executor | None = None,
        **options: Any,
    ) -> pl.DataFrame: ...
    @overload
    def load_many(
        self,
        /,
        eids: SessionLike | Several[SessionLike],
        obj: str,
        collection: str | None = None,
        revision: str | None = None,
        query_type: Mode | None = None,
        *,
        on_error: Literal["collect"],
        executor: Executor | None = None,
        **options: Any,
    ) -> Loaded: ...
    @overload
    def load_many(
        self,
        *,
        id: SessionLike | Several[SessionLike],
        obj: str,
        collection: str | None = None,
        revision: str | None = None,
        query_type: Mode | None = None,
        on_error: Literal["raise"] = "raise",
        executor: Executor | None = None,
        **options: Any,
    ) -> pl.DataFrame: ...
    @overload
    def load_many(
        self,
        *,
        id: SessionLike | Several[SessionLike],
        obj: str,
        collection: str | None = None,
        revision: str | None = None,
        query_type: Mode | None = None,
        on_error: Literal["collect"],
        executor: Executor | None = None,
        **options: Any,
    ) -> Loaded: ...
    def load_spike_sorting(
        self,
        pids: InsertionLike | Several[InsertionLike],
        revision: str | None = None,
        query_type: Mode | None = None,
        *,
        spikes: bool = True,
        min_label: float | None = None,
        regions: RegionMapping | None = None,
        sorter: str | None = None,
        on_error: OnError = "raise",
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
        check_hash: bool = True,
    ) -> SpikeSorting: ...
    def raw_ephys(
        self,
        pid: InsertionLike,
        band: Literal["ap", "lf"] = "ap",
        revision: str | None = None,
        query_type: Mode | None = None,
        *,
        check_hash: bool = True,
    ) -> RawEphys: ...
    @overload
    def video(
        self,
        eid: SessionLike,
        camera: str,
        pixels: Literal["rgb24", "gray"] = "rgb24",
        revision: str | None = None,
        query_type: Mode | None = None,
        *,
        check_hash: bool = True,
    ) -> Video: ...
    @overload
    def video(
        self,
        *,
        id: SessionLike,
        camera: str,
        pixels: Literal["rgb24", "gray"] = "rgb24",
        revision: str | None = None,
        query_type: Mode | None = None,
        check_hash: bool = True,
    ) -> Video: ...
    @overload
    def iter_objects(
        self,
        /,
        eids: SessionLike | Several[SessionLike],
        obj: str,
        *,
        at_once: int = ...,
        on_error: Literal["raise"] = "raise",
        query_type: Mode | None = None,
        **options: Any,
    ) -> Iterator[tuple[UUID, ALFObject]]: ...
    @overload
    def iter_objects(
        self,
        /,
        eids: SessionLike | Several[SessionLike],
        obj: str,
        *,
        at_once: int = ...,
        on_error: Literal["collect"],
        query_type: Mode | None = None,
        **options: Any,
    ) -> Iterator[tuple[UUID, ALFObject | pl.DataFrame]]: ...
    @overload
    def iter_objects(
        self,
        *,
        id: SessionLike | Several[SessionLike],
        obj: str,
        at_once: int = ...,
        on_error: Literal["raise"] = "raise",
        query_type: Mode | None = None,
        **options: Any,
    ) -> Iterator[tuple[UUID, ALFObject]]: ...
    @overload
    def iter_objects(
        self,
        *,
        id: SessionLike | Several[SessionLike],
        obj: str,
        at_once: int = ...,
        on_error: Literal["collect"],
        query_type: Mode | None = None,
        **options: Any,
    ) -> Iterator[tuple[UUID, ALFObject | pl.DataFrame]]: ...
    @overload
    def download(
        self,
        eids: SessionLike | Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        query_type: Mode | None = None,
        *,
        dry_run: bool = False,
        check_hash: bool = True,
        on_error: OnError = "raise",
        revision_policy: RevisionPolicy = "last_before",
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
    ) -> pl.DataFrame: ...
    @overload
    def download(
        self,
        *,
        id: SessionLike | Several[SessionLike],
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        query_type: Mode | None = None,
        dry_run: bool = False,
        check_hash: bool = True,
        on_error: OnError = "raise",
        revision_policy: RevisionPolicy = "last_before",
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
    ) -> pl.DataFrame: ...
    def retry(self, table: pl.DataFrame, check_hash: bool = True) -> pl.DataFrame: ...
    @overload
    def freeze(
        self,
        eids: SessionLike | Several[SessionLike] | pl.DataFrame,
        file: str | Path,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        query_type: Mode | None = None,
        *,
        revision_policy: RevisionPolicy = "last_before",
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
    ) -> Path: ...
    @overload
    def freeze(
        self,
        *,
        id: SessionLike | Several[SessionLike] | pl.DataFrame,
        file: str | Path,
        filename: Filename = None,
        collection: Pattern = None,
        revision: Pattern = None,
        query_type: Mode | None = None,
        revision_policy: RevisionPolicy = "last_before",
        qc: int | str | QC = ...,
        ignore_qc_not_set: bool = False,
    ) -> Path: ...
    @classmethod
    def from_frozen(cls, file: str | Path, **options: Any) -> Self: ...
    def harvest(
        self,
        endpoints: Endpoints,
        to: str | PathLike2[str] | None = None,
        *,
        since: DateLike | None = None,
        resume: bool = True,
        format: Format | None = None,
        filters: Mapping[str, Mapping[str, Any]] | None = None,
        tidy: bool = False,
        executor: Executor | None = None,
        progress: HarvestProgress | None = None,
        part_rows: int = 10000,
        storage_options: Mapping[str, str] | None = None,
    ) -> HarvestReport: ...
    @overload
    def register_session(
        self, path: str | PathLike2[str], *, dry_run: Literal[False] = False, **options: Any
    ) -> tuple[JSON, list[JSON]]: ...
    @overload
    def register_session(
        self, path: Sequence[str | PathLike2[str]], *, dry_run: Literal[False] = False, **options: Any
    ) -> list[tuple[JSON, list[JSON]]]: ...
    @overload
    def register_session(
        self,
        path: str | PathLike2[str] | Sequence[str | PathLike2[str]],
        *,
        dry_run: Literal[True],
        **options: Any,
    ) -> pl.DataFrame: ...
    @overload
    def register_files(
        self, paths: str | PathLike2[str], *, dry_run: Literal[False] = False, **options: Any
    ) -> JSON: ...
    @overload
    def register_files(
        self, paths: Sequence[str | PathLike2[str]], *, dry_run: Literal[False] = False, **options: Any
    ) -> list[JSON]: ...
    @overload
    def register_files(
        self,
        paths: str | PathLike2[str] | Sequence[str | PathLike2[str]],
        *,
        dry_run: Literal[True],
        **options: Any,
    ) -> pl.DataFrame: ...
    def load_cache(
        self, tables_dir: str | Path | None = None, clobber: bool = False, tag: str | None = None
    ) -> datetime | None: ...
    def refresh_cache(self, mode: Mode = "auto") -> datetime | None: ...
    def save_cache(self, save_dir: str | Path | None = None, clobber: bool = False) -> Path: ...
    def save_loaded_ids(
        self, sessions_only: bool = False, clear_list: bool = True
    ) -> tuple[list[str], Path | None]: ...
    def sessions(self) -> pl.LazyFrame: ...
    def datasets(self) -> pl.LazyFrame: ...
    def insertions(self) -> pl.LazyFrame: ...
    def sql(self, query: str) -> pl.DataFrame: ...
    def browse(self, port: int = 0, query_type: Mode | None = None) -> BrowsePage: ...
