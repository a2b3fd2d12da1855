"""What the seeded world's spike sorting has besides times and metrics: spikes of good clusters in one table, and waveforms."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from one_async.emulator import seeded_arrays as arrays
from one_async.emulator.seeded_files import Probe, npy_bytes, sorting_of
from one_async.emulator.seeded_parquet import plain_bytes
from one_async.emulator.seeded_raw import SPIKE, SPREAD

__all__ = ["sorting_places"]

#: Channels and samples of a cluster's mean waveform, and the sample of its trough.
NEAR, LENGTH, TROUGH = 32, 82, 41
#: Channels and samples of a template cut from the raw recording.
CUT_NEAR, CUT_LENGTH, CUT_TROUGH = 40, 128, 42


def sorting_places(probe: Probe) -> dict[str, Callable[[], bytes]]:
    """Return the files of a probe's sorting that are generated when they are read: place to what makes it."""
    home = f"alf/{probe.name}/pykilosort"
    names = (
        "passingSpikes.table.pqt",
        "clusters.waveforms.npy",
        "clusters.waveformsChannels.npy",
        "waveforms.templates.npy",
    )
    return {f"{home}/{name}": partial(_of_sorting, probe, name) for name in names}


def _of_sorting(probe: Probe, name: str) -> bytes:
    made = _sorting(probe)
    if name.startswith("passingSpikes"):
        return plain_bytes(_passing(made["spikes"], made["clusters"]))
    peaks = made["clusters"]["channels"]
    if name.startswith("clusters.waveformsChannels"):
        return npy_bytes(_near(peaks, NEAR))
    if name.startswith("clusters.waveforms"):
        return npy_bytes(_waveforms(made["clusters"], NEAR, LENGTH, TROUGH))
    whole = _waveforms(made["clusters"], CUT_NEAR, CUT_LENGTH, CUT_TROUGH)
    return npy_bytes(np.ascontiguousarray(whole.transpose(0, 2, 1)))


@lru_cache(maxsize=2)
def _sorting(probe: Probe) -> dict[str, arrays.Arrays]:
    return sorting_of(probe)


def _passing(spikes: arrays.Arrays, clusters: arrays.Arrays) -> arrays.Arrays:
    """Return the spikes of the clusters that pass all metrics."""
    kept = clusters["label"][spikes["clusters"]] == 1.0
    return {name: values[kept] for name, values in spikes.items()}


def _near(peaks: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return for each cluster the channels about its largest one, (clusters, count)."""
    first = np.clip(peaks - count // 2, 0, arrays.SITES - count)
    return first[:, None] + np.arange(count)


def _waveforms(clusters: arrays.Arrays, near: int, length: int, trough: int) -> NDArray[np.float32]:
    """Return the mean waveform of each cluster in volts, (clusters, samples, channels), as the raw recording has it."""
    peaks, amps = clusters["channels"], clusters["amps"]
    away = np.abs(_near(peaks, near) - peaks[:, None])
    size = np.where(away <= SPREAD, amps[:, None] * 0.5**away, 0.0)
    shape = np.zeros(length)
    first = trough - int(SPIKE.argmin())
    shape[first : first + len(SPIKE)] = SPIKE / 64
    return (shape[None, :, None] * size[:, None, :]).astype("<f4")
