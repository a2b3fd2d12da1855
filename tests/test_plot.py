"""Plots show the numbers of the data, which are computed here independently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from one_async import ONE
from one_async.emulator import Emulator
from one_async.errors import ALFObjectNotFound, InputError
from one_async.plot import _choices, _every_month, _wilson

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")


@pytest.fixture(scope="module", params=["polars", "pandas"])
def one(
    request: pytest.FixtureRequest, seeded_emulator: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ONE]:
    folder: Path = tmp_path_factory.mktemp("plots")
    login: dict[str, Any] = {"base_url": seeded_emulator.url, "username": "demo", "password": "demo"}
    with ONE(**login, cache_dir=folder, tables=request.param, progress=False) as client:
        yield client


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    from matplotlib import pyplot

    yield
    pyplot.close("all")


def test_psychometric_points_are_the_shares_of_choices(one: ONE) -> None:
    eids = one.search(datasets="spikes.times.npy")[:2]
    rights: Counter[float] = Counter()
    counts: Counter[float] = Counter()
    for trials in one.load_object(eids, "trials"):
        signed = 100 * (np.nan_to_num(trials["contrastRight"]) - np.nan_to_num(trials["contrastLeft"]))
        for contrast, choice in zip(signed, trials["choice"], strict=True):
            if choice in (-1, 1):
                counts[round(contrast, 2)] += 1
                rights[round(contrast, 2)] += choice == -1
    ax = one.plot.psychometric(eids)
    x, y = ax.lines[0].get_data()
    assert dict(zip(x, y, strict=True)) == {key: rights[key] / counts[key] for key in counts}
    assert ax.get_title() == f"{sum(counts.values()):,} trials of 2 sessions"


def test_a_raster_has_each_spike_of_each_window(one: ONE) -> None:
    (pid,) = one.search_insertions(datasets="spikes.times.npy")[:1]
    eid, name = one.pid2eid(pid)
    assert eid is not None
    events = one.load_object(eid, "trials")["feedback_times"]
    spikes = one.load_object(eid, "spikes", collection=f"alf/{name}/pykilosort")
    ax = one.plot.raster(pid, align="feedback_times", cluster=4, window=(-0.1, 0.3))
    times = spikes["times"][spikes["clusters"] == 4]
    expected = [times[(times >= at - 0.1) & (times < at + 0.3)] - at for at in events[np.isfinite(events)]]
    drawn = [collection.get_positions() for collection in ax.collections]
    assert len(drawn) == len(expected)
    for ours, theirs in zip(drawn, expected, strict=True):
        np.testing.assert_allclose(ours, theirs)


def test_qc_bars_count_the_datasets(one: ONE) -> None:
    eids = one.search(datasets="spikes.times.npy")[:2]
    ax = one.plot.qc(eids)
    widths = np.array([[bar.get_width() for bar in bars] for bars in ax.containers])
    assert widths.sum(axis=0).tolist() == [len(one.list_datasets(eid)) for eid in eids]
    details = one.list_datasets(eids[0], details=True)
    assert widths[1][0] == sum(str(value) == "PASS" for value in details["qc"])


def test_coverage_counts_sessions_by_lab_and_month(one: ONE) -> None:
    ax = one.plot.coverage()
    shown = ax.images[0].get_array()
    assert shown.sum() == len(one.search())
    labs = [label.get_text() for label in ax.get_yticklabels()]
    for lab, row in zip(labs, shown, strict=True):
        assert row.sum() == len(one.search(lab=lab))


def test_given_axes_are_used(one: ONE) -> None:
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    assert one.plot.psychometric(one.search(datasets="spikes.times.npy")[0], ax=ax) is ax


def test_wrong_arguments_are_refused(one: ONE) -> None:
    (pid,) = one.search_insertions(datasets="spikes.times.npy")[:1]
    with pytest.raises(InputError, match="stimOn_times"):
        one.plot.raster(pid, align="stimOn")
    with pytest.raises(InputError, match="cluster=99999"):
        one.plot.raster(pid, cluster=99999)
    with pytest.raises(InputError, match="window"):
        one.plot.raster(pid, window=(1, 0))
    with pytest.raises(InputError, match="accepted: lab"):
        one.plot.coverage(lb="cortexlab")
    with pytest.raises(ALFObjectNotFound):
        one.plot.psychometric("00000000-0000-4000-8000-000000000000")


@pytest.mark.parametrize(
    ("method", "given", "argument"),
    [
        ("psychometric", {"eids": []}, "eids"),
        ("qc", {"eids": ()}, "eids"),
        ("qc", {"eids": np.array([], str)}, "eids"),
        ("raster", {"pid": []}, "pid"),
        ("raster", {"pid": ["x", "y"]}, "pid"),
        ("raster", {"pid": "x", "window": 1}, "window"),
        ("raster", {"pid": "x", "window": ("a", "b")}, "window"),
        ("raster", {"pid": "x", "window": (0, 1, 2)}, "window"),
        ("coverage", {"ax": "cortexlab"}, "ax"),
        ("psychometric", {"eids": "x", "ax": [1]}, "ax"),
        ("qc", {"eids": "x", "ax": np.array([None, None])}, "ax"),
        ("raster", {"pid": "x", "ax": 5}, "ax"),
    ],
)
def test_wrong_kinds_are_refused_before_a_request(
    one: ONE, seeded_emulator: Emulator, method: str, given: dict[str, Any], argument: str
) -> None:
    before = seeded_emulator.requests.count()
    with pytest.raises(InputError) as caught:
        getattr(one.plot, method)(**given)
    assert caught.value.argument == argument  # type: ignore[attr-defined]
    assert seeded_emulator.requests.count() == before


@pytest.mark.parametrize("missing", ["choice", "contrastLeft", "contrastRight"])
def test_trials_without_an_attribute_are_named(missing: str) -> None:
    trials = pl.DataFrame({"choice": [1.0], "contrastLeft": [0.5], "contrastRight": [None]}).drop(missing)
    with pytest.raises(ALFObjectNotFound, match=f"no {missing}"):
        _choices(trials)


def test_months_without_sessions_are_shown() -> None:
    assert _every_month("2023-11", "2024-02") == ["2023-11", "2023-12", "2024-01", "2024-02"]


def test_intervals_of_proportions_are_those_of_wilson() -> None:
    # Newcombe 1998, table I: 81 of 263 and 0 of 20.
    low, high = _wilson(np.array([81, 0]), np.array([263, 20]))
    np.testing.assert_allclose(low, [0.2553, 0.0], atol=1e-4)
    np.testing.assert_allclose(high, [0.3662, 0.1611], atol=1e-4)
