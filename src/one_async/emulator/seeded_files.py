"""The data files of the seeded world: their paths, and their bytes, generated on request."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from one_async.emulator import seeded_arrays as arrays
from one_async.emulator.seeded_parquet import parquet_bytes

__all__ = [
    "Files",
    "Probe",
    "Recording",
    "Shelf",
    "npy_bytes",
    "probe_files",
    "ruled_bytes",
    "session_files",
    "site_files",
    "sorting_of",
    "table_bytes",
    "trials_of",
    "uid",
]

Files = Mapping[str, bytes]
BESIDE_TABLE = (
    "goCueTrigger_times",
    "stimOnTrigger_times",
    "stimOff_times",
    "stimOffTrigger_times",
    "quiescencePeriod",
)


def uid(*names: object) -> str:
    """Return the id of these names: always the same, in the form of Alyx's random UUIDs."""
    text = "/".join(map(str, names))
    return str(uuid.UUID(bytes=hashlib.sha1(text.encode(), usedforsecurity=False).digest()[:16], version=4))


@dataclass(frozen=True)
class Recording:
    """The parameters from which a session's real files are generated. ``path`` is ``subject/date/number``."""

    path: str
    task: arrays.Task
    protocol: str
    camera: bool = False
    revisions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Probe:
    """The parameters from which a probe's spike sorting is generated; ``regions`` are Allen ids from the tip up."""

    name: str
    recording: Recording
    seed: int
    n_clusters: int
    regions: tuple[int, ...]


def npy_bytes(values: NDArray[Any]) -> bytes:
    """Return the bytes that ``numpy.save`` writes for an array."""
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    return buffer.getvalue()


def ruled_bytes(dataset_id: str, name: str, size: int) -> bytes:
    """Return the bytes of a file with generated content, by the rule of the recorded world.

    A ``.npy`` file counts up from the first 8 hexadecimal digits of the id; any other file repeats the id, once per
    line.
    """
    if name.endswith(".npy"):
        return npy_bytes(np.arange((size - 128) // 8, dtype="<f8") + int(dataset_id[:8], 16))
    return f"{dataset_id}\n".encode() * (size // 37)


def table_bytes(columns: Mapping[str, Any]) -> bytes:
    """Return a table of columns as Parquet."""
    import polars as pl

    return parquet_bytes(pl.DataFrame(dict(columns)))


@lru_cache(maxsize=16)
def trials_of(task: arrays.Task) -> arrays.Arrays:
    """Return the trials of a task; the last few are kept."""
    return arrays.trials(task)


@lru_cache(maxsize=16)
def session_files(recording: Recording) -> Files:
    """Return the files of a session that have real content: path within the session to bytes."""
    task, columns = recording.task, trials_of(recording.task)
    turned = arrays.wheel(task, columns)
    table = {name: columns[name] for name in arrays.TABLE}
    files = {
        "alf/_ibl_trials.table.pqt": table_bytes(table),
        "alf/licks.times.npy": npy_bytes(arrays.licks(task, columns)),
        "raw_behavior_data/_iblrig_taskSettings.raw.json": _settings(recording),
        "raw_behavior_data/_iblrig_taskData.raw.jsonable": _task_data(columns),
        "raw_behavior_data/_iblrig_encoderEvents.raw.ssv": _encoder_events(columns),
    }
    for name in BESIDE_TABLE:
        files[f"alf/_ibl_trials.{name}.npy"] = npy_bytes(columns[name])
    for name, values in turned.items():
        files[f"alf/_ibl_wheel.{name}.npy"] = npy_bytes(values)
    for name, values in arrays.wheel_moves(turned).items():
        files[f"alf/_ibl_wheelMoves.{name}.npy"] = npy_bytes(values)
    for number, revision in enumerate(recording.revisions, 1):
        moved = np.round(table["firstMovement_times"] + 0.002 * number, 6)
        files[f"alf/#{revision}#/_ibl_trials.table.pqt"] = table_bytes(table | {"firstMovement_times": moved})
    return files | (_camera(task, columns) if recording.camera else {})


def _camera(task: arrays.Task, columns: arrays.Arrays) -> dict[str, bytes]:
    seen = arrays.camera(task, columns)
    pupil = {name: seen[name] for name in ("pupilDiameter_raw", "pupilDiameter_smooth")}
    return {
        "alf/_ibl_leftCamera.times.npy": npy_bytes(seen["times"]),
        "alf/_ibl_leftCamera.features.pqt": table_bytes(pupil),
        "alf/leftCamera.ROIMotionEnergy.npy": npy_bytes(seen["ROIMotionEnergy"]),
    }


def _settings(recording: Recording) -> bytes:
    settings = {
        "PYBPOD_PROTOCOL": recording.protocol,
        "SUBJECT_NAME": recording.path.split("/")[0],
        "SESSION_DATE": recording.path.split("/")[1],
        "N_TRIALS": recording.task.n_trials,
        "REWARD_AMOUNT_UL": 1.5,
        "STIM_FREQ": 0.1,
        "IS_MOCK": False,
    }
    return json.dumps(settings, indent=1).encode() + b"\n"


def _task_data(columns: arrays.Arrays) -> bytes:
    contrast = np.nan_to_num(columns["contrastRight"]) - np.nan_to_num(columns["contrastLeft"])
    rows = zip(
        columns["probabilityLeft"].tolist(),
        contrast.tolist(),
        (columns["response_times"] - columns["goCue_times"]).round(4).tolist(),
        (columns["feedbackType"] == 1).tolist(),
        strict=True,
    )
    line = (
        '{"trial_num": %d, "stim_probability_left": %s, "signed_contrast": %s,'
        ' "response_time": %s, "trial_correct": %s}\n'
    )
    return "".join(
        line % (number, left, contrast + 0.0, taken, "true" if correct else "false")
        for number, (left, contrast, taken, correct) in enumerate(rows, 1)
    ).encode()


def _encoder_events(columns: arrays.Arrays) -> bytes:
    times = (columns["goCue_times"] * 1e6).astype("<i8").tolist()
    return "".join(f"Event {time} {2 if n % 2 else 1}\n" for n, time in enumerate(times)).encode()


def site_files(name: str, regions: tuple[int, ...]) -> Files:
    """Return the electrode sites of a probe whose track is aligned: path within the session to bytes."""
    made = arrays.channels(np.array(regions, dtype=np.int64))
    kept = ("localCoordinates", "brainLocationIds_ccf_2017", "mlapdv")
    return {f"alf/{name}/electrodeSites.{kind}.npy": npy_bytes(made[kind]) for kind in kept}


def sorting_of(probe: Probe) -> dict[str, arrays.Arrays]:
    """Return the spike sorting of a probe: the objects spikes, clusters and channels."""
    columns, regions = trials_of(probe.recording.task), np.array(probe.regions, dtype=np.int64)
    return arrays.sorting(probe.seed, columns, probe.n_clusters, regions)


@lru_cache(maxsize=6)
def probe_files(probe: Probe) -> Files:
    """Return the spike sorting of a probe: path within the session to bytes."""
    made = sorting_of(probe)
    home = f"alf/{probe.name}/pykilosort"
    clusters = made["clusters"]
    files = {f"{home}/spikes.{name}.npy": npy_bytes(values) for name, values in made["spikes"].items()}
    for name in ("channels", "depths", "amps", "peakToTrough"):
        files[f"{home}/clusters.{name}.npy"] = npy_bytes(clusters.pop(name))
    for name, values in made["channels"].items():
        files[f"{home}/channels.{name}.npy"] = npy_bytes(values)
    numbers = np.arange(probe.n_clusters, dtype=np.int64)
    files[f"{home}/clusters.metrics.pqt"] = table_bytes({"cluster_id": numbers} | clusters)
    names = [uid("cluster", probe.recording.path, probe.name, n) for n in range(probe.n_clusters)]
    files[f"{home}/clusters.uuids.csv"] = ("uuids\n" + "\n".join(names) + "\n").encode()
    groups = "".join(
        f"{n}\t{'good' if label > 0.5 else 'mua'}\n" for n, label in enumerate(clusters["label"])
    )
    files[f"{home}/_ibl_kilosortLabels.group.tsv"] = b"cluster_id\tgroup\n" + groups.encode()
    return files


class Shelf:
    """The files of the data server: each path, and the function that makes its bytes. Thread-safe for reading."""

    def __init__(self) -> None:
        self._makers: dict[str, Callable[[], bytes]] = {}
        self._lock = threading.Lock()

    def put(self, path: str, make: Callable[[], bytes]) -> None:
        """Add a path and the function that makes its bytes."""
        self._makers[path] = make

    def read(self, path: str) -> bytes | None:
        """Return the bytes of a file, None where there is none."""
        make = self._makers.get(path)
        if make is None:
            return None
        with self._lock:
            return make()
