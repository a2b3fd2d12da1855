"""Data of the page's plots as small lists for JSON, computed from loaded ALF objects. Runs in threads."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from one_async.errors import ALFObjectNotFound, FileDamaged

__all__ = ["PLOTS", "psychometric", "raster", "wheel"]

Floats = npt.NDArray[np.float64]
#: The pixels of a raster, and the points of a trace.
RASTER_SIZE = (400, 110)
TRACE_POINTS = 500
#: The quantile of the pixels' values that is drawn at full intensity.
_BRIGHTEST = 99.5
#: Larger numbers are not valid times, positions or contrasts, and count as missing.
_GREATEST = 1e15


def psychometric(trials: Mapping[str, Any]) -> dict[str, Any]:
    """Return the share of rightward choices by signed contrast (%), for each probability of a stimulus on the left.

    Each point is a contrast, a share and a number of trials. Trials without a choice are ignored.
    """
    left, right, choice = _columns(trials, "contrastLeft", "contrastRight", "choice")
    signed = np.round((np.nan_to_num(right) - np.nan_to_num(left)) * 100, 2)
    prior = np.full(len(choice), 0.5)
    if "probabilityLeft" in trials:
        (prior,) = _columns(trials, "probabilityLeft")
    if len(prior) != len(choice):
        raise FileDamaged("the attributes of trials have different lengths")
    made = np.isfinite(choice) & (choice != 0) & np.isfinite(prior)
    if not made.any():
        raise ALFObjectNotFound("no trial has a choice")
    blocks = []
    for value in np.unique(np.round(prior[made], 2)):
        of_block = made & (np.round(prior, 2) == value)
        points = []
        for contrast in np.unique(signed[of_block]):
            chosen = choice[of_block & (signed == contrast)]
            points.append(
                [float(contrast), round(float(np.mean(chosen == -1)), 4), len(chosen)]
            )  # -1: to the right
        blocks.append({"left": float(value), "points": points})
    return {"blocks": blocks, "trials": len(choice), "chosen": int(made.sum())}


def raster(spikes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the number of spikes by time and depth, or cluster, as a base64-encoded image of bytes, deepest row last."""
    over = "depths" if "depths" in spikes else "clusters"
    times, places = _columns(spikes, "times", over)
    known = np.isfinite(times) & np.isfinite(places)
    times, places = times[known], places[known]
    if not len(times):
        raise ALFObjectNotFound("there are no spikes")
    width, height = RASTER_SIZE
    x, start, end = _bins(times, width)
    y, low, high = _bins(places, height)
    counts = np.bincount((height - 1 - y) * width + x, minlength=width * height)
    full = max(float(np.percentile(counts[counts > 0], _BRIGHTEST)), 1.0)
    image = (np.sqrt(np.minimum(counts / full, 1.0)) * 255).astype(np.uint8)
    return {
        "width": width,
        "height": height,
        "image": base64.b64encode(image.tobytes()).decode("ascii"),
        "time": [round(start, 3), round(end, 3)],
        "range": [round(low, 3), round(high, 3)],
        "over": "depth (µm)" if over == "depths" else "cluster",
        "spikes": len(times),
    }


def _bins(values: Floats, count: int) -> tuple[npt.NDArray[np.int64], float, float]:
    """Return the bin of each value, and the minimum and maximum."""
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) / ((high - low) or 1.0) * count
    return np.minimum(scaled.astype(np.int64), count - 1), low, high


def wheel(moves: Mapping[str, Any]) -> dict[str, Any]:
    """Return the position of the wheel (radians) over time (s): the minimum and maximum in each of many short intervals."""
    times, position = _columns(moves, "timestamps", "position")
    known = np.isfinite(times) & np.isfinite(position)
    times, position = times[known], position[known]
    if not len(times):
        raise ALFObjectNotFound("the wheel has no samples")
    order = np.argsort(times, kind="stable")
    times, position = times[order], position[order]
    spans, start, end = _bins(times, TRACE_POINTS)
    first = np.flatnonzero(np.diff(spans, prepend=-1))
    columns = times[first], np.minimum.reduceat(position, first), np.maximum.reduceat(position, first)
    points = np.round(np.column_stack(columns), 3).tolist()
    return {"points": points, "time": [round(start, 3), round(end, 3)], "samples": len(times)}


def _columns(data: Mapping[str, Any], *names: str) -> list[Floats]:
    """Return attributes as numeric arrays of equal length. Raises ALFObjectNotFound or FileDamaged."""
    found = []
    for name in names:
        if name not in data:
            raise ALFObjectNotFound(f"the data have no {name}; they have {', '.join(map(str, data))}")
        try:
            column = np.array(data[name], np.float64) if np.isrealobj(data[name]) else np.empty((0, 0))
        except (TypeError, ValueError):
            column = np.empty((0, 0))
        if column.ndim == 2 and column.shape[1] == 1:
            column = column[:, 0]
        if column.ndim != 1:
            raise FileDamaged(f"{name} is not a list of numbers")
        column[np.abs(column) > _GREATEST] = np.nan
        found.append(column)
    if len({len(column) for column in found}) > 1:
        raise FileDamaged(f"{', '.join(names)} have different lengths")
    return found


PLOTS = {"psychometric": psychometric, "raster": raster, "wheel": wheel}
