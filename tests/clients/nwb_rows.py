"""The row of IBL-to-nwb: what each of its interfaces finds in a session, downloads, and adds to an NWB file."""

from __future__ import annotations

import tempfile
import warnings
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from pypi_rows import Steps, sorted_probes

#: Interfaces, with the arguments of those for one camera.
OF_SESSIONS = (
    "BrainwideMapTrialsInterface",
    "WheelPositionInterface",
    "WheelMovementsInterface",
    "WheelKinematicsInterface",
    "SessionEpochsInterface",
    "PassiveIntervalsInterface",
    "PassiveReplayStimInterface",
    "PassiveRFMInterface",
    "LickInterface",
    "IblSortingInterface",
)
OF_CAMERAS = ("IblPoseEstimationInterface", "PupilTrackingInterface", "RoiMotionEnergyInterface")


def steps(one: Any) -> Steps:
    """Return the steps; the seeded world's sessions replace the tables of sessions that IBL-to-nwb ships."""
    eid, probes = _session(one)
    _replace_tables(one, eid, probes)
    from ibl_to_nwb import datainterfaces

    for name in OF_SESSIONS:
        yield from _of(getattr(datainterfaces, name), one, eid, probes)
    for name in OF_CAMERAS:
        yield from _of(getattr(datainterfaces, name), one, eid, probes, camera_name="leftCamera")
    video = datainterfaces.RawVideoInterface
    yield (
        "RawVideoInterface.check_availability",
        lambda: video.check_availability(one, eid, camera_name="left"),
    )
    yield "RawVideoInterface.download_data", lambda: video.download_data(one, eid, camera_name="left")
    anatomy, tracks = (
        datainterfaces.IblAnatomicalLocalizationInterface,
        datainterfaces.ProbeTrajectoryInterface,
    )
    yield from _of(anatomy, one, eid, probes, keyword="eid")

    def trajectories() -> Any:
        file = _file()
        tracks(one=one, eid=eid, probe_name_to_probe_id_dict=probes).add_to_nwbfile(file, metadata={})
        return _arrays(file)

    yield "ProbeTrajectoryInterface.add_to_nwbfile", trajectories
    yield "get_ibl_subject_metadata", partial(_subject, one, eid)
    yield "convert_processed_session", partial(_convert, one, eid)


def _session(one: Any) -> tuple[str, dict[str, str]]:
    """Return the first session whose probes are all sorted, and the ids of its probes by name."""
    known = sorted_probes(one)
    for pid in known:
        eid = str(one.pid2eid(pid)[0])
        probes = {row["name"]: str(row["id"]) for row in one.alyx.rest("insertions", "list", session=eid)}
        if set(probes.values()) <= set(known):
            return eid, probes
    raise LookupError("no session whose probes are all sorted")


def _replace_tables(one: Any, eid: str, probes: dict[str, str]) -> None:
    import pandas as pd
    from ibl_to_nwb.fixtures import load_fixtures

    rows = [
        {"eid": eid, "pid": pid, "probe_name": name, "histology_quality": "alf", "has_histology_files": True}
        for name, pid in probes.items()
    ]
    checks = one.alyx.rest("sessions", "read", id=eid)["extended_qc"]
    quality = {f"{kind}{view}": "PASS" for kind in ("video", "dlc") for view in ("Left", "Right", "Body")}
    load_fixtures.load_bwm_histology_qc = lambda: pd.DataFrame(rows)
    load_fixtures.load_bwm_qc = lambda: {eid: quality | (checks or {})}


def _of(
    interface: Any, one: Any, eid: str, probes: dict[str, str], keyword: str = "session", **camera: str
) -> Steps:
    """Return the steps of an interface: find, download and add."""
    name = interface.__name__

    def add() -> Any:
        file = _file()
        if "Sorting" in name or "Anatomical" in name:
            _add_electrodes(file, one, eid, probes)
        made = interface(one=one, **{keyword: eid}, **camera)
        made.add_to_nwbfile(file, metadata=made.get_metadata())
        return _arrays(file)

    yield f"{name}.check_availability", lambda: interface.check_availability(one, eid, **camera)
    yield f"{name}.download_data", lambda: interface.download_data(one, eid, **camera)
    yield f"{name}.add_to_nwbfile", add


def _file() -> Any:
    from pynwb import NWBFile

    return NWBFile(
        session_description="", identifier="x", session_start_time=datetime(2024, 1, 1, tzinfo=UTC)
    )


def _add_electrodes(file: Any, one: Any, eid: str, probes: dict[str, str]) -> None:
    from ibl_to_nwb.utils import add_probe_electrodes_with_localization as add

    for name, pid in probes.items():
        add(nwbfile=file, one=one, eid=eid, probe_name=name, pid=pid)


def _arrays(file: Any) -> dict[str, Any]:
    """Return the arrays of all objects of an NWB file by their paths."""
    import numpy as np

    found = {}
    for made in file.objects.values():
        for name, value in made.fields.items():
            if isinstance(value, np.ndarray | list | tuple) and not (made is file or _is_objects(value)):
                found[f"{made.neurodata_type} {made.name} {name}"] = value
    return found


def _is_objects(value: Any) -> bool:
    return len(value) > 0 and hasattr(value[0], "neurodata_type")


def _subject(one: Any, eid: str) -> Any:
    from ibl_to_nwb.utils import get_ibl_subject_metadata

    return get_ibl_subject_metadata(one, one.alyx.rest("sessions", "read", id=eid), UTC)


def _convert(one: Any, eid: str) -> Any:
    """Convert the session's processed data and return the arrays of the resulting file."""
    from ibl_to_nwb.conversion.processed import convert_processed_session
    from pynwb import NWBHDF5IO

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = convert_processed_session(eid, one, base_path=Path(folder), display_progress_bar=False)
        with NWBHDF5IO(done["nwbfile_path"], "r") as io:
            return {
                f"{made.neurodata_type} {made.name} {name}": value[()]
                for made in io.read().objects.values()
                for name, value in made.fields.items()
                if hasattr(value, "shape") and hasattr(value, "chunks")
            }
