"""Patterns mean the same to both engines, and the resolver follows the stated revision policy."""

from __future__ import annotations

import re
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from one_async.alf import match, revisions
from one_async.alf.spec import QC, REL_PATH_SPEC, regex
from one_async.errors import (
    ALFError,
    ALFMultipleCollectionsFound,
    ALFMultipleObjectsFound,
    ALFMultipleRevisionsFound,
    ALFWarning,
    InputError,
)
from one_async.tables.schema import DATASETS
from tables_data import PATHS, make_catalogue

PADDING = [f"alf/filler.n{i}.npy" for i in range(2100)]
PIECES = st.sampled_from(
    [
        "alf",
        "alf/probe00",
        "#",
        "2020-01-01",
        "/",
        ".",
        "_",
        "_ibl_",
        "spikes",
        "times",
        "_times",
        "_intervals",
        "bpod",
        "é",
        "npy",
        "-",
        "1",
        " ",
        "A",
    ]
)
TEXTS = st.lists(PIECES, max_size=10).map("".join)
PATTERNS = st.one_of(
    st.sampled_from(
        [
            "*",
            "*.npy",
            "*spikes*",
            "s?ikes*",
            "[st]*",
            "[!_]*",
            "*a*b*c*",
            "alf*",
            ".*",
            "a|b",
            "(?:x)+",
            r"\w+\.\d*",
            "^a$",
            "[a-z]{2,3}",
        ]
    ),
    st.lists(st.sampled_from([*"ab.*?[]()|^$\\d_/-{}1,", ".*", "spikes"]), max_size=6).map("".join),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=20))
@example(
    [
        "_ibl_spikes.times_intervals.npy",
        "__a.b.c",
        "_.times.npy",
        "_a_.b.c",
        "é.é.é",
        "alf/#1#/a.b_times_bpod.x.npy",
    ]
)
def test_both_engines_know_the_same_alf_paths(paths: list[str]) -> None:
    pattern = match.path_pattern()
    assert pattern.plain is not None
    many = match.is_match(pl.Series(paths + PADDING), pattern.python, pattern.plain)
    assert many.to_list()[: len(paths)] == [
        regex("^" + REL_PATH_SPEC).match(path) is not None for path in paths
    ]


@pytest.mark.filterwarnings("ignore:Possible:FutureWarning")
@settings(max_examples=400, deadline=None)
@given(PATTERNS, TEXTS, st.sampled_from(["match", "fullmatch", "search"]))
def test_both_engines_read_a_pattern_alike(pattern: str, text: str, how: str) -> None:
    try:
        compiled = re.compile(pattern)
    except re.error:
        return
    many = match.is_match(pl.Series([text, *PADDING]), compiled, match.plain_pattern(pattern), how=how)
    assert many[0] == (getattr(compiled, how)(text) is not None)


@pytest.mark.filterwarnings("ignore:Possible:FutureWarning")
@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.none(),
        PATTERNS,
        st.fixed_dictionaries(
            {}, optional={"object": PATTERNS, "extension": PATTERNS, "namespace": st.just("ibl")}
        ),
    ),
    st.one_of(st.none(), st.just(""), PATTERNS),
    st.booleans(),
)
def test_both_engines_filter_alike(filename: Any, collection: Any, wildcards: bool) -> None:
    try:
        pattern = match.path_pattern(filename, collection, wildcards=wildcards)
    except InputError:
        return
    few = match.is_match(pl.Series(PATHS), pattern.python, None)
    many = match.is_match(pl.Series(PATHS + PADDING), pattern.python, pattern.plain)
    assert many[: len(PATHS)].equals(few)


def test_a_last_line_break_is_seen_as_python_sees_it() -> None:
    texts = pl.Series(["a\n", "a", *PADDING])
    found = match.is_match(texts, re.compile("a$"), match.plain_pattern("a$"))
    assert found[:2].to_list() == [True, True]


def frame(*rows: tuple[str, bool], qc: str = "PASS") -> pl.DataFrame:
    made = [
        {"did": str(i), "eid": "e", "rel_path": path, "exists": True, "qc": qc, "default_revision": default}
        for i, (path, default) in enumerate(rows)
    ]
    return pl.DataFrame(made, schema=DATASETS)


THREE = frame(("alf/a.b.npy", False), ("alf/#2020-01-01#/a.b.npy", True), ("alf/#2021-01-01#/a.b.npy", False))


def paths(found: pl.DataFrame) -> list[str]:
    return found["rel_path"].to_list()


@pytest.mark.parametrize(
    ("revision", "expected"),
    [
        (None, ["alf/#2020-01-01#/a.b.npy"]),
        ("2020-06-01", ["alf/#2020-01-01#/a.b.npy"]),
        ("2021-01-01", ["alf/#2021-01-01#/a.b.npy"]),
        ("2019", ["alf/a.b.npy"]),
        ("", ["alf/a.b.npy"]),
    ],
)
def test_last_before_takes_the_default_or_the_last_before(revision: str | None, expected: list[str]) -> None:
    found = match.resolve(THREE, "a.b.npy", revision=revision, policy="last_before", assert_unique=True)
    assert paths(found) == expected


def test_exact_takes_patterns_and_default_takes_defaults() -> None:
    assert paths(match.resolve(THREE, revision="202?-*")) == THREE["rel_path"].to_list()[1:]
    assert paths(match.resolve(THREE, revision="")) == ["alf/a.b.npy"]
    assert paths(match.resolve(THREE, policy="default")) == ["alf/#2020-01-01#/a.b.npy"]
    with pytest.raises(ALFError, match="default"):
        match.resolve(THREE.drop("default_revision"), policy="default")


def test_without_a_default_the_last_is_used_with_a_warning() -> None:
    none = THREE.with_columns(default_revision=pl.lit(value=False))
    with pytest.warns(ALFWarning, match="'alf/a.b.npy'; its last one, '2021-01-01', is used"):
        assert paths(revisions.last_before(none)) == ["alf/#2021-01-01#/a.b.npy"]
    with pytest.raises(ALFMultipleRevisionsFound, match="2020-01-01"):
        revisions.last_before(THREE.with_columns(default_revision=pl.lit(value=True)))
    for single in (THREE.head(1), THREE.tail(1)):  # one choice only, so no warning
        assert len(revisions.last_before(single.drop("default_revision"))) == 1
    mixed = frame(("a.b.npy", True), ("#1#/c.d.npy", True))
    with pytest.warns(ALFWarning, match=r"Multiple revisions: '' \(a.b.npy\), '1' \(#1#/c.d.npy\)"):
        assert len(revisions.last_before(mixed)) == 2
    with pytest.raises(ALFMultipleRevisionsFound):
        revisions.last_before(mixed, assert_consistent=True)


def test_several_matches_raise_an_error_of_their_kind() -> None:
    two = frame(("alf/a.b.npy", True), ("raw/a.b.npy", True))
    with pytest.raises(ALFMultipleCollectionsFound, match='"alf", "raw"'):
        match.resolve(two, "a.b.npy", assert_unique=True)
    with pytest.raises(ALFMultipleRevisionsFound):
        match.resolve(THREE, "a.b.npy", assert_unique=True)
    with pytest.raises(ALFMultipleObjectsFound):
        match.resolve(frame(("alf/a.b.npy", True), ("alf/c.d.npy", True)), assert_unique=True)
    assert len(match.resolve(frame(), "x", assert_unique=True, policy="last_before")) == 0


FILES = [
    "alf/a.b.npy",
    "alf/a.c.npy",
    "raw/a.b.npy",
    "alf/#1#/a.b.npy",
    "alf/#2#/a.b.npy",
    "alf/#1#/a.c.npy",
    "notes.txt",
]
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "rel_path": st.sampled_from(FILES),
            "qc": st.sampled_from([*QC.__members__, None]),
            "default_revision": st.sampled_from([True, False, None]),
        }
    ),
    max_size=8,
)


@pytest.mark.filterwarnings("ignore::one_async.errors.ALFWarning")
@settings(max_examples=200, deadline=None)
@given(
    ROWS,
    st.sampled_from([None, "a.*", "a.b.npy", {"object": "a"}]),
    st.sampled_from([None, "alf", ""]),
    st.sampled_from([None, "", "1", "2"]),
    st.fixed_dictionaries(
        {
            "policy": st.sampled_from(["exact", "last_before", "default"]),
            "qc": st.sampled_from(["PASS", "FAIL"]),
            "assert_unique": st.booleans(),
        }
    ),
)
def test_rows_and_frames_of_any_size_choose_alike(
    rows: list[dict[str, Any]], filename: Any, collection: Any, revision: Any, options: dict[str, Any]
) -> None:
    def outcome(choose: Any, datasets: Any) -> Any:
        try:
            return list(choose(datasets))
        except ALFError as error:
            return type(error), str(error)

    wanted = match.DatasetFilter(filename, collection, revision, **options)
    rows = [{"did": str(at), **row} for at, row in enumerate(rows)]
    others = [
        {"did": path, "rel_path": path, "qc": "CRITICAL", "default_revision": False} for path in PADDING
    ]
    small, large = (
        pl.DataFrame(
            some, schema={name: DATASETS[name] for name in ("did", "rel_path", "qc", "default_revision")}
        )
        for some in (rows, rows + others)
    )
    found = outcome(wanted.choose, rows)
    assert outcome(lambda frame: wanted.choose_frame(frame).rows(named=True), small) == found
    assert outcome(lambda frame: wanted.choose_frame(frame).rows(named=True), large) == found


def test_rows_without_flags_have_no_default_revisions() -> None:
    rows = [{"rel_path": "a.b.npy", "qc": "PASS"}]
    assert match.DatasetFilter(policy="last_before").choose(rows) == rows
    with pytest.raises(ALFError, match="do not say which revisions"):
        match.DatasetFilter(policy="default").choose(rows)


def test_qc_limits_the_results() -> None:
    levels = ["NOT_SET", "PASS", "WARNING", "FAIL", "CRITICAL"]
    rows = pl.concat(
        [frame((f"alf/a.{level.lower().replace('_', '')}.npy", True), qc=level) for level in levels]
    )
    assert len(match.resolve(rows)) == 4
    assert match.resolve(rows, qc="PASS")["qc"].to_list() == ["NOT_SET", "PASS"]
    assert match.resolve(rows, qc=10, ignore_qc_not_set=True)["qc"].to_list() == ["PASS"]
    with pytest.raises(InputError, match="CRITICAL"):
        match.resolve(rows, qc="best")


@pytest.mark.parametrize(
    "filters",
    [
        {"filename": {"colour": "red"}},
        {"filename": "(", "wildcards": False},
        {"filename": 3},
        {"revision": ["a", "b"], "policy": "last_before"},
        {"collection": ["a", 3]},
    ],
)
def test_invalid_filters_are_refused(filters: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        match.resolve(THREE, **filters)


def test_lists_and_their_parts() -> None:
    found = make_catalogue().dataset_table.paths
    table = dict(
        zip(found, zip(match.collections_of(found), match.revisions_of(found), strict=True), strict=True)
    )
    assert table["alf/probe00/#2024-02-15#/spikes.times.npy"] == ("alf/probe00", "2024-02-15")
    assert table["_ibl_experiment.description.yaml"] == ("", "")
    assert table["raw_video_data/not an ALF name"] == ("", "")
    many = pl.Series([*found, *PADDING])
    assert match.collections_of(many)[: len(found)].equals(match.collections_of(found))
    assert match.revisions_of(many)[: len(found)].equals(match.revisions_of(found))


@pytest.mark.parametrize("part", ["lab", "subject", "date", "number", "objekt", "filename", ""])
def test_parts_that_no_file_name_has_are_refused_unless_they_are_none(part: str) -> None:
    assert match.path_pattern({"object": "spikes", part: None}) == match.path_pattern({"object": "spikes"})
    with pytest.raises(InputError, match=f"^{part}=… is not an ALF part; accepted: object, namespace"):
        match.path_pattern({"object": "spikes", part: 5})  # type: ignore[dict-item]
