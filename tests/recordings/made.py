"""Recordings for tests: samples, a ``.meta`` file, and a compressor written for the tests."""

from __future__ import annotations

import json
import zlib
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]


def noise(rows: int, channels: int, seed: int = 0) -> Samples:
    """Return samples whose differences overflow 16 bits in places."""
    made = np.random.default_rng(seed).integers(-200, 200, (rows, channels), dtype=np.int16)
    made[:: max(rows // 7, 1), 0] = np.iinfo(np.int16).min
    made[1 :: max(rows // 5, 1), 0] = np.iinfo(np.int16).max
    return made


def compress(
    samples: Samples, rate: float, rows: int, order: str = "F", time: bool = True, space: bool = False
) -> tuple[bytes, dict[str, Any]]:
    """Return the bytes of a ``.cbin`` file and the content of its ``.ch`` file, with ``rows`` rows in a chunk."""
    bounds = [*range(0, len(samples), rows), len(samples)]
    offsets, data = [0], b""
    for low, high in pairwise(bounds):
        part = samples[low:high].copy()
        for axis in [0] * time + [1] * space:
            before = part.copy()
            first = (slice(None),) * axis
            part[(*first, slice(1, None))] -= before[(*first, slice(None, -1))]
        data += zlib.compress(part.tobytes(order=order), 1)  # type: ignore[arg-type]
        offsets.append(len(data))
    return data, {
        "algorithm": "zlib", "chunk_bounds": bounds, "chunk_offsets": offsets, "chunk_order": order, "comp_level": 1,
        "do_spatial_diff": space, "do_time_diff": time, "dtype": "int16", "n_channels": samples.shape[1],
        "sample_rate": rate, "shape": list(samples.shape), "version": "1.0",
    }  # fmt: skip


def meta(channels: int, rate: float, band: str = "ap", gains: tuple[int, int] = (500, 250)) -> str:
    """Return the ``.meta`` file of a probe of the first generation; the last channel is for synchronization."""
    n = channels - 1
    table = "".join(f"({channel} 0 0 {gains[0] + channel} {gains[1] + channel} 1)" for channel in range(n))
    saved = f"0:{n - 1},{2 * n}" if band == "ap" else f"{n}:{2 * n}"
    counts = f"{n},0,1" if band == "ap" else f"0,{n},1"
    return (
        f"acqApLfSy={n},{n},1\nimAiRangeMax=0.6\nimAiRangeMin=-0.6\nimDatPrb_type=0\nimSampRate={rate}\n"
        f"nSavedChans={channels}\nsnsApLfSy={counts}\nsnsSaveChanSubset={saved}\ntypeThis=imec\n~imroTbl=(0,{n}){table}\n"
    )


def header_text(header: dict[str, Any]) -> str:
    return json.dumps(header)
