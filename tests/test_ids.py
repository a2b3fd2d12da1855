"""Names of sessions: ONE-api's parsing of session numbers, and names composed from parts and parsed again."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from one_async import ONE
from one_async.alf.session_paths import session_folder, session_part
from one_async.errors import InputError
from one_async.ids import (
    as_uuid,
    dataset_id,
    file_parts,
    flatten,
    odd_root,
    parse_session,
    path_key,
    path_keys,
    ref_key,
)

#: The session number that ONE-api 3.6.1 reads in a path; None where it finds no session.
NUMBERS = {
    "0": 0, "2": 2, "9": 9, "10": 10, "99": 99, "000": 0, "002": 2, "010": 10, "020": 20, "100": 100, "999": 999,
    "00": 0, "01": 1, "02": 2, "09": 9, "": None, "x": None, "2x": None, "-1": None,
}  # fmt: skip
#: Long lists of the same names are parsed differently.
FEW, MANY = 1, 500
EID = UUID("4b7fbad4-f6de-43b4-9b15-c7c7ef44db4b")

subjects = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,8}", fullmatch=True)
labs = st.none() | st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True)
days = st.dates(date(1990, 1, 1), date(2100, 1, 1))
session_numbers = st.integers(0, 999)


def folder(lab: str | None, subject: str, day: object, number: str) -> str:
    return f"{f'{lab}/Subjects/' if lab else ''}{subject}/{day}/{number}"


@pytest.mark.parametrize(("text", "number"), NUMBERS.items())
@pytest.mark.parametrize(
    "start", ["lab/Subjects/", "/data/lab/Subjects/", "", "https://data.test/lab/Subjects/"]
)
@pytest.mark.parametrize("end", ["", "/alf/spikes.times.npy"])
def test_a_number_may_have_leading_zeros(text: str, number: int | None, start: str, end: str) -> None:
    path = f"{start}S1/2020-01-31/{text}{end}"
    expected = None if number is None else {"subject": "S1", "date": date(2020, 1, 31), "sequence": number}
    assert ONE.path2ref(path) == expected
    assert ONE.path2ref(PurePosixPath(path)) == expected
    assert ONE.path2ref(path, as_dict=False) == (expected and f"2020-01-31_{text}_S1")
    assert ONE.path2ref(path, parse=False) == (
        expected and {"subject": "S1", "date": "2020-01-31", "sequence": text}
    )
    key = path_key(path)
    assert (key and key[:3]) == (expected and ("S1", date(2020, 1, 31), number))
    for many in (FEW, MANY):
        row = file_parts([path] * many).row(many - 1, named=True)
        assert (row["subject"], row["number"] if row["subject"] else None) == (expected and "S1", number)
    if number is None:
        with pytest.raises(InputError, match="id="):
            parse_session(path)


@pytest.mark.parametrize("day", ["2020-02-30", "2020-13-01", "2021-02-29", "20200101"])
def test_a_path_with_an_invalid_date_is_no_session(day: str) -> None:
    path = f"lab/Subjects/S1/{day}/001"
    assert ONE.path2ref(path) is None
    assert ONE.path2ref(path, as_dict=False) is None
    assert path_key(path) is None
    assert file_parts([path])["date"].to_list() == [None]
    with pytest.raises(InputError):
        parse_session(path)
    with pytest.raises(InputError, match="ref="):
        ONE.ref2dict(f"{day}_1_S1")


@settings(deadline=None, max_examples=60)
@given(labs, subjects, days, session_numbers, st.booleans())
@example(None, "a.b-c_d", date(2000, 1, 1), 0, True)
def test_every_name_is_parsed_into_its_parts(
    lab: str | None, subject: str, day: date, number: int, padded: bool
) -> None:
    text = f"{number:03d}" if padded or number > 99 else str(number)
    key = (subject, day, number)
    parts = {"subject": subject, "date": day, "sequence": number}
    path = folder(lab, subject, day, text)
    for name in (path, f"{path}/", f"/data/{path}", PurePosixPath(path), PureWindowsPath(path)):
        assert parse_session(name)[:3] == key
        assert ONE.path2ref(name) == parts
    assert session_part(f"/data/{path}/alf/x.y.npy") == path
    ref = f"{day}_{text}_{subject}"
    moment = datetime(day.year, day.month, day.day, 23, 59)
    records: list[Any] = [
        ref,
        parts,
        {"subject": subject, "date": str(day), "number": text},
        {"subject": subject, "start_time": f"{day}T12:00:00", "number": number, "lab": lab},
        {"subject": subject, "start_time": moment, "sequence": number},
    ]
    for record in records:
        assert ref_key(record)[:3] == key
        assert parse_session(record)[:3] == key
    assert ONE.ref2dict(ref) == parts
    assert ONE.ref2dict(ref, parse=False) == {"subject": subject, "date": str(day), "sequence": text}
    assert ONE.dict2ref(parts) == f"{day}_{number}_{subject}"
    assert (
        ONE.dict2ref({"subject": subject, "start_time": moment, "number": number})
        == f"{day}_{number}_{subject}"
    )
    assert ONE.is_exp_ref([ref, parts, path]) == [True, True, False]
    row = {"lab": lab or "", "subject": subject, "date": day, "number": number}
    assert session_folder(row) == folder(lab, subject, day, f"{number:03d}")
    del row["date"]
    assert session_folder({**row, "start_time": f"{day}T01:02:03"}) == folder(
        lab, subject, day, f"{number:03d}"
    )


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(labs, subjects, days, session_numbers), min_size=1, max_size=5), st.booleans())
def test_lists_of_files_are_parsed_like_single_ones(
    sessions: list[tuple[str | None, str, date, int]], with_did: bool
) -> None:
    name = f"_ibl_trials.table.{EID}.pqt" if with_did else "_ibl_trials.table.pqt"
    paths = [
        f"/x/{folder(lab, subject, day, f'{number:03d}')}/alf/#r#/{name}"
        for lab, subject, day, number in sessions
    ]
    urls = [f"https://data.test{path}" for path in paths]
    backwards = [path.replace("/", "\\") for path in paths]
    expected = [
        (subject, day, number, "alf/#r#/_ibl_trials.table.pqt", str(EID) if with_did else None)
        for _, subject, day, number in sessions
    ]
    for given_paths in (paths, urls, backwards):
        assert (
            file_parts(given_paths).select("subject", "date", "number", "rel_path", "did").rows() == expected
        )


IDS = [EID, str(EID), str(EID).upper(), f" {EID}", f"https://alyx.test/sessions/{EID}", f"https://alyx.test/sessions/{EID}/",
       f"https://alyx.test/sessions/{EID}?format=json", {"id": str(EID)}, {"eid": EID}, {"url": f"https://x.test/sessions/{EID}"},
       {"eid": "", "id": str(EID), "subject": "S1"}]  # fmt: skip


@pytest.mark.parametrize("name", IDS, ids=str)
def test_an_id_in_a_name_is_the_session(name: Any) -> None:
    assert parse_session(name) == EID


WRONG = ["", "S1", str(EID)[:-1], f"{EID}0x", 5, None, b"x", {}, {"subject": "S1"}, {"subject": "S1", "number": 1},
         {"number": 1, "date": "2020-01-01"}, {"id": "x"}, "2020-01-01_1", "2020-01-01_123456_S1"]  # fmt: skip


@pytest.mark.parametrize("name", WRONG, ids=str)
def test_names_without_a_session_raise_with_the_argument(name: Any) -> None:
    with pytest.raises(InputError) as caught:
        parse_session(name, "eid")
    assert caught.value.argument == "eid"
    assert not isinstance(name, str) or repr(name) in str(caught.value)
    with pytest.raises(InputError) as caught:
        ref_key(name, "session")
    assert caught.value.argument == "session"


@pytest.mark.parametrize(
    ("method", "value", "argument"),
    [
        ("path2ref", 5, "path_str"),
        ("path2ref", [None], "path_str"),
        ("ref2dict", "x", "ref"),
        ("ref2dict", {"date": "2020-01-01"}, "ref"),
        ("ref2dict", {"date": "x", "sequence": 1}, "ref"),
        ("ref2dict", {"date": "2020-01-01", "sequence": "x"}, "ref"),
        ("dict2ref", "x", "ref_dict"),
        ("dict2ref", {"subject": "S1"}, "ref_dict"),
        ("dict2ref", {"subject": "S1", "date": "2020-01-01"}, "ref_dict"),
        ("dict2ref", {"subject": "S1", "sequence": 1}, "ref_dict"),
        ("dict2ref", {"date": "2020-01-01", "sequence": 1}, "ref_dict"),
    ],
)
def test_pure_helpers_name_the_argument_that_is_wrong(method: str, value: Any, argument: str) -> None:
    with pytest.raises(InputError) as caught:
        getattr(ONE, method)(value)
    assert caught.value.argument == argument
    assert f"{argument}=" in str(caught.value)


def test_invalid_references_and_empty_values() -> None:
    whole = {"subject": "S1", "date": "2020-01-01", "sequence": 1}
    assert ONE.is_exp_ref(whole) is True
    assert ONE.is_exp_ref({**whole, "lab": "x"}) is True
    for name in whole:
        assert ONE.is_exp_ref({key: value for key, value in whole.items() if key != name}) is False
    assert ONE.is_exp_ref([whole, [5, None, "2020-01-01_001_S1"]]) == [True, [False, False, True]]
    assert ONE.dict2ref({}) is None
    assert ONE.dict2ref([{}, whole]) == [None, "2020-01-01_1_S1"]
    assert session_part("/data/x.npy") == ""
    assert (
        session_folder({"lab": "", "subject": "S1", "date": "2020-01-01T10", "number": 0})
        == "S1/2020-01-01/000"
    )


# ---- shapes of lists


def nested(value: Any, levels: int) -> Any:
    for _ in range(levels):
        value = [value]
    return value


def apply(value: Any) -> Any:
    """Return nested lists with each member as text, by plain recursion."""
    return [apply(member) for member in value] if isinstance(value, list) else str(value)


@given(st.recursive(st.integers(), st.lists, max_leaves=12))
def test_results_have_the_shape_of_nested_lists(value: Any) -> None:
    members, rebuild = flatten(value)
    assert rebuild([str(member) for member in members]) == apply(value)


def test_lists_are_nested_32_levels_deep_at_most() -> None:
    members, rebuild = flatten(nested(7, 32))
    assert (members, rebuild(["7"])) == ([7], nested("7", 32))
    for levels in (33, 40, 5000):
        with pytest.raises(InputError, match="32 levels"):
            flatten(nested(7, levels))


ROOT = "/data/odd/2001-02-03/004"


@pytest.mark.parametrize("end", ["", "/", "//"])
def test_a_cache_folder_with_the_path_of_a_session_is_detected(end: str) -> None:
    assert odd_root(ROOT + end) == f"{ROOT}/"
    assert odd_root(PurePosixPath(ROOT)) == f"{ROOT}/"
    assert odd_root(f"/data/one{end}") is None
    assert odd_root(f"{ROOT}/one{end}") == f"{ROOT}/one/"


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(labs, subjects, days, session_numbers), min_size=1, max_size=4))
def test_paths_below_such_a_folder_belong_to_their_own_sessions(
    sessions: list[tuple[str | None, str, date, int]],
) -> None:
    root = f"{ROOT}/"
    parts = [f"{folder(lab, subject, day, f'{n:03d}')}/alf/x.y.npy" for lab, subject, day, n in sessions]
    own = [(subject, day, n, "alf/x.y.npy") for _, subject, day, n in sessions]
    columns = ["subject", "date", "number", "rel_path"]
    for start in (root, "/elsewhere/"):
        for part, expected in zip(parts, own, strict=True):
            key = path_key(start + part, root)
            assert key is not None
            assert key[:3] == expected[:3]
        assert path_keys([start + part for part in parts], root).select(columns).rows() == own
    # Files of the session that the folder's path names, with others and with paths without a session.
    beside = path_keys([f"{root}alf/x.y.npy", root + parts[0], "/elsewhere/" + parts[0], "alf/x.y.npy"], root)
    odd = ("odd", date(2001, 2, 3), 4, "alf/x.y.npy")
    assert beside.select(columns).rows()[:3] == [odd, own[0], own[0]]
    assert beside["subject"][3] is None


def test_errors_name_the_argument() -> None:
    with pytest.raises(InputError, match="eid=") as wrong:
        parse_session("2020-13-01_1_S1", "eid")
    assert wrong.value.argument == "eid"
    for value in ("x", {"did": "x"}, {"rel_path": "alf/x.y.npy"}):
        with pytest.raises(InputError, match="dset="):
            dataset_id(value, "dset")


@given(
    st.uuids(),
    st.sampled_from(["{0}", " {0}\n", "https://host/sessions/{0}", "https://host/sessions/{0}/?format=json"]),
)
def test_an_id_is_read_in_every_form_in_which_it_is_written(eid: UUID, text: str) -> None:
    forms = [text.format(eid), text.format(str(eid).upper())]
    if "/" not in text:
        forms += [text.format(eid.hex), text.format(eid.hex.upper())]
    for form in forms:
        assert parse_session(form) == as_uuid(form) == dataset_id(form) == eid
    for wrong in (eid.hex[:-1], eid.hex + "0", f"a/{eid.hex}"):
        with pytest.raises(InputError):
            parse_session(wrong)
        with pytest.raises(InputError):
            as_uuid(wrong)
