"""pyarrow, pandas and therefore ONE-api read the schema of Parquet files from Polars."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from one_async.emulator.content import World
from one_async.emulator.seeded_parquet import footer_size, parquet_bytes

RECORDED = Path(__file__).parents[1] / "data" / "alyx" / "cache" / "cache.zip"
FRAME = pl.DataFrame(
    {"a": [1.5, float("nan")], "b": ["x", None], "c": ["FAIL", "PASS"]},
    schema_overrides={"c": pl.Enum(["PASS", "WARNING", "FAIL"])},
)


@given(st.dictionaries(st.text(min_size=1, max_size=30), st.text(max_size=400), min_size=1, max_size=6))
def test_metadata_may_be_any_text(metadata: dict[str, str]) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    data = parquet_bytes(FRAME, metadata)
    schema = pq.read_schema(io.BytesIO(data))
    assert {k.decode(): v.decode() for k, v in schema.metadata.items()} == metadata
    found = pl.read_parquet_metadata(io.BytesIO(data))
    assert {k: v for k, v in found.items() if k != "ARROW:schema"} == metadata
    assert pl.read_parquet(data).equals(FRAME, null_equal=True)


def test_files_have_the_key_of_one_api_without_metadata() -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    data = parquet_bytes(FRAME)
    assert pq.read_table(io.BytesIO(data)).schema.metadata == {b"one_metadata": b"{}"}
    assert footer_size(data) == int.from_bytes(data[-8:-4], "little")


def test_pyarrow_reads_an_empty_and_a_wide_table() -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    wide = pl.DataFrame({f"column {n}": [n] for n in range(200)})
    for frame in (FRAME.clear(), wide):
        data = parquet_bytes(frame)
        assert pl.read_parquet(data).equals(frame)
        assert pq.read_table(io.BytesIO(data)).num_columns == frame.width


@pytest.mark.parametrize("table", ["sessions", "datasets"])
def test_pandas_reads_the_types_of_the_recorded_tables(world: World, table: str) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    frames = []
    for data in (world.cache_zip(), RECORDED.read_bytes()):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            read = pq.read_table(io.BytesIO(archive.read(f"{table}.pqt")))
        about = json.loads(read.schema.metadata[b"one_metadata"])
        assert set(about) == {"date_created", "origin", "min_api_version"}
        frames.append(read.to_pandas())
    mine, theirs = frames
    assert mine.dtypes.to_dict() == theirs.dtypes.to_dict()
    assert mine.index.names == theirs.index.names
    assert list(mine.columns) == list(theirs.columns)
    if table == "datasets":
        assert mine["qc"].cat.ordered
