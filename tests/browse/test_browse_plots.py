"""The data of plots, compared with the arrays that they represent, and data of odd shapes."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from one_async.browse.plots import PLOTS, psychometric, raster, wheel
from one_async.errors import ALFObjectNotFound, FileDamaged

NAN = float("nan")


def test_shares_of_choices_are_by_contrast_and_block() -> None:
    trials = {
        "contrastLeft": np.array([1, NAN, NAN, 0.25, NAN, 1]),
        "contrastRight": np.array([NAN, 1, 1, NAN, 0, NAN]),
        "choice": np.array([1, -1, 1, -1, -1, 0]),
        "probabilityLeft": np.array([0.5, 0.5, 0.5, 0.8, 0.5, 0.5]),
    }
    found = psychometric(trials)
    assert found["blocks"] == [
        {"left": 0.5, "points": [[-100, 0, 1], [0, 1, 1], [100, 0.5, 2]]},
        {"left": 0.8, "points": [[-25, 1, 1]]},
    ]
    assert (found["trials"], found["chosen"]) == (6, 5)


@settings(max_examples=40, deadline=None)
@given(arrays.arrays(np.float64, st.integers(1, 300), elements=st.floats(0, 5000)), st.booleans())
def test_each_spike_is_in_the_image(times: Any, by_cluster: bool) -> None:
    depths = np.flip(times) / 7
    found = raster({"times": times, "clusters" if by_cluster else "depths": depths})
    image = np.frombuffer(base64.b64decode(found["image"]), np.uint8).reshape(found["height"], found["width"])
    assert found["spikes"] == len(times)
    columns, _ = np.histogram(times, found["width"], (times.min(), max(times.max(), times.min() + 1e-9)))
    assert (
        abs(int(np.count_nonzero(image.any(axis=0))) - np.count_nonzero(columns)) <= 2
    )  # values at the edge of two bins
    assert image.max() == 255
    assert found["time"] == [round(float(times.min()), 3), round(float(times.max()), 3)]


def test_the_deepest_spike_is_in_the_last_row() -> None:
    found = raster({"times": np.array([0.0, 1.0]), "depths": np.array([0.0, 3840.0])})
    image = np.frombuffer(base64.b64decode(found["image"]), np.uint8).reshape(found["height"], found["width"])
    assert image[-1, 0] == image[0, -1] == 255
    assert np.count_nonzero(image) == 2


@settings(max_examples=40, deadline=None)
@given(arrays.arrays(np.float64, st.integers(1, 3000), elements=st.floats(-100, 100)))
def test_a_trace_has_the_extremes_of_the_wheel(position: Any) -> None:
    times = np.arange(len(position)) * 0.01
    found = wheel({"timestamps": times, "position": position})
    assert len(found["points"]) <= 500
    assert min(point[1] for point in found["points"]) == round(float(position.min()), 3)
    assert max(point[2] for point in found["points"]) == round(float(position.max()), 3)
    starts = [point[0] for point in found["points"]]
    assert starts == sorted(starts)
    shuffled = np.random.default_rng(1).permutation(len(times))
    assert wheel({"timestamps": times[shuffled], "position": position[shuffled]}) == found


GOOD: dict[str, dict[str, Any]] = {
    "psychometric": {name: np.ones(4) for name in ("contrastLeft", "contrastRight", "choice", "probabilityLeft")},
    "raster": {"times": np.arange(4.0), "depths": np.ones(4)},
    "wheel": {"timestamps": np.arange(4.0), "position": np.ones(4)},
}  # fmt: skip
ODD: dict[str, Any] = {
    "empty": np.empty(0), "short": np.ones(3), "NaN": np.full(4, NAN), "infinite": np.full(4, np.inf), "2-d": np.ones((4, 2)),
    "column": np.ones((4, 1)), "texts": np.array(["a"] * 4), "objects": np.array([None, {}, [], 1], object),
    "scalar": np.array(5),
    "list": [1, 2, 3, 4], "none": None, "huge": np.full(4, 1e308), "complex": np.ones(4) * 1j,
}  # fmt: skip


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("odd", ODD)
def test_odd_data_are_drawn_or_refused(kind: str, odd: str) -> None:
    for name in GOOD[kind]:
        with suppress(ALFObjectNotFound, FileDamaged):
            json.dumps(PLOTS[kind]({**GOOD[kind], name: ODD[odd]}), allow_nan=False)
        lacking = {other: value for other, value in GOOD[kind].items() if other != name}
        if name != "probabilityLeft":
            with pytest.raises(ALFObjectNotFound, match="have no"):
                PLOTS[kind](lacking)
