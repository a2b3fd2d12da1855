from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import polars as pl
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np
from polars.testing import assert_frame_equal
from scipy import sparse

from one_async.alf.path import ALFPath
from one_async.errors import ALFError, ConfigurationError, FileDamaged, InputError
from one_async.files.read import READERS, read_file

in_one_folder = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
DTYPES = st.sampled_from(["f8", "f4", "i8", "i4", "u2", "?", "U5", "M8[ns]", "c16"])


HEADERS = [
    np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    np.asfortranarray(np.arange(24).reshape(2, 3, 4)),
    np.array(3.5),
    np.array([(1, 2.5), (3, 4.5)], dtype=[("a", "i4"), ("b", "f8")]),
    np.array([(1,), (2,)], dtype=[("名", "i4")]),  # only version 3 allows such names
    np.zeros((2, 2), dtype=[("x" * 20 + str(number), "f4") for number in range(99)]),
    np.array(["", ""]),
    np.arange(3, dtype=">i4"),
]


@pytest.mark.parametrize("array", HEADERS, ids=lambda array: str(array.dtype)[:20])
def test_npy_is_read_as_numpy_reads_it(tmp_path: Path, array: Any) -> None:
    file = tmp_path / "a.b.npy"
    for version in ((3, 0),) if "名" in str(array.dtype) else ((1, 0), (2, 0), (3, 0)):
        with file.open("wb") as stream:
            np.lib.format.write_array(stream, array, version)
            stream.write(b"more")  # numpy ignores bytes after the data
        for _ in range(2):  # the header is parsed once
            found, expected = read_file(file), np.load(file)
            assert found.dtype == expected.dtype
            assert found.shape == expected.shape
            assert found.flags.f_contiguous == expected.flags.f_contiguous
            assert found.flags.writeable
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("array", HEADERS[:4], ids=lambda array: str(array.dtype)[:20])
def test_npy_that_ends_early_is_damaged(tmp_path: Path, array: Any) -> None:
    file = tmp_path / "a.b.npy"
    np.save(file, array)
    content = file.read_bytes()
    for length in {1, 5, 8, 9, 20, len(content) - array.nbytes, len(content) - 1}:
        file.write_bytes(content[:length])
        with pytest.raises(FileDamaged, match=r"a\.b\.npy"):
            read_file(file)


@in_one_folder
@given(
    DTYPES.flatmap(lambda dtype: st_np.arrays(dtype, st_np.array_shapes(min_dims=1, max_dims=3, min_side=0)))
)
def test_npy_comes_back_with_its_dtype(tmp_path: Path, array: Any) -> None:
    np.save(tmp_path / "a.b.npy", array)
    found = read_file(tmp_path / "a.b.npy")
    flat = array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, flat)


def test_npz_gives_arrays_by_name_or_the_only_one(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.x.npz", np.arange(3))
    np.savez(tmp_path / "two.x.npz", a=np.arange(3), b=np.eye(2))
    np.testing.assert_array_equal(read_file(tmp_path / "one.x.npz"), np.arange(3))
    found = read_file(tmp_path / "two.x.npz")
    assert list(found) == ["a", "b"]
    np.testing.assert_array_equal(found["b"], np.eye(2))


def test_npz_of_scipy_and_of_pydata_sparse(tmp_path: Path) -> None:
    dense = np.zeros((3, 4))
    dense[1, 2], dense[2, 0] = 5, 7
    file = tmp_path / "a.s.sparse_npz"
    coords = np.array(np.nonzero(dense))
    common = {"shape": np.array(dense.shape), "fill_value": np.float64(0)}
    rows, columns = sparse.csr_array(dense), sparse.csc_array(dense)

    def compressed(array: Any, axis: int) -> dict[str, Any]:
        parts = {name: getattr(array, name) for name in ("data", "indices", "indptr")}
        return {**common, **parts, "compressed_axes": np.array([axis])}

    by_place = {**common, "data": dense[tuple(coords)], "coords": coords}
    for content in (None, by_place, compressed(rows, 0), compressed(columns, 1)):
        with file.open("wb") as stream:
            if content is None:
                sparse.save_npz(stream, rows)
            else:
                np.savez(stream, **content)
        np.testing.assert_array_equal(read_file(file).toarray(), dense)
    wrong = {
        "filled with 1": {**by_place, "fill_value": np.float64(1)},
        "3 dimensions": {**compressed(rows, 0), "shape": np.array([3, 2, 2])},
    }
    for why, content in wrong.items():
        with file.open("wb") as stream:
            np.savez(stream, **content)
        with pytest.raises(ALFError, match=why):
            read_file(file)


def test_sparse_arrays_of_three_dimensions(tmp_path: Path) -> None:
    coords = np.array([[0, 1], [2, 0], [3, 3]])
    with (tmp_path / "mpciROIs.masks.sparse_npz").open("wb") as stream:
        np.savez(
            stream,
            data=np.array([1.0, 2.0]),
            coords=coords,
            shape=np.array([2, 3, 4]),
            fill_value=np.float64(0),
        )
    found = read_file(tmp_path / "mpciROIs.masks.sparse_npz").toarray()
    assert found.shape == (2, 3, 4)
    assert (found[0, 2, 3], found[1, 0, 3], found.sum()) == (1, 2, 3)


@pytest.mark.parametrize("name", ["a.b.pqt", "a.b.parquet", "#r#[*]?=1 %20.b.pqt"])
def test_parquet_gives_columns(tmp_path: Path, name: str) -> None:
    frame = pl.DataFrame({"a": [1, None], "b": ["x", "y"], "c": [[1.0], [2.0, 3.0]], "d": [True, False]})
    with (tmp_path / name).open("wb") as stream:
        frame.write_parquet(stream)
    assert_frame_equal(read_file(tmp_path / name), frame)


def test_what_pandas_wrote_means_the_same(tmp_path: Path) -> None:
    file = tmp_path / "a.b.pqt"
    data = {
        "a": [1.5, np.nan, 3.0],
        "c": pd.Categorical(["x", "y", "x"]),
        "t": pd.to_datetime(["2024-01-01"] * 3),
    }

    def read_of(frame: pd.DataFrame) -> pl.DataFrame:
        frame.to_parquet(file)
        pd.testing.assert_frame_equal(read_file(file, tables="pandas"), frame)
        assert read_file(file, index=False).columns == ["a", "c", "t"]
        assert read_file(file)["a"].to_list() == [1.5, None, 3.0]
        return read_file(file)

    frame = pd.DataFrame(data)
    assert read_of(frame).columns == ["a", "c", "t"]
    assert read_of(frame)["c"].to_list() == ["x", "y", "x"]
    assert read_of(frame.set_index(pd.Index([0, 1, 2]))).columns == [
        "a",
        "c",
        "t",
    ]  # stored uncompressed, but only counts
    assert read_of(frame.set_index(pd.Index([3, 1, 2])))["index"].to_list() == [3, 1, 2]
    assert read_of(frame.set_index(pd.RangeIndex(4, 10, 2)))["index"].to_list() == [4, 6, 8]
    assert read_of(frame.set_index(pd.Index(["p", "q", "r"], name="id")))["id"].to_list() == ["p", "q", "r"]
    two = pd.MultiIndex.from_arrays([[1, 1, 2], ["a", "b", "a"]], names=["eid", "id"])
    assert read_of(frame.set_index(two)).columns == ["a", "c", "t", "eid", "id"]


def test_uuid_columns_come_as_text(tmp_path: Path) -> None:
    uuids = [uuid4(), uuid4()]
    pd.DataFrame({"u": uuids, "raw": [b"ab", b"c"]}).to_parquet(tmp_path / "a.b.pqt")
    found = read_file(tmp_path / "a.b.pqt")
    assert found["u"].to_list() == [str(uuid) for uuid in uuids]
    assert found["raw"].to_list() == [b"ab", b"c"]


@pytest.mark.parametrize(("suffix", "separator"), [("csv", ","), ("tsv", "\t"), ("htsv", "\t"), ("ssv", " ")])
def test_delimited_text(tmp_path: Path, suffix: str, separator: str) -> None:
    rows = [
        "i f b s m z i",
        "1 1.5 True foo NA NaN 1",
        "-2 1e-3 FALSE 7a 4 null 2",
        "",
        "+3 inf true NaN -1.5  3",
    ]
    file = tmp_path / f"a.b.{suffix}"
    file.write_text("\n".join(rows).replace(" ", separator) + "\n", newline="\r\n")
    found = read_file(file)
    assert found.to_dict(as_series=False) == {
        "i": [1, -2, 3],
        "f": [1.5, 1e-3, float("inf")],
        "b": [True, False, True],
        "s": ["foo", "7a", None],
        "m": [None, 4.0, -1.5],
        "z": [None, None, None],
        "i.1": [1, 2, 3],
    }
    assert [str(dtype) for dtype in found.dtypes] == [
        "Int64",
        "Float64",
        "Boolean",
        "String",
        "Float64",
        "Float64",
        "Int64",
    ]
    same = read_file(file, tables="pandas")
    assert list(same.columns) == found.columns
    assert same["i"].to_list() == found["i"].to_list()


def test_types_are_found_from_all_rows(tmp_path: Path) -> None:
    (tmp_path / "a.b.csv").write_text("x,y\n" + "1,2\n" * 5000 + "1.5,end\n")
    found = read_file(tmp_path / "a.b.csv")
    assert found.schema == {"x": pl.Float64, "y": pl.String}
    assert found[-1].row(0) == (1.5, "end")


def test_quoted_text_keeps_separators_blank_lines_and_marks(tmp_path: Path) -> None:
    (tmp_path / "a.b.csv").write_text('\ufeffa,b\n"x,y",1\n"two\n\nlines","2"\n', encoding="utf-8")
    assert read_file(tmp_path / "a.b.csv").rows() == [("x,y", 1), ("two\n\nlines", 2)]


def test_a_single_column_is_a_series(tmp_path: Path) -> None:
    (tmp_path / "a.b.csv").write_text("acronym\nCA1\nVISp\n")
    found = read_file(tmp_path / "a.b.csv")
    assert isinstance(found, pl.Series)
    assert (found.name, found.to_list()) == ("acronym", ["CA1", "VISp"])
    assert read_file(tmp_path / "a.b.csv", tables="pandas").to_list() == ["CA1", "VISp"]


def test_json_jsonable_yaml(tmp_path: Path) -> None:
    content = {"a": [1, 2.5, None], "ü": "ñ"}
    (tmp_path / "a.b.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    (tmp_path / "a.b.jsonable").write_text("".join(json.dumps(row) + "\n" for row in (content, [1])))
    for suffix in ("yaml", "yml"):
        (tmp_path / f"a.b.{suffix}").write_text(yaml.safe_dump(content), encoding="utf-8")
        assert read_file(tmp_path / f"a.b.{suffix}") == content
    assert read_file(tmp_path / "a.b.json") == content
    assert read_file(tmp_path / "a.b.jsonable") == [content, [1]]


def test_jsonable_has_a_value_a_line_and_only_line_breaks_end_lines(tmp_path: Path) -> None:
    for number, mark in enumerate(("\u2028", "\u2029", "\u0085")):
        file = tmp_path / f"a.x{number}.jsonable"
        file.write_bytes(json.dumps({"x": f"a{mark}b"}, ensure_ascii=False).encode() + b"\r\n\n{}\n")
        assert read_file(file) == [{"x": f"a{mark}b"}, {}]
    file.write_bytes(b"1\x0c\n2\n")
    with pytest.raises(FileDamaged):
        read_file(file)


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("a,b\r1,2\r3,4\r", {"a": [1, 3], "b": [2, 4]}),
        ('a,b\r1,"x\ry"\r\n3,4\n', {"a": [1, 3], "b": ["x\ry", "4"]}),
        ("a,b\n1,2,3\n4,5,6\n", {"index": [1, 4], "a": [2, 5], "b": [3, 6]}),
        ("a,b\n1,2,3,7\n4,5,6,8\n", {"level_0": [1, 4], "level_1": [2, 5], "a": [3, 6], "b": [7, 8]}),
        ("a,b\n18446744073709551616,1\n-1,2\n", {"a": [18446744073709551616, -1], "b": [1, 2]}),
        (f"a,b\n{10**40},1\n2,2\n", {"a": [str(10**40), "2"], "b": [1, 2]}),
        ("a,b\n1e40,1\n2,2\n", {"a": [1e40, 2.0], "b": [1, 2]}),
    ],
)
def test_csv_as_it_is_found(tmp_path: Path, text: str, columns: dict[str, list[Any]]) -> None:
    file = tmp_path / "a.table.csv"
    file.write_bytes(text.encode())
    assert read_file(file).to_dict(as_series=False) == columns
    assert [*read_file(file, index=False).columns] == ["a", "b"]


def test_a_later_row_with_too_many_fields_is_damage(tmp_path: Path) -> None:
    file = tmp_path / "a.table.csv"
    file.write_text("a,b\n1,2\n3,4,5\n")
    with pytest.raises(FileDamaged):
        read_file(file)


@pytest.mark.parametrize("suffix", ["mp4", "bin", "cbin", "ch", "meta", "unheardof"])
def test_the_rest_is_a_path(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"a.b.{suffix}"
    file.write_bytes(b"\0" * 10)
    found = read_file(str(file))
    assert isinstance(found, ALFPath)
    assert found == file


@pytest.mark.parametrize("suffix", ["npy", "mp4", "pqt", "csv", "json"])
def test_a_file_that_is_not_there(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / f"a.b.{suffix}")


def test_unknown_kinds_of_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="polars, pandas"):
        read_file(tmp_path / "a.b.pqt", tables="spark")  # type: ignore[arg-type]


class Bomb:
    """Run code when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.mark,)


def test_objects_are_not_unpickled_unless_asked_for(tmp_path: Path) -> None:
    mark = tmp_path / "exploded"
    bomb = np.empty(1, dtype=object)
    bomb[0] = Bomb(mark)
    for file in (tmp_path / "a.b.npy", tmp_path / "plain.pickle.npy", tmp_path / "a.b.npz"):
        with file.open("wb") as stream:
            if file.name == "plain.pickle.npy":
                pickle.dump(Bomb(mark), stream)
            elif file.suffix == ".npz":
                np.savez(stream, bomb)
            else:
                np.save(stream, bomb)
        with pytest.raises(ALFError, match=file.name):
            read_file(file)
        assert not mark.exists()
    with pytest.raises(ALFError, match="allow_pickle=True") as caught:
        read_file(tmp_path / "a.b.npy")
    assert not isinstance(caught.value, FileDamaged)
    read_file(tmp_path / "a.b.npy", allow_pickle=True)
    assert mark.exists()


def whole_file(folder: Path, suffix: str) -> Path:
    file = folder / f"whole.file.{suffix}"
    rng = np.random.default_rng(0)
    with file.open("wb") as stream:
        if suffix == "npy":
            np.save(stream, rng.random(500))
        elif suffix == "npz":
            np.savez_compressed(stream, a=rng.random(500))
        elif suffix == "sparse_npz":
            sparse.save_npz(stream, sparse.random_array((50, 50), density=0.2, rng=rng))
        elif suffix == "pqt":
            pl.DataFrame({"a": rng.random(500), "b": ["x"] * 500}).write_parquet(stream)
        else:
            stream.write(json.dumps({"a": list(range(100))}).encode())
    return file


@pytest.mark.parametrize("suffix", ["npy", "npz", "sparse_npz", "pqt", "json"])
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(kept=st.floats(0, 0.999))
def test_the_error_names_a_truncated_file(tmp_path: Path, suffix: str, kept: float) -> None:
    file = whole_file(tmp_path, suffix)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(FileDamaged, match=file.name) as caught:
        read_file(file)
    assert caught.value.path == str(file)


@pytest.mark.parametrize("suffix", ["npz", "sparse_npz", "pqt", "npy", "csv", "json", "jsonable", "yaml"])
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(noise=st.binary(min_size=0, max_size=200))
def test_noise_is_read_or_refused_but_never_breaks(tmp_path: Path, suffix: str, noise: bytes) -> None:
    file = tmp_path / f"a.b.{suffix}"
    file.write_bytes(noise)
    if suffix in ("npz", "sparse_npz", "pqt", "npy"):
        with pytest.raises(FileDamaged, match=r"a\.b\."):
            read_file(file)
    else:
        with suppress(FileDamaged):
            read_file(file)


@pytest.mark.parametrize("place", range(4, 400, 13))
def test_a_broken_byte_in_parquet_never_breaks_the_reader(tmp_path: Path, place: int) -> None:
    file = whole_file(tmp_path, "pqt")
    data = bytearray(file.read_bytes())
    data[-place] ^= 0xFF
    file.write_bytes(data)
    with suppress(FileDamaged):
        assert isinstance(read_file(file), pl.DataFrame)


def test_a_header_that_promises_too_much_is_damage(tmp_path: Path) -> None:
    np.save(tmp_path / "a.b.npy", np.arange(10))
    data = (tmp_path / "a.b.npy").read_bytes()
    promise = b"(9000000000000,), }"
    (tmp_path / "a.b.npy").write_bytes(data[:64].replace(b"(10,), }" + b" " * 11, promise) + data[64:])
    if promise not in (tmp_path / "a.b.npy").read_bytes():
        (tmp_path / "a.b.npy").write_bytes(data.replace(b"(10,), }" + b" " * 11, promise))
    assert promise in (tmp_path / "a.b.npy").read_bytes()
    with pytest.raises(FileDamaged):
        read_file(tmp_path / "a.b.npy")


@pytest.mark.parametrize("suffix", ["npy", "npz", "sparse_npz", "pqt", "csv", "tsv", "ssv", "json"])
def test_an_empty_file_is_damage(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a.b.{suffix}").touch()
    with pytest.raises(FileDamaged, match="it is empty"):
        read_file(tmp_path / f"a.b.{suffix}")


def test_pandas_is_imported_only_when_asked_for(tmp_path: Path) -> None:
    whole_file(tmp_path, "pqt")
    whole_file(tmp_path, "npy")
    (tmp_path / "a.b.csv").write_text("a\n1\n")
    code = (
        "import sys; from pathlib import Path; from one_async.files.read import read_file\n"
        "assert not sys.modules.keys() & {'numpy', 'polars', 'pandas'}\n"
        "for file in Path(sys.argv[1]).iterdir(): read_file(file)\n"
        "print(sys.modules.keys() & {'pandas', 'pyarrow', 'scipy'})"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "set()"


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.b.yaml").write_text("a: 1")
    code = (
        "import sys; sys.modules['yaml'] = None\n"
        "from one_async.files.read import read_file\n"
        "try: read_file(sys.argv[1])\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    file = tmp_path / "a.b.yaml"
    answer = subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True, check=True)
    assert answer.stdout.startswith(ConfigurationError.__name__)
    assert "one-async[yaml]" in answer.stdout


def test_every_reader_has_a_suffix_of_its_own() -> None:
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in READERS)


LARGE = """
import resource, sys
from one_async.errors import FileDamaged, OneError
from one_async.files.read import read_file
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
for file in sys.argv[1:]:
    try:
        read_file(file)
    except OneError as error:
        print(type(error).__name__, file in str(error), "memory" in str(error))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of memory")
def test_a_file_that_needs_more_memory_than_there_is_is_not_called_damaged(tmp_path: Path) -> None:
    files = []
    for version in ((1, 0), (2, 0), (3, 0)):
        files.append(tmp_path / f"large.{version[0]}.npy")
        with files[-1].open("wb") as stream:
            header = str({"descr": "<f8", "fortran_order": False, "shape": (1 << 28,)}).encode()
            size = len(header).to_bytes(2 if version == (1, 0) else 4, "little")
            stream.write(np.lib.format.magic(*version) + size + header)
            stream.truncate(stream.tell() + (8 << 28))  # a sparse file, which takes no space
    done = subprocess.run(
        [sys.executable, "-c", LARGE, *map(str, files)], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout.splitlines(), done.stderr) == (["OneError True True"] * 3, "")
