"""The passive protocol after a recording of the seeded world, and the quality control of its raw recordings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from one_async.emulator.seeded_arrays import SITES
from one_async.emulator.seeded_files import Recording, npy_bytes, trials_of

__all__ = ["PASSIVE", "passive_file", "quality_files"]

PASSIVE = (
    "alf/_ibl_passivePeriods.intervalsTable.csv",
    "alf/_ibl_passiveRFM.times.npy",
    "alf/_ibl_passiveGabor.table.csv",
    "alf/_ibl_passiveStims.table.csv",
    "raw_passive_data/_iblrig_RFMapStim.raw.bin",
)
FRAMES, PIXELS = 1_200, 15
CONTRASTS = (1.0, 0.25, 0.125, 0.0625)
REPLAYED = 40


def passive_file(recording: Recording, place: str) -> bytes:
    """Return one file of the passive protocol: after the task, silence, then noise images, then the task's stimuli."""
    seed = recording.task.seed
    begin = float(np.ceil(trials_of(recording.task)["intervals_1"][-1])) + 10.0
    mapping = begin + 120.0
    replay = mapping + FRAMES / 60 + 2.0
    end = replay + 3.0 * REPLAYED
    if place.endswith("intervalsTable.csv"):
        names = ["", "passiveProtocol", "spontaneousActivity", "RFM", "taskReplay"]
        starts = ["start", begin, begin, mapping, replay]
        stops = ["stop", end, mapping - 2.0, replay - 2.0, end]
        return _csv([names, starts, stops])
    if place.endswith("passiveRFM.times.npy"):
        return npy_bytes(np.round(mapping + np.arange(FRAMES) / 60, 6))
    if place.endswith(".bin"):
        # Grey, with a few pixels that are black or white for a while
        images = np.full((FRAMES, PIXELS, PIXELS), 128, dtype=np.uint8)
        lit = np.random.default_rng(seed + 6).integers(0, 20, (FRAMES // 6, PIXELS, PIXELS))
        images[np.repeat(lit == 0, 6, axis=0)] = 0
        images[np.repeat(lit == 1, 6, axis=0)] = 255
        return images.tobytes()
    number = np.arange(REPLAYED)
    shown = np.round(replay + 3.0 * number, 3)
    if place.endswith("passiveGabor.table.csv"):
        rows = zip(
            shown, shown + 0.3, np.where(number % 2, 35.0, -35.0), number % len(CONTRASTS), strict=True
        )
        cells = [
            [n, a, round(b, 3), side, CONTRASTS[c], n * 37 % 360] for n, (a, b, side, c) in enumerate(rows)
        ]
        return _csv([["", "start", "stop", "position", "contrast", "phase"], *cells])
    lengths = {"valve": 0.15, "tone": 0.1, "noise": 0.5}
    names = [f"{name}{end}" for name in lengths for end in ("On", "Off")]
    times = [
        [
            round(at + 0.8 * (k + 1) + off, 3)
            for k, length in enumerate(lengths.values())
            for off in (0.0, length)
        ]
        for at in shown.tolist()
    ]
    return _csv([names, *times])


def _csv(rows: Iterable[Sequence[object]]) -> bytes:
    return "".join(",".join(map(str, row)) + "\n" for row in rows).encode()


def quality_files(seed: int, seconds: int) -> dict[str, bytes]:
    """Return the quality control of a probe's bands: name to bytes; the root mean square of every channel (V), in time."""
    files = {}
    rng = np.random.default_rng(seed + 70)
    for band, level in (("AP", 1.2e-5), ("LF", 9e-5)):
        times = np.arange(0.0, max(seconds, 1), 30.0)
        rms = level * (0.8 + 0.4 * rng.random((len(times), SITES)))
        files[f"_iblqc_ephysTimeRms{band}.rms.npy"] = npy_bytes(np.round(rms, 9).astype("<f4"))
        files[f"_iblqc_ephysTimeRms{band}.timestamps.npy"] = npy_bytes(times)
        freqs = np.arange(129) * (30_000 if band == "AP" else 2_500) / 256
        power = (level**2 / (1.0 + freqs[:, None] / 50.0)) * (0.5 + rng.random((129, SITES)))
        files[f"_iblqc_ephysSpectralDensity{band}.freqs.npy"] = npy_bytes(freqs)
        files[f"_iblqc_ephysSpectralDensity{band}.power.npy"] = npy_bytes(np.round(power, 16).astype("<f4"))
    return files
