"""Libraries that know fsspec read ``one://`` like the file itself and download little more than the parts they need."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from served_datasets import Served

from one_async import ONE
from one_async.errors import InputError

fsspec = pytest.importorskip("fsspec")
filesystem = pytest.importorskip("one_async.filesystem")

TABLE, ARRAY = "_ibl_trials.table.pqt", "_ibl_wheel.position.npy"
RECORDING, ARCHIVE = (
    "_ibl_wheel.timestamps.npy",
    "_ibl_leftCamera.times.npy",
)  # names of datasets in the session


@pytest.fixture
def options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options in the form that `fsspec.open` and chained addresses need."""
    return {"one_mode" if name == "mode" else name: value for name, value in options.items()}


# ---- the cache of ranges ----


@given(
    reads=st.lists(st.tuples(st.integers(0, 2100), st.integers(0, 600)), max_size=30),
    block=st.integers(1, 200),
)
def test_ranges_are_right_and_read_ahead_is_bounded(reads: list[tuple[int, int]], block: int) -> None:
    content = np.random.default_rng(0).bytes(2000)
    fetched: list[int] = []

    def fetch(start: int, end: int) -> bytes:
        assert 0 <= start < end <= len(content)
        fetched.append(end - start)
        return content[start:end]

    with patch.multiple(filesystem, MAX_AHEAD=400, KEPT_RANGES=4, KEPT_BYTES=900):
        cache = filesystem.RangeCache(block, fetch, len(content))
        asked = 0
        for start, length in reads:
            fetched.clear()
            assert cache._fetch(start, start + length) == content[start : start + length]
            asked += length
            assert len(fetched) <= 1
            assert sum(fetched) <= length + max(block, min(asked, 400))
            assert sum(len(data) for _, data, _ in cache._kept) <= 900


@given(pieces=st.lists(st.integers(1, 50_000), min_size=1, max_size=60))
def test_sequential_reading_downloads_each_byte_once_in_few_requests(pieces: list[int]) -> None:
    content = bytes(sum(pieces))
    fetched: list[int] = []

    def fetch(start: int, end: int) -> bytes:
        fetched.append(end - start)
        return content[start:end]

    cache = filesystem.RangeCache(1000, fetch, len(content))
    at = 0
    for piece in pieces:
        assert len(cache._fetch(at, at + piece)) == piece
        at += piece
    assert sum(fetched) == len(content)
    assert len(fetched) <= 2 + np.log2(len(content) / 1000 + 1)  # each range doubles the bytes read


# ---- the client's mode ----


def test_the_mode_has_a_name_that_fsspec_does_not_use(served: Served, options: dict[str, Any]) -> None:
    url = f"one://{served.eid}/alf/{ARRAY}"
    with fsspec.open(url, **options) as file:
        assert file.read(6) == b"\x93NUMPY"
        assert file.fs._one.mode == "remote"
    plain = {"mode": "remote", **options}
    assert filesystem.OneFileSystem(**plain)._one is file.fs._one
    del plain["one_mode"]
    assert filesystem.OneFileSystem(**plain)._one is file.fs._one
    with pytest.raises(InputError, match="one_mode"):
        filesystem.OneFileSystem(mode="local", one_mode="remote")
    with pytest.raises(InputError, match="one_mode"):
        fsspec.open(url, **plain).open()
    with pytest.raises(InputError, match="mode"):
        filesystem.OneFileSystem(one_mode="offline")


def test_a_member_of_an_archive_is_read_by_a_chained_address(served: Served, options: dict[str, Any]) -> None:
    noise = np.random.default_rng(2).bytes(2_000_000)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("noise.bin", noise)
        archive.writestr("notes.txt", "lick at 3.2 s")
    address = served.put(ARCHIVE, out.getvalue())
    filesystem.OneFileSystem(**options)._one.alyx.clear_rest_cache()
    with fsspec.open(f"zip://notes.txt::{address}", "rt", one=options) as file:
        assert file.read() == "lick at 3.2 s"
    assert 0 < served.received(ARCHIVE) < len(noise) / 10


# ---- tables ----


def with_dask(url: str, options: dict[str, Any], fs: Any) -> Any:
    frames = pytest.importorskip("dask.dataframe")
    frame = frames.read_parquet(url, columns=["column3"], storage_options=options)
    return frame.compute(scheduler="synchronous")["column3"]


def with_pyarrow(url: str, options: dict[str, Any], fs: Any) -> Any:
    parquet = pytest.importorskip("pyarrow.parquet")
    with fs.open(url) as file:
        return parquet.ParquetFile(file).read(["column3"])["column3"]


def with_polars_scan(url: str, options: dict[str, Any], fs: Any) -> Any:
    dataset = pytest.importorskip("pyarrow.dataset").dataset(fs._strip_protocol(url), filesystem=fs)
    return pl.scan_pyarrow_dataset(dataset).select("column3").collect()["column3"]


def with_polars_and_pyarrow(url: str, options: dict[str, Any], fs: Any) -> Any:
    pytest.importorskip("pyarrow")
    found = pl.read_parquet(url, columns=["column3"], use_pyarrow=True, storage_options=options)
    return found["column3"]


def with_polars(url: str, options: dict[str, Any], fs: Any) -> Any:
    with fs.open(url) as file:
        return pl.read_parquet(file, columns=["column3"])["column3"]


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # Dask calls pandas in a deprecated way
@pytest.mark.parametrize(
    ("read", "part"),
    [
        (with_dask, 0.25),
        (with_pyarrow, 0.25),
        (with_polars_scan, 0.25),
        (with_polars_and_pyarrow, 1.0),
        (with_polars, 1.0),  # Polars reads a file object completely
    ],
)
def test_readers_download_a_column_of_a_table(
    served: Served, options: dict[str, Any], fs: Any, read: Callable[..., Any], part: float
) -> None:
    url = f"one://{served.eid}/alf/{TABLE}"
    found = np.asarray(read(url, options, fs))
    assert 0 < served.received(TABLE) <= part * served.sizes[TABLE]
    assert len(served.sent(TABLE)) <= 14  # ten row groups
    del options["one_mode"]
    with ONE(mode="remote", **options) as one:
        loaded = one.load_dataset(served.eid, TABLE, collection="alf")
    assert np.array_equal(found, np.asarray(loaded["column3"]))


# ---- arrays with names ----


def recording(xarray: Any) -> Any:
    rng = np.random.default_rng(3)
    return xarray.Dataset(
        {
            "trace": (("time", "channel"), rng.standard_normal((50_000, 16))),
            "time": ("time", np.arange(50_000.0)),
        },
        attrs={"rate": 30_000},
    )


def test_xarray_reads_rows_of_netcdf4(served: Served, options: dict[str, Any], tmp_path: Path) -> None:
    """The file is served under the name of another dataset, since readers do not use the name."""
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    wanted = recording(xarray)
    file = tmp_path / "recording.nc"
    wanted.to_netcdf(file, engine="h5netcdf", encoding={"trace": {"chunksizes": (1000, 16)}})
    address = served.put(RECORDING, file.read_bytes())
    fs = filesystem.OneFileSystem(**options)
    fs._one.alyx.clear_rest_cache()
    with fs.open(address) as opened, xarray.open_dataset(opened, engine="h5netcdf") as found:
        assert found.attrs == {"rate": 30_000}
        assert np.array_equal(found["trace"][30_000:30_010], wanted["trace"][30_000:30_010])
    assert 0 < served.received(RECORDING) < served.sizes[RECORDING] / 5
    served.emulator.requests.reset()
    with xarray.open_dataset(address, engine="h5netcdf", storage_options=options) as found:
        assert found.equals(wanted)
    with fs.open(address) as opened, xarray.open_dataset(opened, engine="h5netcdf") as found:
        served.emulator.requests.reset()
        assert found.load().equals(wanted)
    assert served.received(RECORDING) < 1.2 * served.sizes[RECORDING]
    assert len(served.sent(RECORDING)) <= 15


def test_xarray_reads_rows_of_zarr_in_an_archive(
    served: Served, options: dict[str, Any], tmp_path: Path
) -> None:
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("zarr")
    wanted = recording(xarray)
    folder = tmp_path / "recording.zarr"
    wanted.to_zarr(folder, encoding={"trace": {"chunks": (5000, 16)}}, consolidated=False)
    with zipfile.ZipFile(tmp_path / "recording.zip", "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    address = served.put(ARCHIVE, (tmp_path / "recording.zip").read_bytes())
    filesystem.OneFileSystem(**options)._one.alyx.clear_rest_cache()
    found = xarray.open_zarr(
        f"zip::{address}", consolidated=False, storage_options={"one": options}, chunks=None
    )
    assert np.array_equal(found["trace"][30_000:30_010], wanted["trace"][30_000:30_010])
    assert 0 < served.received(ARCHIVE) < served.sizes[ARCHIVE] / 3
    assert found.load().equals(wanted)
