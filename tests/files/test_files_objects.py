from __future__ import annotations

import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from one_async.alf.path import ALFPath
from one_async.errors import (
    ALFError,
    ALFInvalid,
    ALFMultipleObjectsFound,
    ALFObjectNotFound,
    ALFWarning,
    FileDamaged,
    InputError,
)
from one_async.files.find import (
    exists,
    filter_by,
    find_variants,
    iter_datasets,
    iter_sessions,
    next_num_folder,
)
from one_async.files.objects import ALFObject, load_object, make_object
from one_async.files.timestamps import read_ts, ts2vec
from one_async.files.write import save_metadata, save_object_npy

UUID_TEXT = "a976e418-c8b8-4d24-be47-d05120b18341"


@pytest.fixture
def spikes(tmp_path: Path) -> Path:
    data = {"times": np.arange(5.0), "amps": np.ones((5, 1)), "positions": np.arange(15.0).reshape(5, 3)}
    save_object_npy(tmp_path, data, "spikes")
    np.save(tmp_path / "spikes.times_bpod.raw.npy", np.arange(5))
    np.save(tmp_path / "_ns_spikes.depths.npy", np.arange(5))
    np.save(tmp_path / "clusters.depths.npy", np.arange(2))
    return tmp_path


# --- finding ---


def test_filters(spikes: Path) -> None:
    def names(**filters: Any) -> list[str]:
        files, parts = filter_by(spikes, **filters)
        assert [file.parse_alf_name(as_dict=False) for file in files] == parts
        return [file.name for file in files]

    assert len(names()) == 6
    assert names(object="cl*") == ["clusters.depths.npy"]
    assert names(object="spikes", namespace=None, timescale=None) == [
        "spikes.amps.npy", "spikes.positions.npy", "spikes.times.npy",
    ]  # fmt: skip
    assert names(attribute=["times", "amps"], timescale="bpod") == ["spikes.times_bpod.raw.npy"]
    assert names(object="^sp.*", attribute=["^am", "^dep"], wildcards=False) == [
        "_ns_spikes.depths.npy", "spikes.amps.npy",
    ]  # fmt: skip
    assert names(extra="raw") == names(extra=["raw"]) == ["spikes.times_bpod.raw.npy"]
    assert names(extra="raw.other") == names(object="no*") == []
    with pytest.raises(InputError, match="colour"):
        filter_by(spikes, colour="red")


def test_exists(spikes: Path) -> None:
    assert exists(spikes, "spikes")
    assert exists(spikes, "spikes", "times")
    assert exists(spikes, "spikes", ["times", "amps"], namespace=None)
    assert not exists(spikes, "spikes", ["times", "colours"])
    assert not exists(spikes, "trials")
    assert not exists(spikes / "nowhere", "spikes")


def test_variants_and_sessions(tmp_path: Path) -> None:
    session = tmp_path / "lab" / "Subjects" / "s" / "2020-01-01" / "001"
    files = [
        "alf/a.b.npy",
        "alf/#r1#/a.b.npy",
        "alf/#r2#/a.b.npy",
        "alf/#r2#/_ns_a.b.npy",
        "alf/a.bc.npy",
        "a.b.npy",
    ]
    for name in files:
        (session / name).parent.mkdir(parents=True, exist_ok=True)
        (session / name).touch()
    first = session / "alf" / "#r1#" / "a.b.npy"
    assert find_variants([first]) == {
        first: [session / "alf" / "a.b.npy", session / "alf" / "#r2#" / "a.b.npy"]
    }
    assert session / "alf" / "#r2#" / "_ns_a.b.npy" in find_variants([first], namespace=False)[ALFPath(first)]
    with pytest.raises(ALFInvalid):
        find_variants([session / "alf"])
    assert (
        list(iter_sessions(tmp_path))
        == list(iter_sessions(tmp_path, "*/Subjects/*/????-??-??/*"))
        == [session]
    )
    assert list(iter_sessions(session)) == [session]
    assert {path.as_posix() for path in iter_datasets(session)} == set(files)
    assert next_num_folder(session.parent) == "002"
    assert next_num_folder(tmp_path / "none") == "001"
    (session.parent / "999").mkdir()
    with pytest.raises(InputError):
        next_num_folder(session.parent)


# --- loading ---


def test_an_object_of_a_folder_or_of_any_of_its_files(spikes: Path) -> None:
    found = load_object(spikes, "spikes", namespace=None)
    assert set(found) == {"times", "amps", "positions", "times_bpod.raw"}
    assert found.amps.shape == (5,)
    assert found.check_dimensions == 0
    assert set(load_object(spikes / "spikes.times.npy")) == {*found, "depths"}
    assert set(load_object(spikes, "spikes", attribute="times", short_keys=True)) == {"times", "times_bpod"}
    assert set(load_object([spikes / "spikes.times.npy", str(spikes / "_ns_spikes.depths.npy")])) == {
        "times",
        "depths",
    }


def test_files_may_be_named_in_the_current_folder(spikes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(spikes)
    expected = load_object(spikes, "clusters")
    for found in (
        load_object("clusters.depths.npy"),
        load_object(".", "clusters"),
        load_object(["clusters.depths.npy"]),
    ):
        assert sorted(found) == sorted(expected) == ["depths"]


def test_what_is_no_one_object_is_refused(spikes: Path) -> None:
    with pytest.raises(InputError, match="object"):
        load_object(spikes)
    with pytest.raises(ALFObjectNotFound, match="trials"):
        load_object(spikes, "trials")
    with pytest.raises(ALFObjectNotFound):
        load_object(spikes / "spikes.nothing.npy")
    with pytest.raises(ALFObjectNotFound):
        make_object([])
    with pytest.raises(ALFMultipleObjectsFound, match="clusters, spikes"):
        load_object([spikes / "spikes.times.npy", spikes / "clusters.depths.npy"])
    np.save(spikes / "_x_spikes.times.npy", np.arange(5))
    with pytest.raises(ALFMultipleObjectsFound, match=r"_x_spikes.*times"):
        load_object(spikes, "spikes")
    with pytest.raises(ALFInvalid):
        make_object([spikes / "nonsense"])


def test_uuids_are_no_part_of_a_key(tmp_path: Path) -> None:
    np.save(tmp_path / f"spikes.times.raw.{UUID_TEXT}.npy", np.arange(3))
    assert list(load_object(tmp_path, "spikes")) == ["times.raw"]


def test_metadata_name_columns_and_stay(spikes: Path) -> None:
    save_metadata(spikes / "spikes.positions.npy", {"columns": ["x", "y", "z"], "unit": "um"})
    save_metadata(spikes / "spikes.times.npy", {"columns": ["t"], "clock": "main"})
    found = load_object(spikes, "spikes", namespace=None, timescale=None)
    assert set(found) == {"times", "timesmetadata", "amps", "x", "y", "z", "positionsmetadata"}
    np.testing.assert_array_equal(found.z, np.arange(15.0).reshape(5, 3)[:, 2])
    assert found.positionsmetadata == {"unit": "um"}
    assert found.timesmetadata == {"columns": ["t"], "clock": "main"}
    assert "x" in load_object([spikes / "spikes.positions.npy"])  # it is in the same folder as the file
    save_metadata(spikes / "spikes.positions.npy", {"columns": list("wxyz")})
    with pytest.raises(ALFError, match="4 columns"):
        load_object(spikes, "spikes", attribute="positions")
    (spikes / "spikes.positions.metadata.json").write_text("{")
    with pytest.raises(FileDamaged, match="metadata"):
        load_object(spikes, "spikes", attribute="positions")


def test_metadata_belong_to_their_attribute_alone(tmp_path: Path) -> None:
    np.save(tmp_path / "a.times.npy", np.arange(2))
    np.save(tmp_path / "a.timesLate.npy", np.arange(2))
    save_metadata(tmp_path / "a.timesLate.npy", {"unit": "s"})
    assert set(load_object(tmp_path, "a")) == {"times", "timesLate", "timesLatemetadata"}


def test_metadata_of_flat_binary_stay_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "ephysData.raw.bin").write_bytes(b"\0" * 8)
    save_metadata(tmp_path / "ephysData.raw.bin", {"columns": ["a", "b"], "dtype": "<i4"})
    found = load_object(tmp_path, "ephysData")
    assert found.raw == tmp_path / "ephysData.raw.bin"
    assert found.rawmetadata == {"columns": ["a", "b"], "dtype": "<i4"}


@pytest.mark.parametrize("tables", ["polars", "pandas"])
def test_a_table_becomes_keys(tmp_path: Path, tables: Any) -> None:
    columns = {
        "intervals_0": [1.0, 2.0],
        "intervals_1": [2.0, 3.0],
        "choice": [1, -1],
        "ok": [True, False],
        "s": ["a", "b"],
        "lone_0": [1, 2],
    }
    frame = pd.DataFrame(columns, index=[7, 8])
    frame.to_parquet(tmp_path / "_ibl_trials.table.pqt")
    np.save(tmp_path / "_ibl_trials.goCue_times.npy", np.arange(2.0))
    found = load_object(tmp_path, "trials", tables=tables)
    assert set(found) == {"goCue_times", "intervals", "choice", "ok", "s", "lone_0"}
    np.testing.assert_array_equal(found.intervals, [[1, 2], [2, 3]])
    assert (found.choice.dtype, found.ok.dtype) == (np.int64, np.bool_)
    assert list(found.s) == ["a", "b"]
    found.choice[0] = 5  # the arrays belong to the caller
    assert found.check_dimensions == 0


def test_a_table_with_a_timescale_gives_it_to_its_columns(tmp_path: Path) -> None:
    frame = pl.DataFrame({"intervals_0": [1.0], "intervals_1": [2.0], "choice": [1]})
    frame.write_parquet(tmp_path / "trials.table_clock.extra.pqt")
    found = load_object(tmp_path, "trials")
    assert set(found) == {"intervals_clock.extra", "choice_clock.extra"}
    assert found["intervals_clock.extra"].shape == (1, 2)


def test_timestamps_become_one_a_sample(tmp_path: Path) -> None:
    np.save(tmp_path / "_ibl_wheel.timestamps.npy", np.array([[0, 10.0], [4, 14.0]]))
    np.save(tmp_path / "_ibl_wheel.position.npy", np.arange(5))
    np.testing.assert_array_equal(load_object(tmp_path, "wheel").timestamps, [10, 11, 12, 13, 14])
    assert load_object(tmp_path, "wheel", attribute="timestamps").timestamps.shape == (2, 2)
    times, values = read_ts(tmp_path / "_ibl_wheel.position.npy")
    np.testing.assert_array_equal(times, [10, 11, 12, 13, 14])
    np.testing.assert_array_equal(values, np.arange(5))
    np.save(tmp_path / "_ibl_wheel.times.npy", np.arange(5))
    with pytest.raises(ALFObjectNotFound, match="times"):
        read_ts(tmp_path / "_ibl_wheel.position.npy")
    with pytest.raises(ALFInvalid):
        read_ts(tmp_path / "wheel")


@settings(deadline=None)
@given(st.integers(2, 50), st.floats(-10, 10), st.floats(0.001, 5))
def test_two_points_make_a_straight_line(n: int, start: float, step: float) -> None:
    points = np.array([[0, start], [n - 1, start + step * (n - 1)]])
    np.testing.assert_allclose(ts2vec(points, n), start + step * np.arange(n), atol=1e-9)


def test_shapes_of_timestamps() -> None:
    assert ts2vec(np.arange(3), 99).shape == (3,)
    assert ts2vec(np.arange(3)[:, None], 99).shape == (3,)
    for shape in ((3, 3), (2, 2, 2)):
        with pytest.raises(InputError):
            ts2vec(np.zeros(shape), 3)


def test_different_numbers_of_rows_are_reported(tmp_path: Path) -> None:
    np.save(tmp_path / "a.b.npy", np.arange(3))
    np.save(tmp_path / "a.c.npy", np.arange(4))
    with pytest.warns(ALFWarning, match=r"b \(3,\), c \(4,\)"):
        found = load_object(tmp_path, "a")
    assert found.check_dimensions == 1
    with pytest.raises(InputError, match="rows"):
        found.to_frame()


@pytest.mark.parametrize(
    ("shapes", "status"),
    [
        ({"a": (3,), "b": (3, 2)}, 0),
        ({"a": (3,), "b": (1, 2)}, 0),
        ({"a": (3,), "b": (2,)}, 1),
        ({"a": (0,), "b": (2,)}, 1),
        ({"a": (3,), "timestamps": (2, 2)}, 0),
        ({"a": (3,), "timestamps": (3, 1)}, 0),
        ({"a": (3,), "timestamps": (4,)}, 1),
        ({"a": (3,), "timestamps_bpod": (3, 2)}, 1),
        ({"a": ()}, 0),
        ({}, 0),
    ],
)
def test_dimensions(shapes: dict[str, tuple[int, ...]], status: int) -> None:
    data = ALFObject({key: np.zeros(shape) for key, shape in shapes.items()})
    assert data.check_dimensions == status


# --- ALFObject ---


def test_keys_are_attributes() -> None:
    data = ALFObject(times=[1])
    data.depths = [2]
    assert data == {"times": [1], "depths": [2]}
    assert (data.times, data["depths"]) == ([1], [2])
    assert {"times", "depths", "to_frame"} <= set(dir(data))
    del data.times
    assert list(data) == ["depths"]
    with pytest.raises(AttributeError, match="depths"):
        _ = data.times
    with pytest.raises(AttributeError):
        del data.times
    same = pickle.loads(pickle.dumps(data))
    assert (type(same), same) == (ALFObject, data)
    deep = data.copy(deep=True)
    deep.depths.append(3)
    assert data.depths == [2]
    assert type(data.copy()) is ALFObject


def test_append() -> None:
    first = ALFObject(a=np.arange(2), b=[1, 2], f=pl.DataFrame({"x": [1, 2]}))
    second = ALFObject(a=np.arange(3), b=[3, 4, 5], f=pl.DataFrame({"x": [3, 4, 5]}))
    both = first.append(second)
    assert (both.a.tolist(), both.b, both.f.height) == ([0, 1, 0, 1, 2], [1, 2, 3, 4, 5], 5)
    assert first.b == [1, 2]
    assert first.append({}).a.tolist() == ALFObject().append(first).a.tolist() == [0, 1]
    assert first.append({}).b is not first.b
    with pytest.raises(InputError, match="keys"):
        first.append({"a": 1})
    assert first.append(second, inplace=True) is first
    assert first.b == [1, 2, 3, 4, 5]
    with pytest.warns(ALFWarning, match="'a' is a str"):
        assert ALFObject(a="x").append({"a": "y"}) == {"a": "x"}
    with pytest.warns(ALFWarning, match="rows"):
        ALFObject(a=np.zeros(2), b=np.zeros(1)).append({"a": np.zeros(2), "b": np.zeros(2)})


def test_frames() -> None:
    data = ALFObject(
        times=np.arange(3.0),
        column=np.ones((3, 1)),
        pair=np.arange(6).reshape(3, 2),
        wide=np.zeros((3, 12)),
        cube=np.zeros((3, 2, 2)),
        one=np.array([7]),
        words=["a", "b", "c"],
        timestamps=np.array([[0, 0.0], [2, 4.0]]),
        timesmetadata={"unit": "s"},
    )
    frame = data.to_frame()
    names = ["times", "column", "pair_0", "pair_1", "wide", "cube", "one", "words", "timestamps"]
    assert frame.columns == names
    assert frame["one"].to_list() == [7, 7, 7]
    assert frame["timestamps"].to_list() == [0, 2, 4]
    assert frame["wide"].dtype == pl.Array(pl.Float64, 12)
    back = data.to_df()
    assert list(back) == [
        "times",
        "column",
        "pair_0",
        "pair_1",
        *(f"wide_{i}" for i in range(10)),
        *names[6:],
    ]
    assert (type(back), len(back)) == (pd.DataFrame, 3)
    again = ALFObject.from_frame(frame.select("times", "pair_0", "pair_1"))
    np.testing.assert_array_equal(again.pair, data.pair)
    np.testing.assert_array_equal(ALFObject.from_df(back).pair, data.pair)


# --- saving ---


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.integers(0, 20),
    st.sampled_from(["f8", "i4", "?"]),
    st.none() | st.sampled_from(["bpod", "ephys clock"]),
)
def test_what_is_saved_loads(tmp_path: Path, rows: int, dtype: str, timescale: str | None) -> None:
    data = {"times": np.zeros(rows, dtype), "positions": np.ones((rows, 2), dtype)}
    files = save_object_npy(tmp_path, data, "spikes", parts="raw", namespace="ns", timescale=timescale)
    scale = {None: "", "bpod": "_bpod", "ephys clock": "_ephysClock"}[timescale]
    assert [file.name for file in files] == [f"_ns_spikes.{key}{scale}.raw.npy" for key in data]
    with warnings.catch_warnings(record=True):
        found = make_object(files, short_keys=True)
    for key, array in data.items():
        np.testing.assert_array_equal(found[key + scale], array)
    for file in files:
        file.unlink()
    assert list(tmp_path.iterdir()) == []


def test_saving_refuses_before_it_writes(tmp_path: Path) -> None:
    good = np.zeros(3)
    for bad in (np.zeros(4), np.array([{}, {}, {}], dtype=object)):
        with pytest.raises(InputError):
            save_object_npy(tmp_path, {"good": good, "bad": bad}, "spikes")
    with pytest.raises(InputError):
        save_object_npy(tmp_path, {"good": good, "b.ad": good}, "spikes")
    with pytest.raises(ALFInvalid):
        save_metadata(tmp_path / "nonsense", {})
    with pytest.raises(InputError, match="JSON"):
        save_metadata(tmp_path / "a.b.npy", {"x": {1, 2}})
    with pytest.raises(FileNotFoundError):
        save_metadata(tmp_path / "nowhere" / "a.b.npy", {})
    assert list(tmp_path.iterdir()) == []


def test_metadata_are_named_after_the_stem(tmp_path: Path) -> None:
    file = save_metadata(tmp_path / "clusters.ccfLocation.ssv", {"unit": "um"})
    assert file == tmp_path / "clusters.ccfLocation.metadata.json"
    assert json.loads(file.read_text()) == {"unit": "um"}
    assert list(tmp_path.iterdir()) == [file]


def test_frames_and_series_in_an_object_become_its_columns() -> None:
    inner = pl.DataFrame({"p": [1, 2], "q": ["x", "y"]})
    data = ALFObject(a=np.zeros(2), metrics=inner, label=pl.Series("label", ["u", "v"]))
    assert data.to_frame().columns == ["a", "p", "q", "label"]
    assert list(data.to_df()) == ["a", "p", "q", "label"]
    with pytest.raises(InputError, match="rows"):
        ALFObject(a=np.zeros(3), metrics=inner).to_frame()
    assert ALFObject(timestamps=np.zeros((3, 3))).check_dimensions == 1
    assert ALFObject(timestamps=np.array([[0, 1.0], [9, 2.0]])).to_frame().columns == [
        "timestamps_0",
        "timestamps_1",
    ]
