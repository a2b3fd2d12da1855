"""Datasets by name for fsspec: pandas, numpy, DuckDB and others read the same values as `load_dataset`, in ranges."""

from __future__ import annotations

import io
import pickle
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from served_datasets import Served

from one_async import ONE
from one_async.errors import HashMismatch, InputError, OneError, ServerError

fsspec = pytest.importorskip("fsspec")
filesystem = pytest.importorskip("one_async.filesystem")


def test_the_entry_point_is_the_class() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    module, _, name = project["entry-points"]["fsspec.specs"]["one"].partition(":")
    assert getattr(__import__(module, fromlist=[name]), name) is filesystem.OneFileSystem


def test_listings_are_those_of_the_client(served: Served, fs: Any, options: dict[str, Any]) -> None:
    with ONE(**options) as one:
        details = one.list_datasets(served.eid, details=True)
    names = [f"{served.eid}/{path}" for path in details["rel_path"]]
    assert sorted(fs.find(f"one://{served.eid}")) == sorted(names)
    assert all(fs.isfile(name) for name in names[:3])
    alf = fs.ls(f"one://{served.eid}/alf", detail=False)
    assert alf == sorted(name for name in names if "/alf/" in name and name.count("/") == 2)
    folders = {entry["name"] for entry in fs.ls(served.eid) if entry["type"] == "directory"}
    assert folders == {f"{served.eid}/{name.split('/')[1]}" for name in names if name.count("/") > 1}
    sizes = dict(zip(names, details["file_size"], strict=True))
    assert {entry["name"]: entry["size"] for entry in fs.ls(f"{served.eid}/alf")} == {
        name: sizes[name] for name in alf
    }
    assert fs.glob(f"one://{served.eid}/alf/*.pqt") == [name for name in alf if name.endswith(".pqt")]


def test_pandas_reads_a_column_by_its_ranges(served: Served, options: dict[str, Any]) -> None:
    pandas = pytest.importorskip("pandas")
    url, name = f"one://{served.eid}/alf/_ibl_trials.table.pqt", "_ibl_trials.table.pqt"
    frame = pandas.read_parquet(url, columns=["column3"], storage_options=options)
    assert np.array_equal(frame["column3"], served.table["column3"].to_numpy())
    assert 0 < served.received(name) < served.sizes[name] / 4
    whole = pandas.read_parquet(url, storage_options=options)
    with ONE(**options) as one:
        loaded = one.load_dataset(served.eid, name, collection="alf")
    assert np.array_equal(whole, np.asarray(loaded))


def test_numpy_downloads_only_the_part_it_reads(served: Served, fs: Any) -> None:
    path, name = f"one://{served.eid}/alf/_ibl_wheel.position.npy", "_ibl_wheel.position.npy"
    with fs.open(path) as file:
        assert file.size == served.sizes[name]
        header = file.read(128)
        start = 128 + 8 * 8 * 150_000
        file.seek(start)
        rows = np.frombuffer(file.read(8 * 8 * 10)).reshape(10, 8)
    assert np.array_equal(rows, served.array[150_000:150_010])
    assert header[:6] == b"\x93NUMPY"
    assert served.received(name) < 4 * filesystem.BLOCK_SIZE
    served.emulator.requests.reset()
    with fs.open(path) as file:
        assert np.array_equal(np.load(file), served.array)
    assert served.received(name) == served.sizes[name]  # no byte is requested twice
    assert len(served.sent(name)) <= 8  # numpy reads 50 pieces
    served.emulator.requests.reset()
    with fs.open(path) as file:
        for row in np.random.default_rng(1).permutation(100)[:20] * 2000:
            file.seek(128 + 64 * row)
            assert np.array_equal(np.frombuffer(file.read(640)).reshape(10, 8), served.array[row : row + 10])
    assert served.received(name) <= 20 * (640 + filesystem.BLOCK_SIZE)


def test_cat_requests_only_the_range(served: Served, fs: Any) -> None:
    path, name = f"{served.eid}/alf/_ibl_wheel.position.npy", "_ibl_wheel.position.npy"
    data = fs.cat(f"one://{path}")
    assert np.array_equal(np.load(io.BytesIO(data)), served.array)
    served.emulator.requests.reset()
    ranges = [(0, 10), (1000, 1100), (-20, None), (5, 5), (len(data) - 3, len(data) + 99)]
    assert fs.cat_ranges([path] * 5, [a for a, _ in ranges], [b for _, b in ranges]) == [
        data[a:b] for a, b in ranges
    ]
    assert served.received(name) == 10 + 100 + 20 + 3
    assert fs.head(path, 6) == data[:6]


def test_duckdb_reads_by_name(served: Served, fs: Any) -> None:
    duckdb = pytest.importorskip("duckdb")
    name = "_ibl_trials.table.pqt"
    with duckdb.connect() as database:
        database.register_filesystem(fs)
        url = f"one://{served.eid}/alf/{name}"
        [[total]] = database.execute(f"SELECT sum(column5) FROM read_parquet('{url}')").fetchall()
    assert total == pytest.approx(served.table["column5"].sum())
    assert 0 < served.received(name) < served.sizes[name]


def test_files_on_disk_are_not_downloaded(served: Served, fs: Any, options: dict[str, Any]) -> None:
    name = "_ibl_wheel.position.npy"
    with ONE(**options) as one:
        one.load_dataset(served.eid, name, collection="alf", download_only=True)
    served.emulator.requests.reset()
    with fs.open(f"one://{served.eid}/alf/{name}") as file:
        assert np.array_equal(np.load(file), served.array)
    assert served.received(name) == 0


def test_threads_share_a_client(served: Served, options: dict[str, Any]) -> None:
    path, data = f"{served.eid}/alf/_ibl_wheel.position.npy", served.array.tobytes()

    def read(at: int) -> bool:
        own = fsspec.filesystem("one", **options)
        with own.open(path) as file:
            file.seek(128 + 1000 * at)
            return bool(file.read(1000) == data[1000 * at : 1000 * at + 1000])

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(read, range(32)))
        clients = set(threads.map(lambda _: id(fsspec.filesystem("one", **options)._one), range(16)))
    assert len(clients) == 1


def test_a_file_system_and_its_files_survive_pickle(served: Served, fs: Any) -> None:
    again = pickle.loads(pickle.dumps(fs))
    assert again.ls(served.eid) == fs.ls(served.eid)
    with fs.open(f"{served.eid}/alf/_ibl_wheel.position.npy") as file:
        file.seek(100)
        copy = pickle.loads(pickle.dumps(file))
        assert copy.tell() == 100
        assert copy.read(50) == file.read(50)


def test_missing_paths_raise_file_not_found(served: Served, fs: Any) -> None:
    for path in (f"{served.eid}/alf/none.npy", f"{served.eid}/none", "00000000-0000-0000-0000-000000000001"):
        assert not fs.exists(path)
        assert not fs.isfile(path)
        assert not fs.isdir(path)
        for method in (fs.info, fs.ls, fs.open, fs.cat_file):
            with pytest.raises(FileNotFoundError) as caught:
                method(path)
            assert isinstance(caught.value, OneError)
    with pytest.raises(FileNotFoundError):
        fs.open(f"{served.eid}/alf")
    with pytest.raises(InputError, match="one://eid"):
        fs.ls("one://")
    with pytest.raises(InputError, match="mode"):
        fs.open(f"{served.eid}/alf/_ibl_wheel.position.npy", "wb")


@pytest.mark.parametrize("path", [None, 5, ["x"], b"one://x", "", "/", "one://", "/alf/spikes.times.npy",
                                  "EID?x=1", "one://EID?x=1/alf"])  # fmt: skip
@pytest.mark.parametrize("method", ["ls", "info", "cat_file", "open", "exists", "isdir", "modified"])
def test_a_path_without_session_is_named(fs: Any, method: str, path: Any) -> None:
    with pytest.raises(InputError) as caught:
        getattr(fs, method)(path)
    assert str(caught.value).startswith(f"path={path!r} is not valid; accepted: one://eid")


def test_a_failing_server_is_not_a_missing_file(served: Served, fs: Any) -> None:
    fs.ls(served.eid)  # so that it is logged in
    for part in ("/sessions", "/datasets"):
        served.emulator.faults.add(part, times=None, status=500)
    fresh = filesystem.OneFileSystem(base_url=served.emulator.url, mode="remote", cache_dir=fs._one.cache_dir)
    fresh._one.alyx.clear_rest_cache()
    for method in (fresh.exists, fresh.isfile, fresh.isdir):
        with pytest.raises(ServerError):
            method(f"{served.eid}/alf/x.npy")


def test_a_file_of_another_size_is_refused(served: Served, fs: Any) -> None:
    """A file longer than its record would otherwise be truncated silently."""
    name = "_ibl_wheel.position.npy"
    (row,) = (
        r
        for r in served.session["data_dataset_session_related"]
        if r["name"] == name and r["collection"] == "alf"
    )
    size = row["file_size"]
    try:
        for wrong in (size - 64, size + 64):
            row["file_size"] = wrong
            served.save()
            fs._one.alyx.clear_rest_cache()
            with fs.open(f"{served.eid}/alf/{name}") as file, pytest.raises(HashMismatch):
                file.read(10)
        row["file_size"] = None
        served.save()
        fs._one.alyx.clear_rest_cache()
        assert fs.info(f"{served.eid}/alf/{name}")["size"] == size
        assert len(fs.cat(f"{served.eid}/alf/{name}")) == size
    finally:
        row["file_size"] = size
        served.save()
        fs._one.alyx.clear_rest_cache()


@pytest.mark.parametrize("option", ["password", "token", "cachedir"])
def test_other_options_are_refused(option: str) -> None:
    with pytest.raises(InputError, match="storage_options"):
        filesystem.OneFileSystem(**{option: "x"})


def test_a_path_without_revision_is_the_default_revision(
    recorded_emulator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is chosen as in `load_dataset`; the other revisions are in their folders."""
    monkeypatch.setenv("ONE_USERNAME", "demo")
    monkeypatch.setenv("ONE_PASSWORD", "demo")
    monkeypatch.setenv("ONE_BASE_URL", recorded_emulator.url)
    options = {"base_url": recorded_emulator.url, "mode": "remote", "cache_dir": str(tmp_path)}
    fs = filesystem.OneFileSystem(**options)
    rows = recorded_emulator.app.world.records["datasets"]["list"]
    revised = {
        (row["session"][-36:], row["collection"], row["name"])
        for row in rows
        if row["revision"] and row["session"]
    }
    assert revised
    with ONE(**options) as one:
        for eid, collection, name in sorted(revised)[:5]:
            wanted = {"filename": name, "collection": collection, "details": True}
            chosen = one.list_datasets(eid, **wanted, revision_policy="last_before")
            folder = f"{eid}/{collection}"
            assert [fs.info(f"{folder}/{name}")["did"]] == [str(did) for did in chosen["did"]]
            for row in one.list_datasets(eid, **wanted).iter_rows(named=True):
                if "#" in row["rel_path"]:
                    assert fs.info(f"{eid}/{row['rel_path']}")["did"] == str(row["did"])
                    assert f"{eid}/{row['rel_path'].rpartition('/')[0]}" in fs.ls(folder, detail=False)


def test_the_modification_time_identifies_the_content(served: Served, fs: Any) -> None:
    names = ("_ibl_trials.table.pqt", "_ibl_wheel.position.npy")
    table, array = (f"{served.eid}/alf/{name}" for name in names)
    assert fs.modified(table) == fs.modified(table) != fs.modified(array)
    with pytest.raises(InputError):
        fs.modified(f"{served.eid}/alf")
