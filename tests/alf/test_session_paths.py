"""Session paths and references: composed and parsed again, with the same results for text and Polars."""

from __future__ import annotations

from datetime import date
from pathlib import PurePosixPath
from uuid import UUID

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from one_async import ids
from one_async.alf import session_paths
from one_async.alf.session_paths import SessionKey
from one_async.errors import ALFInvalid

parts = st.text(
    st.characters(exclude_characters="/\\\0", exclude_categories=["Cs"]), min_size=1, max_size=9
).filter(lambda text: text not in (".", "..") and text.lower() != "subjects")
rows = st.fixed_dictionaries(
    {
        "lab": st.just("") | parts,  # without a lab
        "subject": parts,
        "date": st.dates(date(1000, 1, 1)),
        "number": st.integers(0, 65_535),
    }
)
#: Pieces of paths, valid and corrupted.
pieces = st.sampled_from(
    ["lab", "my lab", "Subjects", "subjects", "S", "S X", "2020-01-01", "2020-02-30", "1", "01", "001", "1234", "99999", "0123",
     "12a", "alf", "a.b.npy", "", ".", "..", "²", "\n"]
)  # fmt: skip
paths = st.lists(st.tuples(pieces, st.sampled_from("///\\")), min_size=1, max_size=9).map(
    lambda found: "".join(map("".join, found))
)


@given(st.lists(rows, min_size=1, max_size=5))
def test_a_composed_path_is_parsed_to_the_same_session(found: list[dict[str, object]]) -> None:
    types = {"lab": pl.String, "subject": pl.String, "date": pl.Date, "number": pl.UInt16}
    folders = session_paths.session_folders(pl.DataFrame(found, schema=types)).to_list()
    assert folders == [session_paths.session_folder(row) for row in found]
    for row, folder in zip(found, folders, strict=True):
        key = session_paths.parse_session_path(f"/data/{folder}/alf/spikes.times.npy")
        assert key is not None
        assert key[:4] == (row["subject"], row["date"], row["number"], row["lab"] or None)
        assert key.path == f"/data/{folder}"
        reference = ids.dict2ref(row)
        assert reference is not None
        assert session_paths.parse_reference(reference) == (*key[:3], None, None)


@given(st.lists(paths, min_size=1, max_size=6))
@example(["S/2020-01-01/001"])
@example(["a/b\\lab\\subjects\\S X\\2020-01-01\\1\\alf\\x.npy"])
@example(["//2020-01-01/1/2020-01-02/2"])
@example(
    [
        "./2020-01-01/1/2020-01-01/1",
        "../2020-01-01/1/2020-01-01/1",
        ".../2020-01-01/1",
        "..a/2020-01-01/1",
        ".a/2020-01-01/1",
    ]
)
def test_python_and_polars_parse_equally(texts: list[str]) -> None:
    frame = session_paths.parse_paths(texts)
    for text, row in zip(texts, frame.iter_rows(named=True), strict=True):
        key = session_paths.parse_session_path(text)
        found = row["subject"] and SessionKey(*(row[name] for name in SessionKey._fields))
        assert found == key
        assert (row["rel_path"] is None) == (key is None)
        if key is not None and key.path is not None:
            assert row["rel_path"] == text[len(key.path) :].replace("\\", "/").strip("/")


@pytest.mark.parametrize(
    ("path", "lab", "subject", "number"),
    [
        ("zador-lab/Subjects/My Mouse/2020-01-01/001/alf", "zador-lab", "My Mouse", 1),
        ("C:\\data\\lab\\Subjects\\A#12\\2020-01-01\\02", "lab", "A#12", 2),
        ("/data/Subjects/S/2020-01-01/1", "data", "S", 1),
        ("/Subjects/S/2020-01-01/1", None, "S", 1),
        ("lab/subjects/GAD X GAD++/2020-01-01/1234", "lab", "GAD X GAD++", 1234),
        ("S/2020-01-01/001/raw/T/2020-01-02/002", None, "S", 1),
    ],
)
def test_lab_and_subject_are_whole_parts(path: str, lab: str | None, subject: str, number: int) -> None:
    found = session_paths.parse_session_path(path)
    assert found is not None
    assert (found.lab, found.subject, found.number) == (lab, subject, number)


@pytest.mark.parametrize(
    "path", ["S/2020-02-30/001", "S/2020-01-01/x", "S/2020-01-01/0123", "S/2020-01-01/70000", "2020-01-01/001", "../2020-01-01/1",
             "S/2020-01-01/1x", "S/２０２０-01-01/1", ""]
)  # fmt: skip
def test_other_paths_name_no_session(path: str) -> None:
    assert session_paths.parse_session_path(path) is None
    assert session_paths.parse_paths([path])["subject"].to_list() == [None]


@pytest.mark.parametrize("name", ["a/b", "a\\b", "..", ".", "a\0"])
@pytest.mark.parametrize("part", ["lab", "subject"])
def test_a_name_that_is_no_part_of_a_path_has_no_folder(name: str, part: str) -> None:
    row = {"lab": "lab", "subject": "S", "date": date(2020, 1, 1), "number": 1, part: name}
    with pytest.raises(ALFInvalid, match="is not known"):
        session_paths.session_folder(row)
    good = {**row, part: "x"}
    assert session_paths.session_folders(pl.DataFrame([row, good])).to_list() == [
        None,
        session_paths.session_folder(good),
    ]


@pytest.mark.parametrize("folder", ["../x/2020-01-01/1", "/etc/2020-01-01/1", "a/../../b", "a\\b"])
def test_a_folder_of_a_table_that_leads_out_is_refused(folder: str) -> None:
    row = {"lab": "lab", "subject": "S", "date": date(2020, 1, 1), "number": 1, "folder": folder}
    with pytest.raises(ALFInvalid):
        session_paths.session_folder(row)
    assert session_paths.session_folders(pl.DataFrame([row])).to_list() == [None]


def test_a_back_slash_in_a_posix_path_is_no_separator() -> None:
    assert ids.path_key(PurePosixPath("lab/Subjects/A\\B/2020-01-01/001")) != ids.path_key(
        "lab/Subjects/B/2020-01-01/001"
    )


@given(
    st.uuids(), st.sampled_from(["alf/spikes.times.npy", "a.b.tar.gz", "#r#/x.y.json", "name", "a b/(c).d.e"])
)
def test_ids_in_file_names(did: UUID, path: str) -> None:
    named = session_paths.with_id(path, str(did))
    assert session_paths.has_id(named)
    assert session_paths.split_id(named) == (path, str(did))
    assert session_paths.split_id(named.replace(str(did), str(did).upper())) == (path, str(did))
    assert session_paths.with_id(named, str(did)) == named
    assert session_paths.split_id(path) == (path, None)
    frame = session_paths.split_ids(pl.Series([named, path]))
    assert frame.rows() == [(path, str(did)), (path, None)]
    if "." in path:
        own = pl.DataFrame({"path": [named, path], "did": [str(did)] * 2})
        assert own.select(session_paths.id_expression(pl.col("path"), pl.col("did"))).rows() == [
            (named,),
            (named,),
        ]
