"""What the cameras of the seeded world recorded: frame times, poses, motion energy, the pupil, and the videos."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from one_async.emulator import seeded_arrays as arrays
from one_async.emulator.seeded_files import Recording, npy_bytes, trials_of
from one_async.emulator.seeded_parquet import plain_bytes
from one_async.emulator.seeded_video import mp4_bytes

__all__ = ["RATES", "camera_file", "camera_places", "video_place"]

#: The frames a second of each camera.
RATES = {"left": int(arrays.CAMERA_RATE), "right": 6, "body": 3}
#: The points that are tracked, and the place of each in pixels.
PAWS = {
    "nose_tip": (60, 40),
    "paw_l": (50, 90),
    "paw_r": (95, 88),
    "tube_top": (30, 60),
    "tube_bottom": (30, 70),
}
TONGUE = {"tongue_end_l": (48, 66), "tongue_end_r": (52, 66)}
PUPIL = {"top": (90, 30), "right": (90, 30), "bottom": (90, 30), "left": (90, 30)}
TAIL = {"tail_start": (70, 64)}
#: Width, height, and left and top edge of the region of which motion energy is computed, in pixels.
REGIONS = {"left": (40, 30, 50, 50), "right": (20, 16, 60, 40), "body": (60, 50, 30, 30)}
TRACKERS = ("dlc", "lightningPose")


def video_place(view: str) -> str:
    """Return the place of a camera's video in its session."""
    return f"raw_video_data/_iblrig_{view}Camera.raw.mp4"


def camera_places(ephys: bool) -> list[tuple[str, str, str]]:
    """Return the camera's files besides those of `session_files`: place, view and kind."""
    found = [(video_place("left"), "left", "mp4")]
    for view in RATES if ephys else ():
        new = view != "left"
        kinds = [f"_ibl_{view}Camera.times.npy"] * new + [f"{view}Camera.ROIMotionEnergy.npy"] * new
        kinds += [f"_ibl_{view}Camera.features.pqt"] * (view == "right")
        kinds += [f"_ibl_{view}Camera.{tracker}.pqt" for tracker in TRACKERS]
        kinds += [f"{view}ROIMotionEnergy.position.npy"]
        found += [(f"alf/{name}", view, name.split(".")[1]) for name in kinds]
        found += [(video_place(view), view, "mp4")] * new
    return found


@lru_cache(maxsize=4)
def _seen(recording: Recording, view: str) -> arrays.Arrays:
    """Return a camera's times and series."""
    task = recording.task
    if view != "left":
        other = arrays.Task(task.seed + 10 * RATES[view], task.n_trials, task.skill, task.biased)
        return arrays.camera(other, trials_of(task), RATES[view])
    return arrays.camera(task, trials_of(task))


def camera_file(recording: Recording, view: str, kind: str) -> bytes:
    """Return one file of a camera."""
    seen = _seen(recording, view)
    if kind == "mp4":
        return mp4_bytes(len(seen["times"]), RATES[view])
    if kind == "features":
        return plain_bytes({name: seen[name] for name in ("pupilDiameter_raw", "pupilDiameter_smooth")})
    if kind == "position":
        return npy_bytes(np.array(REGIONS[view], dtype="<i8"))
    if kind in TRACKERS:
        return plain_bytes(_pose(recording, view, kind))
    return npy_bytes(seen[kind])


def _pose(recording: Recording, view: str, tracker: str) -> arrays.Arrays:
    """Return the pose: x, y and likelihood of each point. The pupil's points are as far apart as its diameter says."""
    seen, task = _seen(recording, view), recording.task
    rng = np.random.default_rng(task.seed + 20 * RATES[view] + TRACKERS.index(tracker))
    times, energy, n = seen["times"], seen["ROIMotionEnergy"], len(seen["times"])
    columns: arrays.Arrays = {}

    def add(name: str, x: arrays.Floats, y: arrays.Floats, sure: arrays.Floats) -> None:
        columns[f"{name}_x"] = np.round(x + rng.random(n), 2)
        columns[f"{name}_y"] = np.round(y + rng.random(n), 2)
        columns[f"{name}_likelihood"] = np.round(sure - 0.05 * rng.random(n), 3)

    zero = np.zeros(n)
    for name, (x, y) in (TAIL if view == "body" else PAWS).items():
        move = 4.0 if name.startswith(("paw", "tail")) else 0.2
        add(name, x + move * energy, y + move * energy / 2, zero + 1.0)
    if view == "body":
        return columns
    size = seen["pupilDiameter_raw"] / 2
    steps = {"top": (0, -1), "right": (1, 0), "bottom": (0, 1), "left": (-1, 0)}
    for name, (x, y) in PUPIL.items():
        across, down = steps[name]
        add(f"pupil_{name}_r", x + across * size, y + down * size, zero + 0.99)
    licked = arrays.licks(task, trials_of(task))
    since = times - licked[np.searchsorted(licked, times, side="right") - 1]
    out = np.where((since >= 0) & (since < 0.1), 1.0, 0.1)
    for name, (x, y) in TONGUE.items():
        add(name, x + 6 * out, y + 6 * out, out)
    return columns
