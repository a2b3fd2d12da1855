"""Searches return the same as a plain loop over rows, in the order of ONE-api."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from one_async.errors import ALFMultipleObjectsFound, InputError
from one_async.tables import query
from one_async.tables.catalogue import Catalogue
from tables_data import PATHS, make_catalogue, search

CATALOGUE = make_catalogue(60, seed=7)
SESSIONS = CATALOGUE.session_frame.to_dicts()
DATASETS = CATALOGUE.dataset_table.frame().to_dicts()
LEVELS = ["NOT_SET", "PASS", "WARNING", "FAIL", "CRITICAL"]


def naive(terms: dict[str, Any], wildcards: bool = True) -> list[str]:
    """Search row by row."""
    found = [session for session in SESSIONS if _matches(session, terms, wildcards)]
    found.sort(key=lambda row: row["eid"])
    found.sort(key=lambda row: (row["date"], row["subject"].encode(), row["number"]), reverse=True)
    return [row["eid"] for row in found]


def _matches(session: dict[str, Any], terms: dict[str, Any], wildcards: bool) -> bool:
    for name, column in (
        ("lab", "lab"),
        ("subject", "subject"),
        ("task", "task_protocol"),
        ("proj", "projects"),
    ):
        wanted = terms.get(name)
        if wanted is None:
            continue
        wanted = [wanted] if isinstance(wanted, str) else wanted
        text = session[column]
        if not any(re.search(word, text) if wildcards else word in text for word in wanted):
            return False
    if "number" in terms and session["number"] not in terms["number"]:
        return False
    if "date_range" in terms:
        start, end = terms["date_range"]
        if (start and session["date"] < start) or (end and session["date"] > end):
            return False
    return _has_datasets(session, terms)


def _has_datasets(session: dict[str, Any], terms: dict[str, Any]) -> bool:
    if "datasets" not in terms and "dataset_qc_lte" not in terms:
        return True
    worst = LEVELS.index(terms.get("dataset_qc_lte", "FAIL"))
    names = [
        row["rel_path"].rsplit("/", 1)[-1]
        for row in DATASETS
        if row["eid"] == session["eid"] and row["exists"] and LEVELS.index(row["qc"]) <= worst
    ]
    if "datasets" not in terms:
        return bool(names)
    return all(any(re.fullmatch(word, name) for name in names) for word in terms["datasets"])


words = st.sampled_from(
    ["KS", "ks005", "^K", "5$", "lab", "cortex", "[mw]", "(?!x)", "", "none", "ibl_main$", "a.b", "Ü"]
)
names = st.sampled_from(
    [path.rsplit("/", 1)[-1] for path in PATHS] + ["spikes", r".*\.npy", "(?=s).*", "none.npy"]
)
days = st.dates(date(2019, 12, 30), date(2020, 1, 14))
TERMS = st.fixed_dictionaries(
    {},
    optional={
        "lab": st.one_of(words, st.lists(words, min_size=1, max_size=3)),
        "subject": words,
        "task": words,
        "proj": st.lists(words, min_size=1, max_size=2),
        "number": st.lists(st.integers(0, 4), min_size=1, max_size=2),
        "date_range": st.tuples(st.none() | days, st.none() | days),
        "datasets": st.lists(names, min_size=1, max_size=3),
        "dataset_qc_lte": st.sampled_from(LEVELS),
    },
)


@settings(max_examples=300, deadline=None)
@given(TERMS, st.booleans())
def test_search_returns_what_a_loop_returns(terms: dict[str, Any], wildcards: bool) -> None:
    assert search(CATALOGUE, wildcards=wildcards, **terms) == naive(terms, wildcards)


def test_datasets_of_few_sessions_are_found_like_those_of_all(catalogue: Catalogue) -> None:
    """Few sessions are searched by another algorithm than many."""
    everywhere = search(catalogue, datasets=["spikes.times.npy", ".*trials.*"])
    one_by_one = [
        eid
        for eid in search(catalogue)
        if (row := catalogue.session_frame.filter(eid=eid).to_dicts()[0])
        and eid
        in search(
            catalogue,
            subject=f"^{re.escape(row['subject'])}$",
            date=row["date"],
            number=row["number"],
            lab=f"^{row['lab']}$",
            datasets=["spikes.times.npy", ".*trials.*"],
        )
    ]
    assert everywhere == one_by_one
    assert 0 < len(everywhere) < len(catalogue.session_frame)


def test_search_returns_uuids_or_rows(catalogue: Catalogue) -> None:
    eids = search(catalogue, lab="cortexlab")
    assert eids
    assert query.search(catalogue, laboratory="cortexlab") == [UUID(eid) for eid in eids]
    rows = query.search(catalogue, laboratory="cortexlab", details=True)
    assert rows["eid"].to_list() == eids
    assert set(rows["lab"]) == {"cortexlab"}


@pytest.mark.parametrize("wildcards", [True, False])
@pytest.mark.parametrize("term", ["subject", "lab", "projects", "task_protocol"])
def test_an_empty_list_of_a_term_selects_all(catalogue: Catalogue, term: str, wildcards: bool) -> None:
    everything = search(catalogue)
    for nothing in ([], "", [""]):
        assert search(catalogue, wildcards=wildcards, **{term: nothing}) == everything


def test_a_session_without_number_matches_no_number(catalogue: Catalogue) -> None:
    without = pl.when(pl.col("number") == 1).then(None).otherwise(pl.col("number")).alias("number")
    tables = catalogue.replace(sessions=catalogue.session_frame.with_columns(without))
    assert search(tables, number=[-1, 0, 1]) == []
    assert search(tables, number=2)


def test_an_empty_catalogue_finds_nothing() -> None:
    empty = Catalogue.empty()
    assert search(empty) == []
    assert search(empty, lab="x", datasets="spikes.times.npy", date="2020-01-01") == []
    assert query.list_subjects(empty) == []
    assert query.session_paths(empty, [str(UUID(int=1))]) == [None]
    assert query.search_insertions(empty, name="probe00") == []


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        ({"colour": "red"}, "subject"),
        ({"dat": "x"}, "date_range"),
        ({"date_range": "yesterday"}, "YYYY-MM-DD"),
        ({"date_range": ["2020-01-01"] * 3}, "two of which"),
        ({"number": "one"}, "whole number"),
        ({"lab": 3}, "text"),
        ({"subject": "("}, "regular expression"),
        ({"datasets": "["}, "regular expression"),
        ({"datasets": "x", "dataset_qc_lte": "BEST"}, "NOT_SET"),
    ],
)
def test_invalid_terms_name_the_accepted_ones(catalogue: Catalogue, terms: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        search(catalogue, **terms)


def test_terms_of_the_tables_are_not_abbreviated(catalogue: Catalogue) -> None:
    """Abbreviations are completed before, together with the terms that only the server knows."""
    for name in ("lab", "project", "date", "colour"):
        with pytest.raises(InputError, match="laboratory"):
            query.search(catalogue, **{name: "x"})


#: Ids of no session, before and after all others.
UNKNOWN, LAST = str(UUID(int=0)), str(UUID(int=2**128 - 1))
BY_EID = {row["eid"]: row for row in SESSIONS}
#: Lists shorter and longer than the thresholds of the look-up algorithms, with repeated and unknown ids.
known_or_not = st.sampled_from([*BY_EID, UNKNOWN, LAST])
eid_lists = st.lists(known_or_not, max_size=4) | st.lists(known_or_not, min_size=query._FEW + 1, max_size=45)


@settings(max_examples=60, deadline=None)
@given(eid_lists, st.sampled_from([None, ["rel_path", "did"]]))
def test_lookups_by_id_equal_a_dictionary(eids: list[str], columns: list[str] | None) -> None:
    assert query.find_sessions(CATALOGUE, eids).to_dicts() == [BY_EID[eid] for eid in eids if eid in BY_EID]
    of_session = {
        eid: sorted((row for row in DATASETS if row["eid"] == eid), key=lambda row: row["did"])
        for eid in set(eids)
    }
    expected = [
        [row if columns is None else {name: row[name] for name in columns} for row in of_session[eid]]
        for eid in eids
    ]
    found = CATALOGUE.dataset_table.by_session(eids, columns)
    assert [frame.to_dicts() for frame in found] == expected
    for eid, frame in zip(eids, found, strict=True):
        rows = CATALOGUE.dataset_table.session(eid)
        assert list(rows) == of_session[eid]
        assert len(rows) == len(of_session[eid])
        assert rows.take(range(len(rows))[::-2]) == rows[::-2] == of_session[eid][::-2]
        assert rows.column("unknown") is None
        for name in frame.columns:
            assert rows.column(name) == [row[name] for row in of_session[eid]]


def path_of(eid: str) -> str | None:
    if eid not in BY_EID:
        return None
    row = BY_EID[eid]
    return (
        f"{row['lab']}/Subjects/" * bool(row["lab"]) + f"{row['subject']}/{row['date']}/{row['number']:03d}"
    )


@settings(max_examples=30, deadline=None)
@given(eids=eid_lists)
@pytest.mark.parametrize("share", [0, query._SHARE], ids=["of few", "of many"])
def test_paths_equal_those_composed_from_rows(share: int, eids: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(query, "_SHARE", share)
        assert query.session_paths(CATALOGUE, eids) == [path_of(eid) for eid in eids]


def test_session_paths_are_none_for_unknown_ids(catalogue: Catalogue) -> None:
    eids = search(catalogue)
    paths = query.session_paths(catalogue, [*eids, str(UUID(int=0))])
    assert paths[-1] is None
    row = catalogue.session_frame.filter(eid=eids[0]).to_dicts()[0]
    lab = f"{row['lab']}/Subjects/" if row["lab"] else ""
    assert paths[0] == f"{lab}{row['subject']}/{row['date']}/{row['number']:03d}"


def test_a_duplicate_session_is_refused(catalogue: Catalogue) -> None:
    first, second, *_ = search(catalogue)
    twice = pl.concat([catalogue.session_frame, catalogue.session_frame.filter(eid=first)])
    tables = catalogue.replace(sessions=twice)
    for call in (query.find_sessions, query.session_paths):
        with pytest.raises(ALFMultipleObjectsFound, match=first):
            call(tables, [second, first])
        assert len(call(tables, [second])) == 1


def test_insertions_are_searched_by_name_and_session(catalogue: Catalogue) -> None:
    eids = search(catalogue, lab="cortexlab")
    rows = [
        {"pid": str(UUID(int=2 * i + j + 1)), "eid": eid, "name": f"probe0{j}", "model": "3B2"}
        for i, eid in enumerate(catalogue.session_frame["eid"])
        for j in (0, 1)
    ]
    with_insertions = catalogue.replace(insertions=pl.DataFrame(rows))
    found = query.search_insertions(with_insertions, name="probe01", laboratory="cortexlab", details=True)
    assert found["eid"].unique().sort().to_list() == sorted(eids)
    assert set(found["name"]) == {"probe01"}
    assert found["date"].is_sorted(descending=True)
    for session in (eids[0], UUID(eids[0]), eids[:1], [UUID(eid) for eid in eids]):
        wanted = {str(eid) for eid in session} if isinstance(session, list) else {str(session)}
        expected = {row["pid"] for row in rows if row["eid"] in wanted}
        assert set(query.search_insertions(with_insertions, session=session)) == expected
    with pytest.raises(InputError):
        query.search_insertions(with_insertions, colour="red")


def test_insertions_without_a_value_are_last_and_datasets_belong_to_the_probe(
    catalogue: Catalogue,
) -> None:
    number = pl.when(pl.col("number") == 1).then(None).otherwise(pl.col("number")).alias("number")
    sessions = catalogue.session_frame.with_columns(
        number, date=pl.lit(date(2020, 1, 1)), subject=pl.lit("x")
    )
    rows = [
        {"pid": str(UUID(int=2 * i + j + 1)), "eid": eid, "name": f"probe0{j}"}
        for i, eid in enumerate(sessions["eid"])
        for j in (0, 1)
    ]
    tables = catalogue.replace(sessions=sessions, insertions=pl.DataFrame(rows))
    numbers = query.search_insertions(tables, details=True)["number"].to_list()
    assert numbers == sorted(numbers, key=lambda n: (n is None, -(n or 0)))
    assert None in numbers
    paths = {(row["eid"], row["rel_path"]) for row in catalogue.dataset_table.frame().to_dicts()}
    expected = {
        row["pid"]
        for row in rows
        if any(
            eid == row["eid"] and f"/{row['name']}/" in path and "spikes.times" in path for eid, path in paths
        )
    }
    found = query.search_insertions(tables, dataset="Spikes.TIMES")
    assert set(found) == expected
    assert 0 < len(found) < len(rows)


def test_polars_and_sql_return_the_same_rows(catalogue: Catalogue) -> None:
    by_sql = catalogue.sql("SELECT eid, COUNT(*) AS n FROM datasets WHERE qc <> 'CRITICAL' GROUP BY eid")
    by_frame = catalogue.datasets().filter(pl.col("qc") != "CRITICAL").group_by("eid").len(name="n").collect()
    assert by_sql.sort("eid").to_dicts() == by_frame.sort("eid").to_dicts()
    few = catalogue.datasets().select("rel_path").head(3).collect()
    assert few.to_dicts() == catalogue.dataset_table.frame(slice(0, 3), ["rel_path"]).to_dicts()
    assert catalogue.insertions().collect().height == 0
    ahead = catalogue.sessions().filter(pl.col("date") > date(2020, 1, 1) + timedelta(days=5)).collect()
    assert set(ahead["eid"]) == set(search(catalogue, date=["2020-01-07", None]))
