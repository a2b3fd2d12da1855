"""Slices equal numpy's slices of the whole array, for any chunks: property tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from one_async.errors import InputError
from one_async.recordings.chunks import ChunkReader, Layout
from one_async.recordings.ephys import AsyncRawEphys
from one_async.recordings.header import Header
from one_async.recordings.meta import parse_meta

from . import made

ROWS, CHANNELS, RATE = 97, 5, 10.0
WHOLE = made.noise(ROWS, CHANNELS)
META = parse_meta(made.meta(CHANNELS, RATE))
Worlds = dict[str, AsyncRawEphys]


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Worlds:
    """Return recordings of the same samples, compressed in four ways and plain."""
    folder = tmp_path_factory.mktemp("raw")
    found: Worlds = {}
    ways = {
        "F": ("F", True, False),
        "C": ("C", True, False),
        "space": ("F", True, True),
        "plain C": ("C", False, False),
    }
    for name, (order, time, space) in ways.items():
        data, header = made.compress(WHOLE, RATE, 13, order, time, space)
        file = folder / f"{name}.cbin"
        file.write_bytes(data)
        found[name] = _opened(Layout.of_header(name, Header.model_validate(header)), file)
    file = folder / "x.bin"
    file.write_bytes(WHOLE.tobytes())
    found["bin"] = _opened(Layout.of_samples("bin", file.stat().st_size, CHANNELS), file)
    return found


def _opened(layout: Layout, file: Path) -> AsyncRawEphys:
    return AsyncRawEphys(ChunkReader(layout, file), META, pid=None, eid=None, probe="probe00", band="ap")


def read(raw: AsyncRawEphys, key: Any) -> Any:
    raw._reader._slots = None  # each run has its own event loop

    async def get() -> Any:
        return await raw[key]

    return anyio.run(get)


def ends(limit: int) -> st.SearchStrategy[int | None]:
    return st.none() | st.integers(-2 * limit, 2 * limit)


def slices(limit: int) -> st.SearchStrategy[slice]:
    steps = st.none() | st.integers(-limit, limit).filter(bool)
    return st.builds(slice, ends(limit), ends(limit), steps)


def keys(limit: int) -> st.SearchStrategy[Any]:
    numbers = st.integers(-limit, limit - 1)
    return (
        slices(limit) | numbers | numbers.map(np.int16) | st.lists(numbers, max_size=8).map(lambda x: np.array(x, int))
        | st.lists(st.booleans(), min_size=limit, max_size=limit).map(np.array)
    )  # fmt: skip


@settings(deadline=None)
@given(kind=st.sampled_from(["F", "C", "space", "plain C", "bin"]), rows=keys(ROWS), columns=keys(CHANNELS))
def test_slices_are_those_of_the_whole_array(worlds: Worlds, kind: str, rows: Any, columns: Any) -> None:
    raw = worlds[kind]
    if isinstance(rows, np.ndarray) and isinstance(columns, np.ndarray):
        with pytest.raises(InputError, match="channels"):
            read(raw, (rows, columns))
        return
    expected = WHOLE[rows, columns]
    found = read(raw, (rows, columns))
    assert found.shape == expected.shape
    assert np.array_equal(found, expected)
    assert np.array_equal(read(raw, rows), WHOLE[rows])


@settings(deadline=None)
@given(start=st.floats(-20, 20), length=st.floats(0, 20))
def test_seconds_are_the_nearest_samples(worlds: Worlds, start: float, length: float) -> None:
    low, high = round(start * RATE), round((start + length) * RATE)
    assert np.array_equal(read(worlds["F"], slice(start, start + length)), WHOLE[low:high])
    if 0 <= low < ROWS:
        assert np.array_equal(read(worlds["F"], start), WHOLE[low])
        assert np.array_equal(read(worlds["F"], [start]), WHOLE[[low]])


@settings(deadline=None)
@given(
    kind=st.sampled_from(["F", "C", "bin"]),
    starts=st.lists(st.integers(8, ROWS - 30), max_size=12),
    before=st.integers(0, 8),
    after=st.integers(0, 30),
    columns=keys(CHANNELS),
)
def test_snippets_are_windows_of_the_whole_array(
    worlds: Worlds, kind: str, starts: list[int], before: int, after: int, columns: Any
) -> None:
    raw = worlds[kind]
    raw._reader._slots = None
    expected = np.array([WHOLE[at - before : at + after, columns] for at in starts])
    found = anyio.run(raw.snippets, starts, before, after, columns)
    assert found.shape[:2] == (len(starts), before + after)
    assert not starts or np.array_equal(found, expected)
    seconds = anyio.run(
        _again(raw).snippets, [at / RATE for at in starts], before / RATE, after / RATE, columns
    )
    assert np.array_equal(found, seconds)


def _again(raw: AsyncRawEphys) -> AsyncRawEphys:
    raw._reader._slots = None
    return raw


def test_ellipsis_seconds_and_channel_lists_are_valid_keys(worlds: Worlds) -> None:
    raw = worlds["F"]
    for key in (..., (..., 1), (slice(0, 9), ...), (5, ...), ()):
        assert np.array_equal(read(raw, key), WHOLE[key])
    assert np.array_equal(read(raw, slice(0, 2.5)), WHOLE[:25])
    assert np.array_equal(read(raw, (slice(-1.0, None), raw.channels)), WHOLE[-10:, :-1])
    assert np.array_equal(read(raw, (slice(None), raw.sync)), WHOLE[:, -1:])
    assert (raw.shape, raw.ndim, len(raw), raw.dtype, raw.duration) == (
        (97, 5),
        2,
        97,
        np.dtype("int16"),
        9.7,
    )


@pytest.mark.parametrize(
    "key",
    [
        97, -98, 1e6, float("nan"), "x", None, True, {1}, 1j, (1, 2, 3), (..., ...), slice(1, 2.5), slice(1.0, 2.0, 0.1),
        slice(None, None, 0), slice("a", None), [97], [None], [[1, 2]], [True], np.ones(96, bool), [np.inf],
        (0, 5), (0, -6), (0, 1.0), (0, [1.0]), (0, slice(0.0, 1.0)), (0, slice(None, None, 0)), (0, [5]), (0, [True]),
        (0, "x"), (0, None), (0, True), 10**30, [10**30], slice(float("inf"), None),
    ],
    ids=repr,
)  # fmt: skip
def test_invalid_keys_are_refused(worlds: Worlds, key: Any) -> None:
    with pytest.raises(InputError):
        read(worlds["F"], key)


@pytest.mark.parametrize(
    ("times", "before", "after"),
    [([0], 1, 1), ([97], 0, 1), ([9.7], 0.0, 0.1), ([5], "x", 1), ([5], 1, None), ("x", 1, 1), ([5], -3, 2), ([np.nan], 1, 1)],
)  # fmt: skip
def test_windows_outside_the_recording_are_refused(
    worlds: Worlds, times: Any, before: Any, after: Any
) -> None:
    with pytest.raises(InputError):
        anyio.run(_again(worlds["F"]).snippets, times, before, after)


def test_a_slice_larger_than_memory_is_refused(tmp_path: Path) -> None:
    layout = Layout.of_samples("long", 385 * 2 * 30_000 * 3600, 385)
    with pytest.raises(InputError, match="77 GiB"):
        read(_opened(layout, tmp_path / "x.bin"), slice(None))
