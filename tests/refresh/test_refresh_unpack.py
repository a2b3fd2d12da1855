from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from one_async.errors import TablesDamaged, UnsafePath
from one_async.refresh import unpack as module
from one_async.refresh.prepare_subprocess import prepare
from one_async.refresh.unpack import unpack

TABLES = {
    "sessions.pqt": bytes(range(256)) * 20,
    "datasets.pqt": b"rows of datasets" * 300,
    "cache_info.json": b"{}",
}


def archive(members: dict[str, bytes] | None = None, **more: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in {**(TABLES if members is None else members), **more}.items():
            made.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def unpacked(data: bytes, folder: Path) -> dict[str, bytes]:
    into = folder / "into"
    into.mkdir(parents=True)
    (folder / "a.zip").write_bytes(data)
    made = unpack(folder / "a.zip", into)
    assert sorted(made) == sorted(into.iterdir())
    return {path.name: path.read_bytes() for path in made}


def test_tables_are_unpacked_unchanged(tmp_path: Path) -> None:
    assert unpacked(archive(), tmp_path) == TABLES


def test_other_tables_and_json_files_are_unpacked_and_other_members_ignored(tmp_path: Path) -> None:
    further = {"insertions.pqt": b"i", "QC.json": b"{}", "release_notes.json": b"[1]"}
    left = {
        "README.txt": b"r",
        ".hidden.pqt": b"h",
        ".hidden.json": b"h",
        "QC.json.gz": b"g",
        "a.b.json": b"0",
    }
    assert unpacked(archive({**TABLES, **further, **left}), tmp_path) == {**TABLES, **further}


@pytest.mark.parametrize("other", ["qc.json", "Qc.json", "Cache_info.json"])
def test_two_json_files_whose_names_differ_in_case_are_refused(tmp_path: Path, other: str) -> None:
    with pytest.raises(TablesDamaged, match="two files with the same name"):
        unpacked(archive({**TABLES, "QC.json": b"{}", other: b"[]"}), tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "../sessions.pqt",
        "/etc/passwd",
        "..\\sessions.pqt",
        "C:\\sessions.pqt",
        "C:sessions.pqt",
        "sub/sessions.pqt",
        "sub/",
        "..",
        "sessions.pqt:stream",
    ],
)
def test_a_member_name_with_a_path_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsafePath, match="nothing was unpacked"):
        unpacked(archive({**TABLES, name: b"evil"}), tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["into", "a.zip"] or not any(
        (tmp_path / "into").iterdir()
    )


def test_a_member_name_with_a_null_byte_is_refused(tmp_path: Path) -> None:
    data = archive({**TABLES, "sessions.pqtX/../x": b""}).replace(
        b"sessions.pqtX/../x", b"sessions.pqt\0/../x"
    )
    with pytest.raises(UnsafePath):
        unpacked(data, tmp_path)


@pytest.mark.parametrize("missing", ["sessions.pqt", "datasets.pqt"])
def test_both_tables_are_required(tmp_path: Path, missing: str) -> None:
    with pytest.raises(TablesDamaged, match=f"lacks {missing}"):
        unpacked(archive({name: data for name, data in TABLES.items() if name != missing}), tmp_path)


@pytest.mark.parametrize("left", [0, 1, 10, 100, -1, -23, -60])
def test_a_truncated_archive_is_refused(tmp_path: Path, left: int) -> None:
    with pytest.raises(TablesDamaged):
        unpacked(archive()[:left], tmp_path)


def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    data = archive({**TABLES, "Sessions.pqt": b"other"})
    with pytest.raises(TablesDamaged, match="two files with the same name"):
        unpacked(data, tmp_path)


def _with_field(data: bytes, name: str, field: int, value: int) -> bytes:
    """Overwrite a 4-byte field of a member's directory entry: 20 is the compressed size, 24 the size, 42 the offset."""
    at = data.rindex(name.encode()) - 46
    assert data[at : at + 4] == b"PK\x01\x02"
    return data[: at + field] + struct.pack("<I", value) + data[at + field + 4 :]


@pytest.mark.parametrize("size", [1, 4799, 4801, 1_000_000])
def test_a_wrong_size_is_refused(tmp_path: Path, size: int) -> None:
    with pytest.raises(TablesDamaged):
        unpacked(_with_field(archive(), "datasets.pqt", 24, size), tmp_path)


def test_an_excessive_compression_ratio_is_refused_before_writing(tmp_path: Path) -> None:
    data = _with_field(archive(), "datasets.pqt", 24, 200 << 20)
    with pytest.raises(TablesDamaged, match="implausible compression ratio"):
        unpacked(data, tmp_path)
    assert not any((tmp_path / "into").iterdir())


def test_a_zip_bomb_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TablesDamaged, match="implausible compression ratio"):
        unpacked(archive({**TABLES, "datasets.pqt": bytes(100 << 20)}), tmp_path)


def test_an_excessive_total_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", 9000)
    with pytest.raises(TablesDamaged, match="would take more"):
        unpacked(archive(), tmp_path)


def test_members_that_share_bytes_are_refused(tmp_path: Path) -> None:
    data = archive()
    with pytest.raises(TablesDamaged):
        unpacked(_with_field(data, "datasets.pqt", 20, len(data)), tmp_path)


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TablesDamaged, match="members"):
        unpacked(archive({**TABLES, **{f"t{number}.pqt": b"" for number in range(200)}}), tmp_path)


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    data = bytearray(archive())
    at = data.rindex(b"datasets.pqt") - 46
    data[at + 8] |= 1
    with pytest.raises(TablesDamaged):
        unpacked(bytes(data), tmp_path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_methods_are_refused(tmp_path: Path, method: int) -> None:
    """Their decoders could be misused by a damaged or hostile archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, content in TABLES.items():
            made.writestr(name, content, method)
    with pytest.raises(TablesDamaged, match=f"method {method}"):
        unpacked(out.getvalue(), tmp_path)


@settings(max_examples=150, deadline=None)
@given(
    at=st.integers(0, len(archive()) - 1),
    value=st.integers(0, 255),
    cut=st.none() | st.integers(0, len(archive())),
)
@example(
    at=archive().rindex(b"PK\5\6") + 17, value=2, cut=None
)  # the directory would begin far behind the end of the archive
@example(at=archive().rindex(b"PK\5\6") + 18, value=1, cut=None)
@example(at=archive().rindex(b"PK\5\6") + 12, value=255, cut=None)
def test_damaged_archives_raise_or_unpack_the_same_tables(
    tmp_path_factory: pytest.TempPathFactory, at: int, value: int, cut: int | None
) -> None:
    data = bytearray(archive())
    data[at] = value
    try:
        found = unpacked(bytes(data[:cut]), tmp_path_factory.mktemp("damaged"))
    except (TablesDamaged, UnsafePath):
        return
    assert {name: found[name] for name in ("sessions.pqt", "datasets.pqt")} == {
        name: TABLES[name] for name in ("sessions.pqt", "datasets.pqt")
    }


def test_a_table_with_more_rows_than_bytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """Parquet stores equal values once, so that a small file may hold any number of rows."""
    rows = 3_000_000
    bomb = pl.DataFrame({"eid": ["x"] * rows, "subject": ["y"] * rows})
    bomb.write_parquet(tmp_path / "sessions.pqt", compression="zstd")
    content = (tmp_path / "sessions.pqt").read_bytes()
    assert len(content) < rows
    (tmp_path / "a.zip").write_bytes(archive({**TABLES, "sessions.pqt": content}))
    (tmp_path / "into").mkdir()
    with pytest.raises(TablesDamaged, match="3,000,000 rows"):
        prepare(tmp_path / "a.zip", tmp_path / "into")
