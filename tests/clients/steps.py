"""The steps of one client library, run in the clients' environment: ``python steps.py WAY ROW URL CACHE_DIR``.

WAY is ``one-api`` (ONE-api itself), ``compat`` (`one_async` in place of the package ``one``) or ``instance`` (ONE-api is imported
by the client, which is handed an instance of ours). Prints one line of JSON: the steps with their outcome and a digest of values.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import pkgutil
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

os.environ.update(MPLBACKEND="Agg", QT_QPA_PLATFORM="offscreen")
#: Packages whose modules are imported, and scripts among them that download data when they are imported.
PACKAGES = ("ibllib", "brainbox", "iblatlas", "iblphotometry")
SCRIPTS = ("scrap", ".tests", ".test_", "examples")
SESSION = ("trials", "wheel", "pose", "motion_energy", "pupil")


def digest(value: Any) -> str:
    """Return a hash of the values of arrays, frames, mappings and objects of these."""
    seen = hashlib.md5(usedforsecurity=False)
    for part in _parts(value):
        seen.update(part)
    return seen.hexdigest()


def _parts(value: Any) -> Iterator[bytes]:
    import numpy as np

    if hasattr(value, "items") and not hasattr(value, "to_numpy"):
        for key in sorted(value, key=str):
            yield str(key).encode()
            yield from _parts(value[key])
    elif hasattr(value, "columns"):
        for name in value.columns:
            yield str(name).encode()
            yield from _parts(np.asarray(value[name]))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _parts(one)
    else:
        array = np.asarray(value)
        yield array.tobytes() if array.dtype != object else repr(array.tolist()).encode()


def client(way: str, url: str, cache_dir: str) -> Any:
    """Return the ONE instance under test."""
    if way == "one-api":
        from one.api import ONE

        one = ONE(
            base_url=url, username="demo", password="demo", silent=True, cache_dir=cache_dir, cache_rest=None
        )
        one.alyx._par = one.alyx._par.set("HTTP_DATA_SERVER", f"{url}/data")
        return one
    if way == "compat":
        import one_async.compat

        one_async.compat.install()
        from one.api import ONE
    else:
        from one_async.api import ONE
    return ONE(
        base_url=url, username="demo", password="demo", silent=True, cache_dir=cache_dir, tables="pandas"
    )


def without_download() -> None:
    """Replace the Allen atlas, whose volumes are downloaded, by its table of regions: no step looks into volumes."""
    from types import SimpleNamespace

    import brainbox.io.one
    from iblatlas.regions import BrainRegions

    brainbox.io.one.AllenAtlas = lambda *args, **kwargs: SimpleNamespace(regions=BrainRegions())


Steps = Iterator[tuple[str, Callable[[], Any]]]


def loaders(one: Any) -> Steps:
    """ibllib's loaders on each session with six probes' recordings, and other functions that take ``one``."""
    from brainbox.io import one as bbone

    pids = sorted(
        str(row["id"])
        for row in one.alyx.rest("insertions", "list", django="datasets__name,spikes.times.npy")
    )
    pid = pids[0]
    eid, name = one.pid2eid(pid)
    for part in SESSION:
        for number, other in enumerate(dict.fromkeys(str(one.pid2eid(one_pid)[0]) for one_pid in pids[:2])):
            yield (
                f"SessionLoader.load_{part} {number}",
                lambda part=part, eid=other: _session(bbone, one, eid, part),
            )
    yield "SessionLoader.load_session_data", lambda: _session(bbone, one, eid, "session_data")
    yield "load_channel_locations", lambda: bbone.load_channel_locations(eid, one=one, probe=name)
    yield "load_wheel_reaction_times", lambda: bbone.load_wheel_reaction_times(eid, one=one)
    yield "load_iti", lambda: bbone.load_iti(one.load_object(eid, "trials"))
    yield "load_passive_rfmap", lambda: bbone.load_passive_rfmap(eid, one=one)


def _session(bbone: Any, one: Any, eid: str, part: str) -> Any:
    loader = bbone.SessionLoader(one=one, eid=eid)
    getattr(loader, f"load_{part}")()
    return getattr(loader, part) if part != "session_data" else loader.trials


def probes(one: Any) -> Steps:
    """``SpikeSortingLoader.load_spike_sorting`` of every sorted probe."""
    from brainbox.io.one import SpikeSortingLoader

    rows = one.alyx.rest("insertions", "list", django="datasets__name,spikes.times.npy")
    for pid in sorted(str(row["id"]) for row in rows)[:6]:

        def load(pid: str = pid) -> Any:
            spikes, clusters, channels = SpikeSortingLoader(pid=pid, one=one).load_spike_sorting()
            return [
                dict(spikes),
                dict(clusters),
                {name: channels[name] for name in ("x", "y", "z", "atlas_id") if name in channels},
            ]

        yield f"probe {pid[:8]}", load


def interface(one: Any) -> Steps:
    """spikeinterface's readers of IBL data."""
    import spikeinterface.extractors as se
    from spikeinterface.extractors.iblextractors import IblRecordingExtractor

    rows = one.alyx.rest("insertions", "list", django="datasets__name,spikes.times.npy")
    pid = min(str(row["id"]) for row in rows)
    eid, name = one.pid2eid(pid)
    names = lambda: sorted(IblRecordingExtractor.get_stream_names(eid=str(eid), one=one))  # noqa: E731
    yield "get_stream_names", names

    def recording(**options: Any) -> Any:
        return se.read_ibl_recording(one=one, stream=True, **options).get_traces(start_frame=0, end_frame=100)

    yield "read_ibl_recording pid ap", lambda: recording(pid=pid, stream_type="ap")
    yield "read_ibl_recording pid lf", lambda: recording(pid=pid, stream_type="lf")
    yield "read_ibl_recording eid", lambda: recording(eid=str(eid), stream_name=f"{name}.ap")
    yield "read_ibl_sorting", lambda: se.read_ibl_sorting(pid=pid, one=one).get_unit_ids()
    yield (
        "read_ibl_sorting good",
        lambda: se.read_ibl_sorting(pid=pid, one=one, good_clusters_only=True).get_unit_ids(),
    )


def modules(_: Any) -> Steps:
    """Every module of the packages can be imported."""
    for package in PACKAGES:
        found = importlib.import_module(package)
        for one in pkgutil.walk_packages(found.__path__, f"{package}.", onerror=lambda _: None):
            if not any(part in one.name for part in SCRIPTS):
                yield one.name, lambda name=one.name: importlib.import_module(name).__name__


ROWS = {"modules": modules, "loaders": loaders, "probes": probes, "interface": interface}


def main() -> None:
    """Run the steps of a row and print their outcomes."""
    way, row, url, cache_dir = sys.argv[1:]
    warnings.simplefilter("ignore")
    out: dict[str, Any] = {}
    with contextlib.redirect_stdout(sys.stderr):
        one = client(way, url, cache_dir)
        if row != "modules":
            without_download()
        for name, step in ROWS[row](one):
            try:
                out[name] = {"ok": True, "digest": digest(step())}
            except Exception as error:
                out[name] = {"ok": False, "error": f"{type(error).__name__}: {str(error)[:200]}"}
    print(json.dumps(out))


if __name__ == "__main__":
    main()
