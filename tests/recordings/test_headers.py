"""The small files of a recording: volts per unit, and invalid files.

The expected volts are calculated from the formulas in SpikeGLX's documentation.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from one_async.errors import FileDamaged
from one_async.recordings import chunk_decoding
from one_async.recordings.chunk_decoding import ChunkDamaged, decode
from one_async.recordings.header import Header, read_header
from one_async.recordings.meta import parse_meta, read_meta

from . import made

SECOND = "imAiRangeMax={0}\nimDatPrb_type={1}\n{2}imSampRate=30000\nnSavedChans=4\nsnsApLfSy=3,0,1\n{3}"


@pytest.mark.parametrize(("band", "gains"), [("ap", [500, 501, 502]), ("lf", [250, 251, 252])])
def test_volts_of_the_first_generation(band: str, gains: list[int]) -> None:
    found = parse_meta(made.meta(4, 2500.0, band))
    assert (found.n_channels, found.n_sync, found.sample_rate) == (4, 1, 2500.0)
    assert np.allclose(found.sample2volts, [*(0.6 / 512 / gain for gain in gains), 1], rtol=1e-6)


def test_gains_are_those_of_the_saved_channels() -> None:
    text = (
        made.meta(6, 30000.0)
        .replace("nSavedChans=6", "nSavedChans=3")
        .replace("snsApLfSy=5,0,1", "snsApLfSy=2,0,1")
    )
    found = parse_meta(text.replace("snsSaveChanSubset=0:4,10", "snsSaveChanSubset=1,4,10"))
    assert np.allclose(found.sample2volts, [0.6 / 512 / 501, 0.6 / 512 / 504, 1], rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "volts"),
    [
        # imec's table of probe features: gain 80 and 14 bits of the first probes 2.0, 100 and 12 bits of later ones.
        ((0.5, 21, "imMaxInt=8192\n", ""), 0.5 / 8192 / 80),
        ((0.5, 21, "", "imDatPrb_pn=PRB2_1_2_0640_0\n"), 0.5 / 8192 / 80),
        ((0.5, 24, "imMaxInt=8192\n", "imDatPrb_pn=NP2010\n"), 0.5 / 8192 / 80),
        ((0.62, 2003, "imMaxInt=2048\n", ""), 0.62 / 2048 / 100),
        ((0.62, 2006, "", ""), 0.62 / 2048 / 100),
        ((0.62, 2013, "imMaxInt=2048\n", "imChan0apGain=100\n"), 0.62 / 2048 / 100),
        ((0.62, 2021, "", ""), 0.62 / 2048 / 100),
        ((0.5, 21, "imMaxInt=8192\n", "imChan0apGain=100\n"), 0.5 / 8192 / 100),  # the values in the file
    ],
)
def test_volts_of_the_second_generation(values: tuple[Any, ...], volts: float) -> None:
    assert np.allclose(parse_meta(SECOND.format(*values)).sample2volts, [volts] * 3 + [1], rtol=1e-6)


@pytest.mark.parametrize(
    "text",
    ["", "nSavedChans=4", made.meta(4, 0.0), made.meta(4, float("nan")), made.meta(4, 1.0).replace("3,0,1", "4,0,1"),
     made.meta(4, 1.0).replace("imroTbl", "x"), made.meta(4, 1.0, gains=(0, 0)), "typeThis=nidq\n\xff"],
)  # fmt: skip
def test_invalid_meta_files_raise_file_damaged(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.ap.meta"
    file.write_text(text, "utf-8")
    with pytest.raises(FileDamaged, match=r"x\.ap\.meta"):
        read_meta(file)


@pytest.mark.parametrize(
    "change",
    [{"algorithm": "lzma"}, {"chunk_bounds": [0]}, {"chunk_bounds": [0, 10, 5]}, {"chunk_offsets": [0, 1]}, {"dtype": "object"},
     {"n_channels": 0}, {"n_channels": 10**9}, {"sample_rate": -1}, {"chunk_order": "A"},
     {"chunk_bounds": [0, 10**12, 2 * 10**12]}],
)  # fmt: skip
def test_invalid_chunk_headers_raise_file_damaged(tmp_path: Path, change: dict[str, Any]) -> None:
    _, header = made.compress(made.noise(20, 3), 1.0, 10)
    file = tmp_path / "x.ap.ch"
    file.write_text(json.dumps(header))
    assert read_header(file).chunk_bounds == [0, 10, 20]
    file.write_text(json.dumps({**header, **change}))
    with pytest.raises(FileDamaged, match=r"x\.ap\.ch"):
        read_header(file)


@pytest.mark.parametrize("engine", ["zlib", "isal.isal_zlib"])
def test_every_damaged_byte_is_detected(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk_decoding, "zlib", pytest.importorskip(engine))
    samples = made.noise(20, 3)
    data, content = made.compress(samples, 1.0, 20)
    described = Header.model_validate(content)
    assert np.array_equal(decode(described, 0, [data[:7], data[7:]]).summed().values, samples)
    for at in range(2, len(data)):
        with pytest.raises(ChunkDamaged):
            decode(described, 0, [data[:at], bytes([data[at] ^ 0x10]), data[at + 1 :]])
    for wrong in (data[:-1], data[:-4], b"", data + b"x"):
        with pytest.raises(ChunkDamaged):
            decode(described, 0, [wrong])


@given(data=st.data())
def test_a_chunk_is_read_as_the_whole_array_would_be(data: st.DataObject) -> None:
    rows, channels = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 6))
    samples = made.noise(rows, channels, data.draw(st.integers(0, 9)))
    order, time, space = data.draw(st.sampled_from("CF")), data.draw(st.booleans()), data.draw(st.booleans())
    stored, content = made.compress(samples, 1.0, rows, order, time, space)
    chunk = decode(Header.model_validate(content), 0, [stored])
    low = data.draw(st.integers(0, rows - 1))
    ranges = st.builds(slice, st.just(low), st.integers(low + 1, rows), st.integers(1, 5))
    numbers = st.lists(st.integers(0, rows - 1), min_size=1).map(np.array)
    columns = st.one_of(
        st.slices(channels),
        st.lists(st.integers(0, channels - 1)).map(lambda given: np.array(given, np.intp)),
    )
    read, picked = data.draw(ranges | numbers), data.draw(columns)
    expected = samples[read][:, picked]
    for source in (chunk, chunk.summed()):
        found = source.read(read, picked)
        assert found.dtype == expected.dtype
        assert np.array_equal(found, expected)
    assert np.array_equal(chunk.summed().values, samples)
