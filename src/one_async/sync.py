"""The blocking classes `ONE` and `AlyxClient`, one line per method; the code is in `AsyncONE` and `AsyncAlyxClient`.

Type checkers read `sync.pyi`, which `tests/typing/make_stub.py` generates from the async classes, since the type of a wrapper
cannot express overloads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from one_async._bridge import Blocking, blocking, blocking_iterator, blocking_property, constructor_of
from one_async._browsing import opens_page
from one_async._recordings import RawEphys, Video, opens_recording
from one_async.alyx.client import AsyncAlyxClient
from one_async.client import AsyncONE
from one_async.errors import naming
from one_async.registration.client import RegistrationClient

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path

    from one_async._display import Printer
    from one_async._parameters import Parameters
    from one_async.client.tables import CacheTwin
    from one_async.events import Stats
    from one_async.plot import Plots
    from one_async.refresh import TablesInfo
    from one_async.settings import Settings
    from one_async.types import Expiry, Mode

__all__ = ["ONE", "AlyxClient", "Registration"]


class AlyxClient(Blocking[AsyncAlyxClient]):
    """The REST interface of an Alyx database, for blocking callers; see `AsyncAlyxClient`.

    Examples:
        >>> from one_async import AlyxClient
        >>> with AlyxClient() as alyx:
        ...     subjects = alyx.rest("subjects", "list", lab="summitlab")
        >>> subjects[0]["lab"]
        'summitlab'
    """

    @constructor_of(AsyncAlyxClient.__init__)
    def __init__(self) -> None: ...

    base_url: blocking_property[str] = blocking_property()
    cache_dir: blocking_property[Path] = blocking_property()
    silent: blocking_property[bool] = blocking_property()
    user: blocking_property[str | None] = blocking_property()
    _par: blocking_property[Parameters] = blocking_property()
    is_logged_in: blocking_property[bool] = blocking_property()
    max_connections: blocking_property[int] = blocking_property()
    request_counts: blocking_property[tuple[int, int]] = blocking_property()
    cache_mode: blocking_property[str | None] = blocking_property()
    cache_scope: blocking_property[str] = blocking_property()
    default_expiry: blocking_property[Expiry] = blocking_property()
    stats: blocking_property[Stats] = blocking_property()

    authenticate = blocking(AsyncAlyxClient.authenticate)
    logout = blocking(AsyncAlyxClient.logout)
    rest = blocking(AsyncAlyxClient.rest)
    get = blocking(AsyncAlyxClient.get)
    post = blocking(AsyncAlyxClient.post)
    put = blocking(AsyncAlyxClient.put)
    patch = blocking(AsyncAlyxClient.patch)
    delete = blocking(AsyncAlyxClient.delete)
    download_file = blocking(AsyncAlyxClient.download_file)
    json_field_write = blocking(AsyncAlyxClient.json_field_write)
    json_field_update = blocking(AsyncAlyxClient.json_field_update)
    json_field_remove_key = blocking(AsyncAlyxClient.json_field_remove_key)
    json_field_delete = blocking(AsyncAlyxClient.json_field_delete)
    pages = blocking_iterator(AsyncAlyxClient.pages)
    page = blocking(AsyncAlyxClient.page)
    frame = blocking(AsyncAlyxClient.frame)
    schema = blocking(AsyncAlyxClient.schema)
    list_endpoints = blocking(AsyncAlyxClient.list_endpoints)
    describe_endpoint = blocking(AsyncAlyxClient.describe_endpoint)
    clear_rest_cache = blocking(AsyncAlyxClient.clear_rest_cache)


class Registration(Blocking[RegistrationClient]):
    """Register sessions, files, water and weights, for blocking callers; ``one.registration``. See `RegistrationClient`."""

    create_new_session = blocking(RegistrationClient.create_new_session)
    create_sessions = blocking(RegistrationClient.create_sessions)
    register_session = blocking(RegistrationClient.register_session)
    register_files = blocking(RegistrationClient.register_files)
    prepare_files = blocking(RegistrationClient.prepare_files)
    find_files = blocking(RegistrationClient.find_files)
    check_protected_files = blocking(RegistrationClient.check_protected_files)
    assert_exists = blocking(RegistrationClient.assert_exists)
    ensure_ISO8601 = staticmethod(RegistrationClient.ensure_ISO8601)  # noqa: N815 - ONE-api's name
    register_water_administration = blocking(RegistrationClient.register_water_administration)
    register_weight = blocking(RegistrationClient.register_weight)


class ONE(Blocking[AsyncONE]):
    """Find and load the data of a database of neurophysiology sessions, in notebooks and scripts.

    The same methods as `AsyncONE`, without `await`::

        one = ONE(base_url="https://openalyx.internationalbrainlab.org")
        eids = one.search(lab="cortexlab", datasets="spikes.times.npy")
        trials = one.load_object(eids, "trials")  # one object for each session, in that order

    A method that takes one session also takes a list, whose members are processed concurrently; there is no need to loop.

    Examples:
        >>> from one_async import ONE
        >>> with ONE() as one:
        ...     eids = one.search(lab="summitlab", datasets="spikes.times.npy")
        ...     trials = one.load_object(eids, "trials")
        >>> len(trials) == len(eids)
        True
    """

    @constructor_of(AsyncONE.__init__)
    def __init__(self) -> None: ...

    setup = staticmethod(AsyncONE.setup)

    @property
    def alyx(self) -> AlyxClient:
        """The client of the database's REST interface. Raises OfflineError where no database is configured.

        Examples:
            >>> session = one.alyx.rest("sessions", "read", id=eid)
            >>> session["subject"]
            'SU_101'
        """
        self._here.alyx  # noqa: B018 - raises OfflineError where there is no database
        return self._part(AlyxClient, "alyx")

    @property
    def registration(self) -> Registration:
        """Registers sessions, files, water and weights, with ONE-api's names. Raises OfflineError without a database.

        Examples:
            >>> record = one.registration.register_weight("VA_09", 23.5)
            >>> record["weight"]
            23.5
        """
        self._here.registration  # noqa: B018 - raises OfflineError where there is no database
        return self._part(Registration, "registration")

    @property
    def plot(self) -> Plots:
        """Plots of sessions and probes, such as ``one.plot.psychometric(eids)``; extra ``[plot]``."""
        from one_async.plot import Plots

        return Plots(self)

    def _repr_html_(self) -> str:
        return self._here._repr_html_()

    def _repr_pretty_(self, printer: Printer, cycle: bool) -> None:
        self._here._repr_pretty_(printer, cycle)

    mode: blocking_property[Mode] = blocking_property()
    offline: blocking_property[bool] = blocking_property()
    cache_dir: blocking_property[Path] = blocking_property()
    tables_dir: blocking_property[Path] = blocking_property()
    settings: blocking_property[Settings] = blocking_property()
    wildcards: blocking_property[bool] = blocking_property()
    uuid_filenames: blocking_property[bool] = blocking_property()
    record_loaded: blocking_property[bool] = blocking_property()
    cache_expiry: blocking_property[timedelta] = blocking_property()
    stats: blocking_property[Stats] = blocking_property()
    tables_info: blocking_property[TablesInfo] = blocking_property()
    _cache: blocking_property[CacheTwin] = blocking_property()

    search = blocking(AsyncONE.search)
    search_terms = blocking(AsyncONE.search_terms)
    search_insertions = blocking(AsyncONE.search_insertions)
    watch = blocking_iterator(AsyncONE.watch)
    watch_folder = blocking_iterator(AsyncONE.watch_folder)
    list_subjects = blocking(AsyncONE.list_subjects)
    list_datasets = blocking(AsyncONE.list_datasets)
    list_collections = blocking(AsyncONE.list_collections)
    list_revisions = blocking(AsyncONE.list_revisions)
    get_details = blocking(AsyncONE.get_details)
    describe_dataset = blocking(AsyncONE.describe_dataset)
    describe_revision = blocking(AsyncONE.describe_revision)
    dataset2type = blocking(AsyncONE.dataset2type)
    type2datasets = blocking(AsyncONE.type2datasets)
    list_aggregates = blocking(AsyncONE.list_aggregates)
    brain_regions = blocking(AsyncONE.brain_regions)
    trajectories = blocking(AsyncONE.trajectories)
    quality = blocking(AsyncONE.quality)

    to_eid = blocking(AsyncONE.to_eid)
    eid2path = blocking(AsyncONE.eid2path)
    path2eid = blocking(AsyncONE.path2eid)
    eid2ref = blocking(AsyncONE.eid2ref)
    ref2eid = blocking(AsyncONE.ref2eid)
    ref2path = blocking(AsyncONE.ref2path)
    eid2pid = blocking(AsyncONE.eid2pid)
    pid2eid = blocking(AsyncONE.pid2eid)
    path2record = blocking(AsyncONE.path2record)
    record2path = blocking(AsyncONE.record2path)
    record2url = blocking(AsyncONE.record2url)
    path2url = blocking(AsyncONE.path2url)
    is_exp_ref = staticmethod(AsyncONE.is_exp_ref)
    ref2dict = staticmethod(AsyncONE.ref2dict)
    dict2ref = staticmethod(AsyncONE.dict2ref)
    path2ref = staticmethod(AsyncONE.path2ref)

    load_dataset = blocking(AsyncONE.load_dataset)
    load_datasets = blocking(AsyncONE.load_datasets)
    load_object = blocking(AsyncONE.load_object)
    load_collection = blocking(AsyncONE.load_collection)
    load_dataset_from_id = blocking(AsyncONE.load_dataset_from_id)
    load_aggregate = blocking(AsyncONE.load_aggregate)
    load_many = blocking(AsyncONE.load_many)
    load_spike_sorting = blocking(AsyncONE.load_spike_sorting)
    raw_ephys = opens_recording(AsyncONE.raw_ephys, RawEphys)
    video = opens_recording(AsyncONE.video, Video)
    iter_objects = blocking_iterator(AsyncONE.iter_objects)
    download = blocking(AsyncONE.download)
    retry = blocking(AsyncONE.retry)
    freeze = blocking(AsyncONE.freeze)

    @classmethod
    def from_frozen(cls, file: str | Path, **options: Any) -> Self:
        """Make a client for a frozen set, which finds and loads exactly the files that `freeze` recorded.

        `options` are those of the constructor. Files that are not on disk come from the database of the set; bytes
        that have changed there raise HashMismatch.

        Examples:
            >>> from one_async import ONE
            >>> file = one.freeze([eid], "paper.json", filename="_ibl_trials*")
            >>> with ONE.from_frozen(file, cache_dir=data_dir) as paper:
            ...     print(paper.search() == [eid])
            True
        """
        with naming({"frozen": "file"}):
            return cls(frozen=file, **options)

    harvest = blocking(AsyncONE.harvest)

    register_session = blocking(AsyncONE.register_session)
    register_files = blocking(AsyncONE.register_files)

    load_cache = blocking(AsyncONE.load_cache)
    refresh_cache = blocking(AsyncONE.refresh_cache)
    save_cache = blocking(AsyncONE.save_cache)
    save_loaded_ids = blocking(AsyncONE.save_loaded_ids)
    sessions = blocking(AsyncONE.sessions)
    datasets = blocking(AsyncONE.datasets)
    insertions = blocking(AsyncONE.insertions)
    sql = blocking(AsyncONE.sql)

    browse = opens_page(AsyncONE.browse)
