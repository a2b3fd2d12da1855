from __future__ import annotations

import subprocess
import sys
from uuid import UUID, uuid1, uuid4

import pytest
from alf_strategies import compose_name, names
from hypothesis import given, settings
from hypothesis import strategies as st

from one_async.alf import spec
from one_async.alf.parts import filename_parts
from one_async.errors import InputError, OneError


@pytest.mark.parametrize("given_qc", [10, "10", "pass", "PASS", "Pass", spec.QC.PASS])
def test_qc_takes_numbers_names_and_itself(given_qc: object) -> None:
    assert spec.QC.validate(given_qc) is spec.QC.PASS  # type: ignore[arg-type]


@pytest.mark.parametrize("given_qc", [11, "11", "good", "", None, "²", 10.5, []])
def test_qc_refuses_the_rest(given_qc: object) -> None:
    with pytest.raises(InputError, match=r"qc=.*CRITICAL \(50\)"):
        spec.QC.validate(given_qc)  # type: ignore[arg-type]


def test_qc_is_ordered_by_badness() -> None:
    assert sorted(spec.QC) == [spec.QC[name] for name in ("NOT_SET", "PASS", "WARNING", "FAIL", "CRITICAL")]


@settings(deadline=None)
@given(names)
def test_a_composed_name_reads_back(parts: dict[str, str | None]) -> None:
    name = compose_name(parts)
    assert spec.is_valid(name)
    assert filename_parts(name, as_dict=True) == parts


@settings(deadline=None)
@given(names)
def test_to_alf_composes_the_same_name(parts: dict[str, str | None]) -> None:
    assert spec.to_alf(**parts) == compose_name(parts)  # type: ignore[arg-type]


@settings(deadline=None)
@given(
    st.text("ab_C XY", min_size=1).filter(lambda s: not s.startswith("_") and s.strip("_ ")),
    st.text("abC XY_", min_size=1).filter(lambda s: s.strip("_ ")),
)
def test_to_alf_makes_valid_names_of_words(obj: str, attribute: str) -> None:
    assert spec.is_valid(spec.to_alf(obj, attribute, "npy")), spec.to_alf(obj, attribute, "npy")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("spikes", "times", "ssv"), "spikes.times.ssv"),
        (("spikes", "times", ".ssv", "ibl"), "_ibl_spikes.times.ssv"),
        (
            ("spikes", "times", "npy", "ibl", ("ephys clock", "minutes")),
            "_ibl_spikes.times_ephysClock_minutes.npy",
        ),
        (
            ("wheel", "timestamps", "npy", "ibl", "bpod", ("raw", "v12")),
            "_ibl_wheel.timestamps_bpod.raw.v12.npy",
        ),
        (("wheel", "go cue_times", "npy", None, None, "a.b"), "wheel.goCue_times.a.b.npy"),
        (("mpci ROIs", "passive_RFM", "npy"), "mpciROIs.passiveRFM.npy"),
    ],
)
def test_to_alf_examples(arguments: tuple[object, ...], name: str) -> None:
    assert spec.to_alf(*arguments) == name  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arguments",
    [
        {"extension": ""},
        {"extension": None},
        {"object": ""},
        {"object": "_ns_x"},
        {"object": "a.b"},
        {"attribute": "a.b"},
        {"attribute": ""},
        {"namespace": "a_b"},
        {"timescale": "a.b"},
        {"timescale": ("a", "b.c")},
    ],
)
def test_to_alf_names_the_bad_part(arguments: dict[str, str]) -> None:
    with pytest.raises(InputError, match=next(iter(arguments))):
        spec.to_alf(**{"object": "a", "attribute": "b", "extension": "npy"} | arguments)


@pytest.mark.parametrize(
    "arguments", [{"object": "sp-ikes"}, {"extra": "a/b"}, {"extension": "n py"}, {"attribute": "_"}]
)
def test_to_alf_never_composes_what_is_not_alf(arguments: dict[str, str]) -> None:
    with pytest.raises(InputError, match="not an ALF name"):
        spec.to_alf(**{"object": "a", "attribute": "b", "extension": "npy"} | arguments)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sparseNoise", "sparse noise"),
        ("someROIDataset", "some ROI dataset"),
        ("mpciROIs", "mpci ROIs"),
        ("", ""),
        ("a", "a"),
    ],
)
def test_readable_names(name: str, text: str) -> None:
    assert spec.readableALF(name) == text
    assert spec.readableALF(name, capitalize=True) == text[:1].upper() + text[1:]


def test_describe_gives_text_and_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    everything = spec.describe()
    assert set(spec.regex().groupindex) <= everything.keys()
    assert spec.describe("lab") == {"lab": everything["lab"]}
    with pytest.raises(InputError, match="collection"):
        spec.describe("folder")
    assert capsys.readouterr() == ("", "")


def test_path_pattern_shows_each_part() -> None:
    pattern = spec.path_pattern()
    assert pattern.startswith("(lab/Subjects/)subject/date/number/(collection/)(#revision#/)")
    assert all(part in pattern for part in spec.regex().groupindex)


def test_regex_takes_patterns_for_parts() -> None:
    pattern = spec.regex(spec.FILE_SPEC, object="trials", extra=None)
    assert pattern.match("_ibl_trials.intervals.npy")
    assert not pattern.match("_ibl_wheel.position.npy")


@pytest.mark.parametrize(
    ("template", "patterns"),
    [(spec.FILE_SPEC, {"size": "x"}), ("{size}", {}), ("{lab", {}), ("{lab}", {"lab": "("})],
)
def test_regex_refuses_what_is_no_part(template: str, patterns: dict[str, str]) -> None:
    with pytest.raises(OneError):
        spec.regex(template, **patterns)


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        ("/data/foo/2020-01-01/001", True),
        ("lab/Subjects/foo/2020-01-01/1/", True),
        ("https://data.test/lab/Subjects/foo/2020-01-01/1", True),
        ("foo/2020-01-01/001/alf", False),
        ("foo/2020-01-01", False),
        ("", False),
    ],
)
def test_session_paths(path: str, is_one: bool) -> None:
    assert spec.is_session_path(path) is is_one


def test_uuids() -> None:
    uuid = uuid4()
    forms = (uuid, str(uuid), uuid.hex, uuid.bytes, uuid.int, str(uuid).upper())
    assert all(spec.is_uuid(form) for form in forms)
    assert not any(spec.is_uuid(form) for form in (uuid1(), "x", b"x", -1, True, None, 1.0, [uuid]))
    assert spec.is_uuid(uuid1(), versions=(1,))
    assert spec.is_uuid_string(str(uuid))
    others = (uuid.hex, str(uuid).upper(), uuid, str(uuid1()), "")
    assert not any(spec.is_uuid_string(form) for form in others)
    assert spec.is_uuid(UUID(int=0), versions=()) is False


def test_dates() -> None:
    assert spec.isdatetime("2024-02-29")
    assert not any(spec.isdatetime(text) for text in ("2023-02-29", "2024-13-01", "", "2024-02-29T00"))


def test_the_grammar_is_imported_without_numbers_or_frames() -> None:
    code = (
        "import sys, one_async.alf.path; print(sys.modules.keys() & {'numpy', 'polars', 'pandas', 'httpx'})"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
