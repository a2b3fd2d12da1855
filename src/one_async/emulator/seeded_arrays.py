"""The numbers of the seeded world: choices, wheel, camera and spikes, drawn from seeded generators.

Only uniform numbers and integers are drawn and every result is rounded, so that two machines whose
mathematical functions differ in the last digit still get the same bytes. Times are in seconds from the start
of the session.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]

__all__ = [
    "CAMERA_RATE",
    "CLOCK_OFFSET",
    "CLOCK_RATE",
    "SITES",
    "SPIKE_RATE",
    "TABLE",
    "Arrays",
    "Floats",
    "Task",
    "camera",
    "channels",
    "licks",
    "sorting",
    "trials",
    "wheel",
    "wheel_moves",
]

TABLE = (
    "intervals_0",
    "intervals_1",
    "goCue_times",
    "response_times",
    "choice",
    "stimOn_times",
    "contrastLeft",
    "contrastRight",
    "feedback_times",
    "feedbackType",
    "rewardVolume",
    "probabilityLeft",
    "firstMovement_times",
)
WHEEL_SAMPLES = 8
LICKS = 4
CAMERA_RATE = 10.0
SITES = 384
#: Samples a second of a probe, and its clock: a time of the session is CLOCK_OFFSET + CLOCK_RATE * seconds of the probe.
SPIKE_RATE = 30_000
CLOCK_RATE, CLOCK_OFFSET = 1.00002, 0.0125


@dataclass(frozen=True)
class Task:
    """The behaviour of an animal: ``skill`` from 0 (untrained) to 1; ``biased`` if stimuli come in blocks."""

    seed: int
    n_trials: int
    skill: float
    biased: bool


def _rounded(values: NDArray[Any]) -> Floats:
    return np.round(np.asarray(values, dtype="<f8"), 6)


def _blocks(rng: np.random.Generator, task: Task) -> Floats:
    """Return each trial's probability of a stimulus on the left: 0.5, and in blocks after 90 trials 0.2 or 0.8."""
    left = np.full(task.n_trials, 0.5)
    if task.biased:
        at, side = 90, float(rng.integers(2)) * 0.6 + 0.2
        while at < task.n_trials:
            end = at + int(rng.integers(20, 100))
            left[at:end] = side
            at, side = end, round(1.0 - side, 1)
    return left


def trials(task: Task) -> Arrays:
    """Return the trials of a session: the columns of the trials table, and arrays that are not in the table.

    A choice of -1 is a turn to the right-hand stimulus, as in IBL's data. Its probability follows a logistic
    function of the signed contrast with lapses; the block shifts it.
    """
    rng, n = np.random.default_rng(task.seed), task.n_trials
    left = _blocks(rng, task)
    contrasts = np.array([1.0, 0.25, 0.125, 0.0625, 0.0] if task.skill > 0.4 else [1.0, 0.5, 0.25])
    contrast = contrasts[rng.integers(0, 2 * len(contrasts) - (task.skill > 0.4), n) // 2]
    on_right = rng.random(n) >= left
    signed = np.where(on_right, contrast, -contrast)
    lapse = 0.28 - 0.24 * task.skill
    scale = 0.45 - 0.36 * task.skill
    shift = (0.5 - left) * 0.35 * task.skill
    right = lapse + (1 - 2 * lapse) / (1 + np.exp(-(signed + shift) / scale))
    choice = np.where(rng.random(n) < right, -1.0, 1.0)
    choice[rng.random(n) < 0.006] = 0.0
    correct = np.where(on_right, choice == -1, choice == 1)
    reaction = 0.09 - np.log1p(-rng.random(n)) * (0.42 - 0.2 * contrast) * (1.6 - task.skill)
    moved = 0.12 + 0.4 * rng.random(n)
    return _columns(rng, choice, correct, on_right, contrast, left, reaction, moved)


def _columns(
    rng: np.random.Generator,
    choice: Floats,
    correct: NDArray[np.bool_],
    on_right: NDArray[np.bool_],
    contrast: Floats,
    left: Floats,
    reaction: Floats,
    moved: Floats,
) -> Arrays:
    n, missed = len(choice), choice == 0
    quiescence = 0.4 + 0.3 * rng.random(n)
    taken = np.where(missed, 60.0, reaction + moved)
    shown = np.where(correct, 1.0, 2.0)
    length = quiescence + 0.05 + taken + shown + 0.5
    start = np.cumsum(length) - length + 1.5
    stim_on = start + quiescence + 0.05 + 0.016 * rng.random(n)
    go_cue = stim_on + 0.0011
    response = go_cue + taken
    feedback = response + 0.0002
    columns = {
        "intervals_0": start,
        "intervals_1": start + length,
        "goCue_times": go_cue,
        "response_times": response,
        "choice": choice,
        "stimOn_times": stim_on,
        "contrastLeft": np.where(on_right, np.nan, contrast),
        "contrastRight": np.where(on_right, contrast, np.nan),
        "feedback_times": feedback,
        "feedbackType": np.where(correct, 1.0, -1.0),
        "rewardVolume": np.where(correct, 1.5, 0.0),
        "probabilityLeft": left,
        "firstMovement_times": np.where(missed, np.nan, go_cue + reaction),
        "goCueTrigger_times": go_cue - 0.0004,
        "stimOnTrigger_times": stim_on - 0.016,
        "stimOff_times": feedback + shown,
        "stimOffTrigger_times": feedback + shown - 0.016,
        "quiescencePeriod": quiescence,
    }
    return {name: _rounded(values) for name, values in columns.items()}


def wheel(task: Task, columns: Arrays) -> Arrays:
    """Return the wheel's ``timestamps`` and ``position`` (radians, left is positive) with one turn per trial."""
    rng = np.random.default_rng(task.seed + 1)
    made = columns["choice"] != 0
    first, last = columns["firstMovement_times"][made], columns["response_times"][made]
    step = np.linspace(0.0, 1.0, WHEEL_SAMPLES)
    stamps = first[:, None] + (last - first)[:, None] * step
    size = 0.3 + 0.1 * rng.random(len(first))
    turn = (columns["choice"][made] * size)[:, None] * (3 * step**2 - 2 * step**3)
    before = np.cumsum(columns["choice"][made] * size) - columns["choice"][made] * size
    return {"timestamps": _rounded(stamps.ravel()), "position": _rounded((before[:, None] + turn).ravel())}


def wheel_moves(wheel_of: Arrays) -> Arrays:
    """Return when the wheel turned, ``intervals`` (n, 2), and how far, ``peakAmplitude`` (n,)."""
    stamps = wheel_of["timestamps"].reshape(-1, WHEEL_SAMPLES)
    position = wheel_of["position"].reshape(-1, WHEEL_SAMPLES)
    return {
        "intervals": np.ascontiguousarray(stamps[:, [0, -1]]),
        "peakAmplitude": _rounded(position[:, -1] - position[:, 0]),
    }


def licks(task: Task, columns: Arrays) -> Floats:
    """Return the times of licks, a few after each reward."""
    rng = np.random.default_rng(task.seed + 2)
    rewards = columns["feedback_times"][columns["feedbackType"] == 1]
    spread = 0.08 + 0.12 * (np.arange(LICKS) + 0.6 * rng.random((len(rewards), LICKS)))
    return _rounded((rewards[:, None] + spread).ravel())


def camera(task: Task, columns: Arrays, rate: float = CAMERA_RATE) -> Arrays:
    """Return a camera's ``times``, the pupil's diameter (pixels, raw and smoothed) and motion energy."""
    rng = np.random.default_rng(task.seed + 3)
    n = min(int(columns["intervals_1"][-1] * rate), 30_000)
    times = (np.arange(n) + 0.02 * rng.random(n)) / rate
    event = columns["feedback_times"][np.searchsorted(columns["feedback_times"], times, side="right") - 1]
    since = np.where(times > event, times - event, 9.0)
    smooth = 18.0 + 2.0 * np.sin(times / 47.0) + 3.0 * since * np.exp(-since / 0.8)
    return {
        "times": _rounded(times),
        "pupilDiameter_raw": np.round(smooth + 1.4 * (rng.random(n) - 0.5), 3),
        "pupilDiameter_smooth": np.round(smooth, 3),
        "ROIMotionEnergy": np.round(2.0 + 6.0 * np.exp(-since / 0.4) + rng.random(n), 3),
    }


def sorting(seed: int, columns: Arrays, n_clusters: int, regions: NDArray[np.int64]) -> dict[str, Arrays]:
    """Return the spike sorting of one probe: the objects spikes, clusters and channels.

    Rates run from 0.1 to about 5 Hz; half of the clusters fire more after the stimulus or the feedback.
    Amplitudes are in volts, depths in µm from the tip; ``regions`` are the Allen ids along the probe, from
    the tip up.
    """
    rng = np.random.default_rng(seed)
    duration = float(columns["intervals_1"][-1]) + 5.0
    rate = np.round(0.08 * 60.0 ** rng.random(n_clusters) ** 1.6, 3)
    peak = np.sort(rng.integers(8, SITES - 8, n_clusters))
    amps = np.round(6e-5 + 1.6e-4 * rng.random(n_clusters), 9)
    times, owner = _spike_times(rng, columns, rate, duration)
    order = np.argsort(times, kind="stable")
    times, owner = times[order], owner[order]
    depth = _sites()[1, peak]
    n = len(times)
    spikes: Arrays = {
        "times": times,
        "clusters": owner.astype("<i4"),
        "amps": np.round(amps[owner] * (0.8 + 0.4 * rng.random(n)), 9),
        "depths": np.round(depth[owner] + 24.0 * (rng.random(n) - 0.5), 2),
        "samples": np.maximum(np.round((times - CLOCK_OFFSET) / CLOCK_RATE * SPIKE_RATE), 0).astype("<i8"),
    }
    counts = np.bincount(owner, minlength=n_clusters)
    good = np.round(rng.integers(0, 4, n_clusters) / 3.0, 6)
    clusters: Arrays = {
        "channels": peak.astype("<i8"),
        "depths": depth,
        "amps": amps,
        "peakToTrough": np.round(0.25 + 0.6 * rng.random(n_clusters), 6) * np.where(peak % 9 == 0, -1.0, 1.0),
        "spike_count": counts.astype("<i8"),
        "firing_rate": np.round(counts / duration, 6),
        "presence_ratio": np.round(0.7 + 0.3 * rng.random(n_clusters), 6),
        "contamination": np.round(0.5 * rng.random(n_clusters) ** 3, 6),
        "noise_cutoff": np.round(9.0 * rng.random(n_clusters), 6),
        "slidingRP_viol": (good > 0.3).astype("<f8"),
        "label": good,
    }
    return {"spikes": spikes, "clusters": clusters, "channels": channels(regions)}


def _spike_times(
    rng: np.random.Generator, columns: Arrays, rate: Floats, duration: float
) -> tuple[Floats, NDArray[np.int64]]:
    times, owners = [], []
    for cluster, hertz in enumerate(rate):
        steady = rng.random(int(hertz * duration)) * duration
        event = columns["stimOn_times" if cluster % 4 == 0 else "feedback_times"]
        extra = int(min(hertz, 4.0) * 0.25 * len(event)) if cluster % 2 == 0 else 0
        driven = event[rng.integers(0, len(event), extra)] + 0.05 + 0.2 * rng.random(extra) ** 2
        times += [steady, driven]
        owners.append(np.full(len(steady) + extra, cluster))
    return _rounded(np.concatenate(times)), np.concatenate(owners)


def _sites() -> Floats:
    """Return the positions of the sites across and along the probe, (2, n), in µm."""
    return np.stack(
        [np.tile([16.0, 48.0, 0.0, 32.0], SITES // 4), np.repeat(np.arange(1, SITES // 2 + 1) * 20.0, 2)]
    )


def channels(regions: NDArray[np.int64]) -> Arrays:
    """Return the channels of a probe whose sites are in these regions, from the tip up; coordinates in µm."""
    local = _sites()
    along = local[1]
    mlapdv = np.stack([-2200.0 + 0.05 * along, -2000.0 + 0.02 * along, along - 4200.0], axis=1)
    return {
        "localCoordinates": np.ascontiguousarray(local.T),
        "brainLocationIds_ccf_2017": regions[np.arange(SITES) * len(regions) // SITES].astype("<i8"),
        "mlapdv": np.round(mlapdv, 3),
        "rawInd": np.arange(SITES, dtype="<i8"),
    }
