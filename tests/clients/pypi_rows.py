"""Rows of software that is on PyPI: ibllib with its photometry, iblatlas, spikeinterface."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

Steps = Iterator[tuple[str, Callable[[], Any]]]
#: Packages whose modules are imported, and parts of the names of modules that download data on import.
PACKAGES = ("ibllib", "brainbox", "iblatlas", "iblphotometry")
SCRIPTS = (
    "scrap",
    ".integration",
    "examples",
    "test_alignment_qc",
    "test_base_qc",
    "tests.test_histology",
    "tests.test_tasks",
)


def sorted_probes(one: Any) -> list[str]:
    """Return the ids of the probes that have spikes."""
    rows = one.alyx.rest("insertions", "list", django="datasets__name,spikes.times.npy")
    return sorted(str(row["id"]) for row in rows)


def modules(_: Any) -> Steps:
    """Every module of the packages can be imported."""
    for package in PACKAGES:
        found = importlib.import_module(package)
        for one in pkgutil.walk_packages(found.__path__, f"{package}.", onerror=lambda _: None):
            if not any(part in one.name for part in SCRIPTS):
                yield one.name, lambda name=one.name: importlib.import_module(name).__name__


def loaders(one: Any) -> Steps:
    """ibllib's loaders of a session and of a probe, and its functions that take ``one``."""
    pid = sorted_probes(one)[0]
    eid, name = one.pid2eid(pid)
    yield from _session_loader(one, eid)
    yield from _spike_sorting_loader(one, pid)
    yield from _functions(one, eid, pid, name)


def _session_loader(one: Any, eid: Any) -> Steps:
    from brainbox.io.one import SessionLoader

    def load(part: str, **options: Any) -> Any:
        loader = SessionLoader(one=one, eid=eid)
        getattr(loader, f"load_{part}")(**options)
        return getattr(loader, part)

    for part in ("trials", "wheel", "pose", "motion_energy", "licks", "pupil"):
        yield f"SessionLoader.load_{part}", partial(load, part)
    yield "SessionLoader.load_trials tidy", partial(load, "trials", style="tidy")
    yield "SessionLoader.load_trials revision", partial(load, "trials", revision="2024-12-31")
    yield (
        "SessionLoader.load_pose lightningPose",
        partial(load, "pose", tracker="lightningPose", views=["left"]),
    )

    def whole() -> Any:
        loader = SessionLoader(one=one, session_path=one.eid2path(eid))
        loader.load_session_data(pawstates=False)
        return [
            loader.data_info["is_loaded"],
            loader.trials,
            loader.wheel,
            loader.pupil,
            loader.motion_energy,
        ]

    yield "SessionLoader.load_session_data", whole


def _spike_sorting_loader(one: Any, pid: str) -> Steps:
    import numpy as np
    from brainbox.io.one import EphysSessionLoader, SpikeSortingLoader

    loader = partial(SpikeSortingLoader, pid=pid, one=one)

    def merged(**options: Any) -> Any:
        spikes, clusters, channels = loader().load_spike_sorting(**options)
        return SpikeSortingLoader.merge_clusters(spikes, clusters, channels)

    def raw(**options: Any) -> Any:
        return loader().raw_electrophysiology(**options)[0:100, :]

    yield "SpikeSortingLoader.load_spike_sorting_object", lambda: loader().load_spike_sorting_object("spikes")
    yield "SpikeSortingLoader.load_channels", lambda: loader().load_channels()
    yield "SpikeSortingLoader.merge_clusters", merged
    yield "SpikeSortingLoader.load_spike_sorting good_units", partial(merged, good_units=True)
    yield (
        "SpikeSortingLoader.load_spike_sorting dataset_types",
        partial(merged, dataset_types=["spikes.samples"]),
    )
    yield "SpikeSortingLoader.load_spike_sorting revision", partial(merged, revision="2024-05-06")
    yield "SpikeSortingLoader.raw_electrophysiology stream", partial(raw, band="lf", stream=True)
    yield "SpikeSortingLoader.raw_electrophysiology", partial(raw, band="ap", stream=False)
    yield "SpikeSortingLoader.samples2times", lambda: loader().samples2times(np.arange(0, 90_000, 1000))
    yield "SpikeSortingLoader.get_version", lambda: loader().get_version()
    yield "SpikeSortingLoader.pid2ref", lambda: loader().pid2ref
    yield "EphysSessionLoader", lambda: EphysSessionLoader(one=one, eid=loader().eid).probes


def _functions(one: Any, eid: Any, pid: str, name: str) -> Steps:
    from brainbox.behavior import training
    from brainbox.io import one as bbone
    from brainbox.io.spikeglx import Streamer
    from ibllib.io import video
    from ibllib.qc.base import QC

    yield "load_channel_locations", lambda: bbone.load_channel_locations(eid, one=one, probe=name)
    yield "load_wheel_reaction_times", lambda: bbone.load_wheel_reaction_times(eid, one=one)
    yield "load_iti", lambda: bbone.load_iti(one.load_object(eid, "trials"))
    yield "load_passive_rfmap", lambda: bbone.load_passive_rfmap(eid, one=one)
    yield "Streamer", lambda: Streamer(pid=pid, one=one, remove_cached=True)[30_000:30_100, :10]

    def places() -> Any:
        return {key: str(url).rpartition("/")[2] for key, url in video.url_from_eid(eid, one=one).items()}

    def picture() -> Any:
        meta = video.get_video_meta(video.url_from_eid(eid, "left", one=one), one=one)
        return {key: meta[key] for key in ("length", "width", "height", "fps", "size")}

    def sessions() -> Any:
        return training.get_sessions("CX_001", date="2023-06-09", one=one)

    yield "video.url_from_eid", places
    yield "video.get_video_meta", picture
    yield "QC", lambda: str(QC(eid, one=one).outcome)
    yield "training.get_sessions", sessions


def probes(one: Any) -> Steps:
    """``SpikeSortingLoader.load_spike_sorting`` of every sorted probe."""
    from brainbox.io.one import SpikeSortingLoader

    def load(pid: str) -> Any:
        spikes, clusters, channels = SpikeSortingLoader(pid=pid, one=one).load_spike_sorting()
        return [spikes, clusters, channels]

    for pid in sorted_probes(one):
        yield f"probe {pid[:8]}", partial(load, pid)


def interface(one: Any) -> Steps:
    """spikeinterface's readers of IBL data."""
    import spikeinterface.extractors as se
    from spikeinterface.extractors.iblextractors import IblRecordingExtractor

    pid = sorted_probes(one)[0]
    eid, name = one.pid2eid(pid)

    def recording(**options: Any) -> Any:
        found = se.read_ibl_recording(one=one, stream=True, **options)
        return [found.get_traces(start_frame=0, end_frame=100), found.get_channel_gains(), found.channel_ids]

    def sorting(**options: Any) -> Any:
        found = se.read_ibl_sorting(pid=pid, one=one, **options)
        return [
            found.get_unit_ids(),
            found.to_spike_vector()["sample_index"],
            found.get_property("brain_area"),
        ]

    yield "get_stream_names", lambda: sorted(IblRecordingExtractor.get_stream_names(eid=str(eid), one=one))
    yield "read_ibl_recording pid ap", partial(recording, pid=pid, stream_type="ap")
    yield "read_ibl_recording pid lf", partial(recording, pid=pid, stream_type="lf")
    yield "read_ibl_recording eid", partial(recording, eid=str(eid), stream_name=f"{name}.ap")
    yield "read_ibl_sorting", sorting
    yield "read_ibl_sorting good", partial(sorting, good_clusters_only=True)


ROWS = {"modules": modules, "loaders": loaders, "probes": probes, "interface": interface}
