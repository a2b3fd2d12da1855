from __future__ import annotations

import pickle
from datetime import date
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from alf_strategies import UUIDS, compose_folders, compose_name, folders, names, words
from hypothesis import example, given, settings
from hypothesis import strategies as st

from one_async.alf.path import (
    ALFPath,
    PureALFPath,
    PurePosixALFPath,
    PureWindowsALFPath,
    add_uuid_string,
    ensure_alf_path,
    filename_parts,
    folder_parts,
    full_path_parts,
    get_alf_path,
    get_session_path,
    padded_sequence,
    rel_path_parts,
    remove_uuid_string,
    session_path_parts,
    without_revision,
)
from one_async.errors import ALFInvalid, InputError

Parts = dict[str, str | None]
FULL = "/data/lab/Subjects/subj/2020-01-01/1/alf/probe00/#2024-01-01#/_ibl_spikes.times_bpod.raw.npy"
UUID_TEXT = "a976e418-c8b8-4d24-be47-d05120b18341"


@settings(max_examples=40, deadline=None)
@given(folders, names)
def test_a_composed_path_reads_back_in_every_flavour(where: Parts, what: Parts) -> None:
    pieces = [*compose_folders(where), compose_name(what)]
    wanted = {**where, **what}
    url = "https://data.test/public/" + "/".join(map(quote, pieces)) + "?version=1"
    paths = [
        PurePosixALFPath("/data", *pieces),
        PureWindowsALFPath("C:\\data", *pieces),
        PureWindowsALFPath("\\\\server\\share\\" + "\\".join(pieces)),
        PureALFPath("data", *pieces),
        ALFPath("/data", *pieces),
        PureALFPath.from_url(url),
    ]
    for path in paths:
        assert path.parse_alf_path() == wanted
        assert path.alf_parts == tuple(wanted[part] or "" for part in path.parse_alf_path())
        assert (path.sequence, path.collection, path.revision) == tuple(
            where[part] or "" for part in ("number", "collection", "revision")
        )
        assert path.is_dataset()
        assert path.is_valid_alf()
        assert path.session_path() is not None
        assert path.session_path().is_session_path()  # type: ignore[union-attr]
        assert path.session_path() / path.relative_to_session() == path  # type: ignore[operator]
        assert pickle.loads(pickle.dumps(path)) == path
    assert get_alf_path("https://data.test/public/" + "/".join(pieces)) == "/".join(pieces)


@settings(max_examples=40, deadline=None)
@given(folders, names, folders, names)
def test_each_part_can_be_put_into_any_path(where: Parts, what: Parts, there: Parts, other: Parts) -> None:
    for kind in (PurePosixALFPath, PureWindowsALFPath):
        path = kind("/data", *compose_folders(where), compose_name(what))
        path = path.with_lab(there["lab"] or "lab").with_subject(there["subject"]).with_date(there["date"])
        path = path.with_sequence(there["number"]).with_collection(there["collection"] or "alf")
        path = path.with_revision(there["revision"] or "r")
        path = path.with_object(other["object"]).with_namespace(other["namespace"])
        path = path.with_timescale(None).with_attribute(other["attribute"]).with_timescale(other["timescale"])
        path = path.with_extra(other["extra"]).with_extension(other["extension"])
        defaults = {"lab": "lab", "collection": "alf", "revision": "r"}
        wanted = {part: text or defaults.get(part) for part, text in {**there, **other}.items()}
        assert path.parse_alf_path() == {**wanted, "number": f"{int(there['number'] or 0):03d}"}
        assert type(path) is kind


@settings(max_examples=40, deadline=None)
@given(folders, names)
def test_parts_come_out_and_the_rest_stays(where: Parts, what: Parts) -> None:
    path = PurePosixALFPath(*compose_folders(where), compose_name(what))
    assert path.without_lab().parse_alf_path() == {**where, **what, "lab": None}
    assert path.without_revision().parse_alf_path() == {**where, **what, "revision": None}
    assert path.without_revision().with_revision("r").revision == "r"
    assert path.parent.without_revision().with_revision("r").name == "#r#"
    assert path.with_padded_sequence().sequence == f"{int(where['number'] or 0):03d}"
    assert path.session_path_short() == f"{where['subject']}/{where['date']}/{where['number']}"
    lab = f"{where['lab']}/" if where["lab"] else ""
    assert path.session_path_short(include_lab=True) == f"{lab}{path.session_path_short()}"


@settings(max_examples=40, deadline=None)
@given(names, UUIDS, UUIDS)
def test_uuids_go_in_and_out(what: Parts, uuid: str, other: str) -> None:
    path = PurePosixALFPath("/x", compose_name({**what, "extra": None}))
    assert path.with_uuid(uuid).extra == uuid
    assert path.with_uuid(uuid).without_uuid() == path
    assert path.with_uuid(UUID(uuid)).with_uuid(uuid, strict=True) == path.with_uuid(uuid)
    assert path.with_uuid(uuid).with_uuid(other) == path.with_uuid(other)
    if uuid != other:
        with pytest.raises(InputError):
            path.with_uuid(uuid).with_uuid(other, strict=True)


@settings(deadline=None)
@given(words, words)
def test_extra_parts_are_appended(first: str, second: str) -> None:
    path = PurePosixALFPath("a.b.npy").with_extra(first)
    assert path.with_extra([second], append=True).extra == f"{first}.{second}"
    assert path.with_extra(second).extra == second
    assert path.with_extra("").name == path.with_extra(None).name == "a.b.npy"


def test_the_parsers_agree_on_one_path() -> None:
    assert session_path_parts(FULL) == ("lab", "subj", "2020-01-01", "1")
    session = ("lab", "subj", "2020-01-01", "1")
    assert folder_parts(PurePosixPath(FULL).parent) == (*session, "alf/probe00", "2024-01-01")
    name = ("ibl", "spikes", "times", "bpod", "raw", "npy")
    assert filename_parts(PurePosixPath(FULL).name) == name
    assert rel_path_parts("alf/probe00/#r#/_ibl_spikes.times_bpod.raw.npy") == ("alf/probe00", "r", *name)
    assert full_path_parts(FULL) == (*folder_parts(PurePosixPath(FULL).parent), *name)
    assert full_path_parts("a.b.c") == (None,) * 6 + (None, "a", "b", None, None, "c")
    assert full_path_parts("s/2020-01-01/1/alf/probe00", as_dict=True)["collection"] == "alf/probe00"
    for folder in ("s/2020-01-01/1/we ird", "s/2020-01-01/1/we ird/1"):
        with pytest.raises(ALFInvalid, match="neither"):
            full_path_parts(folder)


PARSERS = [session_path_parts, folder_parts, filename_parts, rel_path_parts, full_path_parts]


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize("text", ["", "nothing", "a/b/c", "spike_train.npy", "s/20-01-01/1/we ird"])
def test_invalid_alf_names_raise_or_return_none(parse: Any, text: str) -> None:
    with pytest.raises(ALFInvalid, match="ALF"):
        parse(text)
    assert not any(parse(text, assert_valid=False))
    assert not any(parse(text, as_dict=True, assert_valid=False).values())


def test_session_paths_keep_root_and_flavour() -> None:
    assert get_session_path(FULL) == Path("/data/lab/Subjects/subj/2020-01-01/1")
    windows = get_session_path(PureWindowsPath("C:\\Data\\subject\\2020-01-01\\1\\trials.intervals.npy"))
    assert windows == PureWindowsPath("C:/Data/subject/2020-01-01/1")
    assert get_session_path(None) is None
    assert get_session_path("a/b") is None
    assert get_session_path("1/x/2020-01-01") is None  # a number without a date before it


def test_get_alf_path_leaves_the_root_out() -> None:
    assert get_alf_path("etc/etc/lab/Subjects/subj/2021-01-21/001") == "lab/Subjects/subj/2021-01-21/001"
    assert get_alf_path("collection/file.attr.ext") == "collection/file.attr.ext"
    assert get_alf_path("we ird/file.attr.ext") == "file.attr.ext"
    assert get_alf_path(PureWindowsPath("C:\\x\\s\\2020-01-01\\1")) == "s/2020-01-01/1"
    assert get_alf_path("nothing/here") is None


def test_functions_take_text_and_any_path() -> None:
    for kind in (str, Path, PurePosixPath, PurePosixALFPath, ALFPath):
        path = kind(FULL)
        assert str(without_revision(path)) == FULL.replace("#2024-01-01#/", "")
        assert str(padded_sequence(path)) == FULL.replace("/1/", "/001/")
        assert str(add_uuid_string(path, UUID_TEXT)) == FULL.replace(".npy", f".{UUID_TEXT}.npy")
        assert str(remove_uuid_string(add_uuid_string(path, UUID_TEXT))) == FULL
        assert remove_uuid_string(path) == (Path(FULL) if kind is str else path)
    assert type(add_uuid_string(PurePosixPath(FULL), UUID_TEXT)) is PurePosixPath


def test_ensure_alf_path_keeps_the_flavour() -> None:
    assert isinstance(ensure_alf_path("a"), ALFPath)
    assert isinstance(ensure_alf_path(Path("a")), ALFPath)
    assert isinstance(ensure_alf_path(Path("a")), Path)
    assert type(ensure_alf_path(PurePosixPath("a"))) is PurePosixALFPath
    assert type(ensure_alf_path(PureWindowsPath("a"))) is PureWindowsALFPath
    path = PureALFPath("a")
    assert ensure_alf_path(path) is path
    assert ensure_alf_path(iter(["a", PurePosixPath("b")])) == [ALFPath("a"), PurePosixALFPath("b")]
    for wrong in (1, None, b"a"):
        with pytest.raises(InputError, match="path"):
            ensure_alf_path(wrong)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("method", "arguments", "kind"),
    [
        ("with_lab", ("a/b",), InputError),
        ("with_lab", ("",), InputError),
        ("with_lab", (None,), InputError),
        ("with_subject", ("a/b",), InputError),
        ("with_subject", ("..",), InputError),
        ("with_subject", ("a\0",), InputError),
        ("with_date", ("today",), InputError),
        ("with_date", (None,), InputError),
        ("with_sequence", (1000,), InputError),
        ("with_sequence", ("one",), InputError),
        ("with_sequence", (None,), InputError),
        ("with_collection", ("a#b",), InputError),
        ("with_revision", ("a#b",), ALFInvalid),
        ("with_object", ("a.b",), ALFInvalid),
        ("with_object", ("",), ALFInvalid),
        ("with_namespace", ("a_b",), ALFInvalid),
        ("with_namespace", ("../x",), ALFInvalid),
        ("with_attribute", ("a.b",), ALFInvalid),
        ("with_timescale", ("a.b",), ALFInvalid),
        ("with_extra", ("a b",), ALFInvalid),
        ("with_extra", ("../../x",), ALFInvalid),
        ("with_extension", ("a.b",), InputError),
        ("with_extension", ("",), InputError),
        ("with_uuid", ("x",), InputError),
    ],
)
def test_parts_that_cannot_be_are_refused(
    method: str, arguments: tuple[Any, ...], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        getattr(PureALFPath(FULL), method)(*arguments)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("with_lab", ("a",)), ("with_subject", ("a",)), ("with_date", ("2020-01-01",)), ("with_sequence",
        (1,)), ("with_revision", ("a",)), ("without_revision", ()), ("with_object", ("a",)),
        ("with_namespace", ("a",)), ("with_attribute", ("a",)), ("with_timescale", ("a",)), ("with_extra",
        ("a",)), ("with_extension", ("a",)), ("with_uuid", (UUID_TEXT,)), ("with_collection", ("a",)),
        ("relative_to_session", ()), ("relative_to_lab", ()), ("with_padded_sequence", ()),
    ],
)  # fmt: skip
def test_paths_that_are_not_alf_are_refused(method: str, arguments: tuple[object, ...]) -> None:
    with pytest.raises((ALFInvalid, InputError)):
        getattr(PureALFPath("some/where/else"), method)(*arguments)


def test_details_of_changes() -> None:
    path = PurePosixALFPath(FULL)
    assert path.with_date(date(2021, 2, 3)).date == "2021-02-03"
    assert path.relative_to_lab().as_posix().startswith("subj/2020-01-01/1/alf")
    assert path.session_path().with_collection("a/b").as_posix().endswith("/1/a/b")  # type: ignore[union-attr]
    assert path.parent.with_collection("x").as_posix().endswith("/1/x/#2024-01-01#")
    with pytest.raises(ALFInvalid):
        path.without_lab().with_lab("new", strict=True)
    with pytest.raises(ALFInvalid):
        PurePosixALFPath("s/2020-01-01/1/we ird/x").with_collection("alf")
    assert path.extension == "npy"
    parts = (path.namespace, path.object, path.attribute, path.timescale, path.extra)
    assert parts == path.dataset_name_parts[:5]
    assert PurePosixALFPath("x").alf_parts == ("",) * 12
    assert PurePosixALFPath("x").session_path_short() is None
    # the whole attribute is goCue_times
    cue = PurePosixALFPath("trials.goCue_times.npy")
    assert cue.with_attribute("choice").name == "trials.choice.npy"
    assert cue.with_timescale("bpod").name == "trials.goCue_times_bpod.npy"


def test_questions_take_any_path_or_text() -> None:
    for kind in (PureALFPath, ALFPath):
        assert kind.is_session_path("lab/Subjects/foo/2020-01-01/001")
        assert kind.is_valid_alf("_ibl_wheel.timestamps.npy")
        assert kind.is_valid_alf(PurePath("foo/2020-01-01/001"))
        assert not kind.is_valid_alf("foo.bar")
        assert not kind.is_session_path(PureWindowsPath("foo\\2020-01-01"))
        assert kind.with_padded_sequence("s/2020-01-01/1") == ALFPath("s/2020-01-01/001")


def test_disk_paths_ask_the_disk(tmp_path: Path) -> None:
    session = ALFPath(tmp_path, "subj", "2020-01-01", "001")
    (session / "alf" / "folder.like.file").mkdir(parents=True)
    (session / "alf" / "a.b.npy").touch()
    (session / "alf" / "not an.alf.file").touch()
    (session / "z.y.npy").touch()
    assert not (session / "alf" / "folder.like.file").is_dataset()
    assert not (session / "alf" / "folder.like.file").is_valid_alf()
    assert PureALFPath(session / "alf" / "folder.like.file").is_dataset()
    assert list(session.iter_datasets()) == [session / "z.y.npy"]
    assert list(session.iter_datasets(recursive=True)) == [session / "alf" / "a.b.npy", session / "z.y.npy"]
    assert all(isinstance(path, ALFPath) for path in session.iter_datasets(recursive=True))
    assert session.is_session_path()
    assert session.is_valid_alf()
    file = session.with_sequence(2)
    file.touch()
    assert not file.is_session_path()
    assert not file.is_valid_alf()
    assert not ALFPath.is_session_path(str(file))


folder_names = st.text(
    st.characters(exclude_characters="/\\\0", exclude_categories=["Cs"]), min_size=1, max_size=9
).filter(lambda text: text not in (".", "..") and text.lower() != "subjects")


@given(
    lab=folder_names,
    subject=folder_names,
    other=folder_names,
    below=st.sampled_from(["", "alf", "alf/#2020-01-02#"]),
)
@example(lab="lab", subject="My Mouse", other="A#12", below="alf")
@example(lab="zador-lab", subject="GAD X GAD++", other="1", below="")
def test_lab_and_subject_are_whole_folders(lab: str, subject: str, other: str, below: str) -> None:
    folder = f"/data/{lab}/Subjects/{subject}/2020-01-01/001"
    for path in (
        PurePosixALFPath(folder, below, "spikes.times.npy"),
        PurePosixALFPath(folder, below),
    ):
        assert path.session_parts == (lab, subject, "2020-01-01", "001")
        assert (path.lab, path.subject) == (lab, subject)
        assert path.alf_parts[:6] == (
            lab, subject, "2020-01-01", "001", *(f"{below.replace('#', '')}/".split("/")[:2] if below else ("", ""))
        )  # fmt: skip
        tail = f"2020-01-01/001{path.as_posix().removeprefix(folder)}"
        assert path.with_subject(other).as_posix() == f"/data/{lab}/Subjects/{other}/{tail}"
        assert path.with_lab(other).as_posix() == f"/data/{other}/Subjects/{subject}/{tail}"
        assert path.without_lab().as_posix() == f"/data/{subject}/{tail}"
        assert path.relative_to_lab().as_posix() == f"{subject}/{tail}"
        assert path.with_sequence(2).sequence == "002"
        assert path.with_collection("raw").collection == "raw"
