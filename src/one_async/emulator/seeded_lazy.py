"""Files of the seeded world whose bytes are generated only when they are read, because they are many or large.

Their sizes and md5s are in ``seeded_lazy.txt``, one file a line, since records hold both. After a change to what generates
them, ``python tests/emulator_world/pin_lazy_files.py`` writes that list anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cache, lru_cache, partial
from importlib.resources import files

import numpy as np

from one_async.emulator import seeded_arrays as arrays
from one_async.emulator.seeded_camera import camera_file, camera_places
from one_async.emulator.seeded_files import Recording, trials_of
from one_async.emulator.seeded_parquet import plain_bytes
from one_async.emulator.seeded_passive import PASSIVE, passive_file, quality_files
from one_async.emulator.seeded_plan import Insertion, Session
from one_async.emulator.seeded_raw import RATES, Band, Raw, raw_files, sync_files

__all__ = ["LISTED", "Made", "listed", "md5_of", "pinned", "probe_places", "session_places", "subject_trials"]

LISTED = "seeded_lazy.txt"
Maker = Callable[[], bytes]
#: What makes a file, its size and its md5.
Made = tuple[Maker, int, str]


@cache
def listed() -> Mapping[str, tuple[int, str]]:
    """Return the size and the md5 of each file by its path below the lab's subjects."""
    lines = (files(__package__) / LISTED).read_text("utf-8").splitlines()
    rows = (line.split() for line in lines)
    return {path: (int(size), md5) for path, size, md5 in rows}


def pinned(path: str, make: Maker) -> Made:
    """Return a file with its size and md5; a file that is not listed is generated."""
    if path in listed():
        return (make, *listed()[path])
    data = make()
    return make, len(data), md5_of(data)


def md5_of(data: bytes) -> str:
    """Return the md5 of a file as records show it."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def session_places(session: Session) -> dict[str, Maker]:
    """Return a session's files: place to what makes it. Sessions with a camera's data, and more with probes."""
    recording = session.recording
    if recording is None or not session.full:
        return {}
    makers: dict[str, Maker] = {
        place: partial(camera_file, recording, view, kind)
        for place, view, kind in camera_places(session.ephys)
    }
    if session.ephys:
        makers |= {place: partial(passive_file, recording, place) for place in PASSIVE}
    return makers


def probe_places(recording: Recording, number: int, insertion: Insertion) -> dict[str, Maker]:
    """Return the raw recording of a probe and its quality control: place to what makes it."""
    home = f"raw_ephys_data/{insertion.name}"
    seconds = int(trials_of(recording.task)["intervals_1"][-1]) + 5
    raw = Raw(
        stem=f"_spikeglx_ephysData_g0_t0.imec{number}",
        model=insertion.model[1],
        serial=insertion.serial,
        seed=int(insertion.serial) % 1000,
        seconds=seconds,
        sorting=insertion.sorting,
    )
    makers: dict[str, Maker] = {}
    for band in RATES:
        for end in ("cbin", "ch", "meta"):
            name = f"{raw.stem}.{band}.{end}"
            makers[f"{home}/{name}"] = partial(_of_band, raw, band, name)
    for end in ("sync", "timestamps"):
        name = f"{raw.stem}.{end}.npy"
        makers[f"{home}/{name}"] = partial(_of_sync, raw, name)
    for kind in ("ephysTimeRms", "ephysSpectralDensity"):
        for name in (f"_iblqc_{kind}{band.upper()}" for band in RATES):
            for attribute in ("rms", "timestamps") if kind == "ephysTimeRms" else ("freqs", "power"):
                file = f"{name}.{attribute}.npy"
                makers[f"{home}/{file}"] = partial(_of_quality, raw.seed, seconds, file)
    return makers


def _of_band(raw: Raw, band: Band, name: str) -> bytes:
    return raw_files(raw, band)[name]


def _of_sync(raw: Raw, name: str) -> bytes:
    return sync_files(raw)[name]


@lru_cache(maxsize=2)
def _quality(seed: int, seconds: int) -> Mapping[str, bytes]:
    return quality_files(seed, seconds)


def _of_quality(seed: int, seconds: int, name: str) -> bytes:
    return _quality(seed, seconds)[name]


def subject_trials(sessions: list[Session]) -> bytes:
    """Return the table of all trials of a subject's sessions, in order, each with its session."""
    tables, held = [], [s for s in sessions if s.recording is not None]
    for session in held:
        assert session.recording is not None
        tables.append(trials_of(session.recording.task))
    columns: dict[str, arrays.Floats | list[str]] = {
        name: np.concatenate([table[name] for table in tables]) for name in arrays.TABLE
    }
    lengths = [len(table["choice"]) for table in tables]
    texts = {
        "session": [s.id for s in held],
        "session_start_time": [s.start.isoformat(sep=" ") for s in held],
        "task_protocol": [s.protocol for s in held],
    }
    for name, values in texts.items():
        columns[name] = [value for value, n in zip(values, lengths, strict=True) for _ in range(n)]
    columns["session_number"] = np.repeat(np.array([s.number for s in held], dtype="<i8"), lengths)
    return plain_bytes(columns)
